"""The live pages, and the events of runs over server-sent events and WebSockets, in Airflow's own API app."""

import json
import statistics
import threading
import time
from datetime import datetime
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from include.core.events import Deferred, Failed, Notified, Progress, Proven, RunEnded, StepStarted
from include.core.run_folder import RunFolder
from plugins.reports.web import live
from plugins.reports.web.live import MOST_ENDED, MOST_EVENTS
from tests.prerequisites import need
from tests.reporting.runs import plan
from tests.reporting.test_html import find_chromium

pytestmark = pytest.mark.airflow
PAGE = "/groundtruth/live"
OURS, SOCKET = {"Origin": "http://localhost"}, "ws://localhost"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Let a stream end soon."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.3)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)


@pytest.fixture
def run(running):
    """A run that Airflow is running, with two events."""
    running.sink.emit(StepStarted(step="collect"))
    running.sink.emit(Proven(step="collect", seconds=2, artifacts=1))
    return running


def address(folder, part=""):
    return f"/groundtruth/dags/{folder.path.parent.name}/runs/{quote(folder.path.name)}{part}"


def received(text):
    """The events of a stream by their ids."""
    events = {}
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            events[int(fields["id"])] = json.loads(fields["data"])
    return events


# the pages


def test_without_runs_the_page_says_so(client):
    answer = client("admin").get(PAGE)
    assert answer.status_code == 200
    assert "Nothing is running" in answer.text


def test_runs_that_go_on_stand_before_those_that_ended_each_with_its_latest_event(client, run, energy_run):
    text = client("admin").get(PAGE).text
    assert (
        text.index("Running now")
        < text.index("manual__2026-03-03T")
        < text.index("Ended recently")
        < text.index("manual__2026-03-01")
    )
    assert f'href="{address(run, "/live")}"' in text
    assert "<b>collect</b>: proven in 2.0 s: 1 artifact" in text
    assert "run ended after 4 min 6 s: success" in text


def test_a_run_that_was_cleared_after_many_others_is_still_among_those_that_go_on(client, data_dir, added):
    for number in range(live.MOST_RUNNING + MOST_ENDED + 1):
        plan(RunFolder.of(data_dir, "energy_pipeline", f"manual__{number:03}"), run_id=f"manual__{number:03}")
    oldest = RunFolder.of(data_dir, "energy_pipeline", "manual__aaa")
    plan(oldest, run_id="manual__aaa")
    document = json.loads((oldest.path / "run.json").read_text()) | {"created_at": "2020-01-01T00:00:00Z"}
    (oldest.path / "run.json").write_text(json.dumps(document))
    added("energy_pipeline", "manual__aaa")
    text = client("admin").get(PAGE).text
    assert "manual__aaa" in text
    assert text.count('data-label="Run"') == 1 + MOST_ENDED


def test_the_page_of_a_run_shows_what_is_under_way_and_its_events_the_latest_first(client, run):
    run.sink.emit(StepStarted(step="analyze"))
    run.sink.emit(Progress(step="analyze", text="reading <b>: 5 of 10 records", done=5, total=10))
    text = client("admin").get(address(run, "/live")).text
    assert '<progress max="10.0" value="5.0"' in text
    assert "reading &lt;b&gt;: 5 of 10 records" in text
    history = text[text.index("Events, latest first") :]
    assert history.index(">analyze<") < history.index("proven in 2.0 s") < history.rindex(">collect<")
    assert "5 of 10" not in history, "progress is no history"


def test_nothing_is_under_way_in_a_run_that_is_not_running(client, energy_run):
    energy_run.sink.emit(StepStarted(step="analyze"))
    assert "Under way" not in client("admin").get(address(energy_run, "/live")).text


def test_a_long_run_shows_its_latest_events_and_names_the_command_for_all(client, run):
    for number in range(MOST_EVENTS + 10):
        run.sink.emit(Notified(subject=f"number {number}"))
    text = client("admin").get(address(run, "/live")).text
    assert f"number {MOST_EVENTS + 9}<" in text
    assert "12 earlier events are not shown" in text
    assert "number 3<" not in text


def test_a_run_of_an_earlier_release_has_no_events_and_the_page_says_so(client, energy_run):
    (energy_run.path / "events.jsonl").unlink()
    assert "No event yet" in client("admin").get(address(energy_run, "/live")).text
    assert "–" in client("admin").get(PAGE).text


def test_the_policy_of_the_live_pages_lets_the_script_ask_this_server_alone(client, run):
    for path in (PAGE, address(run, "/live")):
        policy = client("admin").get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self';" in policy
        assert "form-action 'none'" in policy
        assert "unsafe" not in policy
    assert "connect-src" not in client("admin").get("/groundtruth/runs").headers["content-security-policy"]


