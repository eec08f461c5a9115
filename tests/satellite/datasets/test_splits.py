"""Blocks of the area and dates of the window, held out: proofs pixel by pixel."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.datasets.schemas import SPLITS, TRAIN, TUNE, VALIDATION, BlockPlan
from include.satellite.datasets.splits import (
    NOWHERE,
    Tiles,
    block_findings,
    check_capacity,
    latest_dates,
    latest_targets,
    place,
    plan_blocks,
    spread_dates,
)
from include.satellite.pipeline import SATELLITE

SIDES = st.integers(20, 160)


def block_map(plan: BlockPlan) -> NDArray[np.int64]:
    """The block of every pixel, painted."""
    blocks = np.full((plan.row_edges[-1], plan.column_edges[-1]), -1)
    number = 0
    for top, bottom in zip(plan.row_edges, plan.row_edges[1:], strict=False):
        for left, right in zip(plan.column_edges, plan.column_edges[1:], strict=False):
            blocks[top:bottom, left:right] = number
            number += 1
    return blocks


def planned(height: int, width: int, size: int, stride: int, seed: int) -> tuple[BlockPlan, Tiles]:
    assume(size <= min(height, width))
    try:
        plan = plan_blocks(height, width, size, stride, seed)
    except BadInputError:
        assume(False)
    return plan, Tiles.on(height, width, size, stride)


@given(height=SIDES, width=SIDES, size=st.integers(4, 24), stride=st.integers(2, 30), seed=st.integers(0, 50))
@settings(deadline=None)
def test_each_tile_has_the_part_that_its_pixels_allow(
    height: int, width: int, size: int, stride: int, seed: int
) -> None:
    plan, tiles = planned(height, width, size, stride, seed)
    blocks, places = block_map(plan), place(tiles, plan)
    assert (blocks >= 0).all()
    parts = np.full(plan.count, TRAIN)
    parts[plan.tune], parts[plan.validation] = TUNE, VALIDATION
    for row, column, part, block in zip(tiles.rows, tiles.columns, places.part, places.block, strict=True):
        own = np.unique(blocks[row : row + size, column : column + size])
        held = own[parts[own] != TRAIN]
        if not held.size:
            assert part == TRAIN
        elif len(own) == 1:
            assert part == parts[own[0]]
        else:
            assert part == NOWHERE
        assert block == blocks[row + size // 2, column + size // 2]


@given(height=SIDES, width=SIDES, size=st.integers(4, 24), stride=st.integers(2, 30), seed=st.integers(0, 50))
@settings(deadline=None)
def test_a_fifth_of_the_blocks_is_held_out_and_each_block_holds_a_tile(
    height: int, width: int, size: int, stride: int, seed: int
) -> None:
    plan, tiles = planned(height, width, size, stride, seed)
    held, tune = set(plan.validation), set(plan.tune)
    assert not held & tune
    assert len(held) == max(1, round(0.2 * plan.count))
    assert tune
    assert len(held | tune) < plan.count
    blocks = block_map(plan)
    inside = set()
    for row, column in zip(tiles.rows, tiles.columns, strict=True):
        own = np.unique(blocks[row : row + size, column : column + size])
        inside |= set(own.tolist()) if len(own) == 1 else set()
    assert inside == set(range(plan.count))


@given(
    height=st.integers(64, 400),
    width=st.integers(64, 400),
    size=st.sampled_from([8, 16]),
    stride=st.sampled_from([3, 8, 16]),
)
def test_blocks_are_four_tiles_a_side_where_that_leaves_five(height: int, width: int, size: int, stride: int) -> None:
    plan, _ = planned(height, width, size, stride, 0)
    sides = np.concatenate([np.diff(plan.row_edges), np.diff(plan.column_edges)])
    side = 4 * size + stride  # edges move by half a stride at most
    if (height // side) * (width // side) >= 5:
        assert sides.min() >= 4 * size
    assert plan.count >= (5 if (height // side) * (width // side) >= 5 else 3)


@pytest.mark.parametrize(
    ("area", "size", "stride", "rows", "columns"),
    [
        ((951, 1110), 64, 32, 3, 4),  # the documented scale
        ((100, 60), 16, 4, 3, 2),  # Romania
        ((100, 100), 16, 8, 3, 3),  # Belgium
        ((400, 400), 8, 40, 10, 10),  # patches far apart
        ((256, 256), 64, 32, 2, 2),  # three or four must do
        ((100, 60), 8, 8, 3, 2),  # locations of the LSTM in Romania
    ],
)
def test_blocks_of_known_areas(area: tuple[int, int], size: int, stride: int, rows: int, columns: int) -> None:
    plan = plan_blocks(*area, size, stride, 0)
    assert (len(plan.row_edges) - 1, len(plan.column_edges) - 1) == (rows, columns)


def test_an_area_that_cannot_be_divided_is_refused_in_words() -> None:
    with pytest.raises(BadInputError, match=r"64 pixels, 32 apart .* 100 × 120 pixels into fewer than 3 blocks"):
        plan_blocks(100, 120, 64, 32, 0)


def test_the_seed_decides_which_blocks_are_held_out() -> None:
    plans = {tuple(plan_blocks(951, 1110, 64, 32, seed).validation) for seed in range(20)}
    assert len(plans) > 5
    assert plan_blocks(951, 1110, 64, 32, 3) == plan_blocks(951, 1110, 64, 32, 3)


@given(dates=st.integers(2, 200), seed=st.integers(0, 50))
def test_a_fifth_of_the_dates_is_held_out_in_groups_all_over_the_window(dates: int, seed: int) -> None:
    part = spread_dates(dates, seed)
    held = np.flatnonzero(part == VALIDATION)
    assert len(held) == max(1, round(0.2 * dates))
    assert set(part.tolist()) == {TRAIN, VALIDATION}
    runs = 1 + int((np.diff(held) > 1).sum())
    assert runs <= np.ceil(np.sqrt(len(held)))
    if len(held) >= 2:
        assert held.min() < dates // 2 <= held.max()  # each group lies in its own half


@given(dates=st.integers(4, 200))
def test_forecasts_are_judged_by_the_latest_dates(dates: int) -> None:
    part = latest_dates(dates)
    held, training = np.flatnonzero(part == VALIDATION), np.flatnonzero(part == TRAIN)
    assert len(held) == max(1, round(0.2 * (dates - 1)))
    assert held.max() == dates - 2  # the last date has no next
    assert np.array_equal(held, np.arange(held.min(), dates - 1))
    assert training.max() + 1 < held.min()  # no label of a date that validation sees
    assert len(training) == dates - len(held) - 2


@pytest.mark.parametrize("dates", [1, 2, 3])
def test_too_few_dates_for_a_forecast_are_refused(dates: int) -> None:
    with pytest.raises(BadInputError, match=f"{dates} usable dates"):
        latest_dates(dates)


@given(length=st.integers(2, 60), more=st.integers(8, 100))
def test_sequences_are_judged_by_the_latest_targets(length: int, more: int) -> None:
    first = latest_targets(length + more, length)
    held = length + more - first
    assert held == max(3, round(0.2 * more))
    assert first - length >= 5  # target dates to train on


def test_parts_have_names() -> None:
    assert (SPLITS[TRAIN], SPLITS[TUNE], SPLITS[VALIDATION]) == ("train", "tune", "validation")


SMALL = [75.80, 30.90, 75.806, 30.905]
"""59 × 57 pixels of 10 m."""


def test_the_default_area_is_large_enough() -> None:
    assert SATELLITE.check_params({})["patch_size"] == 64


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"bbox": SMALL}, "a tile of 64 pixels does not fit into the area of 57 × 59 pixels"),
        ({"bbox": SMALL, "patch_size": 32}, "tiles of 32 pixels, 32 apart .* into fewer than 3 blocks"),
        ({"bbox": SMALL, "patch_size": 8, "stride": 8}, "tiles of 32 pixels, 32 apart .* into fewer than 3 blocks"),
        ({"bbox": [75.8, 30.9, 75.80001, 30.90001]}, "does not fit"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        SATELLITE.check_params(params)


def test_smaller_tiles_fit() -> None:
    SATELLITE.check_params({"bbox": SMALL, "patch_size": 8, "stride": 8, "location_size": 8})


def test_the_capacity_is_that_of_the_area_in_the_runs_resolution() -> None:
    params = SATELLITE.check_params({})
    check_capacity(params)
    with pytest.raises(BadInputError, match="tiles of 64 pixels, 32 apart"):
        check_capacity(params | {"resolution": 60})
    field = params | {"bbox": (75.8, 30.9, 75.802, 30.901)}
    with pytest.raises(
        BadInputError, match=r"too small to train models on: .*without training: \./pipeline run fields"
    ):
        check_capacity(field)


def test_small_and_few_blocks_are_findings() -> None:
    plan = BlockPlan(row_edges=[0, 32, 64], column_edges=[0, 32, 64], tune=[1], validation=[3])
    assert [finding.message for finding in block_findings(plan, 16, "patches")] == [
        "the area is small: blocks are only 2 patches of 16 pixels a side",
        "the area is small: 1 of 4 blocks is held out",
    ]
    large = plan.model_copy(update={"row_edges": [0, 32, 64, 96]})
    assert block_findings(large, 8, "patches") == []


@given(
    height=st.integers(4, 40),
    width=st.integers(4, 40),
    size=st.integers(1, 20),
    stride=st.integers(1, 25),
    seed=st.integers(0, 99),
)
def test_sums_are_those_of_each_tile(height: int, width: int, size: int, stride: int, seed: int) -> None:
    size = min(size, height, width)
    image = np.random.default_rng(seed).integers(0, 1000, (height, width))
    tiles = Tiles.on(height, width, size, stride)
    expected = [image[r : r + size, c : c + size].sum() for r, c in zip(tiles.rows, tiles.columns, strict=True)]
    assert tiles.sums(image).tolist() == expected


@given(height=st.integers(4, 60), width=st.integers(4, 60), size=st.integers(1, 20), stride=st.integers(1, 25))
def test_every_place_of_the_lattice_that_fits_is_there_once(height: int, width: int, size: int, stride: int) -> None:
    size = min(size, height, width)
    tiles = Tiles.on(height, width, size, stride)
    expected = [
        (row, column)
        for row in range(0, height, stride)
        for column in range(0, width, stride)
        if row + size <= height and column + size <= width
    ]
    assert list(zip(tiles.rows, tiles.columns, strict=True)) == expected
    assert len(tiles) == len(expected)


def test_an_area_smaller_than_a_tile_is_refused() -> None:
    with pytest.raises(BadInputError, match="64 pixels does not fit into the area of 100 × 60 pixels"):
        Tiles.on(100, 60, 64, 32)
