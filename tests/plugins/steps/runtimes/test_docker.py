"""Steps in containers, on an engine that only records: what is asked of it, and what its answers mean."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import logging
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from docker.errors import APIError, ImageNotFound, NotFound
from requests.exceptions import ConnectionError as EngineConnectionError

from include.core.errors import GroundtruthError, SetupError, StepTimeoutError, TransientError
from include.core.run_folder import Started, write_json
from include.core.runner import Attempt
from include.core.settings import get_settings
from include.core.work_folder import WorkFolder
from plugins.steps.runtimes import docker as module
from plugins.steps.runtimes.base import Work
from plugins.steps.runtimes.docker import DockerStep, deployment
from tests.core.small_pipeline import Params, pipeline, spec

pytestmark = pytest.mark.airflow
IMAGE = "own/image:1"
ENDED = {"Status": "exited", "ExitCode": 0, "Running": False, "OOMKilled": False}


def refused(status):
    """The engine's answer with a status."""
    return APIError("no", response=SimpleNamespace(status_code=status, reason="no", url="u", text="no"))


class Engine:
    """An engine with some containers by id, each with its state."""

    def __init__(self, states=None, log=(b"one\ntwo",), answers=None, source=""):
        self.states, self.log, self.answers, self.source = states or {}, log, answers or {}, source
        self.calls, self.closed = [], False

    def _call(self, name, *arguments):
        self.calls.append((name, *arguments))
        if name in self.answers:
            raise self.answers[name]

    def containers(self, all, filters):  # noqa: A002 - as the client names it
        self._call("containers", tuple(filters["label"]))
        return [{"Id": name, "State": state["Status"]} for name, state in self.states.items()]

    def create_container(self, **request):
        self._call("create", request["image"])
        self.labels = request["labels"]
        self.source = self.source or request["host_config"]["mounts"][0]["Source"]
        self.states["new"] = ENDED | {"Status": "created"}
        return {"Id": "new"}

    def create_host_config(self, **options):
        return options

    def inspect_image(self, image):
        self._call("image", image)
        return {"Id": "sha256:1"}

    def inspect_container(self, name):
        if name not in self.states:
            raise NotFound("gone")
        mount = {"Destination": "/data", "Source": self.source}
        return {"State": self.states[name], "Image": "sha256:ran", "Mounts": [{"Destination": "/data/in.csv"}, mount]}

    def start(self, name):
        self._call("start", name)

    def wait(self, name, timeout):
        self._call("wait", name)

    def logs(self, name, stream, follow):
        return SimpleNamespace(_stream=iter(self.log))

    def stop(self, name, timeout):
        self._call("stop", name, timeout)

    def remove_container(self, name, force, v):
        self._call("remove", name)

    def close(self):
        self.closed = True

    def did(self, name):
        return [call[1] for call in self.calls if call[0] == name]


@pytest.fixture
def started(folder, data_dir, monkeypatch):
    """Return a task and its work on an engine, whose first attempt has begun."""

    def make(engine, attempt=1, **changes):
        monkeypatch.setattr(DockerStep, "cli", engine)
        monkeypatch.setattr(DockerStep, "hook", SimpleNamespace(client_created=True))
        of = pipeline(spec("measure", **{"image": IMAGE, "command": ("measure", "all")} | changes))
        with DAG("d", schedule=None):
            task = DockerStep(task_id="measure", pipeline=of, item=of["measure"])
        instance = SimpleNamespace(dag_id="d", run_id="r", task_id="measure", map_index=None, try_number=attempt)
        context = {"ti": instance, "dag_run": SimpleNamespace(dag_id="d", run_id="r")}
        task.work = Work(of["measure"], folder, Attempt(number=attempt, generation=2), context, params=Params())
        write_json(folder.step("measure") / "started.json", Started(step="measure", started_at="2026-01-01T00:00:00Z"))
        return task, task.work

    return make


def test_a_deployment_is_its_data_folder_as_the_engine_sees_it(data_dir, monkeypatch):
    assert deployment() == str(data_dir.resolve())
    monkeypatch.setenv("GROUNDTRUTH_HOST_DATA_DIR", "/srv/data")
    get_settings.cache_clear()
    assert deployment() == "/srv/data"


def test_a_run_of_the_command_line_is_a_separate_deployment(data_dir, monkeypatch):
    run = data_dir / "runs" / "energy_pipeline" / "cli__1"
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(run))
    get_settings.cache_clear()
    assert deployment() == str(run.resolve())


