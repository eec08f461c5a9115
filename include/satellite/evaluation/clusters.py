"""Intervals of means over held-out samples: Student's t with clustered variance, over blocks and spells.

Neighbours in space are alike, and so is what a place shows within a month. The variance of a mean therefore counts
clusters, not samples: blocks, spells of 30 days, and less what both count twice (Cameron, Gelbach, Miller: Robust
inference with multiway clustering, Journal of Business & Economic Statistics 29, 2011). With few clusters the normal
distribution is too narrow; the degrees of freedom are those of the rarer cluster (Cameron, Miller: A practitioner's
guide to cluster-robust inference, Journal of Human Resources 50, 2015). Samples of one season, such as the crops of
fields, are clustered by block alone (Liang, Zeger: Longitudinal data analysis using generalized linear models,
Biometrika 73, 1986).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.storage import Ints
from include.satellite.evaluation.student_t import critical_value

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
LEVEL = 0.95
SPELL_DAYS = 30
LEAST_BLOCKS, LEAST_SPELLS = 3, 6
"""Fewer cannot show how much blocks or spells differ: nothing is judged then."""


def spells_of(days: Ints) -> Ints:
    """Return the spell of each day, counted from the first one.

    >>> spells_of(np.array([100, 129, 130, 200])).tolist()
    [0, 0, 1, 3]
    """
    return np.asarray((days - days.min()) // SPELL_DAYS)


@dataclass(frozen=True)
class Clusters:
    """The clusters of N samples.

    Args:
        block: (N,) position of each sample's block among those that occur.
        spell: (N,) position of its spell; None for samples of one season.
    """

    block: Ints
    spell: Ints | None = None

    @classmethod
    def of(cls, block: Ints, days: Ints) -> Clusters:
        """Return the clusters of samples.

        Args:
            block: (N,) block of each sample.
            days: (N,) its date, as days since 1970.
        """
        return cls(*(np.unique(values, return_inverse=True)[1] for values in (block, spells_of(days))))

    @classmethod
    def of_blocks(cls, block: Ints) -> Clusters:
        """Return the clusters of samples of one season, by the (N,) block of each."""
        return cls(np.unique(block, return_inverse=True)[1])

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.block.max()) + 1

    @property
    def spells(self) -> int | None:
        """Number of spells; None for samples of one season."""
        return None if self.spell is None else int(self.spell.max()) + 1

    @property
    def freedom(self) -> int:
        """Degrees of freedom: those of the rarer cluster."""
        return min(self.blocks, self.spells or self.blocks) - 1

    @property
    def can_judge(self) -> bool:
        """Whether there are enough clusters to tell a difference from chance."""
        return self.blocks >= LEAST_BLOCKS and (self.spells is None or self.spells >= LEAST_SPELLS)

    def standard_error(self, influence: Floats) -> float:
        """Return the standard error of a statistic.

        Args:
            influence: (N,) what each sample adds to the statistic's deviation, times N; its mean is 0.
        """
        if self.spell is None:
            return math.sqrt(_variance(influence, self.block))
        cell = self.block * (int(self.spell.max()) + 1) + self.spell
        cells = np.unique(cell, return_inverse=True)[1]
        by_block, by_spell, by_cell = (_variance(influence, own) for own in (self.block, self.spell, cells))
        return math.sqrt(max(by_block + by_spell - by_cell, by_block, by_spell))

    def interval(self, statistic: float, influence: Floats) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval of a statistic; None where `can_judge` is False."""
        if not self.can_judge:
            return None, None
        half = critical_value(self.freedom, LEVEL) * self.standard_error(influence)
        return statistic - half, statistic + half

    def effective_samples(self, influence: Floats) -> float | None:
        """Return how many independent samples would give the same standard error; None where nothing varies."""
        error = self.standard_error(influence)
        return float(influence.var() / error**2) if error > 0 else None


def _variance(influence: Floats, clusters: Ints) -> float:
    """Return the variance of a mean by the sums of its clusters, with the correction for few of them."""
    sums = np.bincount(clusters, weights=influence) / len(influence)
    count = len(sums)
    return float(count / (count - 1) * (sums**2).sum()) if count > 1 else 0.0


def mean_influence(values: Floats | Bools) -> Floats:
    """Return the influence of each value (N,) on their mean."""
    return np.asarray(values - np.mean(values), np.float64)


def balanced_influence(hits: Bools, label: NDArray[np.integer]) -> Floats:
    """Return the influence of each hit (N,) on the mean recall over the classes that occur."""
    influence = np.zeros(len(hits))
    classes = np.unique(label)
    for position in classes:
        own = label == position
        influence[own] = (hits[own] - hits[own].mean()) * len(hits) / own.sum() / len(classes)
    return influence
