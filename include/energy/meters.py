"""People's own meter files, converted to `energy_data.csv`; every record is passed on, faulty ones too.

What is converted: the stamp, to the start of its interval in UTC; energy or megawatts, to kW; household, voltage and
current are taken as they are. What cannot be converted is passed on as the text that was found, and the analyzer
judges it. Three more columns follow the five: `source_file`, `source_line` (line number in that file) and
`source_fault`: `malformed_record` (more or fewer fields than the header; the five columns are empty),
`non_existent_time` (the zone's clocks skip that time; the stamp stays as found), or empty.

Stamps may read `2026-03-29T14:30:00+02:00` (or `Z`), or without a zone `2026-03-29 14:30[:00]`, `29.03.2026 14:30`,
or a date alone. In files with `;` as delimiter, a number may have a decimal comma. Where a household gives a local time
twice at the end of daylight saving, the one that stands first in the files is the first occurrence; a lone one is the
second occurrence if the same or a later time of that hour stands before it. In a file that runs mostly backwards in
time, it is the other way round.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import duckdb

from include.core.errors import BadInputError
from include.core.sql import literal
from include.energy.columns import OWN_COLUMNS, ColumnMapping, PowerField, parse_columns
from include.energy.db import connect, count, number_sql, write_csv
from include.energy.interval import infer_intervals
from include.energy.lines import LineFile, inspect
from include.energy.schemas import EnergySource, GeneratorParams, SourceFile
from include.energy.stamps import CLOCK_SQL, ZONED_SQL, iso, locate, plausible, zone_findings


def convert(files: Path, params: GeneratorParams) -> EnergySource:
    """Convert `source/<name>` for each name in `params.files` to `energy_data.csv`.

    Args:
        files: The run's folder.
        params: `csv` (at least one), `columns`, `timezone` and `stamp` count.

    Returns:
        Where the records came from, and what was done to them.

    Raises:
        BadInputError: A file cannot be read, lacks a column, has no readable stamp, needs a zone, or its readings have
            no common interval.
    """
    mapping = parse_columns(params.columns) if params.columns else OWN_COLUMNS
    sources = [inspect(files / "source" / name, name) for name in params.files]
    for source in sources:
        _require_columns(source, mapping, own=params.columns is None)
    with connect(files) as connection:
        _read(connection, sources, mapping)
        _require_stamps(connection, sources, params)
        where = ", ".join(params.files) if len(params.files) <= 3 else f"{len(params.files)} files"
        intervals = infer_intervals(connection, "(SELECT household_id, clock AS timestamp FROM records)", where)
        connection.execute(
            "CREATE TABLE names AS SELECT unnest(?::INTEGER[]) AS file, unnest(?::VARCHAR[]) AS name",
            [list(range(len(sources))), list(params.files)],
        )
        locate(connection, intervals, params)
        write_csv(connection, _output_sql(mapping), files / "energy_data.csv")
        return _account(connection, sources, mapping, params, intervals)


def _require_columns(source: LineFile, mapping: ColumnMapping, *, own: bool) -> None:
    missing = [name for name in mapping.names if name not in source.columns]
    if missing:
        close = {name: difflib.get_close_matches(name, source.columns, 1, 0.6) for name in missing}
        meant = [f"{match[0]!r} instead of {name!r}" for name, match in close.items() if match]
        raise BadInputError(
            f"{source.name}: has no column {' and no column '.join(map(repr, missing))}; "
            f"its columns are {', '.join(map(repr, source.columns))}"
            + (f"; did you mean {' and '.join(meant)}?" if meant else "")
            + ("; name yours with --columns timestamp=…,household_id=…|@NAME,power_kw=…|energy_kwh=…" if own else "")
        )
    for name in mapping.names:
        source.field_sql(name)


def _read(connection: duckdb.DuckDBPyConnection, sources: Sequence[LineFile], mapping: ColumnMapping) -> None:
    """Table `records`: all records of all files, in their order, with `clock`, the stamp as a TIMESTAMP.

    `clock` is UTC where `zoned`, else wall-clock time.
    """
    connection.execute(
        "CREATE TABLE records (file INTEGER, line BIGINT, malformed BOOLEAN, household_id VARCHAR, stamp VARCHAR, "
        "power VARCHAR, voltage VARCHAR, current VARCHAR, zoned BOOLEAN, clock TIMESTAMP)"
    )
    for number, source in enumerate(sources):
        household = source.field_sql(mapping.household_id) if mapping.household_id else literal(mapping.household or "")
        values = {
            "household_id": household,
            "stamp": source.field_sql(mapping.timestamp),
            "power": _number_text(source, mapping.power),
            "voltage": _number_text(source, mapping.voltage),
            "current": _number_text(source, mapping.current),
        }
        fields = ", ".join(f"CASE WHEN NOT malformed THEN {value} END AS {name}" for name, value in values.items())
        raw = f"SELECT {number} AS file, line_number, malformed, {fields} FROM ({source.records_sql()})"
        zoned = f"SELECT *, {ZONED_SQL} AS zoned FROM ({raw})"
        clocked = f"SELECT *, {CLOCK_SQL} AS clock FROM ({zoned})"
        connection.execute(f"INSERT INTO records SELECT * REPLACE ({plausible('clock')} AS clock) FROM ({clocked})")


def _number_text(source: LineFile, column: str | None) -> str:
    if column is None:
        return "NULL"
    field = source.field_sql(column)
    if source.delimiter != ";":
        return field
    return f"CASE WHEN regexp_full_match({field}, '[+-]?\\d*,\\d+') THEN replace({field}, ',', '.') ELSE {field} END"


def _require_stamps(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[LineFile], params: GeneratorParams
) -> None:
    """Refuse files without any stamp that can be read, and stamps without a zone where none is given."""
    for number, source in enumerate(sources):
        found = connection.execute(
            "SELECT line, stamp FROM records WHERE file = ? ORDER BY clock IS NULL, stamp IS NULL, line LIMIT 1",
            [number],
        ).fetchone()
        if count(connection, f"SELECT count(*) FROM records WHERE file = {number} AND NOT malformed") == 0:
            raise BadInputError(
                f"{source.name}: none of its records has as many fields as its header, which names "
                f"{len(source.columns)}; is there a delimiter too many at the ends of its lines?"
            )
        if found and count(connection, f"SELECT count(clock) FROM records WHERE file = {number}") == 0:
            shown = f"; the first is {found[1]!r} (line {found[0]})" if found[1] else ""
            raise BadInputError(
                f"{source.name}: none of its stamps can be read{shown}; write them year first, for example "
                "2026-03-29T14:30:00+02:00 or 2026-03-29 14:30 (29.03.2026 14:30 is read too), for in 03/04/2026 day "
                "and month cannot be told apart"
            )
    bare = connection.execute(
        "SELECT file, line, stamp FROM records WHERE clock IS NOT NULL AND NOT zoned ORDER BY file, line LIMIT 1"
    ).fetchone()
    if bare and params.timezone is None:
        raise BadInputError(
            f"{sources[bare[0]].name}: line {bare[1]}: the stamp {bare[2]!r} names no zone; say which one is meant: "
            "--timezone Europe/Berlin for local clocks, or a fixed offset such as --timezone +10:00 for clocks that "
            "never change"
        )


def _output_sql(mapping: ColumnMapping) -> str:
    """The records as `energy_data.csv` holds them, in the order of the files."""
    return f"""