def test_a_step_is_described_by_its_command_and_runs_as_the_step_user(started):
    task, work = started(Engine())
    assert (task.describe(work.item), task.image, task.auto_remove) == ("measure all", IMAGE, "never")
    assert DockerStep.file_owner() == get_settings().step_uid


def test_an_image_is_known_by_its_id_and_a_missing_one_is_a_fault_with_its_remedy(started):
    task, work = started(Engine())
    assert task.image_id(work.item) == "sha256:1"
    task, work = started(Engine(answers={"image": ImageNotFound("no")}))
    with pytest.raises(SetupError, match=r"own/image:1 is not on the Docker engine; .* docker pull own/image:1"):
        task.image_id(work.item)


@pytest.mark.parametrize(
    ("state", "taken_up"),
    [
        (ENDED, True),
        (ENDED | {"ExitCode": 3}, True),
        (ENDED | {"ExitCode": 137}, False),
        (ENDED | {"ExitCode": 255}, False),
        (ENDED | {"ExitCode": 137, "OOMKilled": True}, True),
        (ENDED | {"Status": "running", "Running": True}, True),
    ],
)
def test_a_container_of_the_same_generation_is_taken_up_unless_it_was_killed_unwatched(started, state, taken_up):
    engine = Engine({"old": state})
    task, _ = started(engine)
    assert task.find() is taken_up
    assert task.container_id == ("old" if taken_up else "")
    [labels] = engine.did("containers")
    assert {"io.groundtruth.generation=2", "io.groundtruth.step=measure", "io.groundtruth.index=-1"} <= set(labels)


def test_a_container_is_created_with_our_labels_and_what_earlier_generations_left_is_removed(started):
    engine = Engine({"old": ENDED})
    task, work = started(engine)
    task.start(work)
    assert (engine.did("remove"), engine.did("create"), task.container_id) == (["old"], [IMAGE], "new")
    names = ("", ".dag", ".run", ".step", ".task", ".generation", ".try")
    assert [engine.labels[f"io.groundtruth{name}"] for name in names] == ["step", "d", "r", *["measure"] * 2, "2", "1"]


def test_a_container_that_was_found_is_kept(started):
    engine = Engine({"old": ENDED})
    task, work = started(engine)
    task.find()
    task.start(work)
    assert (engine.did("remove"), engine.did("create")) == ([], [])


def test_a_work_folder_that_the_step_may_not_write_is_refused_and_its_container_removed(started, tmp_path):
    engine = Engine()
    task, work = started(engine)
    with pytest.raises(SetupError, match=r"cannot be given to user 12345 .* set GROUNDTRUTH_STEP_UID to yours"):
        task.start(replace(work, work_folder=WorkFolder(tmp_path, owner=12345)))
    assert engine.did("remove") == ["new"]


def test_behind_the_proxy_the_step_has_the_folder_that_the_engine_names(started, data_dir, monkeypatch, tmp_path):
    monkeypatch.setenv("GROUNDTRUTH_HOST_DATA_DIR", "/srv/data")
    get_settings.cache_clear()
    asked = data_dir / "runs/d/r/work/measure.2-1"
    asked.mkdir(parents=True)
    task, work = started(Engine(source="/srv/data/mounts/0a/work"))
    task.start(replace(work, work_folder=WorkFolder(asked, owner=12345)))
    ran = task.collect(work)
    assert (ran.image, ran.files) == ("sha256:ran", data_dir / "mounts/0a/work")


@pytest.mark.parametrize("status", [404, 409])
def test_a_container_that_something_else_removes_is_no_fault(started, status):
    task, work = started(Engine({"old": ENDED}, answers={"remove": refused(status)}))
    task.start(work)
    assert task.container_id == "new"


def test_a_created_container_is_started_and_its_log_is_followed_to_its_last_line(started, monkeypatch):
    engine = Engine({"c": ENDED | {"Status": "created"}}, log=(b"fir", b"st\n\nsec", b"ond"))
    task, work = started(engine)
    lines = []
    monkeypatch.setattr(module, "log_line", lambda _, text, records: lines.append(text))
    task.container_id = "c"
    task.wait(work)
    assert (engine.did("start"), engine.did("wait"), lines) == (["c"], ["c"], ["first", "", "second"])


