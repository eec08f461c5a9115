"""Scores of crop classifiers on held-out fields, and how sure their differences are.

Balanced accuracy is the mean recall of the crops. Fields of a block are alike, so intervals are clustered by block, by
the same code as those of the other models. NumPy alone: the orchestrator computes the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.satellite.crops.schemas import CropDifference, CropScore
from include.satellite.evaluation.clusters import Clusters, balanced_influence

Rows = NDArray[np.int64]


def score(truth: Rows, predicted: Rows, crops: tuple[str, ...]) -> CropScore:
    """Return the scores of predicted crops (N,) against the true ones (N,), both positions in `crops`."""
    table = confusion(truth, predicted, len(crops))
    right, true, stated = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    recall = right / true
    return CropScore(
        balanced_accuracy=float(recall.mean()),
        accuracy=float(right.sum() / true.sum()),
        recall=dict(zip(crops, recall.tolist(), strict=True)),
        precision={
            crop: float(right[number] / stated[number]) if stated[number] else None for number, crop in enumerate(crops)
        },
    )


def confusion(truth: Rows, predicted: Rows, count: int) -> Rows:
    """Return the (crops, crops) numbers of fields by true crop (rows) and predicted one."""
    return np.bincount(truth * count + predicted, minlength=count * count).reshape(count, count)


def difference(against: str, truth: Rows, own: Rows, other: Rows, block: Rows) -> CropDifference:
    """Return how much more balanced accuracy one model has than another on the same fields, with its 95 % interval.

    Args:
        against: Name of the other model.
        truth: (N,) true crops.
        own: (N,) crops that the one predicts.
        other: (N,) crops that the other predicts.
        block: (N,) blocks.
    """
    hits = own == truth, other == truth
    gain = hits[0].astype(float) - hits[1]
    mean = float(np.mean([gain[truth == crop].mean() for crop in np.unique(truth)]))
    influence = balanced_influence(hits[0], truth) - balanced_influence(hits[1], truth)
    low, high = Clusters.of_blocks(block).interval(mean, influence)
    return CropDifference(against=against, difference=mean, low=low, high=high)


def effective_blocks(block: Rows) -> float:
    """Return (Σn)² / Σn² of the fields by block: how many blocks of equal size would tell as much (Kish 1965)."""
    sizes = np.unique(block, return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())
