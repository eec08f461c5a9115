"""Start, peak and end of a season, from the smoothed series.

The thresholds are those of the Copernicus product HR-VPP (Product User Manual; Tian et al. 2021): the season starts
when the index has risen by 25 % of the amplitude on the left side, and ends when it has fallen to 15 % of that on the
right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from include.satellite.fields.panel import Season, to_date

if TYPE_CHECKING:
    from include.satellite.fields.smoothing import Days, Values

START_SHARE = 0.25
END_SHARE = 0.15
MIN_AMPLITUDE = 0.10
MIN_PASSES = 6
BRACKET_D = 30
"""A date is stated where the clear passes before and after it are at most this many days apart."""
SETTLED_D = 20
"""A season that goes on has ended where passes at least this many days later show no more fall."""


@dataclass
class Phenology:
    """Dates (days since 1970-01-01) and values of a season; None where the data do not allow one, and why."""

    passes: int
    start: int | None = None
    peak: int | None = None
    end: int | None = None
    peak_value: float | None = None
    amplitude: float | None = None
    reasons: list[str] = field(default_factory=list)


def phenology(season: Season, smoothed: Values, first_day: int, clear: Days) -> Phenology:
    """Return the phenology of a season.

    Args:
        season: Its days.
        smoothed: Daily series of its field, (days,), NaN where nothing is known.
        first_day: The day of the first value.
        clear: Days of the field's clear passes, ascending.
    """
    import numpy as np

    within = clear[(clear >= season.first) & (clear <= season.last)]
    result = Phenology(passes=len(within))
    if len(within) < MIN_PASSES:
        result.reasons.append(f"{len(within)} clear passes; {MIN_PASSES} are needed")
        return result
    begin = int(max(within[0], first_day))
    curve = smoothed[begin - first_day : int(within[-1]) - first_day + 1]
    if not np.isfinite(curve).any():
        result.reasons.append("no smoothed value: clear passes are too far apart")
        return result
    top = int(np.nanargmax(curve))
    peak, left, right = float(curve[top]), float(np.nanmin(curve[: top + 1])), float(np.nanmin(curve[top:]))
    rise, fall = peak - left, peak - right
    if max(rise, fall) < MIN_AMPLITUDE:
        result.reasons.append(f"it varies by {max(rise, fall):.2f}; a season varies by {MIN_AMPLITUDE:.2f} or more")
        return result
    if fall < START_SHARE * rise:
        result.reasons.append(f"the peak is not known yet: no fall is seen until {to_date(within[-1])}")
    elif bracketed := _bracketed("peak", begin + top, clear, result):
        result.peak, result.peak_value = bracketed, peak
    if rise < MIN_AMPLITUDE:
        result.reasons.append(f"start: no rise is seen from {to_date(begin)}")
    else:
        below = np.flatnonzero(curve[: top + 1] < left + START_SHARE * rise)
        result.start = _bracketed("start", begin + int(below[-1]) + 1, clear, result)
    low = np.flatnonzero(curve[top:] <= right + END_SHARE * fall)
    end = begin + top + int(low[0])
    if fall < max(MIN_AMPLITUDE, 0.5 * rise):
        result.reasons.append(f"end: the season is not over on {to_date(within[-1])}")
    elif within[-1] < min(end + SETTLED_D, season.last - SETTLED_D):
        result.reasons.append(f"end: no pass {SETTLED_D} days after {to_date(end)} shows that the fall has ended")
    else:
        result.end = _bracketed("end", end, clear, result)
        if result.peak is not None and rise >= MIN_AMPLITUDE:
            result.amplitude = peak - (left + right) / 2
    if result.amplitude is None:
        result.reasons.append("amplitude: it needs the minimum before and the minimum after the peak")
    return result


def _bracketed(name: str, day: int, clear: Days, result: Phenology) -> int | None:
    """Return a day that lies between clear passes which are not too far apart; else state why not."""
    import numpy as np

    after = int(np.searchsorted(clear, day))
    if after == len(clear) or (after == 0 and clear[0] > day):
        return day if after == len(clear) and clear[-1] == day else None
    before = clear[after] if clear[after] == day else clear[after - 1]
    if clear[after] - before <= BRACKET_D:
        return day
    gap = clear[after] - before
    result.reasons.append(f"{name}: no clear pass between {to_date(before)} and {to_date(clear[after])} ({gap} days)")
    return None
