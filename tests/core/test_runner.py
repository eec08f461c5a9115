"""A step gets the verdict "success" only when its work is proven; a lie is named with the rule that it broke."""

import errno
import hashlib
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from include.core.artifact_store import FolderStore
from include.core.contracts import Artifact, Step, StepParams, StoredFile
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
from include.core.run_folder import INTERRUPTED_MARK, FileRecord, Records, RunFolder, write_json
from include.core.runner import Attempt, Execute, Ran, called, code_version, run_step
from include.core.sink import FileSink, read_events
from include.core.work_folder import WorkFolder
from tests.core.small_pipeline import (
    ANALYZE,
    ATTEMPT,
    MEASURE,
    PNG,
    READINGS,
    TOTALS,
    Params,
    Reading,
    Totals,
    measured,
    plan,
    table,
    tamper,
    writes,
    writing,
)
from tests.prerequisites import need


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


def after(first: Callable[[Path, Any], object], **files: str | bytes) -> Execute:
    """A step that does something in its work folder, then writes these files."""

    def execute(params: StepParams, work: WorkFolder) -> Ran | None:
        called(first)(params, work)
        return writing(**files)(params, replace(work, inputs={}, scratch={}))

    return execute


def never(params: StepParams, work: WorkFolder) -> None:
    pytest.fail("the step must not run")


# ── a green step ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_proven_step_is_recorded_with_all_that_a_person_needs_to_audit_it(run):
    attempt = replace(ATTEMPT, number=2, command="analyze in.csv", image=lambda: "sha256:1", log_url="http://log")
    returned = run_step(ANALYZE, run, attempt, writing(out_csv=READINGS))
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
    assert set(returned.versions) == {"python", "groundtruth", "duckdb", "pandas", "pydantic", "apache-airflow"}
    assert run.started("analyze").started_at == returned.started_at


def events(run):
    return [event for _, event in read_events(run.path) if event.step == "analyze"]


def test_the_events_of_a_step_say_when_it_started_and_was_proven_or_reused(run):
    run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
    started, proven = events(run)
    assert (started.kind, started.step, started.words) == ("step_started", "analyze", "started")
    assert proven.words.endswith("s: 1 artifact, 3 records read")
    run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
    assert [event.words for event in events(run)[2:]] == ["reused: an earlier result still holds"]


def test_a_failed_step_is_an_event_with_its_reason(run):
    with pytest.raises(ContractError):
        run_step(ANALYZE, run, ATTEMPT, writing())
    _, failed = events(run)
    assert (failed.kind, failed.cause) == ("failed", "contract")
    assert "out.csv" in failed.words


def test_a_step_that_lasts_is_shown_as_being_checked_once_its_work_is_done(run, monkeypatch):
    monkeypatch.setattr("include.core.runner.INTERVAL_S", 0)
    run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
    assert [event.kind for event in events(run)] == ["step_started", "progress", "proven"]


def test_a_result_states_what_ran_as_the_execution_itself_knows_it(run):
    ran = lambda params, work: writing(out_csv=READINGS)(params, work) and Ran("sha256:2", "far away")  # noqa: E731
    attempt = replace(ATTEMPT, image=lambda: "sha256:1", definition="0123456789abcdef")
    result = run_step(ANALYZE, run, attempt, ran)
    assert (result.image, result.isolation) == ("sha256:2", "far away"), "a tag may have moved since it was looked up"
    assert result.versions["definition"] == "0123456789ab"
    assert result.versions["groundtruth"] == code_version()


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
    assert run_step(step, folder, ATTEMPT, writing(out_csv=READINGS)).outcome.proofs == (
        Proof(artifact="out.csv", recomputed="3 records"),
    )


def recompute_some(files: Path, params: Params, *, audit: bool) -> tuple[Proof, ...]:
    """Look at the first record alone, and in an audit at all."""
    return (Proof(artifact="out.csv", recomputed="all" if audit else None, sampled=None if audit else "1 record"),)


