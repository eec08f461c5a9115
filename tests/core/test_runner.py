"""A step gets the verdict "success" only when its work is proven; a lie is named with the rule that it broke."""

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.core.contracts import Artifact, StepParams
from include.core.errors import (
    BadInputError,
    ContractError,
    GroundtruthError,
    InterruptedStepError,
    SetupError,
    StepTimeoutError,
    TransientError,
)
from include.core.outcome import Proof
from include.core.run_folder import INTERRUPTED_MARK, FileRecord, Records, RunFolder, Started, write_json
from include.core.runner import Attempt, run_step
from tests.core.small_pipeline import (
    ANALYZE,
    ATTEMPT,
    MEASURE,
    NOW,
    PNG,
    READINGS,
    TOTALS,
    Params,
    Reading,
    Totals,
    measured,
    plan,
    table,
    writes,
    writing,
)
from tests.prerequisites import need

Execute = Callable[[StepParams], None]


@pytest.fixture
def run(folder: RunFolder) -> RunFolder:
    """A run whose first step has measured three readings into `in.csv`."""
    measured(folder)
    return folder


def refused(folder: RunFolder, execute: Execute, step=ANALYZE, attempt: Attempt = ATTEMPT) -> ContractError:
    """The contract error that a step ends with, after checking that its verdict says the same."""
    with pytest.raises(ContractError) as error:
        run_step(step, folder, attempt, execute)
    verdict = folder.result(step.id)
    assert verdict is not None
    assert verdict.status == "failed"
    assert verdict.error is not None
    assert verdict.error.kind == "contract"
    assert verdict.error.message == str(error.value)
    assert (verdict.error.artifact, verdict.error.rule) == (error.value.artifact, error.value.rule)
    assert verdict.error.value == (None if error.value.value is None else str(error.value.value))
    return error.value


def never(params: StepParams) -> None:
    pytest.fail("the step must not run")


# ── a green step ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_proven_step_is_recorded_with_all_that_a_person_needs_to_audit_it(run):
    attempt = replace(ATTEMPT, number=2, command="analyze in.csv", image=lambda: "sha256:1", log_url="http://log")
    returned = run_step(ANALYZE, run, attempt, writing(run, out_csv=READINGS))
    assert returned == run.result("analyze")
    assert (returned.status, returned.error, returned.reused) == ("success", None, False)
    assert (returned.title, returned.version, returned.attempt, returned.params) == ("Analyze", "1", 2, {"factor": 2.0})
    assert (returned.command, returned.image, returned.log_url) == ("analyze in.csv", "sha256:1", "http://log")
    assert [(file.path, file.records) for file in returned.inputs] == [("in.csv", 3)]
    assert [(file.path, file.records) for file in returned.outputs] == [("out.csv", 3)]
    assert returned.records.model_dump() == {
        "read": 3, "accepted": 3, "rejected": 0, "outside": 0, "rejected_by_reason": {},
    }  # fmt: skip
    assert returned.outcome.scalars() == {"bytes": len(READINGS)}
    assert returned.duration_seconds == round((returned.ended_at - returned.started_at).total_seconds(), 3)
    assert set(returned.versions) == {"python", "duckdb", "pandas", "pydantic", "apache-airflow"}
    assert run.started("analyze").started_at == returned.started_at


def recompute(files: Path, params: Params, *, audit: bool) -> tuple[Proof, ...]:
    """Let the table hold as many records as the factor says."""
    rows = len((files / "out.csv").read_text().splitlines()) - 1
    if rows != params.factor:
        raise ContractError("out.csv", f"must hold {params.factor:g} records", rows)
    return (Proof(artifact="out.csv", recomputed=f"{rows} records"),)


def test_what_a_step_states_is_recomputed_from_its_files(folder):
    step = replace(ANALYZE, recompute=f"{__name__}:recompute")
    measured(folder)
    plan(folder, factor=3)
    assert run_step(step, folder, ATTEMPT, writing(folder, out_csv=READINGS)).outcome.proofs == (
        Proof(artifact="out.csv", recomputed="3 records"),
    )


def test_a_step_that_states_something_else_than_is_recomputed_fails(run):
    error = refused(run, writing(run, out_csv=READINGS), replace(ANALYZE, recompute=f"{__name__}:recompute"))
    assert (error.artifact, error.rule, error.value) == ("out.csv", "must hold 2 records", 3)


