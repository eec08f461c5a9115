"""Checkpoints: a training's state after each epoch, from which a killed one resumes and ends with the same weights.

One safetensors file: weights, best weights and Adam's moments as tensors, the rest as JSON in its header. It is
written atomically, and nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from include.core.artifacts import sha256
from include.core.files import write_atomically
from include.satellite.training.schemas import Epoch

LOG = logging.getLogger(__name__)
FILE = "state.safetensors"
HISTORY = TypeAdapter(list[Epoch])
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class State:
    """The state of a training after its latest epoch.

    Args:
        history: Its epochs so far.
        weights: After the latest epoch.
        best: After the best epoch.
        adam: Moments of the optimizer, `<parameter>.<name>`.
    """

    history: list[Epoch]
    weights: Tensors
    best: Tensors
    adam: Tensors


def fingerprint(files: list[Path], settings: dict[str, Any]) -> str:
    """Return the checksum of all that decides a training's result: data, parameters, libraries, machine."""
    decisive = json.dumps([[sha256(path) for path in files], settings], sort_keys=True, default=str)
    return hashlib.sha256(decisive.encode()).hexdigest()


def write_state(folder: Path, training_id: str, state: State) -> None:
    """Replace the checkpoint.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    groups = {"weights": state.weights, "best": state.best, "adam": state.adam}
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, members in groups.items()
        for name, tensor in members.items()
    }
    header = {"fingerprint": training_id, "history": HISTORY.dump_json(state.history).decode()}
    write_atomically(folder / FILE, save(tensors, header))


def read_state(folder: Path, training_id: str) -> State | None:
    """Read the checkpoint of this training; None where there is none, or one of other data, parameters or machine."""
    path = folder / FILE
    if not path.is_file():
        return None
    groups: dict[str, Tensors] = {"weights": {}, "best": {}, "adam": {}}
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if header.get("fingerprint") != training_id:
                LOG.info("The checkpoint is one of other data, parameters or another machine: starting with epoch 1.")
                return None
            for key in file.keys():  # noqa: SIM118 - it is not a mapping and has no iterator
                group, _, name = key.partition("/")
                groups[group][name] = file.get_tensor(key)
            history = HISTORY.validate_json(header["history"])
    except (SafetensorError, OSError, KeyError, ValidationError) as error:
        LOG.warning("The checkpoint %s cannot be read (%s): starting with epoch 1.", path.name, error)
        return None
    return State(history=history, **groups)


def adam_state(optimizer: torch.optim.Adam) -> Tensors:
    """Return the optimizer's moments by parameter, flat."""
    state = optimizer.state_dict()["state"]
    return {f"{position}.{name}": tensor for position, moments in state.items() for name, tensor in moments.items()}


def restore_adam(optimizer: torch.optim.Adam, saved: Tensors) -> None:
    """Restore moments, each laid out in memory as its parameter: the fused step walks both side by side."""
    parameters = [weights for group in optimizer.param_groups for weights in group["params"]]
    state: dict[int, Tensors] = {}
    for key, tensor in saved.items():
        position, _, name = key.partition(".")
        like = parameters[int(position)]
        value = tensor if name == "step" else torch.empty_like(like).copy_(tensor)
        state.setdefault(int(position), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def copy_weights(network: nn.Module) -> Tensors:
    """Copy the network's weights and running statistics to the processor."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
