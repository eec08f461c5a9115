"""The pages of the domains, and rollbacks of the env file: from their own form, for the domain's keys, once."""

import html
import json
import re

import pytest
from dotenv import dotenv_values

from include.core.domain import Domain, EnvKeys, Page
from include.core.settings import get_settings
from include.env_file import EnvFile, Reason
from tests.receivers import web_hook

pytestmark = pytest.mark.airflow
HERE = {"sec-fetch-site": "same-origin"}
FIRST, SECOND = "20260701T120000Z-aaaaaaaa", "20260702T120000Z-bbbbbbbb"


@pytest.fixture
def editor(client, switched):
    return client("editor")


def forms(browser):
    """The forms of the page: what each goes back to, and its token."""
    text = html.unescape(browser.get("/groundtruth/models").text)
    tokens = re.findall(r'name="token" value="([^"]+)">\s*<input type="hidden" name="entry" value="([^"]*)"', text)
    return {entry: {"token": token, "entry": entry, "why": "it drifts"} for token, entry in tokens}


def send(browser, form, headers=HERE):
    return browser.post("/groundtruth/models/rollback", data=form, headers=headers)


def test_undoing_the_last_change_takes_the_file_back_and_is_recorded(editor, switched):
    answer = send(editor, forms(editor)[""])
    assert answer.status_code == 303
    assert dotenv_values(switched.path)["AI_MODEL_VERSION"] == FIRST
    last = switched.history()[-1]
    assert (last.by, last.why) == ("editor, Airflow page Models", "it drifts")
    assert answer.headers["location"] == f"/groundtruth/models?done={last.id}"
    assert f"<code>{last.id}</code>" in editor.get(answer.headers["location"]).text


def test_going_back_to_an_earlier_entry(editor, switched):
    switched.update({"AI_MODEL_VERSION": "20260703T120000Z-cccccccc"}, Reason(by="tester", why="a third"))
    send(editor, forms(editor)[switched.history()[0].id])
    assert dotenv_values(switched.path)["AI_MODEL_VERSION"] == FIRST


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
    ],
)
def test_a_form_that_another_site_sends_is_refused(editor, switched, headers):
    before = switched.path.read_bytes()
    assert send(editor, forms(editor)[""], headers).status_code == 403
    assert switched.path.read_bytes() == before


@pytest.mark.parametrize("headers", [{"origin": "http://localhost"}, {}])
def test_a_browser_that_says_only_its_origin_is_enough(editor, switched, headers):
    assert send(editor, forms(editor)[""], headers).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "WyIxIl0.aaaaaa.bbbbbb"])
def test_without_the_forms_token_nothing_changes(editor, switched, token):
    before = switched.path.read_bytes()
    assert send(editor, forms(editor)[""] | {"token": token}).status_code in (403, 422)
    assert switched.path.read_bytes() == before


def test_another_users_token_is_refused(editor, client, switched):
    assert send(client("admin"), forms(editor)[""]).status_code == 403


def test_a_token_of_another_rollback_is_refused(editor, switched):
    offered = forms(editor)
    first = next(entry for entry in offered if entry)
    assert send(editor, offered[""] | {"entry": first}).status_code == 403


def test_a_form_can_be_sent_once(editor, switched):
    form = forms(editor)[""]
    assert send(editor, form).status_code == 303
    after = switched.path.read_bytes()
    assert send(editor, form).status_code == 403
    assert switched.path.read_bytes() == after


def test_a_reader_cannot_roll_back_whatever_the_form(client, switched):
    from airflow.api_fastapi.app import get_auth_manager

    from plugins.reports.web.security import form_token

    reader = get_auth_manager().security_manager.find_user(username="models")
    token = form_token(reader, f"models rollback  {switched.history()[-1].id}")
    before = switched.path.read_bytes()
    assert send(client("models"), {"token": token, "entry": "", "why": "it drifts"}).status_code == 403
    assert switched.path.read_bytes() == before


def test_a_rollback_needs_a_reason(editor):
    assert send(editor, forms(editor)[""] | {"why": ""}).status_code == 422


def test_a_rollback_that_would_change_other_keys_is_not_offered(editor, switched):
    switched.update({"SECRET": "rotated"}, Reason(by="tester", why="rotated"))
    assert forms(editor) == {}


def test_what_others_wrote_meanwhile_stays(editor, switched):
    with switched.path.open("a") as file:
        file.write("THEIRS=1\n")
    send(editor, forms(editor)[""])
    assert dotenv_values(switched.path)["THEIRS"] == "1"
    assert "hunter2" in switched.path.read_text()


