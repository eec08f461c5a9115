"""Power over time, on the local clock: profiles, the load curve, the heat map; and the band that voltage has to keep.

Power is summed as whole milliwatts, so that no figure depends on the order in which threads add up.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb

from include.energy.schemas import CurveAnomalies, HeatMap, LoadCurve, VoltageCompliance
from include.energy.validation import BITS, QUARTER, VOLTAGE_TOLERANCE

MILLIWATTS = "sum(round(power * 1e6)::BIGINT)"
MOST_PERIODS = 800
MOST_ROWS = 400
WEEK_SHARE, WEEK_COVERAGE = 0.95, 0.8
MEANS_A_WEEK = 7 * 24 * 6

_DAY = 86400
_MONDAY = 4 * _DAY  # 1970-01-05
_PERIODS = (900, 1800, 3600, 7200, 4 * 3600, 8 * 3600, _DAY, 7 * _DAY, 28 * _DAY, 364 * _DAY)
_ROWS_OF_DAYS = (1, 7, 28, 364)


def hourly_profiles(db: duckdb.DuckDBPyConnection) -> dict[str | None, list[float | None]]:
    """Return the mean power (kW) by hour of the local day: of each household, and a household's on average as None."""
    profiles: dict[str | None, list[float | None]] = {}
    for household, hour, milliwatts, records in db.execute(f"""
        SELECT household::VARCHAR AS home, hour % 24 AS hour_of_day, {MILLIWATTS}, count(*)
        FROM judged GROUP BY GROUPING SETS ((home, hour_of_day), (hour_of_day))
    """).fetchall():
        profiles.setdefault(household, [None] * 24)[hour] = round(milliwatts / records / 1e6, 4)
    return profiles


def summarise_quarters(db: duckdb.DuckDBPyConnection) -> None:
    """Create `quarters`: local time, sum and peak of power by quarter of an hour and anomaly flags."""
    db.execute(f"""
        CREATE TABLE quarters AS
        WITH sums AS (
            SELECT {QUARTER} AS quarter, flags & {sum(BITS.values())} AS flags, {MILLIWATTS} AS milliwatts,
                count(*) AS records, max(power) AS peak
            FROM judged GROUP BY ALL
        )
        SELECT local_time, flags, milliwatts, records, peak FROM sums JOIN clock USING (quarter)
    """)


def load_curve(db: duckdb.DuckDBPyConnection, interval_seconds: int) -> LoadCurve:
    """Return the curve over the whole time, in as many periods as a plot can show."""
    period = _period(db, interval_seconds)
    start = f"(floor((epoch(local_time) - {_MONDAY}) / {period}) * {period} + {_MONDAY})::BIGINT"
    points = db.execute(f"""
        SELECT {start} AS start, sum(milliwatts) / sum(records) / 1e6, max(peak)
        FROM quarters GROUP BY ALL ORDER BY start
    """).fetchall()
    numbers = {start: number for number, (start, _, _) in enumerate(points)}
    anomalies = [
        CurveAnomalies(period=numbers[at], reason=reason, records=records, peak_kw=round(peak, 4))
        for reason, bit in BITS.items()
        for at, records, peak in db.execute(f"""
            SELECT {start} AS start, sum(records)::BIGINT, max(peak) FROM quarters WHERE flags & {bit} <> 0
            GROUP BY ALL ORDER BY start
        """).fetchall()
    ]
    return LoadCurve(
        period_seconds=period,
        start=[_local(start) for start, _, _ in points],
        mean_kw=[round(mean, 4) for _, mean, _ in points],
        peak_kw=[round(peak, 4) for _, _, peak in points],
        anomalies=anomalies,
    )


def _period(db: duckdb.DuckDBPyConnection, interval_seconds: int) -> int:
    (span,) = db.execute("SELECT epoch(max(local_time)) - epoch(min(local_time)) FROM quarters").fetchall()[0]
    fitting = (period for period in _PERIODS if period >= interval_seconds and span / period <= MOST_PERIODS)
    return next(fitting, _PERIODS[-1])


