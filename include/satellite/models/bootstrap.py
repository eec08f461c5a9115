"""Paired bootstrap over blocks and dates: neighbours in space share their fate, and so do patches of one date.

Blocks and dates are drawn separately, with replacement, and a sample counts as often as its block times its date were
drawn: the pigeonhole bootstrap (Owen: The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007). Models are
compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]
RESAMPLES = 4000
LEVEL = 95.0


class Bootstrap:
    """Draws of blocks and dates, and statistics over them.

    Args:
        block: (N,) block of each sample.
        date: (N,) date of each sample.
        seed: The same seed gives the same draws.
        resamples: Number of draws, R.
    """

    def __init__(self, block: Ints, date: Ints, seed: int, resamples: int = RESAMPLES) -> None:
        blocks, self._block = np.unique(block, return_inverse=True)
        dates, self._date = np.unique(date, return_inverse=True)
        self.shape = (len(blocks), len(dates))
        self.resamples = resamples
        draw = np.random.default_rng(seed)
        self._of_block, self._of_date = (
            draw.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64) for size in self.shape
        )

    def mean(self, values: Floats | Bools, where: Bools | None = None) -> Floats:
        """(R,) mean of some values (N,) over each draw, of the samples in `where`; NaN where a draw has none."""
        kept = np.ones(len(values), bool) if where is None else where
        with np.errstate(invalid="ignore"):
            mean: Floats = self._total(values * kept) / self._total(kept)
        return mean

    def balanced_accuracy(self, hits: Bools, label: Ints) -> Floats:
        """(R,) mean recall over the classes that a draw holds."""
        recalls = np.stack([self.mean(hits, label == each) for each in np.unique(label)])
        present = ~np.isnan(recalls)
        with np.errstate(invalid="ignore"):
            mean: Floats = np.where(present, recalls, 0).sum(axis=0) / present.sum(axis=0)
        return mean

    def interval(self, statistic: Floats) -> tuple[float, float] | tuple[None, None]:
        """The middle 95 % of a statistic (R,); none where nothing can be drawn but the sample itself."""
        known = statistic[~np.isnan(statistic)]
        if self.shape == (1, 1) or len(known) == 0:
            return None, None
        tail = (100 - LEVEL) / 2
        low, high = np.percentile(known, [tail, 100 - tail])
        return float(low), float(high)

    def _total(self, values: Floats | Bools) -> Floats:
        cells = np.bincount(
            self._block * self.shape[1] + self._date, weights=values, minlength=self.shape[0] * self.shape[1]
        )
        total: Floats = ((self._of_block @ cells.reshape(self.shape)) * self._of_date).sum(axis=1)
        return total


def recalls(hits: Bools, label: Ints, names: Sequence[str]) -> dict[str, float]:
    """Share of each class that is recognised, of the classes that are present."""
    return {names[each]: float(hits[label == each].mean()) for each in np.unique(label)}