@pytest.mark.parametrize(
    ("params", "proof"),
    [
        ({}, Proof(artifact="out.csv", sampled="1 record")),
        ({"audit": False}, Proof(artifact="out.csv", sampled="1 record")),
        ({"audit": True}, Proof(artifact="out.csv", recomputed="all")),
    ],
    ids=["run of v0.1.0", "sample", "audit"],
)
def test_an_audited_run_leaves_nothing_to_a_sample(folder, params, proof):
    measured(folder)
    plan(folder, **params)
    result = run_step(
        replace(ANALYZE, recompute=f"{__name__}:recompute_some"), folder, ATTEMPT, writing(out_csv=READINGS)
    )
    assert result.outcome.proofs == (proof,)
    assert result.audited is params.get("audit", False)
    assert "audit" not in result.params, "the step cannot know whether it will be audited"


def recompute_beyond_all_numbers(files, params, *, audit):
    duckdb.execute("SELECT 1e300::BIGINT")


def test_values_that_the_database_cannot_compute_with_are_a_fault_of_the_step(run):
    step = replace(ANALYZE, recompute=f"{__name__}:recompute_beyond_all_numbers")
    error = refused(run, writing(out_csv=READINGS), step)
    assert (error.kind, error.rule) == ("contract", "must write values that can be recomputed")
    assert "out of range" in error.value


def test_a_step_that_states_something_else_than_is_recomputed_fails(run):
    error = refused(run, writing(out_csv=READINGS), replace(ANALYZE, recompute=f"{__name__}:recompute"))
    assert (error.artifact, error.rule, error.value) == ("out.csv", "must hold 2 records", 3)


def rewrite(files: Path, params: Params, *, audit: bool) -> tuple[Proof, ...]:
    """Compare the table with the one that the parameters give."""
    if (files / "out.csv").read_text() != READINGS:
        raise ContractError("out.csv", "must be the table that is written again")
    return (Proof(artifact="out.csv", recomputed="3 records", records=3),)


def rewriting(recompute: Callable[..., object] = rewrite) -> Step:
    first, *others = ANALYZE.writes
    rewritten = replace(first, rewritten=True)
    return replace(ANALYZE, writes=(rewritten, *others), recompute=f"{__name__}:{recompute.__name__}")


def test_the_records_of_a_file_that_is_written_again_are_those_of_its_proof(run):
    assert run_step(rewriting(), run, ATTEMPT, writing(out_csv=READINGS)).outputs[0].records == 3


def test_a_file_that_differs_from_what_is_written_again_fails(run):
    error = refused(run, writing(out_csv=READINGS.replace("1.", "7.", 1)), rewriting())
    assert error.rule == "must be the table that is written again"


def test_a_file_that_nothing_writes_again_is_not_taken_unchecked(run):
    error = refused(run, writing(out_csv=READINGS), rewriting(recompute_some))
    assert (error.artifact, error.value) == ("out.csv", "no such proof")


def test_a_step_sees_only_the_parameters_that_its_model_declares(folder):
    plan(folder, factor=3, households=20)
    seen: list[StepParams] = []
    run_step(MEASURE, folder, ATTEMPT, after(lambda files, params: seen.append(params), in_csv=READINGS))
    assert seen == [Params(factor=3)]


def test_rejected_records_are_accounted_for_with_their_reason(run):
    verdict = run_step(ANALYZE, run, ATTEMPT, writing(out_csv=table({}, {}), rejected_csv="line,reason\n3,negative\n"))
    assert verdict.records.rejected_by_reason == {"bad": 1}
    assert [file.path for file in verdict.outputs] == ["out.csv", "rejected.csv"]


def test_the_attempt_under_way_is_on_record_before_the_step_runs(run):
    def look(files: Path, params: StepParams) -> None:
        assert run.started("analyze").attempt == 1
        assert run.result("analyze") is None

    run_step(ANALYZE, run, ATTEMPT, after(look, out_csv=READINGS))


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
    error = refused(run, writing(**({} if content is None else {"out_csv": content})))
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
    error = refused(run, writing(**{artifact.path.replace(".", "_"): content}), writes(ANALYZE, artifact))
    assert (error.artifact, error.rule) == (artifact.path, rule)