def test_a_step_sees_only_the_parameters_that_its_model_declares(folder):
    plan(folder, factor=3, households=20)
    seen: list[StepParams] = []
    run_step(MEASURE, folder, ATTEMPT, lambda params: (seen.append(params), writing(folder, in_csv=READINGS)(params)))
    assert seen == [Params(factor=3)]


def test_rejected_records_are_accounted_for_with_their_reason(run):
    verdict = run_step(
        ANALYZE, run, ATTEMPT, writing(run, out_csv=table({}, {}), rejected_csv="line,reason\n3,negative\n")
    )
    assert verdict.records.rejected_by_reason == {"bad": 1}
    assert [file.path for file in verdict.outputs] == ["out.csv", "rejected.csv"]


def test_the_attempt_under_way_is_on_record_before_the_step_runs(run):
    def execute(params: StepParams) -> None:
        assert run.started("analyze").attempt == 1
        assert run.result("analyze") is None
        writing(run, out_csv=READINGS)(params)

    run_step(ANALYZE, run, ATTEMPT, execute)


# ── lies about the output ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "rule", "value"),
    [
        (None, "must exist", "no such file"),
        ("", "must not be empty", "0 bytes"),
        (table(), "must hold at least one record", "a header alone"),
        (READINGS[:-7], "must end with a line break (a file that was cut short does not)", None),
        (READINGS + "2026-01-01\n", "must open as CSV", None),
        ("a,b\n1,2\n", "must begin with the columns " + ", ".join(Reading.model_fields), "a, b"),
        (table({}, {"power": "a lot"}), "column power must hold a number >= 0 < 1000", "'a lot' in record 2"),
        (table({"power": "-1"}), "column power must hold a number >= 0 < 1000", "'-1' in record 1"),
        (table({"status": "low"}), "column status must hold one of normal, high_usage", "'low' in record 1"),
    ],
    ids=["no file", "empty", "header alone", "cut", "a short line", "columns", "type", "bound", "literal"],
)
def test_a_step_that_ends_well_without_a_right_table_fails(run, content, rule, value):
    error = refused(run, writing(run, **({} if content is None else {"out_csv": content})))
    assert (error.artifact, error.rule) == ("out.csv", rule)
    assert value is None or error.value == value


@pytest.mark.parametrize(
    ("artifact", "content", "rule"),
    [
        (Artifact("out.json", Totals), TOTALS[:-3], "must be valid JSON"),
        (Artifact("out.json", Totals), "{}", "must keep to its schema: $.energy: Field required (and 1 more)"),
        (Artifact("out.png"), PNG[:-3], "must be a complete PNG image"),
        (Artifact("out.parquet"), b"PAR1 and no more", "must open as PARQUET"),
    ],
    ids=["JSON cut", "JSON keys", "PNG cut", "Parquet cut"],
)
def test_other_formats_are_opened_too(run, artifact, content, rule):
    error = refused(run, writing(run, **{artifact.path.replace(".", "_"): content}), writes(ANALYZE, artifact))
    assert (error.artifact, error.rule) == (artifact.path, rule)


@pytest.mark.parametrize("written", [table({}), table({}, {}, {}, {})], ids=["one lost", "one too many"])
def test_records_that_do_not_reconcile_fail_the_step(run, written):
    error = refused(run, writing(run, out_csv=written))
    assert (error.artifact, error.rule) == (
        "analyze",
        "records read must equal accepted + rejected + outside the window",
    )
    assert str(error.value).startswith(f"3 read, {written.count('home')} accepted, 0 rejected (0 with a reason)")


def test_a_rejected_record_without_a_reason_does_not_reconcile(run):
    step = replace(ANALYZE, records=lambda files: Records(read=3, accepted=2, rejected=1))
    assert "1 rejected (0 with a reason)" in refused(run, writing(run, out_csv=READINGS), step).value


def test_a_file_left_from_before_is_no_result_of_this_step(run):
    writing(run, out_csv=READINGS)(Params())
    assert refused(run, lambda _: None).rule == "must exist"


def test_a_file_copied_from_another_run_with_its_time_is_no_result_of_this_step(run, tmp_path):
    old = tmp_path / "old.csv"
    old.write_text(READINGS)
    os.utime(old, (time.time() - 3600,) * 2)
    error = refused(run, lambda _: shutil.copy2(old, run.files / "out.csv"))
    assert error.rule == "must be written by this step"


def test_a_link_out_of_the_folder_is_no_result(run, tmp_path):
    (tmp_path / "elsewhere.csv").write_text(READINGS)
    error = refused(run, lambda _: (run.files / "out.csv").symlink_to(tmp_path / "elsewhere.csv"))
    assert error.rule == "must lie in the run's folder and be no link"


