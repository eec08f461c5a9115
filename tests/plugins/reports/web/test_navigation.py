"""The pages in Airflow's navigation: for whoever may read a DAG, and nothing else of plugins for them."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import asyncio

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import HTTPException
from starlette.responses import Response

from plugins.groundtruth import Groundtruth
from plugins.reports.web.navigation import PATH, Navigation, plugin_list, visible_views

pytestmark = pytest.mark.airflow
ALL = ["Pipeline reports", "Live", "Feeds", "Models", "Fields", "Report", "Events"]
OF_ENERGY = ["Pipeline reports", "Live", "Report", "Events"]
OF_INBOX = ["Pipeline reports", "Live", "Feeds", "Report", "Events"]
OF_MODELS = ["Pipeline reports", "Live", "Models", "Report", "Events"]


def entries(answer):
    """The entries that Airflow's UI shows, as it reads them."""
    assert answer.status_code == 200
    [ours] = [plugin for plugin in answer.json()["plugins"] if plugin["name"] == "groundtruth"]
    return ours["external_views"]


@pytest.mark.parametrize(
    ("user", "names"),
    [
        ("viewer", ALL),
        ("user", ALL),
        ("op", ALL),
        ("admin", ALL),
        ("energy", OF_ENERGY),  # roles of one DAG
        ("inbox", OF_INBOX),
        ("models", OF_MODELS),
        ("editor", OF_MODELS),
    ],
)
def test_the_navigation_has_the_pages_that_a_user_may_see(client, user, names):
    browser = client(user)
    views = entries(browser.get(PATH))
    assert [view["name"] for view in views] == names
    for view in views:
        if view["destination"] == "nav":
            assert browser.get(f"/{view['href']}").status_code == 200
            assert browser.get(f"/{view['icon']}").status_code == 200


def test_an_entry_is_the_one_that_airflow_states_to_those_who_may_read_all_plugins(client):
    assert entries(client("viewer").get(PATH)) == entries(client("op").get(PATH))


def test_nothing_but_the_entries_is_stated(client):
    document = client("viewer").get(PATH).json()
    [plugin] = document["plugins"]
    assert {name for name, value in plugin.items() if value} == {"name", "external_views"}
    assert document["total_entries"] == 1


@pytest.mark.parametrize("user", ["nobody", "no_runs"])
def test_a_user_who_may_see_no_page_gets_airflows_refusal(client, user):
    answer = client(user).get(PATH)
    assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})


def test_who_is_not_logged_in_or_has_an_invalid_token_gets_airflows_refusal(client):
    assert client().get(PATH).status_code == 401
    for token in ("nonsense", "a.b.c"):
        assert client(token=token).get(PATH).status_code in (401, 403)


def test_a_token_in_the_header_counts_as_the_cookie_does(client):
    cookie = client("energy").cookies["_token"]
    answer = client().get(PATH, headers={"Authorization": f"Bearer {cookie}"})
    assert [view["name"] for view in entries(answer)] == OF_ENERGY


def test_what_else_airflow_refuses_stays_refused(client):
    assert client("viewer").get(f"{PATH}/importErrors").status_code == 403
    assert client("viewer").post(PATH).status_code == 405


def test_a_viewer_of_the_simple_auth_manager_may_read_the_list_itself():
    viewer = SimpleAuthManagerUser(username="v", role="VIEWER")
    assert SimpleAuthManager().is_authorized_view(access_view=AccessView.PLUGINS, user=viewer)


# the parts


@pytest.fixture
def user(client):
    """A user by name."""
    from airflow.api_fastapi.app import get_auth_manager

    return lambda name: get_auth_manager().security_manager.find_user(username=name)


def test_the_pages_of_feeds_and_of_a_domain_are_visible_to_readers_of_their_dags(user):
    views = Groundtruth.external_views
    assert [view["name"] for view in visible_views(views, user("energy"))] == OF_ENERGY
    assert [view["name"] for view in visible_views(views, user("models"))] == OF_MODELS
    assert visible_views(views, user("viewer")) == views
    with pytest.raises(HTTPException):
        visible_views(views, user("nobody"))


def test_a_list_of_plugins_names_one_plugin_and_its_entries():
    document = plugin_list("groundtruth", Groundtruth.external_views)
    assert [view["name"] for view in document["plugins"][0]["external_views"]] == ALL


def passed_on(status=200, root_path="", path=PATH, method="GET", kind="http"):
    """The messages that a client gets for a request, from an app that answers all with one status."""
    messages = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        messages.append(message)

    scope = {"type": kind, "method": method, "path": root_path + path, "root_path": root_path}
    scope |= {"headers": [], "query_string": b""}
    app = Navigation(Response("airflow's", status), plugin="groundtruth", views=[])
    asyncio.run(app(scope, receive, send))
    return messages


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"status": 404},
        {"status": 403, "path": "/api/v2/dags"},
        {"status": 403, "method": "POST"},
        {"status": 403},
        {"status": 403, "root_path": "/airflow"},
    ],
)
def test_any_other_answer_and_the_refusal_of_a_stranger_are_airflows_own(airflow_app, request_):
    begin, *bodies = passed_on(**request_)
    assert begin["status"] == request_.get("status", 200)
    assert b"".join(message["body"] for message in bodies) == b"airflow's"
