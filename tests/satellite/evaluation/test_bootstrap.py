"""Intervals are seeded, and as wide as blocks and dates differ."""

import numpy as np
import pytest

from include.satellite.evaluation.bootstrap import RESAMPLES, Bootstrap


def grid(blocks, dates, samples):
    block, date, _ = np.meshgrid(np.arange(blocks), np.arange(dates), np.arange(samples), indexing="ij")
    return block.ravel() + 7, date.ravel() * 3


def test_there_are_resamples_enough():
    assert RESAMPLES >= 2000


def test_it_is_what_drawing_blocks_and_dates_one_by_one_gives():
    block, date = grid(3, 2, 2)
    values = np.arange(12.0)
    boot = Bootstrap(block, date, 5, 50)
    means = boot.mean(values)
    for number in range(50):
        times = boot._of_block[number][block - 7] * boot._of_date[number][date // 3]
        assert means[number] == pytest.approx(np.repeat(values, times.astype(int)).mean())
    assert boot._of_block.sum(axis=1).tolist() == [3] * 50
    assert boot._of_date.sum(axis=1).tolist() == [2] * 50


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_drawn():
    block, date = grid(4, 3, 5)
    draw = np.random.default_rng(0)
    label, hits = draw.integers(0, 3, len(block)), draw.random(len(block)) < 0.7
    boot = Bootstrap(block, date, 5, 20)
    accuracies = boot.balanced_accuracy(hits, label)
    for number in range(20):
        times = (boot._of_block[number][block - 7] * boot._of_date[number][date // 3]).astype(int)
        hit, true = np.repeat(hits, times), np.repeat(label, times)
        assert accuracies[number] == pytest.approx(np.mean([hit[true == label].mean() for label in np.unique(true)]))


def test_the_same_seed_gives_the_same_interval_and_another_another():
    block, date = grid(5, 4, 6)
    values = np.random.default_rng(1).random(len(block))
    first, again, other = (Bootstrap(block, date, seed) for seed in (1, 1, 2))
    assert first.interval(first.mean(values)) == again.interval(again.mean(values))
    assert first.interval(first.mean(values)) != other.interval(other.mean(values))


def test_what_differs_between_blocks_or_dates_widens_the_interval():
    block, date = grid(6, 5, 20)
    noise = np.random.default_rng(1).normal(0, 0.1, len(block))
    boot = Bootstrap(block, date, 0)

    def width(values):
        low, high = boot.interval(boot.mean(values))
        return high - low

    assert width(noise + 0.3 * (block - 7)) > 5 * width(noise)
    assert width(noise + 0.3 * date) > 5 * width(noise)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    draw, covered = np.random.default_rng(3), 0
    block, date = grid(12, 8, 3)
    for _ in range(200):
        values = draw.normal(0, 1, 12)[block - 7] + draw.normal(0, 1, 8)[date // 3] + draw.normal(0, 1, len(block))
        boot = Bootstrap(block, date, 0, 400)
        low, high = boot.interval(boot.mean(values))
        covered += low <= 0 <= high
    assert 0.85 <= covered / 200 <= 1


def test_one_block_on_one_date_has_no_interval():
    boot = Bootstrap(np.zeros(9, int), np.zeros(9, int), 0)
    assert boot.interval(boot.mean(np.arange(9.0))) == (None, None)


def test_a_draw_without_samples_does_not_count():
    block, date = np.array([0, 1]), np.array([0, 1])  # one draw in eight meets no sample
    boot = Bootstrap(block, date, 0)
    assert np.isnan(boot.mean(np.array([1.0, 3.0]))).mean() == pytest.approx(1 / 8, abs=0.02)
    assert boot.interval(boot.mean(np.array([1.0, 3.0]))) == (1, 3)