def test_an_env_file_that_cannot_be_read_is_reported_without_its_path(editor, switched, tmp_path):
    switched.path.write_text("A='never closed\n")
    answer = editor.get("/groundtruth/models")
    assert answer.status_code == 200
    assert "cannot be read" in answer.text
    assert str(tmp_path) not in answer.text


def test_a_version_that_is_named_and_not_stored_is_reported(editor, switched):
    assert dotenv_values(switched.path)["AI_MODEL_VERSION"] == SECOND
    assert f"Version {SECOND} is not in the model store." in editor.get("/groundtruth/models").text


def test_the_team_is_notified_of_a_rollback(editor, switched, monkeypatch):
    with web_hook() as hook:
        monkeypatch.setenv("GROUNDTRUTH_NOTIFY_CONNECTION", "team")
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps({"conn_type": "generic", "password": hook.url}))
        get_settings.cache_clear()
        assert send(editor, forms(editor)[""]).status_code == 303
    [message] = hook.told
    assert message["title"] == "pipeline.env was rolled back"
    assert "editor, Airflow page Models rolled" in message["message"]
    assert "it drifts" in message["message"]
    assert f"Entry of the history: {switched.history()[-1].id}" in message["message"]


def test_the_form_is_shown_to_editors_alone(client, switched):
    assert "Undo the last change" in client("editor").get("/groundtruth/models").text
    text = client("models").get("/groundtruth/models").text
    assert "Undo the last change" not in text
    assert "needs the permission to edit" in text


def test_values_of_other_keys_are_not_shown(client, switched):
    switched.update({"SECRET": "new-secret"}, Reason(by="tester", why="rotated"))
    text = client("admin").get("/groundtruth/models").text
    assert "SECRET" in text
    assert "(not shown)" in text
    assert "hunter2" not in text
    assert "new-secret" not in text


def test_a_history_that_cannot_be_read_is_reported_and_offers_no_rollback(editor, switched):
    switched.path.with_name(f"{switched.path.name}.history.jsonl").write_text("{")
    text = editor.get("/groundtruth/models").text
    assert "cannot be read" in text
    assert "Undo the last change" not in text


# routes and functions


KEYS = EnvKeys(names=("AI_MODEL_VERSION", "USE_AI_MODELS"), pending="", after_rollback="")


def history_of(path, *changes):
    env_file = EnvFile(path)
    for change in changes:
        env_file.update(change, Reason(by="tester", why="a test"))
    return env_file.history()


def test_every_page_of_every_domain_has_a_route():
    from plugins.reports.web.app import create_app

    paths = {getattr(route, "path", "") for route in create_app().routes}
    assert {path for path in paths if path.startswith("/models")} == {"/models", "/models/rollback"}


def test_a_page_of_a_domain_that_sets_no_keys_has_no_rollback(tmp_path):
    from plugins.reports.web.pages import page_router

    page = Page(name="meters", title="Meters", dag_id="energy_pipeline", templates=tmp_path, view="a:b")
    domain = Domain(name="toy", title="Toy", steps={}, image="toy:latest", pages=(page,))
    assert [route.path for route in page_router(domain, page).routes] == ["/meters"]


def test_entries_can_be_restored_as_long_as_only_the_domains_keys_would_change(tmp_path):
    from plugins.reports.web.pages import rollback_targets

    own = [{"AI_MODEL_VERSION": str(number)} for number in range(3)]
    history = history_of(tmp_path / "own.env", *own)
    assert rollback_targets(history, KEYS) == ["", history[0].id, history[1].id]
    history = history_of(tmp_path / "mixed.env", own[0], {"PASSWORD": "new"}, own[1])
    assert rollback_targets(history, KEYS) == ["", history[1].id]
    history = history_of(tmp_path / "other.env", own[0], {"PASSWORD": "new", "USE_AI_MODELS": "true"})
    assert rollback_targets(history, KEYS) == []
    assert rollback_targets([], KEYS) == []


def test_an_entry_that_cannot_be_restored_is_a_conflict(client, switched):
    from airflow.api_fastapi.app import get_auth_manager

    from plugins.reports.web.security import form_token

    user = get_auth_manager().security_manager.find_user(username="editor")
    entry = "20260101T000000Z-0000"
    token = form_token(user, f"models rollback {entry} {switched.history()[-1].id}")
    answer = send(client("editor"), {"token": token, "entry": entry, "why": "it drifts"})
    assert answer.status_code == 409
    assert "has no such entry" in answer.text
