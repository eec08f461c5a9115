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
from include.core.errors import ContractError, StepSuspendedError
from include.core.settings import RUNTIMES, get_settings
from plugins.steps.context import RETRIES
from plugins.steps.factory import step_task
from plugins.steps.runtimes import runtime_class
from plugins.steps.runtimes.base import StepOperator
from tests.core.small_pipeline import MEASURE, READINGS, pipeline, plan, spec

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
            artifact.at(work.folder.files).write_text(READINGS)

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
            try_number=number, max_tries=RETRIES, map_index=map_index, task_id="measure", dag_id="d", run_id="r"
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
    monkeypatch.setattr(ToyStep, "collect", lambda self, work: None)
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
    (run.folder.files / "parts").mkdir()
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
