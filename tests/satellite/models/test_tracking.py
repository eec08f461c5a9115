import logging
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from include.core.artifacts import sha256
from include.core.errors import SetupError
from include.satellite.models import tracking
from include.satellite.models.documents import CnnMetrics, ModelCard
from include.satellite.models.tracking import EXPERIMENT, register, set_alias, track
from include.satellite.models.training import train_cnn, train_cnn_summary
from include.satellite.params import CnnTrainParams
from tests.satellite.models.small_data import write_patches

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # SQLAlchemy, of MLflow
PARAMS = CnnTrainParams(cnn_epochs=2, min_cnn_accuracy=0, patch_size=8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_patches(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("include.satellite.models.training.track", lambda *_: None)
        train_cnn(folder, PARAMS)
    return folder


def _model(files: Path) -> tuple[Path, ModelCard, CnnMetrics]:
    card = ModelCard.model_validate_json((files / "cnn_model.json").read_bytes())
    metrics = CnnMetrics.model_validate_json((files / "cnn_metrics.json").read_bytes())
    return files / "cnn_model.safetensors", card, metrics


def _local(data_dir: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{data_dir / 'models' / 'mlflow.db'}")


def test_a_training_is_tracked_with_curves_card_and_weights(data_dir: Path, tmp_path: Path) -> None:
    write_patches(tmp_path)
    train_cnn(tmp_path, PARAMS)
    weights, _, metrics = _model(tmp_path)
    assert metrics.not_tracked is None
    client = _local(data_dir)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["learning_rate"] == "0.001"
    assert run.data.params["synthetic"] == "True"
    assert run.data.metrics["accuracy"] == pytest.approx(metrics.accuracy)
    curve = client.get_metric_history(run.info.run_id, "tune_loss")
    assert [(point.step, point.value) for point in curve] == [
        (epoch.epoch, pytest.approx(epoch.tune_loss)) for epoch in metrics.training.history
    ]
    kept = data_dir / "models" / "mlflow-artifacts" / run.info.run_id / "artifacts"
    assert {path.name for path in kept.iterdir()} == {weights.name, "cnn_model.json", "cnn_metrics.json"}
    assert sha256(kept / weights.name) == sha256(weights)


def test_a_retried_task_tracks_its_training_once(data_dir: Path, trained: Path) -> None:
    assert track(*_model(trained)) is None
    assert track(*_model(trained)) is None
    client = _local(data_dir)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_aliases_follow_registered_versions(data_dir: Path, trained: Path, tmp_path: Path) -> None:
    weights = trained / "cnn_model.safetensors"
    with pytest.raises(SetupError, match="no training with the weights of cnn_model"):
        register("crop-health-cnn", weights)
    track(*_model(trained))
    version = register("crop-health-cnn", weights)
    assert register("crop-health-cnn", weights) == version
    set_alias("crop-health-cnn", "champion", version)
    found = _local(data_dir).get_model_version_by_alias("crop-health-cnn", "champion")
    assert str(found.version) == version
    with pytest.raises(SetupError, match="MLflow"):
        set_alias("crop-health-cnn", "champion", "99")


def test_two_processes_may_make_the_database_at_once(data_dir: Path, trained: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from include.satellite.models.documents import CnnMetrics, ModelCard\n"
        "from include.satellite.models.tracking import track\n"
        "files = Path(sys.argv[1])\n"
        "card = ModelCard.model_validate_json((files / 'cnn_model.json').read_bytes())\n"
        "card = card.model_copy(update={'weights_sha256': sys.argv[2] * 64})\n"
        "metrics = CnnMetrics.model_validate_json((files / 'cnn_metrics.json').read_bytes())\n"
        "sys.exit(track(files / 'cnn_model.safetensors', card, metrics))\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(trained), mark], stderr=subprocess.PIPE, text=True)
        for mark in "ab"
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said == ["", ""]
    client = _local(data_dir)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_a_server_that_does_not_answer_loses_no_training(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    write_patches(tmp_path)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, tracking.__name__):
        train_cnn(tmp_path, PARAMS)
    assert time.monotonic() - started < 60
    weights, _, metrics = _model(tmp_path)
    assert weights.exists()
    assert metrics.not_tracked is not None
    assert metrics.not_tracked.startswith(f"MLflow ({uri}): ")
    findings = train_cnn_summary(tmp_path)["findings"]
    assert any(found["severity"] == "warning" and "not tracked" in found["message"] for found in findings)
    with pytest.raises(SetupError, match="MLflow"):
        register("crop-health-cnn", weights)
    assert not (data_dir / "models" / "mlflow.db").exists()
