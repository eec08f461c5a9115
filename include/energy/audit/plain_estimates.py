"""The estimates of a household's missing intervals computed a second time, in plain Python.

The rules are those of `include.energy.estimation`, of which only the limits are shared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from fractions import Fraction
from typing import NamedTuple

from include.energy.estimation import LIKE_DAY_SECONDS, LIKE_DAYS_WITHIN, LINEAR_SECONDS
from include.energy.timeline import Timeline


class Advance(NamedTuple):
    """What a register counted while intervals were missing.

    Args:
        start: Of the first interval, seconds since 1970.
        end: Of the last interval; None where it is not known.
        milliwatts: Mean power, if all of the energy had been used in one interval.
    """

    start: int
    end: int | None
    milliwatts: int


class Estimate(NamedTuple):
    """An estimated reading: power in kW, how it was estimated, and how many readings of like days it averages."""

    power: float
    method: str
    like_days: int | None = None


def estimate_plainly(
    household: str,
    series: Sequence[tuple[int, float]],
    timeline: Timeline,
    zone: tzinfo,
    advances: Sequence[Advance],
    limit_kw: float | None,
) -> dict[int, Estimate]:
    """Return the estimate of each interval that has one, by its start (seconds since 1970).

    Args:
        household: Whose readings they are.
        series: Start (seconds since 1970) and power (kW) of each valid reading, in order.
        timeline: The intervals of the households.
        zone: The clock of days.
        advances: Of the household's register.
        limit_kw: What its connection can carry.
    """
    like_days = defaultdict(list)
    for start, power in series:
        day, *key = _place(start, household, timeline, zone)
        like_days[tuple(key)].append((day, _milliwatts(power)))
    plain: dict[int, tuple[Fraction, str, int | None]] = {}
    for first, after, low, high in _gaps(household, series, timeline):
        seconds = timeline.moment(household, after) - timeline.moment(household, first)
        for slot in range(first, after) if seconds <= LIKE_DAY_SECONDS else ():
            if seconds <= LINEAR_SECONDS and low is not None and high is not None:
                share = Fraction(slot - first + 1, after - first + 1)
                plain[slot] = low + (high - low) * share, "linear", None
                continue
            day, *key = _place(timeline.moment(household, slot), household, timeline, zone)
            samples = [power for other, power in like_days[tuple(key)] if abs(other - day) <= LIKE_DAYS_WITHIN]
            if samples:
                plain[slot] = Fraction(sum(samples), len(samples)), "like_day", len(samples)
    estimates = {slot: Estimate(_rounded(power) / 1e6, how, days) for slot, (power, how, days) in plain.items()}
    for advance in advances:
        _scale(household, estimates, timeline, advance, limit_kw)
    return {timeline.moment(household, slot): estimate for slot, estimate in estimates.items()}


def _gaps(
    household: str, series: Sequence[tuple[int, float]], timeline: Timeline
) -> Iterator[tuple[int, int, int | None, int | None]]:
    """Yield the first interval of each gap, the one after its last, and the power (mW) before and after it."""
    next_slot, low = 0, None
    for start, power in series:
        slot = timeline.slot(household, start)
        if slot > next_slot:
            yield next_slot, slot, low, _milliwatts(power)
        next_slot, low = max(slot + 1, next_slot), _milliwatts(power)
    expected = timeline.expected(household, next_slot)
    if expected > next_slot:
        yield next_slot, expected, low, None


def _place(start: int, household: str, timeline: Timeline, zone: tzinfo) -> tuple[int, int, int, int]:
    """Return day, kind of day, second of the day and interval of a reading."""
    local = datetime.fromtimestamp(start, UTC).astimezone(zone)
    slot = timeline.slot(household, start)
    interval = timeline.moment(household, slot + 1) - timeline.moment(household, slot)
    second = local.hour * 3600 + local.minute * 60 + local.second
    return local.toordinal(), max(local.isoweekday(), 5), second, interval


def _scale(
    household: str, estimates: dict[int, Estimate], timeline: Timeline, advance: Advance, limit_kw: float | None
) -> None:
    """Scale the estimates that a register brackets to what it counted, or remove them."""
    first = timeline.slot(household, advance.start)
    after = max(estimates, default=first) + 1 if advance.end is None else timeline.slot(household, advance.end)
    inside = [slot for slot in range(first, after) if slot in estimates]
    lengths = {timeline.moment(household, slot + 1) - timeline.moment(household, slot) for slot in inside}
    mean_kw = advance.milliwatts / 1e6 / max(after - first, 1)
    is_known = advance.end is not None and len(inside) == after - first and len(lengths) == 1
    if not is_known or (limit_kw is not None and mean_kw > limit_kw):
        for slot in inside:
            del estimates[slot]
        return
    weights = {slot: max(estimates[slot].power, 0.0) for slot in inside}
    if not sum(weights.values()):
        weights = dict.fromkeys(inside, 1.0)
    factor = advance.milliwatts / 1e6 / sum(weights.values())
    for slot in inside:
        method = f"{estimates[slot].method}_to_register"
        estimates[slot] = Estimate(weights[slot] * factor, method, estimates[slot].like_days)


def _milliwatts(power: float) -> int:
    return round(power * 1e6)


def _rounded(milliwatts: Fraction) -> int:
    """Return the nearest whole number; of two, the one that is further from zero."""
    nearest = int(abs(milliwatts) + Fraction(1, 2))
    return nearest if milliwatts >= 0 else -nearest
