"""Falls of the index: those that neighbours do not explain, and those that a harvest or a cut explains.

Passes are gone through in their order, and what is stated of a pass rests on passes up to it alone: an analysis of next
month finds the same falls at the same dates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.satellite.fields.comparison import MIN_NEIGHBOURS, picked
from include.satellite.fields.deviations import Deviations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from include.satellite.fields.comparison import Group, Reference, Rows
    from include.satellite.fields.deviations import Evidence
    from include.satellite.fields.panel import Panel
    from include.satellite.fields.smoothing import Values

RATIO, RATIO_PERMANENT = 0.0, 2.5
"""Smallest logarithm of the likelihood ratio of a fall: of an annual crop, and of a permanent one, for it may be mown.
Chosen so that fewer than one alert in ten field-seasons is false on simulated seasons (docs/decisions/0040)."""
FALL = 0.04
"""Smallest fall against the expected value, mean of two clear passes in a row."""
ALIKE = 0.15
"""The two passes differ by at most this: haze on one of them differs more."""
GROWTH = 10.0
"""How much more of the logarithm is needed where a field has grown since the pass before the two, per NDVI: then it is
rather late than that it has fallen."""
VEGETATED = 0.5
"""Below this expected value, soil is much of what is seen."""
SOIL = 0.35
"""A harvest leaves at most this: bare soil or stubble."""
CUT = 0.20
MOWN = 0.15
"""A sudden fall of this size is a cut, where the season allows one: of an annual crop, and of a permanent one."""
STAYS_LOW = 0.5
"""Share of a sudden fall that the next pass still shows."""
CUT_D = 25
"""The passes before and after a mowing are at most this many days apart; a later cut is another one."""
QUIET_D = 30
"""Days for which a further fall of the same field belongs to the same alert."""
HARVEST_SHARE, NEIGHBOURS_CUT = 0.75, 0.2
"""A cut is a harvest after this share of an annual season, or if this share of the neighbours was cut lately."""


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


class _Passes:
    """The last two clear passes of each field, newest first, in the season of an annual crop."""

    def __init__(self, fields: int) -> None:
        import numpy as np

        self.at, self.day = np.full(fields, -1), np.full((2, fields), -(10**6))
        self.value, self.deviation = np.full((2, fields), np.nan), np.full((2, fields), np.nan)

    def add(self, rows: NDArray[np.bool_], at: int, day: int, value: Values, deviation: Values) -> None:
        self.at[rows] = at
        for kept, new in ((self.day, day), (self.value, value), (self.deviation, deviation)):
            kept[1, rows] = kept[0, rows]
            kept[0, rows] = new if isinstance(new, int) else new[rows]

    def forget(self, rows: NDArray[np.bool_]) -> None:
        self.at[rows] = -1
        self.value[:, rows], self.deviation[:, rows] = float("nan"), float("nan")


def falls(panel: Panel, near: Reference, own: Reference, groups: list[Group]) -> list[Fall]:
    """Return the falls of all fields by day.

    Args:
        panel: Fields by passes.
        near: Unsmoothed values of the neighbours on the same pass.
        own: Smoothed values of the field's own earlier seasons.
        groups: Fields that are compared with each other (`by_crop`).
    """
    import numpy as np

    count = len(panel.ids)
    number, share, annual, first = _seasons_by_pass(panel)
    deviations, passes = Deviations(panel, near, own, groups), _Passes(count)
    season, since, restarted = np.full(count, -1), np.full(count, -(10**6)), np.zeros(count, dtype=bool)
    quiet_until, cut_day, sudden_day = (np.full(count, -(10**6)) for _ in range(3))
    result: list[Fall] = []
    for at, day in enumerate(panel.days.tolist()):
        value, is_annual = panel.values[:, at], annual[:, at]
        seen = np.isfinite(value) & (number[:, at] >= 0)
        fresh = seen & (number[:, at] != season)
        season[fresh] = number[fresh, at]
        passes.forget(fresh & is_annual)
        since[fresh & is_annual], restarted[fresh & is_annual] = first[fresh & is_annual, at], False
        evidence = deviations.evidence(at, since, passes.at, restarted)
        sudden = seen & _is_cut(passes, value, deviations.deviation[:, at], is_annual)
        neighbours_cut = _share_of_neighbours(groups, day - sudden_day <= QUIET_D, at)
        may_be_cut = ~is_annual | (share[:, at] >= HARVEST_SHARE) | (neighbours_cut >= NEIGHBOURS_CUT)
        cut = sudden & may_be_cut & (day - cut_day > CUT_D)
        over = is_annual & ((cut_day >= first[:, at]) | (may_be_cut & (value <= SOIL)))
        fall = seen & ~cut & ~over & (day > quiet_until) & _is_fall(evidence, passes, value, is_annual)
        for i in np.flatnonzero(cut | fall).tolist():
            is_cut = bool(cut[i])
            change = passes.value[0, i] - passes.value[1, i] if is_cut else _mean(evidence)[i]
            result.append(
                Fall(
                    field=i,
                    day=day,
                    since=int(passes.day[0, i]),
                    cut=is_cut,
                    value=float(value[i]),
                    expected=float(passes.value[1, i] if is_cut else value[i] - evidence.latest[i]),
                    change=float(change),
                    z=float("nan") if is_cut else float(evidence.z[i]),
                    compared=0 if is_cut else int(evidence.compared[i]),
                    neighbours=bool(evidence.neighbours[i]),
                )
            )
        quiet_until[fall], cut_day[cut], sudden_day[sudden] = day + QUIET_D, day, day
        since[cut | fall], restarted[cut | fall] = passes.day[0, cut | fall], True
        passes.add(seen, at, day, value, deviations.deviation[:, at])
    return result


def _mean(evidence: Evidence) -> Values:
    return (evidence.previous + evidence.latest) / 2


def _is_cut(passes: _Passes, value: Values, deviation: Values, annual: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where the last two passes lie far below the one before.

    Those of annual crops show soil. Of permanent crops, the neighbours' fell less, and the passes are near in time.
    """
    import numpy as np

    drop, stays = passes.value[1] - passes.value[0], passes.value[1] - value
    own_drop, own_stays = passes.deviation[1] - passes.deviation[0], passes.deviation[1] - deviation
    own_drop, own_stays = (np.where(np.isfinite(one), one, np.inf) for one in (own_drop, own_stays))
    harvested = (drop >= CUT) & (stays >= STAYS_LOW * drop) & (value <= SOIL)
    mown = (np.minimum(drop, own_drop) >= MOWN) & (np.minimum(stays, own_stays) >= STAYS_LOW * MOWN)
    return np.asarray(np.where(annual, harvested, mown & (passes.day[0] - passes.day[1] <= CUT_D)))


