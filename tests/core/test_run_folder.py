"""The run folder: one run, one folder, and records that are never half written."""

import json
import os
import resource
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from include.core.outcome import Proof, StepMetrics, StepOutcome
from include.core.run_folder import (
    FileRecord,
    Records,
    RunFolder,
    Started,
    StepInfo,
    StepResult,
    damage_of,
    read_model,
    safe_name,
    seconds_between,
    write_json,
)
from tests.core.small_pipeline import NOW, measured, plan

RUN_IDS = st.text(st.sampled_from("abcXYZ019_.~:+-"), min_size=1, max_size=60)  # what Airflow allows in a run id


class Document(BaseModel):
    value: str | float


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("scheduled__2026-01-01T00:00:00+00:00", "scheduled__2026-01-01T00-00-00+00-00"),
        ("energy-analyzer", "energy-analyzer"),
        ("../../etc/passwd", "..-..-etc-passwd"),
        ("a b\tc\nd\0e", "a-b-c-d-e"),
        ("Zähler", "Zähler"),
        ("", "run-0"),
        (".", "run-1"),
        ("..", "run-2"),
        ("-rf", "-rf"),
    ],
)
def test_a_name_becomes_a_safe_folder_name(name, folder):
    assert safe_name(name) == folder


@given(st.text())
def test_any_name_becomes_one_folder_below_its_parent_and_stays_as_it_is_from_then_on(name):
    folder = safe_name(name)
    parent = Path("/data/runs")
    assert (parent / folder).parent == parent
    assert os.path.normpath(parent / folder) == str(parent / folder)
    assert "\0" not in folder
    assert folder.encode()
    assert safe_name(folder) == folder


@given(RUN_IDS, RUN_IDS)
def test_two_run_ids_share_a_folder_only_if_they_differ_in_marks_alone(one, other):
    """Such a pair is told apart when the run is prepared: see `test_preparation.py`."""
    if safe_name(one) == safe_name(other) and one.strip(".") and other.strip("."):
        assert one.translate({ord("~"): "-", ord(":"): "-"}) == other.translate({ord("~"): "-", ord(":"): "-"})


def test_what_steps_see_and_what_is_recorded_of_them_lie_apart(tmp_path):
    folder = RunFolder.of(tmp_path, "energy_pipeline", "manual__2026-01-01T00:00:00")
    assert folder.path == tmp_path / "runs/energy_pipeline/manual__2026-01-01T00-00-00"
    assert folder.files == folder.path / "files"
    assert folder.step("analyze") == folder.path / "steps/analyze"
    assert not folder.step("../files/forged").is_relative_to(folder.files)


def test_what_was_never_written_is_none(tmp_path):
    folder = RunFolder(tmp_path / "not there yet")
    assert (folder.run(), folder.started("analyze"), folder.result("analyze")) == (None, None, None)


def test_records_are_read_as_they_were_written(folder):
    written = measured(folder)
    assert folder.result("measure") == written
    assert folder.run() == plan(folder)


def test_the_tasks_of_a_run_follow_its_plan_and_those_of_a_mapped_step_their_number(folder):
    assert (folder.all_tasks(), folder.accepted_results()) == ([], [])
    result = measured(folder)
    (folder.path / "steps/analyze.001").mkdir()
    (folder.path / "steps/analyze.000").mkdir()
    assert folder.all_tasks() == ["measure", "analyze.000", "analyze.001"]
    assert folder.accepted_results() == [result]
    write_json(folder.step("measure") / "result.json", result.model_copy(update={"status": "failed"}))
    assert folder.accepted_results() == []


def test_a_draft_is_a_failure_until_it_has_ended():
    started = Started(step="measure", started_at=NOW, attempt=2, generation=1, runtime="docker")
    draft = StepResult.draft(started, title="Measure", description="", version="1", command="measure")
    assert (draft.status, draft.ended_at, draft.duration_seconds) == ("failed", NOW, 0)
    assert (draft.step, draft.attempt, draft.generation, draft.runtime, draft.command) == (
        "measure", 2, 1, "docker", "measure",
    )  # fmt: skip


