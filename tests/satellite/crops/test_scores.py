"""Scores of classifiers of crops, and intervals that know that fields of a block are alike."""

import numpy as np
import pytest

from include.satellite.crops.scores import confusion, difference, effective_blocks, score

TRUTH = np.array([0, 0, 0, 0, 1, 1])
PREDICTED = np.array([0, 0, 0, 1, 1, 0])


def test_balanced_accuracy_weighs_each_crop_alike():
    scores = score(TRUTH, PREDICTED, ("maize", "wheat"))
    assert scores.recall == {"maize": 0.75, "wheat": 0.5}
    assert scores.balanced_accuracy == 0.625
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.precision == {"maize": 0.75, "wheat": 0.5}
    assert confusion(TRUTH, PREDICTED, 2).tolist() == [[3, 1], [1, 1]]


def test_a_crop_that_is_never_predicted_has_no_precision():
    assert score(TRUTH, np.zeros(6, int), ("maize", "wheat")).precision["wheat"] is None


def test_a_difference_is_that_of_the_balanced_accuracies():
    other = np.zeros(6, int)
    own = difference("majority", TRUTH, PREDICTED, other, np.array([0, 1, 2, 3, 4, 5]))
    assert own.difference == pytest.approx(0.625 - 0.5)
    assert own.low < own.difference < own.high


def test_fewer_than_three_blocks_give_no_interval():
    own = difference("majority", TRUTH, PREDICTED, np.zeros(6, int), np.array([0, 0, 0, 1, 1, 1]))
    assert (own.low, own.high, own.interval, own.is_shown) == (None, None, "no interval", False)
    assert own.difference == pytest.approx(0.125)


def test_copies_of_a_field_in_its_block_tell_nothing_new():
    random = np.random.default_rng(0)
    truth, own, other = random.integers(0, 2, (3, 60))
    block = np.arange(60) % 20
    once = difference("x", truth, own, other, block)
    many = difference("x", *(np.repeat(values, 5) for values in (truth, own, other, block)))
    assert (many.low, many.high) == pytest.approx((once.low, once.high))


def test_the_interval_covers_where_fields_of_a_block_share_their_errors():
    """Both models are alike, and err block by block: of 400 worlds about 95 % must contain 0."""
    random = np.random.default_rng(1)
    block = np.repeat(np.arange(12), 10)
    truth = np.tile([0, 1], 60)
    inside = 0
    for _ in range(400):
        right = [(random.random(12) < 0.5)[block] for _ in range(2)]
        own, other = (np.where(hit, truth, 1 - truth) for hit in right)
        found = difference("x", truth, own, other, block)
        inside += found.low <= 0 <= found.high
    assert inside / 400 >= 0.92


def test_blocks_of_equal_size_count_in_full_and_one_large_block_counts_as_one():
    assert effective_blocks(np.repeat(np.arange(8), 5)) == 8
    assert effective_blocks(np.array([0] * 98 + [1, 2])) == pytest.approx(1.04, abs=0.01)
