"""CO2 of the energy from the grid, by a file of hourly factors (`--emissions`)."""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb

from include.core.errors import BadInputError
from include.energy.figure_schemas import Emissions, HouseholdEmissions, MonthEmissions, Usage
from include.energy.segments import KWH, Segment, attribute
from include.energy.timeline import EPOCH

HOUR = 3600
UNIT = re.compile(r"(g|kg|t) ?CO2(?:eq|e)? ?/ ?([kM])Wh", re.IGNORECASE)
_GRAMS = {"g": 1.0, "kg": 1e3, "t": 1e6}
MICRO = 1_000_000
"""Factors are whole millionths of g/kWh, so that no sum depends on its order."""


def read_factors(path: Path, name: str) -> dict[int, int]:
    """Read a file of hourly factors: a header that names the unit, then a time with its zone and a factor in each line.

    Args:
        path: The file.
        name: What messages call it.

    Returns:
        By the start of the hour (seconds since `EPOCH`): millionths of g CO2 per kWh.

    Raises:
        BadInputError: It is not such a file; names line, rule and remedy.
    """
    factors: dict[int, int] = {}
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise BadInputError(f"emissions {name}: cannot be read as CSV (UTF-8): {error}") from error
    header = lines[0] if lines else []
    unit = UNIT.search(header[1]) if len(header) == 2 else None
    if unit is None:
        raise BadInputError(
            f"emissions {name}: the first line must be a header of two columns, the second of which names the unit: "
            f"time,gCO2/kWh (found {','.join(header)!r})"
        )
    scale = _GRAMS[unit[1].lower()] / (1e3 if unit[2] == "M" else 1)
    for number, fields in enumerate(lines[1:], 2):
        if not fields:
            continue
        try:
            start, factor = _read(fields)
            if start in factors:
                raise ValueError("another line has this hour already")  # noqa: TRY301 -- all faults name their line
        except ValueError as fault:
            raise BadInputError(f"emissions {name}: line {number}: {fault} (found {','.join(fields)!r})") from fault
        factors[start] = round(factor * scale * MICRO)
    if not factors:
        raise BadInputError(f"emissions {name}: holds no factors")
    return factors


def _read(fields: Sequence[str]) -> tuple[int, float]:
    """Return the start of the hour of a line, and its factor."""
    try:
        text, number = fields
        time, factor = datetime.fromisoformat(text.strip()), float(number)
    except ValueError:
        raise ValueError("must hold a time such as 2026-01-31T13:00:00+01:00 and a number") from None
    if time.tzinfo is None:
        raise ValueError("the time must name its zone: Z, or an offset such as +01:00")
    if not (math.isfinite(factor) and factor >= 0):
        raise ValueError("the factor must not be negative")
    start = int((time.astimezone(UTC) - EPOCH).total_seconds())
    if start % HOUR:
        raise ValueError("the time must be the start of an hour in UTC")
    return start, factor


def segments(factors: dict[int, int], months: Sequence[tuple[date, int, int]]) -> Iterator[Segment]:
    """Yield the hours of months; the key is the month, and whether the hour has a factor.

    Args:
        factors: By the start of the hour.
        months: First day, begin and end (seconds since `EPOCH`).
    """
    for month, begin, finish in months:
        edges = [begin, *range(begin // HOUR * HOUR + HOUR, finish, HOUR), finish]
        for start, end in pairwise(edges):
            factor = factors.get(start // HOUR * HOUR)
            yield Segment(start, end, (month, int(factor is not None)), factor or 0)


def emissions(db: duckdb.DuckDBPyConnection, factors: dict[int, int], name: str, figures: Usage) -> Emissions:
    """Return the CO2 of the energy from the grid; energy of hours without a factor is stated apart.

    Args:
        db: As `include.energy.figures.usage()` leaves it.
        factors: From `read_factors()`.
        name: Of their file.
        figures: Names the households.
    """
    months = db.execute("""
        SELECT month, min(begin), max(finish) FROM calendar
        WHERE month IN (SELECT month FROM days JOIN calendar USING (day)) GROUP BY month ORDER BY month
    """).fetchall()
    energy = attribute(db, segments(factors, months))
    by_month: dict[date, list[int]] = defaultdict(lambda: [0, 0, 0])
    homes = []
    for home in figures.households:
        own = [0, 0, 0]
        for (month, known), (imported, _, weighted) in energy.get(home.household_id, {}).items():
            for sums in (own, by_month[month]):
                sums[0] += imported if known else 0
                sums[1] += 0 if known else imported
                sums[2] += weighted
        homes.append(HouseholdEmissions(household_id=home.household_id, **_values(own)))
    total = [sum(sums) for sums in zip(*by_month.values(), strict=True)] or [0, 0, 0]
    return Emissions(
        file=name,
        first=EPOCH + timedelta(seconds=min(factors)),
        last=EPOCH + timedelta(seconds=max(factors)),
        **_values(total),
        months=[MonthEmissions(month=month, **_values(sums)) for month, sums in sorted(by_month.items())],
        households=homes,
    )


def _values(sums: Sequence[int]) -> dict[str, float]:
    return {
        "energy_kwh": round(sums[0] / KWH, 3),
        "energy_without_factor_kwh": round(sums[1] / KWH, 3),
        "co2_kg": round(sums[2] / KWH / MICRO / 1000, 3),
    }
