"""Estimation of missing intervals, only where users ask for it: interpolation, the average of like days, nothing.

Standards of meter-data management estimate short gaps by linear interpolation and longer ones by like days, for example
California's "Standards for Validating, Editing, and Estimating Monthly and Interval Data" and, for like days, the
Electricity Industry (Metering) Code 2012 of Western Australia (appendix 3, method 14). The limits below are this
project's. A gap is a run of intervals without a valid reading.

- Up to 2 hours, with a valid reading on each side: on the line between the two (`linear`).
- Up to 7 days: the mean of the valid readings of the same time of day, within 28 days, on days of the same kind (Monday
  to Friday, Saturday, Sunday) of the local clock (`like_day`). Public holidays count as the days of the week they are.
  How many readings each of these estimates averages is counted (`estimated_by_like_days`): one is enough, and is said.
- Longer gaps, and intervals without such a reading, stay missing.

Where a register was read before and after some missing intervals, their energy is known. Their estimates are scaled to
it, to the milliwatt (`…_to_register`); where that cannot be, for an estimate of them is missing, for the time of the
second reading is not known, or for the connection cannot carry so much, they stay missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pandas as pd

from include.core.windows import parse_zone
from include.energy.params import AnalyzerParams
from include.energy.registers import GAP
from include.energy.schemas import TO_REGISTER, EnergySource
from include.energy.timeline import Timeline
from include.energy.validation import FLAG_ESTIMATED, QUARTER, limit_of

LINEAR_SECONDS = 2 * 3600
LIKE_DAY_SECONDS = 7 * 86400
LIKE_DAYS_WITHIN = 28
DAY = 86400


def find_advances(db: duckdb.DuckDBPyConnection) -> None:
    """Create `advances` (household, ts, "end", milliwatts): what registers counted while intervals were missing.

    The energy is that of the mean power over one interval, as `include.energy.registers` states it: milliwatts times
    the interval. The end is that of the next record of the household; NULL where there is none.

    Args:
        db: Holds `placed`, where records that stand for a gap of a register have the reason `register_gap`.
    """
    db.execute(f"""
        CREATE TABLE advances AS
        SELECT household::household AS household, ts, "end", round(power * 1e6)::HUGEINT AS milliwatts FROM (
            SELECT household, ts, power, reason, lead(ts) OVER (PARTITION BY household ORDER BY ts) AS "end"
            FROM placed WHERE household IN (SELECT household FROM placed WHERE reason::VARCHAR = '{GAP}')
        ) WHERE reason::VARCHAR = '{GAP}'
    """)


def estimate(
    db: duckdb.DuckDBPyConnection, timeline: Timeline, params: AnalyzerParams, source: EnergySource | None
) -> None:
    """Create `estimates` (household, ts, power, method, like_days, hour, flags) for intervals without a valid record.

    `like_days` is how many readings of like days an estimate averages; NULL for those on a line.

    `clock` gains the local times of these intervals.

    Args:
        db: Holds `accepted` (valid records), `advances`, `clock` and the macros of
            `include.energy.timeline.draw_timeline()`.
        timeline: The intervals of the households.
        params: The local clock of days and hours, and what a connection can carry.
        source: What single connections can carry.
    """
    _find_gaps(db, timeline)
    db.execute(f"""
        CREATE TABLE targets AS
        SELECT *, start_of(household, slot) AS ts, interval_of(household, ts) AS seconds,
            {QUARTER} AS quarter FROM (
            SELECT household, first, after, low, high, unnest(range(first, after)) AS slot,
                epoch(start_of(household, after) - start_of(household, first)) AS gap_seconds
            FROM gaps
        ) WHERE gap_seconds <= {LIKE_DAY_SECONDS}
    """)
    _extend_clock(db, params.timezone)
    db.execute(f"""
        CREATE TABLE plain_estimates AS
        WITH local AS ({_local_sql("targets")}),
        days AS ({_local_sql("(SELECT * FROM accepted WHERE household IN (SELECT household FROM targets))")}),
        averages AS (
            SELECT local.household, local.slot, sum(round(days.power * 1e6)::BIGINT) / count(*) AS milliwatts,
                count(*) AS like_days
            FROM local JOIN days ON local.household = days.household AND local.kind = days.kind
                AND local.second = days.second AND local.seconds = days.seconds
                AND abs(local.day - days.day) <= {LIKE_DAYS_WITHIN}
            GROUP BY ALL
        ),
        methods AS (
            SELECT targets.*, gap_seconds <= {LINEAR_SECONDS} AND low IS NOT NULL AND high IS NOT NULL AS is_linear,
                milliwatts AS like_day, like_days
            FROM targets LEFT JOIN averages ON targets.household = averages.household AND targets.slot = averages.slot
        )
        SELECT household, ts, slot, first, seconds, quarter,
            CASE WHEN is_linear THEN 'linear' ELSE 'like_day' END AS method,
            CASE WHEN NOT is_linear THEN like_days END AS like_days,
            round(CASE WHEN is_linear THEN low + (high - low) * (slot - first + 1) / (after - first + 1)
                ELSE like_day END)::BIGINT AS milliwatts
        FROM methods WHERE is_linear OR like_day IS NOT NULL
    """)
    _scale_to_registers(db, {home: limit_of(home, params, source) for home in timeline.stretches})
    db.execute(f"""
        CREATE TABLE estimates AS
        SELECT household, ts, milliwatts / 1e6 AS power, method, like_days, hour, {FLAG_ESTIMATED}::UTINYINT AS flags
        FROM scaled JOIN clock USING (quarter) ORDER BY household, ts
    """)
    for table in ("gaps", "targets", "plain_estimates", "scaled", "carried"):
        db.execute(f"DROP TABLE {table}")


def _find_gaps(db: duckdb.DuckDBPyConnection, timeline: Timeline) -> None:
    """Create `gaps`: number of the first interval and of that after the last, and power (mW) before and after."""
    db.execute("""
        CREATE TABLE gaps AS
        WITH slots AS (
            SELECT household, slot(household, ts) AS slot, round(power * 1e6)::BIGINT AS milliwatts FROM accepted
        ),
        neighbours AS (
            SELECT *, lag(household) OVER () IS NOT DISTINCT FROM household AS follows,
                lag(slot) OVER () AS before, lag(milliwatts) OVER () AS low
            FROM slots
        )
        SELECT household, CASE WHEN follows THEN before + 1 ELSE 0 END AS first, slot AS after,
            CASE WHEN follows THEN low END AS low, milliwatts AS high
        FROM neighbours WHERE slot > first
    """)
    query = """
        SELECT household::VARCHAR, max(slot(household, ts)) + 1, round(max_by(power, ts) * 1e6)::BIGINT
        FROM accepted GROUP BY household
    """
    ends: list[tuple[Any, ...]] = [
        (household, end, expected, low)
        for household, end, low in db.execute(query).fetchall()
        if (expected := timeline.expected(household, end)) > end
    ]
    if ends:
        db.executemany("INSERT INTO gaps VALUES (?, ?, ?, ?, NULL)", ends)


def _extend_clock(db: duckdb.DuckDBPyConnection, timezone: str | None) -> None:
    """Add to `clock` the local times of the intervals to estimate, as `include.energy.validation.place()` does."""
    quarters = db.execute("SELECT DISTINCT quarter FROM targets ANTI JOIN clock USING (quarter)").df()
    utc = pd.to_datetime(quarters["quarter"].astype("int64") * 900, unit="s", utc=True)
    local = utc.dt.tz_convert(parse_zone(timezone or "UTC")).dt.tz_localize(None)
    hours = (local.dt.day_of_week * 24 + local.dt.hour).astype("uint8")
    db.from_df(quarters.assign(hour=hours, local_time=local)).insert_into("clock")


def _local_sql(table: str) -> str:
    """Return SQL of a table with day (number), second of the day and kind of day of the local clock."""
    local = f"epoch(local_time)::BIGINT + epoch(ts)::BIGINT - {QUARTER}::BIGINT * 900"
    weekday = "(day + 3) % 7"  # 1970 began on a Thursday; 5 and 6 are Saturday and Sunday
    return f"""
        SELECT here.*, {"interval_of(household, ts) AS seconds," if table != "targets" else ""}
            ({local}) // {DAY} AS day, ({local}) % {DAY} AS second,
            CASE WHEN {weekday} >= 5 THEN {weekday} ELSE 0 END AS kind
        FROM {table} AS here JOIN clock ON {QUARTER} = clock.quarter
    """


def _scale_to_registers(db: duckdb.DuckDBPyConnection, limits: Mapping[str, float | None]) -> None:
    """Create `scaled` from `plain_estimates`: with what registers counted, exactly, where `advances` know it.

    Each value is a difference of rounded running sums, so that the values add up.
    """
    db.execute(
        "CREATE TABLE carried AS SELECT unnest(?::VARCHAR[])::household AS household, unnest(?::DOUBLE[]) AS kw",
        [list(limits), list(limits.values())],
    )
    part = "round(({})::DOUBLE * total / weights)::HUGEINT"
    db.execute(f"""
        CREATE TABLE scaled AS
        WITH brackets AS (
            SELECT household, slot(household, ts) AS first, slot(household, "end") AS after, milliwatts,
                coalesce(milliwatts <= kw * 1e6 * (after - first), true) AS fits
            FROM advances JOIN carried USING (household)
        ),
        bracketed AS (
            SELECT plain_estimates.*, brackets.first AS bracket, after, brackets.milliwatts AS total, fits
            FROM plain_estimates LEFT JOIN brackets ON plain_estimates.household = brackets.household
                AND slot >= brackets.first AND (after IS NULL OR slot < after)
        ),
        weighted AS (
            SELECT *, CASE WHEN sum(greatest(milliwatts, 0)) OVER whole > 0 THEN greatest(milliwatts, 0) ELSE 1 END
                AS weight, count(*) OVER whole = after - bracket AND min(seconds) OVER whole = max(seconds) OVER whole
                AND fits AS is_known
            FROM bracketed WHERE bracket IS NOT NULL WINDOW whole AS (PARTITION BY household, bracket)
        ),
        summed AS (
            SELECT *, sum(weight) OVER whole AS weights,
                sum(weight) OVER (PARTITION BY household, bracket ORDER BY slot) AS running
            FROM weighted WHERE is_known WINDOW whole AS (PARTITION BY household, bracket)
        )
        SELECT household, ts, quarter, method, like_days, milliwatts FROM bracketed WHERE bracket IS NULL
        UNION ALL
        SELECT household, ts, quarter, method || '{TO_REGISTER}', like_days,
            ({part.format("running")} - {part.format("running - weight")})::BIGINT
        FROM summed
    """)
