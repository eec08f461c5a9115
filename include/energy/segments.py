"""Energy by segments of time, such as the bands of a tariff: each reading's energy is split in proportion to time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import duckdb

KWH = 3_600_000_000
"""Milliwatt-seconds."""
Key = tuple[date, int]
"""The first day of a month, and what else energy is added up by."""


class Segment(NamedTuple):
    """A stretch of time.

    Args:
        begin: Seconds since `include.energy.timeline.EPOCH`.
        end: Likewise.
        key: What it is added up under.
        weight: Whole number by which its energy is also added up.
    """

    begin: int
    end: int
    key: Key
    weight: int = 0


Sums = tuple[int, int, int]
"""Energy taken from the grid and fed into it (mW·s), and the former times its segments' weights."""


def attribute(db: duckdb.DuckDBPyConnection, segments: Iterable[Segment]) -> dict[str, dict[Key, Sums]]:
    """Return the energy of each household by the keys of the segments that its readings lie in.

    Args:
        db: Holds `readings` (see `include.energy.figures.usage()`).
        segments: They do not overlap. What lies in none is left out.
    """
    import pandas as pd

    table = pd.DataFrame(segments, columns=pd.Index(Segment._fields))
    table = table[table["end"] > table["begin"]]
    numbers, keys = pd.factorize(table["key"])
    db.from_df(table.assign(key=numbers)).create("segments")
    db.execute("""
        CREATE TABLE parts AS
        SELECT start, seconds, key, sum(overlap)::HUGEINT AS overlap,
            sum(overlap::HUGEINT * weight)::HUGEINT AS weighted
        FROM (
            SELECT start, seconds, key, weight, least("end", start + seconds) - greatest("begin", start) AS overlap
            FROM (SELECT DISTINCT start, seconds FROM readings) JOIN segments
                ON "begin" < start + seconds AND "end" > start
        ) GROUP BY ALL
    """)
    sums = db.execute("""
        SELECT household::VARCHAR, key, sum(greatest(work, 0) * overlap), sum(coalesce(exported, 0) * overlap),
            sum(greatest(work, 0) * weighted)
        FROM readings JOIN parts USING (start, seconds) GROUP BY ALL ORDER BY ALL
    """).fetchall()
    db.execute("DROP TABLE segments")
    db.execute("DROP TABLE parts")
    energy: dict[str, dict[Key, Sums]] = {}
    for household, number, imported, exported, weighted in sums:
        energy.setdefault(household, {})[keys[number]] = (int(imported), int(exported), int(weighted))
    return energy
