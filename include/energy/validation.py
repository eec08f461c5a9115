"""Validation of records: each one of `energy_data.csv` is accepted, rejected with a reason, or outside the window.

Each function creates one table from the one before: `parsed` (in file order) → `ordered` → `accepted` (both by
household and time). After the one sort everything is a scan: neighbours come from streaming windows (`OVER ()`), which
follow a table's own order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import duckdb
import pandas as pd

from include.core.errors import BadInputError
from include.core.run_folder import SOURCE_FOLDER
from include.core.tables import literal, number_sql
from include.core.windows import parse_zone
from include.energy.db import count, temporary_folder, write_table
from include.energy.intervals import choose_intervals
from include.energy.lines import LineFile, inspect
from include.energy.params import AnalyzerParams
from include.energy.schemas import (
    ANOMALY_LABELS,
    COLUMN,
    COLUMNS,
    DATA,
    FLOWS,
    OUTSIDE,
    PROVENANCE,
    QUALITY,
    REJECTED,
    EnergySource,
)
from include.energy.stamp_steps import WHOLE_SECONDS
from include.energy.stamps import plausible
from include.energy.unpack import unpack

PF_LIMIT = 1.02
PF_SURE_VA = 500
PF_LEAST_VA = 50
VOLTAGE_TOLERANCE = 0.10
LARGEST = 1e10
LINES_A_BATCH = 50_000

FAULTS_OF_READINGS = (
    "register_gap",
    "register_reset",
    "superseded",
    "not_installed",
    "missing_export",
    "missing_generation",
)
"""Why a reading does not count although it can be read: see `registers`, `revisions`, `meters` and `conversion`."""
FLAG_ZERO_RUN, FLAG_NOT_ASSESSED, FLAG_SUSPECT, FLAG_ESTIMATED = 16, 32, 64, 128
BITS = {reason: 1 << position for position, reason in enumerate(ANOMALY_LABELS)}

_BLANK = "blank_line"
_ISO = "'%Y-%m-%dT%H:%M:%SZ'"
_ZONED = r":\d\d(\.\d+)?\s*([+-](0\d|1[0-4])(:?[0-5]\d)?|UTC)$"


def parse(db: duckdb.DuckDBPyConnection, file: LineFile, params: AnalyzerParams, source: EnergySource | None) -> None:
    """Create `parsed`: each record in file order with its values, and the reason why it is not accepted.

    `parsed` is a view of the table `parsed_lines`, which holds all lines of the file, also those that are no records,
    with a reason of their own. The number of a line is that of its row there: a table keeps the order of the file,
    though it is read in parallel.

    Columns: line, household, ts (TIMESTAMP, UTC), power (kW), voltage (V), efficiency, quality, flags (bits of the
    anomalies that a record shows by itself, and whether it is suspect), reason (`outside_window`, why it is rejected,
    or NULL where it is accepted); `export` and `generation` (kW) where the file has these columns.
    """
    stated = source.limits_kw if source else {}
    limits = [list(stated), list(stated.values())] if stated else []
    rules = {_BLANK: f"NOT coalesce({file.filled_sql()}, false)"}
    rules |= _rules(file, params, params.required(source.measured if source else None))
    db.execute(f"CREATE TYPE reason AS ENUM ({', '.join(map(literal, rules))}, 'duplicate_timestamp')")
    cases = " ".join(f"WHEN {condition} THEN '{reason}'::reason" for reason, condition in rules.items())
    flows, quality = flows_of(file), [QUALITY] * (QUALITY in file.columns)
    texts = ", ".join(
        f"{_field(file, column)} AS {column}_text" for column in (*COLUMNS, PROVENANCE[2], *quality, *flows)
    )
    low, high = (round(params.nominal_voltage * (1 + sign * VOLTAGE_TOLERANCE), 6) for sign in (-1, 1))
    sound = _sound(params, params.required(source.measured if source else None), flows)
    db.execute(f"""
        CREATE TABLE parsed_lines AS
        WITH texts AS (
            SELECT line, malformed, {texts} FROM ({file.fields_sql(file.lines_sql())})
        ),
        numbers AS (
            SELECT *, {stamp_sql("timestamp_text")} AS stamp,
                {", ".join(f"{number_sql(f'{column}_text')} AS {column}_read" for column in (*COLUMNS[2:], *flows))}
            FROM texts
        ),
        readings AS (
            SELECT *, {plausible("stamp")} AS ts, power_consumption_read AS power,
                {_finite("voltage_read")} AS voltage, {_finite("current_read")} AS amperes,
                abs(voltage * amperes) AS va,
                CASE WHEN {sound} THEN NULL {cases} END AS reason
            FROM numbers
        )
        SELECT reason,
            CASE WHEN NOT malformed THEN household_id_text END AS household,
            CASE WHEN NOT malformed THEN ts END AS ts,
            round(power, 6) + 0 AS power, voltage,
            CASE WHEN va >= {PF_LEAST_VA} THEN round(power * 1000 / va, 4) + 0 END AS efficiency,
            {"quality_text AS quality," if quality else ""}
            {"".join(f"round({flow}_read, 6) + 0 AS {flow}, " for flow in flows)}
            (CASE WHEN voltage < {low} OR voltage > {high} THEN {BITS["voltage_outside_band"]} ELSE 0 END
             + CASE WHEN {_IMPOSSIBLE_POWER_FACTOR} THEN {BITS["power_factor"]} ELSE 0 END
             + {"0" if limits or params.limit_kw is None else _suspect_flag(params)})::UTINYINT AS flags
        FROM readings
    """)
    columns, limited = "*", ""
    if limits:
        db.execute("CREATE TABLE limits AS SELECT unnest(?::VARCHAR[]) AS name, unnest(?::DOUBLE[]) AS kw", limits)
        flags = f"(flags + {_suspect_flag(params, 'kw')})::UTINYINT AS flags"
        columns, limited = f"* EXCLUDE (name, kw) REPLACE ({flags})", "LEFT JOIN limits ON household = name"
    db.execute(f"""
        CREATE VIEW parsed AS
        SELECT parsed_lines.rowid + 1 AS line, {columns}{"" if quality else ", NULL::VARCHAR AS quality"}
        FROM parsed_lines {limited}
        WHERE reason IS DISTINCT FROM '{_BLANK}' AND parsed_lines.rowid >= {file.header_line}
    """)


def forget_parsed(db: duckdb.DuckDBPyConnection) -> None:
    """Remove `parsed`."""
    db.execute("DROP VIEW parsed")
    db.execute("DROP TABLE parsed_lines")


def count_reasons(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return how many records of `parsed` have which reason; those that no rule rejects stand under ""."""
    return dict(db.execute("SELECT coalesce(reason::VARCHAR, ''), count(*) FROM parsed GROUP BY ALL").fetchall())


