"""The splits of the tiles: blocks of the area and dates of the window are held out before anything is balanced.

Space: the area is cut into blocks at least 4 tiles a side; where that leaves fewer than 5 of them (a fifth of the
blocks is held out), the blocks shrink until there are 5, and where that cannot be, 3 or 4 must do. A fifth of the
blocks is for validation, 15 % of the rest for tuning, at least one each. A tile belongs to validation or tuning if
it lies completely inside one of their blocks, to training if it shares no pixel with any of them.

Time: a fifth of the dates is for validation. For labels of the same date they are groups of successive dates spread
over the window, for forecasts the latest; there, training ends before the first date that validation sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.satellite.datasets.schemas import TRAIN, TUNE, VALIDATION, BlockPlan
from include.satellite.datasets.storage import Ints
from include.satellite.params import AreaParams, CnnDataParams, LstmDataParams

TILES_A_SIDE = 4
VALIDATION_SHARE, TUNE_SHARE = 0.2, 0.15
WANTED_BLOCKS, LEAST_BLOCKS = 5, 3
NOWHERE = -1
_WITHOUT_TRAINING = (
    "for the NDVI of fields of any size, without training: ./pipeline run fields --fields FILE (field monitoring)"
)
Parts = NDArray[np.int8]


class CapacityParams(AreaParams, CnnDataParams, LstmDataParams):
    """The area, and the tiles that are extracted from it."""


@dataclass(frozen=True)
class Tiles:
    """All tiles of one size whose top left pixel lies on a lattice and that fit into the area.

    Args:
        size: Side, pixels.
        tops: First pixel row of each row of tiles.
        lefts: First pixel column of each column of tiles.
    """

    size: int
    tops: Ints
    lefts: Ints

    @classmethod
    def on(cls, height: int, width: int, size: int, stride: int) -> Tiles:
        """Return the tiles over an area of height × width pixels, `stride` pixels apart.

        Raises:
            BadInputError: Not one fits.
        """
        if size > min(height, width):
            raise BadInputError(
                f"a tile of {size} pixels does not fit into the area of {height} × {width} pixels: "
                "take smaller tiles (patch_size, location_size) or a larger area"
            )
        return cls(size, np.arange(0, height - size + 1, stride), np.arange(0, width - size + 1, stride))

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def rows(self) -> Ints:
        """Top pixel row of each tile, shape (P,); tiles run by row from the top left."""
        return np.repeat(self.tops, len(self.lefts))

    @property
    def columns(self) -> Ints:
        """Left pixel column of each tile, shape (P,)."""
        return np.tile(self.lefts, len(self.tops))

    @property
    def pixels(self) -> Ints:
        """Pixels of each tile, shape (P,)."""
        return np.full(len(self), self.size**2)

    def sums(self, image: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return the sum of the image (H, W) over each tile, shape (P,)."""
        strips = _window_sums(image, self.tops, self.size)
        return _window_sums(strips.T, self.lefts, self.size).T.ravel()


@dataclass(frozen=True)
class Places:
    """The position of tiles in the area and in the plan of the blocks.

    Args:
        row: (P,) top pixel row.
        column: (P,) left pixel column.
        part: (P,) position in `SPLITS`, −1 for tiles across the border of a held-out block.
        block: (P,) block of the tile's centre.
    """

    row: Ints
    column: Ints
    part: Parts
    block: Ints


