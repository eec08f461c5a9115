"""The report of a run, from a green one to one that failed before anything was written."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.core.errors import SetupError
from include.core.run_folder import FileRecord, RunFolder
from include.core.sink import last_event
from include.reporting.model import PipelineReport
from include.reporting.report import build_report, write_report, write_report_of_lost_run
from tests.reporting import lost_runs
from tests.reporting.runs import NOW, at, broke, ended, good_run, plan, proven_run, started


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that is planned and prepared, and nothing more."""
    folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "r1")
    plan(folder)
    ended(folder, "prepare", (0, 0.1))
    return folder


def statuses(report: PipelineReport) -> list[str]:
    return [step.status for step in report.steps]


# ── a green run ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_a_success_when_every_step_prepare_and_publish_are(tmp_path: Path):
    report = build_report(good_run(tmp_path), now=NOW)
    assert report.overall_status == "success"
    assert report.failure_point is None
    assert statuses(report) == ["success"] * 3
    assert [(step.step_number, step.name) for step in report.steps] == [
        (1, "Collect meter data"),
        (2, "Analyze meter data"),
        (3, "Report on meter data"),
    ]
    assert (report.start_time, report.end_time, report.total_duration_seconds) == (at(0), at(4.1), 246)


def test_steps_that_ran_before_and_after_a_change_are_reported(folder: RunFolder):
    ended(folder, "collect", (1, 2), versions={"groundtruth": "old", "definition": "same"}, isolation="in a container")
    ended(folder, "analyze", (2, 3), versions={"groundtruth": "new", "definition": "same"})
    report = build_report(folder, now=NOW)
    assert [(finding.step, finding.severity, finding.message) for finding in report.findings] == [
        (
            "collect",
            "warning",
            "This step ran with another version of the project's code (old) than the last one (new).",
        )
    ]
    assert report.provenance.isolation == {"collect": "in a container"}


def test_the_documented_keys_are_there(tmp_path: Path):
    folder = good_run(tmp_path)
    document = json.loads(write_report(folder, build_report(folder, now=NOW))[0].read_text())
    assert {
        *("pipeline_name", "start_time", "end_time", "total_duration_seconds", "overall_status"),
        *("summary_statistics", "steps"),
    } <= document.keys()
    assert {
        *("total_steps", "completed_steps", "failed_steps", "skipped_steps"),
        *("total_duration_seconds", "step_durations"),
    } <= document["summary_statistics"].keys()
    for step in document["steps"]:
        assert {
            *("step_number", "name", "description", "script", "args", "status", "start_time", "end_time"),
            *("duration_seconds", "error_message", "output_summary"),
        } <= step.keys()


def test_metrics_records_and_checksums_come_from_the_results(tmp_path: Path):
    report = build_report(good_run(tmp_path), now=NOW)
    analyze = report.steps[1]
    assert analyze.output_summary == {
        "records_in": 1920,
        "energy_kwh": 203.456,
        "rejected_by_reason": {"missing": 10, "late": 5},
    }, "findings and tables stand apart"
    assert analyze.args == ["high_usage_kw=5.0", 'required=["timestamp"]'], "what is not set is left out"
    assert analyze.script == "include.energy.analyze:run"
    assert [(f.step, f.severity) for f in report.findings] == [("analyze", "warning")]
    assert report.tables[0].rows == (("H1", 12.5),)
    counts = report.record_accounting[0]
    assert (counts.step, counts.read) == ("analyze", counts.accepted + counts.rejected + counts.outside)
    assert [a.path for a in report.artifacts] == [
        *("energy_data.csv", "output1.json", "plot_load_curve.png", "energy_report.csv")
    ]
    assert report.summary_statistics.step_durations == {"collect": 30, "analyze": 120, "describe": 60}
    assert report.published is not None
    assert report.published.key == "2026-02-28"


