"""Readings that a better one replaces: measured instead of estimated, then the later export."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from include.core.tables import number_sql

SUPERSEDED = "superseded"


def mark_superseded(
    connection: duckdb.DuckDBPyConnection, readings: str, flows: Sequence[str] = (), *, by_arrival: bool = False
) -> None:
    """Create the table `superseded` (id): readings that another one of their time replaces.

    Of several readings of a household and time that differ, a measured one counts before an estimated one, then the
    one of the file that reaches furthest, then of the file given last. Equal ones are no revision, and neither are
    different ones of one file and quality: they are duplicates, as the analyzer judges them. The files of a feed stand
    in the order in which they arrived, which says more of what is later than how far they reach.

    Args:
        connection: Holds `readings`.
        readings: A table or view with the columns of `located`.
        flows: Its columns of export and generation.
        by_arrival: The file given last counts, however far the others reach.
    """
    later = "file" if by_arrival else "max(utc), file"
    value = f"({number_sql('power')})"
    values = f"[{', '.join(f'({number_sql(column)})' for column in ('power', *flows))}]" if flows else value
    connection.execute(f"""
        CREATE TABLE superseded AS
        WITH reach AS (
            SELECT file, row_number() OVER (ORDER BY {later}) AS rank FROM {readings} GROUP BY file
        ), ranked AS (
            SELECT id, file, estimated, {values} AS number,
                first_value({values}) OVER best AS best_number, first_value(file) OVER best AS best_file,
                first_value(estimated) OVER best AS best_estimated
            FROM {readings} JOIN reach USING (file) WHERE utc IS NOT NULL AND isfinite({value})
            WINDOW best AS (PARTITION BY household_id, utc ORDER BY estimated, rank DESC, id)
        )
        SELECT id FROM ranked
        WHERE number <> best_number AND (file <> best_file OR estimated <> best_estimated)
    """)
