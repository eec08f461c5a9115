"""The choice of samples: splits first, then caps and repeats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.datasets.labels import Labels
from include.satellite.datasets.sampling import (
    ACROSS,
    BETWEEN,
    HELD_BLOCK,
    HELD_DATE,
    OVER_CAP,
    cap,
    check_enough,
    count_samples,
    repeats,
    select,
    tally,
)
from include.satellite.datasets.schemas import TRAIN, TUNE, VALIDATION, PatchRow
from include.satellite.datasets.splits import NOWHERE, Places
from include.satellite.params import CnnDataParams
from tests.satellite.imagery_store import grid_of


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
    training = np.ones(len(values), bool)
    repeat = repeats(values, training, np.random.default_rng(seed))
    counts = np.bincount(values, minlength=4)
    for label in range(4):
        own = repeat[values == label]
        assert own.sum() == min(5 * counts[label], counts.max())
        assert own.size == 0 or own.max() - own.min() <= 1
    assert ((repeat >= 1) & (repeat <= 5)).all()


def test_only_training_samples_are_repeated() -> None:
    labels, training = np.array([0, 0, 0, 1, 1]), np.array([True, True, True, True, False])
    assert repeats(labels, training, np.random.default_rng(0)).tolist() == [1, 1, 1, 3, 1]


PLACES = Places(
    row=np.zeros(4, int), column=np.arange(4) * 8, part=np.array([TRAIN, TUNE, VALIDATION, NOWHERE], np.int8),
    block=np.arange(4),
)  # fmt: skip
"""Four tiles: one of each split, and one across a border."""
DATES = np.array([TRAIN, VALIDATION, NOWHERE], np.int8)


def labels_of(label: NDArray[np.int8]) -> Labels:
    """Labels whose NDVI says on which date and tile they lie."""
    date, tile = np.indices(label.shape)
    return Labels(label, date + tile / 10, {}, 0)


def test_a_patch_is_a_sample_where_place_and_date_agree() -> None:
    columns, dropped = select(labels_of(np.zeros((3, 4), np.int8)), PLACES, DATES, CnnDataParams())
    assert {name: values.tolist() for name, values in columns.items()} == {
        "date": [0, 0, 1],
        "row": [0, 0, 0],
        "column": [0, 8, 16],
        "label": [0, 0, 0],
        "split": [TRAIN, TUNE, VALIDATION],
        "block": [0, 1, 2],
        "repeat": [1, 1, 1],
        "ndvi": [0, 0.1, 1.2],
    }
    assert list(columns) == list(PatchRow.model_fields)
    assert dropped == {ACROSS: 3, BETWEEN: 3, HELD_BLOCK: 1, HELD_DATE: 2}
    assert count_samples(columns)["tune"] == {"Healthy": 1, "Moderate": 0, "Stressed": 0, "Critical": 0}


def test_patches_without_a_label_are_no_samples_and_the_cap_is_for_training() -> None:
    label = np.full((60, 4), -1, np.int8)
    label[:, 0] = 2
    params = CnnDataParams(samples_per_class=20)
    columns, dropped = select(labels_of(label), PLACES, np.full(60, TRAIN, np.int8), params)
    assert count_samples(columns)["train"]["Stressed"] == len(columns["label"]) == 20
    assert dropped == {OVER_CAP: 40}


def test_too_few_patches_are_refused_with_what_is_missing() -> None:
    split = np.array([TRAIN] * 5 + [VALIDATION] * 40)
    columns = {"split": split, "label": np.where(split == TRAIN, 1, np.arange(45) % 2)}
    with pytest.raises(BadInputError, match=r"dates: Moderate alone among the train patches, .*; no tuning patch"):
        check_enough(count_samples(columns), CnnDataParams(), grid_of(100, 100), 10)
    columns["split"][0], columns["label"][1] = TUNE, 0
    check_enough(count_samples(columns), CnnDataParams(), grid_of(100, 100), 10)


def test_reasons_are_counted_in_alphabetical_order() -> None:
    assert list(tally(np.array(["cloud", "cap", "cloud"])).items()) == [("cap", 1), ("cloud", 2)]
    assert tally(np.array([], str)) == {}
