"""The step protocol of a task: any runtime, a mapped step, a step taken from an artifact, work that is suspended."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import TaskDeferred
from airflow.triggers.base import BaseTrigger

from include.core.contracts import Artifact
from include.core.errors import ContractError, StepSuspendedError, TransientError
from include.core.outcome import StepMetrics, StepOutcome
from include.core.run_folder import STOPPED
from include.core.runner import Ran
from include.core.settings import RUNTIMES, get_settings
from include.reporting.task_status import task_statuses
from plugins.steps.context import RETRIES
from plugins.steps.factory import step_task
from plugins.steps.runtimes import base, runtime_class
from plugins.steps.runtimes.base import StepOperator, measured_step, note_stop
from tests.core.small_pipeline import ANALYZE, ATTEMPT, MEASURE, READINGS, measured, pipeline, plan, spec, writing

pytestmark = pytest.mark.airflow


class ToyTrigger(BaseTrigger):
    def serialize(self):
        return ("tests.plugins.steps.runtimes.test_base.ToyTrigger", {})

    async def run(self):
        yield None


class ToyStep(StepOperator, BaseOperator):
    """A runtime whose work goes on elsewhere: the task is suspended once, and its file comes when it is collected."""

    runtime = "toy"
    survives_worker = True
    calls: list[str] = []  # noqa: RUF012 - shared by the tests on purpose
    suspends = False

    def describe(self, item):
        return f"toy {item.step.id}"

    def find(self):
        self.calls.append("find")
        return self.work.event is not None

    def start(self, work):
        self.calls.append("start" if work.event is None else "resume")

    def wait(self, work):
        self.calls.append("wait")
        if self.suspends and work.event is None:
            raise StepSuspendedError(ToyTrigger())

    def collect(self, work):
        self.calls.append("collect")
        for artifact in work.item.step.writes:
            artifact.at(work.work_folder.files).parent.mkdir(exist_ok=True)
            artifact.at(work.work_folder.files).write_text(READINGS)
        return Ran(image="toy:1", isolation="elsewhere")

    def cancel(self, work):
        self.calls.append("cancel")

    def release(self, work):
        self.calls.append("release")


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(RUNTIMES, "toy", f"{__name__}:ToyStep")
    monkeypatch.setattr(ToyStep, "calls", [])
    monkeypatch.setattr(ToyStep, "suspends", False)
    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "toy")
    get_settings.cache_clear()
    yield ToyStep
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def run(folder, monkeypatch):
    """A planned run, and the context of a task in it."""
    plan(folder)
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(folder.path))
    get_settings.cache_clear()

    def context(map_index=-1, number=1):
        instance = SimpleNamespace(
            try_number=number,
            max_tries=RETRIES,
            task=SimpleNamespace(retries=RETRIES),
            map_index=map_index,
            task_id="measure",
            dag_id="d",
            run_id="r",
        )
        return {"ti": instance, "dag_run": SimpleNamespace(dag_id="d", run_id="r"), "outlet_events": {}}

    yield SimpleNamespace(folder=folder, context=context)
    get_settings.cache_clear()


def task(of, step_id="measure", **options):
    with DAG("d", schedule=None):
        return step_task(of, of[step_id], **options)


def test_a_runtime_is_one_entry_and_one_class(toy, run):
    operator = task(pipeline())
    assert isinstance(operator, ToyStep)
    assert runtime_class("toy") is ToyStep
    metrics = operator.execute(run.context())
    assert metrics["status"] == "success"
    assert toy.calls == ["start", "wait", "collect", "release"]
    result = run.folder.result("measure")
    assert (result.runtime, result.command, result.status) == ("toy", "toy measure", "success")


def test_a_step_that_needs_the_worker_stays_there_in_every_runtime(toy):
    in_worker = replace(MEASURE, in_worker=True)
    assert type(task(pipeline(spec("measure"), known=(in_worker,)))).__name__ == "LocalStep"


def test_work_that_fails_is_released_too_and_its_failure_is_recorded(toy, run, monkeypatch):
    monkeypatch.setattr(ToyStep, "collect", lambda self, work: Ran())
    with pytest.raises(ContractError, match=r"in\.csv: must exist"):
        task(pipeline()).execute(run.context())
    assert toy.calls == ["start", "wait", "release"]
    assert run.folder.result("measure").status == "failed"


def test_a_kill_cancels_the_work_of_a_task_that_has_begun(toy, run):
    operator = task(pipeline())
    operator.on_kill()
    assert toy.calls == []
    operator.execute(run.context())
    operator.on_kill()
    assert toy.calls[-1] == "cancel"


class Killed(BaseException):
    """The end of the process."""


def test_a_kill_is_noted_for_the_report_before_the_process_ends(toy, run, monkeypatch):
    operator = task(pipeline())

    def wait(self, work):
        operator.on_kill()
        raise Killed

    monkeypatch.setattr(ToyStep, "wait", wait)
    with pytest.raises(Killed):
        operator.execute(run.context())
    assert run.folder.started("measure").stopped
    (run.folder.step("measure") / "result.json").unlink(missing_ok=True)
    monkeypatch.undo()
    assert task_statuses(run.folder, run.folder.run(), None).steps[0].error.kind == "interrupted"


def test_work_that_ends_because_of_a_kill_says_so_and_is_tried_again_if_airflow_wants(toy, run, monkeypatch):
    operator = task(pipeline())

    def wait(self, work):
        operator.on_kill()
        raise TransientError("its container was killed from outside (exit code 137)")

    monkeypatch.setattr(ToyStep, "wait", wait)
    with pytest.raises(TransientError, match="a user marked or cleared its task"):
        operator.execute(run.context())
    error = run.folder.result("measure").error
    assert (error.kind, error.message) == ("interrupted", STOPPED)


def test_the_next_attempt_is_not_the_one_that_was_stopped(toy, run):
    operator = task(pipeline())
    operator.execute(run.context(number=2))
    stopped = replace(operator.work, attempt=replace(operator.work.attempt, number=1))
    note_stop(stopped)
    assert not run.folder.started("measure").stopped
    note_stop(operator.work)
    assert run.folder.started("measure").stopped
    (run.folder.step("measure") / "result.json").unlink()
    task(pipeline()).execute(run.context(number=3))
    assert not run.folder.started("measure").stopped


def test_suspended_work_is_no_failure_and_is_proven_when_it_resumes(toy, run, monkeypatch):
    monkeypatch.setattr(ToyStep, "suspends", True)
    operator = task(pipeline())
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(run.context())
    assert deferral.value.method_name == "execute"
    assert isinstance(deferral.value.trigger, ToyTrigger)
    assert run.folder.result("measure") is None
    started = run.folder.started("measure").started_at
    assert "release" not in toy.calls
    metrics = operator.execute(run.context(), event={"done": True})
    assert metrics["status"] == "success"
    assert run.folder.result("measure").started_at == started, "the step began before its suspension"
    assert toy.calls[-4:] == ["resume", "wait", "collect", "release"]


PARTS = replace(MEASURE, id="part", mapped=True, writes=(Artifact("parts/{index}.csv"),))


def test_a_mapped_step_runs_in_any_runtime(toy, run):
    of = pipeline(spec("part"), known=(PARTS,))
    plan(run.folder, PARTS)
    with DAG("d", schedule=None):
        expanded = step_task(of, of["part"], names=["one", "two"])
    assert expanded.operator_class is ToyStep
    with DAG("d", schedule=None):
        operator = ToyStep(task_id="part", pipeline=of, item=of["part"], instance_name="two")
    operator.execute(run.context(map_index=1))
    assert run.folder.result("part.001").outputs[0].path == "parts/001.csv"


def chosen(files, index):
    """The step that a plan names for a map index."""
    return json.loads((files / "plan.json").read_text())[index]


def test_a_mapped_task_takes_the_step_that_it_runs_from_an_artifact(toy, run):
    other = replace(MEASURE, id="other", writes=(Artifact("other.csv"),))
    of = pipeline(spec("measure"), spec("other"), known=(MEASURE, other))
    plan(run.folder, MEASURE, other)
    (run.folder.files / "plan.json").write_text(json.dumps(["measure", "other"]))
    with DAG("d", schedule=None):
        operator = ToyStep(task_id="any", pipeline=of, item=of["measure"], select=f"{__name__}:chosen")
    operator.execute(run.context(map_index=1))
    assert run.folder.result("other").status == "success"
    assert run.folder.result("measure") is None


def test_a_runtime_without_anything_that_outlives_a_worker_has_no_orphans(toy):
    log = SimpleNamespace(info=lambda *message: None)
    assert ToyStep.remove_orphans(lambda *task: True, log) == 0
    assert ToyStep.file_owner() is None


@pytest.fixture
def monitored(monkeypatch):
    """What monitoring receives: each metric with its value and tags."""
    received = {}
    for name in ("incr", "timing", "gauge"):
        monkeypatch.setattr(
            base.stats, name, lambda metric, value=1, *, tags: received.__setitem__(metric, (value, tags))
        )
    return received


TAGS = {"dag": "test_pipeline", "step": "analyze"}


def test_a_proven_step_reports_duration_records_and_numbers_to_monitoring_and_small_values_to_xcom(folder, monitored):
    measured(folder)
    metrics = measured_step(ANALYZE, folder, ATTEMPT, writing(out_csv=READINGS))
    size = len(READINGS.encode())
    assert metrics == {"status": "success", "reused": False, "seconds": metrics["seconds"], "bytes": size}
    value, tags = monitored.pop("groundtruth.step.duration")
    assert (value.total_seconds(), tags) == (metrics["seconds"], TAGS)
    assert monitored == {
        "groundtruth.records.read": (3, TAGS),
        "groundtruth.records.accepted": (3, TAGS),
        "groundtruth.records.rejected": (0, TAGS),
        "groundtruth.records.outside": (0, TAGS),
        "groundtruth.figure.bytes": (size, TAGS),
    }


def test_a_result_that_is_reused_reports_nothing_to_monitoring(folder, monitored):
    measured(folder)
    measured_step(ANALYZE, folder, ATTEMPT, writing(out_csv=READINGS))
    monitored.clear()
    assert measured_step(ANALYZE, folder, ATTEMPT, writing())["reused"] is True
    assert monitored == {}


def test_lists_texts_and_flags_are_no_numbers_for_monitoring(folder, monitored):
    def outcome(files):
        return StepOutcome(metrics=StepMetrics(promoted=True, version="v7", by={"a": 1}, share=0.5))

    measured(folder)
    step = replace(ANALYZE, outcome=outcome)
    metrics = measured_step(step, folder, ATTEMPT, writing(out_csv=READINGS))
    assert {name: metrics[name] for name in metrics if name not in ("status", "reused", "seconds")} == {
        "promoted": True,
        "version": "v7",
        "share": 0.5,
    }
    assert [name for name in monitored if "figure" in name] == ["groundtruth.figure.share"]


def test_a_failed_step_is_counted_with_the_class_of_its_fault(folder, monitored):
    measured(folder)
    with pytest.raises(ContractError):
        measured_step(ANALYZE, folder, ATTEMPT, writing())
    assert monitored == {"groundtruth.step.failed": (1, TAGS | {"kind": "contract"})}