def stamp_sql(text: str) -> str:
    """Return SQL of a text as a time (TIMESTAMP, UTC), NULL where it is none or names no zone."""
    return f"""CASE
        WHEN ends_with({text}, 'Z') THEN try_cast({text} AS TIMESTAMP)
        WHEN regexp_matches({text}, '{_ZONED}') THEN try_cast({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'
        END"""


_WITHOUT_ZONE = plausible("try_cast(timestamp_text AS TIMESTAMP)")


def _resolution(column: str) -> str:
    """Return half a unit of the last decimal of a reading's text; 0 where it is written with an exponent."""
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


def _rules(file: LineFile, params: AnalyzerParams, required: Sequence[str]) -> dict[str, str]:
    """Return the reasons not to accept a record, each with its SQL condition; the first that holds is the record's.

    A record outside the window is just that, whatever else it holds, as soon as its time can be read.

    Raises:
        BadInputError: The file lacks a required column.
    """
    for column in required:
        file.field_sql(column)
    numbers = [column for column in COLUMNS[2:] if column in required]
    rules = {"malformed_record": "malformed OR source_fault_text = 'malformed_record'"}
    if PROVENANCE[2] in file.columns:
        rules["non_existent_time"] = "source_fault_text = 'non_existent_time'"
    rules["missing_timestamp"] = "timestamp_text IS NULL"
    rules["missing_time_zone"] = f"stamp IS NULL AND {_WITHOUT_ZONE} IS NOT NULL"
    rules["unparsable_timestamp"] = "ts IS NULL"
    if params.start and params.end:
        rules[OUTSIDE] = f"ts < {timestamp(params.start)} OR ts >= {timestamp(params.end)}"
    if PROVENANCE[2] in file.columns:
        rules |= {fault: f"source_fault_text = '{fault}'" for fault in FAULTS_OF_READINGS}
    rules["missing_household_id"] = "household_id_text IS NULL"
    rules |= {f"missing_{column}": f"{column}_text IS NULL" for column in numbers}
    rules |= {f"unparsable_{column}": f"{column}_read IS NULL" for column in numbers}
    rules |= {f"not_finite_{column}": f"NOT abs({column}_read) < {LARGEST:.0f}" for column in numbers}
    if not params.allow_export:
        rules["negative_power"] = "power_consumption_read < 0"
    elif "export" in flows_of(file):  # stated twice, it would count twice
        rules["negative_power"] = "power_consumption_read < 0 AND export_text IS NOT NULL"
    for flow in flows_of(file):
        stated = f"{flow}_text IS NOT NULL"
        rules[f"unparsable_{flow}"] = f"{stated} AND {flow}_read IS NULL"
        rules[f"not_finite_{flow}"] = f"{stated} AND NOT abs({flow}_read) < {LARGEST:.0f}"
        rules[f"negative_{flow}"] = f"{flow}_read < 0"
    return rules