def test_provenance_names_sources_versions_and_images(tmp_path: Path):
    folder = good_run(tmp_path)
    source = FileRecord(path="source/home.csv", sha256="ab" * 32, bytes=10)
    definition = FileRecord(path="energy-pipeline.json", sha256="cd" * 32, bytes=9)
    plan(folder, sources=[source], definition=definition, interval_start=None, interval_end=None)
    ended(folder, "describe", (3, 4), image="sha256:1234", versions={"python": "3.12.1"})
    report = build_report(folder, now=NOW)
    assert report.interval is None
    assert report.provenance.sources == [source]
    assert report.provenance.definition == definition
    assert report.provenance.images == {"describe": "sha256:1234"}
    assert report.provenance.versions == {"python": "3.11.9, 3.12.1", "duckdb": "1.4.0"}, "both are listed"


def test_artifacts_state_how_far_they_are_proven_those_that_are_not_checked_first(tmp_path: Path):
    report = build_report(proven_run(tmp_path), now=NOW)
    assert {artifact.path: artifact.proof for artifact in report.artifacts} == {
        "model.bin": ["opaque", "sealed"],
        "energy_data.csv": ["sealed", "format"],
        "energy_records.parquet": ["sealed", "format", "records", "recomputed", "sampled"],
        "output1.json": ["sealed", "format"],
    }
    paths = [artifact.path for artifact in report.artifacts]
    assert paths == ["model.bin", "energy_data.csv", "energy_records.parquet", "output1.json"]
    opaque, doubtful, records, _ = report.artifacts
    assert (opaque.opaque, doubtful.opaque, doubtful.doubts) == (True, False, ["it states no seed"])
    assert [(proof.step, proof.draw) for proof in records.proofs] == [("analyze", ("H2", "H7")), ("analyze", ())]
    assert report.provenance.isolation == {"collect": "our own function in the worker"}
    assert [file.path for file in report.provenance.stored] == ["imagery/scene.tif"]
    assert report.steps[1].output_summary == {"records_in": 1}, "proofs stand with their artifacts"


@pytest.mark.parametrize(("params", "audited"), [({}, False), ({"audit": False}, False), ({"audit": True}, True)])
def test_an_audit_is_stated(tmp_path: Path, params: dict, audited: bool):
    assert build_report(proven_run(tmp_path, **params), now=NOW).audited is audited


def test_a_run_that_asks_for_an_audit_after_its_steps_ran_on_samples_was_not_audited(tmp_path: Path):
    assert build_report(proven_run(tmp_path, audit=True, audited=False), now=NOW).audited is False


def test_a_report_without_a_plan_states_no_audit(tmp_path: Path):
    assert build_report(RunFolder(tmp_path), now=NOW).audited is False


def test_provenance_states_what_steps_report_of_their_data(tmp_path: Path):
    folder = good_run(tmp_path)
    summary = {"points": 3, "synthetic": True, "stand_in": False, "provenance": {"imagery source": "demo"}}
    ended(folder, "describe", (3, 4), summary=summary)
    report = build_report(folder, now=NOW)
    (data,) = report.provenance.data
    assert (data.step, data.terms) == ("describe", {"imagery source": "demo"})
    assert (data.synthetic, data.stand_in) == (True, False)
    assert report.steps[2].output_summary == {"points": 3, "synthetic": True, "stand_in": False}


def test_without_an_interval_the_extent_of_the_data_stands_for_it(tmp_path: Path):
    folder = good_run(tmp_path)
    plan(folder, interval_start=None, interval_end=None)
    extent = {"data_start": "2012-02-10T00:00:00Z", "data_end": "2014-03-01T00:00:00Z"}
    ended(folder, "describe", (3, 4), summary=extent)
    interval = build_report(folder, now=NOW).interval
    assert interval is not None
    assert (interval.start.year, interval.end.year) == (2012, 2014)


