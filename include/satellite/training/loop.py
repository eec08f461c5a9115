"""The training loop: Adam, early stopping on the tuning part, the best weights restored, a checkpoint an epoch.

A killed training resumes from its checkpoint and ends with the same weights. The checkpoint is one safetensors file:
weights, best weights and Adam's moments as tensors, the rest as JSON in its header. It is written atomically, and
nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from include.core.artifacts import sha256
from include.core.errors import BadInputError
from include.core.files import write_atomically
from include.core.progress import ProgressEvent, report
from include.satellite.training.machine import Batch, Machine, Rows, keep_memory, prefetched, repeatable, split
from include.satellite.training.schemas import Epoch, TrainingRecord

LOG = logging.getLogger(__name__)
LOG_INTERVAL_S = 5.0
CHECKPOINT = "state.safetensors"
HISTORY = TypeAdapter(list[Epoch])
Tensors = dict[str, Tensor]
SETTINGS = ("epochs", "patience", "learning_rate", "batch_size")
"""Fields of `Training` that a run sets for each model."""


@dataclass(frozen=True)
class Training:
    """A training: network, data, and when it ends.

    Args:
        network: With its first weights; ends with the best.
        batch: Inputs and targets of some samples, on the processor.
        loss: Of outputs and targets, a mean over the batch.
        score: Of outputs and targets, for the report: a sum over the batch.
        drawn: Training samples of an epoch, a repeated one as often as it repeats.
        tune: Samples of the tuning part.
        epochs: At most.
        patience: Epochs without a smaller loss on the tuning part.
        learning_rate: Of Adam.
        batch_size: Samples a step.
        seed: Of order and dropout.
        symmetric: Whether a batch may be mirrored and transposed: a field looks the same from all sides.
        machine: Where it runs.
        threads: Of the processor.
        checkpoints: Folder of the state after each epoch.
        fingerprint: Of data and parameters: a checkpoint with another one is not used.
    """

    network: nn.Module
    batch: Callable[[Rows], Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    drawn: Rows
    tune: Rows
    epochs: int
    patience: int
    learning_rate: float
    batch_size: int
    seed: int
    symmetric: bool
    machine: Machine
    threads: int
    checkpoints: Path
    fingerprint: str

    @property
    def tuned_on(self) -> Rows:
        """The samples that choose the best epoch."""
        return self.tune if len(self.tune) else np.unique(self.drawn)


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


def fit(training: Training) -> TrainingRecord:
    """Train to the end, from the latest checkpoint if there is one.

    Each epoch's random numbers depend on the seed and its number alone, so an interrupted training that is resumed
    ends with the same bits as an undisturbed one.

    Returns:
        The course of the training. The network has the weights of its best epoch.

    Raises:
        BadInputError: The loss became NaN or infinite.
        SetupError: The checkpoints cannot be written.
    """
    keep_memory()
    machine = training.machine
    with repeatable(training.threads):
        network = machine.place(training.network)
        fused = machine.device.type in {"cpu", "cuda"}
        optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate, fused=fused)
        history: list[Epoch] = []
        best: Tensors = {}
        state = read_state(training.checkpoints, training.fingerprint)
        if state is not None:
            network.load_state_dict(state.weights)
            restore_adam(optimizer, state.adam)
            history, best = list(state.history), state.best
            LOG.info("Resuming after epoch %d from the checkpoint.", len(history))
        clock = Clock(training.epochs - len(history), len(training.drawn))
        while not _ended(history, training):
            number = len(history) + 1
            seeds = np.random.SeedSequence([training.seed, number]).generate_state(1, np.uint64)
            torch.manual_seed(int(seeds[0] >> np.uint64(1)))
            train_loss = train_epoch(training, network, optimizer, number, clock)
            tune_loss, tune_score = measure(training, network, training.tuned_on)
            _check_finite(number, train_loss, tune_loss)
            history.append(Epoch(epoch=number, train_loss=train_loss, tune_loss=tune_loss, tune_score=tune_score))
            if best_epoch(history) == number:
                best = copy_weights(network)
            state = State(history, copy_weights(network), best, adam_state(optimizer))
            write_state(training.checkpoints, training.fingerprint, state)
            clock.epoch_ended(history[-1], best_epoch(history), training)
        network.load_state_dict(best)
        network.eval()
    return _record(training, history)


def best_epoch(history: list[Epoch]) -> int:
    """Return the first epoch with the least loss on the tuning part."""
    return min(history, key=lambda epoch: epoch.tune_loss).epoch


def measure(training: Training, network: nn.Module, rows: Rows) -> tuple[float, float]:
    """Compute mean loss and mean score of some samples, in float32, without dropout."""
    network.eval()
    loss, score = 0.0, 0.0
    machine = training.machine
    with torch.inference_mode():
        for inputs, targets in prefetched(training.batch, split(rows, 4 * training.batch_size), machine):
            outputs, truth = network(machine.put(inputs)), machine.put(targets)
            loss += float(training.loss(outputs, truth)) * len(targets)
            score += float(training.score(outputs, truth))
    return loss / len(rows), score / len(rows)


def _ended(history: list[Epoch], training: Training) -> bool:
    if not history:
        return False
    return len(history) >= training.epochs or len(history) - best_epoch(history) >= training.patience


def train_epoch(
    training: Training, network: nn.Module, optimizer: torch.optim.Adam, number: int, clock: Clock
) -> float:
    """Train one epoch and return its mean loss."""
    network.train()
    machine = training.machine
    random = np.random.default_rng([training.seed, number])
    order = random.permutation(training.drawn)
    batches = split(order, training.batch_size)
    sides = random.integers(8, size=len(batches)) if training.symmetric else np.zeros(len(batches), int)
    total = torch.zeros((), device=machine.device)
    for side, (inputs, targets) in zip(sides, prefetched(training.batch, batches, machine), strict=True):
        optimizer.zero_grad(set_to_none=True)
        with machine.autocast():
            outputs = network(seen_from(machine.narrow(inputs), int(side)))
        loss = training.loss(outputs.float(), machine.put(targets))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.detach() * len(targets)
        clock.samples_done(len(targets), number, training.epochs)
    return float(total) / len(order)


def seen_from(patches: Tensor, side: int) -> Tensor:
    """Return patches (N, C, p, p) as seen from one of eight sides; side 0 leaves them as they are."""
    mirrored = [axis for bit, axis in ((1, 2), (2, 3)) if side & bit]
    if mirrored:
        patches = patches.flip(mirrored)
    if side & 4:
        patches = patches.transpose(2, 3)
    return patches.contiguous(memory_format=torch.channels_last) if side else patches


def _check_finite(epoch: int, *losses: float) -> None:
    if not np.isfinite(losses).all():
        raise BadInputError(
            f"training: the loss of epoch {epoch} became NaN or infinite (losses {losses}): use a smaller learning rate"
        )


def _record(training: Training, history: list[Epoch]) -> TrainingRecord:
    return TrainingRecord(
        epochs=len(history),
        most_epochs=training.epochs,
        best_epoch=best_epoch(history),
        stopped_early=len(history) < training.epochs,
        samples_an_epoch=len(training.drawn),
        train_samples=len(np.unique(training.drawn)),
        tune_samples=len(training.tune),
        tuned_on="tune" if len(training.tune) else "train",
        device=training.machine.name,
        precision=training.machine.precision,
        history=history,
    )


class Clock:
    """Log of a training's pace and of the time that it may still take."""

    def __init__(self, epochs: int, samples: int) -> None:
        self._left, self._an_epoch = epochs * samples, samples
        self._done, self._started = 0, time.monotonic()
        self._logged_at = self._started

    def samples_done(self, count: int, epoch: int, epochs: int) -> None:
        """Count a batch, and log the pace if that was not done lately."""
        self._done += count
        if time.monotonic() - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            share = self._done % self._an_epoch / self._an_epoch
            self._report(f"Epoch {epoch}/{epochs}, {100 * share:.0f} % of it: {self._pace()}")

    def epoch_ended(self, epoch: Epoch, best: int, training: Training) -> None:
        """Log the result of an epoch."""
        self._logged_at = time.monotonic()
        self._report(
            f"Epoch {epoch.epoch}/{training.epochs}: loss {epoch.train_loss:.4f}, on the tuning part "
            f"{epoch.tune_loss:.4f} (best: epoch {best}), score {epoch.tune_score:.3f}; {self._pace()}"
        )

    def _report(self, text: str) -> None:
        done, total, rate = self._done, self._left, self._rate()
        report(
            ProgressEvent(
                at=datetime.now(UTC),
                text=text,
                done=done,
                total=total,
                unit="samples",
                per_second=rate,
                seconds_left=(total - done) / rate,
            )
        )

    def _pace(self) -> str:
        rate = self._rate()
        left = (self._left - self._done) / rate
        return f"{rate:,.0f} samples/s, at most {left / 60:.1f} min left"

    def _rate(self) -> float:
        """Return the samples per second, never zero."""
        return max(self._done / max(time.monotonic() - self._started, 1e-9), 1e-9)


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
    write_atomically(folder / CHECKPOINT, save(tensors, header))


def read_state(folder: Path, training_id: str) -> State | None:
    """Read the checkpoint of this training; None where there is none, or one of other data, parameters or machine."""
    path = folder / CHECKPOINT
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
