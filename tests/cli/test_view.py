"""What users see of pipelines, of a run that goes on, and of its report."""

import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from include.cli.view import Progress, find_report, pipelines_table, read_report, show_report
from include.core.definitions.load import load_definition
from include.core.errors import BadInputError
from include.core.leftovers import going_on
from include.core.pipeline import Pipeline
from include.core.progress import record
from include.core.run_folder import Failure, RunFolder, Started, StepResult, write_json
from include.energy.steps import ENERGY_STEPS
from include.reporting.report import build_report
from tests.core.small_pipeline import ANALYZE, MEASURE, pipeline, plan, spec
from tests.reporting.runs import NOW as RUN_END
from tests.reporting.runs import broke, good_run, proven_run

ENERGY = Path(__file__).resolve().parents[2] / "include/config/energy-pipeline.json"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def failed(attempt, kind, message):
    return StepResult(
        step="energy-generator",
        started_at=NOW,
        attempt=attempt,
        title="Collect",
        description="",
        version="1",
        status="failed",
        ended_at=NOW,
        duration_seconds=0,
        error=Failure(kind=kind, message=message),
    )


def test_each_failed_attempt_is_printed_once_and_a_passing_fault_as_such(folder):
    printed = io.StringIO()
    energy = Pipeline(load_definition(ENERGY, ENERGY_STEPS), ENERGY_STEPS)
    progress = Progress(energy, folder, Console(file=printed, width=200))
    result = folder.step("energy-generator") / "result.json"
    write_json(result, failed(1, "transient", "the engine does not answer"))
    progress.update()
    progress.update()
    write_json(result, failed(2, "setup", "the image is missing"))
    progress.update()
    assert printed.getvalue().splitlines() == [
        "✗ Step 1 met a fault that may pass: the engine does not answer",
        "✗ Step 1 failed: the image is missing",
    ]


def test_a_run_is_printed_as_it_goes_on(folder):
    printed = io.StringIO()
    plan(folder, MEASURE, ANALYZE, factor=3)
    steps = spec("measure", description="Measures."), spec("analyze")
    progress = Progress(pipeline(*steps), folder, Console(file=printed, width=200))
    progress.begin({"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"})
    started = Started(step="measure", started_at=NOW, attempt=2)
    write_json(folder.step("measure") / "started.json", started)
    progress.update()
    draft = StepResult.draft(started, title="Measure", description="", version="1")
    write_json(folder.step("measure") / "result.json", draft.model_copy(update={"status": "success"}))
    skipped = draft.model_copy(update={"step": "analyze", "status": "success", "skipped": "skip_analysis"})
    write_json(folder.step("analyze") / "result.json", skipped)
    progress.update()
    progress.update()
    assert printed.getvalue().splitlines() == [
        "test-pipeline for 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z",
        "Step 1/2: Measure (attempt 2) …",
        "  Measures.",
        "  factor=3",
        "✓ Step 1 completed successfully (0.0s)",
        "– Step 2 skipped: skip_analysis (0.0s)",
    ]


def begun(folder, step, seconds_ago):
    since = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    write_json(folder.step(step) / "started.json", Started(step=step, started_at=since))


def test_steps_are_announced_in_the_order_of_time_and_parallel_ones_as_such(folder):
    printed = io.StringIO()
    plan(folder, MEASURE, ANALYZE)
    progress = Progress(pipeline(), folder, Console(file=printed, width=200))
    begun(folder, "analyze", 3)
    begun(folder, "measure", 2)
    progress.update()
    lines = [line for line in printed.getvalue().splitlines() if line.startswith("Step")]
    assert lines == ["Step 2/2: Analyze …", "Step 1/2: Measure, beside step 2 …"]