def test_a_folder_is_no_result_and_does_not_stand_in_the_way_of_the_next_attempt(run):
    assert refused(run, lambda _: (run.files / "out.csv").mkdir()).rule == "must be a regular file"
    assert run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS)).status == "success"


def test_a_step_may_not_write_what_it_did_not_declare(run):
    error = refused(run, writing(run, out_csv=READINGS, notes_txt="surprise"))
    assert (error.artifact, error.rule) == ("notes.txt", "must not be written: the step did not declare it")


def test_a_link_to_a_folder_is_an_undeclared_file_too(run, tmp_path):
    (tmp_path / "big").mkdir()
    error = refused(
        run, lambda params: ((run.files / "more").symlink_to(tmp_path), writing(run, out_csv=READINGS)(params))
    )
    assert error.artifact == "more"


def test_a_step_may_not_change_its_input(run):
    error = refused(run, writing(run, in_csv=READINGS + READINGS, out_csv=READINGS))
    assert (error.artifact, error.value) == ("in.csv", "other content")


def test_a_step_may_not_remove_its_input(run):
    error = refused(run, lambda params: ((run.files / "in.csv").unlink(), writing(run, out_csv=READINGS)(params)))
    assert (error.artifact, error.value) == ("in.csv", "no such file")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("x")], ids=["remove", "change"])
def test_a_step_may_not_touch_the_files_that_people_handed_in(folder, harm):
    source = folder.files / "source/meter.csv"
    source.parent.mkdir()
    source.write_text(READINGS)
    plan(folder)
    error = refused(folder, lambda params: (harm(source), writing(folder, in_csv=READINGS)(params)), MEASURE)
    assert error.artifact == "source/meter.csv"
    assert error.rule == "must not be touched by a step that only reads it"


def test_a_verdict_that_a_step_writes_for_itself_counts_for_nothing(run):
    forged = run.result("measure").model_dump_json()

    def forge(params: StepParams) -> None:
        (run.files / "steps/analyze").mkdir(parents=True)
        (run.files / "steps/analyze/result.json").write_text(forged)
        writing(run, result_json=forged)(params)

    error = refused(run, forge)
    assert error.rule == "must not be written: the step did not declare it"
    assert run.result("analyze").status == "failed"


# ── lies about the input ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_input_that_no_step_of_this_run_made_is_refused_before_the_step_runs(folder):
    plan(folder)
    writing(folder, in_csv=READINGS)(Params())
    error = refused(folder, never)
    assert str(error) == "in.csv: must come from a step of this run that succeeded; found no such result"


def test_an_input_whose_producer_failed_is_refused(folder):
    plan(folder)
    refused(folder, writing(folder, in_csv=table()), MEASURE)
    assert refused(folder, never).artifact == "in.csv"


def test_an_output_that_changed_after_its_checksum_was_recorded_is_caught_by_its_consumer(run):
    (run.files / "in.csv").write_text(table({"power": "999"}, {}, {}))
    assert refused(run, never).rule == "must be as Measure left it (its checksum was recorded)"


def test_an_attempt_starts_now_under_its_number_and_generation():
    before = datetime.now(UTC)
    started = Attempt(number=2, generation=3, runtime="docker").start("measure")
    assert (started.step, started.attempt, started.generation, started.runtime) == ("measure", 2, 3, "docker")
    assert before <= started.started_at <= datetime.now(UTC)


def test_an_optional_input_may_be_absent(folder):
    plan(folder)
    step = replace(MEASURE, reads=(Artifact("source/*", optional=True), Artifact("hints.json", optional=True)))
    assert run_step(step, folder, ATTEMPT, writing(folder, in_csv=READINGS)).inputs == []


def test_people_s_files_are_inputs_with_the_checksum_they_were_staged_with(folder):
    (folder.files / "source").mkdir()
    writing(folder, **{"source/meter_csv": READINGS})(Params())
    record = FileRecord(path="source/meter.csv", sha256="0" * 64, bytes=len(READINGS))
    plan(folder, sources=[record])
    step = replace(MEASURE, reads=(Artifact("source/*", optional=True),))
    assert refused(folder, never, step).rule.startswith("must be as the run's preparation left it")


def test_impossible_parameters_are_said_in_words_before_the_step_runs(folder):
    plan(folder, factor=-1)
    with pytest.raises(BadInputError, match=r"^factor: Input should be greater than 0 \(got -1\)$"):
        run_step(MEASURE, folder, ATTEMPT, never)
    assert folder.result("measure").error.kind == "bad_input"


