from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from include.core.artifacts import sha256
from include.core.errors import ContractError, SetupError
from include.satellite.artifacts import CNN, LSTM
from include.satellite.registry.tracking import EXPERIMENT, register, training_of
from include.satellite.training.schemas import CnnMetrics

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # SQLAlchemy, of MLflow


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow, whose tables take long to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    _client(path).search_experiments()
    return path


@pytest.fixture
def prepared(database: Path, data_dir: Path) -> Path:
    """The data folder, with an empty database of MLflow."""
    (data_dir / "models").mkdir(parents=True)
    shutil.copy(database, data_dir / "models" / "mlflow.db")
    return data_dir


def _local(data_dir: Path) -> MlflowClient:
    return _client(data_dir / "models" / "mlflow.db")


def _client(database: Path) -> MlflowClient:
    from mlflow import MlflowClient  # not in the workers that run none of these tests

    return MlflowClient(f"sqlite:///{database}")


def _runs(data_dir: Path) -> list[Run]:
    client = _local(data_dir)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_a_training_is_tracked_with_curves_card_and_weights(prepared: Path, trained: Path) -> None:
    register("crop-health-cnn", training_of(trained, CNN), "challenger")
    weights = trained / "cnn_model.safetensors"
    metrics = CnnMetrics.model_validate_json((trained / "cnn_metrics.json").read_bytes())
    (run,) = _runs(prepared)
    assert run.data.params["learning_rate"] == "0.001"
    assert run.data.params["synthetic"] == "True"
    assert run.data.metrics["accuracy"] == pytest.approx(metrics.accuracy)
    curve = _local(prepared).get_metric_history(run.info.run_id, "tune_loss")
    assert [(point.step, point.value) for point in curve] == [
        (epoch.epoch, pytest.approx(epoch.tune_loss)) for epoch in metrics.training.history
    ]
    kept = prepared / "models" / "mlflow-artifacts" / run.info.run_id / "artifacts"
    assert {path.name for path in kept.iterdir()} == {weights.name, "cnn_model.json", "cnn_metrics.json"}
    assert sha256(kept / weights.name) == sha256(weights)


def test_a_retried_step_tracks_its_training_once(prepared: Path, trained: Path) -> None:
    version = register("crop-health-cnn", training_of(trained, CNN), "challenger")
    assert register("crop-health-cnn", training_of(trained, CNN), "challenger") == version
    assert len(_runs(prepared)) == 1


def test_aliases_follow_registered_versions(prepared: Path, trained: Path) -> None:
    version = register("crop-health-cnn", training_of(trained, CNN), "challenger")
    assert register("crop-health-cnn", training_of(trained, CNN), "champion") == version
    for alias in ("challenger", "champion"):
        model = _local(prepared).get_model_version_by_alias("crop-health-cnn", alias)
        assert str(model.version) == version
    with pytest.raises(SetupError, match="MLflow"):
        register("crop-health-cnn", training_of(trained, CNN), "latest")  # an alias that MLflow reserves


def test_a_training_is_whole_or_not_tracked(data_dir: Path, trained: Path, tmp_path: Path) -> None:
    files = Path(shutil.copytree(trained, tmp_path / "files"))
    (files / "lstm_model.json").unlink()
    with pytest.raises(ContractError, match=r"lstm_model\.json: must exist"):
        register("ndvi-forecast-lstm", training_of(files, LSTM), "challenger")
    (files / "cnn_metrics.json").write_text('{"accuracy": 1}')
    with pytest.raises(ContractError, match=r"cnn_metrics\.json: must keep to its schema"):
        register("crop-health-cnn", training_of(files, CNN), "challenger")
    assert not (data_dir / "models" / "mlflow.db").exists()


@pytest.mark.e2e
def test_two_processes_may_make_the_database_at_once(data_dir: Path, trained: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from include.satellite.artifacts import CNN\n"
        "from include.satellite.registry.tracking import register, training_of\n"
        "register(sys.argv[2], training_of(Path(sys.argv[1]), CNN), 'challenger')\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(trained), name], stderr=subprocess.PIPE, text=True)
        for name in ("one", "other")
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert errors == ["", ""]
    assert len(_runs(data_dir)) == 1


def test_a_server_that_does_not_answer_is_given_up_in_words(
    data_dir: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://ada:s3cret@127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    started = time.monotonic()
    with pytest.raises(SetupError, match=re.escape(f"MLflow (http://***@127.0.0.1:{port}): ")) as error:
        register("crop-health-cnn", training_of(trained, CNN), "challenger")
    assert "s3cret" not in str(error.value)
    assert time.monotonic() - started < 60
    assert not (data_dir / "models" / "mlflow.db").exists()