def test_a_terminal_shows_how_far_a_step_is_in_one_line_that_changes(folder, monkeypatch):
    monkeypatch.setattr("include.cli.view.LOOK_S", 0)
    monkeypatch.setattr("include.core.progress.RECORDED_EVERY_S", 0)
    terminal = io.StringIO()
    plan(folder, MEASURE, ANALYZE)
    progress = Progress(pipeline(), folder, Console(file=terminal, width=60, force_terminal=True))
    begun(folder, "measure", 65)
    record(folder.step("measure"), "reading: 5 of 10 records")
    progress.update()
    assert terminal.getvalue().endswith("Step 1: 1 min 5 s, reading: 5 of 10 records")
    record(folder.step("measure"), "reading: 6 of 10 records" + "x" * 200)
    progress.update()
    last = terminal.getvalue().rpartition("\r\x1b[K")[2]
    assert "6 of 10" in last
    assert len(last) < 60, "it takes no second line"
    progress.end()
    assert terminal.getvalue().endswith("\r\x1b[K"), "it is gone at the end"


def test_elsewhere_progress_is_a_line_now_and_then(folder, monkeypatch):
    monkeypatch.setattr("include.cli.view.LOOK_S", 0)
    monkeypatch.setattr("include.cli.view.PRINTED_EVERY_S", 0)
    printed = io.StringIO()
    plan(folder, MEASURE, ANALYZE)
    progress = Progress(pipeline(), folder, Console(file=printed, width=200))
    begun(folder, "measure", 65)
    progress.update()
    assert printed.getvalue().splitlines()[-1] == "Step 1: 1 min 5 s"
    before = printed.getvalue()
    (folder.path / "events.jsonl").write_text('{"damaged": 1}\n')
    progress.update()
    assert "\r" not in printed.getvalue().removeprefix(before)


# ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def report(data_dir: Path, name: str, age: int) -> Path:
    path = data_dir / f"runs/energy_pipeline/{name}/pipeline_report_20260101_000000.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    os.utime(path, (NOW.timestamp() - age,) * 2)
    return path


def test_the_newest_report_is_found_or_that_of_a_run_by_its_name_or_its_folder(data_dir):
    old, new = report(data_dir, "old", 99), report(data_dir, "new", 1)
    assert find_report(None) == new
    assert find_report("old") == find_report(str(old.parent)) == old
    with pytest.raises(BadInputError, match="there is no report of a run named other"):
        find_report("other")


def test_without_any_report_the_next_command_is_named(data_dir):
    with pytest.raises(BadInputError, match=r"there is no report yet; begin with \./pipeline run energy"):
        find_report(None)


def shown(folder) -> list[str]:
    printed = io.StringIO()
    show_report(json.loads(build_report(folder, now=RUN_END).model_dump_json()), Console(file=printed, width=200))
    return [" ".join(line.split()) for line in printed.getvalue().splitlines() if line.strip()]


def test_a_report_has_a_row_for_each_step_then_metrics_and_findings(tmp_path):
    lines = shown(good_run(tmp_path))
    assert lines[0] == "step status seconds"
    assert "2. Analyze meter data ✓ success 120.0" in lines
    assert "run ✓ success 246.0" in lines
    assert "Energy (kWh) 203.456" in lines
    assert lines[-1] == "! One household has no data at night."


def test_what_is_not_checked_and_an_audit_are_printed(tmp_path):
    lines = shown(proven_run(tmp_path, audit=True))
    assert lines[-2:] == [
        "! not checked: model.bin",
        "· audited: nothing was left to a sample where all can be recomputed",
    ]


def test_a_failed_run_ends_with_its_reason_and_a_hint(tmp_path):
    folder = good_run(tmp_path)
    broke(folder, "analyze", (1, 2), "contract", "output1.json: must exist", hint="write it")
    assert shown(folder)[-2:] == ["failed: analyze: output1.json: must exist", "write it"]


