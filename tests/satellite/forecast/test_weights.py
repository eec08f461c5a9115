"""The weights without PyTorch: the same forecasts as PyTorch's, and nothing from a broken file."""

import numpy as np
import pytest
import torch

from include.core.errors import ContractError
from include.satellite.artifacts import LSTM
from include.satellite.forecast.weights import forecast_again, read_weights
from include.satellite.training.networks import forecast_steps, load_bundle
from tests.satellite.forecast.promoted import STEPS, write_forecaster


@pytest.mark.parametrize("target", ["residual", "absolute"])
def test_numpy_gives_what_pytorch_gives(tmp_path, target):
    write_forecaster(tmp_path, head=10.0, target=target)
    bundle = load_bundle(tmp_path, LSTM)
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (1100, STEPS, 6)).astype(np.float32)
    expected = random.uniform(0, 1, 1100).astype(np.float32)
    own = forecast_again(read_weights(tmp_path), bundle.card, x, expected)
    assert np.abs(own - forecast_steps(bundle, x, expected, np.arange(1100))).max() < 1e-4
    assert own.std() > 0.01, "the weights decide"


def test_no_sequence_is_no_forecast(tmp_path):
    stated = write_forecaster(tmp_path)
    nothing = np.empty((0, STEPS, 6), np.float32)
    assert len(forecast_again(read_weights(tmp_path), stated, nothing, np.empty(0))) == 0


def test_a_broken_file_and_another_network_are_refused(tmp_path):
    from safetensors.torch import save_file

    LSTM.weights.at(tmp_path).write_bytes(b"no weights")
    with pytest.raises(ContractError, match="complete safetensors file"):
        read_weights(tmp_path)
    save_file({"head.0.weight": torch.zeros(2, 2)}, LSTM.weights.at(tmp_path))
    with pytest.raises(ContractError, match="weights of the documented LSTM"):
        read_weights(tmp_path)
