"""Which records count: each one of `energy_data.csv` is accepted, rejected with a reason, or outside the window.

Each function creates one table from the one before: `parsed` (in file order) → `ordered` → `accepted` (both by
household and time). After the one sort everything is a scan: neighbours come from streaming windows (`OVER ()`), which
follow a table's own order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import numpy as np
import pandas as pd

from include.core.sql import literal
from include.core.zones import parse_zone
from include.energy.db import number_sql
from include.energy.interval import WHOLE_SECONDS, choose_intervals
from include.energy.lines import LineFile
from include.energy.results import ANOMALY_REASONS, OUTSIDE, AnalyzerParams
from include.energy.schemas import COLUMNS, PROVENANCE
from include.energy.stamps import plausible

PF_LIMIT = 1.02
PF_SURE_VA = 500
PF_LEAST_VA = 50
VOLTAGE_TOLERANCE = 0.10
LARGEST = 1e10

FLAG_ZERO_RUN, FLAG_NOT_ASSESSED = 16, 32
BITS = {reason: 1 << position for position, reason in enumerate(ANOMALY_REASONS)}

_ZONED = r":\d\d(\.\d+)?\s*([+-](0\d|1[0-4])(:?[0-5]\d)?|UTC)$"


@dataclass(frozen=True)
class Rule:
    """A reason to turn a record down, and the SQL condition that finds it."""

    reason: str
    condition: str


def parse(db: duckdb.DuckDBPyConnection, file: LineFile, params: AnalyzerParams) -> None:
    """Create `parsed`: each record in file order with its values and its verdict (NULL where it is accepted).

    Columns: line, household, ts (TIMESTAMP, UTC), power (kW), voltage (V), efficiency, flags (bits of the anomalies
    that a record shows by itself), verdict (a reason, or `outside_window`).
    """
    rules = _rejections(file, params)
    db.execute(
        f"CREATE TYPE verdict AS ENUM ({', '.join(literal(rule.reason) for rule in rules)}, 'duplicate_timestamp')"
    )
    cases = " ".join(f"WHEN {rule.condition} THEN '{rule.reason}'::verdict" for rule in rules)
    texts = ", ".join(f"{_field(file, column)} AS {column}_text" for column in (*COLUMNS, PROVENANCE[2]))
    low, high = (round(params.nominal_voltage * (1 + sign * VOLTAGE_TOLERANCE), 6) for sign in (-1, 1))
    db.execute(f"""
        CREATE TABLE parsed AS
        WITH texts AS (SELECT line_number, malformed, {texts} FROM ({file.records_sql()})),
        numbers AS (
            SELECT *, {_TIMESTAMP} AS stamp, {", ".join(f"{number_sql(f'{c}_text')} AS {c}_read" for c in COLUMNS[2:])}
            FROM texts
        ),
        readings AS (
            SELECT *, {plausible("stamp")} AS ts, power_consumption_read AS power,
                {_finite("voltage_read")} AS voltage, {_finite("current_read")} AS amperes,
                abs(voltage * amperes) AS va,
                CASE {cases} END AS verdict
            FROM numbers
        )
        SELECT line_number AS line, verdict,
            CASE WHEN NOT malformed THEN household_id_text END AS household,
            CASE WHEN NOT malformed THEN ts END AS ts,
            round(power, 6) + 0 AS power, voltage,
            CASE WHEN va >= {PF_LEAST_VA} THEN round(power * 1000 / va, 4) + 0 END AS efficiency,
            (CASE WHEN voltage < {low} OR voltage > {high} THEN {BITS["voltage_outside_band"]} ELSE 0 END
             + CASE WHEN {_IMPOSSIBLE_POWER_FACTOR} THEN {BITS["power_factor"]} ELSE 0 END)::UTINYINT AS flags
        FROM readings
    """)


_TIMESTAMP = f"""CASE
    WHEN ends_with(timestamp_text, 'Z') THEN try_cast(timestamp_text AS TIMESTAMP)
    WHEN regexp_matches(timestamp_text, '{_ZONED}') THEN try_cast(timestamp_text AS TIMESTAMPTZ) AT TIME ZONE 'UTC'
    END"""


_WITHOUT_ZONE = plausible("try_cast(timestamp_text AS TIMESTAMP)")


def _resolution(column: str) -> str:
    """Half a unit of the last decimal of a reading's text; 0 where it is written with an exponent."""
    text = f"{column}_text"
    decimals = f"CASE WHEN contains({text}, '.') THEN len({text}) - strpos({text}, '.') ELSE 0 END"
    return f"CASE WHEN regexp_matches({text}, '[eE]') THEN 0 ELSE 0.5 * pow(10, -({decimals})) END"


