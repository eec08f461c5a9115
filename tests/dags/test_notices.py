"""Runs by Airflow's own hand, and what a mail server or a web hook on this machine is given of them."""

import json

import pytest

from tests.airflow_runs import run_dag  # isort: skip - sets Airflow's home first

from include.core.settings import get_settings
from tests.receivers import mail_server, web_hook

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


@pytest.fixture
def hook(monkeypatch):
    """A web hook that the connection names."""
    with web_hook() as receiver:
        configure(monkeypatch, receiver.url)
        yield receiver


def configure(monkeypatch, url):
    monkeypatch.setenv("GROUNDTRUTH_NOTIFY_CONNECTION", "team")
    monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps({"conn_type": "generic", "password": url}))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/team")
    get_settings.cache_clear()


def bad_input(data_dir):
    (data_dir / "inbox").mkdir(parents=True)
    (data_dir / "inbox" / "bad.csv").write_text("a,b\n1,2\n")
    return {"csv": ["bad.csv"]}


def test_a_failed_run_is_mailed_with_its_step_its_sentence_its_kind_and_where_to_look(data_dir, monkeypatch, capfd):
    conf = bad_input(data_dir)
    with mail_server() as server:
        configure(monkeypatch, server.url)
        monkeypatch.setenv("GROUNDTRUTH_RUNBOOK_URL", "https://git.example.org/docs/runbook/")
        assert run_dag("energy_pipeline", conf).state == "failed"
    [mail] = server.mails
    assert mail["subject"] == "energy_pipeline failed: energy-generator"
    text = mail.get_body(["plain"]).get_content()
    [run] = [path.name for path in (data_dir / "runs" / "energy_pipeline").iterdir()]
    assert text.startswith("bad.csv: no column holds times; name it with --columns timestamp=…")
    assert "Step: Collect meter data (energy-generator)" in text
    assert "Kind of fault: bad_input" in text
    assert "Runbook: https://git.example.org/docs/runbook/bad-input.md" in text
    assert "In Airflow: https://airflow.example.org/team/dags/energy_pipeline/runs/manual__" in text
    assert run.split("T")[0] in text
    assert server.url not in "".join(capfd.readouterr())


def test_a_receiver_that_is_down_changes_nothing_about_the_run(data_dir, monkeypatch):
    configure(monkeypatch, "json://reporter:s3cret@127.0.0.1:9/T0KEN")
    outcome = run_dag("energy_pipeline", bad_input(data_dir))
    assert outcome.tasks["report"] == "failed"
    assert outcome.report["failure_point"]["kind"] == "bad_input"
    assert not (outcome.folder.path / "notices" / "failure").exists(), "whoever comes next may tell it"


def test_a_green_run_tells_nobody(hook):
    assert run_dag("energy_pipeline", {"households": 2}).state == "success"
    assert hook.told == []