def heat_map(db: duckdb.DuckDBPyConnection) -> HeatMap:
    """Return the mean power by day and hour; by longer periods where days are too many."""
    (span,) = db.execute("SELECT epoch(max(local_time)) - epoch(min(local_time)) FROM quarters").fetchall()[0]
    days = next((days for days in _ROWS_OF_DAYS if span / _DAY / days <= MOST_ROWS), _ROWS_OF_DAYS[-1])
    cells: dict[int, list[float | None]] = {}
    for start, hour, kw in db.execute(f"""
        SELECT (floor((epoch(local_time) - {_MONDAY}) / {days * _DAY}) * {days * _DAY} + {_MONDAY})::BIGINT AS start,
            hour(local_time) AS hour, sum(milliwatts) / sum(records) / 1e6
        FROM quarters GROUP BY ALL ORDER BY start, hour
    """).fetchall():
        cells.setdefault(start, [None] * 24)[hour] = round(kw, 4)
    return HeatMap(period_days=days, start=[_local(start).date() for start in cells], kw=list(cells.values()))


def _local(seconds: int) -> datetime:
    return datetime.combine(date(1970, 1, 1), datetime.min.time()) + timedelta(seconds=seconds)


def coincident_peak(db: duckdb.DuckDBPyConnection) -> tuple[float, int, float]:
    """Return the highest and mean power of all households together (kW), and when the peak was (seconds since 1970)."""
    peak, at, mean = db.execute(f"""
        WITH totals AS (SELECT ts, {MILLIWATTS} AS milliwatts FROM judged GROUP BY ALL)
        SELECT max(milliwatts), epoch(min(ts) FILTER (milliwatts = (SELECT max(milliwatts) FROM totals)))::BIGINT,
            sum(milliwatts) / count(*)
        FROM totals
    """).fetchall()[0]
    return peak / 1e6, at, mean / 1e6


def voltage_compliance(
    db: duckdb.DuckDBPyConnection, intervals: dict[str, int], start: int, end: int, nominal: float
) -> tuple[VoltageCompliance | None, str]:
    """Return the compliance with EN 50160, or None, and a note that says why or on what it rests.

    EN 50160:2010, 4.2.2: during each period of one week 95 % of the 10-minute mean values of the supply voltage shall
    be within ± 10 % of the nominal voltage.

    Args:
        db: Holds `accepted`.
        intervals: Seconds by household.
        start: Where the first week begins, seconds since 1970.
        end: End of the data.
        nominal: Nominal voltage, V.
    """
    fine = [number for number, seconds in enumerate(intervals.values()) if seconds <= 600]
    if not fine:
        return None, "EN 50160 judges 10-minute means; the readings are coarser."
    weeks = (end - start) // (7 * _DAY)
    if weeks < 1:
        return None, "EN 50160 judges whole weeks; the data holds less than seven days."
    low, high = (round(nominal * (1 + sign * VOLTAGE_TOLERANCE), 6) for sign in (-1, 1))
    weeks_of_households = db.execute(f"""
        WITH means AS (
            SELECT household, (epoch(ts)::BIGINT - {start}) // 600 AS ten,
                sum(round(voltage * 1000)::BIGINT) / count(*) / 1000 AS volts
            FROM accepted WHERE voltage IS NOT NULL AND enum_code(household) IN ({", ".join(map(str, fine))})
            GROUP BY ALL
        )
        SELECT household::VARCHAR, ten // {MEANS_A_WEEK} AS week, count(*) AS means,
            count(*) FILTER (volts BETWEEN {low} AND {high}) AS inside
        FROM means WHERE ten < {weeks * MEANS_A_WEEK} GROUP BY ALL HAVING means >= {WEEK_COVERAGE * MEANS_A_WEEK}
    """).fetchall()
    if not weeks_of_households:
        return None, "Voltage is not measured, or no week holds 80 % of its 10-minute means."
    failed = {household for household, _, means, inside in weeks_of_households if inside < WEEK_SHARE * means}
    households = {household for household, _, _, _ in weeks_of_households}
    figure = VoltageCompliance(
        households=len(households),
        compliant_households=len(households - failed),
        weeks=len(weeks_of_households),
        compliant_weeks=sum(inside >= WEEK_SHARE * means for _, _, means, inside in weeks_of_households),
        lowest_share=round(min(inside / means for _, _, means, inside in weeks_of_households), 4),
    )
    return figure, "Weeks count from the start of the window; each holds at least 80 % of its 10-minute means."