def test_a_step_of_several_tasks_began_with_the_first_of_them(folder):
    info = StepInfo(id="download", title="Download", description="", parts=["search", "fetch"])
    assert folder.step_started(info) is None
    for task, delay in (("search", 5), ("fetch", 0)):
        started = Started(step=task, started_at=NOW + timedelta(seconds=delay), attempt=delay + 1)
        write_json(folder.step(task) / "started.json", started)
    assert folder.step_started(info) == Started(step="download", started_at=NOW, attempt=1)


def ended(folder, task: str, status: str, seconds: int) -> StepResult:
    """Record a task that started at NOW and ended so many seconds later."""
    draft = StepResult.draft(Started(step=task, started_at=NOW), title=task, description="", version="1")
    end = NOW + timedelta(seconds=seconds)
    result = draft.model_copy(update={"status": status, "ended_at": end, "params": {task: seconds}})
    write_json(folder.step(task) / "result.json", result)
    return result


def test_the_result_of_a_step_of_several_tasks_combines_theirs(folder):
    info = StepInfo(id="download", title="Download", description="All of it.", parts=["search", "fetch"])
    ended(folder, "search", "success", 5)
    assert folder.step_result(info) is None, "one task has not ended"
    (folder.path / "steps/fetch.000").mkdir()
    ended(folder, "fetch.000", "success", 9)
    assert folder.tasks(info) == ["search", "fetch.000"]
    whole = folder.step_result(info)
    assert (whole.step, whole.title, whole.description, whole.status) == (
        "download",
        "Download",
        "All of it.",
        "success",
    )
    assert (whole.started_at, whole.duration_seconds) == (NOW, 9)
    assert whole.params == {"search": 5, "fetch.000": 9}
    ended(folder, "fetch.000", "failed", 7)
    assert folder.step_result(info).status == "failed"
    write_json(folder.step("fetch.000") / "started.json", Started(step="fetch.000", started_at=NOW, attempt=2))
    assert folder.step_result(info) is None, "the failed task is tried again"


def test_the_result_of_a_step_of_several_tasks_keeps_what_each_proved_and_read(folder):
    info = StepInfo(id="decide", title="Decide", description="All of it.", parts=["verify", "configure"])
    for number, (task, isolation) in enumerate({"verify": "container", "configure": "worker"}.items(), 1):
        result = ended(folder, task, "success", number)
        read = [FileRecord(path=f"models/{name}", sha256="0", bytes=1) for name in ("champion", task)]
        proofs = (Proof(artifact=f"{task}.json", recomputed="all"),)
        outcome = StepOutcome(metrics=StepMetrics(), published_as=task, proofs=proofs)
        update = {"stored": read, "isolation": isolation, "outcome": outcome}
        write_json(folder.step(task) / "result.json", result.model_copy(update=update))
    whole = folder.step_result(info)
    assert [record.path for record in whole.stored] == ["models/champion", "models/verify", "models/configure"]
    assert whole.isolation == "container; worker"
    assert [proof.artifact for proof in whole.outcome.proofs] == ["verify.json", "configure.json"]
    assert whole.outcome.published_as == "configure", "otherwise the outcome is that of the last task"


@pytest.mark.parametrize(("params", "audited"), [({}, False), ({"audit": False}, False), ({"audit": True}, True)])
def test_a_run_is_audited_where_its_parameters_say_so(folder, params, audited):
    assert plan(folder, **params).audited is audited


def test_the_result_of_a_step_of_one_task_is_that_task_s(folder):
    info = StepInfo(id="measure", title="Measure", description="")
    assert folder.step_result(info) is None
    result = ended(folder, "measure", "failed", 1)
    assert folder.step_result(info) == result


def test_a_record_that_is_no_record_is_an_error_and_not_none(tmp_path):
    path = tmp_path / "started.json"
    path.write_text('{"step": "x"')
    with pytest.raises(ValidationError):
        read_model(path, Started)
    path.write_text('{"step": "x", "started_at": "2026-01-01T00:00:00"}')
    with pytest.raises(ValidationError, match="timezone"):
        read_model(path, Started)


