"""Notices of failed, late and rolled-back runs."""

from pathlib import Path

import pytest

from include.core.contracts import Notice
from include.core.settings import get_settings
from include.env_file import EnvFile, Reason
from include.reporting.model import FailurePoint
from include.reporting.notices import deadline_notice, failure_notice, notice_html, rollback_notice, runbook
from include.reporting.report import build_report
from tests.reporting.runs import NOW, broke, good_run, started

URL = "https://airflow.example/dags/energy_pipeline/runs/manual__2026-03-01"


def test_a_failure_names_step_fault_remedy_and_places(tmp_path: Path):
    folder = good_run(tmp_path)
    broke(folder, "analyze", (1, 3), "contract", "output1.json: must not be empty")
    report = build_report(folder, now=NOW)
    assert report.failure_point is not None
    notice = failure_notice(report, report.failure_point, run_url=URL)
    assert (notice.subject, notice.sentence) == (
        "energy_pipeline failed: analyze",
        "output1.json: must not be empty",
    )
    assert notice.facts["Step"] == "Analyze meter data (analyze)"
    assert notice.facts["Kind of fault"] == "contract"
    assert "fix the step" in notice.facts["What to do"]
    assert notice.facts["Runbook"].endswith("docs/runbook/contract.md")
    assert notice.facts["In Airflow"] == URL


def test_a_failure_that_no_step_caused_has_its_own_sentence(tmp_path: Path):
    report = build_report(good_run(tmp_path), now=NOW)
    notice = failure_notice(report, FailurePoint(step=None, task=None, kind="error", message="It broke."), run_url=None)
    assert (notice.subject, notice.sentence, notice.facts["Step"]) == ("energy_pipeline failed", "It broke.", "")
    point = FailurePoint(step=None, task="report", kind="stuck_run", message="It took too long.")
    notice = failure_notice(report, point, run_url=None)
    assert (notice.subject, notice.sentence) == ("energy_pipeline failed: report", "It took too long.")
    assert notice.facts["Runbook"].endswith("stuck-run.md")


def test_a_missed_deadline_names_what_is_under_way(tmp_path: Path):
    folder = good_run(tmp_path)
    started(folder, "describe", 5, attempt=2)
    report = build_report(folder, task_states={"describe": "running"}, now=NOW)
    notice = deadline_notice(report, state="running", minutes=2.5, run_url=URL)
    assert notice.subject == "energy_pipeline is late"
    assert "2.5 minutes after it was queued" in notice.sentence
    assert (notice.facts["Under way"], notice.facts["State"]) == ("Report on meter data", "running")


def test_a_rollback_names_user_reason_and_entry(tmp_path: Path):
    env_file = EnvFile(tmp_path / "pipeline.env")
    entry = env_file.update({"A": "1"}, Reason(by="tester", why="it drifts", version="v7"))
    assert entry is not None
    notice = rollback_notice(entry, env_file.path)
    assert notice.subject == "pipeline.env was rolled back"
    assert notice.sentence == f"tester rolled {env_file.path} back: it drifts"
    assert notice.facts == {"Version now": "v7", "Entry of the history": entry.id}


def test_the_html_escapes_text_links_urls_and_leaves_out_empty_facts():
    notice = Notice("subject", "<b>&", {"Run": "a<b", "Step": "", "In Airflow": "https://x.example/?a=1&b=2"})
    assert notice_html(notice) == (
        "<p>&lt;b&gt;&amp;</p><p>Run: a&lt;b<br>"
        'In Airflow: <a href="https://x.example/?a=1&amp;b=2">https://x.example/?a=1&amp;b=2</a></p>'
    )


def test_long_sentences_are_cut():
    html = notice_html(Notice("subject", "x" * 600, {}))
    assert f"<p>{'x' * 500} …</p>" in html


@pytest.mark.parametrize(
    ("base", "expected"),
    [(None, "docs/runbook/stuck-run.md"), ("https://git.example/runbook/", "https://git.example/runbook/stuck-run.md")],
)
def test_the_runbook_is_a_url_where_the_deployment_has_one(monkeypatch, base, expected):
    if base:
        monkeypatch.setenv("GROUNDTRUTH_RUNBOOK_URL", base)
    get_settings.cache_clear()
    assert runbook("stuck_run") == expected
    monkeypatch.undo()
    get_settings.cache_clear()
