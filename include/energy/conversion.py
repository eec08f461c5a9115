"""Input files of any format converted to `energy_data.csv`; every record is passed on, faulty ones too.

A reader takes each file apart (see `include.energy.readers`). What is converted: the stamp, to the start of its
interval in UTC; energy or megawatts, to kW; household, voltage and current are taken as they are. What cannot be
converted is passed on as the text of the file, and the analyzer judges it. Three more columns follow the five:
`source_file`, `source_line` (line number in that file) and `source_fault`: `malformed_record` (more or fewer fields
than the header; the five columns are empty), `non_existent_time` (the zone's clocks skip that time; the stamp stays as
it is), or empty.

Stamps may read `2026-03-29T14:30:00+02:00` (or `Z`), or without a zone `2026-03-29 14:30[:00]`, `29.03.2026 14:30`,
or a date alone. Where a household gives a local time twice at the end of daylight saving, the one that stands first in
the files is the first occurrence; a lone one is the second occurrence if the same or a later time of that hour stands
before it. In a file that runs mostly backwards in time, it is the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import duckdb

from include.core.errors import BadInputError
from include.core.run_folder import SOURCE_FOLDER
from include.core.tables import literal, number_sql
from include.energy.db import connect, count, write_table
from include.energy.intervals import infer_intervals
from include.energy.params import GeneratorParams
from include.energy.readers.base import MeterData, Reading, choose, find_readers, take_sample
from include.energy.schemas import DATA, MEASURED, EnergySource, SourceFile, Unit
from include.energy.stamps import CLOCK_SQL, ZONED_SQL, iso, locate, plausible, zone_findings


def convert(files: Path, params: GeneratorParams) -> EnergySource:
    """Convert `source/<name>` for each name in `params.files` to `energy_data.csv`.

    Args:
        files: The run's folder.
        params: `files` (at least one), `columns`, `timezone` and `stamp` count.

    Returns:
        Where the records came from, and what was done to them.

    Raises:
        BadInputError: A file cannot be read, no reader or more than one is sure of it, it has no readable stamp, needs
            a zone, its readings have no common interval, or its unit is not that of the others.
    """
    candidates = find_readers()
    with connect(files) as connection:
        sources = []
        for name in params.files:
            sample = take_sample(files / SOURCE_FOLDER / name, name)
            sources.append(choose(sample, params, candidates).read(sample, params, connection))
        unit = _common_unit(sources, params.files)
        _store_records(connection, sources)
        _require_stamps(connection, sources, params)
        where = ", ".join(params.files) if len(params.files) <= 3 else f"{len(params.files)} files"
        intervals = infer_intervals(connection, "(SELECT household_id, clock AS timestamp FROM records)", where)
        locate(connection, intervals, params)
        write_table(connection, _output_sql(unit, params.files), DATA.at(files))
        return _account(connection, sources, params, intervals)


def _common_unit(sources: Sequence[MeterData], names: Sequence[str]) -> Unit:
    for source, name in zip(sources, names, strict=True):
        if source.unit != sources[0].unit:
            raise BadInputError(
                f"{name}: holds {source.unit}, {names[0]} holds {sources[0].unit}; run files of different units apart"
            )
    return sources[0].unit


def _store_records(connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData]) -> None:
    """Create the table `records`: all readings of all files, in their order, with `clock`, the stamp as a TIMESTAMP.

    `clock` is UTC where `zoned`, else wall-clock time.
    """
    connection.execute(
        "CREATE TABLE records (file INTEGER, line BIGINT, household_id VARCHAR, stamp VARCHAR, power VARCHAR, "
        "voltage VARCHAR, current VARCHAR, malformed BOOLEAN, zoned BOOLEAN, clock TIMESTAMP)"
    )
    for number, source in enumerate(sources):
        for readings in source.batches:
            numbered = readings.project(f"{number} AS file, {', '.join(Reading._fields)}")
            clocked = numbered.project(f"*, {ZONED_SQL} AS zoned").project(f"*, {CLOCK_SQL} AS clock")
            clocked.project(f"* REPLACE ({plausible('clock')} AS clock)").insert_into("records")


def _require_stamps(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], params: GeneratorParams
) -> None:
    """Refuse files without any stamp that can be read, and stamps without a zone where none is given."""
    for number, (name, source) in enumerate(zip(params.files, sources, strict=True)):
        if count(connection, f"SELECT count(*) FROM records WHERE file = {number} AND NOT malformed") == 0:
            raise BadInputError(f"{name}: {source.all_malformed}")
        if count(connection, f"SELECT count(clock) FROM records WHERE file = {number}") == 0:
            first = connection.execute(
                "SELECT line, stamp FROM records WHERE file = ? AND stamp IS NOT NULL ORDER BY line LIMIT 1", [number]
            ).fetchone()
            example = f"; the first is {first[1]!r} (line {first[0]})" if first else ""
            raise BadInputError(
                f"{name}: none of its stamps can be read{example}; write them year first, for example "
                "2026-03-29T14:30:00+02:00 or 2026-03-29 14:30 (29.03.2026 14:30 is read too), for in 03/04/2026 day "
                "and month cannot be told apart"
            )
    bare = connection.execute(
        "SELECT file, line, stamp FROM records WHERE clock IS NOT NULL AND NOT zoned ORDER BY file, line LIMIT 1"
    ).fetchone()
    if bare and params.timezone is None:
        raise BadInputError(
            f"{params.files[bare[0]]}: line {bare[1]}: the stamp {bare[2]!r} names no zone; say which one is meant: "
            "--timezone Europe/Berlin for local clocks, or a fixed offset such as --timezone +10:00 for clocks that "
            "never change"
        )


def _output_sql(unit: Unit, names: Sequence[str]) -> str:
    """Return SQL of the records as `energy_data.csv` holds them, in the order of the files."""
    return f"""
