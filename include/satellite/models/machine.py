"""What the machine offers a training: its device, its fast number format, and memory that is not asked for twice."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

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
        """The GPU if there is one, else the processor; bfloat16 where the hardware multiplies it."""
        if torch.cuda.is_available():
            precision: Literal["float32", "bfloat16"] = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
            return cls(torch.device("cuda"), torch.cuda.get_device_name(), precision)
        fast = torch.cpu._is_avx512_bf16_supported()
        return cls(torch.device("cpu"), "cpu", "bfloat16" if fast else "float32")

    def threads(self, values: int) -> int:
        """Threads for batches of so many pixels or steps: all, or two where a batch is small.

        A small batch has work for a second thread (the LSTM trains 1.4 times as fast), hardly for more. Beside another
        training the two slow that one down, but end so much sooner that both are done earlier than with one thread.
        The number depends on machine and batch alone, never on the load, for more threads add in another order.
        """
        return torch.get_num_threads() if values >= VALUES_WORTH_THREADS else min(2, torch.get_num_threads())

    def autocast(self) -> AbstractContextManager[object]:
        """Runs a training's forward pass in its precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @property
    def feeders(self) -> int:
        """Threads that make batches: a processor that trains has none to spare, a GPU wants more than one can make."""
        return 1 if self.device.type == "cpu" else 3

    def pin(self, tensor: Tensor) -> Tensor:
        """The tensor where a GPU fetches it from without waiting; for a processor the tensor itself."""
        return tensor if self.device.type == "cpu" else tensor.pin_memory()

    def put(self, tensor: Tensor) -> Tensor:
        """The tensor on this device; the copy of a pinned one to a GPU does not wait."""
        return tensor.to(self.device, non_blocking=True)

    def narrow(self, inputs: Tensor) -> Tensor:
        """A training's inputs on this device, in the format that its first layer would turn them into."""
        placed = self.put(inputs)
        return placed.to(torch.bfloat16) if self.precision == "bfloat16" else placed

    def place(self, network: nn.Module) -> nn.Module:
        """The network on this device, its filters pixel by pixel (channels last), as the fast convolutions want it."""
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """Inside, the same inputs give the same bits; outside, random numbers and threads are the caller's.

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
    """Keep freed memory for the next batch instead of handing it back to the system (glibc; elsewhere nothing).

    A batch's activations are megabytes each: by default every one is mapped, faulted in page by page and unmapped,
    which takes a third of the training's time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
    mallopt(TRIM_THRESHOLD, KEPT_BYTES)