def test_pipelines_are_listed_with_their_latest_run(data_dir):
    report(data_dir, "manual__1", 1).with_name("run.json").write_text("{}")
    energy = Pipeline(load_definition(ENERGY, ENERGY_STEPS), ENERGY_STEPS)
    printed = io.StringIO()
    Console(file=printed, width=200).print(pipelines_table([energy, pipeline()]))
    rows = [" ".join(line.split()) for line in printed.getvalue().splitlines() if line.strip()]
    assert rows[0] == "pipeline schedule steps latest run"
    assert rows[2:] == [
        "energy @daily energy-generator → energy-analyzer → report-generator manual__1",
        "test on request measure → analyze none yet",
    ]


LIE = "\x1b[2J\x1b[Hmeter\r\n✓ Step 3 completed"


def test_nothing_in_a_report_steers_the_terminal(tmp_path):
    """Names of households, files and steps come from outside; a finding or a failure quotes them."""
    document = json.loads(build_report(good_run(tmp_path), now=RUN_END).model_dump_json())
    document["findings"][0]["message"] = document["steps"][0]["name"] = document["overall_status"] = LIE
    document["steps"][1]["status"] = document["steps"][-1]["output_summary"] = {"note": LIE}
    document["steps"][1]["status"] = LIE
    document["failure_point"] = {"task": "x", "message": LIE.replace("\n", ""), "hint": LIE.replace("\n", "")}
    printed = io.StringIO()
    show_report(document, Console(file=printed, width=400, force_terminal=True, color_system=None))
    assert all(line.isprintable() for line in printed.getvalue().splitlines())
    assert not any(line.startswith("✓") for line in printed.getvalue().splitlines())


def test_nothing_in_a_record_steers_the_terminal(folder):
    printed = io.StringIO()
    energy = Pipeline(load_definition(ENERGY, ENERGY_STEPS), ENERGY_STEPS)
    write_json(folder.step("energy-generator") / "result.json", failed(1, "bad_input", LIE))
    Progress(energy, folder, Console(file=printed, width=400)).update()
    assert all(line.isprintable() for line in printed.getvalue().splitlines())


def test_a_damaged_record_does_not_end_the_progress(folder):
    printed = io.StringIO()
    path = folder.step("energy-generator") / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"step": "ener')
    energy = Pipeline(load_definition(ENERGY, ENERGY_STEPS), ENERGY_STEPS)
    progress = Progress(energy, folder, Console(file=printed, width=200))
    progress.update()
    write_json(path, failed(1, "setup", "the image is missing"))
    progress.update()
    assert printed.getvalue() == "✗ Step 1 failed: the image is missing\n"


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.pop("steps"),
        lambda document: document.update(steps=[{}]),
        lambda document: document.update(findings=[{"severity": "fatal", "message": ""}]),
        lambda document: document.update(total_duration_seconds="long"),
        lambda document: document.update(failure_point=3),
        lambda document: document.pop("overall_status"),
    ],
)
def test_a_damaged_report_is_a_sentence_with_its_name(tmp_path, damage):
    document = json.loads(build_report(good_run(tmp_path), now=RUN_END).model_dump_json())
    damage(document)
    path = tmp_path / "pipeline_report_20260101_000000.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BadInputError, match=f"^{path}: is damaged, so it cannot be shown: "):
        read_report(path)


def test_a_run_that_died_without_a_report_gets_one_when_it_is_asked_for(data_dir):
    run = good_run(data_dir)
    (run.path / "airflow.log").touch()
    (run.step("describe") / "result.json").unlink()
    path = find_report(run.path.name)
    assert json.loads(path.read_bytes())["overall_status"] == "failed"
    assert find_report(str(run.path)) == path


def test_a_one_off_run_gets_one_too_unless_it_goes_on(data_dir):
    run = good_run(data_dir)
    one_off = RunFolder(run.path.rename(run.path.with_name("test__1")))
    (one_off.step("describe") / "result.json").unlink()
    with going_on(one_off.path), pytest.raises(BadInputError, match="there is no report of a run named test__1"):
        find_report("test__1")
    assert json.loads(find_report("test__1").read_bytes())["failure_point"]["kind"] == "lost"
