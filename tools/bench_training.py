"""Measures training: `make bench` prints samples a second, side by side with bare PyTorch loops.

- *bare*: the loop that one would write by hand, over tensors in memory, for the same network, batch and optimizer.
- *ours*: an epoch of the pipeline's training: patches cut from the memory-mapped cube of the documented size (20 dates
  of 951 × 1110 pixels), normalised, masked and turned while it trains.

Rounds of all variants alternate and the best round of each counts, so that other programs disturb all alike.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from include.satellite.datasets.patches import PatchDataset
from include.satellite.datasets.schemas import Normalisation
from include.satellite.training.loop import Clock, Training, train_epoch
from include.satellite.training.machine import Machine, keep_memory, prefetched, repeatable, split
from include.satellite.training.networks import PatchCnn, SequenceLstm
from tools.bench import print_table

DATES, HEIGHT, WIDTH, BANDS, PATCH, BATCH, STEPS = 20, 1110, 951, 4, 64, 32, 10
CNN_SAMPLES, LSTM_SAMPLES = 1024, 4096
ALLOWED_SHARE = 0.95
Loss = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        dataset = synthetic_patches(Path(folder))
        show("CNN, 64 × 64 × 4, batch 32", cnn_variants(dataset), rounds, CNN_SAMPLES)
    show(f"LSTM, {STEPS} dates, batch 32", lstm_variants(), rounds, LSTM_SAMPLES)


def show(title: str, variants: dict[str, Iterator[float]], rounds: int, samples: int) -> None:
    """Run the variants in turns, print the best of each."""
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(rounds):
        for name, seconds in variants.items():
            best[name] = min(best[name], next(seconds))
    bare = min(seconds for name, seconds in best.items() if name.startswith("bare"))
    goal = f"goal: ours at least {ALLOWED_SHARE:.0%} of the best bare loop"
    rows = [(name, f"{samples / seconds:,.0f}", f"{bare / seconds:.1%}") for name, seconds in best.items()]
    columns = ("variant", "samples/s", "of the best bare loop")
    print_table(f"{title}: samples a second ({Machine.best().name})", columns, rows, goal)


def synthetic_patches(folder: Path) -> PatchDataset:
    """Random pixels at the documented size, memory-mapped, a twelfth of them masked."""
    random = np.random.default_rng(0)
    cube = np.lib.format.open_memmap(folder / "cube.npy", "w+", np.uint16, (DATES, HEIGHT, WIDTH, BANDS))
    scl = np.lib.format.open_memmap(folder / "scl.npy", "w+", np.uint8, (DATES, HEIGHT, WIDTH))
    for date in range(DATES):
        cube[date] = random.integers(500, 5000, cube.shape[1:], np.uint16)
        scl[date] = np.kron(random.choice([4, 4, 5, 9], (HEIGHT // 30, WIDTH // 317 + 1)), np.ones((30, 317)))[
            :HEIGHT, :WIDTH
        ]
    info = SimpleNamespace(
        sensor="sentinel2",
        patch_size=PATCH,
        normalisation=Normalisation(bands=["B02", "B03", "B04", "B08"], mean=[0.27] * 4, std=[0.13] * 4),
    )
    zeros = np.zeros(CNN_SAMPLES, np.int64)
    return PatchDataset(
        cube=cube,
        scl=scl,
        date=random.integers(0, DATES, CNN_SAMPLES),
        row=random.integers(0, HEIGHT - PATCH, CNN_SAMPLES),
        col=random.integers(0, WIDTH - PATCH, CNN_SAMPLES),
        label=random.integers(0, 4, CNN_SAMPLES),
        split=zeros,
        block=zeros,
        repeat=zeros + 1,
        ndvi=np.zeros(CNN_SAMPLES, np.float32),
        info=info,  # type: ignore[arg-type]
    )


def cnn_variants(dataset: PatchDataset) -> dict[str, Iterator[float]]:
    """Seconds of an epoch, again and again, by variant."""
    rows = np.arange(CNN_SAMPLES)
    patches, labels = torch.from_numpy(dataset.batch(rows)), torch.from_numpy(dataset.label)
    plain, last = patches.contiguous(), patches.contiguous(memory_format=torch.channels_last)
    variants = {"bare, float32": bare(PatchCnn(), plain, labels, functional.cross_entropy)}
    is_bfloat16 = Machine.best().precision == "bfloat16"
    network = PatchCnn().to(memory_format=torch.channels_last)
    name = f"bare, channels last{', bfloat16' if is_bfloat16 else ''}"
    variants[name] = bare(network, last, labels, functional.cross_entropy, bfloat16=is_bfloat16)

    def batch(some: Any) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(dataset.batch(some)), labels[some]

    variants["ours"] = ours(PatchCnn(), batch, functional.cross_entropy, rows, values=BATCH * PATCH**2, symmetric=True)
    variants["ours, batches alone"] = batches_alone(dataset, rows)
    return variants


def lstm_variants() -> dict[str, Iterator[float]]:
    """Seconds of an epoch, again and again, by variant."""
    inputs, targets = torch.randn(LSTM_SAMPLES, STEPS, 1), torch.randn(LSTM_SAMPLES)
    machine = Machine.best()
    variants = {}
    for threads in sorted({1, torch.get_num_threads()}):
        for fast in (False, True) if machine.precision == "bfloat16" else (False,):
            name = f"bare, {'bfloat16' if fast else 'float32'}, {threads} {'thread' if threads == 1 else 'threads'}"
            network = SequenceLstm()
            variants[name] = bare(network, inputs, targets, functional.mse_loss, bfloat16=fast, threads=threads)

    def batch(some: Any) -> tuple[Tensor, Tensor]:
        return inputs[some], targets[some]

    rows = np.arange(LSTM_SAMPLES)
    variants["ours"] = ours(SequenceLstm(), batch, functional.mse_loss, rows, values=BATCH * STEPS, symmetric=False)
    return variants


def bare(
    network: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss, *, bfloat16: bool = False, threads: int = 0
) -> Iterator[float]:
    """The loop by hand; the fused optimizer and kept memory serve it too."""
    machine = Machine.best()
    network, inputs, targets = network.to(machine.device), inputs.to(machine.device), targets.to(machine.device)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    network.train()

    def epoch(_: int) -> None:
        order = torch.randperm(len(inputs), device=machine.device)
        for start in range(0, len(inputs), BATCH):
            rows = order[start : start + BATCH]
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(machine.device.type, torch.bfloat16, enabled=bfloat16):
                outputs = network(inputs[rows])
            loss(outputs.float(), targets[rows]).backward()
            optimizer.step()

    return timed(epoch, threads or torch.get_num_threads())


def ours(network: nn.Module, batch: Any, loss: Loss, rows: Any, *, values: int, symmetric: bool) -> Iterator[float]:
    """An epoch of the pipeline's loop."""
    machine = Machine.best()
    network = machine.place(network)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    training = Training(
        network=network, batch=batch, loss=loss, score=loss, drawn=rows, tune=rows, epochs=1000, patience=1000,
        learning_rate=1e-3, batch_size=BATCH, seed=0, symmetric=symmetric, machine=machine,
        threads=machine.threads(values), checkpoints=Path(), fingerprint="",
    )  # fmt: skip
    clock = Clock(1000, len(rows))
    return timed(lambda number: train_epoch(training, network, optimizer, number, clock), training.threads)


def timed(epoch: Callable[[int], object], threads: int) -> Iterator[float]:
    """Seconds of one epoch after the other; each gets its number, the first is 1."""
    keep_memory()
    for number in count(1):
        with repeatable(threads):
            started = time.perf_counter()
            epoch(number)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
        yield seconds


def batches_alone(dataset: PatchDataset, rows: Any) -> Iterator[float]:
    """How fast batches are made when nothing waits for them."""

    def make(some: Any) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(dataset.batch(some)), torch.empty(0)

    while True:
        order = np.random.default_rng().permutation(rows)
        started = time.perf_counter()
        for _ in prefetched(make, split(order, BATCH), Machine.best()):
            pass
        yield time.perf_counter() - started


if __name__ == "__main__":
    main()
