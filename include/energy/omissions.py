"""Intervals that an exporter leaves out because nothing was used in them, where the user says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.core.errors import BadInputError
from include.core.outcome import Finding

if TYPE_CHECKING:
    import duckdb

OMITTED = "zero: left out of the file"
"""How the quality of such a reading is stated."""


def zeros_sql(connection: duckdb.DuckDBPyConnection, where: str) -> str:
    """Return SQL of a reading of zero for each interval of a household that has none, with the columns of `timed`.

    They lie between the first and the last reading of the household. An interval with an empty cell is not left out of
    the file, so it stays without a reading.

    Args:
        connection: Holds `timed`.
        where: What errors call the files.

    Raises:
        BadInputError: A household's interval changes: how many readings are left out is open.
    """
    sound = "household_id IS NOT NULL AND utc IS NOT NULL"
    changing = connection.execute(
        f"SELECT household_id FROM timed WHERE {sound} GROUP BY 1 HAVING count(DISTINCT seconds) > 1 ORDER BY 1 LIMIT 1"
    ).fetchall()
    if changing:
        raise BadInputError(
            f"{where}: household {changing[0][0]}: its interval changes, so it is open how many readings are left out; "
            "run each stretch by itself, or leave out --zeros-omitted"
        )
    return f"""
        SELECT household_id, utc, seconds, '0' AS power, '{OMITTED}' AS quality, false AS malformed, false AS estimated,
            false AS empty, (SELECT max(id) FROM timed) + row_number() OVER (ORDER BY household_id, utc) AS id
        FROM (
            SELECT household_id, any_value(seconds) AS seconds,
                unnest(generate_series(min(utc), max(utc), to_seconds(any_value(seconds)))) AS utc
            FROM timed WHERE {sound} GROUP BY household_id
        ) ANTI JOIN timed USING (household_id, utc)
    """


def omission_finding(zeros: int) -> Finding:
    """Return the finding that says how many intervals count as zero."""
    message = (
        f"{zeros:,} intervals that the files leave out were read as zero, for the user says that zeros are omitted; "
        f"their quality is '{OMITTED}'."
    )
    return Finding(severity="warning" if zeros else "info", message=message)