SELECT CASE WHEN utc IS NULL THEN stamp ELSE {iso("utc")} END AS timestamp,
    household_id, {_POWER[unit]} AS power_consumption, voltage, current,
    [{", ".join(map(literal, names))}][file + 1] AS source_file, line AS source_line,
    CASE WHEN malformed THEN 'malformed_record' WHEN kind = 'non_existent' THEN 'non_existent_time' END AS source_fault
FROM located ORDER BY file, line
"""


_NUMBER = f"({number_sql('power')})"
_POWER: dict[Unit, str] = {
    "kW": "power",
    "W": f"CASE WHEN isfinite({_NUMBER}) THEN CAST(round({_NUMBER} / 1000, 6) AS VARCHAR) ELSE power END",
    "MW": f"CASE WHEN isfinite({_NUMBER}) THEN CAST(round({_NUMBER} * 1000, 6) AS VARCHAR) ELSE power END",
} | {
    unit: (
        f"CASE WHEN isfinite({_NUMBER}) AND seconds IS NOT NULL "
        f"THEN CAST(round({_NUMBER} * {kilowatt_seconds} / seconds, 6) AS VARCHAR) ELSE power END"
    )
    for unit, kilowatt_seconds in (("Wh", "3.6"), ("kWh", "3600"), ("MWh", "3600000"))
}


def _account(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[MeterData],
    params: GeneratorParams,
    intervals: dict[str, int],
) -> EnergySource:
    rows = connection.execute(_COUNTS).fetchall()
    files = [
        SourceFile(
            name=name,
            records=records,
            households=households,
            first=first and first.replace(tzinfo=UTC),
            last=last and last.replace(tzinfo=UTC),
            delimiter=source.delimiter,
            columns=list(source.columns),
        )
        for name, source, (records, households, first, last, *_) in zip(params.files, sources, rows, strict=True)
    ]
    ambiguous, non_existent, malformed = (sum(row[position] for row in rows) for position in (4, 5, 6))
    same = len(set(intervals.values())) == 1
    account = EnergySource(
        source="files",
        records_written=sum(file.records for file in files),
        start=params.start,
        end=params.end,
        households=count(connection, "SELECT count(DISTINCT household_id) FROM records"),
        files=files,
        unit=sources[0].unit,
        measured=tuple(column for column in MEASURED if all(column in source.measured for source in sources)),
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
