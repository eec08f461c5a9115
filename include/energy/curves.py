"""Power over time, on the local clock: profiles, the load curve, the heat map; and the band that voltage has to keep.

Power is summed as whole milliwatts, so that no figure depends on the order in which threads add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb

from include.energy.db import rows
from include.energy.schemas import CurveAnomalies, HeatMap, LoadCurve, VoltageCompliance
from include.energy.timeline import Timeline
from include.energy.validation import BITS, FLAG_ESTIMATED, QUARTER, VOLTAGE_TOLERANCE

MILLIWATTS = "sum(round(power * 1e6)::BIGINT)"
HOLDS_ESTIMATES = f"bool_or(flags & {FLAG_ESTIMATED} <> 0)"
MOST_PERIODS = 800
MOST_ROWS = 400
WEEK_SHARE, WEEK_COVERAGE = 0.95, 0.8
MEANS_A_WEEK = 7 * 24 * 6

_HOUR, _DAY = 3600, 86400
_PERIODS = (900, 1800, 3600, 7200, 4 * 3600, 8 * 3600, _DAY, 7 * _DAY, 28 * _DAY, 364 * _DAY)


def hourly_profiles(db: duckdb.DuckDBPyConnection, timeline: Timeline) -> dict[str | None, list[float | None]]:
    """Return the mean power (kW) by hour of the local day: of each household, and a household's on average as None.

    Where intervals differ, each reading counts for its own, an hour at most: what a longer one says of other hours is
    not known.
    """
    profiles: dict[str | None, list[float | None]] = {}
    seconds = f"least({_seconds(timeline)}, {_HOUR})"
    for household, hour, work, seconds_in_all in db.execute(f"""
        SELECT home, hour_of_day, sum(milliwatts * seconds)::HUGEINT, sum(records * seconds)::BIGINT FROM (
            SELECT household::VARCHAR AS home, hour % 24 AS hour_of_day, {seconds} AS seconds,
                {MILLIWATTS} AS milliwatts, count(*) AS records
            FROM judged GROUP BY ALL
        ) GROUP BY GROUPING SETS ((home, hour_of_day), (hour_of_day))
    """).fetchall():
        profiles.setdefault(household, [None] * 24)[hour] = round(int(work) / seconds_in_all / 1e6, 4)
    return profiles


def _seconds(timeline: Timeline) -> str:
    """Return SQL of a reading's interval, 1 where all are the same."""
    return "1" if timeline.uniform else "interval_of(household, ts)"


def summarise_quarters(db: duckdb.DuckDBPyConnection, timeline: Timeline) -> None:
    """Create `quarters`: local time, sum and peak of power by quarter of an hour, interval, anomalies, estimates."""
    db.execute(f"""
        CREATE TABLE quarters AS
        WITH sums AS (
            SELECT {QUARTER} AS quarter, flags & {sum(BITS.values()) | FLAG_ESTIMATED} AS flags,
                {_seconds(timeline)} AS seconds, {MILLIWATTS} AS milliwatts, count(*) AS records, max(power) AS peak
            FROM judged GROUP BY ALL
        )
        SELECT local_time, flags, seconds, milliwatts, records, peak FROM sums JOIN clock USING (quarter)
    """)


def _mean_kw(seconds: str) -> str:
    """Return SQL of the mean power of some `quarters`, kW."""
    return f"sum(milliwatts * {seconds})::HUGEINT / sum(records * {seconds}) / 1e6"


