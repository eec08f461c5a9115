"""Seasons that start late: the rise of the index against that of neighbours, or of the field's own seasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from include.satellite.fields.comparison import MIN_NEIGHBOURS, MIN_SEASONS, cohort
from include.satellite.fields.panel import to_date

if TYPE_CHECKING:
    from include.satellite.fields.comparison import Group
    from include.satellite.fields.panel import Panel, Season
    from include.satellite.fields.smoothing import Values

RISE = 0.15
"""The season has started where two clear passes in a row lie this far above the lowest value of the season so far."""
FROM = 0.45
"""A season starts from soil or dormant plants: the lowest value before the rise is at most this."""
LATE_D = 15
"""Smallest lateness against the median, in days; and three robust standard deviations."""
STARTED_SHARE = 0.75
"""Share of the neighbours that have started before one is late."""


@dataclass(frozen=True)
class LateStart:
    """A season that had not started when it was due.

    Args:
        field: Row of the field.
        day: First clear pass after the limit.
        expected: Day on which the comparison started.
        limit: Day after which the start is late.
        value: Index on that pass.
        compared: How many neighbours, or own seasons, it was compared with.
        neighbours: It was compared with neighbours, not with own seasons.
    """

    field: int
    day: int
    expected: int
    limit: int
    value: float
    compared: int
    neighbours: bool


def late_starts(panel: Panel, groups: list[Group]) -> list[LateStart]:
    """Return the late starts of all fields."""
    import numpy as np

    risen = [_risen(panel, season) for season in panel.seasons]
    near = {
        (group.crop, group.year, int(member)): group.members[rows[rows >= 0]]
        for group in groups
        for member, rows in zip(group.members, group.near, strict=True)
    }
    by_field: dict[tuple[int, int], list[int]] = {}
    for number, season in enumerate(panel.seasons):
        by_field.setdefault((season.field, season.crop), []).append(number)
    result = []
    for number, season in enumerate(panel.seasons):
        if season.crop < 0:
            continue
        others = [
            risen[other]
            for field in near[season.crop, cohort(panel, season), season.field].tolist()
            for other in by_field.get((field, season.crop), [])
            if _overlap(panel.seasons[other], season) and risen[other] != NEVER_SEEN
        ]
        with_neighbours = len(others) >= MIN_NEIGHBOURS
        if not with_neighbours:
            others = [
                risen[other] + _years_later(panel.seasons[other], season)
                for other in by_field[season.field, season.crop]
                if panel.seasons[other].first < season.first and NEVER_SEEN < risen[other] < np.inf
            ]
            if len(others) < MIN_SEASONS:
                continue
        early, middle, most = np.quantile(others, [0.25, 0.5, STARTED_SHARE], method="lower")
        if not np.isfinite(middle):
            continue
        limit = max(most, middle + max(LATE_D, 3 * 1.4826 * (middle - early)))
        at = np.flatnonzero(
            (panel.days > limit) & (panel.days <= season.last) & np.isfinite(panel.values[season.field])
        )
        if not len(at) or risen[number] <= panel.days[at[0]]:
            continue
        before = panel.values[season.field, (panel.days >= season.first) & (panel.days < middle)]
        value = float(panel.values[season.field, at[0]])
        if value < min(FROM, float(np.fmin.reduce(before, initial=np.inf))) + RISE and np.isfinite(before).any():
            result.append(
                LateStart(
                    field=season.field,
                    day=int(panel.days[at[0]]),
                    expected=int(middle),
                    limit=int(limit),
                    value=value,
                    compared=len(others),
                    neighbours=with_neighbours,
                )
            )
    return result


NEVER_SEEN = -1.0


def _risen(panel: Panel, season: Season) -> float:
    """Return the day on which a season started; infinite if it has not.

    `NEVER_SEEN` without three clear passes, or where the index was not low before.
    """
    import numpy as np

    within = np.flatnonzero(
        (panel.days >= season.first) & (panel.days <= season.last) & np.isfinite(panel.values[season.field])
    )
    if len(within) < 3:
        return NEVER_SEEN
    values: Values = panel.values[season.field, within]
    lowest = np.minimum.accumulate(np.maximum(values[1:], values[:-1]))
    if lowest[-1] > FROM:
        return NEVER_SEEN
    up = np.flatnonzero(np.minimum(values[1:], values[:-1])[1:] >= lowest[:-1] + RISE)
    return float(panel.days[within[up[0] + 2]]) if len(up) else np.inf


def _overlap(one: Season, other: Season) -> bool:
    """Return whether at least half of the shorter season lies within the other."""
    common = min(one.last, other.last) - max(one.first, other.first)
    return common >= 0.5 * min(one.last - one.first, other.last - other.first)


def _years_later(earlier: Season, later: Season) -> int:
    """Return the days of the full years between two seasons."""
    years = round((later.first - earlier.first) / 365.25)
    begin = to_date(earlier.first)
    return (begin + timedelta(days=365.25 * years) - begin).days
