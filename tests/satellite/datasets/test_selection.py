"""Caps and repeats of samples."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from include.satellite.datasets.selection import cap, repeats


@given(groups=st.lists(st.integers(0, 5), max_size=80), most=st.integers(1, 30), seed=st.integers(0, 20))
def test_a_cap_keeps_as_many_of_each_group_as_it_may(groups: list[int], most: int, seed: int) -> None:
    values = np.array(groups, np.int64)
    keep = cap(values, most, np.random.default_rng(seed))
    for group in range(6):
        assert (values[keep] == group).sum() == min(most, (values == group).sum())


def test_a_cap_draws_not_only_the_first() -> None:
    groups = np.repeat([0, 1], 1000)
    keep = cap(groups, 100, np.random.default_rng(0))
    assert 300 < np.flatnonzero(keep[:1000]).mean() < 700
    assert not np.array_equal(keep, cap(groups, 100, np.random.default_rng(1)))


@given(labels=st.lists(st.integers(0, 3), max_size=120), seed=st.integers(0, 20))
def test_rare_classes_are_repeated_up_to_the_most_frequent_and_five_times(labels: list[int], seed: int) -> None:
    values = np.array(labels, np.int64)
    repeat = repeats(values, 5, np.random.default_rng(seed))
    counts = np.bincount(values, minlength=4)
    for label in range(4):
        own = repeat[values == label]
        assert own.sum() == min(5 * counts[label], counts.max())
        assert own.size == 0 or own.max() - own.min() <= 1
    assert ((repeat >= 1) & (repeat <= 5)).all()
