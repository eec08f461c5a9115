"""The satellite pipeline in the docker runtime: steps in containers without a network, the others in the worker."""

import json

import pytest

from include.core.settings import get_settings
from include.satellite.domain import SATELLITE_DOMAIN
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from tests.airflow_runs import run_dag
from tests.prerequisites import docker_engine
from tests.satellite.tiny import END, TINY

pytestmark = [pytest.mark.airflow, pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def docker_runtime(monkeypatch, tmp_path):
    with docker_engine(SATELLITE_DOMAIN.step_image), stand_in() as url:
        monkeypatch.setenv(URL_VARIABLE, url)
        monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "docker")
        monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(tmp_path / "app.env"))
        get_settings.cache_clear()
        yield


def test_a_run_and_the_map_after_it(data_dir):
    outcome = run_dag("satellite_pipeline", TINY | {"end": END})
    assert outcome.state == "success", outcome.report["failure_point"]
    steps = outcome.folder.path / "steps"
    runtimes = {path.parent.name: json.loads(path.read_bytes())["runtime"] for path in steps.glob("*/result.json")}
    in_worker = {name for name, runtime in runtimes.items() if runtime == "local"}
    assert {name.partition(".")[0] for name in in_worker} == {
        "prepare", "search", "download", "collect", "approve", "configure", "publish",
    }  # fmt: skip
    assert set(runtimes) - in_worker == {
        "validate", "prepare_cnn", "prepare_lstm", "train_cnn", "train_lstm", "compare",
        "verify",
    }  # fmt: skip
    assert {path.name for path in (data_dir / "models").iterdir()} >= {"baselines", "mlflow.db"}
    maps = run_dag("crop_health_map", {})
    assert maps.state == "success", maps.report["failure_point"]
    assert json.loads((maps.folder.files / "health_map.json").read_bytes())["drawn_by"] == "ndvi_rule"