def flows_of(file: LineFile) -> tuple[str, ...]:
    """Return which of export and generation the records state."""
    return tuple(flow for flow in FLOWS if flow in file.columns)


def keep_flows(db: duckdb.DuckDBPyConnection, file: LineFile) -> None:
    """Create `flows` (line, export, generation) from the acceptable records of `parsed` that state one of the two."""
    columns = ", ".join(flow if flow in flows_of(file) else f"NULL::DOUBLE AS {flow}" for flow in FLOWS)
    stated = f"coalesce({', '.join([*flows_of(file), 'NULL::DOUBLE'])}) IS NOT NULL"
    db.execute(f"CREATE TABLE flows AS SELECT line, {columns} FROM parsed WHERE reason IS NULL AND {stated}")


def _suspect_flag(params: AnalyzerParams, own: str = "NULL") -> str:
    """Return SQL of the flag of a reading above the limit of its connection, or above that of all."""
    limit = "NULL" if params.limit_kw is None else params.limit_kw
    return f"CASE WHEN abs(power) > coalesce({own}, {limit}) THEN {FLAG_SUSPECT} ELSE 0 END"


def limit_of(household: str | None, params: AnalyzerParams, source: EnergySource | None) -> float | None:
    """Return what the connection of a household can carry (kW): its own limit, else that of all, else None."""
    own = source.limits_kw.get(household) if source and household else None
    return params.limit_kw if own is None else own


def _sound(params: AnalyzerParams, required: Sequence[str], flows: Sequence[str]) -> str:
    """Return SQL of whether a record breaks none of the rules: what nearly all are is decided first, and fast."""
    numbers = [column for column in COLUMNS[2:] if column in required]
    conditions = ["NOT malformed", "source_fault_text IS NULL", "ts IS NOT NULL", "household_id_text IS NOT NULL"]
    conditions += [f"abs({column}_read) < {LARGEST:.0f}" for column in numbers]
    if params.start and params.end:
        conditions += [f"ts >= {timestamp(params.start)}", f"ts < {timestamp(params.end)}"]
    if not params.allow_export:
        conditions.append("power_consumption_read >= 0")
    elif "export" in flows:
        conditions.append("(power_consumption_read >= 0 OR export_text IS NULL)")
    conditions += [f"({flow}_text IS NULL OR {flow}_read BETWEEN 0 AND {LARGEST - 1:.0f})" for flow in flows]
    return " AND ".join(conditions)


