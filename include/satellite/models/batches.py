"""Batches: made in threads of their own while the network works on earlier ones, and seen from several sides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from include.satellite.models.machine import Machine

Rows = NDArray[np.int64]
Batch = tuple[Tensor, Tensor]
AHEAD = 3
"""Batches that each thread makes before they are needed."""


def split(rows: Rows, size: int) -> list[Rows]:
    """The rows in batches."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def turned(patches: Tensor, way: int) -> Tensor:
    """Patches (N, C, p, p) as seen from one of eight sides; way 0 leaves them as they are."""
    mirrored = [axis for bit, axis in ((1, 2), (2, 3)) if way & bit]
    if mirrored:
        patches = patches.flip(mirrored)
    if way & 4:
        patches = patches.transpose(2, 3)
    return patches.contiguous(memory_format=torch.channels_last) if way else patches


def prefetched(batch: Callable[[Rows], Batch], batches: list[Rows], machine: Machine) -> Iterator[Batch]:
    """Batches in order, made in threads of their own while the network works on earlier ones."""

    def make(rows: Rows) -> Batch:
        inputs, targets = batch(rows)
        return machine.pin(inputs), machine.pin(targets)

    with ThreadPoolExecutor(machine.feeders, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for rows in batches:
                waiting.append(pool.submit(make, rows))
                if len(waiting) > AHEAD * machine.feeders:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
