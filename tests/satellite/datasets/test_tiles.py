"""Tiles on a lattice and their sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.errors import BadInputError
from include.satellite.datasets.tiles import Tiles


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
