"""The training steps: what they learn, what they write, and that an interruption changes no byte of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.satellite.artifacts import CNN, LSTM, PATCH_INFO, ModelArtifacts
from include.satellite.datasets.patches import PatchDataset, load_patches
from include.satellite.datasets.sequences import load_sequences
from include.satellite.evaluation.predictions import read_predictions
from include.satellite.params import CnnTrainParams, LstmTrainParams
from include.satellite.training import loop
from include.satellite.training import train as training
from include.satellite.training.recomputation import recompute_lstm
from include.satellite.training.report import train_cnn_outcome
from include.satellite.training.train import train_cnn, train_lstm
from tests.satellite.small_data import write_patches, write_sequences
from tests.satellite.trained_run import PLOTS

CNN_PARAMS = CnnTrainParams(cnn_epochs=4, min_cnn_accuracy=0, patch_size=8, stride=8)
LSTM_PARAMS = LstmTrainParams(lstm_epochs=4, min_lstm_accuracy=0, sequence_length=4)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both models as a single training of a few epochs leaves them."""
    files = _datasets(tmp_path_factory.mktemp("undisturbed"))
    train_cnn(files, CNN_PARAMS)
    train_lstm(files, LSTM_PARAMS)
    return files


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both datasets; plots are not drawn."""
    for name in PLOTS:
        monkeypatch.setattr(training, name, lambda *_: None)
    return _datasets(tmp_path / "files")


def _datasets(files: Path) -> Path:
    files.mkdir(exist_ok=True)
    write_patches(files)
    write_sequences(files)
    return files


def _contents(files: Path, model: ModelArtifacts[Any]) -> list[bytes]:
    return [artifact.at(files).read_bytes() for artifact in (*model.stored, model.predictions)]


def test_the_cnn_learns_what_baselines_cannot(trained: Path) -> None:
    metrics = CNN.metrics.read(trained)
    assert metrics.balanced_accuracy > 0.7
    assert max(naive.balanced_accuracy for naive in metrics.baselines.values()) < 0.5
    assert sum(map(sum, metrics.confusion)) == metrics.all_classes.samples == 128
    card = CNN.card.read(trained)
    assert card.metrics["accuracy"] == metrics.accuracy
    assert card.evaluation_dates == len(metrics.evaluation_dates) == 8


def test_the_lstm_learns_the_season(files: Path) -> None:
    train_lstm(files, LSTM_PARAMS.model_copy(update={"lstm_epochs": 20}))
    metrics = LSTM.metrics.read(files)
    assert metrics.accuracy == pytest.approx(1 - metrics.mae / 2)
    assert all(naive.skill is not None and naive.skill > 0.3 for naive in metrics.baselines.values())
    assert len(metrics.evaluation_dates) == 7


@pytest.mark.parametrize("target", ["residual", "absolute"])
def test_a_forecast_with_seasons_has_an_interval_calibrated_on_later_dates(files: Path, target: str) -> None:
    write_sequences(files, seasonal=True)
    params = LSTM_PARAMS.model_copy(update={"lstm_epochs": 2, "lstm_target": target})
    train_lstm(files, params)
    metrics, card, dataset = LSTM.metrics.read(files), LSTM.card.read(files), load_sequences(files)
    assert (card.target, card.interval, len(card.inputs)) == (target, metrics.interval, 6)
    assert {"persistence", "anomaly_persistence", "climatology"} < metrics.baselines.keys()
    calibration = read_predictions(LSTM.calibration, files)
    assert np.array_equal(calibration.sample, dataset.calibration_rows())
    errors = np.sort(np.abs(calibration.values["real"] - calibration.truth))
    assert metrics.interval is not None
    assert (errors <= metrics.interval.half_width).mean() >= 0.9
    assert (metrics.interval.samples, metrics.interval.dates) == (len(errors), 3)
    assert 0 <= metrics.interval.coverage <= 1
    recompute_lstm(files, params)


def test_a_residual_forecast_begins_at_anomaly_persistence(files: Path) -> None:
    write_sequences(files, seasonal=True)
    train_lstm(files, LSTM_PARAMS.model_copy(update={"lstm_epochs": 1, "lstm_learning_rate": 1e-12}))
    predictions = read_predictions(LSTM.predictions, files)
    assert predictions.values["real"] == pytest.approx(predictions.values["anomaly_persistence"], abs=1e-6)


def test_a_training_leaves_weights_card_metrics_and_plots(undisturbed: Path) -> None:
    for model in (CNN, LSTM):
        assert all(artifact.at(undisturbed).is_file() for artifact in model.all if not artifact.optional)
        assert model.card.read(undisturbed).weights_sha256 == sha256(model.weights.at(undisturbed))
        for plot in (model.training_plot, model.evaluation_plot):
            assert plot.at(undisturbed).stat().st_size > 10_000


def test_the_validation_part_is_touched_once_at_the_end(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []
    batch = PatchDataset.batch

    def watched(self: PatchDataset, rows: Any, normalisation: Any = None) -> Any:
        touched.extend(np.array(["train", "tune", "validation"])[self.split[rows]])
        return batch(self, rows, normalisation)

    monkeypatch.setattr(PatchDataset, "batch", watched)
    train_cnn(files, CNN_PARAMS)
    first = touched.index("validation")
    assert set(touched[first:]) == {"validation"}
    dataset = load_patches(files)
    train = dataset.rows("train")
    assert len(touched) - first == len(dataset.rows("validation"))
    assert touched.count("train") == 4 * dataset.repeat[train].sum()
    assert touched.count("tune") == 4 * len(dataset.rows("tune"))


def test_a_missed_minimum_fails_after_everything_is_written(files: Path) -> None:
    with pytest.raises(ContractError, match=r"accuracy must be at least 1 \(min_cnn_accuracy\)") as fault:
        train_cnn(files, CNN_PARAMS.model_copy(update={"cnn_epochs": 1, "min_cnn_accuracy": 1.0}))
    assert fault.value.artifact == CNN.metrics.path
    with pytest.raises(ContractError, match="min_lstm_accuracy"):
        train_lstm(files, LSTM_PARAMS.model_copy(update={"lstm_epochs": 1, "min_lstm_accuracy": 1.0}))
    assert all(artifact.at(files).is_file() for model in (CNN, LSTM) for artifact in model.stored)


def test_the_predictions_are_kept_with_their_truth_and_the_versions_that_made_them(undisturbed: Path) -> None:
    for model, truth, naive in (
        (CNN, load_patches(undisturbed).label, {"majority", "logistic_regression", "ndvi_rule"}),
        (LSTM, load_sequences(undisturbed).y, {"persistence", "climatology", "training_mean"}),
    ):
        predictions = read_predictions(model.predictions, undisturbed)
        assert set(predictions.values) == {"real", *naive}
        assert np.array_equal(predictions.truth, truth[predictions.sample])
        assert set(model.card.read(undisturbed).versions) == {"torch", "numpy", "scikit-learn", "safetensors"}


def test_no_plot_is_drawn_where_none_is_wanted(tmp_path: Path) -> None:
    files = _datasets(tmp_path / "files")
    train_cnn(files, CNN_PARAMS.model_copy(update={"cnn_epochs": 1}), plots=False)
    train_lstm(files, LSTM_PARAMS.model_copy(update={"lstm_epochs": 1}), plots=False)
    assert all(artifact.at(files).is_file() for model in (CNN, LSTM) for artifact in model.stored)
    assert not list(files.glob("*.png"))


def test_for_labels_of_the_next_date_the_minimum_is_reported_only(files: Path) -> None:
    write_patches(files, label_source="next_ndvi")
    train_cnn(files, CNN_PARAMS.model_copy(update={"cnn_epochs": 1, "min_cnn_accuracy": 1.0}))
    assert not CNN.metrics.read(files).required
    assert any("reported, not required" in finding.message for finding in train_cnn_outcome(files).findings)


def test_a_model_of_the_ndvi_rule_says_that_it_imitates_a_rule(files: Path) -> None:
    write_patches(files, label_source="ndvi_rule")
    train_cnn(files, CNN_PARAMS.model_copy(update={"cnn_epochs": 1}))
    card = CNN.card.read(files)
    assert "imitates a rule" in card.labels
    assert "ndvi_rule" not in CNN.metrics.read(files).baselines


def test_a_class_outside_the_gate_is_measured_and_left_out(files: Path) -> None:
    info = PATCH_INFO.read(files)
    PATCH_INFO.write(files, info.model_copy(update={"gate_classes": ["Healthy", "Stressed", "Critical"]}))
    train_cnn(files, CNN_PARAMS)
    metrics = CNN.metrics.read(files)
    moderate = next(score for score in metrics.classes if score.name == "Moderate")
    assert not moderate.in_gate
    recalls = [score.recall for score in metrics.classes if score.in_gate]
    assert metrics.balanced_accuracy == pytest.approx(np.mean(recalls))
    assert metrics.baselines["majority"].samples == metrics.all_classes.samples - moderate.samples
    assert any("Moderate" in finding.message for finding in train_cnn_outcome(files).findings)


def test_two_trainings_give_the_same_bytes(files: Path, undisturbed: Path) -> None:
    torch.manual_seed(99)
    np.random.default_rng()
    train_cnn(files, CNN_PARAMS)
    train_lstm(files, LSTM_PARAMS)
    for model in (CNN, LSTM):
        assert _contents(files, model) == _contents(undisturbed, model)


def test_another_seed_gives_other_weights(files: Path, undisturbed: Path) -> None:
    train_cnn(files, CNN_PARAMS.model_copy(update={"seed": 1}))
    assert CNN.weights.at(files).read_bytes() != CNN.weights.at(undisturbed).read_bytes()


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize(("train", "params", "model"), [(train_cnn, CNN_PARAMS, CNN), (train_lstm, LSTM_PARAMS, LSTM)])
def test_a_training_cut_off_after_an_epoch_ends_as_if_undisturbed(
    files: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, train: Any, params: Any, model: Any, after: int
) -> None:
    epochs_run: list[int] = []
    train_epoch = loop.train_epoch

    def mortal(training: loop.Training, network: Any, optimizer: Any, number: int, clock: Any) -> float:
        epochs_run.append(number)
        if number == after + 1 and epochs_run.count(number) == 1:
            raise _KilledError
        return train_epoch(training, network, optimizer, number, clock)

    monkeypatch.setattr(loop, "train_epoch", mortal)
    with pytest.raises(_KilledError):
        train(files, params)
    train(files, params)
    assert _contents(files, model) == _contents(undisturbed, model)
    assert epochs_run.count(1) == 1


@pytest.mark.e2e
def test_a_killed_process_resumes_where_it_was(files: Path, tmp_path: Path) -> None:
    params = CNN_PARAMS.model_copy(update={"cnn_epochs": 30, "cnn_patience": 30})
    killed = _datasets(tmp_path / "killed")
    program = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from include.satellite.params import CnnTrainParams\n"
        "from include.satellite.training.train import train_cnn\n"
        f"train_cnn(Path(sys.argv[1]), CnnTrainParams.model_validate_json({params.model_dump_json()!r}))\n"
    )
    environment = os.environ | {"GROUNDTRUTH_DATA_DIR": str(tmp_path / "data")}
    train_cnn(files, params)
    process = subprocess.Popen([sys.executable, "-c", program, str(killed)], env=environment)
    state = killed / CNN.checkpoints / "state.safetensors"
    deadline = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not CNN.weights.at(killed).exists()
    train_cnn(killed, params)
    assert _contents(killed, CNN) == _contents(files, CNN)


def test_a_checkpoint_of_other_parameters_is_not_used(files: Path, undisturbed: Path) -> None:
    train_cnn(files, CNN_PARAMS.model_copy(update={"cnn_learning_rate": 0.01}))
    train_cnn(files, CNN_PARAMS)
    assert _contents(files, CNN) == _contents(undisturbed, CNN)
