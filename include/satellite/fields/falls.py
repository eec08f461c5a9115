"""Falls of the index: those that neighbours do not explain, and those that a harvest or a cut explains.

Passes are gone through in their order, and what is stated of a pass rests on passes up to it alone: an analysis of next
month finds the same falls at the same dates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.satellite.fields.comparison import MIN_NEIGHBOURS, MIN_SEASONS, picked, robust

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from include.satellite.fields.comparison import Reference, Rows
    from include.satellite.fields.panel import Panel
    from include.satellite.fields.smoothing import Values

FALL, FALL_PERMANENT = 0.06, 0.10
"""Smallest fall against the expected value, mean of two clear passes in a row: of an annual and a permanent crop."""
FALL_Z, FALL_PERMANENT_Z = 2.0, 4.0
"""Smallest fall in the standard deviations that the filter expects; of permanent crops, in those of the neighbours, for
meadows differ as they are mown."""
EACH = 0.045
"""Smallest fall on each of the two passes."""
ALIKE = 0.10
"""The two passes differ by at most this: haze on one of them differs more."""
CEILING = 0.95
"""More is never expected: NDVI of dense leaves saturates."""
AHEAD_D = 8.0
"""While the comparison falls, a field may be this many days ahead of it."""
PERMANENT_SPREAD = 0.6
"""Least spread of the neighbours of a permanent crop, in the standard deviations that the filter expects."""
CUT = 0.20
MOWN = 0.15
"""A sudden fall of this size is a cut, where the season allows one: of an annual crop, and of a permanent one."""
STAYS_LOW = 0.5
"""Share of a sudden fall that the next pass still shows."""
CUT_D = 25
"""The passes before and after a cut are at most this many days apart."""
MIN_BEFORE = 2
"""Passes of the season that are known before a fall can be."""
LEVEL_SD = 0.05
SCALE_SD = 0.10
LEAD_SD_D = 6.0
RESTART_SD = 0.3
NOISE = 0.025
"""Standard deviations: how fields of one crop differ in level, scale and time (d); level after a cut; a pass."""
WANDER = 0.003
"""How far the level of a field wanders against its neighbours, NDVI per √day."""
SHAPE = 0.10
"""How much less is known of the level, as a share of how far the comparison moved."""
SLOPE_D = 20
"""Days over which the slope of the comparison is taken."""
VEGETATED = 0.35
"""Below this value before the fall, soil is most of what is seen."""
QUIET_D = 30
"""Days for which a further fall of the same field belongs to the same alert."""
HARVEST_SHARE, NEIGHBOURS_CUT = 0.75, 0.2
"""A cut is a harvest after this share of an annual season, or if this share of the neighbours was cut lately."""
RIPE = 0.6
"""In the second half of an annual season, below this share of its highest value, a fall is ripening."""


@dataclass(frozen=True)
class Fall:
    """A fall that a pass confirmed.

    Args:
        field: Row of the field.
        day: The pass that confirmed it.
        since: The first pass that showed it.
        cut: It was sudden and large, at a time when the crop may be cut.
        value: Index on the confirming pass.
        expected: What the comparison let expect there; of a cut, the value before it.
        change: Fall against the expected value, negative, mean of the two passes; of a cut, between two passes.
        z: The change against that of the neighbours, in standard deviations; NaN for a cut.
        compared: How many neighbours, or own seasons, it was compared with.
        neighbours: It was compared with neighbours, not with own seasons.
    """

    field: int
    day: int
    since: int
    cut: bool
    value: float
    expected: float
    change: float
    z: float
    compared: int
    neighbours: bool


class _Course:
    """How each field follows what it is compared with: at a level, a scale and a lead or lag of its own.

    The difference to the comparison is a + b (m − ½) + c m′, with m the comparison and m′ its slope. A Kalman filter
    (Kalman 1960) estimates the three; the level wanders, and the more the comparison moves the less is known of it.
    """

    def __init__(self, fields: int) -> None:
        import numpy as np

        self.start = np.diag([LEVEL_SD**2, SCALE_SD**2, LEAD_SD_D**2])
        self.state, self.covariance = np.zeros((fields, 3)), np.tile(self.start, (fields, 1, 1))
        self.count = np.zeros(fields, dtype=np.int64)
        self.day, self.reference = np.full(fields, np.nan), np.full(fields, np.nan)

    def expected(self, design: Values, day: Values | float) -> tuple[Values, Values, Values]:
        """Return mean and variance of the difference, and the covariance of the state, on a day of each field."""
        import numpy as np

        moved = np.nan_to_num(design[:, 1] - self.reference)
        covariance = self.covariance.copy()
        covariance[:, 0, 0] += WANDER**2 * np.nan_to_num(day - self.day) + (SHAPE * moved) ** 2
        mean = (design * self.state).sum(axis=1)
        variance = NOISE**2 + np.einsum("fi,fij,fj->f", design, covariance, design)
        return mean, variance, covariance

    def add(self, rows: NDArray[np.bool_], design: Values, difference: Values, day: Values) -> None:
        """Add a pass of fields; one that does not fit counts less, as Huber's weights have it."""
        import numpy as np

        mean, variance, covariance = self.expected(design, day)
        innovation = difference - mean
        excess = np.maximum(abs(innovation) / np.sqrt(variance) / 1.5, 1.0)
        along = np.einsum("fij,fj->fi", covariance, design)
        gain = along / (variance + NOISE**2 * (excess - 1) + variance * (excess - 1))[:, None]
        self.state[rows] += (gain * innovation[:, None])[rows]
        self.covariance[rows] = (covariance - gain[:, :, None] * along[:, None, :])[rows]
        self.count[rows] += 1
        self.day[rows], self.reference[rows] = day[rows], design[rows, 1]

    def forget(self, rows: NDArray[np.bool_]) -> None:
        self.state[rows], self.covariance[rows], self.count[rows] = 0, self.start, 0
        self.day[rows], self.reference[rows] = float("nan"), float("nan")