# who may see them


@pytest.mark.parametrize("part", ["/live", "/events"])
@pytest.mark.parametrize(
    ("user", "run_id"), [(None, None), ("nobody", None), ("models", None), ("no_runs", None), ("energy", "never")]
)
def test_who_may_not_see_a_report_gets_the_same_answer_for_its_events(client, run, part, user, run_id):
    here = f"/groundtruth/dags/energy_pipeline/runs/{run_id or run.path.name}"
    answers = [client(user).get(here + end).status_code for end in ("/report", part)]
    assert answers[0] == answers[1] in (401, 403, 404)


def test_a_reader_of_one_dag_sees_its_runs_alone(client, run, broken_run):
    text = client("energy").get(PAGE).text
    assert address(run) in text
    assert "satellite_pipeline" not in text


@pytest.mark.parametrize(("user", "code"), [(None, 401), ("nobody", 403)])
def test_the_page_of_all_runs_and_its_stream_need_a_login_and_a_dag(client, user, code):
    assert [client(user).get(path).status_code for path in (PAGE, f"{PAGE}/events")] == [code, code]


# server-sent events


def test_a_late_reader_gets_all_events_and_one_that_reconnects_the_rest(client, run):
    reader = client("energy")
    answer = reader.get(address(run, "/events"))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    events = received(answer.text)
    assert [event["words"] for event in events.values()] == ["started", "proven in 2.0 s: 1 artifact"]
    assert [event["number"] for event in events.values()] == list(events)
    first, last = events
    for options in ({"headers": {"Last-Event-ID": str(first)}}, {"params": {"after": first}}):
        assert list(received(reader.get(address(run, "/events"), **options).text)) == [last]


def test_an_event_id_that_no_event_has_replays_all(client, run):
    for known in ("7", "x", "99999999999999999999"):
        answer = client("energy").get(address(run, "/events"), headers={"Last-Event-ID": known})
        assert len(received(answer.text)) == 2


def test_many_events_are_sent_in_batches_and_all_of_them(client, run, monkeypatch):
    monkeypatch.setattr(live, "AT_ONCE", 7)
    for number in range(50):
        run.sink.emit(Notified(subject=str(number)))
    events = list(received(client("energy").get(address(run, "/events")).text).values())
    assert [event["subject"] for event in events[2:]] == [str(number) for number in range(50)]


def test_a_silent_stream_says_that_it_is_alive(client, run, monkeypatch):
    monkeypatch.setattr(live, "SILENCE_SECONDS", 0)
    assert ": alive\n\n" in client("energy").get(address(run, "/events")).text
    assert ": alive\n\n" in client("energy").get(f"{PAGE}/events").text


@pytest.mark.parametrize("user", ["energy", "models"])
def test_the_stream_of_all_runs_says_when_a_run_begins_or_has_an_event(client, run, data_dir, monkeypatch, user):
    other = RunFolder.of(data_dir, "energy_pipeline", "manual__new")
    happens = [lambda: run.sink.emit(Deferred(step="analyze")), lambda: plan(other, run_id="manual__new")]

    def sizes(*arguments, look=live._sizes):
        known = look(*arguments)
        if happens:
            happens.pop()()
        return known

    monkeypatch.setattr(live, "_sizes", sizes)
    monkeypatch.setattr(live, "STREAM_SECONDS", 1)
    changes = client(user).get(f"{PAGE}/events").text.count("data: changed")
    assert changes == (2 if user == "energy" else 0), "a reader of another DAG learns nothing"


# WebSocket


def test_a_browser_gets_the_events_over_a_websocket_of_our_own_pages(client, run):
    with client("energy").websocket_connect(SOCKET + address(run, "/socket"), headers=OURS) as socket:
        words = [socket.receive_json()["words"] for _ in range(2)]
        run.sink.emit(Failed(step="analyze", cause="contract", message="no rows"))
        assert socket.receive_json()["message"] == "no rows"
        with pytest.raises(WebSocketDisconnect) as end:
            socket.receive_json()
    assert words == ["started", "proven in 2.0 s: 1 artifact"]
    assert end.value.code == 1001, "the client opens it again"


def test_a_program_shows_a_token_and_may_ask_for_the_rest_alone(client, run):
    browser = client("energy")
    token = browser.cookies["_token"]
    events = list(received(browser.get(address(run, "/events")).text))
    bearer, rest = {"Authorization": f"Bearer {token}"}, f"/socket?after={events[0]}"
    with client().websocket_connect(SOCKET + address(run, rest), headers=bearer) as socket:
        assert socket.receive_json()["number"] == events[1]


