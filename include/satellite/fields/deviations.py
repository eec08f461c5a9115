"""How far a field lies from its neighbours on each pass, and how sure it is that its last two passes fell.

The model of one crop on the passes t of a window is y(field, t) = m(t) + d(field, t): the course m that the neighbours
of the field share, scene and haze included, and Gaussian deviations d with covariance Σ over the passes. Fields differ
in level, amplitude and dates, so Σ is learned from the deviations of all fields of the crop, pass by pass, and shrunk
to a prior (posterior mean of an inverse Wishart distribution, Chen 1979): while a crop ripens, Σ is large, and where
fields lie side by side it is the noise of a pass. m is the generalised least squares estimate from the neighbours
(Aitken 1936), outliers counting less (Huber 1964). A fall adds a step δ to the last two clear passes of a field. Its
estimate is that of generalised least squares, as in the likelihood ratio of Willsky and Jones (1976): δ = sᵀPd / sᵀPs
and z = sᵀPd / √(sᵀPs), with s the step and P the inverse of Σ on the passes on which the field was seen.

Nothing of a later pass is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from include.satellite.fields.comparison import MIN_NEIGHBOURS, MIN_SEASONS, median_of, picked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from include.satellite.fields.comparison import Group, Reference, Rows
    from include.satellite.fields.panel import Panel
    from include.satellite.fields.smoothing import Values

WINDOW, LOOK_BACK = 10, 40
"""Passes with clear fields that the model looks back on, the newest included, among that many passes."""
PRIOR = 15.0
"""The prior of Σ counts as much as this many fields."""
LEVEL_SD, SCALE_SD, LEAD_SD_D, NOISE = 0.05, 0.10, 3.0, 0.02
"""Prior standard deviations: how fields of one crop differ in level, scale and time (d), and the noise of a pass."""
RESTART_SD = 0.3
"""What is known of the level of a field after a cut or a fall."""
SLOPE_D = 20
"""Days over which the slope of the comparison is taken."""
CLIP = 2.5
"""Deviations count in Σ up to this many robust standard deviations."""
OUTLIER = 1.5
"""A pass further from its prediction than this many standard deviations counts less, by the fourth power."""
MIN_BEFORE = 2
"""Passes of the season before the last two that a field needs."""
HAZE, HAZE_TAKES = 0.04, 0.3
"""Share of the clear passes with haze that the masks left in, and how much it takes at most."""
DEPTHS = tuple(0.08 * 1.25**step for step in range(10))
"""Falls that are looked for, NDVI: 0.08 to 0.6."""
MODEL_SD = 0.015
"""What Σ leaves out of a pass, such as a date that is further from the others than most."""
HIDDEN = 1e3
"""Variance of a pass on which a field was not seen."""


@dataclass
class Evidence:
    """What the last two clear passes of each field show, (fields,) each; NaN where the field is compared with nothing.

    Args:
        z: Step δ of the two passes in its standard deviations, negative for a fall, beyond the neighbours' median.
        ratio: Natural logarithm of how much likelier the two passes are after a fall than without, where each pass may
            be hazy.
        latest, previous: How far each of the two lies above what the passes before them let expect.
        compared: Neighbours that were clear, or own seasons.
        neighbours: Compared with neighbours, not with own seasons.
    """

    z: Values
    ratio: Values
    latest: Values
    previous: Values
    compared: Rows
    neighbours: NDArray[np.bool_]


@dataclass
class Deviations:
    """The deviations of all fields, pass by pass.

    Args:
        panel: Fields by passes.
        near: Unsmoothed values of the neighbours on the same pass.
        own: Smoothed values of the field's own earlier seasons.
        groups: Fields and neighbours by crop (`by_crop`).
    """

    panel: Panel
    near: Reference
    own: Reference
    groups: list[Group]
    common: Values = field(init=False)
    deviation: Values = field(init=False)
    doubt: Values = field(init=False)
    by_own: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        with_near = self.near.count >= MIN_NEIGHBOURS
        self.by_own = ~with_near & (self.own.count >= MIN_SEASONS)
        self.common = np.where(with_near, self.near.median, np.where(self.by_own, self.own.median, np.nan))
        self.deviation = self.panel.values - self.common
        self.doubt = np.ones(self.panel.values.shape)

    def evidence(self, at: int, since: Rows, previous: Rows, restarted: NDArray[np.bool_]) -> Evidence:
        """Return the evidence of a pass, and keep its deviations for later ones.

        Args:
            at: The pass, one later than the last one at each call.
            since: First day whose passes count, of each field: the start of its season, or its last cut or fall.
            previous: Clear pass before this one of each field, −1 for none.
            restarted: A cut or fall came last, so that nothing is known of the level.
        """
        import numpy as np

        count = len(self.panel.ids)
        z, ratio, latest, before = (np.full(count, np.nan) for _ in range(4))
        result = Evidence(z, ratio, latest, before, np.zeros(count, dtype=np.int64), ~self.by_own[:, at])
        for group in self.groups:
            if (group.carried[:, at] & np.isfinite(self.deviation[group.members, at])).any():
                state = (since[group.members], previous[group.members], restarted[group.members])
                self._group(at, group, state, result)
        return result

    def _group(self, at: int, group: Group, state: tuple[Rows, Rows, NDArray[np.bool_]], result: Evidence) -> None:
        import numpy as np

        since, previous, restarted = state
        panel, members, near, last = self.panel, group.members, group.near, -1
        begin = max(at + 1 - LOOK_BACK, 0)
        seen = group.carried[:, begin : at + 1] & np.isfinite(self.deviation[members, begin : at + 1])
        window = np.flatnonzero(seen.any(axis=0))[-WINDOW:]
        seen, window = seen[:, window], window + begin
        cells = np.ix_(members, window)
        values = np.where(seen, panel.values[cells], 0.0)
        covariance = self._covariance(
            window, *(np.where(seen, a[cells], np.nan) for a in (self.deviation, self.common))
        )
        counts = seen & (panel.days[window] >= since[:, None])
        doubt = np.where(counts, NOISE**2 * (self.doubt[cells] - 1), HIDDEN)
        # How far this pass lies from what each field's earlier ones let expect, beyond that of its neighbours.
        covariance = covariance + RESTART_SD**2 * restarted[:, None, None]
        precision = _inverse(covariance, doubt)
        now = seen[:, last]
        deviation = np.where(seen, self.deviation[cells], 0.0)
        surprise = np.einsum("fs,fs->f", precision[:, last], deviation) / precision[:, last, last]
        surprise = np.where(now, surprise, np.nan)
        compared = (np.isfinite(picked(surprise, near))).sum(axis=1)
        enough = compared >= MIN_NEIGHBOURS
        surprise -= np.where(enough, median_of(picked(surprise, near)), 0.0)
        excess = np.nan_to_num(abs(surprise)) * np.sqrt(precision[:, last, last]) / OUTLIER
        self.doubt[members, at] = np.where(now, np.maximum(excess, 1.0) ** 4, 1.0)
        # The course that the neighbours share, and the deviations from it.
        doubt[:, last] = np.where(counts[:, last], NOISE**2 * (self.doubt[members, at] - 1), HIDDEN)
        precision = _inverse(covariance, doubt) * (seen[:, :, None] & seen[:, None, :])
        weighted = np.einsum("fst,ft->fs", precision, values)
        total, pull = np.zeros_like(precision), np.zeros_like(weighted)
        known = np.zeros(seen.shape, dtype=np.int64)
        for beside in near.T:
            held = (beside >= 0)[:, None]
            total += np.where(held[:, :, None], precision[beside], 0.0)
            pull += np.where(held, weighted[beside], 0.0)
            known += held & seen[beside]
        common = np.linalg.solve(total + 1e-6 * np.eye(len(window)), pull[..., None])[..., 0]
        common = np.where(known >= MIN_NEIGHBOURS, common, self.common[cells])
        self.common[cells] = np.where(seen, common, self.common[cells])
        self.deviation[cells] = np.where(seen, panel.values[cells] - common, self.deviation[cells])
        self._steps(window, members, near, covariance, doubt, counts, (previous, compared, enough), result)

    def _steps(
        self,
        window: Rows,
        members: Rows,
        near: Rows,
        covariance: Values,
        doubt: Values,
        counts: NDArray[np.bool_],
        compared: tuple[Rows, Rows, NDArray[np.bool_]],
        result: Evidence,
    ) -> None:
        """State the step of the last two clear passes of each field."""
        import numpy as np

        previous, count, enough = compared
        at, last = int(window[-1]), len(window) - 1
        place = np.searchsorted(window, previous)
        rows = np.flatnonzero(
            counts[:, last]
            & (previous >= window[0])
            & (place < last)
            & np.take_along_axis(counts, np.minimum(place, last)[:, None], axis=1)[:, 0]
            & (counts.sum(axis=1) >= MIN_BEFORE + 2)
            & (enough | (self.own.count[members, at] >= MIN_SEASONS))
        )
        if not len(rows):
            return
        here, place = members[rows], place[rows]
        doubt = doubt[rows].copy()
        doubt[np.arange(len(rows)), place] = doubt[:, last] = 0.0
        precision = _inverse(covariance[rows], doubt)
        deviation = np.where(counts[rows], np.nan_to_num(self.deviation[np.ix_(here, window)]), 0.0)
        pull = np.einsum("fst,ft->fs", precision, deviation)
        each = np.arange(len(rows))
        one, other, both = precision[each, place, place], precision[:, last, last], precision[each, place, last]
        pull_one, pull_other = pull[each, place], pull[:, last]
        size = np.where(enough[rows], count[rows], self.own.count[here, at])
        # What the passes are compared with is uncertain too.
        one, other, both, pull_one, pull_other = (
            part / (1 + 1 / np.maximum(size, 1)) for part in (one, other, both, pull_one, pull_other)
        )
        z, determinant = np.full(len(members), np.nan), one * other - both**2
        z[rows] = (pull_one + pull_other) / np.sqrt(one + other + 2 * both)
        beside = picked(z, near)
        middle = np.where(np.isfinite(beside).sum(axis=1) >= MIN_NEIGHBOURS, median_of(beside), 0.0)
        before = (other * pull_one - both * pull_other) / determinant
        latest = (one * pull_other - both * pull_one) / determinant
        result.z[here], result.previous[here], result.latest[here] = (z - middle)[rows], before, latest
        result.ratio[here] = _log_ratio(before, latest, other / determinant, -both / determinant, one / determinant)
        result.compared[here] = size

    def _covariance(self, window: Rows, deviation: Values, common: Values) -> Values:
        """Return Σ of the deviations on the passes of a window, (passes, passes)."""
        import numpy as np

        spread = 1.4826 * median_of(abs(deviation).T)
        clipped = np.clip(deviation, -CLIP * np.maximum(spread, NOISE), CLIP * np.maximum(spread, NOISE))
        seen = np.isfinite(clipped)
        clipped = np.where(seen, clipped, 0.0)
        pairs = seen.T.astype(float) @ seen
        level = np.nan_to_num(median_of(common.T), nan=0.5)
        slope = _slopes(self.panel.days[window].astype(float), level)
        prior = LEVEL_SD**2 + SCALE_SD**2 * np.outer(level - 0.5, level - 0.5) + LEAD_SD_D**2 * np.outer(slope, slope)
        prior += NOISE**2 * np.eye(len(window))
        shrunk = (PRIOR * prior + clipped.T @ clipped) / (PRIOR + pairs)
        values, vectors = np.linalg.eigh(shrunk)
        return np.asarray((vectors * np.maximum(values, NOISE**2 / 2)) @ vectors.T)


def _inverse(covariance: Values, doubt: Values) -> Values:
    """Return the inverse of a covariance with a variance added to each pass of each field, (fields, passes, passes)."""
    import numpy as np

    return np.asarray(np.linalg.inv(covariance + doubt[:, :, None] * np.eye(doubt.shape[1])))


def _slopes(days: Values, values: Values) -> Values:
    """Return the slope over the `SLOPE_D` days up to each pass, 1/d, by least squares."""
    import numpy as np

    slopes = np.zeros(len(days))
    for i, day in enumerate(days):
        within = (days > day - SLOPE_D) & (days <= day)
        away = days[within] - days[within].mean()
        slopes[i] = (away * values[within]).sum() / max(float((away**2).sum()), 50.0)
    return slopes


def _log_ratio(previous: Values, latest: Values, first: Values, both: Values, second: Values) -> Values:
    """Return the logarithm of the likelihood ratio of a fall on two passes against no fall.

    Either pass may be hazy (`HAZE`), which takes up to `HAZE_TAKES`. A fall is one of `DEPTHS`, alike likely.

    Args:
        previous: How far the first pass lies above what is expected.
        latest: How far the second does.
        first: Variance of the first.
        both: Covariance of the two.
        second: Variance of the second.
    """
    import numpy as np

    first, second = first + MODEL_SD**2, second + MODEL_SD**2
    determinant = first * second - both**2

    def two(depth: float) -> Values:
        one, other = previous + depth, latest + depth
        form = (second * one**2 - 2 * both * one * other + first * other**2) / determinant
        return np.asarray(np.exp(-form / 2) / (2 * np.pi * np.sqrt(determinant)))

    def one(value: Values, variance: Values) -> Values:
        return np.asarray(np.exp(-(value**2) / variance / 2) / np.sqrt(2 * np.pi * variance))

    def hazy(value: Values) -> Values:
        return np.asarray(np.where((value < 0) & (value > -HAZE_TAKES), 1 / HAZE_TAKES, 0.02))

    def likelihood(depth: float) -> Values:
        single = one(latest + depth, second) * hazy(previous) + one(previous + depth, first) * hazy(latest)
        return np.asarray((1 - HAZE) ** 2 * two(depth) + HAZE * (1 - HAZE) * single)

    fallen = np.mean([likelihood(depth) for depth in DEPTHS], axis=0)
    return np.asarray(
        np.log(fallen + 1e-12) - np.log(likelihood(0.0) + HAZE**2 * hazy(previous) * hazy(latest) + 1e-12)
    )
