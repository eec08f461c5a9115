import pickle
from pathlib import Path

import numpy as np
import pytest

from include.core.errors import BadInputError, ContractError
from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.sequences import load_sequences
from include.satellite.models.documents import CnnMetrics, LstmMetrics
from include.satellite.models.predict import ModelBundle, load_bundle, predict_patches, predict_sequences
from include.satellite.models.training import train_cnn, train_lstm
from include.satellite.params import CnnTrainParams, LstmTrainParams
from tests.satellite.models.small_data import write_patches, write_sequences


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_patches(folder)
    write_sequences(folder)
    train_cnn(folder, CnnTrainParams(cnn_epochs=2, min_cnn_accuracy=0, patch_size=8))
    train_lstm(folder, LstmTrainParams(lstm_epochs=2, min_lstm_accuracy=0))
    return folder


def _bundle(files: Path, kind: str) -> ModelBundle:
    return load_bundle(files / f"{kind}_model.safetensors", files / f"{kind}_model.json")


def test_a_stored_model_predicts_what_was_measured(files: Path) -> None:
    patches, sequences = load_patches(files), load_sequences(files)
    rows = patches.rows("validation")
    probabilities = predict_patches(_bundle(files, "cnn"), patches, rows)
    assert probabilities.shape == (len(rows), 4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
    metrics = CnnMetrics.model_validate_json((files / "cnn_metrics.json").read_bytes())
    assert (probabilities.argmax(axis=1) == patches.label[rows]).mean() == metrics.all_classes.accuracy
    rows = sequences.rows("validation")
    forecast = predict_sequences(_bundle(files, "lstm"), sequences, rows)
    lstm = LstmMetrics.model_validate_json((files / "lstm_metrics.json").read_bytes())
    assert np.abs(forecast - sequences.y[rows]).mean() == pytest.approx(lstm.mae, abs=1e-7)


def test_a_model_brings_its_own_normalisation(files: Path) -> None:
    patches = load_patches(files)
    rows, bundle = patches.rows("validation"), _bundle(files, "cnn")
    normalisation = patches.info.normalisation.model_copy(update={"mean": [0.9] * 4})
    object.__setattr__(patches, "info", patches.info.model_copy(update={"normalisation": normalisation}))
    assert (predict_patches(bundle, patches, rows) == predict_patches(bundle, load_patches(files), rows)).all()


def test_a_dataset_of_other_shape_is_refused(files: Path) -> None:
    patches, sequences = load_patches(files), load_sequences(files)
    cnn, lstm = _bundle(files, "cnn"), _bundle(files, "lstm")
    wider = ModelBundle(cnn.card.model_copy(update={"size": 16}), cnn.weights)
    with pytest.raises(BadInputError, match="takes patch size 16, the dataset has 8"):
        predict_patches(wider, patches, patches.rows("validation"))
    longer = ModelBundle(lstm.card.model_copy(update={"size": 9}), lstm.weights)
    with pytest.raises(BadInputError, match="takes sequence length 9, the dataset has 4"):
        predict_sequences(longer, sequences, sequences.rows("validation"))


def test_weights_of_another_model_are_refused(files: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"must be the weights that cnn_model\.json was written for"):
        load_bundle(files / "lstm_model.safetensors", files / "cnn_model.json")
    cnn = _bundle(files, "cnn")
    smaller = ModelBundle(cnn.card.model_copy(update={"inputs": ["B02"]}), cnn.weights)
    with pytest.raises(ContractError, match="must fit its model card"):
        smaller.network()


EXPLODED: list[str] = []


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return EXPLODED.append, ("executed",)


@pytest.mark.parametrize("content", [pickle.dumps(_Bomb()), b"", b"\x00" * 64], ids=["a pickle", "nothing", "zeros"])
def test_what_is_no_safetensors_file_is_refused(files: Path, tmp_path: Path, content: bytes) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(content)
    with pytest.raises(ContractError, match="must be a whole safetensors file"):
        load_bundle(weights, files / "cnn_model.json")
    assert not EXPLODED


def test_a_broken_card_is_refused(files: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    with pytest.raises(ContractError, match="must be a model card"):
        load_bundle(files / "cnn_model.safetensors", card)
    card.write_text("{}")
    with pytest.raises(ContractError, match="must be a model card"):
        load_bundle(files / "cnn_model.safetensors", card)