def load_curve(db: duckdb.DuckDBPyConnection, interval_seconds: int) -> LoadCurve:
    """Return the curve over the whole time, in as many periods as a plot can show."""
    period, start = _periods(db, interval_seconds, MOST_PERIODS)
    points = db.execute(f"""
        SELECT {start} AS start, {_mean_kw("seconds")}, max(peak), {HOLDS_ESTIMATES} FROM quarters
        GROUP BY ALL ORDER BY start
    """).fetchall()
    numbers = {point[0]: number for number, point in enumerate(points)}
    marks = ", ".join(f"('{reason}', {bit})" for reason, bit in BITS.items())
    anomalies = db.execute(f"""
        SELECT {start} AS start, reason, sum(records)::BIGINT, max(peak)
        FROM quarters JOIN (VALUES {marks}) AS marks (reason, bit) ON flags & bit <> 0
        GROUP BY start, reason, bit ORDER BY bit, start
    """).fetchall()
    return LoadCurve(
        period_seconds=period,
        start=[start for start, *_ in points],
        mean_kw=[round(mean, 4) for _, mean, _, _ in points],
        peak_kw=[round(peak, 4) for _, _, peak, _ in points],
        anomalies=[
            CurveAnomalies(period=numbers[start], reason=reason, records=records, peak_kw=round(peak, 4))
            for start, reason, records, peak in anomalies
        ],
        estimated=[number for number, (*_, estimated) in enumerate(points) if estimated],
    )