def test_a_run_without_a_plan_is_refused(folder):
    assert refused(folder, never, MEASURE).artifact == "run.json"


# ── steps that run at the same time ──────────────────────────────────────────────────────────────────────────────────


def test_what_a_parallel_step_declared_is_that_step_s_own_affair(run):
    both = replace(ATTEMPT, declared=ATTEMPT.declared | {"other.csv"})
    assert run_step(ANALYZE, run, both, writing(run, out_csv=READINGS, other_csv="x")).status == "success"


@pytest.mark.parametrize("goes", [True, False], ids=["appears", "vanishes"])
def test_a_parallel_step_s_temporary_files_are_not_held_against_a_step(folder, goes):
    other = replace(MEASURE, id="other")
    plan(folder, MEASURE, ANALYZE, other)
    run_step(MEASURE, folder, ATTEMPT, writing(folder, in_csv=READINGS))
    partial = folder.files / ".other.csv.partial"
    started = Started(step="other", started_at=NOW)
    if not goes:
        write_json(folder.step("other") / "started.json", started)
        partial.write_text("half")

    def alongside(params: StepParams) -> None:
        write_json(folder.step("other") / "started.json", started)
        partial.write_text("half") if goes else partial.unlink()
        writing(folder, out_csv=READINGS)(params)

    assert run_step(ANALYZE, folder, ATTEMPT, alongside).status == "success"


# ── retry, resume, clear ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_accepted_result_is_used_again_in_a_retried_step(run):
    first = run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS))
    again = run_step(ANALYZE, run, replace(ATTEMPT, number=2), never)
    assert again == run.result("analyze") == first.model_copy(update={"reused": True})


def cleared(run: RunFolder) -> Attempt:
    return replace(ATTEMPT, generation=1)


def another_image(run: RunFolder) -> Attempt:
    return replace(ATTEMPT, image=lambda: "sha256:2")


def another_command(run: RunFolder) -> Attempt:
    return replace(ATTEMPT, command="analyze --better")


def another_runtime(run: RunFolder) -> Attempt:
    return replace(ATTEMPT, runtime="docker")


def other_params(run: RunFolder) -> Attempt:
    plan(run, factor=3)
    return ATTEMPT


def other_inputs(run: RunFolder) -> Attempt:
    run_step(MEASURE, run, replace(ATTEMPT, generation=1), writing(run, in_csv=table({"power": "9"}, {}, {})))
    return ATTEMPT


@pytest.mark.parametrize(
    "change", [cleared, another_image, another_command, another_runtime, other_params, other_inputs]
)
def test_a_result_of_other_circumstances_is_not_used_again(run, change):
    run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS))
    attempt = change(run)
    again = run_step(ANALYZE, run, attempt, writing(run, out_csv=table({}, {}, {})))
    assert again.reused is False
    assert (run.files / "out.csv").read_text() == table({}, {}, {})


def test_a_result_of_another_version_of_the_step_is_not_used_again(run):
    run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS))
    again = run_step(replace(ANALYZE, version="2"), run, ATTEMPT, writing(run, out_csv=READINGS))
    assert (again.reused, again.version) == (False, "2")


def test_a_failed_result_is_not_used_again(run):
    refused(run, lambda _: None)
    assert run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS)).reused is False


def test_an_accepted_result_that_was_changed_is_not_used_again_but_refused(run):
    run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS))
    (run.files / "out.csv").write_text(table({}, {}, {}))
    assert refused(run, never).rule == "must be as Analyze left it (its checksum was recorded)"
    assert run_step(ANALYZE, run, cleared(run), writing(run, out_csv=READINGS)).status == "success"


def test_a_step_that_died_leaves_no_verdict_and_runs_again(run, monkeypatch):
    run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS))
    monkeypatch.setattr("include.core.runner.write_result", lambda *_: None)
    run_step(ANALYZE, run, cleared(run), writing(run, out_csv=READINGS))
    monkeypatch.undo()
    assert run.started("analyze").generation == 1
    assert run.result("analyze") is None
    assert run_step(ANALYZE, run, cleared(run), writing(run, out_csv=READINGS)).reused is False


def test_what_a_died_attempt_left_behind_is_cleared_away_by_the_next(run):
    (run.files / ".out.csv.partial").write_text("half a fi")
    (run.files / ".scratch-1").mkdir()
    (run.files / ".scratch-1" / "spill.tmp").write_text("x")
    (run.files / "never-declared.txt").write_text("x")
    run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS))
    assert [path.name for path in run.files.iterdir() if path.name.startswith(".") or "never" in path.name] == []