@dataclass(frozen=True)
class _Evidence:
    """What the last two passes of each field show against what was expected, (fields,) each."""

    latest: Values
    change: Values
    smaller: Values
    apart: Values
    z: Values
    compared: Rows


class _Passes:
    """The last passes of each field, newest first: index and day, and what the comparison showed on the newest."""

    def __init__(self, fields: int) -> None:
        import numpy as np

        self.value, self.day = np.full((2, fields), np.nan), np.full((2, fields), -(10.0**6))
        self.difference, self.before = np.full(fields, np.nan), np.full(fields, np.nan)
        self.design = np.zeros((fields, 3))
        self.level, self.top = np.full(fields, np.nan), np.full(fields, -np.inf)

    def add(self, rows: NDArray[np.bool_], value: Values, day: int, difference: Values, design: Values) -> None:
        import numpy as np

        last = self.value[0]
        known = rows & np.isfinite(last)
        self.top[known] = np.maximum(self.top, np.minimum(value, last))[known]
        self.level[known] = np.where(np.isfinite(self.level), 0.7 * self.level + 0.3 * last, last)[known]
        self.value[1, rows], self.day[1, rows] = last[rows], self.day[0, rows]
        self.value[0, rows], self.day[0, rows] = value[rows], day
        self.before[rows], self.difference[rows] = self.difference[rows], difference[rows]
        self.design[rows] = design[rows]

    def forget(self, rows: NDArray[np.bool_]) -> None:
        self.difference[rows], self.before[rows], self.level[rows] = (float("nan"),) * 3