def timestamp(moment: datetime) -> str:
    """Return a moment as an SQL literal, in UTC."""
    return f"TIMESTAMP '{moment.astimezone(UTC).replace(tzinfo=None).isoformat(' ')}'"


def order(db: duckdb.DuckDBPyConnection, timezone: str | None) -> None:
    """Create `ordered` from `parsed`: the records whose household and time are known, and the hour of their week.

    The hour of the week counts from Monday 00:00 of the local clock. Of one stamp, valid records come before suspect
    ones, and these before rejected ones.
    """
    place(db, timezone)
    has_suspects = db.execute(f"SELECT 1 FROM placed WHERE flags & {FLAG_SUSPECT} <> 0 LIMIT 1").fetchone()
    db.execute(f"""
        CREATE TABLE ordered AS
        SELECT household::household AS household, ts, power, voltage, efficiency, quality::quality AS quality, flags,
            hour, line, reason
        FROM placed JOIN clock ON {QUARTER} = quarter
        ORDER BY household, ts, reason IS NOT NULL, {f"flags & {FLAG_SUSPECT}," if has_suspects else ""} line
    """)


def place(db: duckdb.DuckDBPyConnection, timezone: str | None) -> None:
    """Create from `parsed` the view `placed`, the table `clock` and the types `household` and `quality`.

    `placed` holds the records whose household and time are known; the values of `household` and `quality` are theirs,
    in order.
    `clock` holds local time and the hour of the week by quarter of an hour since 1970 (no zone's offset is
    finer today).
    """
    db.execute(f"CREATE VIEW placed AS SELECT * FROM parsed WHERE {_PLACED}")
    clock = db.execute(f"SELECT DISTINCT {QUARTER} AS quarter FROM placed").df()
    utc = pd.to_datetime(clock["quarter"].astype("int64") * 900, unit="s", utc=True)
    local = utc.dt.tz_convert(parse_zone(timezone or "UTC")).dt.tz_localize(None)
    hours = (local.dt.day_of_week * 24 + local.dt.hour).astype("uint8")
    db.from_df(clock.assign(hour=hours, local_time=local)).create("clock")
    db.execute("CREATE TYPE household AS ENUM (SELECT DISTINCT household FROM placed ORDER BY household)")
    qualities = "SELECT DISTINCT quality FROM placed WHERE quality IS NOT NULL"
    db.execute(f"CREATE TYPE quality AS ENUM (SELECT '' UNION ({qualities}) ORDER BY 1)")


QUARTER = "floor(epoch(ts) / 900)::INTEGER"
_PLACED = f"ts IS NOT NULL AND household IS NOT NULL AND (reason IS NULL OR reason <> '{OUTSIDE}')"