@pytest.mark.parametrize("written", [table({}), table({}, {}, {}, {})], ids=["one lost", "one too many"])
def test_records_that_do_not_reconcile_fail_the_step(run, written):
    error = refused(run, writing(out_csv=written))
    assert (error.artifact, error.rule) == (
        "analyze",
        "records read must equal accepted + rejected + outside the window",
    )
    assert str(error.value).startswith(f"3 read, {written.count('home')} accepted, 0 rejected (0 with a reason)")


def test_a_rejected_record_without_a_reason_does_not_reconcile(run):
    step = replace(ANALYZE, records=lambda files: Records(read=3, accepted=2, rejected=1))
    assert "1 rejected (0 with a reason)" in refused(run, writing(out_csv=READINGS), step).value


@pytest.mark.parametrize(
    ("leave", "rule", "value"),
    [
        (lambda path, other: path.symlink_to(other), "must be a regular file, reached without a link", "a link to"),
        (lambda path, other: path.hardlink_to(other), "must be a file of its own", "a hard link: the file has 2 names"),
        (lambda path, other: path.mkdir(), "must be a regular file", "drwx"),
        (lambda path, other: os.mkfifo(path), "must be a regular file", "prw"),
    ],
    ids=["link", "hard link", "folder", "fifo"],
)
def test_only_a_file_of_the_steps_own_is_an_output(run, tmp_path, leave, rule, value):
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "out.csv"
    other.write_text(READINGS)
    error = refused(run, called(lambda files, params: leave(files / "out.csv", other)))
    assert (error.artifact, error.rule) == ("out.csv", rule)
    assert str(error.value).startswith(value)
    assert other.read_text() == READINGS


def test_a_folder_in_an_outputs_place_does_not_stand_in_the_way_of_the_next_attempt(run):
    assert refused(run, called(lambda files, _: (files / "out.csv").mkdir())).rule == "must be a regular file"
    assert run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS)).status == "success"


@pytest.mark.parametrize(
    ("litter", "name"),
    [
        (lambda files: (files / "notes.txt").write_text("surprise"), "notes.txt"),
        (lambda files: (files / "more").symlink_to("/etc"), "more"),
        (lambda files: (files / "new\nline.csv").touch(), "new\\nline.csv"),
        (lambda files: (files / "OUT.CSV").write_text(READINGS), "OUT.CSV"),
        (lambda files: (files / unicodedata.normalize("NFD", "ü.csv")).touch(), unicodedata.normalize("NFD", "ü.csv")),
        (lambda files: (files / os.fsdecode(b"\xff.csv")).touch(), "\\udcff.csv"),
        (lambda files: os.mkfifo(files / "pipe"), "pipe"),
    ],
    ids=["file", "link to a folder", "line break", "letter case", "decomposed name", "not UTF-8", "fifo"],
)
def test_a_step_may_not_write_what_it_did_not_declare(run, litter, name):
    error = refused(run, after(lambda files, _: litter(files), out_csv=READINGS))
    assert (error.artifact, error.rule) == (name, "must not be written: the step did not declare it")


def replaced(path: Path) -> None:
    path.unlink()
    path.write_text(READINGS + READINGS)


@pytest.mark.parametrize("harm", [Path.unlink, replaced], ids=["remove", "replace"])
def test_an_input_that_a_step_touched_is_reported(run, harm):
    error = refused(run, after(lambda files, _: harm(files / "in.csv"), out_csv=READINGS))
    assert (error.artifact, error.rule) == ("in.csv", "must not be touched by a step that only reads it")
    assert (run.files / "in.csv").read_text() == READINGS, "nobody else saw it"


def test_a_work_folder_shows_the_declared_inputs_and_nothing_else(run):
    def look(files: Path, params: StepParams) -> None:
        assert [path.name for path in files.iterdir()] == ["in.csv"]
        assert (files / "in.csv").stat().st_mode & 0o222 == 0

    run_step(ANALYZE, run, ATTEMPT, after(look, out_csv=READINGS))