def falls(panel: Panel, near: Reference, own: Reference, groups: list[tuple[int, Rows, Rows]]) -> list[Fall]:
    """Return the falls of all fields by day.

    Args:
        panel: Fields by passes.
        near: Unsmoothed values of the neighbours on the same pass.
        own: Smoothed values of the field's own earlier seasons.
        groups: Fields and neighbours by crop (`by_crop`).
    """
    import numpy as np

    count = len(panel.ids)
    with_near = near.count >= MIN_NEIGHBOURS
    reference = np.where(with_near, near.median, np.where(own.count >= MIN_SEASONS, own.median, np.nan))
    slope = _slopes(panel, reference)
    number, share, annual, first = _seasons_by_pass(panel)
    course, passes, season = _Course(count), _Passes(count), np.full(count, -1)
    quiet_until, cut_day, sudden_day = (np.full(count, -(10**6)) for _ in range(3))
    result: list[Fall] = []
    for at, day in enumerate(panel.days.tolist()):
        value, is_annual = panel.values[:, at], annual[:, at]
        seen = np.isfinite(value) & (number[:, at] >= 0)
        fresh = seen & (number[:, at] != season)
        season[fresh], passes.top[fresh] = number[fresh, at], -np.inf
        for held in (course, passes):
            held.forget(fresh & is_annual)
        difference = value - reference[:, at]
        design = np.column_stack([np.ones(count), np.nan_to_num(reference[:, at]) - 0.5, slope[:, at]])
        evidence = _evidence(panel, groups, at, course, passes, reference[:, at], design, is_annual)
        drop = passes.value[1] - passes.value[0]
        sudden = seen & (passes.day[0] - passes.day[1] <= CUT_D) & _is_cut(passes, value, difference, is_annual)
        neighbours_cut = _share_of_neighbours(panel, groups, day - sudden_day <= QUIET_D, at)
        may_be_cut = ~is_annual | (share[:, at] >= HARVEST_SHARE) | (neighbours_cut >= NEIGHBOURS_CUT)
        cut = sudden & may_be_cut & (day - cut_day > CUT_D)
        ripe = is_annual & (share[:, at] >= 0.5) & (passes.level < RIPE * passes.top)
        over = ripe | (is_annual & (cut_day >= first[:, at]))
        fall = seen & ~cut & ~over & (day > quiet_until) & (passes.level >= VEGETATED)
        fall &= _is_fall(evidence, slope[:, at], is_annual)
        for i in np.flatnonzero(cut | fall).tolist():
            is_cut, change = bool(cut[i]), float(-drop[i] if cut[i] else evidence.change[i])
            result.append(
                Fall(
                    field=i,
                    day=day,
                    since=int(passes.day[0, i]),
                    cut=is_cut,
                    value=float(value[i]),
                    expected=float(passes.value[1, i] if is_cut else value[i] - evidence.latest[i]),
                    change=change,
                    z=float("nan") if is_cut else float(evidence.z[i]),
                    compared=0 if is_cut else int(evidence.compared[i] or own.count[i, at]),
                    neighbours=bool(evidence.compared[i]),
                )
            )
        quiet_until[fall], cut_day[cut], sudden_day[sudden] = day + QUIET_D, day, day
        course.add(
            seen & np.isfinite(passes.difference), passes.design, np.nan_to_num(passes.difference), passes.day[0]
        )
        course.forget(cut | fall)
        course.covariance[cut | fall, 0, 0] = RESTART_SD**2
        passes.add(seen, value, day, difference, design)
        passes.level[cut] = value[cut]
    return result


def _evidence(
    panel: Panel,
    groups: list[tuple[int, Rows, Rows]],
    at: int,
    course: _Course,
    passes: _Passes,
    reference: Values,
    design: Values,
    annual: NDArray[np.bool_],
) -> _Evidence:
    """Return what a pass and the one before it show; NaN where too little was seen before."""
    import numpy as np

    value = panel.values[:, at]
    mean, variance, _ = course.expected(design, float(panel.days[at]))
    last_mean, last_variance, _ = course.expected(passes.design, passes.day[0])
    now = _beyond(value, value - reference - mean)
    before = _beyond(passes.value[0], passes.difference - last_mean)
    known = course.count >= MIN_BEFORE
    change = np.where(known, (now + before) / 2, np.nan)
    score = change / np.sqrt((variance + last_variance) / 2)
    compared, middle, _ = _of_neighbours(panel, groups, change, at)
    _, middle_score, spread = _of_neighbours(panel, groups, score, at)
    enough = compared >= MIN_NEIGHBOURS
    scale = np.where(annual, 1.0, np.maximum(spread, PERMANENT_SPREAD))
    return _Evidence(
        latest=np.where(enough, now - middle, now),
        change=np.where(enough, change - middle, change),
        smaller=np.maximum(now, before),
        apart=np.abs(now - before),
        z=np.where(enough, (score - middle_score) / scale, score),
        compared=np.where(enough, compared, 0),
    )


def _beyond(value: Values, difference: Values) -> Values:
    """Return differences against what was expected, where at most `CEILING` is expected."""
    import numpy as np

    return np.where(value - difference > CEILING, value - CEILING, difference)