@pytest.mark.parametrize(
    ("user", "headers", "run_id", "code"),
    [
        ("energy", {"Origin": "https://elsewhere.example"}, None, 403),
        ("energy", {"Origin": "null"}, None, 403),
        ("energy", {}, None, 403),
        ("energy", OURS, "never", 404),
        ("models", OURS, None, 403),
        ("nobody", OURS, None, 403),
        (None, OURS, None, 401),
        (None, {"Authorization": "Bearer forged"}, None, 403),
    ],
)
def test_a_websocket_is_refused_before_it_opens(client, run, user, headers, run_id, code):
    here = f"{SOCKET}/groundtruth/dags/energy_pipeline/runs/{run_id or run.path.name}/socket"
    with pytest.raises(WebSocketDenialResponse) as refused, client(user).websocket_connect(here, headers=headers):
        pass
    assert refused.value.status_code == code
    assert "Traceback" not in refused.value.text


# a real server


@pytest.fixture
def server(airflow_app, client, monkeypatch):
    """Airflow's app in a real server, and the token of a user."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 20)
    running = uvicorn.Server(uvicorn.Config(airflow_app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"127.0.0.1:{port}", client("energy").cookies["_token"]
    monkeypatch.setattr(live, "STREAM_SECONDS", 0)
    running.should_exit = running.force_exit = True
    thread.join()


def test_events_reach_readers_soon_and_a_late_reader_gets_all(server, run):
    """Over sockets. The limits are wide, for other tests run beside this one."""
    host, token = server
    cookie, count, delays = {"Cookie": f"_token={token}"}, 40, []

    def write():
        for number in range(count):
            run.sink.emit(Notified(subject=str(number)))
            time.sleep(0.02)
        run.sink.emit(RunEnded(status="success", seconds=1))

    def read(lines):
        for line in lines:
            event = json.loads(line)
            delays.append(time.time() - _seconds(event["at"]))
            if event["kind"] == "run_ended":
                return

    url = f"http://{host}{address(run, '/events')}"
    with httpx.Client(timeout=20) as http, http.stream("GET", url, headers=cookie) as stream:
        writer = threading.Thread(target=write)
        writer.start()
        read(line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: "))
        writer.join()
    assert len(delays) == count + 3
    assert statistics.quantiles(delays[2:], n=20)[-1] < 5
    origin = {"origin": f"http://{host}"}
    with connect(f"ws://{host}{address(run, '/socket')}", additional_headers=cookie, **origin) as socket:
        late = [json.loads(socket.recv(timeout=20)) for _ in range(count + 3)]
    assert [event["subject"] for event in late[2:-1]] == [str(number) for number in range(count)]
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://{host}{address(run, '/socket')}"):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.browser
def test_the_pages_keep_themselves_current_in_a_browser(server, run, monkeypatch):
    """With the content policy in force: the console would name what it forbids."""
    host, token = server
    executable = find_chromium()
    need(executable, "Chromium", "install it (Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        context = chromium.new_context()
        context.add_cookies([{"name": "_token", "value": token, "url": f"http://{host}"}])
        page, complaints = context.new_page(), []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"http://{host}{address(run, '/live')}")
        expect(page.locator("#connection")).to_have_text("connected", timeout=20_000)
        run.sink.emit(StepStarted(step="analyze"))
        run.sink.emit(Progress(step="analyze", text="half of it", done=5, total=10))
        expect(page.locator(".now")).to_contain_text("half of it", timeout=20_000)
        other = context.new_page()
        other.goto(f"http://{host}{PAGE}")
        expect(other.locator("#connection")).to_have_text("connected", timeout=20_000)
        run.sink.emit(Failed(step="analyze", cause="contract", message="no rows"))
        for shown in (page.locator(".events .failed"), other.locator(".event")):
            expect(shown.first).to_contain_text("no rows", timeout=20_000)
        assert complaints == []
        monkeypatch.setattr(live, "STREAM_SECONDS", 0)  # the stream is opened again, in vain
        run.sink.emit(Notified(subject="unseen"))
        page.route("**/events?*", lambda route: route.abort())
        page.reload()
        expect(page.locator("#connection")).to_contain_text("connection lost", timeout=20_000)
        page.unroute("**/events?*")
        expect(page.locator("#connection")).to_have_text("connected", timeout=20_000)
        chromium.close()


def _seconds(moment):
    return datetime.fromisoformat(moment).timestamp()
