"""How an attempt ended is on record whatever happened, with its error in words."""

import errno
from datetime import UTC, datetime, timedelta

import pytest

from include.core.errors import BadInputError, ContractError, InterruptedStepError, SetupError, StepSuspendedError
from include.core.outcome import StepMetrics, StepOutcome
from include.core.recording import as_known_error, failure_of, failure_recorded, recorded, write_result
from include.core.run_folder import INTERRUPTED_MARK, RunFolder, Started, StepResult
from include.core.sink import read_events
from tests.core.small_pipeline import NOW


def started(task: str) -> Started:
    return Started(step=task, started_at=NOW - timedelta(seconds=2), attempt=2)


def draft(task: str) -> StepResult:
    return StepResult.draft(started(task), title="Publish", description="Promotes.", version="1")


def test_a_task_that_is_no_step_keeps_the_same_records(folder):
    with recorded(folder, started("publish"), "Publish", "Promotes.") as draft:
        assert folder.started("publish") == started("publish")
        draft.outcome = StepOutcome(metrics=StepMetrics(published="2026-01-01"))
    verdict = folder.result("publish")
    assert isinstance(verdict, StepResult)
    assert (verdict.status, verdict.attempt, verdict.outcome.scalars()) == ("success", 2, {"published": "2026-01-01"})


def test_the_failure_of_a_task_that_is_no_step_is_on_record_too(folder):
    with pytest.raises(ContractError), recorded(folder, started("publish"), "Publish", "Promotes."):
        raise ContractError("out.csv", "must be there")
    assert folder.result("publish").error.artifact == "out.csv"
    with pytest.raises(InterruptedStepError), recorded(folder, started("prepare"), "Prepare", "Prepares."):
        raise KeyboardInterrupt
    assert folder.result("prepare").error.kind == "interrupted"


def test_a_result_ends_now(folder: RunFolder):
    before = datetime.now(UTC)
    result = write_result(folder, draft("publish"), "success")
    assert result == folder.result("publish")
    assert (result.status, result.started_at) == ("success", started("publish").started_at)
    assert before <= result.ended_at <= datetime.now(UTC)
    assert result.duration_seconds == round((result.ended_at - result.started_at).total_seconds(), 3)


def test_whatever_fails_is_on_record_and_raised_in_words(folder: RunFolder):
    with (
        pytest.raises(SetupError, match=r"^b\.csv: cannot be read or written"),
        failure_recorded(folder, draft("publish")),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", "b.csv")
    result = folder.result("publish")
    assert (result.status, result.error.kind) == ("failed", "setup")


def test_a_task_that_is_suspended_has_not_failed(folder: RunFolder):
    with pytest.raises(StepSuspendedError), failure_recorded(folder, draft("publish")):
        raise StepSuspendedError("trigger")
    assert [(event.kind, event.step) for _, event in read_events(folder.path)] == [("deferred", "publish")]
    assert folder.result("publish") is None


def test_an_error_that_a_library_makes_of_an_interrupt_is_an_interrupt(folder: RunFolder):
    (folder.path / INTERRUPTED_MARK).touch()
    with pytest.raises(InterruptedStepError), failure_recorded(folder, draft("publish")):
        raise RuntimeError("query interrupted")
    assert folder.result("publish").error.kind == "interrupted"


def test_a_result_that_finds_no_space_at_first_is_written_once_there_is_some(folder: RunFolder):
    results = folder.path / "steps"
    results.write_text("in the way")
    with pytest.raises(BadInputError), failure_recorded(folder, draft("publish"), make_room=results.unlink):
        raise BadInputError("meter.csv: is odd")
    assert folder.result("publish").error.message == "meter.csv: is odd"


# ── errors in words ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_is_explained_once_however_many_hands_it_goes_through():
    once = as_known_error(OSError(errno.ENOSPC, "No space left on device"))
    assert as_known_error(once) is once


def test_a_contract_failure_names_artifact_rule_and_value():
    failure = failure_of(ContractError("out.csv", "must not be empty", 0))
    assert (failure.artifact, failure.rule, failure.value) == ("out.csv", "must not be empty", "0")


def test_other_failures_have_their_class_and_their_message():
    failures = [
        failure_of(error) for error in (BadInputError("odd"), ZeroDivisionError("by zero"), TimeoutError("late"))
    ]
    assert [(failure.kind, failure.message) for failure in failures] == [
        ("bad_input", "odd"),
        ("error", "ZeroDivisionError: by zero"),
        ("timeout", "TimeoutError: late"),
    ]


def test_an_interrupt_and_a_full_disk_are_known_errors_and_others_stay_what_they_are(tmp_path):
    assert isinstance(as_known_error(KeyboardInterrupt()), InterruptedStepError)
    full = as_known_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert isinstance(full, SetupError)
    assert f"MB free at {tmp_path}" in str(full)
    bug = ZeroDivisionError()
    assert as_known_error(bug) is bug


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error", "a.csv"),
        RuntimeError("IO Error: Could not read a.csv: Input/output error"),
    ],
)
def test_a_disk_that_fails_is_a_fault_of_the_machine(error):
    explained = as_known_error(error)
    assert isinstance(explained, SetupError)
    assert "Input/output error" in str(explained)
    assert as_known_error(explained) is explained


def test_a_failure_can_always_be_written_and_shows_no_secret(folder):
    """A name that is not UTF-8 left no record at all, and the report guessed that memory was short."""
    lies = [
        ContractError("bad\udcff\n.csv", "must not be written", "a link to \x1b[2J\udcff"),
        RuntimeError("no answer of http://ada:s3cret@host \udcff"),
    ]
    for lie in lies:
        with pytest.raises(type(lie)), failure_recorded(folder, draft("publish")):
            raise lie
        text = (folder.step("publish") / "result.json").read_text()
        assert "\\udcff" in text.replace("\\\\", "\\")
        assert "s3cret" not in text
        assert "\x1b" not in text