def _is_cut(passes: _Passes, value: Values, difference: Values, annual: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where the last two passes lie far below the one before; of permanent crops, the neighbours' not as far."""
    import numpy as np

    drop, stays = passes.value[1] - passes.value[0], passes.value[1] - value
    own_drop, own_stays = passes.before - passes.difference, passes.before - difference
    shared = ~annual & np.isfinite(own_drop)
    limit = np.where(annual, CUT, MOWN)
    own = (np.minimum(drop, own_drop) >= limit) & (np.minimum(stays, own_stays) >= STAYS_LOW * limit)
    return np.asarray(np.where(shared, own, (drop >= limit) & (stays >= STAYS_LOW * drop)), dtype=bool)


def _is_fall(evidence: _Evidence, slope: Values, annual: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where the last two passes show a fall that the comparison does not explain."""
    import numpy as np

    limit = np.where(annual, FALL, FALL_PERMANENT) + AHEAD_D * np.maximum(-slope, 0.0)
    return np.asarray(
        (evidence.change <= -limit)
        & (evidence.smaller <= -EACH)
        & (evidence.apart <= ALIKE)
        & (evidence.z <= -np.where(annual, FALL_Z, FALL_PERMANENT_Z))
    )


def _slopes(panel: Panel, reference: Values) -> Values:
    """Return the slope of the comparison over the `SLOPE_D` days up to each pass, 1/d; 0 where it is not known."""
    import numpy as np

    slopes = np.zeros(reference.shape)
    for at, day in enumerate(panel.days.tolist()):
        begin = int(np.searchsorted(panel.days, day - SLOPE_D))
        held = np.isfinite(reference[:, begin : at + 1])
        count = np.maximum(held.sum(axis=1), 1)[:, None]
        days = np.where(held, panel.days[begin : at + 1].astype(float), 0.0)
        days = np.where(held, days - days.sum(axis=1)[:, None] / count, 0.0)
        values = np.where(held, reference[:, begin : at + 1], 0.0)
        slopes[:, at] = (days * values).sum(axis=1) / np.maximum((days**2).sum(axis=1), 50.0)
    return slopes


def _of_neighbours(
    panel: Panel, groups: list[tuple[int, Rows, Rows]], change: Values, at: int
) -> tuple[Rows, Values, Values]:
    """Return how many neighbours have a change on a pass, its median and its spread, (fields,) each."""
    import numpy as np

    compared, middle, spread = (
        np.zeros(len(change), dtype=np.int64),
        np.full(len(change), np.nan),
        np.full(len(change), np.nan),
    )
    for code, members, near in groups:
        here = panel.crop[members, at] == code
        count, median, deviation = robust(picked(np.where(here, change[members], np.nan), near[here]))
        compared[members[here]], middle[members[here]], spread[members[here]] = count, median, deviation
    return compared, middle, spread


def _share_of_neighbours(
    panel: Panel, groups: list[tuple[int, Rows, Rows]], where: NDArray[np.bool_], at: int
) -> Values:
    """Return which share of its neighbours a field has that are so."""
    import numpy as np

    share = np.zeros(len(where))
    for code, members, near in groups:
        here = panel.crop[members, at] == code
        held = picked(np.where(here, where[members].astype(float), np.nan), near[here])
        known = np.isfinite(held).sum(axis=1)
        share[members[here]] = np.where(known >= MIN_NEIGHBOURS, np.nansum(held, axis=1) / np.maximum(known, 1), 0.0)
    return share


def _seasons_by_pass(panel: Panel) -> tuple[Rows, Values, NDArray[np.bool_], Rows]:
    """Return of each field and pass its season (−1: none), the elapsed share, if it is annual, and its first day."""
    import numpy as np

    shape = panel.values.shape
    number, share = np.full(shape, -1), np.zeros(shape)
    annual, first = np.zeros(shape, dtype=bool), np.full(shape, 10**6)
    for i, season in enumerate(panel.seasons):
        begin, end = np.searchsorted(panel.days, [season.first, season.last + 1])
        at = (season.field, slice(begin, end))
        share[at] = (panel.days[begin:end] - season.first) / max(season.last - season.first, 1)
        number[at], annual[at], first[at] = i, season.annual, season.first
    return number, share, annual, first
