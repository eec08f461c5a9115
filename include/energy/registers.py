"""Cumulative registers: from readings of a register to the energy between them."""

from __future__ import annotations

import duckdb

from include.core.errors import BadInputError
from include.core.tables import number_sql
from include.energy.db import count

GAP, RESET = "register_gap", "register_reset"


def take_differences(connection: duckdb.DuckDBPyConnection, files: frozenset[int], where: str) -> int:
    """Replace the readings of registers by the energy until the next reading.

    Creates the table `readings` from the view `timed`, with its columns and `fault`. The energy between two readings
    belongs to the interval that begins with the first. Where more than one interval lies between them, it is not known
    when the energy was used (`register_gap`), and where the second reading is lower, how much it was
    (`register_reset`). The last reading of a household begins no interval, and is left out.

    Args:
        connection: Holds the view `timed`.
        files: Numbers of the files with registers.
        where: What errors call the files.

    Returns:
        How many readings were left out.

    Raises:
        BadInputError: A household has two different readings at one time.
    """
    value = f"({number_sql('power')})"
    is_register = f"file IN ({', '.join(map(str, sorted(files)))})"
    usable = f"{is_register} AND utc IS NOT NULL AND isfinite({value}) AND NOT malformed"
    conflict = connection.execute(f"""
        SELECT household_id, utc, min({value}), max({value}) FROM timed WHERE {usable}
        GROUP BY ALL HAVING max({value}) <> min({value}) LIMIT 1
    """).fetchone()
    if conflict:
        household, time, low, high = conflict
        raise BadInputError(
            f"{where}: household {household}: its register reads {low:g} and {high:g} at {time} UTC; keep one "
            "reading of each time, or choose rows with --where"
        )
    connection.execute(f"""
        CREATE TABLE readings AS
        WITH registers AS (
            SELECT *, {value} AS reading FROM timed WHERE {usable}
            QUALIFY row_number() OVER (PARTITION BY household_id, utc ORDER BY id) = 1
        ), differences AS (
            SELECT *, lead(reading) OVER following - reading AS advance,
                epoch(lead(utc) OVER following - utc) AS step
            FROM registers WINDOW following AS (PARTITION BY household_id ORDER BY utc)
        )
        SELECT * EXCLUDE (reading, advance, step) REPLACE (CAST(round(advance, 9) AS VARCHAR) AS power),
            CASE WHEN advance < 0 THEN '{RESET}' WHEN step <> seconds THEN '{GAP}' END AS fault
        FROM differences WHERE advance IS NOT NULL
        UNION ALL BY NAME SELECT *, NULL AS fault FROM timed WHERE NOT ({usable}) OR ({usable}) IS NULL
    """)
    return count(connection, f"SELECT count(*) FROM timed WHERE {usable}") - count(
        connection, f"SELECT count(*) FROM readings WHERE {usable}"
    )