def test_a_running_container_is_not_started_again(started):
    engine = Engine({"c": ENDED | {"Status": "running"}})
    task, work = started(engine, timeout_seconds=10**9)
    task.container_id = "c"
    task.wait(work)
    assert engine.did("start") == []


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ({"ExitCode": 3}, GroundtruthError, "ended with exit code 3; its last line: two"),
        ({"ExitCode": 137}, TransientError, r"killed from outside \(exit code 137\)"),
        ({"ExitCode": 137, "OOMKilled": True}, GroundtruthError, r"its limit is 512 MB \(memory_mb"),
    ],
)
def test_the_end_of_a_container_is_judged(started, state, error, message):
    task, work = started(Engine({"c": ENDED | state}), memory_mb=512)
    task.container_id = "c"
    with pytest.raises(error, match=message):
        task.wait(work)


def test_a_container_that_exceeds_its_timeout_is_stopped(started, monkeypatch):
    engine = Engine({"c": ENDED | {"Status": "running"}})
    task, work = started(engine, timeout_seconds=1)
    task.container_id = "c"
    monkeypatch.setattr(task, "_follow_log", lambda: time.sleep(30))
    with pytest.raises(StepTimeoutError, match="limit of 1 s"):
        task.wait(work)
    assert ("stop", "c", 10) in engine.calls


def test_a_container_that_was_removed_from_outside_may_be_tried_again(started):
    task, work = started(Engine())
    task.container_id = "c"
    with pytest.raises(TransientError, match="removed from outside"):
        task.wait(work)


def test_an_engine_that_goes_away_leaves_the_container_to_the_next_attempt(started):
    engine = Engine({"c": ENDED | {"Status": "created"}}, answers={"start": EngineConnectionError("gone")})
    task, work = started(engine)
    task.container_id = "c"
    with pytest.raises(TransientError, match="does not answer"):
        task.wait(work)
    task.cancel(work)
    task.release(work)
    assert (engine.did("stop"), engine.did("remove"), engine.closed) == ([], [], True)


def test_a_kill_stops_the_container_and_its_end_removes_it(started):
    engine = Engine({"c": ENDED})
    task, work = started(engine)
    task.container_id, task.watched = "c", True
    task.cancel(work)
    task.release(work)
    assert (("stop", "c", 3) in engine.calls, engine.did("remove"), engine.closed) == (True, ["c"], True)


def test_an_attempt_whose_step_a_later_one_has_taken_up_touches_nothing(started):
    engine = Engine({"c": ENDED})
    task, work = started(engine, attempt=2)  # the records name the first attempt as the latest
    task.container_id, task.watched = "c", True
    task.cancel(work)
    task.release(work)
    assert (engine.did("stop"), engine.did("remove")) == ([], [])


@pytest.fixture
def orphans(data_dir, monkeypatch):
    """Remove orphans from an engine with one container of some age, whose task has ended or not."""

    def remove(*, age_s=3600.0, is_ended=True, labels=None, answers=None):
        engine, tasks = Engine(answers=answers), []
        names = {"dag": "d", "run": "r", "step": "measure"} | (labels or {})
        listed = {"Id": "c" * 20, "Created": time.time() - age_s}
        listed["Labels"] = {f"io.groundtruth.{name}": value for name, value in names.items()}
        engine.containers = lambda **query: [listed] if deployment() in query["filters"]["label"][0] else []
        monkeypatch.setattr(module.docker, "APIClient", lambda url: engine)
        removed = DockerStep.remove_orphans(lambda *task: tasks.append(task) or is_ended, logging.getLogger("orphans"))
        return removed, engine.did("remove"), tasks

    return remove


def test_a_container_whose_task_has_ended_is_removed(orphans):
    assert orphans() == (1, ["c" * 20], [("d", "r", "measure", -1)])
    assert orphans(labels={"task": "part", "index": "3"})[2] == [("d", "r", "part", 3)]


def test_a_container_whose_task_runs_or_has_just_begun_stays(orphans):
    assert orphans(is_ended=False)[:2] == (0, [])
    assert orphans(age_s=5.0)[:2] == (0, [])


def test_an_orphan_that_is_being_removed_already_is_not_counted(orphans):
    assert orphans(answers={"remove": refused(409)})[0] == 0
    with pytest.raises(TransientError, match="failed: 500"):
        orphans(answers={"remove": refused(500)})