def test_a_step_cannot_reach_the_output_of_one_that_runs_beside_it(run):
    beside = replace(writes(ANALYZE, Artifact("beside.csv", Reading)), id="beside")

    def overwrite(files: Path, params: StepParams) -> None:
        run_step(beside, run, ATTEMPT, writing(beside_csv=READINGS))
        assert not (files / "beside.csv").exists()
        (files / "beside.csv").write_text(table({"power": "999"}))

    error = refused(run, after(overwrite, out_csv=READINGS))
    assert (error.artifact, error.rule) == ("beside.csv", "must not be written: the step did not declare it")
    assert (run.files / "beside.csv").read_text() == READINGS


def test_file_times_and_empty_folders_prove_and_change_nothing(run):
    def harmless(files: Path, params: StepParams) -> None:
        (files / "empty/folder").mkdir(parents=True)
        os.utime(files / "in.csv", (4_000_000_000, 4_000_000_000))

    for generation in range(2):
        attempt = replace(ATTEMPT, generation=generation)
        assert run_step(ANALYZE, run, attempt, after(harmless, out_csv=READINGS)).status == "success"
    assert sorted(path.name for path in run.files.iterdir()) == ["in.csv", "out.csv"]
    assert (run.files / "in.csv").read_text() == READINGS


def test_what_a_step_changes_after_it_was_sealed_changes_nothing(run, monkeypatch):
    kept = []

    def keep(files: Path, params: StepParams) -> None:
        kept.append((files / "out.csv").open("w"))
        kept[0].write(READINGS)
        kept[0].flush()

    def late(files: Path) -> Records:
        kept[0].write(READINGS)
        kept[0].close()
        return Records(read=3, accepted=3)

    step = replace(ANALYZE, records=late)
    verdict = run_step(step, run, ATTEMPT, called(keep))
    assert run.locate(verdict.outputs[0]).read_text() == READINGS == (run.files / "out.csv").read_text()


def test_a_step_whose_files_do_not_reach_the_disk_fails(run, monkeypatch):
    def full(store, sealed):
        assert sealed == {hashlib.sha256(READINGS.encode()).hexdigest(): "out.csv"}
        raise SetupError("out.csv: cannot be sealed: No space left on device")

    monkeypatch.setattr(FolderStore, "flush", full)
    with pytest.raises(SetupError, match="cannot be sealed: No space left on device"):
        run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
    assert run.result("analyze").status == "failed"


def test_a_result_that_a_step_writes_for_itself_counts_for_nothing(run):
    forged = run.result("measure").model_dump_json()

    def forge(files: Path, params: StepParams) -> None:
        (files / "steps/analyze").mkdir(parents=True)
        (files / "steps/analyze/result.json").write_text(forged)

    error = refused(run, after(forge, result_json=forged))
    assert error.rule == "must not be written: the step did not declare it"
    assert run.result("analyze").status == "failed"


# ── lies about the input ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_input_that_no_step_of_this_run_made_is_refused_before_the_step_runs(folder):
    plan(folder)
    (folder.files / "in.csv").write_text(READINGS)
    error = refused(folder, never)
    assert str(error) == "in.csv: must come from a step of this run that succeeded; found no such result"


def test_an_input_whose_producer_failed_is_refused(folder):
    plan(folder)
    refused(folder, writing(in_csv=table()), MEASURE)
    assert refused(folder, never).artifact == "in.csv"


def test_an_output_that_changed_after_its_checksum_was_recorded_is_caught_by_its_consumer(run):
    tamper(run, "in.csv", table({"power": "999"}, {}, {}))
    assert refused(run, never).rule == "must be as Measure left it (its checksum was recorded)"


def test_an_attempt_starts_now_under_its_number_and_generation():
    before = datetime.now(UTC)
    started = Attempt(number=2, generation=3, runtime="docker").start("measure")
    assert (started.step, started.attempt, started.generation, started.runtime) == ("measure", 2, 3, "docker")
    assert before <= started.started_at <= datetime.now(UTC)


def test_an_optional_input_may_be_absent(folder):
    plan(folder)
    step = replace(MEASURE, reads=(Artifact("source/*", optional=True), Artifact("hints.json", optional=True)))
    assert run_step(step, folder, ATTEMPT, writing(in_csv=READINGS)).inputs == []


