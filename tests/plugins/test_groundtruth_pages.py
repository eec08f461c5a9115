"""What Airflow's UI mounts and links: the list of runs, the report of a run, and the pages of the domains."""

import pytest

import tests.airflow_env  # noqa: F401 - before Airflow is imported

pytestmark = pytest.mark.airflow


def test_the_navigation_names_the_list_and_every_domains_page():
    from plugins.groundtruth_pages import GroundtruthPages

    views = {view["name"]: view for view in GroundtruthPages.external_views}
    assert list(views) == ["Pipeline reports", "Models", "Report"]
    assert views["Models"] == {
        "name": "Models",
        "href": "groundtruth/models",
        "destination": "nav",
        "url_route": "models",
        "icon": "groundtruth/static/models.svg",
        "nav_top_level": True,
    }
    assert views["Pipeline reports"]["href"] == "groundtruth/runs"
    assert views["Report"]["destination"] == "dag_run"
    assert "nav_top_level" not in views["Report"]


def test_the_app_is_mounted_below_its_prefix():
    from plugins.groundtruth_pages import GroundtruthPages

    (app,) = GroundtruthPages().fastapi_apps
    assert (app["url_prefix"], app["app"].title) == ("/groundtruth", "Groundtruth pages")