def heat_map(db: duckdb.DuckDBPyConnection) -> HeatMap:
    """Return the mean power by day and hour; by longer periods where days are too many."""
    period, start = _periods(db, _DAY, MOST_ROWS)
    cells: dict[datetime, list[float | None]] = {}
    guessed = []
    for row_start, hour, kw, estimated in db.execute(f"""
        SELECT {start} AS start, hour(local_time) AS hour, {_mean_kw(f"least(seconds, {_HOUR})")}, {HOLDS_ESTIMATES}
        FROM quarters GROUP BY ALL ORDER BY start, hour
    """).fetchall():
        cells.setdefault(row_start, [None] * 24)[hour] = round(kw, 4)
        if estimated:
            guessed.append((len(cells) - 1, hour))
    starts = [start.date() for start in cells]
    return HeatMap(period_days=period // _DAY, start=starts, kw=list(cells.values()), estimated=guessed)


def _periods(db: duckdb.DuckDBPyConnection, least: int, most: int) -> tuple[int, str]:
    """Return the shortest period of which not too many make up the whole time, and SQL of a period's start.

    Args:
        db: Holds `quarters`.
        least: Seconds of the shortest period that will do.
        most: How many periods there may be, unless even the longest are more.
    """
    ((span,),) = db.execute("SELECT epoch(max(local_time)) - epoch(min(local_time)) FROM quarters").fetchall()
    fitting = (period for period in _PERIODS if period >= least and span / period <= most)
    period = next(fitting, _PERIODS[-1])
    return period, f"time_bucket(to_seconds({period}), local_time::TIMESTAMP, TIMESTAMP '1970-01-05')"


def coincident_peak(db: duckdb.DuckDBPyConnection, timeline: Timeline) -> tuple[float, int, float]:
    """Return the highest and mean power of all households together (kW), and when the peak was (seconds since 1970).

    The mean is that of the time in which any of them was read.
    """
    peak, at, mean = db.execute(_TOTALS_OF_STAMPS if _stamps_agree(db, timeline) else _TOTALS_OF_CHANGES).fetchall()[0]
    return peak / 1e6, at, mean / 1e6


def _stamps_agree(db: duckdb.DuckDBPyConnection, timeline: Timeline) -> bool:
    """Return whether the intervals of all households begin together."""
    if not timeline.uniform:
        return False
    phase = f"epoch_us(ts) % {timeline.longest * 1_000_000}"
    ((first, last),) = db.execute(f"SELECT min({phase}), max({phase}) FROM judged").fetchall()
    return bool(first == last)


_TOTALS_OF_STAMPS = f"""
    WITH totals AS (SELECT ts, {MILLIWATTS} AS milliwatts FROM judged GROUP BY ALL)
    SELECT max(milliwatts), epoch(min(ts) FILTER (milliwatts = (SELECT max(milliwatts) FROM totals)))::BIGINT,
        sum(milliwatts) / count(*)
    FROM totals
"""
_TOTALS_OF_CHANGES = """
    WITH readings AS (
        SELECT epoch_us(ts) AS start, epoch_us(ts) + 1000000 * interval_of(household, ts) AS finish,
            round(power * 1e6)::BIGINT AS milliwatts
        FROM judged
    ), changes AS (
        SELECT instant, sum(milliwatts) AS milliwatts, sum(readings) AS readings FROM (
            SELECT start AS instant, milliwatts, 1 AS readings FROM readings
            UNION ALL SELECT finish, -milliwatts, -1 FROM readings
        ) GROUP BY instant
    ), totals AS (
        SELECT instant, sum(milliwatts) OVER earlier AS milliwatts, sum(readings) OVER earlier AS readings,
            lead(instant) OVER (ORDER BY instant) - instant AS microseconds
        FROM changes WINDOW earlier AS (ORDER BY instant ROWS UNBOUNDED PRECEDING)
    ), read AS (SELECT * FROM totals WHERE readings > 0)
    SELECT max(milliwatts), min(instant) FILTER (milliwatts = (SELECT max(milliwatts) FROM read)) // 1000000,
        sum(milliwatts * microseconds) / sum(microseconds)
    FROM read
"""


def voltage_compliance(
    db: duckdb.DuckDBPyConnection, intervals: Sequence[int], start: int, end: int, nominal: float
) -> tuple[VoltageCompliance | None, str]:
    """Return the compliance with EN 50160, or None, and a note that says why or on what it rests.

    EN 50160:2010, 4.2.2: during each period of one week 95 % of the 10-minute mean values of the supply voltage shall
    be within ± 10 % of the nominal voltage.

    Args:
        db: Holds `accepted`.
        intervals: Seconds by household, in the order of the type `household`.
        start: Where the first week begins, seconds since 1970.
        end: End of the data.
        nominal: Nominal voltage, V.
    """
    fine = [number for number, seconds in enumerate(intervals) if seconds <= 600]
    if not fine:
        return None, "EN 50160 judges 10-minute means; the readings are coarser."
    weeks = (end - start) // (7 * _DAY)
    if weeks < 1:
        return None, "EN 50160 judges whole weeks; the data holds less than seven days."
    low, high = (round(nominal * (1 + sign * VOLTAGE_TOLERANCE), 6) for sign in (-1, 1))
    chosen = "true" if len(fine) == len(intervals) else f"enum_code(household) IN ({', '.join(map(str, fine))})"
    query = f"""
        WITH ten_minutes AS (
            SELECT household, (epoch(ts)::BIGINT - {start}) // 600 AS ten,
                avg(round(voltage * 1000)) / 1000 AS volts  -- whole millivolts: their sum is exact
            FROM accepted WHERE voltage IS NOT NULL AND {chosen}
            GROUP BY ALL
        ),
        weeks AS (
            SELECT household, ten // {MEANS_A_WEEK} AS week, count(*) AS means,
                count(*) FILTER (volts BETWEEN {low} AND {high}) AS inside,
                inside >= {WEEK_SHARE}::DOUBLE * means AS compliant
            FROM ten_minutes WHERE ten < {weeks * MEANS_A_WEEK} GROUP BY ALL
            HAVING means >= {WEEK_COVERAGE * MEANS_A_WEEK}
        ),
        homes AS (SELECT household, bool_and(compliant) AS compliant FROM weeks GROUP BY ALL)
        SELECT (SELECT count(*) FROM homes) AS households,
            (SELECT count(*) FROM homes WHERE compliant) AS compliant_households,
            count(*) AS weeks, count(*) FILTER (compliant) AS compliant_weeks, min(inside / means) AS lowest_share
        FROM weeks
    """
    (figure,) = rows(db, query)
    if not figure["weeks"]:
        return None, "Voltage is not measured, or no week holds 80 % of its 10-minute means."
    compliance = VoltageCompliance(**figure | {"lowest_share": round(figure["lowest_share"], 4)})
    return compliance, "Weeks count from the start of the window; each holds at least 80 % of its 10-minute means."
