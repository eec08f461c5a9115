"""The forecaster's weights, run again without PyTorch: the equations of the LSTM, in NumPy.

The orchestrator, which checks what a step states, has no PyTorch; what a forecast was made by is proven by these lines
instead of by the library that made it. Gates are in PyTorch's order: input, forget, cell, output.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.core.errors import ContractError
from include.satellite.artifacts import LSTM
from include.satellite.training.schemas import ModelCard

Floats = NDArray[np.floating]
Weights = dict[str, NDArray[np.float32]]
BATCH = 1024
LAYERS = 2


def read_weights(folder: Path) -> Weights:
    """Return the weights of a stored forecaster by name.

    Raises:
        ContractError: The file is no complete safetensors file, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = LSTM.weights.at(folder)
    try:
        weights: Weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ContractError(path.name, "must be a complete safetensors file", str(error).splitlines()[0]) from error
    needed = {f"lstm.weight_hh_l{layer}{side}" for layer in range(LAYERS) for side in ("", "_reverse")}
    if missing := sorted(needed - weights.keys()):
        raise ContractError(path.name, "must hold the weights of the documented LSTM", f"no {missing[0]}")
    return weights


def forecast_again(weights: Weights, card: ModelCard, x: Floats, expected: Floats) -> NDArray[np.float64]:
    """Forecast the NDVI after N sequences.

    Args:
        weights: Of the forecaster.
        card: Its card, with the scaling of the steps.
        x: (N, L, F) steps.
        expected: (N,) NDVI by anomaly persistence.

    Returns:
        (N,) NDVI.
    """
    output = np.concatenate(
        [np.empty(0), *(_output(weights, card, x[begin : begin + BATCH]) for begin in range(0, len(x), BATCH))]
    )
    return output + expected if card.target == "residual" else output


def _output(weights: Weights, card: ModelCard, x: Floats) -> NDArray[np.float64]:
    steps = ((x - np.asarray(card.mean, np.float32)) / np.asarray(card.std, np.float32)).astype(np.float32)
    for layer in range(LAYERS):
        forward = _direction(weights, f"l{layer}", steps)
        backward = _direction(weights, f"l{layer}_reverse", steps[:, ::-1])[:, ::-1]
        steps = np.concatenate([forward, backward], axis=2)
    hidden = np.maximum(steps[:, -1] @ weights["head.0.weight"].T + weights["head.0.bias"], 0)
    return np.asarray(hidden @ weights["head.2.weight"].T + weights["head.2.bias"], np.float64)[:, 0]


def _direction(weights: Weights, name: str, steps: Floats) -> NDArray[np.float32]:
    """Return the hidden states (N, L, H) of one direction of one layer."""
    inputs, recurrent = weights[f"lstm.weight_ih_{name}"].T, weights[f"lstm.weight_hh_{name}"].T
    bias = weights[f"lstm.bias_ih_{name}"] + weights[f"lstm.bias_hh_{name}"]
    count, size = len(steps), recurrent.shape[0]
    hidden, cell = np.zeros((count, size), np.float32), np.zeros((count, size), np.float32)
    states = np.empty((count, steps.shape[1], size), np.float32)
    for step in range(steps.shape[1]):
        gates = steps[:, step] @ inputs + hidden @ recurrent + bias
        enter, forget, candidate, leave = np.split(gates, 4, axis=1)
        cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(candidate)
        hidden = states[:, step] = _sigmoid(leave) * np.tanh(cell)
    return states


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)))
