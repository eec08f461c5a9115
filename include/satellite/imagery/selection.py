"""Which dates are fetched: usable ones, the least cloudy, spread over the window rather than bunched."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from include.satellite.imagery.model import Candidate
from include.satellite.params import SelectionParams

CLOSENESS = 40.0
"""A date that touches a chosen one counts as this many percentage points cloudier, falling to none at the distance that
even spreading would leave. Twice the default cloud limit: a usable date in a lonely season goes before another clear
one of a bunch."""


def verdict(clear: float, cloud: float, params: SelectionParams) -> str | None:
    """Why a date is not usable, or None if it is.

    Args:
        clear: Clear share of the area, percent.
        cloud: Cloud share of the area, percent.
        params: The limits.
    """
    if cloud > params.max_cloud_cover:
        return f"cloud over {cloud:.1f} % of the area, at most {params.max_cloud_cover:g} % wanted"
    if clear < params.min_clear:
        return f"only {clear:.1f} % of the area is clear, at least {params.min_clear:g} % wanted"
    return None


def choose(candidates: Iterable[Candidate], target: int, window: timedelta) -> tuple[list[date], list[date]]:
    """Rank the usable dates: again and again the one that is least cloudy, counting closeness to those before it.

    Args:
        candidates: One a day, in any order; unusable ones are passed over.
        target: Dates wanted.
        window: Length of the whole window.

    Returns:
        The chosen dates, ascending, and the others, next best first.
    """
    rest = sorted((each for each in candidates if each.usable), key=lambda each: each.date)
    even = max(window / timedelta(days=1) / target, 1.0)
    penalty = dict.fromkeys((each.date for each in rest), 0.0)
    order: list[date] = []
    while rest:
        best = min(rest, key=lambda each: (each.cloud + penalty[each.date], -each.clear, each.date))
        rest.remove(best)
        order.append(best.date)
        for each in rest:
            gap = abs((each.date - best.date).days)
            penalty[each.date] = max(penalty[each.date], CLOSENESS * (1 - gap / even))
    return sorted(order[:target]), order[target:]
