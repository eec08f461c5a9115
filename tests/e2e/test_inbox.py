"""On a running Airflow: the scheduled DAG takes files of feeds once, publishes the days they touch, and notifies."""

import json
import os
import time

import pytest

from tests.e2e.running_airflow import running_airflow, until
from tests.feed_files import DECLARATION, day_file, energy, make_feed
from tests.receivers import web_hook

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(900)]

FIRST, SECOND = "2026-03-01", "2026-03-02"
DAYS_AGO_S = 3 * 86400


@pytest.fixture(scope="module")
def hook():
    with web_hook() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, hook):
    folder = tmp_path_factory.mktemp("inbox")
    settings = {"GROUNDTRUTH_NOTIFY_CONNECTION": "team"}
    with running_airflow(folder, "inbox", 18420, **settings) as running:
        connection = {"connection_id": "team", "conn_type": "generic", "password": hook.url}
        running.api("POST", "/connections", connection)
        yield running


def runs_of(airflow, run_type):
    return [run for run in airflow.runs() if run["run_type"] == run_type]


def ended(airflow, run_type, number=1):
    """The runs of a type, once there are so many and all have ended."""

    def runs():
        matches = runs_of(airflow, run_type)
        return len(matches) >= number and all(run["state"] in ("success", "failed") for run in matches) and matches

    return until(runs, 400, every=1)


def days_run(airflow):
    """The runs that the inbox has started."""
    return runs_of(airflow.of("energy_pipeline"), "operator_triggered")


def revision(airflow, day):
    return json.loads((airflow.data / "published/energy/home" / day / "revision.json").read_bytes())


@pytest.fixture(scope="module")
def feed(airflow):
    """A feed with a file of two days, which the scheduled DAG took and whose days were published."""
    folder = make_feed(airflow.data)
    two_days = day_file(FIRST) + day_file(SECOND).partition("\n")[2]
    (folder / "first.csv").write_text(two_days)
    airflow.of("energy_pipeline").unpause()
    airflow.unpause()
    ended(airflow, "scheduled")
    ended(airflow.of("energy_pipeline"), "operator_triggered", 2)
    return folder


def test_the_scheduled_dag_takes_a_file_once_and_publishes_each_day_it_touches(airflow, feed):
    runs = days_run(airflow)
    assert sorted(run["dag_run_id"].split("__")[2] for run in runs) == [FIRST, SECOND]
    assert {run["state"] for run in runs} == {"success"}
    assert not (feed / "first.csv").exists()
    for day in (FIRST, SECOND):
        published = revision(airflow, day)
        total = sum(energy(meter, hour) for meter in "AB" for hour in range(24))
        assert (published["revision"], published["totals_before"]) == (1, None)
        assert published["totals"]["energy_kwh"] == pytest.approx(total)


def test_a_revised_file_publishes_the_day_it_changes_alone_with_the_totals_before(airflow, feed):
    before = revision(airflow, SECOND)
    rows = day_file(SECOND, revised={("A", 7): 5.0}).partition("\n")[2]
    (feed / "revised.csv").write_text(day_file(FIRST) + rows)
    airflow.trigger("manual__revised")
    assert airflow.wait("manual__revised") == "success"
    runs = ended(airflow.of("energy_pipeline"), "operator_triggered", 3)
    assert len(runs) == 3
    published = revision(airflow, SECOND)
    assert (published["revision"], published["reason"]) == (2, "1 revised reading")
    assert published["totals_before"] == before["totals"]
    change = published["totals"]["energy_kwh"] - before["totals"]["energy_kwh"]
    assert change == pytest.approx(5.0 - energy("A", 7))
    assert revision(airflow, FIRST)["revision"] == 1


def test_the_same_content_under_another_name_starts_no_run(airflow, feed):
    (feed / "again.csv").write_text((next((feed / "archive").rglob("first.csv"))).read_text())
    airflow.trigger("manual__again")
    assert airflow.wait("manual__again") == "success"
    ledger = json.loads((feed / "ledger.json").read_bytes())
    assert [repeated["of"] for repeated in ledger["repeated"]] == ["first.csv"]
    assert len(days_run(airflow)) == 3


def test_a_feed_that_stays_silent_is_notified_once(airflow, feed, hook):
    quiet = make_feed(airflow.data, "quiet", DECLARATION) / "feed.toml"
    long_ago = time.time() - DAYS_AGO_S
    os.utime(quiet, (long_ago, long_ago))
    for run in ("manual__quiet", "manual__quiet_still"):
        airflow.trigger(run)
        assert airflow.wait(run) == "success"
    [notice] = hook.about("feed quiet is silent")
    assert "one is expected every 1d" in notice["message"]
    assert hook.told == [notice], "nothing else was worth a message"
