"""The last days compared with those before them and with those of a year before, by weekday, like with like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Literal

from include.energy.figure_schemas import Comparison, Total

PERIODS = (364, 28, 7)
"""Days: whole weeks, so that each day is compared with the same weekday."""
YEAR = 364
COVERAGE_NEEDED, DAYS_NEEDED = 0.95, 0.5


def compare(days: Sequence[Total]) -> Iterator[Comparison]:
    """Yield the comparison of the last days with the period before, and with the same days of the year before.

    A day counts if it and the one that it is compared with have a coverage of 95 % or more. Where less than half of the
    days count, there is no change, and a note says why.

    Args:
        days: Totals of days, oldest first.
    """
    if not days:
        return
    reach = (days[-1].start - days[0].start).days + 1
    length = next((period for period in PERIODS if reach >= 2 * period), PERIODS[-1])
    if length < YEAR:
        yield _compare(days, length, length, "period before")
    yield _compare(days, length, YEAR, "year before")


def _compare(
    days: Sequence[Total], length: int, shift: int, kind: Literal["period before", "year before"]
) -> Comparison:
    by_date = {total.start: total for total in days}
    end = days[-1].start
    dates = [end - timedelta(days=number) for number in reversed(range(length))]
    pairs = [(by_date.get(date), by_date.get(date - timedelta(days=shift))) for date in dates]
    alike = [
        (now, before)
        for now, before in pairs
        if now and before and min(now.coverage, before.coverage) >= COVERAGE_NEEDED
    ]
    known = [before for _, before in pairs if before]
    note = None
    if not known:
        note = f"The data do not reach {shift} days back."
    elif len(alike) < DAYS_NEEDED * length:
        note = f"Only {len(alike)} of {length} days have enough readings in both periods."
    now_kwh, before_kwh = (round(sum(pair[number].energy_kwh for pair in alike), 3) for number in (0, 1))
    comparable = note is None
    return Comparison(
        with_the=kind,
        first=dates[0],
        last=end,
        days_back=shift,
        days=length,
        days_compared=len(alike),
        energy_kwh=now_kwh if comparable else None,
        energy_before_kwh=before_kwh if comparable else None,
        change=round(now_kwh / before_kwh - 1, 4) if comparable and before_kwh > 0 else None,
        note=note,
    )
