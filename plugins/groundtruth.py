"""What Airflow loads as a plugin: the pages in its UI, and the reference from which deadlines count."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from include.domains import DOMAINS
from plugins.notifications import marks
from plugins.notifications.deadline import RunQueued
from plugins.reports import PREFIX


def _view(title: str, path: str, route: str, icon: str, destination: str = "nav") -> dict[str, Any]:
    return {
        "name": title,
        "href": f"{PREFIX}/{path}",
        "destination": destination,
        "url_route": route,
        "icon": f"{PREFIX}/static/{icon}.svg",
    } | ({"nav_top_level": True} if destination == "nav" else {})


class Groundtruth(AirflowPlugin):
    """Mounts the pages, adds them to the navigation and to each run, and registers the reference of deadlines."""

    name = "groundtruth"
    listeners = [marks]  # noqa: RUF012 - as Airflow declares it
    deadline_references = [RunQueued]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012 - as Airflow declares it
        _view("Pipeline reports", "runs", "pipeline-reports", "reports"),
        _view("Live", "live", "live", "live"),
        _view("Feeds", "feeds", "feeds", "feeds"),
        *(_view(page.title, page.name, page.name, page.name) for domain in DOMAINS for page in domain.pages),
        _view("Report", "dags/{DAG_ID}/runs/{RUN_ID}", "report", "reports", "dag_run"),
        _view("Events", "dags/{DAG_ID}/runs/{RUN_ID}/live", "events", "live", "dag_run"),
    ]

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """The app, created on first use, in the API server: every task loads plugins too, and needs no app."""
        from plugins.reports.web.app import create_app

        return [{"app": create_app(), "url_prefix": f"/{PREFIX}", "name": "Groundtruth"}]

    @cached_property
    def fastapi_root_middlewares(self) -> list[Any]:  # type: ignore[override]
        """What adds the pages to the navigation of users whom Airflow refuses the list of plugins."""
        from plugins.reports.web.navigation import Navigation

        options = {"plugin": self.name, "views": self.external_views}
        return [{"middleware": Navigation, "kwargs": options, "name": "Groundtruth navigation"}]
