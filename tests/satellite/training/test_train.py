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

from include.core.errors import BadInputError, ContractError
from include.satellite.datasets.patches import PatchDataset, load_patches
from include.satellite.models import loop, training
from include.satellite.models.batches import prefetched, split, turned
from include.satellite.models.documents import CnnMetrics, LstmMetrics, ModelCard
from include.satellite.models.machine import Machine
from include.satellite.models.training import train_cnn, train_cnn_summary, train_lstm, train_lstm_summary
from include.satellite.params import CnnTrainParams, LstmTrainParams
from tests.satellite.models.small_data import write_patches, write_sequences

CNN = CnnTrainParams(cnn_epochs=4, min_cnn_accuracy=0, patch_size=8, stride=8)
LSTM = LstmTrainParams(lstm_epochs=4, min_lstm_accuracy=0, sequence_length=4)
CNN_FILES = ("cnn_model.safetensors", "cnn_model.json", "cnn_metrics.json")
LSTM_FILES = ("lstm_model.safetensors", "lstm_model.json", "lstm_metrics.json")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    write_patches(folder)
    write_sequences(folder)
    return folder


def _contents(files: Path, names: tuple[str, ...]) -> list[bytes]:
    return [(files / name).read_bytes() for name in names]


def _cnn_metrics(files: Path) -> CnnMetrics:
    return CnnMetrics.model_validate_json((files / "cnn_metrics.json").read_bytes())


def test_the_cnn_learns_what_baselines_cannot(files: Path) -> None:
    train_cnn(files, CNN.model_copy(update={"cnn_epochs": 10}))
    metrics = _cnn_metrics(files)
    assert metrics.balanced_accuracy > 0.7
    assert max(naive.balanced_accuracy for naive in metrics.baselines.values()) < 0.5
    assert sum(map(sum, metrics.confusion)) == metrics.all_classes.samples == 128
    card = ModelCard.model_validate_json((files / "cnn_model.json").read_bytes())
    assert card.metrics["accuracy"] == metrics.accuracy
    assert card.data.synthetic
    assert any("simulated" in limit for limit in card.limits)
    assert card.evaluation_dates == len(metrics.evaluation_dates) == 8
    for name in ("plot_cnn_training.png", "plot_cnn_confusion.png"):
        assert (files / name).stat().st_size > 10_000


def test_the_lstm_learns_the_season(files: Path) -> None:
    train_lstm(files, LSTM.model_copy(update={"lstm_epochs": 20}))
    metrics = LstmMetrics.model_validate_json((files / "lstm_metrics.json").read_bytes())
    assert metrics.accuracy == pytest.approx(1 - metrics.mae / 2)
    assert all(naive.skill is not None and naive.skill > 0.3 for naive in metrics.baselines.values())
    assert len(metrics.evaluation_dates) == 3
    summary = train_lstm_summary(files)
    assert summary["lstm_accuracy"] == pytest.approx(metrics.accuracy, abs=1e-4)
    assert any("constant scores" in finding["message"] for finding in summary["findings"])
    for name in ("plot_lstm_training.png", "plot_lstm_forecast.png"):
        assert (files / name).stat().st_size > 10_000