_IMPOSSIBLE_POWER_FACTOR = f"""CASE
    WHEN va IS NULL OR abs(power) * 1000 <= {PF_LIMIT} * va THEN false
    WHEN va >= {PF_SURE_VA} THEN true
    ELSE (abs(power) - {_resolution("power_consumption")}) * 1000
        > {PF_LIMIT} * (abs(voltage) + {_resolution("voltage")}) * (abs(amperes) + {_resolution("current")})
    END"""


def _finite(value: str) -> str:
    return f"CASE WHEN abs({value}) < {LARGEST:.0f} THEN {value} END"


def _field(file: LineFile, column: str) -> str:
    return file.field_sql(column) if column in file.columns else "NULL::VARCHAR"


def _rejections(file: LineFile, params: AnalyzerParams) -> list[Rule]:
    """The rules in the order in which they are asked: the first that holds is a record's verdict.

    A record outside the window is just that, whatever else it holds, as soon as its time can be read.

    Raises:
        BadInputError: The file lacks a required column.
    """
    required = params.required
    for column in required:
        file.field_sql(column)
    numbers = [column for column in COLUMNS[2:] if column in required]
    rules = [Rule("malformed_record", "malformed OR source_fault_text = 'malformed_record'")]
    if PROVENANCE[2] in file.columns:
        rules.append(Rule("non_existent_time", "source_fault_text = 'non_existent_time'"))
    rules += [
        Rule("missing_timestamp", "timestamp_text IS NULL"),
        Rule("missing_time_zone", f"stamp IS NULL AND {_WITHOUT_ZONE} IS NOT NULL"),
        Rule("unparsable_timestamp", "ts IS NULL"),
    ]
    if params.start and params.end:
        rules.append(Rule(OUTSIDE, f"ts < {timestamp(params.start)} OR ts >= {timestamp(params.end)}"))
    rules.append(Rule("missing_household_id", "household_id_text IS NULL"))
    rules += [Rule(f"missing_{column}", f"{column}_text IS NULL") for column in numbers]
    rules += [Rule(f"unparsable_{column}", f"{column}_read IS NULL") for column in numbers]
    rules += [Rule(f"not_finite_{column}", f"NOT abs({column}_read) < {LARGEST:.0f}") for column in numbers]
    if not params.allow_export:
        rules.append(Rule("negative_power", "power_consumption_read < 0"))
    return rules


def timestamp(moment: datetime) -> str:
    """A moment as an SQL literal, in UTC."""
    return f"TIMESTAMP '{moment.astimezone(UTC).replace(tzinfo=None).isoformat(' ')}'"


def order(db: duckdb.DuckDBPyConnection, timezone: str | None) -> None:
    """Create `ordered` from `parsed`: the records whose household and time are known, and the hour of their week.

    The hour of the week counts from Monday 00:00 of the local clock; it comes from `clock`, which holds local time by
    quarter of an hour since 1970 (no zone's offset is finer today). Rejected records follow accepted ones of the same
    stamp.
    """
    db.execute(f"CREATE VIEW placed AS SELECT * FROM parsed WHERE {_PLACED}")
    quarters = db.execute(f"SELECT DISTINCT {QUARTER} AS quarter FROM placed").fetchnumpy()["quarter"]
    quarters = np.asarray(quarters, dtype="int64")
    utc = pd.DatetimeIndex((quarters * 900).astype("datetime64[s]")).tz_localize("UTC")
    local = utc.tz_convert(parse_zone(timezone or "UTC")).tz_localize(None)
    frame = pd.DataFrame({"quarter": quarters, "hour": local.day_of_week * 24 + local.hour, "local_time": local})
    db.register("frame", frame)
    db.execute(
        "CREATE TABLE clock AS SELECT quarter::INTEGER AS quarter, hour::UTINYINT AS hour, local_time FROM frame"
    )
    db.execute("CREATE TYPE household AS ENUM (SELECT DISTINCT household FROM placed ORDER BY household)")
    db.execute(f"""
        CREATE TABLE ordered AS
        SELECT household::household AS household, ts, power, voltage, efficiency, flags, hour, line, verdict
        FROM placed JOIN clock ON {QUARTER} = quarter
        ORDER BY household, ts, verdict IS NOT NULL, line
    """)


