"""What Airflow loads: the list of runs, the report of a run, the pages of the domains, the reference of deadlines."""

import pytest

import tests.airflow_env  # noqa: F401 - before Airflow is imported

pytestmark = pytest.mark.airflow


def test_the_navigation_names_the_list_and_every_domains_page():
    from plugins.groundtruth import Groundtruth

    views = {view["name"]: view for view in Groundtruth.external_views}
    assert list(views) == ["Pipeline reports", "Live", "Feeds", "Models", "Fields", "Report", "Events"]
    assert views["Models"] == {
        "name": "Models",
        "href": "groundtruth/models",
        "destination": "nav",
        "url_route": "models",
        "icon": "groundtruth/static/models.svg",
        "nav_top_level": True,
    }
    assert views["Pipeline reports"]["href"] == "groundtruth/runs"
    assert views["Report"]["destination"] == views["Events"]["destination"] == "dag_run"
    assert "nav_top_level" not in views["Report"]


def test_the_app_is_mounted_below_its_prefix():
    from plugins.groundtruth import Groundtruth

    (app,) = Groundtruth().fastapi_apps
    assert (app["url_prefix"], app["app"].title) == ("/groundtruth", "Groundtruth pages")


def test_the_navigation_of_users_whom_airflow_refuses_the_list_of_plugins_is_ours():
    from plugins.groundtruth import Groundtruth

    (middleware,) = Groundtruth().fastapi_root_middlewares
    assert middleware["middleware"].__name__ == "Navigation"
    assert middleware["kwargs"] == {"plugin": "groundtruth", "views": Groundtruth.external_views}


def test_airflow_learns_the_reference_of_deadlines():
    from plugins.groundtruth import Groundtruth

    assert [reference.__name__ for reference in Groundtruth.deadline_references] == ["RunQueued"]