def _is_fall(evidence: Evidence, passes: _Passes, value: Values, annual: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where the last two passes show a fall that the comparison does not explain."""
    import numpy as np

    before = passes.value[1]
    growth = np.maximum((value + passes.value[0]) / 2 - before, 0.0)
    is_fall = (
        (evidence.ratio >= np.where(annual, RATIO, RATIO_PERMANENT) + GROWTH * growth)
        & (_mean(evidence) <= -FALL)
        & (abs(evidence.latest - evidence.previous) <= ALIKE)
        & (value - evidence.latest >= VEGETATED)
    )
    return np.asarray(is_fall & (annual | (before - passes.value[0] < MOWN)))


def _share_of_neighbours(groups: list[Group], where: NDArray[np.bool_], at: int) -> Values:
    """Return which share of its neighbours a field has that are so."""
    import numpy as np

    share = np.zeros(len(where))
    for group in groups:
        here = group.carried[:, at]
        if not here.any():
            continue
        held = picked(np.where(here, where[group.members].astype(float), np.nan), group.near[here])
        known = np.isfinite(held).sum(axis=1)
        enough = np.where(known >= MIN_NEIGHBOURS, np.nansum(held, axis=1) / np.maximum(known, 1), 0.0)
        share[group.members[here]] = enough
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