SELECT CASE WHEN utc IS NULL THEN stamp ELSE {iso("utc")} END AS timestamp,
    household_id, {_POWER[mapping.power_field]} AS power_consumption, voltage, current,
    names.name AS source_file, line AS source_line,
    CASE WHEN malformed THEN 'malformed_record' WHEN kind = 'non_existent' THEN 'non_existent_time' END AS source_fault
FROM located JOIN names USING (file) ORDER BY file, line
"""


_NUMBER = f"({number_sql('power')})"
_POWER: dict[PowerField, str] = {
    "power_kw": "power",
    "power_mw": f"CASE WHEN isfinite({_NUMBER}) THEN CAST(round({_NUMBER} * 1000, 6) AS VARCHAR) ELSE power END",
    "energy_kwh": (
        f"CASE WHEN isfinite({_NUMBER}) AND seconds IS NOT NULL "
        f"THEN CAST(round({_NUMBER} * 3600 / seconds, 6) AS VARCHAR) ELSE power END"
    ),
}


def _account(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[LineFile],
    mapping: ColumnMapping,
    params: GeneratorParams,
    intervals: dict[str, int],
) -> EnergySource:
    counted = connection.execute(_COUNTS).fetchall()
    files = [
        SourceFile(
            name=source.name,
            records=records,
            households=households,
            first=first and first.replace(tzinfo=UTC),
            last=last and last.replace(tzinfo=UTC),
            delimiter=source.delimiter,
            columns=list(source.columns),
        )
        for source, (records, households, first, last, *_) in zip(sources, counted, strict=True)
    ]
    ambiguous, non_existent, malformed = (sum(row[position] for row in counted) for position in (4, 5, 6))
    same = len(set(intervals.values())) == 1
    account = EnergySource(
        source="files",
        records_written=sum(file.records for file in files),
        start=params.start,
        end=params.end,
        households=count(connection, "SELECT count(DISTINCT household_id) FROM records"),
        files=files,
        unit=mapping.unit,
        timezone=params.timezone,
        stamp=params.stamp,
        interval_seconds=next(iter(intervals.values())) if same else None,
        intervals_by_household={} if same else intervals,
        ambiguous_times=ambiguous,
        ambiguous_pairs=count(connection, "SELECT count(*) FROM later_of_two WHERE position = 2"),
        non_existent_times=non_existent,
        malformed_records=malformed,
    )
    account.findings = zone_findings(connection, params, account)
    return account


_COUNTS = """
SELECT count(*), count(DISTINCT household_id), min(utc), max(utc), count(*) FILTER (kind = 'ambiguous'),
    count(*) FILTER (kind = 'non_existent'), count(*) FILTER (malformed)
FROM located GROUP BY file ORDER BY file
"""