QUARTER = "floor(epoch(ts) / 900)::INTEGER"
_PLACED = f"ts IS NOT NULL AND household IS NOT NULL AND (verdict IS NULL OR verdict <> '{OUTSIDE}')"


def accept(db: duckdb.DuckDBPyConnection, where: str, known: Callable[[str], int | None]) -> dict[str, int]:
    """Create `accepted` (as `ordered`, one record a household and stamp), `rejected` (line, verdict) and `households`.

    Of equal stamps the first in the file is kept. `households` holds each household's interval (seconds), the window
    that its records are expected in, and the SQL-side number `code`.

    Args:
        db: Holds `parsed` and `ordered`.
        where: What errors call the data.
        known: A household's interval (seconds) as the generator found it in all of its data, also outside the window;
            None where nobody said, so that it is inferred from the records.

    Returns:
        The interval of each household, in seconds.

    Raises:
        BadInputError: The interval cannot be told.
    """
    differences = db.execute(f"""
        SELECT household::VARCHAR, {WHOLE_SECONDS}, count(*) FROM (
            SELECT household, CASE WHEN household = lag(household) OVER ()
                THEN epoch(ts) - epoch(lag(ts) OVER ()) END AS seconds FROM ordered)
        GROUP BY ALL ORDER BY ALL
    """).fetchall()
    names = dict.fromkeys(household for household, _, _ in differences)
    unknown = [difference for difference in differences if known(difference[0]) is None]
    inferred = choose_intervals(unknown, where) if unknown else {}
    intervals = {name: known(name) or inferred[name] for name in names}
    repeated = "verdict IS NULL AND household = lag(household) OVER () AND ts = lag(ts) OVER ()"
    db.execute(f"""
        CREATE TABLE rejected AS
        SELECT line, verdict FROM parsed WHERE verdict <> '{OUTSIDE}'
        UNION ALL SELECT line, 'duplicate_timestamp' FROM (SELECT *, {repeated} AS repeated FROM ordered) WHERE repeated
    """)
    db.execute(f"""
        DELETE FROM ordered WHERE verdict IS NOT NULL
            OR rowid IN (SELECT row FROM (SELECT rowid AS row, {repeated} AS repeated FROM ordered) WHERE repeated)
    """)
    db.execute("DROP VIEW placed")
    db.execute("ALTER TABLE ordered RENAME TO accepted")
    return intervals


def origins_of(
    db: duckdb.DuckDBPyConnection, intervals: dict[str, int], window: tuple[datetime, datetime] | None
) -> dict[str, int]:
    """Where each household's first interval begins (s since 1970): the window's start, or its own first record."""
    if window:
        return dict.fromkeys(intervals, int(window[0].timestamp()))
    first = dict(db.execute("SELECT household::VARCHAR, epoch(min(ts))::BIGINT FROM accepted GROUP BY ALL").fetchall())
    return {name: first.get(name, 0) for name in intervals}


def slot_sql(intervals: Sequence[int], origins: Sequence[int]) -> str:
    """SQL of the number of the interval that `{ts}` of `household` lies in, 0 for the household's first."""
    code = "[enum_code(household) + 1]"
    return f"((epoch({{ts}})::BIGINT - ({list(origins)}::BIGINT[]){code}) // ({list(intervals)}::BIGINT[]){code})"
