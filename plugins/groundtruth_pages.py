"""The pages that Airflow's UI shows: pipeline reports, the report of a run, models."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "groundtruth"


class GroundtruthPages(AirflowPlugin):
    """Mounts the pages, and names them in the navigation and beside each run."""

    name = "groundtruth_pages"
    external_views = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Pipeline reports",
            "href": f"{PREFIX}/runs",
            "destination": "nav",
            "url_route": "pipeline-reports",
            "icon": f"{PREFIX}/static/reports.svg",
            "nav_top_level": True,
        },
        {
            "name": "Models",
            "href": f"{PREFIX}/models",
            "destination": "nav",
            "url_route": "models",
            "icon": f"{PREFIX}/static/models.svg",
            "nav_top_level": True,
        },
        {
            "name": "Report",
            "href": f"{PREFIX}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "report",
            "icon": f"{PREFIX}/static/reports.svg",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """Built where it is asked for, in the API server: every task loads plugins too, and needs none of it."""
        from plugins.reports.web.app import create_app

        return [{"app": create_app(), "url_prefix": f"/{PREFIX}", "name": "Groundtruth"}]
