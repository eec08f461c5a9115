"""Who learns from what: blocks of the area and dates of the window are held out before anything is balanced.

Space: the area is cut into blocks at least 4 squares a side; where that leaves fewer than 5 of them (a fifth of the
blocks is held out), the blocks shrink until there are 5, and where that cannot be, 3 or 4 must do. A fifth of the
blocks is for validation, 15 % of the rest for tuning, at least one each. A square belongs to validation or tuning if
it lies wholly inside one of their blocks, to training if it shares no pixel with any of them.

Time: a fifth of the dates is for validation. For labels of the same date they are groups of successive dates spread
over the window, for forecasts the latest; there, training ends before the first date that validation sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.datasets.documents import TRAIN, TUNE, VALIDATION, BlockPlan
from include.satellite.datasets.squares import Squares

SQUARES_A_SIDE = 4
VALIDATION_SHARE, TUNE_SHARE = 0.2, 0.15
WANTED_BLOCKS, LEAST_BLOCKS = 5, 3
NOWHERE = -1
Ints = NDArray[np.int64]
Parts = NDArray[np.int8]


@dataclass(frozen=True)
class Places:
    """Where squares lie in the plan of the blocks.

    Args:
        part: (P,) position in `SPLITS`, −1 for squares across the border of a held-out block.
        block: (P,) block of the square's centre.
    """

    part: Parts
    block: Ints


def plan_blocks(height: int, width: int, size: int, stride: int, seed: int) -> BlockPlan:
    """Cut the area into blocks and draw those of validation and tuning.

    Edges between blocks lie on the squares' lattice, so that no more squares than need be lie across them.

    Raises:
        BadInputError: The area is too small for three blocks.
    """
    rows, columns = _edges(height, width, size, stride)
    count = (len(rows) - 1) * (len(columns) - 1)
    order = np.random.default_rng([seed, height, width, size]).permutation(count)
    held = max(1, round(VALIDATION_SHARE * count))
    tune = max(1, round(TUNE_SHARE * (count - held)))
    return BlockPlan(
        row_edges=rows,
        column_edges=columns,
        validation=sorted(order[:held].tolist()),
        tune=sorted(order[held : held + tune].tolist()),
    )


def _edges(height: int, width: int, size: int, stride: int) -> tuple[list[int], list[int]]:
    """Edges of the rows and columns of the largest blocks that are enough.

    A block holds at least one square a side, and two where they overlap.
    """
    smallest = size + stride if stride < size else size
    for wanted in (WANTED_BLOCKS, LEAST_BLOCKS):
        for side in range(SQUARES_A_SIDE * size, smallest - 1, -1):
            rows, columns = _cut(height, side, stride), _cut(width, side, stride)
            if (len(rows) - 1) * (len(columns) - 1) >= wanted:
                return rows, columns
    raise BadInputError(
        f"squares of {size} pixels, {stride} apart (patch_size and stride, or location_size), cut the area of "
        f"{height} × {width} pixels into fewer than {LEAST_BLOCKS} blocks, and training, tuning and validation need "
        "one each: take smaller squares or a larger area"
    )


def _cut(length: int, least: int, stride: int) -> list[int]:
    """Edges of as many near-equal parts as can be, each at least so long and beginning on the lattice."""
    for count in range(length // least, 1, -1):
        edges = [stride * math.floor(length * number / count / stride + 0.5) for number in range(count)] + [length]
        if min(after - before for before, after in pairwise(edges)) >= least:
            return edges
    return [0, length]


def place(squares: Squares, plan: BlockPlan) -> Places:
    """Find each square's part and block."""
    columns = len(plan.column_edges) - 1
    parts = np.full(plan.count, TRAIN, np.int8)
    parts[plan.tune], parts[plan.validation] = TUNE, VALIDATION
    top, bottom, middle = _block_of(squares.tops, squares.size, plan.row_edges)
    left, right, centre = _block_of(squares.lefts, squares.size, plan.column_edges)
    block = (middle[:, None] * columns + centre[None, :]).ravel()
    inside = ((top == bottom)[:, None] & (left == right)[None, :]).ravel()
    held = np.zeros((len(plan.row_edges), columns + 1), np.int64)
    held[1:, 1:] = (parts != TRAIN).reshape(-1, columns).cumsum(axis=0).cumsum(axis=1)
    rows, cols = (bottom + 1)[:, None], (right + 1)[None, :]
    touched = (
        held[rows, cols] - held[top[:, None], cols] - held[rows, left[None, :]] + held[top[:, None], left[None, :]]
    )
    part = np.where(touched.ravel() == 0, TRAIN, np.where(inside, parts[block], NOWHERE)).astype(np.int8)
    return Places(part=part, block=block)


def _block_of(starts: Ints, size: int, edges: list[int]) -> tuple[Ints, Ints, Ints]:
    """Along one axis: the block of a square's first, last and middle pixel."""
    return (
        np.searchsorted(edges, starts, side="right") - 1,
        np.searchsorted(edges, starts + size - 1, side="right") - 1,
        np.searchsorted(edges, starts + size // 2, side="right") - 1,
    )


def spread_dates(dates: int, seed: int) -> Parts:
    """Parts of the dates for labels of the same date, shape (T,): training, or a fifth in groups for validation.

    The window is cut into as many stretches as there are groups; each group lies somewhere in its own, drawn.

    Raises:
        BadInputError: One date cannot be divided.
    """
    if dates < 2:
        raise BadInputError(f"{dates} usable date: training and validation need different dates")
    held = max(1, round(VALIDATION_SHARE * dates))
    groups = math.ceil(math.sqrt(held))
    random = np.random.default_rng([seed, dates])
    part = np.full(dates, TRAIN, np.int8)
    for group in range(groups):
        start, end = dates * group // groups, dates * (group + 1) // groups
        length = held * (group + 1) // groups - held * group // groups
        first = start + int(random.integers(0, end - start - length + 1))
        part[first : first + length] = VALIDATION
    return part


def latest_dates(dates: int) -> Parts:
    """Parts of the dates for labels of the next date, shape (T,): the latest fifth of those that have one.

    The date before the first of validation belongs to neither, since its label is of a date that validation sees; nor
    does the last date, which has no next.

    Raises:
        BadInputError: Too few dates for both.
    """
    held = max(1, round(VALIDATION_SHARE * (dates - 1)))
    first = dates - 1 - held
    if first < 2:
        raise BadInputError(
            f"{dates} usable dates: label_source next_ndvi needs at least 4, to train on some and judge by later ones"
        )
    part = np.full(dates, NOWHERE, np.int8)
    part[: first - 1], part[first : dates - 1] = TRAIN, VALIDATION
    return part


def latest_targets(dates: int, sequence_length: int) -> int:
    """The first target date of validation: the latest max(3, 20 %) of those after the first `sequence_length`."""
    return dates - max(3, round(VALIDATION_SHARE * (dates - sequence_length)))
