"""The smoothed series against a dense solution, and what it leaves unfilled."""

import numpy as np
import pytest

from include.satellite.fields.smoothing import MAX_GAP_D, dips, smooth, whittaker

NAN = float("nan")


@pytest.mark.parametrize("steps", [4, 5, 60])
def test_the_solution_is_that_of_the_dense_equations(steps):
    rng = np.random.default_rng(steps)
    values, weights = rng.random((3, steps)), rng.random((3, steps))
    weights[:, 1::3] = 0
    difference = np.diff(np.eye(steps), 2, axis=0)
    expected = [
        np.linalg.solve(np.diag(w) + 7 * difference.T @ difference, w * y) for y, w in zip(values, weights, strict=True)
    ]
    assert whittaker(values, weights, 7.0) == pytest.approx(np.array(expected), abs=1e-10)


def test_nothing_stands_before_the_first_and_after_the_last_observation():
    days = np.array([10, 15, 20, 25, 30, 35])
    smoothed = smooth(days, np.array([[NAN, 0.2, 0.3, 0.4, 0.5, NAN]]), np.ones((1, 6)))
    known = np.flatnonzero(np.isfinite(smoothed[0]))
    assert (days[0] + known[0], days[0] + known[-1]) == (15, 30)
    assert smoothed[0, known] == pytest.approx(np.linspace(0.2, 0.5, 16), abs=1e-6)


def test_a_gap_is_filled_up_to_its_limit():
    days = np.array([0, 5, 10, 10 + MAX_GAP_D, 15 + MAX_GAP_D, 20 + MAX_GAP_D])
    values = np.full((1, 6), 0.5)
    assert np.isfinite(smooth(days, values, np.ones((1, 6)))).all()
    days[3:] += 1
    smoothed = smooth(days, values, np.ones((1, 6)))[0]
    assert np.flatnonzero(np.isnan(smoothed)).tolist() == list(range(11, 11 + MAX_GAP_D))


def test_haze_that_recovers_within_days_counts_nothing_and_a_harvest_counts():
    days = np.arange(0, 50, 5)
    hazy, harvested = np.full(10, 0.7), np.full(10, 0.7)
    hazy[4] = 0.5
    harvested[5:] = 0.2
    values = np.array([hazy, harvested])
    assert dips(days, values).nonzero()[1].tolist() == [4]
    smoothed = smooth(days, values, np.ones_like(values))
    assert smoothed[0] == pytest.approx(np.full(46, 0.7), abs=1e-6)
    assert smoothed[1, 45] == pytest.approx(0.2, abs=0.03)


def test_a_cloudier_observation_counts_less():
    days = np.arange(0, 25, 5)
    values = np.array([[0.5, 0.5, 0.6, 0.5, 0.5]])
    clear, cloudy = (smooth(days, values, np.array([[1, 1, share, 1, 1]]))[0, 10] for share in (1.0, 0.1))
    assert 0.5 < cloudy < clear


def test_two_observations_are_too_few_to_smooth():
    assert np.isnan(smooth(np.array([0, 5, 10]), np.array([[0.5, NAN, 0.5]]), np.ones((1, 3)))).all()