def test_a_record_that_would_fill_memory_is_not_read(tmp_path):
    path = tmp_path / "started.json"
    with path.open("wb") as file:
        file.truncate(2 * 10**9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValidationError, match="has 2,000 MB, more than the 67 MB allowed") as error:
        read_model(path, Started)
    assert damage_of(path, error.value) == f"{path} has 2,000 MB, more than the 67 MB allowed, and was not read."
    assert error.value.title == "Started", "reports name the record by it"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32_000  # kB


def test_documents_are_readable_json_that_ends_with_a_line_break(tmp_path):
    write_json(tmp_path / "new/folder/d.json", Document(value="Zähler"))
    assert (tmp_path / "new/folder/d.json").read_text() == '{\n  "value": "Zähler"\n}\n'


def test_what_json_has_no_word_for_is_null(tmp_path):
    write_json(tmp_path / "d.json", Document(value=float("nan")))
    assert json.loads((tmp_path / "d.json").read_text()) == {"value": None}


def test_a_reader_sees_the_old_document_or_the_new_one(tmp_path):
    path, seen, done = tmp_path / "d.json", set(), threading.Event()
    documents = [Document(value=letter * 20_000) for letter in "ab"]
    write_json(path, documents[0])

    def read() -> None:
        while not done.is_set():
            seen.add(json.loads(path.read_text())["value"])

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        write_json(path, documents[number % 2])
    done.set()
    reader.join()
    assert seen <= {document.value for document in documents}
    assert [child.name for child in tmp_path.iterdir()] == ["d.json"]


def test_durations_are_seconds_to_the_millisecond():
    assert seconds_between(NOW, NOW + timedelta(microseconds=1_234_567)) == 1.235
    assert seconds_between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)) == 86_400


# ── record accounting ────────────────────────────────────────────────────────────────────────────────────────────────

COUNTS = st.integers(0, 10**9)
REASONS = st.dictionaries(st.text(min_size=1), COUNTS, max_size=5)


def records(read: int, accepted: int, rejected: int, outside: int, reasons: dict[str, int]) -> Records:
    return Records(read=read, accepted=accepted, rejected=rejected, outside=outside, rejected_by_reason=reasons)


@given(COUNTS, REASONS, COUNTS)
def test_records_reconcile_when_each_is_accounted_for_once(accepted, reasons, outside):
    rejected = sum(reasons.values())
    assert records(accepted + rejected + outside, accepted, rejected, outside, reasons).reconciles


@given(COUNTS, REASONS, COUNTS, st.integers(-(10**9), 10**9).filter(bool), st.sampled_from(range(5)))
def test_one_count_that_is_off_and_records_do_not_reconcile(accepted, reasons, outside, off, which):
    rejected = sum(reasons.values())
    counts = [accepted + rejected + outside, accepted, rejected, outside]
    if which == 4:
        reasons = reasons | {"one more": off}
    else:
        counts[which] += off
    assert not records(*counts, reasons).reconciles


@given(st.integers(1, 10**6))
def test_a_negative_count_accounts_for_nothing(surplus):
    assert not records(5, 5 + surplus, 0, -surplus, {}).reconciles
    assert not records(5, 5 + surplus, -surplus, 0, {"given back": -surplus}).reconciles
    assert not records(5, 5, 0, 0, {"more": surplus, "less": -surplus}).reconciles


def test_recorded_successes_include_tasks_without_a_plan(folder):
    ended(folder, "measure", "success", 1)
    ended(folder, "analyze", "failed", 2)
    assert [result.step for result in folder.recorded_successes()] == ["measure"]


def test_a_result_that_cannot_be_read_is_reported_and_is_not_a_success(folder, caplog):
    ended(folder, "measure", "success", 1)
    damaged = folder.step("measure") / "result.json"
    damaged.write_text('{"step": "mea')
    assert folder.recorded_successes() == []
    assert f"{damaged} cannot be read, so it counts as no success: " in caplog.text


def test_the_result_of_an_earlier_attempt_is_not_that_of_the_step(folder):
    ended(folder, "measure", "failed", 1)
    info = StepInfo(id="measure", title="Measure", description="")
    assert folder.step_result(info).status == "failed"
    write_json(folder.step("measure") / "started.json", Started(step="measure", started_at=NOW, attempt=9))
    assert folder.step_result(info) is None
