"""Smooth, gap-filled series of an index: a Whittaker smoother, solved for all fields at once.

Eilers 2003 (A perfect smoother, Analytical Chemistry 75): weighted least squares with a penalty on second differences.
On a daily grid its matrix has five diagonals, so that cost is linear in days and in fields. Passes that fall and
recover within days are cloud or haze that the masks missed, and count nothing: Viovy et al. 1992 (BISE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Days = NDArray[np.int64]

SMOOTHING = 100.0
"""Penalty λ on a daily grid; docs/decisions/0040 has the measurement that it comes from."""
MAX_GAP_D = 60
"""A longer interval without a clear pass is not filled."""
DIP = 0.08
"""How far a pass lies below the passes on both sides to be taken for haze."""
DIP_D = 20
"""Both of these passes are at most this many days away."""


def smooth(days: Days, values: Values, weights: Values) -> Values:
    """Return the daily smoothed series of fields.

    Args:
        days: Dates of the passes, (passes,), days since any epoch, ascending.
        values: Index of a field on a pass, (fields, passes); NaN where it was not observed.
        weights: Weight of an observation, such as its clear share, (fields, passes).

    Returns:
        (fields, last − first day + 1), the first column being the first pass. NaN before the first and after the last
        observation of a field, within intervals of more than `MAX_GAP_D` days without one, and where a field has fewer
        than three observations.
    """
    import numpy as np

    counts = np.isfinite(values) & ~dips(days, values)
    offsets = days - days[0]
    shape = (values.shape[0], int(offsets[-1]) + 1)
    observed, weight = np.zeros(shape), np.zeros(shape)
    observed[:, offsets] = np.where(counts, values, 0.0)
    weight[:, offsets] = np.where(counts, weights, 0.0)
    enough = counts.sum(axis=1) >= 3
    smoothed = np.full(shape, np.nan)
    smoothed[enough] = whittaker(observed[enough], weight[enough], SMOOTHING)
    smoothed[~_covered(days, counts)] = np.nan
    return smoothed


def whittaker(values: Values, weights: Values, smoothing: float) -> Values:
    """Return the minimum z of Σ w (y − z)² + λ Σ (second difference of z)² for each series.

    Args:
        values: y, (series, steps); anything finite where the weight is 0.
        weights: w, (series, steps), at least two of a series above 0.
        smoothing: λ.

    A straight line has no second differences, and comes back as it is:

    >>> import numpy as np
    >>> whittaker(np.array([[1.0, 2.0, 0.0, 4.0, 5.0]]), np.array([[1.0, 1.0, 0.0, 1.0, 1.0]]), 100).round(6).tolist()
    [[1.0, 2.0, 3.0, 4.0, 5.0]]
    """
    import numpy as np

    steps = values.shape[1]
    weights, rows = np.ascontiguousarray(weights.T), np.ascontiguousarray((weights * values).T)
    bands = np.full(steps, 6.0), np.full(steps - 1, -4.0)
    bands[0][[0, -1]], bands[0][[1, -2]], bands[1][[0, -1]] = 1.0, 5.0, -2.0
    diagonal, first, second = (np.zeros_like(rows) for _ in range(3))
    # LDLᵀ of a symmetric matrix of five diagonals, then forward and back substitution.
    for i in range(steps):
        diagonal[i] = weights[i] + smoothing * bands[0][i]
        if i >= 1:
            diagonal[i] -= first[i - 1] ** 2 * diagonal[i - 1]
            rows[i] -= first[i - 1] * rows[i - 1]
        if i >= 2:
            diagonal[i] -= second[i - 2] ** 2 * diagonal[i - 2]
            rows[i] -= second[i - 2] * rows[i - 2]
        if i < steps - 1:
            beside = smoothing * bands[1][i]
            first[i] = (beside - (diagonal[i - 1] * first[i - 1] * second[i - 1] if i else 0.0)) / diagonal[i]
        if i < steps - 2:
            second[i] = smoothing / diagonal[i]
    for i in reversed(range(steps)):
        rows[i] /= diagonal[i]
        if i < steps - 1:
            rows[i] -= first[i] * rows[i + 1]
        if i < steps - 2:
            rows[i] -= second[i] * rows[i + 2]
    return rows.T


def dips(days: Days, values: Values) -> NDArray[np.bool_]:
    """Return where an observation lies more than `DIP` below those on both sides, each at most `DIP_D` days away."""
    import numpy as np

    def beside(step: int) -> NDArray[np.bool_]:
        value, day = np.full(values.shape[0], np.nan), np.full(values.shape[0], -(10**9))
        higher = np.zeros(values.shape, dtype=bool)
        for i in range(values.shape[1])[::step]:
            higher[:, i] = (value - values[:, i] > DIP) & (np.abs(days[i] - day) <= DIP_D)
            seen = np.isfinite(values[:, i])
            value[seen], day[seen] = values[seen, i], days[i]
        return higher

    return beside(1) & beside(-1)


def _covered(days: Days, counts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the days between two observations that are at most `MAX_GAP_D` days apart, (fields, days)."""
    import numpy as np

    offsets = days - days[0]
    every = np.arange(int(offsets[-1]) + 1)
    at = np.searchsorted(offsets, every, side="right") - 1
    before = np.maximum.accumulate(np.where(counts, offsets, -(10**9)), axis=1)[:, at]
    after_at = np.searchsorted(offsets, every, side="left")
    after = np.minimum.accumulate(np.where(counts, offsets, 10**9)[:, ::-1], axis=1)[:, ::-1][:, after_at]
    return np.asarray(after - before <= MAX_GAP_D)
