"""The machine of a training: its device, its fast number format, memory that is kept, and batches made ahead."""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Rows = NDArray[np.int64]
Batch = tuple[Tensor, Tensor]
BATCHES_AHEAD = 3
"""Batches that each thread makes before they are needed."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt(3)
VALUES_WORTH_THREADS = 100_000
"""Of more than two threads: a batch of 32 patches of 64 × 64 pixels has work for all."""
KEPT_BYTES, LARGEST_MMAP_THRESHOLD = 1 << 30, 32 << 20


@dataclass(frozen=True)
class Machine:
    """Where a training runs.

    Args:
        device: Of the network and its batches.
        name: `cpu`, or the name of the GPU.
        precision: Of the layers while training; weights, losses and all measuring are float32.
    """

    device: torch.device
    name: str
    precision: Literal["float32", "bfloat16"]

    @classmethod
    def best(cls) -> Machine:
        """Return the GPU if there is one, else the processor; with bfloat16 where the hardware multiplies it."""
        if torch.cuda.is_available():
            precision: Literal["float32", "bfloat16"] = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
            return cls(torch.device("cuda"), torch.cuda.get_device_name(), precision)
        fast = torch.cpu._is_avx512_bf16_supported()
        return cls(torch.device("cpu"), "cpu", "bfloat16" if fast else "float32")

    def threads(self, values: int) -> int:
        """Return the threads for batches of so many pixels or steps: all, or two where a batch is small.

        A small batch has work for a second thread (the LSTM trains 1.4 times as fast), hardly for more. Beside another
        training the two slow that one down, but end so much sooner that both are done earlier than with one thread.
        The number depends on machine and batch alone, never on the load, for more threads add in another order.
        """
        return torch.get_num_threads() if values >= VALUES_WORTH_THREADS else min(2, torch.get_num_threads())

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which a training's forward pass runs in its precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @property
    def feeders(self) -> int:
        """Threads that make batches: one beside a processor that trains, more for a GPU, which needs batches faster."""
        return 1 if self.device.type == "cpu" else 3

    def pin(self, tensor: Tensor) -> Tensor:
        """Return the tensor in memory that a GPU reads without waiting; for a processor the tensor itself."""
        return tensor if self.device.type == "cpu" else tensor.pin_memory()

    def put(self, tensor: Tensor) -> Tensor:
        """Return the tensor on this device; the copy of a pinned one to a GPU does not wait."""
        return tensor.to(self.device, non_blocking=True)

    def narrow(self, inputs: Tensor) -> Tensor:
        """Return a training's inputs on this device, in the format into which its first layer would convert them."""
        placed = self.put(inputs)
        return placed.to(torch.bfloat16) if self.precision == "bfloat16" else placed

    def place(self, network: nn.Module) -> nn.Module:
        """Return the network on this device, its filters pixel by pixel (channels last), for the fast convolutions."""
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """Let the same inputs give the same bits inside the block; random numbers and threads of the caller are restored.

    A processor adds in a fixed order anyway. A GPU needs cuDNN's repeatable algorithms and cuBLAS's fixed workspace,
    which is read when cuBLAS starts; where pooling windows do not overlap, its atomic additions have no order to mix.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with (
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False),
    ):
        try:
            yield
        finally:
            torch.set_num_threads(before)


def keep_memory() -> None:
    """Keep freed memory for the next batch instead of returning it to the system (glibc; elsewhere nothing).

    A batch's activations are megabytes each: by default every one is mapped, faulted in page by page and unmapped,
    which takes a third of the training's time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
    mallopt(TRIM_THRESHOLD, KEPT_BYTES)


def split(rows: Rows, size: int) -> list[Rows]:
    """Split rows into batches."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def prefetched(batch: Callable[[Rows], Batch], batches: list[Rows], machine: Machine) -> Iterator[Batch]:
    """Yield batches in order, made in separate threads while the network works on earlier ones."""

    def make(rows: Rows) -> Batch:
        inputs, targets = batch(rows)
        return machine.pin(inputs), machine.pin(targets)

    with ThreadPoolExecutor(machine.feeders, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for rows in batches:
                waiting.append(pool.submit(make, rows))
                if len(waiting) > BATCHES_AHEAD * machine.feeders:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
