"""The documented networks, and predictions of stored models: nothing in their files is executed."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from include.core.errors import BadInputError, ContractError
from include.satellite.artifacts import CNN, LSTM
from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.sequences import load_sequences
from include.satellite.training.networks import (
    ModelBundle,
    PatchCnn,
    SequenceLstm,
    forecast_of,
    load_bundle,
    outputs,
    parameter_count,
    predict_patches,
    predict_sequences,
    scale,
    seeded,
)
from tests.satellite.small_data import write_sequences


def test_the_documented_cnn_has_1_143_204_parameters() -> None:
    network = PatchCnn(bands=4, size=64, classes=4)
    assert parameter_count(network) == 1_143_204
    assert network(torch.zeros(2, 4, 64, 64)).shape == (2, 4)


def test_the_documented_lstm_has_545_921_parameters() -> None:
    network = SequenceLstm(features=1)
    assert parameter_count(network) == 545_921
    assert network(torch.zeros(3, 10, 1)).shape == (3,)


@pytest.mark.parametrize("features", [2, 4, 6])
def test_the_lstm_has_544_897_parameters_and_1_024_a_feature(features: int) -> None:
    assert parameter_count(SequenceLstm(features)) == 544_897 + 1_024 * features


def test_a_network_that_starts_at_zero_forecasts_nothing_until_it_learns() -> None:
    network = SequenceLstm(features=2).eval()
    network.start_at_zero()
    assert not network(torch.randn(5, 6, 2)).any()


def test_residuals_are_added_to_anomaly_persistence_and_absolute_forecasts_are_not(tmp_path: Path) -> None:
    write_sequences(tmp_path, seasonal=True)
    dataset = load_sequences(tmp_path)
    rows, output = dataset.rows("validation"), np.full(len(dataset.rows("validation")), 0.25, np.float32)
    assert np.allclose(forecast_of(output, dataset.expected[rows], "residual") - dataset.expected[rows], 0.25)
    assert np.array_equal(forecast_of(output, dataset.expected[rows], "absolute"), output)


def test_other_bands_patches_and_features_fit() -> None:
    assert PatchCnn(bands=7, size=16)(torch.zeros(2, 7, 16, 16)).shape == (2, 4)
    assert SequenceLstm(features=4)(torch.zeros(2, 6, 4)).shape == (2,)


def test_relu_after_pooling_gives_what_the_documented_order_gives() -> None:
    network = PatchCnn(bands=4, size=16)
    documented: list[nn.Module] = []
    for start in range(0, len(network.features), 4):
        convolution, norm, pool, _ = network.features[start : start + 4]
        documented += [convolution, norm, nn.ReLU(), pool]
    patches = torch.randn(8, 4, 16, 16)
    values, gradients = [], []
    for features in (network.features, nn.Sequential(*documented)):
        network.zero_grad()
        pooled = features(patches)
        pooled.square().sum().backward()
        values.append(pooled.detach())
        gradients.append([weights.grad.clone() for weights in features.parameters()])
    assert torch.equal(*values)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_lstm_reads_the_whole_sequence() -> None:
    network = SequenceLstm(features=1).eval()
    sequences = torch.randn(1, 10, 1).requires_grad_()
    network(sequences).sum().backward()
    assert (sequences.grad.abs() > 0).all()


def test_first_weights_depend_on_the_seed_alone_and_leave_other_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = seeded(1, SequenceLstm, 1)
    assert torch.equal(torch.rand(1), expected)
    same, other = seeded(1, SequenceLstm, 1), seeded(2, SequenceLstm, 1)
    pairs = list(zip(first.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


# stored models


def test_a_stored_model_predicts_what_was_measured(trained: Path) -> None:
    patches, sequences = load_patches(trained), load_sequences(trained)
    rows = patches.rows("validation")
    probabilities = predict_patches(load_bundle(trained, CNN), patches, rows)
    assert probabilities.shape == (len(rows), 4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
    metrics = CNN.metrics.read(trained)
    assert (probabilities.argmax(axis=1) == patches.label[rows]).mean() == metrics.all_classes.accuracy
    rows = sequences.rows("validation")
    forecast = predict_sequences(load_bundle(trained, LSTM), sequences, rows)
    lstm = LSTM.metrics.read(trained)
    assert np.abs(forecast - sequences.y[rows]).mean() == pytest.approx(lstm.mae, abs=1e-7)


def test_a_model_brings_its_own_normalisation(trained: Path) -> None:
    patches = load_patches(trained)
    rows, bundle = patches.rows("validation"), load_bundle(trained, CNN)
    normalisation = patches.info.normalisation.model_copy(update={"mean": [0.9] * 4})
    object.__setattr__(patches, "info", patches.info.model_copy(update={"normalisation": normalisation}))
    assert (predict_patches(bundle, patches, rows) == predict_patches(bundle, load_patches(trained), rows)).all()


def test_a_dataset_of_other_shape_is_refused(trained: Path) -> None:
    patches, sequences = load_patches(trained), load_sequences(trained)
    cnn, lstm = load_bundle(trained, CNN), load_bundle(trained, LSTM)
    wider = ModelBundle(cnn.card.model_copy(update={"size": 16}), cnn.weights)
    with pytest.raises(BadInputError, match="takes patch size 16, the dataset has 8"):
        predict_patches(wider, patches, patches.rows("validation"))
    longer = ModelBundle(lstm.card.model_copy(update={"size": 9}), lstm.weights)
    with pytest.raises(BadInputError, match="takes sequence length 9, the dataset has 4"):
        predict_sequences(longer, sequences, sequences.rows("validation"))


def test_weights_of_another_model_are_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copy(CNN.card.at(trained), CNN.card.at(tmp_path))
    shutil.copy(LSTM.weights.at(trained), CNN.weights.at(tmp_path))
    with pytest.raises(ContractError, match=r"must be the weights that cnn_model\.json was written for"):
        load_bundle(tmp_path, CNN)
    cnn = load_bundle(trained, CNN)
    smaller = ModelBundle(cnn.card.model_copy(update={"inputs": ["B02"]}), cnn.weights)
    with pytest.raises(ContractError, match="must fit its model card"):
        smaller.network()


EXPLODED: list[str] = []


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return EXPLODED.append, ("executed",)


@pytest.mark.parametrize("content", [pickle.dumps(_Bomb()), b"", b"\x00" * 64], ids=["a pickle", "nothing", "zeros"])
def test_what_is_not_a_safetensors_file_is_refused(trained: Path, tmp_path: Path, content: bytes) -> None:
    shutil.copy(CNN.card.at(trained), CNN.card.at(tmp_path))
    CNN.weights.at(tmp_path).write_bytes(content)
    with pytest.raises(ContractError, match="must be a complete safetensors file"):
        load_bundle(tmp_path, CNN)
    assert not EXPLODED


def test_a_missing_or_broken_card_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copy(CNN.weights.at(trained), CNN.weights.at(tmp_path))
    with pytest.raises(ContractError, match=r"cnn_model\.json: must exist"):
        load_bundle(tmp_path, CNN)
    CNN.card.at(tmp_path).write_text("{}")
    with pytest.raises(ContractError, match=r"cnn_model\.json: must keep to its schema"):
        load_bundle(tmp_path, CNN)


def test_outputs_keep_the_order_of_the_rows() -> None:
    inputs = torch.arange(600, dtype=torch.float32)[:, None]
    rows = np.random.default_rng(0).permutation(600)
    values = outputs(nn.Identity(), lambda selected: (inputs[selected], torch.empty(0)), rows)
    assert np.array_equal(values[:, 0].numpy(), rows)


def test_sequences_are_scaled_by_feature() -> None:
    sequences = np.array([[[1.0, 10.0], [3.0, 30.0]]], np.float32)
    assert scale(sequences, [1, 10], [2, 10]).tolist() == [[[0, 0], [1, 2]]]


class StatesTf32(nn.Module):
    """Returns for each sample whether convolutions may be computed in TF32."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.full((len(inputs),), float(torch.backends.cudnn.allow_tf32))


def test_outputs_are_computed_in_the_same_precision_on_every_device() -> None:
    inputs, rows = torch.zeros((3, 1)), np.arange(3)
    assert not outputs(StatesTf32(), lambda selected: (inputs[selected], torch.empty(0)), rows).any()