def test_people_s_files_are_inputs_with_the_checksum_they_were_staged_with(folder):
    (folder.files / "source").mkdir()
    (folder.files / "source/meter.csv").write_text(READINGS)
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


# ── retry, resume, clear ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_accepted_result_is_used_again_in_a_retried_step(run):
    first = run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
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
    run_step(MEASURE, run, replace(ATTEMPT, generation=1), writing(in_csv=table({"power": "9"}, {}, {})))
    return ATTEMPT


@pytest.mark.parametrize(
    "change", [cleared, another_image, another_command, another_runtime, other_params, other_inputs]
)
def test_a_result_of_other_circumstances_is_not_used_again(run, change):
    run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
    attempt = change(run)
    again = run_step(ANALYZE, run, attempt, writing(out_csv=table({}, {}, {})))
    assert again.reused is False
    assert (run.files / "out.csv").read_text() == table({}, {}, {})


def test_a_result_of_another_version_of_the_step_is_not_used_again(run):
    run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
    again = run_step(replace(ANALYZE, version="2"), run, ATTEMPT, writing(out_csv=READINGS))
    assert (again.reused, again.version) == (False, "2")


def test_a_failed_result_is_not_used_again(run):
    refused(run, called(lambda *_: None))
    assert run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS)).reused is False


def test_an_accepted_result_that_was_changed_is_not_used_again_but_refused(run):
    run_step(ANALYZE, run, ATTEMPT, writing(out_csv=table({}, {}, {"power": "3"})))
    tamper(run, "out.csv", table({}, {}, {}))
    assert refused(run, never).rule == "must be as Analyze left it (its checksum was recorded)"
    assert run_step(ANALYZE, run, cleared(run), writing(out_csv=READINGS)).status == "success"


def test_a_step_that_died_leaves_no_verdict_and_runs_again(run, monkeypatch):
    run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
    monkeypatch.setattr("include.core.runner.write_result", lambda *_: None)
    run_step(ANALYZE, run, cleared(run), writing(out_csv=READINGS))
    monkeypatch.undo()
    assert run.started("analyze").generation == 1
    assert run.result("analyze") is None
    assert run_step(ANALYZE, run, cleared(run), writing(out_csv=READINGS)).reused is False


def test_what_an_attempt_that_died_left_behind_is_removed_by_the_next(run):
    died_after(run, writing(out_csv=READINGS, never_txt="x"))
    assert len(run.works("analyze")) == 1
    run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
    assert run.works("analyze") == []


def test_scratch_folders_survive_an_attempt_but_not_a_success_or_a_clear(run):
    step = replace(ANALYZE, scratch=("checkpoints/a",))
    seen = []

    def train(files: Path, params: StepParams) -> None:
        seen.append([path.name for path in (files / "checkpoints/a").iterdir()])
        (files / "checkpoints/a/epoch").touch()

    refused(run, called(train), step)
    refused(run, called(train), step)
    run_step(step, run, cleared(run), after(train, out_csv=READINGS))
    assert seen == [[], ["epoch"], []]
    assert run.scratches("analyze") == []


# ── failures and their verdicts ──────────────────────────────────────────────────────────────────────────────────────


def died_after(run: RunFolder, execute: Execute) -> None:
    """A first attempt whose worker is killed once the step has done something: no verdict is left."""

    def die(params: StepParams, work: WorkFolder) -> None:
        execute(params, work)
        raise KeyboardInterrupt

    with pytest.raises(InterruptedStepError):
        run_step(ANALYZE, run, replace(ATTEMPT, resuming=lambda: False), die)
    (run.step("analyze") / "result.json").unlink()


def nothing_more(params: StepParams, work: WorkFolder) -> None:
    """The work was done before, if it was this work."""
    if not any(work.files.iterdir()):
        work.link_inputs()


def test_work_that_went_on_without_its_worker_is_taken_up_and_counts(run):
    died_after(run, writing(out_csv=READINGS))
    began = run.started("analyze")
    verdict = run_step(ANALYZE, run, replace(ATTEMPT, number=2, resuming=lambda: True), nothing_more)
    assert [(event.kind, event.attempt) for event in events(run)][-2:] == [("resumed", 2), ("proven", 2)]
    assert (verdict.status, verdict.attempt) == ("success", 2)
    assert verdict.started_at == began.started_at


