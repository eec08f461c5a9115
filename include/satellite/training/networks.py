"""The two documented networks: their layers, their stored weights, and their predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from include.core.errors import BadInputError, ContractError
from include.satellite.artifacts import ModelArtifacts
from include.satellite.params import ForecastTarget
from include.satellite.training.machine import Batch, Machine, Rows, prefetched, split
from include.satellite.training.schemas import ModelCard

if TYPE_CHECKING:
    from include.satellite.datasets.patches import PatchDataset
    from include.satellite.datasets.sequences import SequenceDataset

Floats = NDArray[np.float32]
CHANNELS = (32, 64, 128)
PREDICTION_BATCH = 256


class PatchCnn(nn.Module):
    """Classifier of patches: (N, bands, size, size) normalised reflectance to (N, classes) logits.

    ReLU stands after max pooling: both orders give the same values and gradients, for ReLU is monotonic, and this one
    passes over a quarter of the pixels.

    Args:
        bands: Bands of a patch.
        size: Side of a patch, pixels, a multiple of 8.
        classes: Number of classes.
    """

    architecture = "3 blocks conv 3×3 – batch norm – ReLU – max pool (32, 64, 128), dense 128, dropout 0.3, dense 4"

    def __init__(self, bands: int = 4, size: int = 64, classes: int = 4) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in zip((bands, *CHANNELS), CHANNELS, strict=False):
            blocks += [
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after),
                nn.MaxPool2d(2),
                nn.ReLU(inplace=True),
            ]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(CHANNELS[-1] * (size // 2 ** len(CHANNELS)) ** 2, 128),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Linear(128, classes),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.features(patches))
        return logits


class SequenceLstm(nn.Module):
    """Forecaster of the NDVI at the next date: (N, steps, features) to (N,).

    At the last step the forward half has seen the whole sequence, the backward half the last step alone.

    Args:
        features: Values a step; there are 544,897 + 1,024 × features weights.
    """

    architecture = "bidirectional LSTM, 2 layers of 128, dropout 0.2, its last step through dense 64 to one value"

    def __init__(self, features: int = 1) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, 128, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = nn.Sequential(nn.Linear(256, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))

    def forward(self, sequences: Tensor) -> Tensor:
        """Return the forecasts."""
        steps, _ = self.lstm(sequences)
        forecast: Tensor = self.head(steps[:, -1])
        return forecast.squeeze(1)

    def start_at_zero(self) -> None:
        """Let the network forecast 0 until it has learnt something: residuals begin at the forecast they refine."""
        for weights in self.head[-1].parameters():
            nn.init.zeros_(weights)


def parameter_count(network: nn.Module) -> int:
    """Return the number of a network's trainable weights."""
    return sum(weights.numel() for weights in network.parameters() if weights.requires_grad)


def seeded(seed: int, build: type[nn.Module], *shape: int) -> nn.Module:
    """Return a network whose first weights depend on the seed alone; the caller's random numbers stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(*shape)


@dataclass(frozen=True)
class ModelBundle:
    """A trained model: its card and its weights."""

    card: ModelCard
    weights: dict[str, Tensor]

    def network(self) -> nn.Module:
        """Return the network with these weights, ready to predict.

        Raises:
            ContractError: The weights are not those of the network that the card describes.
        """
        card = self.card
        network: nn.Module
        if card.kind == "cnn":
            network = PatchCnn(len(card.inputs), card.size, len(card.classes))
        else:
            network = SequenceLstm(len(card.inputs))
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ContractError(f"{card.kind}_model.safetensors", "must fit its model card", reason) from error
        return network.eval()


def load_bundle(folder: Path, model: ModelArtifacts[Any]) -> ModelBundle:
    """Read a trained model; nothing in its files is executed.

    Args:
        folder: Holds its weights and card: a run's `files/` folder, or a version of the model store.
        model: Which model.

    Raises:
        ContractError: A file is missing or broken, or the weights are not those that the card was written for.
    """
    weights = model.weights.at(folder)
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise ContractError(weights.name, "must be a complete safetensors file", str(error).splitlines()[0]) from error
    return ModelBundle(model.check_weights(folder), tensors)


def predict_patches(bundle: ModelBundle, dataset: PatchDataset, rows: Rows) -> Floats:
    """Predict the class probabilities of some patches, normalised as in the model's training.

    Returns:
        (N, classes), rows sum to 1.

    Raises:
        BadInputError: The dataset has other bands or another patch size than the model.
    """
    _check_same("bands", list(dataset.info.bands), bundle.card.inputs)
    _check_same("patch size", dataset.info.patch_size, bundle.card.size)

    def batch(selected: Rows) -> Batch:
        return torch.from_numpy(dataset.batch(selected, bundle.card)), torch.empty(0)

    return torch.softmax(outputs(bundle.network(), batch, rows), dim=1).numpy()


def predict_sequences(bundle: ModelBundle, dataset: SequenceDataset, rows: Rows) -> Floats:
    """Forecast the NDVI at the date after each sequence.

    Returns:
        (N,) NDVI.

    Raises:
        BadInputError: The dataset has other features or another sequence length than the model.
    """
    _check_same("features", list(dataset.info.features), bundle.card.inputs)
    _check_same("sequence length", dataset.info.sequence_length, bundle.card.size)
    return forecast_steps(bundle, dataset.x, dataset.expected, rows)


def forecast_steps(bundle: ModelBundle, x: Floats, expected: Floats, rows: Rows) -> Floats:
    """Forecast the NDVI after some of M sequences.

    Args:
        bundle: The model.
        x: (M, L, F) steps.
        expected: (M,) NDVI by anomaly persistence.
        rows: (N,) which of them.

    Returns:
        (N,) NDVI.
    """
    inputs = scale(x, bundle.card.mean, bundle.card.std)
    output = outputs(bundle.network(), lambda selected: (inputs[selected], torch.empty(0)), rows).numpy()
    return forecast_of(output, expected[rows], bundle.card.target)


def forecast_of(output: Floats, expected: Floats, target: ForecastTarget) -> Floats:
    """Return the NDVI that outputs of the LSTM (N,) mean: that itself, or added to anomaly persistence (N,)."""
    return output + expected if target == "residual" else output


def scale(x: Floats, mean: list[float], std: list[float]) -> Tensor:
    """Scale sequences as the LSTM takes them: by feature, (value − mean) / std."""
    return torch.from_numpy((x - np.asarray(mean, np.float32)) / np.asarray(std, np.float32))


def outputs(network: nn.Module, batch: Callable[[Rows], Batch], rows: Rows) -> Tensor:
    """Return a network's outputs for some samples, computed in float32 on every device, TF32 of GPUs left out."""
    machine = Machine.best()
    placed = machine.place(network).eval()
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        batches = prefetched(batch, split(rows, PREDICTION_BATCH), machine)
        return torch.cat([placed(machine.put(inputs)).cpu() for inputs, _ in batches])


def _check_same(name: str, of_dataset: object, of_model: object) -> None:
    if of_dataset != of_model:
        raise BadInputError(
            f"the model takes {name} {of_model}, the dataset has {of_dataset}: train a model on this dataset"
        )
