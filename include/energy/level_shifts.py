"""Values that become ten times as high, or as low, from one time on: a change of unit within a series.

A file that gives kWh and later tenths of kWh, or Wh, or a meter that counts in another unit after an update, multiplies
all values alike, at night as in the evening. That is what tells it from a home whose use of power changes: then the
load of the quiet hours stays. No figure can tell which of both units is the right one, so this is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from include.core.outcome import Finding
from include.core.tables import number_sql
from include.energy.params import GeneratorParams
from include.energy.schemas import Unit

if TYPE_CHECKING:
    from datetime import date

    import duckdb
    import numpy as np

LEAST, MOST = 3, 14
"""Days with readings that are compared before and after, at least and at most."""
JUMP = 0.3
"""Least difference (powers of ten) between the means of two neighbouring days: the day of the change has both units."""
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
CENTRE, OUTER = 0.25, 0.4
"""Difference of the medians' ratio from a whole power of ten, and of other quantiles' from it (powers of ten)."""
APART = 0.9
"""Share of days whose means lie on their side of the middle."""
SHOWN = 5


class LevelShift(NamedTuple):
    """A day from which the values of a household are multiplied by a power of ten.

    Args:
        household: Whose values.
        day: The first such day, UTC.
        power: Of ten; negative where values become lower.
    """

    household: str
    day: date
    power: int


def level_shift_findings(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], params: GeneratorParams, unit: Unit
) -> Iterator[Finding]:
    """Yield which households' values change by a power of ten.

    Args:
        connection: Holds the view `final`.
        names: Of the files.
        params: `as_mapped` accepts it.
        unit: Of the values.
    """
    shifts = find_level_shifts(connection, unit)
    if not shifts:
        return
    household, day, power = shifts[0]
    file, line = connection.execute(
        "SELECT file, line FROM final WHERE household_id = ? AND utc >= ? ORDER BY id LIMIT 1", [household, day]
    ).fetchall()[0]
    others = [shift.household for shift in shifts[1:]]
    more = f" (and {', '.join(others[:SHOWN])}{' and others' * (len(others) > SHOWN)})" if others else ""
    remedy = (
        "the user insists"
        if params.as_mapped
        else "did the unit or the meter change? Then split the file there and state each part's unit with --unit, or "
        "state the devices' dates and multipliers in --meters; if the use of power changed, accept it with --as-mapped"
    )
    message = (
        f"Household {household}{more}: from {day} on ({names[file]}, line {line}) its values are about "
        f"{10 ** abs(power):,} times as {'high' if power > 0 else 'low'} as before, at low and at high load alike; "
        f"{remedy}."
    )
    yield Finding(severity="info" if params.as_mapped else "warning", message=message)


def find_level_shifts(connection: duckdb.DuckDBPyConnection, unit: Unit) -> list[LevelShift]:
    """Return the first such change of each household.

    Compared are up to 14 days with readings before and after it: the quantiles of all readings above zero. The two
    days around the change are left out, for one of them may have both units.

    Args:
        connection: Holds the view `final`.
        unit: Of the values.
    """
    import numpy as np

    value = f"({number_sql('power')})" + " / seconds" * unit.endswith("Wh")
    known, positive = "household_id IS NOT NULL AND NOT empty AND fault IS NULL", f"isfinite({value}) AND {value} > 0"
    counted = f"{known} AND {positive}"
    daily = connection.execute(
        f"SELECT household_id, CAST(utc AS DATE) AS day, log10(avg({value}) FILTER ({positive})) AS level FROM final "
        f"WHERE utc IS NOT NULL AND {known} GROUP BY ALL HAVING level IS NOT NULL ORDER BY household_id, day"
    ).fetchnumpy()
    households, days, levels = (np.ma.getdata(daily[name]) for name in ("household_id", "day", "level"))
    begins = np.flatnonzero(np.concatenate([[True], households[1:] != households[:-1]]))
    shifts = []
    for begin, end in zip(begins, [*begins[1:], len(levels)], strict=True) if len(levels) else ():
        level, of_days = levels[begin:end], days[begin:end].astype("datetime64[D]")
        for number in _candidates(level):
            before, after = _around(of_days, number)
            bounds = map(str, (before[0], before[-1], after[0], after[-1]))
            if power := _common_power(connection, households[begin], value, counted, *bounds):
                shifts.append(LevelShift(str(households[begin]), of_days[number].item(), power))
                break
    return shifts


def _around(series: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what is compared before and after a day."""
    return series[max(0, number - 1 - MOST) : number - 1], series[number + 1 : number + 1 + MOST]


def _candidates(level: np.ndarray) -> list[int]:
    """Return the days, by number, that may be the first of another unit: medians differ, and days are apart."""
    import numpy as np

    jumps = np.flatnonzero(np.abs(np.diff(level)) >= JUMP) + 1
    found = []
    for number in jumps[(jumps > LEAST) & (jumps < len(level) - LEAST)]:
        before, after = _around(level, number)
        step = float(np.median(after) - np.median(before))
        middle = (np.median(after) + np.median(before)) / 2
        apart = np.mean([*((before < middle) == (step > 0)), *((after > middle) == (step > 0))])
        if round(step) and abs(step - round(step)) <= CENTRE and apart >= APART:
            found.append(int(number))
    return found


def _common_power(connection: duckdb.DuckDBPyConnection, household: str, value: str, counted: str, *bounds: str) -> int:
    """Return the power of ten between the quantiles of two stretches of days; 0 where they do not differ alike."""
    import numpy as np

    quantiles = [
        f"quantile_cont({value}, {list(SHARES)}) FILTER (CAST(utc AS DATE) BETWEEN '{first}' AND '{last}')"
        for first, last in (bounds[:2], bounds[2:])
    ]
    query = f"SELECT {', '.join(quantiles)} FROM final WHERE {counted} AND household_id = ?"
    before, after = connection.execute(query, [household]).fetchall()[0]
    steps = np.log10(np.asarray(after) / np.asarray(before))
    power = round(float(steps[len(steps) // 2]))
    median = steps[len(steps) // 2]
    return power if abs(median - power) <= CENTRE and np.abs(steps - median).max() <= OUTER else 0