def test_work_that_is_taken_up_answers_for_all_that_was_written_since_it_began(run):
    died_after(run, writing(out_csv=READINGS, litter_txt="x"))
    error = refused(run, nothing_more, attempt=replace(ATTEMPT, number=2, resuming=lambda: True))
    assert error.artifact == "litter.txt"


def test_work_that_began_with_another_image_is_not_taken_up(run):
    died_after(run, writing(out_csv=READINGS))
    never_asked = lambda: pytest.fail("must not be asked")  # noqa: E731
    rebuilt = replace(ATTEMPT, number=2, image=lambda: "sha256:new", resuming=never_asked)
    assert refused(run, nothing_more, attempt=rebuilt).artifact == "out.csv"


def test_work_that_began_with_other_inputs_is_not_taken_up(run):
    died_after(run, writing(out_csv=READINGS))
    again = replace(other_inputs(run), number=2, resuming=lambda: pytest.fail("must not be asked"))
    assert refused(run, nothing_more, attempt=again).artifact == "out.csv"


def test_a_cleared_step_takes_nothing_up(run):
    died_after(run, writing(out_csv=READINGS))
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
    def execute(params: StepParams, work: WorkFolder) -> None:
        raise raised

    with pytest.raises(becomes):
        run_step(ANALYZE, run, ATTEMPT, execute)
    verdict = run.result("analyze")
    assert (verdict.status, verdict.outputs) == ("failed", [])
    room = rf"; \d+\.\d MB free at {re.escape(str(run.path))}(?=\)$)"
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
    refused(run, called(lambda *_: None))
    before = verdict.read_text()
    with verdict.open() as reader:
        run_step(ANALYZE, run, ATTEMPT, writing(out_csv=READINGS))
        assert reader.read() == before
    assert json.loads(verdict.read_text())["status"] == "success"
    assert sorted(path.name for path in verdict.parent.iterdir()) == ["result.json", "started.json"]


def test_a_verdict_that_cannot_be_written_does_not_hide_why_the_step_failed(run, monkeypatch):
    def full(sink: FileSink, name: str, document: Any) -> None:
        raise SetupError(f"{Path(name).name}: cannot be written: No space left on device")

    def execute(params: StepParams, work: WorkFolder) -> None:
        monkeypatch.setattr(FileSink, "keep", full)
        raise BadInputError("meter.csv: no")

    with pytest.raises(BadInputError, match=r"meter\.csv: no") as error:
        run_step(ANALYZE, run, ATTEMPT, execute)
    assert error.value.__notes__ == [
        "its result could not be written either: result.json: cannot be written: No space left on device"
    ]


def test_a_verdict_finds_room_where_the_failed_step_left_its_outputs(run, monkeypatch):
    def full_beside_outputs(sink: FileSink, name: str, document: Any) -> None:
        if run.works("analyze"):
            raise SetupError(f"{Path(name).name}: cannot be written: No space left on device")
        write_json(sink.folder / name, document)

    def fill(files: Path, params: StepParams) -> None:
        monkeypatch.setattr(FileSink, "keep", full_beside_outputs)

    with pytest.raises(SetupError, match=r"result\.json: cannot be written: No space left on device"):
        run_step(ANALYZE, run, ATTEMPT, after(fill, out_csv=READINGS))
    assert run.result("analyze").status == "failed"
    assert (run.files / "in.csv").exists(), "only what the step itself wrote makes room"


def test_a_success_that_cannot_be_recorded_is_none(run, monkeypatch):
    def block(files: Path, params: StepParams) -> None:
        shutil.rmtree(run.path / "steps/analyze")
        (run.path / "steps/analyze").write_text("in the way")

    with pytest.raises(SetupError, match=r"result\.json: cannot be written"):
        run_step(ANALYZE, run, ATTEMPT, after(block, out_csv=READINGS))


