"""The overview of any run, and the assessment of its data."""

import pytest

from include.core.run_folder import Records
from include.reporting.overview import accepted_files, with_overview
from include.reporting.report import build_report
from tests.reporting.runs import NOW, artifact, ended, good_run, plan, proven_run


def checks(folder):
    report = build_report(folder, now=NOW)
    return {check.subject: (check.level, check.statement) for check in report.overview.checks}, report.assessment


def test_a_pipeline_of_foreign_steps_is_assessed_by_its_records_findings_and_proofs(tmp_path):
    found, assessment = checks(good_run(tmp_path))
    assert found == {
        "Records": ("pass", "Analyze meter data: 1,900 of 1,920 accepted, 15 rejected."),
        "Proof": ("warn", "Of 4 files: 4 without a record of what was proven."),
        "Findings": ("warn", "Warnings among the findings: 1."),
    }
    assert assessment == "warn"


def test_rejected_records_warn_and_many_fail(tmp_path):
    folder = good_run(tmp_path)
    for rejected, level in ((0, "pass"), (9, "pass"), (10, "warn"), (100, "warn"), (101, "fail")):
        ended(folder, "analyze", (1, 3), records=Records(read=1000, accepted=1000 - rejected, rejected=rejected))
        assert checks(folder)[0]["Records"][0] == level


def test_unchecked_files_and_errors_count(tmp_path):
    folder = proven_run(tmp_path)
    assert checks(folder)[0]["Proof"] == (
        "warn",
        "Of 4 files: 1 not checked: no check knows the format; 1 only in part recomputed.",
    )
    ended(folder, "describe", (3, 4), summary={"findings": [{"severity": "error", "message": "wrong"}]})
    found, assessment = checks(folder)
    assert found["Findings"] == ("fail", "Errors among the findings: 1.")
    assert assessment == "fail"


def test_a_run_of_which_nothing_was_accepted_is_not_assessed(tmp_path):
    folder = good_run(tmp_path)
    for step in ("collect", "analyze", "describe"):
        (folder.step(step) / "result.json").unlink()
    assert checks(folder) == ({}, None)


@pytest.mark.parametrize(
    ("proof", "statement"),
    [
        (["sealed", "declared"], "1 file checked against its contract."),
        (["sealed", "sampled"], "1 file checked against its contract, some values by a sample."),
    ],
)
def test_proven_files_pass_and_a_sample_is_stated_where_there_is_one(tmp_path, proof, statement):
    folder = good_run(tmp_path)
    plan(folder, params={})
    data = artifact(folder, "a.csv", b"a\n1\n").model_copy(update={"proof": proof})
    for step in ("collect", "analyze", "describe"):
        ended(folder, step, (1, 2), outputs=[data] if step == "collect" else [])
    assert checks(folder)[0] == {"Proof": ("pass", statement)}


def test_the_overview_follows_from_the_report_alone(tmp_path):
    folder = good_run(tmp_path)
    report = build_report(folder, now=NOW)
    assert with_overview(report, folder.files) == report
    assert set(accepted_files(report, folder.files).records) == {part.path for part in report.artifacts}