def accept(db: duckdb.DuckDBPyConnection, source: EnergySource | None) -> dict[str, int]:
    """Create `accepted` (as `ordered`, one record a household and stamp) and `rejected` (line, reason).

    Of several acceptable records of a household and instant, the first in the file stays, a valid one before a suspect
    one; the others are rejected.

    Args:
        db: Holds `parsed` and `ordered`.
        source: What the generator states of the data; where it states a household's interval, which it inferred from
            all of its data, also outside the window, that counts. Else it is inferred from the records.

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
    stated = {name: source.interval_of(name) if source else None for name, _, _ in differences}
    unstated = [difference for difference in differences if stated[difference[0]] is None]
    inferred = choose_intervals(unstated, DATA.path) if unstated else {}
    _reject_duplicates(db)
    db.execute("DROP VIEW placed")
    return {name: seconds or inferred[name] for name, seconds in stated.items()}


def _reject_duplicates(db: duckdb.DuckDBPyConnection) -> None:
    """Reject each record that repeats the household and instant of another; the first acceptable one in the file stays.

    Creates `rejected` (line, reason), duplicates among them, and `accepted` from `ordered`, which it removes: deleting
    rows takes memory by their number. What to leave out is looked up in a string of bits, for a join would lose the
    order, and a window reads on one core.
    """
    repeats = "reason IS NULL AND household = lag(household) OVER () AND ts = lag(ts) OVER ()"
    db.execute(f"CREATE TEMP TABLE repetitions AS SELECT rowid AS row, line FROM ordered QUALIFY {repeats}")
    db.execute(f"""
        CREATE TABLE rejected AS
        SELECT line, reason FROM parsed WHERE reason <> '{OUTSIDE}'
        UNION ALL SELECT line, 'duplicate_timestamp' FROM repetitions
    """)
    kept, records = "reason IS NULL", count(db, "SELECT count(*) FROM ordered")
    if count(db, "SELECT count(*) FROM repetitions"):
        db.execute(
            f"SET VARIABLE repeated = (SELECT bitstring_agg(row, 0::BIGINT, {records}::BIGINT) FROM repetitions)"
        )
        kept += " AND get_bit(getvariable('repeated'), rowid::INTEGER) = 0"
    db.execute(f"CREATE TABLE accepted AS SELECT * FROM ordered WHERE {kept}")
    for table in ("repetitions", "ordered"):
        db.execute(f"DROP TABLE {table}")


def set_suspects_apart(db: duckdb.DuckDBPyConnection, table: str = "accepted") -> None:
    """Move the suspect records of a table to the table `suspects`, which has the same columns.

    Raises:
        BadInputError: No record is left.
    """
    is_suspect = f"flags & {FLAG_SUSPECT} <> 0"
    db.execute(f"CREATE TABLE suspects AS SELECT * FROM {table} WHERE {is_suspect}")
    suspects = count(db, "SELECT count(*) FROM suspects")
    if suspects:
        db.execute(f"DELETE FROM {table} WHERE {is_suspect}")
    if not count(db, f"SELECT count(*) FROM {table}"):
        raise BadInputError(
            f"{DATA.path}: all {suspects:,} records that could be accepted are above the limit of their connection; "
            "check the unit of the values, or raise --limit-kw"
        )


def write_rejected(db: duckdb.DuckDBPyConnection, data: LineFile, files: Path) -> None:
    """Write `rejected.csv` from the table `rejected` (line of `energy_data.csv`, reason), in that file's order.

    A record that came from a line of an input file is shown as it stands there.
    """
    located = locate_rejected(db, data, files)
    write_table(db, f'SELECT file, line, "column", raw, reason FROM ({located}) ORDER BY position', REJECTED.at(files))


def locate_rejected(db: duckdb.DuckDBPyConnection, data: LineFile, files: Path) -> str:
    """Return SQL of the rejected records: position (line of `energy_data.csv`), file, line, column, raw, reason."""
    source, source_line, column = (_field(data, column) for column in (*PROVENANCE[:2], COLUMN))
    db.execute("CREATE TABLE raw_lines (line_number BIGINT, line VARCHAR)")
    _insert_lines(db, "raw_lines", data, "SELECT line FROM rejected ORDER BY line")
    db.execute(f"""
        CREATE TABLE located AS
        SELECT line_number AS position, raw.line AS raw, reason, {source} AS source,
            try_cast({source_line} AS BIGINT) AS source_line, {column} AS source_column
        FROM ({data.fields_sql("SELECT * FROM raw_lines")}) AS raw JOIN rejected ON line_number = rejected.line
    """)
    db.execute("CREATE TABLE originals (source_line BIGINT, original VARCHAR, source VARCHAR)")
    names = [name for (name,) in db.execute("SELECT DISTINCT source FROM located WHERE source IS NOT NULL").fetchall()]
    with temporary_folder(files) as scratch:
        for name, text in _find_texts(names, files, scratch).items():
            with suppress(BadInputError):  # of another format: the record is shown as energy_data.csv holds it
                numbers = f"SELECT DISTINCT source_line FROM located WHERE source = {literal(name)} AND source_line > 0"
                _insert_lines(db, "originals", inspect(text, name), f"{numbers} ORDER BY 1", name)
    return f"""
        SELECT position, CASE WHEN original IS NULL THEN {literal(data.name)} ELSE source END AS file,
            CASE WHEN original IS NULL THEN position ELSE source_line END AS line,
            CASE WHEN original IS NOT NULL THEN source_column END AS "column", coalesce(original, raw) AS raw, reason
        FROM located LEFT JOIN originals USING (source, source_line)"""


def _find_texts(names: Sequence[str], files: Path, scratch: Path) -> dict[str, Path]:
    """Return the texts of input files by the names that records state: of files, members of archives, sheets."""
    texts: dict[str, Path] = {}
    for name in sorted({name.partition("/")[0] for name in names}):
        path = files / SOURCE_FOLDER / name
        if path.name == name and path.is_file():
            with suppress(BadInputError):
                texts |= {text.name: text.path for text in unpack(path, name, scratch)}
    return {name: texts[name] for name in names if name in texts}


def _insert_lines(db: duckdb.DuckDBPyConnection, table: str, file: LineFile, numbers: str, *more: str) -> None:
    """Insert line numbers and lines of a file, and more values for each, into a table."""
    texts = file.texts_at(_numbers(db, numbers))
    while batch := list(islice(texts, LINES_A_BATCH)):
        frame = pd.DataFrame([(*line, *more) for line in batch], columns=[f"c{n}" for n in range(2 + len(more))])
        db.from_df(frame).insert_into(table)


def _numbers(db: duckdb.DuckDBPyConnection, query: str) -> Iterator[int]:
    """Yield the numbers of a column while the connection is used for something else."""
    with db.cursor() as cursor:
        cursor.execute(query)
        while batch := cursor.fetchmany(LINES_A_BATCH):
            yield from (number for (number,) in batch)


def nothing_accepted(
    db: duckdb.DuckDBPyConnection, data: LineFile, counts: Mapping[str, int], files: Path, params: AnalyzerParams
) -> BadInputError:
    """Return the error for data without an accepted record: the reasons with their counts, and an example line.

    Args:
        db: Holds `parsed`.
        data: The file that was read.
        counts: How many records have which reason.
        files: The run's `files/` folder.
        params: With the window.
    """
    total, outside = sum(counts.values()), counts.get(OUTSIDE, 0)
    parts = []
    if outside and params.start and params.end:
        first, last = db.execute(
            f"SELECT strftime(min(ts), {_ISO}), strftime(max(ts), {_ISO}) FROM parsed WHERE reason = '{OUTSIDE}'"
        ).fetchall()[0]
        parts.append(
            f"{outside} lie outside the window {params.start.isoformat()} to {params.end.isoformat()} "
            f"(they reach from {first} to {last})"
        )
    reasons = {reason: count for reason, count in counts.items() if reason != OUTSIDE}
    parts += [f"{count} × {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
    message = f"{data.name}: none of its {total} records can be accepted: {', '.join(parts)}"
    if reasons:
        first = f"SELECT line, reason FROM parsed WHERE reason <> '{OUTSIDE}' ORDER BY line LIMIT 1"
        db.execute(f"CREATE TABLE rejected AS {first}")
        ((_, file, line, column, raw, reason),) = db.execute(locate_rejected(db, data, files)).fetchall()
        place = f"{file} line {line}" + (f", column {column!r}" if column else "")
        message += f"; for example {place}: {raw!r} ({reason})"
    return BadInputError(message)
