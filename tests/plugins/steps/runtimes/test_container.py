"""What is asked of the engine for a step: its work folder, its inputs, the files of stores that it reads, no more."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import json
from dataclasses import replace
from types import SimpleNamespace

import docker
import pytest
import yaml
from airflow.sdk.exceptions import AirflowException
from docker.errors import APIError, DockerException
from requests.exceptions import ConnectionError as EngineConnectionError

from include.core.errors import SetupError, TransientError
from include.core.pipeline import PipelineStep
from include.core.settings import ROOT, get_settings
from include.core.work_folder import WorkFolder
from include.docker_proxy.create import rebuild_create
from include.docker_proxy.settings import ProxySettings
from include.satellite.params import CompareParams
from include.satellite.pipeline import SATELLITE
from plugins.steps.runtimes.container import create_request, engine_faults, engine_url, host_path, step_image
from tests.core.small_pipeline import pipeline, spec

pytestmark = pytest.mark.airflow

COMPOSITION = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
COMPOSED_STORES = COMPOSITION["services"]["docker-policy"]["environment"]["DOCKER_PROXY_STORES"]
SHA = "0" * 64
SCENE = "imagery/sentinel-2-l2a/demo-0123456789ab/2025-01-03_1a2b3c4d_5e6f7a8b.tif"
LABELS = {"io.groundtruth": "step", "io.groundtruth.dag": "satellite_pipeline"}
IN_CONTAINERS = [item for item in SATELLITE.steps if not item.step.in_worker]


@pytest.fixture
def engine():
    with docker.APIClient(base_url="unix:///nowhere", version="1.41") as client:
        yield client


@pytest.fixture
def work(data_dir):
    """The work folder of an execution that reads an artifact and a scene and keeps checkpoints."""
    run = data_dir / "runs" / "satellite_pipeline" / "manual__1"
    folder = WorkFolder(
        run / "work/step.1",
        {"validated.json": run / "artifacts" / SHA},
        {SCENE: data_dir / SCENE},
        {"checkpoints": run / "scratch/step.0/checkpoints"},
    )
    folder.create()
    return folder


@pytest.fixture
def env_file(tmp_path, monkeypatch):
    path = tmp_path / "pipeline.env"
    path.write_text("PASSWORD=secret\nUSE_AI_MODELS=true\nAI_MODEL_VERSION=20260101T000000Z-01234567\n")
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(path))
    get_settings.cache_clear()
    return path


def asked(engine, item, work):
    params = item.step.params() if item.step.id != "compare" else CompareParams()
    return create_request(engine, item, work, params, LABELS, {"dag_id": "satellite_pipeline"})


def mounts(request):
    return {mount["Target"]: mount for mount in request["host_config"]["Mounts"]}


def test_steps_that_talk_to_a_service_or_change_the_deployment_stay_in_the_worker():
    assert {item.step.id for item in SATELLITE.steps if item.step.in_worker} == {
        "search", "download", "collect", "approve", "configure",
    }  # fmt: skip


@pytest.mark.parametrize("item", IN_CONTAINERS, ids=lambda item: item.step.id)
def test_a_step_sees_its_work_folder_its_inputs_and_the_files_of_stores_that_it_reads(
    engine, work, data_dir, env_file, item
):
    request = asked(engine, item, work)
    assert request["image"] == step_image(item) == "groundtruth-satellite:latest"
    assert request["command"] == ["python", "-m", "include.satellite", item.step.id]
    found = {target: (mount["Source"], mount["ReadOnly"]) for target, mount in mounts(request).items()}
    run = work.files.parents[1]
    assert found == {
        "/data": (str(work.files), False),
        "/data/checkpoints": (f"{run}/scratch/step.0/checkpoints", False),
        "/data/validated.json": (f"{run}/artifacts/{SHA}", True),
        f"/stores/{SCENE}": (str(data_dir / SCENE), True),
    }
    assert ("GROUNDTRUTH_DATA_DIR" in request["environment"]) == bool(item.step.stored)


def test_a_definition_states_the_network_the_variables_and_the_function_of_a_container(engine, work, monkeypatch):
    monkeypatch.setenv("REGION", "north")
    stated = spec(
        "totals",
        image="own/image:2",
        function="steps/totals.py:write",
        source="def write(files, params): ...",
        network="crm",
        environment={"MODE": "fast", "REGION": None},
        outputs=("totals.csv",),
    )
    item = pipeline(stated)["totals"]
    request = create_request(engine, item, work, item.step.params(), LABELS, {}, {"TOKEN": "s3cret"})
    assert request["host_config"]["NetworkMode"] == "crm"
    assert request["command"][0] == "python", "that of the image"
    assert request["command"][-1] == "def write(files, params): ..."
    environment = request["environment"]
    assert (environment["MODE"], environment["REGION"], environment["TOKEN"]) == ("fast", "north", "s3cret")
    assert "s3cret" not in str(request["labels"])


def test_a_step_without_an_image_runs_in_no_container():
    item = pipeline(spec("totals", command=("true",), outputs=("totals.csv",)))["totals"]
    with pytest.raises(SetupError, match="totals: its definition names no image"):
        step_image(item)


def test_of_the_env_file_a_step_learns_the_keys_of_its_contract(engine, work, env_file):
    environment = asked(engine, SATELLITE["compare"], work)["environment"]
    assert json.loads(environment["ENV_FILE_VALUES"]) == {
        "USE_AI_MODELS": "true",
        "AI_MODEL_VERSION": "20260101T000000Z-01234567",
    }
    assert environment["GROUNDTRUTH_ENV_FILE"] == str(env_file)
    assert not any("secret" in value for value in environment.values())
    assert not any("ENV_FILE" in name for name in asked(engine, SATELLITE["train_cnn"], work)["environment"])


def test_a_command_gets_the_variables_that_its_definition_names(engine, work, monkeypatch):
    monkeypatch.setenv("MY_ACCOUNT", "ada")
    monkeypatch.setenv("SH_CLIENT_SECRET", "s3cret")
    item = SATELLITE["train_cnn"]
    named = PipelineStep(item.step, replace(item.spec, environment={"MY_ACCOUNT": None}))
    environment = asked(engine, named, work)["environment"]
    assert environment["MY_ACCOUNT"] == "ada"
    assert "SH_CLIENT_SECRET" not in environment


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, "1"), (2.0, "2"), (2.5, "3")])
def test_libraries_take_as_many_threads_as_the_limit_has_processors(engine, work, cpus, threads):
    item = SATELLITE["train_cnn"]
    limited = PipelineStep(item.step, replace(item.spec, cpus=cpus))
    assert asked(engine, limited, work)["environment"]["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize("item", IN_CONTAINERS, ids=lambda item: item.step.id)
def test_the_docker_proxy_forwards_the_request_of_every_step(engine, work, data_dir, env_file, item):
    request = asked(engine, item, work)
    settings = ProxySettings(
        images=request["image"],
        stores=COMPOSED_STORES,
        host_data_dir=data_dir,
        step_uid=get_settings().step_uid,
        worker_uid=50001,
    )
    host_config = request.pop("host_config")
    config = engine.create_container_config(**request, host_config=host_config)
    passed = rebuild_create(
        json.loads(json.dumps({key: value for key, value in config.items() if value is not None})), settings
    )
    assert passed["HostConfig"] == json.loads(json.dumps(host_config))


def test_a_path_below_the_data_folder_is_one_of_the_engines_host(data_dir, monkeypatch):
    assert host_path(data_dir / "runs") == str(data_dir.resolve() / "runs")
    monkeypatch.setenv("GROUNDTRUTH_HOST_DATA_DIR", "/srv/data")
    get_settings.cache_clear()
    assert host_path(data_dir / "runs") == "/srv/data/runs"


@pytest.mark.parametrize(
    ("host", "url"), [("tcp://proxy:2375", "tcp://proxy:2375"), ("", "unix://var/run/docker.sock")]
)
def test_the_engine_is_that_of_the_environment_or_of_this_machine(monkeypatch, host, url):
    monkeypatch.setenv("DOCKER_HOST", host)
    assert engine_url() == url


def refused(status, explanation):
    response = SimpleNamespace(status_code=status, reason="no", url="u", text=explanation)
    return APIError("no", response=response, explanation=explanation)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (refused(400, "bad"), SetupError, "the Docker engine at unix:///engine refused: bad"),
        (refused(500, "broken"), TransientError, "the Docker engine at unix:///engine failed: broken"),
        (refused(400, "bind source path does not exist: /x"), SetupError, "set GROUNDTRUTH_HOST_DATA_DIR"),
        (DockerException("Permission denied"), SetupError, "join the group `docker`"),
        (EngineConnectionError("gone"), TransientError, "does not answer: start it, or run with --runtime local"),
        (AirflowException("no connection to the Docker hosts"), TransientError, "does not answer"),
        (AirflowException("another fault"), AirflowException, "another fault"),
    ],
)
def test_a_fault_of_the_engine_is_explained_and_says_whether_it_may_pass(fault, error, message):
    with pytest.raises(error, match=message), engine_faults("unix:///engine"):
        raise fault