def plan_blocks(height: int, width: int, size: int, stride: int, seed: int) -> BlockPlan:
    """Divide the area into blocks and draw those of validation and tuning.

    Edges between blocks lie on the tiles' lattice, so that as few tiles as possible lie across them.

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
    """Return the edges of the rows and columns of the largest blocks that are enough.

    A block holds at least one tile a side, and two where they overlap.
    """
    smallest = size + stride if stride < size else size
    for wanted in (WANTED_BLOCKS, LEAST_BLOCKS):
        for side in range(TILES_A_SIDE * size, smallest - 1, -1):
            rows, columns = _cut(height, side, stride), _cut(width, side, stride)
            if (len(rows) - 1) * (len(columns) - 1) >= wanted:
                return rows, columns
    raise BadInputError(
        f"tiles of {size} pixels, {stride} apart (patch_size and stride, or location_size), cut the area of "
        f"{height} × {width} pixels into fewer than {LEAST_BLOCKS} blocks, and training, tuning and validation need "
        "one each: take smaller tiles or a larger area"
    )


def _cut(length: int, least: int, stride: int) -> list[int]:
    """Return the edges of as many near-equal parts as possible, each long enough and beginning on the lattice."""
    for count in range(length // least, 1, -1):
        edges = [stride * math.floor(length * number / count / stride + 0.5) for number in range(count)] + [length]
        if min(after - before for before, after in pairwise(edges)) >= least:
            return edges
    return [0, length]


def place(tiles: Tiles, plan: BlockPlan) -> Places:
    """Return where each tile lies, with its part and its block."""
    parts = np.full(plan.count, TRAIN, np.int8)
    parts[plan.tune], parts[plan.validation] = TUNE, VALIDATION
    blocks = np.arange(plan.count).reshape(len(plan.row_edges) - 1, -1)
    blocks = blocks.repeat(np.diff(plan.row_edges), axis=0).repeat(np.diff(plan.column_edges), axis=1)
    first, middle, last = (
        blocks[np.ix_(tiles.tops + offset, tiles.lefts + offset)].ravel()
        for offset in (0, tiles.size // 2, tiles.size - 1)
    )
    held_out = tiles.sums(parts[blocks] != TRAIN) > 0
    part = np.where(held_out, np.where(first == last, parts[middle], NOWHERE), TRAIN).astype(np.int8)
    return Places(row=tiles.rows, column=tiles.columns, part=part, block=middle)


def spread_dates(dates: int, seed: int) -> Parts:
    """Return the parts of the dates for labels of the same date, shape (T,): a fifth, in groups, for validation.

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
    """Return the parts of the dates for labels of the next date, shape (T,): the latest fifth for validation.

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
    """Return the first target date of validation: the latest max(3, 20 %) after the first `sequence_length` dates."""
    return dates - max(3, round(VALIDATION_SHARE * (dates - sequence_length)))


def calibration_targets(first: int, sequence_length: int) -> int:
    """Return the first target date that calibrates the intervals: the latest 20 % of those before the validation."""
    return first - round(VALIDATION_SHARE * (first - sequence_length))


def _window_sums(image: NDArray[np.generic], starts: Ints, size: int) -> NDArray[np.float64]:
    """Return the sums of `size` rows from each start on, shape (starts, columns)."""
    total = np.zeros((image.shape[0] + 1, image.shape[1]))
    np.cumsum(image, axis=0, dtype=np.float64, out=total[1:])
    return np.asarray(total[starts + size] - total[starts])


def check_capacity(params: Mapping[str, Any]) -> None:
    """Refuse an area that is too small for training data, before any of its imagery is paid for.

    Args:
        params: The run's parameters by name.

    Raises:
        BadInputError: The area is unusable, a tile does not fit, or training, tuning and validation cannot each have
            a separate block.
    """
    from include.satellite.imagery.area import area_geometry, make_grid

    values = CapacityParams.model_validate({name: params[name] for name in CapacityParams.model_fields})
    grid = make_grid(area_geometry(values), values.resolution)
    try:
        for size, stride in ((values.patch_size, values.stride), (values.location_size, values.location_size)):
            Tiles.on(grid.height, grid.width, size, stride)
            plan_blocks(grid.height, grid.width, size, stride, values.seed)
    except BadInputError as error:
        raise BadInputError(f"too small to train models on: {error}; {_WITHOUT_TRAINING}") from error


def block_findings(plan: BlockPlan, size: int, tiles: str) -> list[Finding]:
    """Return findings about blocks that are small or few.

    Args:
        plan: The blocks.
        size: Side of the tiles, pixels.
        tiles: Name of the tiles (`patches`).
    """
    narrowest = min(*np.diff(plan.row_edges), *np.diff(plan.column_edges))
    messages = []
    if narrowest < TILES_A_SIDE * size:
        messages.append(f"the area is small: blocks are only {narrowest / size:.3g} {tiles} of {size} pixels a side")
    if plan.count < WANTED_BLOCKS:
        messages.append(f"the area is small: {len(plan.validation)} of {plan.count} blocks is held out")
    return [Finding(severity="info", message=message) for message in messages]