def test_a_step_that_fills_the_disk_fails_in_words_and_leaves_no_success(tmp_path, tiny_disk):
    folder = RunFolder(tiny_disk / "run")
    folder.files.mkdir(parents=True)
    plan(folder)
    with pytest.raises(SetupError, match=r"^the disk is full: free some space and run again"):
        run_step(MEASURE, folder, ATTEMPT, writing(in_csv=READINGS + "x" * 200_000))
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


# files of stores

SCENE, SPARE = "imagery/a/scene.tif", "imagery/a/spare.tif"
SHA256 = hashlib.sha256(b"scene").hexdigest()
READS_SCENE = replace(ANALYZE, stored=f"{__name__}:scenes")


def scenes(files: Path, params: StepParams) -> list[StoredFile]:
    """A scene that an input states, and one that the step judges, if it is there."""
    assert (files / "in.csv").exists(), "the inputs say which files"
    return [StoredFile(SCENE, SHA256, "the validation"), StoredFile(SPARE)]


def store(data_dir: Path, name: str = SCENE, content: str = "scene") -> Path:
    path = data_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.mark.parametrize("spare", [False, True])
def test_a_step_gets_the_files_of_stores_that_its_inputs_name_and_the_result_lists_them(run, data_dir, spare):
    expected = {SCENE: store(data_dir)}
    if spare:
        expected[SPARE] = store(data_dir, SPARE, "whatever it is")
    seen = []

    def look(params: StepParams, work: WorkFolder) -> Ran | None:
        seen.append(dict(work.stored))
        return writing(out_csv=READINGS)(params, work)

    result = run_step(READS_SCENE, run, ATTEMPT, look)
    assert seen == [expected]
    assert [(file.path, file.sha256) for file in result.stored] == [
        (name, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in expected.items()
    ]


def link(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.symlink_to("other")


@pytest.mark.parametrize(
    ("harm", "rule"),
    [
        (Path.unlink, "must still be there, as the validation left it"),
        (lambda path: path.write_text("another"), r"must be as the validation left it \(its checksum was recorded\)"),
        (link, "must be as the validation left it: a regular file"),
    ],
)
def test_a_file_of_a_store_that_is_not_what_the_inputs_state_stops_the_step_before_it_begins(run, data_dir, harm, rule):
    harm(store(data_dir))
    error = refused(run, lambda *_: pytest.fail("it began"), READS_SCENE)
    assert error.artifact == SCENE
    assert re.match(rule, error.rule)


def test_a_result_is_used_again_only_with_the_same_files_of_stores(run, data_dir):
    store(data_dir)
    run_step(READS_SCENE, run, ATTEMPT, writing(out_csv=READINGS))
    assert run_step(READS_SCENE, run, ATTEMPT, lambda *_: pytest.fail("it began again")).reused
    store(data_dir, SPARE, "new")
    assert not run_step(READS_SCENE, run, ATTEMPT, writing(out_csv=READINGS)).reused


KEPT: list[str] = []
KEEPS = replace(ANALYZE, keep=f"{__name__}:keep_output")


def keep_output(files: Path, params: StepParams) -> None:
    """Add the sealed output to a store, unless one lies there."""
    if KEPT and [(files / "out.csv").read_text()] != KEPT:
        raise TransientError("it is not the stored one")
    KEPT[:] = [(files / "out.csv").read_text()]


def test_the_orchestrator_keeps_the_outputs_of_an_accepted_step_alone(run):
    KEPT.clear()
    refused(run, writing(out_csv=table({"power": "-1"})), KEEPS)
    assert KEPT == []
    run_step(KEEPS, run, ATTEMPT, writing(out_csv=READINGS))
    assert KEPT == [READINGS]


def test_a_step_whose_output_differs_from_the_one_that_is_kept_is_tried_again(run):
    KEPT[:] = ["another"]
    with pytest.raises(TransientError, match="not the stored one"):
        run_step(KEEPS, run, ATTEMPT, writing(out_csv=READINGS))
    assert run.result("analyze").error.kind == "transient"
    KEPT[:] = [READINGS]
    assert run_step(KEEPS, run, replace(ATTEMPT, number=2), writing(out_csv=READINGS)).status == "success"
