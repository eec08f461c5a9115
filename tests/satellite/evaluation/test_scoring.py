"""Scores of models on the same samples, and intervals of their differences: seeded, and as wide as blocks and dates."""

from types import SimpleNamespace

import numpy as np
import pytest

from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.schemas import CLASSES
from include.satellite.evaluation.scoring import RESAMPLES, Bootstrap, gate_rows, score_classes, score_forecasts


def grid(blocks, dates, each):
    block, date, _ = np.meshgrid(np.arange(blocks), np.arange(dates), np.arange(each), indexing="ij")
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
    found = boot.balanced_accuracy(hits, label)
    for number in range(20):
        times = (boot._of_block[number][block - 7] * boot._of_date[number][date // 3]).astype(int)
        hit, true = np.repeat(hits, times), np.repeat(label, times)
        assert found[number] == pytest.approx(np.mean([hit[true == label].mean() for label in np.unique(true)]))


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


# scores


def patches(label, date, block, gate=CLASSES):
    info = SimpleNamespace(classes=list(CLASSES), gate_classes=list(gate), dates=[f"2026-0{n}-01" for n in range(1, 7)])
    label = np.asarray(label)
    return SimpleNamespace(
        label=label, date=np.asarray(date), block=np.asarray(block), info=info, rows=lambda split: np.arange(len(label))
    )


def differences(comparison):
    return {(difference.against, difference.metric): difference for difference in comparison.differences}


def test_scores_are_what_a_person_would_count():
    dataset = patches([0, 0, 0, 1], [0, 0, 1, 1], [5, 5, 6, 6])
    scored = score_classes(
        dataset, np.arange(4), {"real": [0, 0, 1, 1], "synthetic": [0, 1, 1, 1], "majority": [0, 0, 0, 0]}, 0
    )
    assert {name: (each.accuracy, round(each.balanced_accuracy, 4)) for name, each in scored.models.items()} == {
        "real": (0.75, 0.8333),
        "synthetic": (0.5, 0.6667),
        "majority": (0.75, 0.5),
    }
    assert scored.accuracy_improvement == pytest.approx(50)
    assert scored.models["synthetic"].recall == {"Healthy": pytest.approx(1 / 3), "Moderate": 1.0}
    assert (scored.samples, scored.blocks, len(scored.dates)) == (4, 2, 2)
    found = differences(scored)
    assert found["synthetic", "accuracy"].difference == 0.25
    assert found["majority", "balanced_accuracy"].difference == pytest.approx(1 / 3)
    assert set(found) == {(rival, m) for rival in ("synthetic", "majority") for m in ("accuracy", "balanced_accuracy")}


def test_the_interval_is_that_of_the_paired_difference():
    draw = np.random.default_rng(0)
    block, date = (each.ravel() for each in np.indices((8, 6)).repeat(30, axis=1))
    label = draw.integers(0, 2, len(block))
    hard = draw.random((8, 6))[block, date] < 0.5  # whole cells are hard: each model fails there, alike
    real = np.where(hard, 1 - label, label)
    rival = np.where(draw.random(len(label)) < 0.05, 1 - real, real)
    found = differences(
        score_classes(patches(label, date, block), np.arange(len(label)), {"real": real, "x": rival}, 0)
    )
    each = found["x", "accuracy"]
    assert each.low <= each.difference <= each.high
    assert each.high - each.low < 0.08, "the cells that both fail on are no difference between them"


def test_a_model_against_itself_differs_by_nothing():
    dataset = patches([0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1])
    found = differences(score_classes(dataset, np.arange(4), {"real": [0, 1, 1, 1], "champion": [0, 1, 1, 1]}, 0))
    assert {(each.difference, each.low, each.high) for each in found.values()} == {(0, 0, 0)}


def test_classes_with_too_few_training_samples_do_not_count():
    dataset = patches([0, 1, 2, 3], [0] * 4, [0] * 4, gate=("Healthy", "Critical"))
    assert gate_rows(dataset).tolist() == [0, 3]
    scored = score_classes(dataset, gate_rows(dataset), {"real": [0, 3], "synthetic": [0, 0]}, 0)
    assert scored.classes == ["Healthy", "Critical"]
    assert scored.left_out == ["Moderate", "Stressed"]
    assert len(gate_rows(patches([1, 2], [0] * 2, [0] * 2, gate=("Healthy",)))) == 2, "nothing would be left"


def test_forecasts_are_compared_by_the_error_that_is_avoided():
    dataset = SimpleNamespace(
        y=np.array([0.5, 0.5, 0.7, 0.7], np.float32), target=np.array([0, 1, 0, 1]), block=np.array([0, 0, 1, 1]),
        info=SimpleNamespace(dates=["2026-01-01", "2026-02-01"]),
    )  # fmt: skip
    forecasts = {"real": [0.6, 0.6, 0.6, 0.6], "synthetic": [0.3, 0.3, 0.9, 0.9], "persistence": [0.5, 0.5, 0.7, 0.7]}
    scored = score_forecasts(dataset, np.arange(4), forecasts, 0)
    assert scored.models["real"].mae == pytest.approx(0.1, abs=1e-6)
    assert scored.models["real"].accuracy == pytest.approx(0.95, abs=1e-6)
    assert scored.mae_improvement == pytest.approx(50, abs=1e-3)
    found = differences(scored)
    assert found["synthetic", "mae"].difference == pytest.approx(0.1, abs=1e-6)
    assert found["persistence", "mae"].difference == pytest.approx(-0.1, abs=1e-6)
    assert found["persistence", "mae"].high < 0


def test_nothing_is_said_of_an_improvement_over_nothing():
    dataset = patches([0, 0], [0, 1], [0, 1])
    assert score_classes(dataset, np.arange(2), {"real": [0, 0], "synthetic": [1, 1]}, 0).accuracy_improvement is None


def test_the_gates_classes_come_from_the_dataset(trained):
    dataset = load_patches(trained)
    assert len(gate_rows(dataset)) == len(dataset.rows("validation"))
