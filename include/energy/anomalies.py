"""Anomalies among accepted records: readings far above what is usual, and readings that do not move.

Creates `judged` from `accepted`: the same records with all their flags, by household and time.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from include.core.tables import literal
from include.energy.validation import BITS, FLAG_NOT_ASSESSED, FLAG_ZERO_RUN

SAMPLES_OF_HOUR, SAMPLES_OF_HOUSEHOLD = 12, 48
MOST_AT_ONCE = 4_000_000
"""Records whose medians are taken at once, unless one household has more: they are held in memory."""
FLAT_SECONDS, FLAT_RECORDS, ZERO_SECONDS = 6 * 3600, 12, 24 * 3600


def judge(db: duckdb.DuckDBPyConnection, threshold: float) -> None:
    """Create `judged` (household, ts, power, efficiency, quality, flags, hour, line) and `runs` from `accepted`.

    Args:
        db: Holds `accepted` and the macros of `include.energy.intervals.draw_timeline()`.
        threshold: How many scales above the median a reading is an outlier.
    """
    find_runs(db)
    _find_typical(db)
    db.execute(f"""
        CREATE TABLE judged AS
        WITH run_rows AS (
            SELECT unnest(range(first_row, first_row + records)) AS run_row,
                CASE WHEN power = 0 THEN {FLAG_ZERO_RUN} ELSE {BITS["flat_line"]} END AS run_flag
            FROM runs
        )
        SELECT household, ts, power, efficiency, quality, hour, line,
            (flags + coalesce(run_flag, 0) + CASE
                WHEN median IS NULL THEN {FLAG_NOT_ASSESSED}
                WHEN (power - median) / scale > {threshold} THEN {BITS["outlier"]} ELSE 0 END)::UTINYINT AS flags
        FROM (SELECT *, row_number() OVER () AS row_number FROM accepted)
        JOIN typical USING (household, hour)
        LEFT JOIN run_rows ON row_number = run_row
        ORDER BY household, ts
    """)


def find_runs(db: duckdb.DuckDBPyConnection) -> None:
    """Create `runs`: where a household's reading stays the same for long (first_row, records, start, end, power).

    A run breaks where the value changes or an interval has no accepted record. It counts from 6 h and 12 records on
    (`flat_line`), with zeros from 24 h on (`zero_run`).
    """
    db.execute(f"""
        CREATE TABLE runs AS
        WITH neighbours AS (
            SELECT row_number() OVER () AS first_row, household, ts, power,
                lag(household) OVER () AS before_household, lag(ts) OVER () AS before_ts,
                lag(power) OVER () AS before_power
            FROM accepted
        ),
        beginnings AS (
            SELECT *, lead(first_row) OVER () AS next_row, lead(before_ts) OVER () AS last_ts FROM neighbours
            WHERE before_ts IS NULL OR before_household <> household OR before_power <> power
                OR slot(household, ts) - slot(household, before_ts) > 1
        ),
        lengths AS (
            SELECT household, first_row, coalesce(next_row, total + 1) - first_row AS records, ts AS start,
                coalesce(last_ts, final_ts) AS last, last + to_seconds(interval_of(household, last)) AS "end", power
            FROM beginnings, (
                SELECT count(*) AS total, max(ts) FILTER (household = (SELECT max(household) FROM accepted)) AS final_ts
                FROM accepted
            )
        )
        SELECT * FROM lengths WHERE CASE
            WHEN power = 0 THEN epoch("end" - start) >= {ZERO_SECONDS}
            ELSE records >= {FLAT_RECORDS} AND epoch("end" - start) >= {FLAT_SECONDS} END
    """)


def _find_typical(db: duckdb.DuckDBPyConnection) -> None:
    """Create `typical`: median and scale (kW) by household and hour of the week, NULL where samples are too few.

    The scale is robust, and wide enough that a home's ordinary evening is no outlier: the greatest of 1.4826·MAD and
    (q90 − q50)/1.2816 (both estimate σ of a normal distribution), a quarter of the median, and 0.05 kW. Where an hour
    of the week has fewer than 12 samples its hour of the day stands in, then the household from 48 samples on.

    Medians hold all their values in memory, so that some households come at a time.
    """
    summary = "count(*) AS n, quantile_cont(power, [0.5, 0.9]) AS q, mad(power) AS mad"
    db.execute("CREATE TABLE typical (household household, hour UTINYINT, median DOUBLE, scale DOUBLE)")
    for first, last in _some_households(db):
        some = f"household BETWEEN {literal(first)} AND {literal(last)}"
        db.execute(f"""
            INSERT INTO typical
            WITH hours AS MATERIALIZED (SELECT household, hour, {summary} FROM accepted WHERE {some} GROUP BY ALL),
            sparse AS MATERIALIZED (
                SELECT household, hour, power FROM accepted
                WHERE {some} AND household IN (SELECT household FROM hours WHERE n < {SAMPLES_OF_HOUR})
            ),
            days AS (SELECT household, hour % 24 AS hour, {summary} FROM sparse GROUP BY ALL),
            wholes AS (SELECT household, {summary} FROM sparse GROUP BY ALL),
            chosen AS (
                SELECT hours.household, hours.hour, CASE
                    WHEN hours.n >= {SAMPLES_OF_HOUR} THEN struct_pack(q := hours.q, mad := hours.mad)
                    WHEN days.n >= {SAMPLES_OF_HOUR} THEN struct_pack(q := days.q, mad := days.mad)
                    WHEN wholes.n >= {SAMPLES_OF_HOUSEHOLD} THEN struct_pack(q := wholes.q, mad := wholes.mad)
                    END AS c
                FROM hours
                LEFT JOIN days ON hours.household = days.household AND hours.hour % 24 = days.hour
                LEFT JOIN wholes ON hours.household = wholes.household
            )
            SELECT household, hour, c.q[1] AS median,
                greatest(1.4826 * c.mad, (c.q[2] - c.q[1]) / 1.2816, 0.25 * abs(c.q[1]), 0.05) AS scale
            FROM chosen
        """)


def _some_households(db: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    """Yield the first and the last of some households, in the order of the type, with not too many records together."""
    counts = db.execute("SELECT household::VARCHAR, count(*) FROM accepted GROUP BY household ORDER BY household")
    first, last, together = "", "", 0
    for household, records in counts.fetchall():
        if first and together + records > MOST_AT_ONCE:
            yield first, last
            first, together = "", 0
        first, last, together = first or household, household, together + records
    if first:
        yield first, last