# ── red runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_failure_is_the_failure_point(folder: RunFolder):
    broke(folder, "collect", (1, 2), "bad_input", "home.csv, line 7: no timestamp", log_url="https://x/log")
    broke(folder, "analyze", (1, 1.5), "contract", "output1.json: must not be empty", hint="Free the disk.")
    report = build_report(folder, now=NOW)
    assert report.overall_status == "failed"
    assert statuses(report) == ["failed", "failed", "skipped"], "what did not start after a failure was skipped"
    point = report.failure_point
    assert point is not None
    assert (point.step, point.task, point.kind) == ("Analyze meter data", "analyze", "contract")
    assert (point.message, point.hint) == ("output1.json: must not be empty", "Free the disk.")
    assert report.steps[0].error_message == "home.csv, line 7: no timestamp"
    assert report.steps[0].output_summary is None
    assert report.summary_statistics.failed_steps == 2


def test_a_failure_without_a_hint_gets_that_of_its_kind(folder: RunFolder):
    broke(folder, "collect", (1, 2), "bad_input", "home.csv: is empty", log_url="/dags/log")
    point = build_report(folder, now=NOW).failure_point
    assert point is not None
    assert "start the run again" in (point.hint or "")
    assert point.log_url == "/dags/log"


def test_an_attempt_without_a_verdict_is_a_worker_that_died(folder: RunFolder):
    started(folder, "collect", 1)
    report = build_report(folder, now=NOW)
    assert statuses(report) == ["failed", "skipped", "skipped"]
    assert report.failure_point is not None
    assert (report.failure_point.kind, report.failure_point.task) == ("lost", "collect")
    assert "the worker died" in report.failure_point.message
    assert report.end_time == NOW


def test_the_verdict_of_an_earlier_attempt_is_not_that_of_a_later_one(tmp_path: Path):
    folder = good_run(tmp_path)
    started(folder, "analyze", 5, attempt=2)
    report = build_report(folder, now=NOW)
    assert statuses(report) == ["success", "failed", "success"]
    assert report.steps[1].attempt == 2
    started(folder, "analyze", 5, generation=1)
    assert build_report(folder, now=NOW).overall_status == "failed", "cleared, and begun again"


def test_an_interrupted_attempt_says_so(folder: RunFolder):
    started(folder, "collect", 1)
    (folder.path / "interrupted").touch()
    report = build_report(folder, now=NOW)
    assert report.failure_point is not None
    assert report.failure_point.kind == "interrupted"


def test_an_interrupt_between_two_steps_is_a_failure_without_a_step(folder: RunFolder):
    ended(folder, "collect", (1, 2))
    (folder.path / "interrupted").touch()
    report = build_report(folder, now=NOW)
    assert report.overall_status == "failed"
    assert report.failure_point is not None
    assert (report.failure_point.task, report.failure_point.kind) == (None, "interrupted")


@pytest.mark.parametrize("task", ["prepare", "publish"])
def test_a_failure_around_the_steps_is_the_failure_point_but_no_step(tmp_path: Path, task: str):
    folder = good_run(tmp_path)
    broke(folder, task, (4, 4.5), "setup", "the disk is full")
    report = build_report(folder, now=NOW)
    assert report.overall_status == "failed"
    assert report.summary_statistics.total_steps == report.summary_statistics.completed_steps == 3
    assert report.failure_point is not None
    assert (report.failure_point.step, report.failure_point.task) == (None, task)


def test_a_run_that_broke_before_its_plan_still_has_a_report(tmp_path: Path):
    folder = RunFolder.of(tmp_path, "energy_pipeline", "manual__1")
    assert build_report(folder, now=NOW).overall_status == "pending"
    broke(folder, "prepare", (0, 0.1), "bad_input", "housholds: no such parameter; did you mean households?")
    report = build_report(folder, now=NOW)
    assert (report.pipeline_name, report.run_id, report.overall_status) == ("energy_pipeline", "manual__1", "failed")
    assert report.failure_point is not None
    assert "households" in report.failure_point.message
    assert report.steps == []


@pytest.mark.parametrize("name", ["run.json", "steps/analyze/result.json", "steps/publish/started.json"])
def test_a_damaged_record_turns_the_run_red_and_is_named(tmp_path: Path, name: str):
    folder = good_run(tmp_path)
    (folder.path / name).write_text('{"half":')
    report = build_report(folder, now=NOW)
    assert report.overall_status == "failed"
    assert report.failure_point is not None
    assert str((folder.path / name).parent) in report.failure_point.message
    assert "damaged" in report.failure_point.message


