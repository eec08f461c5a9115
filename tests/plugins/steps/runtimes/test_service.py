"""Steps in services: pushed, submitted once, waited for without a worker, pulled, proven; and every lie refused."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import threading
from contextlib import contextmanager
from types import MappingProxyType, SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from include.control.client import ServiceClient
from include.control.models import Status
from include.control.service import Service, ServiceSettings
from include.core.definitions.model import ServiceAddress
from include.core.errors import BadInputError, ContractError, SetupError, StepTimeoutError, TransientError
from include.core.settings import get_settings
from plugins.steps.context import RETRIES
from plugins.steps.factory import step_task
from plugins.steps.runtimes import service as runtime
from plugins.steps.runtimes.service import ServiceStep, deployment, operation_name
from tests.control.grpc_serving import listening
from tests.control.serving import ended, served, until
from tests.control.small_steps import STEPS
from tests.control.test_executor_client import theirs as their_executor
from tests.core.small_pipeline import pipeline, plan, spec

pytestmark = pytest.mark.airflow
KNOWN = tuple(STEPS.values())


@pytest.fixture
def run(folder, monkeypatch):
    """A planned run; `run.step(name)` makes the operator of a step, and `run.context()` the context of an attempt."""
    plan(folder, *KNOWN, rows=3, seconds=0)
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(folder.path))
    monkeypatch.setattr(runtime, "SHORT_WAIT_SECONDS", 60)  # a busy machine suspends no test by chance
    get_settings.cache_clear()

    def context(number=1, generation=0, task="copy"):
        instance = SimpleNamespace(
            try_number=number, max_tries=RETRIES + generation, map_index=-1, task_id=task, dag_id="d", run_id="r",
            task=SimpleNamespace(retries=RETRIES),
        )  # fmt: skip
        return {"ti": instance, "dag_run": SimpleNamespace(dag_id="d", run_id="r"), "outlet_events": {}}

    def step(name, **changes):
        address = ServiceAddress(url=run.url, protocol=run.protocol)
        of = pipeline(spec(name, service="small", address=address, **changes), known=KNOWN)
        with DAG("d", schedule=None):
            return step_task(of, of[name])

    def perform(name, changes=MappingProxyType({}), **options):
        return step(name, **changes).execute(context(task=name, **options))

    run = SimpleNamespace(
        folder=folder, context=context, step=step, perform=perform, url="http://127.0.0.1:9", protocol="http"
    )
    yield run
    get_settings.cache_clear()


@pytest.fixture
def client(run, tmp_path):
    with served(Service(STEPS, ServiceSettings("small", tmp_path / "service"))) as client:
        run.url, run.client = client.endpoint.url, client
        yield client


def test_a_step_with_a_service_runs_there_in_every_runtime_and_is_proven(run, client):
    assert isinstance(run.step("measure"), ServiceStep)
    assert run.perform("measure")["status"] == "success"
    assert run.perform("copy")["status"] == "success"
    result = run.folder.result("copy")
    assert (run.folder.files / "out.csv").read_text() == "value\n1\n1\n1\n"
    assert result.runtime == "service"
    assert result.image == f"small {client.health().version} at {run.url}"
    assert result.command == f"copy of the service small at {run.url}"
    assert "writes nothing into the run" in result.isolation
    assert run.perform("copy", number=2)["reused"] is True


def test_a_long_task_gives_up_its_slot_and_is_collected_when_it_resumes(run, client, monkeypatch):
    monkeypatch.setattr(runtime, "SHORT_WAIT_SECONDS", 0)
    operator = run.step("measure")
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(run.context(task="measure"))
    assert deferral.value.timeout is None
    remote = deferral.value.trigger.remote_task
    assert ended(client, remote).state == "complete"
    started = run.folder.started("measure").started_at
    resumed = run.step("measure")
    assert resumed.execute(run.context(task="measure"), event={"ended": True})["status"] == "success"
    assert resumed.request.task == remote
    assert run.folder.result("measure").started_at == started


def test_an_attempt_whose_worker_died_finds_its_task_again(run, client, monkeypatch):
    asked = []
    execute = ServiceClient.execute
    monkeypatch.setattr(ServiceClient, "execute", lambda self, request: asked.append(1) or execute(self, request))
    monkeypatch.setattr(ServiceStep, "wait", lambda self, work: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever an interrupt becomes
        run.perform("measure")
    monkeypatch.undo()
    monkeypatch.setattr(runtime, "SHORT_WAIT_SECONDS", 60)
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(run.folder.path))
    get_settings.cache_clear()
    monkeypatch.setattr(ServiceClient, "execute", lambda self, request: asked.append(2) or execute(self, request))
    assert run.perform("measure", number=2)["status"] == "success"
    assert asked == [1]


def test_a_clear_asks_for_another_task_and_a_retry_for_a_failed_one_again(run, client):
    plan(run.folder, *KNOWN, rows=3)
    identities = []
    for number, generation in ((1, 0), (2, 0), (3, 1)):
        operator = run.step("fail")
        with pytest.raises(BadInputError, match=r"service small \(http.*, task \w{12}: rows: 3 is not usable"):
            operator.execute(run.context(number=number, generation=generation, task="fail"))
        identities.append(operator.request.task)
        assert client.status(operator.request.task).attempt == number
    assert identities[0] == identities[1] != identities[2]


def test_a_kill_cancels_the_task_of_the_latest_attempt_alone(run, client, monkeypatch):
    run.perform("measure")
    plan(run.folder, *KNOWN, rows=3, seconds=60)
    monkeypatch.setattr(runtime, "SHORT_WAIT_SECONDS", 0)
    operator = run.step("copy")
    with pytest.raises(TaskDeferred):
        operator.execute(run.context())
    until(lambda: client.status(operator.request.task).state == "running")
    operator.on_kill()
    assert ended(client, operator.request.task).state == "cancelled"
    with pytest.raises(TransientError, match="was cancelled"):
        run.step("copy").execute(run.context(), event={"ended": True})


def test_a_task_that_the_trigger_found_late_is_cancelled(run, client, monkeypatch):
    run.perform("measure")
    plan(run.folder, *KNOWN, rows=3, seconds=60)
    operator = run.step("copy")
    with pytest.raises(StepTimeoutError, match=r"task .*went on after its limit of 3600 s"):
        operator.execute(run.context(), event={"late": True})
    assert ended(client, operator.request.task).state == "cancelled"


def test_what_the_trigger_could_not_learn_is_the_cause(run, client):
    with pytest.raises(TransientError, match="cannot be reached"):
        run.step("measure").execute(run.context(task="measure"), event={"fault": "cannot be reached"})


def test_orphans_are_cancelled_where_their_step_has_ended(run, client, monkeypatch):
    run.perform("measure")
    plan(run.folder, *KNOWN, rows=3, seconds=60)
    monkeypatch.setattr(runtime, "SHORT_WAIT_SECONDS", 0)
    monkeypatch.setattr(runtime, "YOUNG_SECONDS", -1)
    dead, alive = ServiceAddress(url="http://127.0.0.1:9"), ServiceAddress(url=run.url)
    monkeypatch.setattr(runtime, "_addresses", lambda: [("down", dead), ("small", alive)])
    operator = run.step("copy")
    with pytest.raises(TaskDeferred):
        operator.execute(run.context())
    messages = []
    log = SimpleNamespace(info=lambda message, *values: messages.append(message % values))
    asked = []
    assert ServiceStep.remove_orphans(lambda *task: asked.append(task), log) == 0
    assert asked == [("d", "r", "copy", -1)]
    assert ServiceStep.remove_orphans(lambda *task: True, log) == 1
    assert ended(client, operator.request.task).state == "cancelled"
    assert "service down (http://127.0.0.1:9): cannot be reached" in messages[0]


@contextmanager
def lying(monkeypatch, method, change):
    """Let a client hear something else than the service answers."""
    truth = getattr(ServiceClient, method)
    with monkeypatch.context() as patch:
        patch.setattr(ServiceClient, method, lambda self, *asked: change(truth(self, *asked)))
        yield


def of_older_generation(answer):
    return answer and answer.model_copy(update={"keys": answer.keys.model_copy(update={"generation": 7})})


def without_outputs(output):
    return output.model_copy(update={"outputs": []})


def more_outputs(output):
    (first,) = output.outputs
    return output.model_copy(update={"outputs": [first, first.model_copy(update={"path": "other.csv"})]})


def wrong_checksum(output):
    (first,) = output.outputs
    return output.model_copy(update={"outputs": [first.model_copy(update={"sha256": "0" * 64})]})


def claims_failure(status):
    return status and Status(**status.model_dump() | {"state": "failed", "error": {"message": "no space"}})


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("output", without_outputs, "in.csv: must be among the outputs"),
        ("output", more_outputs, "other.csv: must not be written"),
        ("output", wrong_checksum, r"in\.csv: must have the stated checksum 0000"),
        ("output", of_older_generation, "must be of generation 0 of measure .*found generation 7"),
        ("execute", of_older_generation, "must be of generation 0 of measure .*found generation 7"),
        ("execute", claims_failure, "no space"),
    ],
)
def test_a_lie_ends_in_a_sentence_that_names_service_and_task(run, client, monkeypatch, method, change, message):
    with lying(monkeypatch, method, change), pytest.raises(Exception, match=message) as error:
        run.perform("measure")
    assert f"service small ({run.url}), task " in str(error.value)
    assert run.folder.result("measure").status == "failed"


def test_progress_that_runs_backwards_means_nothing(run, client, monkeypatch):
    progress = iter([0.9, 0.5, 1.0] + [0.1] * 1000)

    def backwards(status):
        return status and status.model_copy(update={"progress": next(progress)})

    with lying(monkeypatch, "status", backwards):
        assert run.perform("measure")["status"] == "success"


def test_a_header_alone_is_no_result(run, client):
    plan(run.folder, *KNOWN, rows=0)
    with pytest.raises(ContractError, match=r"in\.csv: .*record"):
        run.perform("measure")


def health_of(**changes):
    return lambda health: health.model_copy(update=changes)


def test_a_health_that_does_not_fit_is_refused_before_anything_is_submitted(run, client, monkeypatch):
    operations = client.health().operations
    other = [one.model_copy(update={"version": "2"}) for one in operations]
    for change, message in (
        (health_of(operations=[]), "no operation measure, but nothing"),
        (health_of(operations=other), "version 2 of measure, and version 1 is expected"),
    ):
        with lying(monkeypatch, "health", change), pytest.raises(SetupError, match=message):
            run.perform("measure")
    assert client.health().queued == 0
    assert client.tasks(deployment()) == []


def test_the_service_of_the_deployment_does_what_no_definition_names(run, monkeypatch):
    item = pipeline(spec("measure"), known=KNOWN)["measure"]
    with DAG("d", schedule=None):
        operator = ServiceStep(task_id="measure", pipeline=pipeline(spec("measure"), known=KNOWN), item=item)
    with pytest.raises(SetupError, match="no service does its work"):
        operator.execute(run.context(task="measure"))
    assert run.folder.result("measure").error.kind == "setup"
    monkeypatch.setenv("GROUNDTRUTH_SERVICE_URL", "http://a:1")
    get_settings.cache_clear()
    assert operation_name(item) == "measure"
    assert ("default", ServiceAddress(url="http://a:1")) in list(runtime._addresses())


def test_an_output_names_the_version_that_made_it(run, client, monkeypatch):
    with lying(monkeypatch, "output", lambda output: output.model_copy(update={"version": "older"})):
        run.perform("measure")
    assert run.folder.result("measure").image == f"small older at {run.url}"


@contextmanager
def theirs(run, tmp_path, monkeypatch, work):
    """A service of ContainerExecutor does the work of the steps; the exchange folder is as deployments set it."""
    (tmp_path / "exchange").mkdir()
    monkeypatch.setenv("GROUNDTRUTH_EXCHANGE", str(tmp_path / "exchange"))
    monkeypatch.setenv("GROUNDTRUTH_EXECUTOR_PACKAGE", "energy.v2")
    get_settings.cache_clear()
    with listening(their_executor(work, "energy.v2")) as port:
        run.url, run.protocol = f"http://127.0.0.1:{port}", "container-executor"
        yield


IN, OUT = {"passed": (None, "in.csv")}, {"passed": ("in.csv", "out.csv")}


def test_a_service_of_containerexecutor_is_waited_for_and_proven(run, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "SHORT_WAIT_SECONDS", 0)  # its call belongs to this process: nothing is suspended
    seen = []

    def work(given, written, context):
        seen.append((given.name, written.name))
        written.write_bytes(given.read_bytes() if given.name else b"value\n1\n1\n1\n")

    with theirs(run, tmp_path, monkeypatch, work):
        assert run.perform("measure", IN)["status"] == "success"
        assert run.perform("copy", OUT)["status"] == "success"
        assert run.folder.result("copy").image.startswith("small not stated, attempt ")
        assert run.perform("copy", OUT, number=2)["reused"] is False  # whether the service changed, nothing tells
    assert seen == [("", "in.csv"), ("in.csv", "out.csv"), ("in.csv", "out.csv")]
    assert list((tmp_path / "exchange").iterdir()) == []


def test_success_of_containerexecutor_without_a_file_fails_the_step(run, tmp_path, monkeypatch):
    def nothing(given, written, context):
        pass

    with (
        theirs(run, tmp_path, monkeypatch, nothing),
        pytest.raises(ContractError, match=r"in\.csv: must be written, for the service said success=true"),
    ):
        run.perform("measure", IN)


def test_a_killed_step_gives_its_call_up(run, tmp_path, monkeypatch):
    begun, ended_calls = [], []

    def hang(given, written, context):
        begun.append(written)
        until(lambda: not context.is_active())
        ended_calls.append(written)

    with theirs(run, tmp_path, monkeypatch, hang):
        operator = run.step("measure", **IN)
        thread = threading.Thread(target=lambda: until(lambda: begun) or operator.on_kill())
        thread.start()
        with pytest.raises(TransientError):
            operator.execute(run.context(task="measure"))
        thread.join()
        until(lambda: ended_calls)
