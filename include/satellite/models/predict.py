"""Using a trained model: its weights and card, read without executing anything in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from include.core.artifacts import sha256
from include.core.errors import BadInputError, ContractError
from include.satellite.models.batches import Batch, prefetched, split
from include.satellite.models.documents import ModelCard
from include.satellite.models.machine import Machine
from include.satellite.models.networks import PatchCnn, SequenceLstm

if TYPE_CHECKING:
    from include.satellite.datasets.patches import PatchDataset
    from include.satellite.datasets.sequences import SequenceDataset

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
BATCH = 256


@dataclass(frozen=True)
class ModelBundle:
    """A model: what is known of it, and its weights."""

    card: ModelCard
    weights: dict[str, Tensor]

    def network(self) -> nn.Module:
        """The network with these weights, ready to predict.

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


def load_bundle(weights: Path, card: Path) -> ModelBundle:
    """Read a model.

    Raises:
        ContractError: A file is missing or broken, or the weights are not those that the card was written for.
    """
    try:
        found = ModelCard.model_validate_json(card.read_bytes())
    except (OSError, ValidationError) as error:
        raise ContractError(card.name, "must be a model card", str(error).splitlines()[0]) from error
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise ContractError(weights.name, "must be a whole safetensors file", str(error).splitlines()[0]) from error
    if sha256(weights) != found.weights_sha256:
        raise ContractError(weights.name, f"must be the weights that {card.name} was written for", "other content")
    return ModelBundle(found, tensors)


def predict_patches(bundle: ModelBundle, dataset: PatchDataset, rows: Rows) -> Floats:
    """Class probabilities of some patches, normalised as the model was trained.

    Returns:
        (N, classes), rows sum to 1.

    Raises:
        BadInputError: The dataset has other bands or another patch size than the model.
    """
    _same("bands", list(dataset.info.bands), bundle.card.inputs)
    _same("patch size", dataset.info.patch_size, bundle.card.size)

    def batch(some: Rows) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(dataset.batch(some, bundle.card)), torch.empty(0)

    return torch.softmax(outputs(bundle.network(), batch, rows), dim=1).numpy()


def predict_sequences(bundle: ModelBundle, dataset: SequenceDataset, rows: Rows) -> Floats:
    """NDVI at the date after each sequence.

    Returns:
        (N,) NDVI.

    Raises:
        BadInputError: The dataset has other features or another sequence length than the model.
    """
    _same("features", list(dataset.info.features), bundle.card.inputs)
    _same("sequence length", dataset.info.sequence_length, bundle.card.size)
    inputs = scale(dataset.x, bundle.card.mean, bundle.card.std)
    return outputs(bundle.network(), lambda some: (inputs[some], torch.empty(0)), rows).numpy()


def scale(x: Floats, mean: list[float], std: list[float]) -> Tensor:
    """Sequences as the LSTM takes them: by feature, (value − mean) / std."""
    return torch.from_numpy((x - np.asarray(mean, np.float32)) / np.asarray(std, np.float32))


def outputs(network: nn.Module, batch: Callable[[Rows], Batch], rows: Rows) -> Tensor:
    """Outputs of a network for some samples, in float32, on the processor."""
    machine = Machine.best()
    placed = machine.place(network).eval()
    with torch.inference_mode():
        found = [placed(machine.put(inputs)).cpu() for inputs, _ in prefetched(batch, split(rows, BATCH), machine)]
    return torch.cat(found)


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BadInputError(f"the model takes {what} {expected}, the dataset has {found}: train one for this dataset")