# ── what Airflow says ────────────────────────────────────────────────────────────────────────────────────────────────


def test_states_tell_skipped_from_pending(folder: RunFolder):
    broke(folder, "collect", (1, 2), "error", "it broke")
    states = {"prepare": "success", "collect": "failed", "analyze": "upstream_failed"}
    assert statuses(build_report(folder, task_states=states, now=NOW)) == ["failed", "skipped", "pending"]


def test_a_step_that_somebody_skipped_keeps_the_run_from_being_a_success(tmp_path: Path):
    folder = good_run(tmp_path)
    (folder.step("analyze") / "result.json").unlink()
    (folder.step("analyze") / "started.json").unlink()
    report = build_report(folder, task_states={"analyze": "skipped"}, now=NOW)
    assert statuses(report) == ["success", "skipped", "success"]
    assert report.overall_status == "skipped"


def test_a_task_that_is_green_without_a_verdict_is_red(folder: RunFolder):
    report = build_report(folder, task_states={"collect": "success"}, now=NOW)
    assert report.steps[0].status == "failed"
    assert report.failure_point is not None
    assert report.failure_point.kind == "contract"


def test_a_task_that_fails_after_its_verdict_is_red(tmp_path: Path):
    report = build_report(good_run(tmp_path), task_states={"analyze": "failed"}, now=NOW)
    assert statuses(report) == ["success", "failed", "success"]
    assert report.overall_status == "failed"


def test_a_failed_task_that_is_no_step_is_the_failure_point(tmp_path: Path):
    report = build_report(good_run(tmp_path), task_states={"notify": "failed", "report": "running"}, now=NOW)
    assert report.failure_point is not None
    assert (report.failure_point.task, report.failure_point.step) == ("notify", None)


def test_a_run_under_way_is_running(folder: RunFolder):
    started(folder, "collect", 1)
    report = build_report(folder, task_states={"collect": "running"}, now=NOW)
    assert statuses(report) == ["running", "pending", "pending"]
    assert report.overall_status == "running"


def test_a_run_that_has_not_published_is_no_success(tmp_path: Path):
    folder = good_run(tmp_path)
    for record in folder.step("publish").iterdir():
        record.unlink()
    assert build_report(folder, now=NOW).overall_status == "running"
    assert build_report(folder, task_states={"publish": "skipped"}, now=NOW).overall_status == "skipped"


TASKS = ("prepare", "collect", "analyze", "describe", "publish")
RECORD = st.sampled_from(["none", "started", "success", "failed", "later"])
STATE = st.sampled_from([None, "success", "failed", "skipped", "upstream_failed", "running"])


@settings(deadline=None, max_examples=60)
@given(
    records=st.fixed_dictionaries(dict.fromkeys(TASKS, RECORD)),
    states=st.none() | st.fixed_dictionaries(dict.fromkeys(TASKS, STATE)),
)
def test_no_report_is_green_unless_every_verdict_is(tmp_path_factory, records: dict, states: dict | None):
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    plan(folder)
    for minute, (task, record) in enumerate(records.items()):
        if record == "started":
            started(folder, task, minute)
        elif record == "failed":
            broke(folder, task, (minute, minute + 1), "error", "it broke")
        elif record != "none":
            ended(folder, task, (minute, minute + 1))
        if record == "later":
            started(folder, task, minute, attempt=2)
    known = {task: state for task, state in states.items() if state} if states is not None else None
    report = build_report(folder, task_states=known, now=NOW)
    if report.overall_status == "success":
        assert set(records.values()) == {"success"}
        assert "failed" not in (known or {}).values()
    assert (report.failure_point is not None) == (report.overall_status == "failed")
    assert "failed" not in statuses(report) or report.overall_status == "failed"
    assert all((step.error_message is not None) == (step.status == "failed") for step in report.steps)
    counted = report.summary_statistics
    assert counted.completed_steps + counted.failed_steps + counted.skipped_steps <= counted.total_steps == 3
    write_report(folder, report)


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_report_is_two_files_named_by_their_time(tmp_path: Path):
    folder = good_run(tmp_path)
    report = build_report(folder, now=NOW)
    json_path, html_path = write_report(folder, report)
    assert re.fullmatch(r"pipeline_report_\d{8}_\d{6}\.json", json_path.name)
    assert html_path == json_path.with_suffix(".html")
    assert PipelineReport.model_validate_json(json_path.read_bytes()) == report, "nothing is lost in writing"
    assert last_event(folder.path).words == "run ended after 4 min 6 s: success"


