"""The inbox in Airflow: what is taken, which runs are started, and who is notified of what, once."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from include.core.feeds import Feed
from include.core.settings import get_settings
from plugins.steps.inbox import report_findings, take_files
from tests.feed_files import day_file, make_feed
from tests.receivers import web_hook


def airflow(**states):
    """A task instance that knows the states of other runs' tasks."""

    def get_task_states(dag_id, run_ids):
        return {name: states[name] for name in run_ids if name in states}

    return SimpleNamespace(get_task_states=get_task_states)


@pytest.fixture
def hook(monkeypatch):
    with web_hook() as receiver:
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps({"conn_type": "generic", "password": receiver.url}))
        yield receiver


def test_each_due_day_is_a_run_and_a_faulty_feed_stops_no_other(data_dir):
    (make_feed(data_dir, "away", "settle = 1") / "day.csv").write_text(day_file("2026-03-01"))
    (make_feed(data_dir, "home") / "day.csv").write_text(day_file("2026-03-01"))
    [run] = take_files(airflow())
    assert run["trigger_dag_id"] == "energy_pipeline"
    assert run["trigger_run_id"].startswith("feed__home__2026-03-01__")
    assert run["conf"]["feed"] == "home/2026-03-01"


@pytest.mark.parametrize(
    ("states", "finding"),
    [
        ({}, 0),
        ({"prepare": "running"}, 0),
        ({"prepare": "success", "publish": "queued"}, 0),
        ({"prepare": "failed"}, 1),
    ],
)
def test_airflow_says_whether_a_run_without_a_result_has_ended(data_dir, states, finding):
    (make_feed(data_dir) / "day.csv").write_text(day_file("2026-03-01"))
    [run] = take_files(airflow())
    (data_dir / "runs" / "energy_pipeline" / run["trigger_run_id"]).mkdir(parents=True)
    ti = airflow(**{run["trigger_run_id"]: states})
    assert take_files(ti) == []
    assert len(report_findings(ti)) == finding


def test_users_are_notified_once_of_a_rejected_file_by_the_connection_that_the_feed_names(data_dir, hook):
    feed = make_feed(data_dir, declaration='settle = "0s"\nnotify = "team"\n')
    (feed / "broken.csv").write_text("a,b\n1,2\n")
    take_files(airflow())
    for _ in range(2):
        [sentence] = report_findings(airflow())
        assert sentence.startswith("home rejected a file: rejected/broken.csv: broken.csv: no column holds times")
    assert len(hook.about("feed home rejected a file")) == 1
    (feed / "other.csv").write_text("c,d\n1,2\n")
    take_files(airflow())
    report_findings(airflow())
    assert len(hook.told) == 2


def age(feed_folder, days):
    """Let the last file have arrived days ago."""
    feed = Feed(feed_folder)
    ledger = feed.ledger()
    ledger.files[-1].taken_at -= timedelta(days=days)
    feed.write(ledger)


def test_a_silence_is_notified_once_and_the_next_one_again(data_dir, hook, monkeypatch):
    monkeypatch.setenv("GROUNDTRUTH_NOTIFY_CONNECTION", "team")
    get_settings.cache_clear()
    feed = make_feed(data_dir)
    for number in (1, 2):
        (feed / "day.csv").write_text(day_file(f"2026-03-0{number}"))
        take_files(airflow())
        assert report_findings(airflow()) == []
        age(feed, days=4 - number)
        for _ in range(2):
            [sentence] = report_findings(airflow())
            assert sentence.startswith("home is silent: the last file arrived on ")
        assert len(hook.about("feed home is silent")) == number


def test_nobody_is_notified_where_no_connection_is_configured_and_the_finding_is_logged(data_dir, caplog):
    make_feed(data_dir, declaration="settle = 1")
    [sentence] = report_findings(airflow())
    assert "home cannot be read" in sentence
    assert sentence in caplog.text
    assert not (data_dir / "inbox" / "home" / ".notices").exists()
