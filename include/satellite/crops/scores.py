"""Scores of crop classifiers on held-out fields, and how sure their differences are.

Balanced accuracy is the mean recall of the crops. Fields of a block are alike, so blocks are the units: the variance of
a difference is that of the blocks' sums of its linear parts, and its interval has as many degrees of freedom as blocks,
less one (cluster-robust variance with the correction B / (B − 1), Liang and Zeger 1986). NumPy alone: the orchestrator
computes the same.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from include.satellite.crops.schemas import CropDifference, CropScore
from include.satellite.evaluation.student_t import critical_value

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
        block: (N,) blocks; at least two.
    """
    gain = (own == truth).astype(float) - (other == truth)
    crops, kind, fields = np.unique(truth, return_inverse=True, return_counts=True)
    recall = np.bincount(kind, gain) / fields
    parts = (gain - recall[kind]) / (fields[kind] * len(crops))
    sums = np.bincount(np.unique(block, return_inverse=True)[1], parts)
    blocks = len(sums)
    deviation = math.sqrt(blocks / (blocks - 1) * float((sums**2).sum()))
    mean, reach = float(recall.mean()), critical_value(blocks - 1) * deviation
    return CropDifference(against=against, difference=mean, low=mean - reach, high=mean + reach)


def effective_blocks(block: Rows) -> float:
    """Return (Σn)² / Σn² of the fields by block: how many blocks of equal size would tell as much (Kish 1965)."""
    sizes = np.unique(block, return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())