# ── failures and their verdicts ──────────────────────────────────────────────────────────────────────────────────────


def died_after(run: RunFolder, execute: Execute) -> None:
    """A first attempt whose worker is killed once the step has done something: no verdict is left."""

    def die(params: StepParams) -> None:
        execute(params)
        raise KeyboardInterrupt

    with pytest.raises(InterruptedStepError):
        run_step(ANALYZE, run, replace(ATTEMPT, resuming=lambda: False), die)
    (run.step("analyze") / "result.json").unlink()


def nothing_more(params: StepParams) -> None:
    """The work was done before."""


def test_work_that_went_on_without_its_worker_is_taken_up_and_counts(run):
    died_after(run, writing(run, out_csv=READINGS))
    began = run.started("analyze")
    verdict = run_step(ANALYZE, run, replace(ATTEMPT, number=2, resuming=lambda: True), nothing_more)
    assert (verdict.status, verdict.attempt) == ("success", 2)
    assert verdict.started_at == began.started_at


def test_work_that_is_taken_up_answers_for_all_that_was_written_since_it_began(run):
    died_after(run, writing(run, out_csv=READINGS, litter_txt="x"))
    error = refused(run, nothing_more, attempt=replace(ATTEMPT, number=2, resuming=lambda: True))
    assert error.artifact == "litter.txt"


def test_work_that_began_with_another_image_is_not_taken_up(run):
    died_after(run, writing(run, out_csv=READINGS))
    never_asked = lambda: pytest.fail("must not be asked")  # noqa: E731
    rebuilt = replace(ATTEMPT, number=2, image=lambda: "sha256:new", resuming=never_asked)
    assert refused(run, nothing_more, attempt=rebuilt).artifact == "out.csv"


def test_work_that_began_with_other_inputs_is_not_taken_up(run):
    died_after(run, writing(run, out_csv=READINGS))
    again = replace(other_inputs(run), number=2, resuming=lambda: pytest.fail("must not be asked"))
    assert refused(run, nothing_more, attempt=again).artifact == "out.csv"


def test_a_cleared_step_takes_nothing_up(run):
    died_after(run, writing(run, out_csv=READINGS))
    cleared = replace(ATTEMPT, number=2, generation=1, resuming=lambda: pytest.fail("must not be asked"))
    assert refused(run, nothing_more, attempt=cleared).artifact == "out.csv"


class AirflowTaskTimeout(BaseException):
    """Airflow's own is a BaseException too."""


