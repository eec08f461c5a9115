"""Rolling the env file back on the page: from our own form alone, for models alone, once."""

import html
import json
import re

import pytest
from dotenv import dotenv_values

from include.core.settings import get_settings
from include.env_file import Reason
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
    found = re.findall(r'name="token" value="([^"]+)">\s*<input type="hidden" name="entry" value="([^"]*)"', text)
    return {entry: {"token": token, "entry": entry, "why": "it drifts"} for token, entry in found}


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


def test_another_users_token_is_no_good(editor, client, switched):
    assert send(client("admin"), forms(editor)[""]).status_code == 403


def test_a_token_of_another_way_back_is_no_good(editor, switched):
    found = forms(editor)
    first = next(entry for entry in found if entry)
    assert send(editor, found[""] | {"entry": first}).status_code == 403


def test_the_same_form_is_good_once(editor, switched):
    form = forms(editor)[""]
    assert send(editor, form).status_code == 303
    after = switched.path.read_bytes()
    assert send(editor, form).status_code == 403
    assert switched.path.read_bytes() == after


def test_a_reader_cannot_roll_back_whatever_the_form(client, switched):
    from airflow.api_fastapi.app import get_auth_manager

    from plugins.reports.web.guard import form_token

    reader = get_auth_manager().security_manager.find_user(username="models")
    token = form_token(reader, f"rollback  {switched.history()[-1].id}")
    before = switched.path.read_bytes()
    assert send(client("models"), {"token": token, "entry": "", "why": "it drifts"}).status_code == 403
    assert switched.path.read_bytes() == before


def test_a_reason_is_asked_for(editor):
    assert send(editor, forms(editor)[""] | {"why": ""}).status_code == 422


def test_what_would_change_other_keys_is_not_offered(editor, switched):
    switched.update({"SECRET": "rotated"}, Reason(by="tester", why="rotated"))
    assert forms(editor) == {}


def test_what_others_wrote_meanwhile_stays(editor, switched):
    with switched.path.open("a") as file:
        file.write("THEIRS=1\n")
    send(editor, forms(editor)[""])
    assert dotenv_values(switched.path)["THEIRS"] == "1"
    assert "hunter2" in switched.path.read_text()


def test_an_env_file_that_cannot_be_read_is_told_without_its_place(editor, switched, tmp_path):
    switched.path.write_text("A='never closed\n")
    answer = editor.get("/groundtruth/models")
    assert answer.status_code == 200
    assert "cannot be read" in answer.text
    assert str(tmp_path) not in answer.text


def test_a_version_that_is_named_and_not_stored_is_told(editor, switched):
    assert dotenv_values(switched.path)["AI_MODEL_VERSION"] == SECOND
    assert f"Version {SECOND} is not in the model store." in editor.get("/groundtruth/models").text


def test_a_rollback_is_told_to_the_team(editor, switched, monkeypatch):
    with web_hook() as hook:
        monkeypatch.setenv("GROUNDTRUTH_NOTIFY_CONNECTION", "team")
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps({"conn_type": "generic", "password": hook.url}))
        get_settings.cache_clear()
        assert send(editor, forms(editor)[""]).status_code == 303
    [told] = hook.told
    assert told["title"] == "pipeline.env was rolled back"
    assert "editor, Airflow page Models rolled" in told["message"]
    assert "it drifts" in told["message"]
    assert f"Entry of the history: {switched.history()[-1].id}" in told["message"]
