"""Intervals of means over held-out samples: a paired bootstrap over blocks and dates.

Neighbours in space are alike, and so are patches of one date. Blocks and dates are drawn separately, with replacement,
and a sample counts as often as its block times its date were drawn: the pigeonhole bootstrap (Owen: The pigeonhole
bootstrap, Annals of Applied Statistics 1, 2007). Models are compared on the same draws.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.storage import Ints

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
RESAMPLES = 4000
LEVEL = 95.0


class Bootstrap:
    """Paired bootstrap: draws of blocks and dates, and statistics over them.

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
        """Return the (R,) means of values (N,) over each draw, of the samples in `where`; NaN where a draw has none."""
        selected = np.ones(len(values), bool) if where is None else where
        with np.errstate(invalid="ignore"):
            mean: Floats = self._total(values * selected) / self._total(selected)
        return mean

    def balanced_accuracy(self, hits: Bools, label: NDArray[np.integer]) -> Floats:
        """Return the (R,) mean recalls over the classes that a draw holds."""
        recalls = np.stack([self.mean(hits, label == position) for position in np.unique(label)])
        present = ~np.isnan(recalls)
        with np.errstate(invalid="ignore"):
            mean: Floats = np.where(present, recalls, 0).sum(axis=0) / present.sum(axis=0)
        return mean

    def interval(self, statistic: Floats) -> tuple[float, float] | tuple[None, None]:
        """Return the middle 95 % of a statistic (R,); None where nothing can be drawn but the sample itself."""
        defined = statistic[~np.isnan(statistic)]
        if self.shape == (1, 1) or len(defined) == 0:
            return None, None
        tail = (100 - LEVEL) / 2
        low, high = np.percentile(defined, [tail, 100 - tail])
        return float(low), float(high)

    def _total(self, values: Floats | Bools) -> Floats:
        cells = np.bincount(
            self._block * self.shape[1] + self._date, weights=values, minlength=self.shape[0] * self.shape[1]
        )
        total: Floats = ((self._of_block @ cells.reshape(self.shape)) * self._of_date).sum(axis=1)
        return total
