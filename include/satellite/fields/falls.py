"""Falls of the index: those that neighbours do not explain, and those that a harvest or a cut explains.

Passes are gone through in their order, and what is stated of a pass rests on passes up to it alone: an analysis of next
month finds the same falls at the same dates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.satellite.fields.comparison import MIN_NEIGHBOURS, MIN_SEASONS, SPREAD_FLOOR, picked, robust

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from include.satellite.fields.comparison import Reference, Rows
    from include.satellite.fields.panel import Panel
    from include.satellite.fields.smoothing import Values

FALL = 0.06
"""Smallest fall against the expected value, on two clear passes in a row."""
FALL_Z = 3.0
"""Smallest fall in robust standard deviations of the neighbours' own changes."""
CUT = 0.20
"""A sudden fall of this size is a cut (harvest or mowing), where the season allows one."""
CUT_D = 25
"""The passes before and after a cut are at most this many days apart."""
BEFORE = 5
"""Passes that the expected value rests on; at least `MIN_BEFORE`, each at most `BEFORE_D` days old."""
MIN_BEFORE = 2
BEFORE_D = 75
VEGETATED = 0.35
"""Below this value before the fall, soil is most of what is seen."""
QUIET_D = 30
"""Days for which a further fall of the same field belongs to the same alert."""
HARVEST_SHARE = 0.6
"""Share of an annual season after which a cut is a harvest."""


@dataclass(frozen=True)
class Fall:
    """A fall that a pass confirmed.

    Args:
        field: Row of the field.
        day: The pass that confirmed it.
        since: The first pass that showed it.
        cut: It was sudden and large, at a time when the crop may be cut.
        value: Index on the confirming pass.
        expected: What the comparison let expect there.
        change: Fall against the expected value, negative; of the two passes the smaller one.
        z: The change in robust standard deviations; NaN for a cut.
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


class _History:
    """The last passes of each field, newest first."""

    def __init__(self, fields: int) -> None:
        import numpy as np

        self.difference = np.full((fields, BEFORE + 1), np.nan)
        self.value = np.full((fields, BEFORE + 1), np.nan)
        self.day = np.full((fields, BEFORE + 1), -(10**6))

    def add(self, rows: NDArray[np.bool_], difference: Values, value: Values, day: int) -> None:
        for held, new in ((self.difference, difference), (self.value, value)):
            held[rows] = _shifted(held[rows], new[rows])
        self.day[rows] = _shifted(self.day[rows], day)

    def forget(self, rows: NDArray[np.bool_]) -> None:
        self.difference[rows] = float("nan")


def _shifted(held: Values, new: Values | int) -> Values:
    import numpy as np

    result = np.roll(held, 1, axis=1)
    result[:, 0] = new
    return result


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
    history, season, top = _History(count), np.full(count, -1), np.full(count, -np.inf)
    by_field = _seasons_by_pass(panel)
    share, annual, first = _progress(panel)
    quiet_until, cut_day, sudden_day = (np.full(count, -(10**6)) for _ in range(3))
    result: list[Fall] = []
    for at, day in enumerate(panel.days.tolist()):
        value = panel.values[:, at]
        seen = np.isfinite(value) & (by_field[:, at] >= 0)
        fresh = seen & (by_field[:, at] != season)
        season[fresh], top[fresh] = by_field[fresh, at], -np.inf
        history.forget(fresh & annual[:, at])
        with_near = near.count[:, at] >= MIN_NEIGHBOURS
        reference = np.where(
            with_near, near.median[:, at], np.where(own.count[:, at] >= MIN_SEASONS, own.median[:, at], np.nan)
        )
        difference = value - reference
        level, change = _change(history, difference, value, day)
        compared, middle, spread = _of_neighbours(panel, groups, change, at)
        enough = compared >= MIN_NEIGHBOURS
        unexplained = np.where(enough, change - middle, change)
        scale = np.maximum(np.where(enough, spread, own.spread[:, at]), SPREAD_FLOOR)
        z = unexplained / scale
        known = enough | (own.count[:, at] >= MIN_SEASONS)
        last = history.value[:, 0]
        # A cut: two passes in a row far below the one before them.
        drop = np.minimum(history.value[:, 1] - last, history.value[:, 1] - value)
        sudden = seen & (drop >= CUT) & (history.day[:, 0] - history.day[:, 1] <= CUT_D)
        neighbours_cut = _share_of_neighbours(panel, groups, day - sudden_day <= QUIET_D, at)
        may_be_cut = ~annual[:, at] | (share[:, at] >= HARVEST_SHARE) | (neighbours_cut >= 0.2)
        cut = sudden & may_be_cut & (day - cut_day > CUT_D)
        done = annual[:, at] & ((cut_day >= first[:, at]) | ((share[:, at] >= 0.5) & (level < 0.6 * top)))
        fall = (
            seen & known & ~cut & ~done
            & (unexplained <= -FALL) & (z <= -FALL_Z) & (level >= VEGETATED) & (day > quiet_until)
        )  # fmt: skip
        result.extend(
            Fall(
                field=i,
                day=day,
                since=int(history.day[i, 0]),
                cut=bool(cut[i]),
                value=float(value[i]),
                expected=float(history.value[i, 1] if cut[i] else value[i] - unexplained[i]),
                change=float(-drop[i] if cut[i] else unexplained[i]),
                z=float("nan") if cut[i] else float(z[i]),
                compared=0 if cut[i] else int(compared[i] if enough[i] else own.count[i, at]),
                neighbours=bool(enough[i]),
            )
            for i in np.flatnonzero(cut | fall).tolist()
        )
        quiet_until[fall], cut_day[cut], sudden_day[sudden] = day + QUIET_D, day, day
        history.forget(cut)
        pair = np.where(seen, np.fmin(value, last), -np.inf)
        top = np.where(seen & np.isfinite(pair), np.maximum(top, pair), top)
        history.add(seen, difference, value, day)
    return result


def _change(history: _History, difference: Values, value: Values, day: int) -> tuple[Values, Values]:
    """Return the value before the last two passes, and the smaller change of their differences against earlier ones."""
    import numpy as np

    from include.satellite.fields.comparison import median_of

    recent = day - history.day[:, 1:] <= BEFORE_D
    earlier = np.where(recent, history.difference[:, 1:], np.nan)
    enough = np.isfinite(earlier).sum(axis=1) >= MIN_BEFORE
    before = np.where(enough, median_of(earlier), np.nan)
    level = median_of(np.where(recent, history.value[:, 1:], np.nan))
    return level, np.maximum(difference, history.difference[:, 0]) - before


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


def _seasons_by_pass(panel: Panel) -> Rows:
    """Return the number of the season of each field on each pass, −1 outside seasons."""
    import numpy as np

    number = np.full(panel.values.shape, -1)
    for i, season in enumerate(panel.seasons):
        number[season.field, (panel.days >= season.first) & (panel.days <= season.last)] = i
    return number


def _progress(panel: Panel) -> tuple[Values, NDArray[np.bool_], Rows]:
    """Return of each field and pass the elapsed share of its season, whether it is annual, and its first day."""
    import numpy as np

    shape = panel.values.shape
    share, annual, first = np.zeros(shape), np.zeros(shape, dtype=bool), np.full(shape, 10**6)
    for season in panel.seasons:
        at = np.flatnonzero((panel.days >= season.first) & (panel.days <= season.last))
        share[season.field, at] = (panel.days[at] - season.first) / max(season.last - season.first, 1)
        annual[season.field, at], first[season.field, at] = season.annual, season.first
    return share, annual, first
