"""Noise that belongs to places: uniform, smooth, the same in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.standins.sentinel_hub.noise import (
    at_points,
    draws,
    key,
    lattice,
    scramble,
    smooth,
    smoothstep,
    uniform,
    upsample,
)


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40), st.integers(0, 2**32 - 1))
def test_lattice_noise_is_uniform_and_bounded(i, j, seed):
    values = at_points(np.arange(i, i + 40)[:, None], np.arange(j, j + 40)[None], seed)
    assert values.min() >= 0
    assert values.max() < 1
    assert 0.42 < values.mean() < 0.58


def test_smooth_noise_has_mean_0_and_variance_1_and_no_jumps():
    x, y = np.meshgrid(np.arange(0, 20_000, 25.0), np.arange(0, 20_000, 25.0))
    noise = smooth(x, y, 400.0, 7)
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(noise, axis=1)).max() < 0.6


def test_keys_and_hashes_are_the_same_on_every_machine():
    assert (key("standard", 0), key("a", 1, "b")) == (3550435103, 2713572393)
    assert scramble(np.arange(3, dtype=np.uint32), 5).tolist() == [1548080446, 3648937681, 2492178918]
    assert lattice(np.arange(3), np.arange(3) + 1, 7).tolist() == [922238477, 3735713723, 1204090346]
    assert at_points(np.arange(2), np.arange(2), 3).tolist() == pytest.approx([0.11309808, 0.74327844])
    points = np.array([0.0, 100.0, 350.0])
    assert smooth(points, points, 200.0, 9).tolist() == pytest.approx([-0.66051561, -0.73611182, -2.05581713])


def test_hashes_become_numbers_below_one():
    assert uniform(np.array([0, 2**31, 2**32 - 1], np.uint32)).tolist() == [0, 0.5, 1 - 2**-24]


def test_each_seed_draws_other_numbers_from_the_same_hashes():
    hashes = lattice(np.arange(400), np.arange(400), 1)
    first = draws(hashes, 7)
    assert np.array_equal(first, draws(hashes, 7))
    assert np.array_equal(first, uniform(scramble(hashes, 7)))
    assert abs(np.corrcoef(first, draws(hashes, 8))[0, 1]) < 0.2


def test_pixels_between_nodes_are_interpolated():
    corners = np.array([[0.0, 4.0], [8.0, 12.0]])
    assert upsample(corners, (4, 4), 4)[2].tolist() == [4, 5, 6, 7]
    assert upsample(corners, (4, 4), 4)[:, 1].tolist() == [1, 3, 5, 7]


def test_a_smooth_step_runs_from_0_to_1():
    assert smoothstep(np.array([0.0, 1.0, 2.0, 3.0, 9.0]), 1.0, 3.0).tolist() == [0, 0, 0.5, 1, 1]