def test_the_model_has_the_weights_of_its_best_epoch(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[loop.Training] = []
    fit = loop.fit
    monkeypatch.setattr(training, "fit", lambda each: seen.append(each) or fit(each))
    train_cnn(files, CNN.model_copy(update={"cnn_epochs": 9, "cnn_patience": 2, "cnn_learning_rate": 0.01}))
    record = _cnn_metrics(files).training
    assert record.best_epoch < record.epochs
    losses = [epoch.tune_loss for epoch in record.history]
    assert losses[record.best_epoch - 1] == min(losses)
    loss, score = loop.measure(seen[0], seen[0].network, seen[0].tune)
    assert loss == losses[record.best_epoch - 1]
    assert score == record.history[record.best_epoch - 1].tune_score


def test_patience_ends_a_training(files: Path) -> None:
    train_cnn(files, CNN.model_copy(update={"cnn_epochs": 30, "cnn_patience": 1, "cnn_learning_rate": 0.01}))
    record = _cnn_metrics(files).training
    assert record.stopped_early
    assert record.epochs == record.best_epoch + 1


def test_the_validation_part_is_touched_once_at_the_end(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []
    batch = PatchDataset.batch

    def watched(self: PatchDataset, rows: Any, normalisation: Any = None) -> Any:
        touched.extend(np.array(["train", "tune", "validation"])[self.split[rows]])
        return batch(self, rows, normalisation)

    monkeypatch.setattr(PatchDataset, "batch", watched)
    train_cnn(files, CNN)
    first = touched.index("validation")
    assert set(touched[first:]) == {"validation"}
    dataset = load_patches(files)
    train = dataset.rows("train")
    assert len(touched) - first == len(dataset.rows("validation"))
    assert touched.count("train") == 4 * dataset.repeat[train].sum()
    assert touched.count("tune") == 4 * len(dataset.rows("tune"))


def test_a_missed_minimum_fails_after_everything_is_written(files: Path) -> None:
    with pytest.raises(ContractError, match=r"accuracy must be at least 1 \(min_cnn_accuracy\)") as fault:
        train_cnn(files, CNN.model_copy(update={"cnn_epochs": 1, "min_cnn_accuracy": 1.0}))
    assert fault.value.artifact == "cnn_metrics.json"
    with pytest.raises(ContractError, match="min_lstm_accuracy"):
        train_lstm(files, LSTM.model_copy(update={"lstm_epochs": 1, "min_lstm_accuracy": 1.0}))
    written = {path.name for path in files.iterdir()}
    assert written >= {*CNN_FILES, *LSTM_FILES, "plot_cnn_confusion.png", "plot_lstm_forecast.png"}


def test_for_labels_of_the_next_date_the_minimum_is_reported_only(files: Path) -> None:
    write_patches(files, label_source="next_ndvi")
    train_cnn(files, CNN.model_copy(update={"cnn_epochs": 1, "min_cnn_accuracy": 1.0}))
    assert not _cnn_metrics(files).required
    assert any("reported, not required" in found["message"] for found in train_cnn_summary(files)["findings"])


def test_a_model_of_the_ndvi_rule_says_that_it_imitates_a_rule(files: Path) -> None:
    write_patches(files, label_source="ndvi_rule")
    train_cnn(files, CNN.model_copy(update={"cnn_epochs": 1}))
    card = ModelCard.model_validate_json((files / "cnn_model.json").read_bytes())
    assert "imitates a rule" in card.labels
    assert "ndvi_rule" not in _cnn_metrics(files).baselines


def test_a_class_outside_the_gate_is_measured_and_left_out(files: Path) -> None:
    path = files / "cnn_dataset.json"
    told = path.read_text()
    info = load_patches(files).info
    path.write_text(info.model_copy(update={"gate_classes": ["Healthy", "Stressed", "Critical"]}).model_dump_json())
    assert told != path.read_text()
    train_cnn(files, CNN)
    metrics = _cnn_metrics(files)
    moderate = next(each for each in metrics.classes if each.name == "Moderate")
    assert not moderate.in_gate
    inside = [each for each in metrics.classes if each.in_gate]
    assert metrics.balanced_accuracy == pytest.approx(np.mean([each.recall for each in inside]))
    assert metrics.baselines["majority"].samples == metrics.all_classes.samples - moderate.samples
    assert any("Moderate" in finding["message"] for finding in train_cnn_summary(files)["findings"])


def test_a_diverging_training_says_so(files: Path) -> None:
    dataset = np.load(files / "lstm_series.npy")
    dataset[:, 5] = np.inf
    np.save(files / "lstm_series.npy", dataset)
    with np.errstate(invalid="ignore"), pytest.raises(BadInputError, match="loss of epoch 1 is no number"):
        train_lstm(files, LSTM)


def test_two_trainings_give_the_same_bytes(files: Path, tmp_path: Path) -> None:
    train_cnn(files, CNN)
    train_lstm(files, LSTM)
    again = tmp_path / "again"
    again.mkdir()
    write_patches(again)
    write_sequences(again)
    torch.manual_seed(99)
    np.random.default_rng()
    train_cnn(again, CNN)
    train_lstm(again, LSTM)
    assert _contents(again, CNN_FILES + LSTM_FILES) == _contents(files, CNN_FILES + LSTM_FILES)
    train_cnn(again, CNN.model_copy(update={"seed": 1}))
    assert _contents(again, CNN_FILES[:1]) != _contents(files, CNN_FILES[:1])


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("kind", ["cnn", "lstm"])
def test_a_training_cut_off_after_an_epoch_ends_as_if_undisturbed(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, after: int
) -> None:
    train, params, names = (train_cnn, CNN, CNN_FILES) if kind == "cnn" else (train_lstm, LSTM, LSTM_FILES)
    train(files, params)
    undisturbed = _contents(files, names)
    again = tmp_path / "again"
    again.mkdir()
    write_patches(again)
    write_sequences(again)
    epochs_run: list[int] = []
    train_epoch = loop.train_epoch

    def mortal(each: loop.Training, network: Any, optimizer: Any, number: int, clock: Any) -> float:
        if number == after + 1 and epochs_run.count(number) == 0:
            epochs_run.append(number)
            raise _KilledError
        epochs_run.append(number)
        return train_epoch(each, network, optimizer, number, clock)

    monkeypatch.setattr(loop, "train_epoch", mortal)
    with pytest.raises(_KilledError):
        train(again, params)
    train(again, params)
    assert _contents(again, names) == undisturbed
    assert epochs_run.count(1) == 1


def test_a_killed_process_goes_on_where_it_was(files: Path, tmp_path: Path) -> None:
    params = CNN.model_copy(update={"cnn_epochs": 30, "cnn_patience": 30})
    train_cnn(files, params)
    again = tmp_path / "again"
    again.mkdir()
    write_patches(again)
    program = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from include.satellite.models import training\n"
        "from include.satellite.params import CnnTrainParams\n"
        f"training.train_cnn(Path(sys.argv[1]), CnnTrainParams.model_validate_json({params.model_dump_json()!r}))\n"
    )
    environment = os.environ | {"GROUNDTRUTH_DATA_DIR": str(tmp_path / "data")}
    process = subprocess.Popen([sys.executable, "-c", program, str(again)], env=environment)
    state = again / "checkpoints" / "cnn" / "state.safetensors"
    deadline = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (again / "cnn_model.safetensors").exists()
    train_cnn(again, params)
    assert _contents(again, CNN_FILES) == _contents(files, CNN_FILES)


def test_a_checkpoint_of_other_parameters_is_not_used(files: Path, tmp_path: Path) -> None:
    train_cnn(files, CNN.model_copy(update={"cnn_learning_rate": 0.01}))
    train_cnn(files, CNN)
    again = tmp_path / "again"
    again.mkdir()
    write_patches(again)
    train_cnn(again, CNN)
    assert _contents(again, CNN_FILES) == _contents(files, CNN_FILES)


def test_patches_are_seen_from_eight_sides() -> None:
    patches = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).reshape(2, 3, 4, 4)
    seen = [turned(patches, way) for way in range(8)]
    assert torch.equal(seen[0], patches)
    assert len({tuple(each.flatten().tolist()) for each in seen}) == 8
    for each in seen:
        assert torch.equal(each.flatten(2).sort().values, patches.flatten(2))
        assert torch.equal(each[0, 1], each[0, 0] + 16)


def test_the_batches_come_in_order_and_a_fault_among_them_is_not_lost() -> None:
    rows = split(np.arange(50), 4)

    def batch(some: Any) -> Any:
        if 30 in some:
            raise OSError("the disk is gone")
        return torch.from_numpy(some), torch.from_numpy(some)

    seen: list[int] = []

    def read() -> None:
        for inputs, _ in prefetched(batch, rows, Machine.best()):
            seen.extend(inputs.tolist())

    with pytest.raises(OSError, match="the disk is gone"):
        read()
    assert seen == list(range(28))