@pytest.mark.parametrize(
    ("raised", "becomes", "kind", "message"),
    [
        (BadInputError("meter.csv: no"), BadInputError, "bad_input", "meter.csv: no"),
        (SetupError("no image"), SetupError, "setup", "no image"),
        (TransientError("429"), TransientError, "transient", "429"),
        (StepTimeoutError("took longer"), StepTimeoutError, "timeout", "took longer"),
        (GroundtruthError("ended with exit code 3"), GroundtruthError, "error", "ended with exit code 3"),
        (KeyboardInterrupt(), InterruptedStepError, "interrupted", "interrupted"),
        (AirflowTaskTimeout("late"), AirflowTaskTimeout, "timeout", "AirflowTaskTimeout: late"),
        (ZeroDivisionError("division by zero"), ZeroDivisionError, "error", "ZeroDivisionError: division by zero"),
        (SystemExit(0), SystemExit, "error", "SystemExit: 0"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            SetupError,
            "setup",
            "the disk is full: free some space and run again ([Errno 28] No space left on device)",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/data/x"),
            SetupError,
            "setup",
            "/data/x: cannot be read or written: Permission denied",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            SetupError,
            "setup",
            "a file: cannot be read or written: Read-only file system",
        ),
        (
            RuntimeError("duckdb: No space left on device"),
            SetupError,
            "setup",
            "the disk is full: free some space and run again (duckdb: No space left on device)",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_failure_has_a_verdict_of_its_kind_in_words(run, raised, becomes, kind, message):
    def execute(params: StepParams) -> None:
        raise raised

    with pytest.raises(becomes):
        run_step(ANALYZE, run, ATTEMPT, execute)
    verdict = run.result("analyze")
    assert (verdict.status, verdict.outputs) == ("failed", [])
    room = rf"; \d+\.\d MB free at {re.escape(str(run.files))}(?=\)$)"
    assert (verdict.error.kind, re.sub(room, "", verdict.error.message)) == (kind, message)
    assert (verdict.error.message != message) == ("No space left" in message), "the disk that is full is named"
    assert [file.path for file in verdict.inputs] == ["in.csv"], "a failure too says what the step worked with"


def test_an_image_that_cannot_be_found_is_a_failure_of_its_step(run):
    def missing() -> str:
        raise SetupError("the image x is not on the Docker engine")

    with pytest.raises(SetupError):
        run_step(ANALYZE, run, replace(ATTEMPT, image=missing), never)
    assert run.result("analyze").error.message == "the image x is not on the Docker engine"


def test_no_further_step_starts_after_somebody_stopped_the_run(run):
    (run.path / INTERRUPTED_MARK).touch()
    with pytest.raises(InterruptedStepError, match="not started: the run was interrupted"):
        run_step(ANALYZE, run, ATTEMPT, never)
    assert run.result("analyze").error.kind == "interrupted"
    assert run.started("analyze") is None


def test_a_verdict_is_replaced_whole(run):
    verdict = run.step("analyze") / "result.json"
    refused(run, lambda _: None)
    before = verdict.read_text()
    with verdict.open() as reader:
        run_step(ANALYZE, run, ATTEMPT, writing(run, out_csv=READINGS))
        assert reader.read() == before
    assert json.loads(verdict.read_text())["status"] == "success"
    assert sorted(path.name for path in verdict.parent.iterdir()) == ["result.json", "started.json"]


def test_a_verdict_that_cannot_be_written_does_not_hide_why_the_step_failed(run, monkeypatch):
    def full(path: Path, document: Any) -> None:
        raise SetupError(f"{path.name}: cannot be written: No space left on device")

    def execute(params: StepParams) -> None:
        monkeypatch.setattr("include.core.recording.write_json", full)
        raise BadInputError("meter.csv: no")

    with pytest.raises(BadInputError, match=r"meter\.csv: no") as error:
        run_step(ANALYZE, run, ATTEMPT, execute)
    assert error.value.__notes__ == [
        "its result could not be written either: result.json: cannot be written: No space left on device"
    ]


def test_a_verdict_finds_room_where_the_failed_step_left_its_outputs(run, monkeypatch):
    def full_beside_outputs(path: Path, document: Any) -> None:
        if (run.files / "out.csv").exists():
            raise SetupError(f"{path.name}: cannot be written: No space left on device")
        write_json(path, document)

    def execute(params: StepParams) -> None:
        writing(run, out_csv=READINGS)(params)
        monkeypatch.setattr("include.core.recording.write_json", full_beside_outputs)

    with pytest.raises(SetupError, match=r"result\.json: cannot be written: No space left on device"):
        run_step(ANALYZE, run, ATTEMPT, execute)
    assert run.result("analyze").status == "failed"
    assert (run.files / "in.csv").exists(), "only what the step itself wrote makes room"


def test_a_success_that_cannot_be_recorded_is_none(run, monkeypatch):
    def execute(params: StepParams) -> None:
        writing(run, out_csv=READINGS)(params)
        shutil.rmtree(run.path / "steps/analyze")
        (run.path / "steps/analyze").write_text("in the way")

    with pytest.raises(SetupError, match=r"result\.json: cannot be written"):
        run_step(ANALYZE, run, ATTEMPT, execute)


def test_a_step_that_fills_the_disk_fails_in_words_and_leaves_no_success(tmp_path, tiny_disk):
    folder = RunFolder(tiny_disk / "run")
    folder.files.mkdir(parents=True)
    plan(folder)
    with pytest.raises(SetupError, match=r"^the disk is full: free some space and run again"):
        run_step(MEASURE, folder, ATTEMPT, writing(folder, in_csv=READINGS + "x" * 200_000))
    assert folder.result("measure").status == "failed", "the half-written file has made room for the verdict"
    assert not (folder.files / "in.csv").exists()


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 64 KiB."""
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], stderr=subprocess.DEVNULL
    )
    if not mounted:
        pytest.skip("a small disk can only be mounted by root: run the tests in a privileged container")
    yield disk
    subprocess.check_call(["umount", disk])


def test_a_missing_prerequisite_skips_here_and_fails_in_ci(monkeypatch):
    need(True, "an engine", "start it")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="an engine is missing: start it"):
        need(False, "an engine", "start it")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="an engine is missing: start it"):
        need(False, "an engine", "start it")