def test_a_report_of_the_same_second_does_not_replace_the_first(tmp_path: Path):
    folder = good_run(tmp_path)
    report = build_report(folder, now=NOW)
    written = [write_report(folder, report)[0] for _ in range(3)]
    assert [path.name for path in written] == sorted({path.name for path in written}), "the latest sorts last"
    assert not list(folder.path.glob(".pipeline_report*")), "nothing half-written stays"


def test_a_report_that_cannot_be_written_is_an_error_in_words(tmp_path: Path):
    folder = good_run(tmp_path)
    report = build_report(folder, now=NOW)
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot be written"):
        write_report(RunFolder(tmp_path / "file" / "run"), report)


DIED = "the worker died while it ran, so nothing of this attempt was accepted."
KILLED = "Airflow was killed by signal 9 (SIGKILL)."


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (lambda folder: folder.path.mkdir(parents=True), "The run ended before it was prepared."),
        (plan, "The run ended before it was prepared."),
        (lost_runs.preparing, f"Prepare the run: {DIED}"),
        (lost_runs.prepared, "The run ended before step 1, Collect meter data, began."),
        (lost_runs.first_step_done, "The run ended before step 2, Analyze meter data, began."),
        (lost_runs.in_a_step, f"Analyze meter data: {DIED}"),
        (lost_runs.all_steps_done, "The run ended after its last step, before its results were published."),
        (lost_runs.published, "The run ended after its results were published."),
    ],
)
def test_a_run_that_was_killed_has_failed_and_says_where_and_how(tmp_path, phase, message):
    folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "cli__1")
    phase(folder)
    report = build_report(folder, ended=KILLED, now=NOW)
    assert report.overall_status == "failed"
    assert (report.failure_point.kind, report.failure_point.message) == ("lost", f"{message} {KILLED}")
    assert not {step.status for step in report.steps} & {"running", "pending"}


def test_a_run_without_a_report_gets_one_that_names_no_reason_where_none_is_known(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "cli__1")
    lost_runs.first_step_done(folder)
    (folder.path / "airflow.log").touch()
    report = json.loads(write_report_of_lost_run(folder).read_bytes())
    assert report["overall_status"] == "failed"
    assert report["failure_point"]["message"].endswith("It ended without a reason that could be found.")
    assert report["failure_point"]["log_url"] == "airflow.log"


@pytest.mark.parametrize("name", ["started.json", "result.json"])
def test_a_damaged_record_is_named(tmp_path, name):
    folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "cli__1")
    lost_runs.all_steps_done(folder)
    path = folder.step("analyze") / name
    path.write_text("{")
    report = build_report(folder, now=NOW)
    assert report.failure_point.message == f"{path} is damaged and cannot be read."


@pytest.mark.parametrize("name", ["run.json", "steps/analyze/started.json", "steps/analyze/result.json"])
def test_a_record_that_would_fill_memory_is_named(tmp_path, name):
    folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "cli__1")
    lost_runs.all_steps_done(folder)
    path = folder.path / name
    with path.open("wb") as file:
        file.truncate(2 * 10**9)
    report = build_report(folder, now=NOW)
    assert report.failure_point.message == f"{path} has 2,000 MB, more than the 67 MB allowed, and was not read."
