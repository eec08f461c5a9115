"""Input files of any format converted to `energy_data.csv`; every record is passed on, faulty ones too.

A reader takes each file apart (see `include.energy.readers`). What is converted: the stamp, to the start of its
interval in UTC; energy or megawatts, to kW; household, voltage and current are taken as they are. What cannot be
converted is passed on as the text of the file, and the analyzer judges it. Three more columns follow the five:
`source_file`, `source_line` (line number in that file) and `source_fault`: `malformed_record` (more or fewer fields
than the header; the five columns are empty), `non_existent_time` (the zone's clocks skip that time; the stamp stays as
it is), or empty. Where lines hold several readings, `source_column` names the column of each one's value; where a file
states how readings were obtained, `quality` follows, in its words.

Stamps may read `2026-03-29T14:30:00+02:00` (or `Z`), or without a zone `2026-03-29 14:30[:00]`, `29.03.2026 14:30`,
or a date alone. Where a household gives a local time twice at the end of daylight saving, the one that stands first in
the files is the first occurrence; a lone one is the second occurrence if the same or a later time of that hour stands
before it. In a file that runs mostly backwards in time, it is the other way round.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC
from itertools import islice
from pathlib import Path

import duckdb

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.core.run_folder import SOURCE_FOLDER
from include.core.tables import literal, number_sql
from include.energy.calendar_days import find_stretches
from include.energy.clock_drift import correct_clocks
from include.energy.db import connect, count, temporary_folder, write_table
from include.energy.inspection.plan import STAMPS_MARK
from include.energy.intervals import Piece, infer_intervals
from include.energy.meters import (
    NOT_INSTALLED,
    Meters,
    apply_meters,
    compare_meters,
    limits_of,
    name_households,
    read_meters,
)
from include.energy.omissions import omission_finding, zeros_sql
from include.energy.params import GeneratorParams, seconds_of
from include.energy.presets import preset_of
from include.energy.readers.base import Clock, MeterData, Reading, Sample, candidates, choose, take_samples
from include.energy.register_rows import Joined, join_registers, state_flows
from include.energy.registers import Advances, Registers, register_findings, take_differences
from include.energy.revisions import SUPERSEDED, mark_superseded
from include.energy.schemas import (
    COLUMN,
    DATA,
    FLOWS,
    MEASURED,
    QUALITY,
    EnergySource,
    SourceFile,
    Span,
    Understood,
    Unit,
)
from include.energy.stamps import (
    CLOCK_SQL,
    ZONED_SQL,
    Marks,
    iso,
    locate,
    plausible,
    put_elapsed_into_utc,
    read_marked,
    zone_findings,
)
from include.energy.unpack import unpack


def convert(files: Path, params: GeneratorParams) -> EnergySource:
    """Convert `source/<name>` for each name in `params.files` to `energy_data.csv`.

    Args:
        files: The run's folder.
        params: `files` (at least one) and what is stated of them.

    Returns:
        Where the records came from, and what was done to them.

    Raises:
        BadInputError: A file cannot be read, no reader or more than one is sure of it, a question about it is open, it
            has no readable stamp, needs a zone, its readings have no common interval, or its unit is not that of the
            others.
    """
    where = _common_name(params.files)
    meters = read_meters(files / SOURCE_FOLDER / params.meters, params.meters) if params.meters else None
    with connect(files) as connection, temporary_folder(files) as scratch:
        samples = [
            sample
            for name in params.files
            for sample in take_samples(unpack(files / SOURCE_FOLDER / name, name, scratch))
        ]
        readers = candidates(params)
        sources = [choose(sample, params, readers).read(sample, params, connection) for sample in samples]
        names = [sample.name for sample in samples]
        own_units, unit = [source.unit for source in sources], _common_unit(sources, names)
        sources = state_flows(sources, names, meters)
        marked = _store_records(connection, sources, params, unit)
        sources = [replace(source, unit=unit) for source in sources]
        _require_stamps(connection, sources, names, params)
        _require_one_header(connection, sources, samples)
        if meters:
            name_households(connection, meters)
        sources, joined = join_registers(connection, sources, names, meters)
        drifts = [] if params.resample else list(correct_clocks(connection, where))
        intervals = _intervals(connection, sources, names, params, where)
        ends = _numbers(sources, "ends")
        marks = locate(connection, intervals, params, ends, _assumed(sources, params))
        stretches = find_stretches(connection, intervals, params.timezone, where)
        advances = _revise(connection, sources, params, meters, where)
        account = _account(connection, sources, names, params, intervals, marks)
        for number, rows in joined.rows.items():
            account.files[number].joined = rows
        for file, own_unit in zip(account.files, own_units, strict=True):
            file.unit = own_unit
        account.stretches, account.left_out, account.rolled_over = stretches, advances.left_out, advances.rolled_over
        account.limits_kw = limits_of(meters)
        if params.zeros_omitted:
            account.zeros_omitted = count(connection, "SELECT count(*) FROM zeros")
            account.records_written += account.zeros_omitted
            account.findings.append(omission_finding(account.zeros_omitted))
        account.findings += _findings(connection, sources, names, params, marks, advances)
        account.findings += _unit_findings(names, own_units, unit)
        account.findings += [*_joined_findings(joined, names), *drifts]
        if meters and params.meters:
            homes = connection.execute("SELECT DISTINCT household_id FROM records WHERE household_id <> '' ORDER BY 1")
            households = [name for (name,) in homes.fetchall()]
            account.findings += compare_meters(meters, params.meters, households, unit, params.timezone)
        for number, text in marked.items():
            message = f"{names[number]}: stamps say which occurrence of a repeated hour they mean: {text}."
            account.findings.append(Finding(severity="info", message=message))
        states_quality = params.zeros_omitted or any(source.states_quality for source in sources)
        columns = [COLUMN] * any(source.unfolded for source in sources) + [QUALITY] * states_quality
        output = _output_sql(unit, names, _flows(sources), columns)
        write_table(connection, output, DATA.at(files))
        return account


def _common_name(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} files"


def _intervals(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[MeterData],
    names: Sequence[str],
    params: GeneratorParams,
    where: str,
) -> dict[str, list[Piece]]:
    """Return the intervals of the households: as stated where registers are resampled, else as their stamps show."""
    if params.resample:
        for name, source in zip(names, sources, strict=True):
            if not source.cumulative:
                raise BadInputError(
                    f"{name}: holds energy or power of intervals, and --resample interpolates readings of registers; "
                    "leave it out, or map the register, for example --columns register_kwh=…"
                )
        query = (
            "SELECT DISTINCT household_id FROM records WHERE household_id IS NOT NULL AND clock IS NOT NULL ORDER BY 1"
        )
        seconds = seconds_of(params.resample)
        return {household: [Piece(None, seconds)] for (household,) in connection.execute(query).fetchall()}
    return infer_intervals(
        connection,
        where,
        energy=frozenset(n for n, source in enumerate(sources) if _may_be_register(source)),
        insist=params.as_mapped,
        ends=all(source.ends for source in sources),
    )


def _may_be_register(source: MeterData) -> bool:
    """Return whether readings of energy may be those of a register, for the format does not say so."""
    return source.unit.endswith("Wh") and source.delimiter is not None and not source.cumulative


def _numbers(sources: Sequence[MeterData], attribute: str) -> frozenset[int]:
    return frozenset(number for number, source in enumerate(sources) if getattr(source, attribute))


def _assumed(sources: Sequence[MeterData], params: GeneratorParams) -> frozenset[int]:
    """Return the files of which nothing shows whether stamps mark starts or ends."""
    if params.stamp:
        return frozenset()
    return frozenset(
        number
        for number, source in enumerate(sources)
        if any(statement.assumed and statement.topic == STAMPS_MARK for statement in source.statements)
    )


def _common_unit(sources: Sequence[MeterData], names: Sequence[str]) -> Unit:
    """Return the unit that the values of all files are put into: theirs, or where they differ kWh or kW.

    Raises:
        BadInputError: Some hold energy, and others power.
    """
    first = sources[0].unit
    for source, name in zip(sources, names, strict=True):
        if source.unit.endswith("Wh") != first.endswith("Wh"):
            raise BadInputError(
                f"{name}: holds {source.unit}, {names[0]} holds {first}; run files of energy and of power apart: one "
                f"run with --files {names[0].partition('/')[0]}, one with --files {name.partition('/')[0]}"
            )
    if all(source.unit == first for source in sources):
        return first
    return "kWh" if first.endswith("Wh") else "kW"


def _unit_findings(names: Sequence[str], own_units: Sequence[Unit], unit: Unit) -> Iterator[Finding]:
    """Yield which files are in which unit, where they differ."""
    if len(set(own_units)) > 1:
        listed = "; ".join(
            f"{own}: {_common_name([n for n, of_file in zip(names, own_units, strict=True) if of_file == own])}"
            for own in sorted(set(own_units))
        )
        yield Finding(
            severity="info", message=f"The files are in different units ({listed}); all were put into {unit}."
        )


def _scaled_sql(column: str, unit: Unit, common: Unit) -> str:
    """Return SQL of a value in the common unit of the files, to the last digit; what is no number stays as it is."""
    power = _PREFIXES[unit.removesuffix("h")] - _PREFIXES[common.removesuffix("h")]
    if not power:
        return column
    factor = str(10**power) if power > 0 else f"0.{'0' * (-power - 1)}1"
    scaled = rf"regexp_replace(CAST(try_cast({column} AS DECIMAL(24, 9)) * {factor} AS VARCHAR), '\.?0+$', '')"
    return f"coalesce({scaled}, {column}) AS {column}"


_PREFIXES = {"W": 0, "kW": 3, "MW": 6}  # powers of ten


_OPTIONAL = (*FLOWS, "register", "field")


def _store_records(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], params: GeneratorParams, unit: Unit
) -> dict[int, str]:
    """Create the table `records`: all readings of all files, in their order, with `clock`, the stamp as a TIMESTAMP.

    `clock` is UTC where `zoned`, else wall-clock time. `empty` readings hold nothing, and are no records. `export`,
    `generation`, `register` and `field` are there where a file states them.

    Returns:
        By file, how stamps say which occurrence of a repeated hour they mean, where they do.
    """
    stated = [
        {*source.flows, *["register"] * (source.roles is not None), *["field"] * source.unfolded} for source in sources
    ]
    marked, more = {}, [column for column in _OPTIONAL if any(column in columns for columns in stated)]
    fields = [field for field in Reading._fields if field not in _OPTIONAL]
    connection.execute(
        "CREATE TABLE records (file INTEGER, line BIGINT, household_id VARCHAR, stamp VARCHAR, power VARCHAR, "
        "voltage VARCHAR, current VARCHAR, quality VARCHAR, malformed BOOLEAN, estimated BOOLEAN, "
        f"{''.join(f'{column} VARCHAR, ' for column in more)}empty BOOLEAN, zoned BOOLEAN, clock TIMESTAMP)"
    )
    for number, source in enumerate(sources):
        clock = source.clock or Clock(None)
        own = [column if column in stated[number] else f"NULL::VARCHAR AS {column}" for column in more]
        nothing = " AND ".join(f"{value} IS NULL" for value in ("power", *source.flows))
        empty = f"{nothing} AND NOT malformed" if source.drops_empty else "false"
        columns = [_scaled_sql(c, source.unit, unit) if c in ("power", *FLOWS) else c for c in [*fields, *own]]
        for readings in source.batches:
            numbered = readings.project(f"{number} AS file, {', '.join(columns)}, {empty} AS empty")
            zoned = numbered.project(f"*, {clock.zoned or ZONED_SQL} AS zoned")
            clocked = zoned.project(f"*, {clock.time or CLOCK_SQL} AS clock")
            clocked.project(f"* REPLACE ({plausible('clock')} AS clock)").insert_into("records")
        if clock.day and params.timezone:
            put_elapsed_into_utc(connection, number, clock.day, params.timezone)
        if marks := read_marked(connection, number, clock.time or CLOCK_SQL, params.timezone):
            marked[number] = marks
    return marked


def _flows(sources: Sequence[MeterData]) -> tuple[str, ...]:
    """Return which of export and generation the files state."""
    return tuple(flow for flow in FLOWS if any(flow in source.flows for source in sources))


def _require_stamps(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], names: Sequence[str], params: GeneratorParams
) -> None:
    """Refuse files without a value or any stamp that can be read, and stamps without a zone where none is given."""
    for number, (name, source) in enumerate(zip(names, sources, strict=True)):
        if count(connection, f"SELECT count(*) FROM records WHERE file = {number} AND NOT malformed") == 0:
            raise BadInputError(f"{name}: {source.all_malformed}")
        if count(connection, f"SELECT count(clock) FROM records WHERE file = {number}") == 0:
            first = connection.execute(
                "SELECT line, stamp FROM records WHERE file = ? AND stamp IS NOT NULL ORDER BY line LIMIT 1", [number]
            ).fetchone()
            example = f"; the first is {first[1]!r} (line {first[0]})" if first else ""
            raise BadInputError(
                f"{name}: none of its stamps can be read{example}; write them year first, for example "
                "2026-03-29T14:30:00+02:00 or 2026-03-29 14:30 (29.03.2026 14:30 is read too)"
            )
    if not connection.execute("SELECT 1 FROM records WHERE NOT empty LIMIT 1").fetchone():
        raise BadInputError(f"{_common_name(names)}: no record holds a value")
    bare = connection.execute(
        "SELECT file, line, stamp FROM records WHERE clock IS NOT NULL AND NOT zoned ORDER BY file, line LIMIT 1"
    ).fetchone()
    if bare and params.timezone is None:
        raise BadInputError(
            f"{names[bare[0]]}: line {bare[1]}: the stamp {bare[2]!r} names no zone; say which one is meant: "
            "--timezone Europe/Berlin for local clocks, or a fixed offset such as --timezone +10:00 for clocks that "
            "never change"
        )


def _require_one_header(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], samples: Sequence[Sample]
) -> None:
    """Refuse a file in which another header stands between records: after it, columns mean something else."""
    for number, (source, sample) in enumerate(zip(sources, samples, strict=True)):
        header = [name.strip() for name in source.columns if name.strip()]
        lines = connection.execute(
            "SELECT line FROM records WHERE file = ? AND clock IS NULL AND list_contains(?::VARCHAR[], trim(stamp)) "
            "ORDER BY line LIMIT 100",
            [number, header],
        ).fetchall()
        for (line,) in lines:
            text = next(islice(sample.lines(), line - 1, None), b"").decode("utf-8", "replace").strip()
            fields = next(csv.reader([text], delimiter=source.delimiter or ","), [])
            names = [field.strip() for field in fields if field.strip()]
            if names and names != header:
                raise BadInputError(
                    f"{sample.name}: line {line} is another header, {text[:80]!r}, after which columns may mean "
                    "something else; split the file there, and give both parts"
                )


def _revise(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[MeterData],
    params: GeneratorParams,
    meters: Meters | None,
    where: str,
) -> Advances:
    """Create the view `final`: `timed` with `fault`, registers as energy, and revised readings marked."""
    advances, readings, columns, fault, joined = Advances(), "timed", "*", "CAST(NULL AS VARCHAR)", ""
    flows = _flows(sources)
    if meters:
        apply_meters(connection, meters, params.register_digits, ("power", *flows))
        readings = "metered"
    if files := _numbers(sources, "cumulative"):
        registers = Registers(files, max(source.summed for source in sources), sources[0].unit, flows)
        advances = take_differences(connection, registers, params, where, described=meters is not None)
        readings, columns, fault = "readings", "* EXCLUDE (fault)", "fault"
    if len(sources) > 1 or count(connection, "SELECT count(*) FROM records WHERE estimated"):
        mark_superseded(connection, readings, flows, by_arrival=params.feed is not None)
        joined = "LEFT JOIN (SELECT id, true AS revised FROM superseded) USING (id)"
        fault = f"CASE WHEN revised THEN '{SUPERSEDED}' ELSE {fault} END"
        columns = f"* EXCLUDE ({'fault, ' if files else ''}revised)"
    if meters:
        fault = f"CASE WHEN NOT installed THEN '{NOT_INSTALLED}' ELSE {fault} END"
    for flow in flows:
        stating = f"SELECT household_id FROM records WHERE {flow} IS NOT NULL AND household_id IS NOT NULL"
        missing = f"power IS NOT NULL AND {flow} IS NULL AND household_id IN ({stating})"
        fault = f"coalesce({fault}, CASE WHEN {missing} THEN 'missing_{flow}' END)"
    final = f"SELECT {columns}, {fault} AS fault FROM {readings} {joined}"
    if params.zeros_omitted:
        if files or flows:
            raise BadInputError(
                f"{where}: holds {'readings of registers' if files else 'export or generation'}, of which an interval "
                "that is left out is not known to be zero; leave out --zeros-omitted"
            )
        connection.execute(f"CREATE TABLE zeros AS {zeros_sql(connection, where)}")
        final = f"{final} UNION ALL BY NAME SELECT * FROM zeros"
    connection.execute(f"CREATE VIEW final AS {final}")
    return advances


def _output_sql(unit: Unit, names: Sequence[str], flows: Sequence[str], columns: Sequence[str]) -> str:
    """Return SQL of the records as `energy_data.csv` holds them, in the order of the files."""
    return f"""
SELECT CASE WHEN utc IS NULL THEN stamp ELSE {iso("utc")} END AS timestamp,
    household_id, {_kw_sql("power", unit)} AS power_consumption, voltage, current,
    [{", ".join(map(literal, names))}][file + 1] AS source_file, line AS source_line,
    CASE WHEN malformed THEN 'malformed_record' WHEN kind = 'non_existent' THEN 'non_existent_time' ELSE fault END
        AS source_fault{", field AS source_column" if COLUMN in columns else ""}{", quality" * (QUALITY in columns)}
    {"".join(f", {_kw_sql(flow, unit)} AS {flow}" for flow in flows)}
FROM final WHERE NOT empty ORDER BY id
"""


_KW: dict[Unit, str] = {
    "W": "1 / 1000",
    "MW": "1000",
    "Wh": "3.6 / seconds",
    "kWh": "3600 / seconds",
    "MWh": "3600000 / seconds",
}


def _kw_sql(value: str, unit: Unit) -> str:
    """Return SQL of a column as kW, a text; what is not a number stays as it is."""
    if unit == "kW":
        return value
    number, energy = f"({number_sql(value)})", " AND seconds IS NOT NULL" * unit.endswith("Wh")
    scaled = f"CAST(round({number} * {_KW[unit]}, 6) AS VARCHAR)"
    return f"CASE WHEN isfinite({number}){energy} THEN {scaled} ELSE {value} END"


def _joined_findings(joined: Joined, names: Sequence[str]) -> Iterator[Finding]:
    """Yield what was made of registers in rows."""
    for number, rows in joined.rows.items() if any(joined.rows.values()) else ():
        message = f"{names[number]}: {rows:,} lines of further registers were joined to the reading of their time."
        yield Finding(severity="info", message=message)
    for number, left_out in joined.left_out.items():
        for label, lines in left_out.items():
            yield Finding(severity="info", message=f"{names[number]}: {label}: {lines:,} readings were not read.")
    yield from joined.findings


def _account(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[MeterData],
    names: Sequence[str],
    params: GeneratorParams,
    intervals: Mapping[str, Sequence[Piece]],
    marks: Marks,
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
            empty=empty,
            stamp="end" if number in marks.ends else "start",
            understood=[Understood(**asdict(statement)) for statement in source.statements],
        )
        for number, (name, source, (records, households, first, last, *_, empty)) in enumerate(
            zip(names, sources, rows, strict=True)
        )
    ]
    ambiguous, non_existent, malformed = (sum(row[position] for row in rows) for position in (4, 5, 6))
    constant = {household: pieces[0].seconds for household, pieces in intervals.items() if len(pieces) == 1}
    same = len(constant) == len(intervals) and len(set(constant.values())) == 1
    account = EnergySource(
        source="files",
        records_written=sum(file.records for file in files),
        start=params.start,
        end=params.end,
        households=count(connection, "SELECT count(DISTINCT household_id) FROM final WHERE NOT empty"),
        files=files,
        unit=sources[0].unit,
        measured=tuple(column for column in MEASURED if all(column in source.measured for source in sources)),
        timezone=params.timezone,
        stamp="end" if marks.ends else "start",
        interval_seconds=next(iter(constant.values())) if same else None,
        intervals_by_household={} if same else constant,
        ambiguous_times=ambiguous,
        ambiguous_pairs=count(connection, "SELECT count(*) FROM later_of_two WHERE position = 2"),
        non_existent_times=non_existent,
        malformed_records=malformed,
        resampled=params.resample,
        spans=_spans(connection) if any(file.empty for file in files) else {},
    )
    account.findings = zone_findings(connection, params, account, marks)
    return account


def _spans(connection: duckdb.DuckDBPyConnection) -> dict[str, Span]:
    """Return the stretch that each household's stamps cover, where it is longer than that of its records."""
    query = """
        SELECT household_id, min(utc), max(utc) FROM final WHERE household_id IS NOT NULL AND utc IS NOT NULL
        GROUP BY household_id HAVING count(*) FILTER (empty) > 0 AND count(*) FILTER (NOT empty) > 0
        ORDER BY household_id
    """
    return {
        household: Span(first=first.replace(tzinfo=UTC), last=last.replace(tzinfo=UTC))
        for household, first, last in connection.execute(query).fetchall()
    }


def _findings(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[MeterData],
    names: Sequence[str],
    params: GeneratorParams,
    marks: Marks,
    advances: Advances,
) -> Iterator[Finding]:
    """Yield what was assumed of the files, and what was done to their readings."""
    if params.format:
        preset = preset_of(params.format)
        confirmed = f"described at {preset.sources[0]}" if preset.is_tried else "untried, used as the user insists"
        yield Finding(severity="info", message=f"Read as the format {preset.name}: {preset.title}; {confirmed}.")
    assumed: dict[str, list[str]] = {}
    for number, (name, source) in enumerate(zip(names, sources, strict=True)):
        for statement in source.statements:
            moved = statement.topic == STAMPS_MARK and number in marks.ends
            value = "the end of the interval, for days on which clocks change have no other explanation"
            if statement.assumed:
                assumed.setdefault(f"{statement.topic}: {value if moved else statement.value}", []).append(name)
            elif statement.topic == "not selected":
                message = f"{name}: {statement.value} was not read: {statement.evidence}."
                yield Finding(severity="info", message=message)
        for label, readings in source.not_selected.items():
            yield Finding(severity="info", message=f"{name}: {label}: {readings:,} readings were not read.")
        yield from source.findings
        if params.columns and not source.delimiter:
            yield Finding(severity="info", message=f"{name}: the format states what it holds; columns were not used.")
    for statement_text, files in assumed.items():
        yield Finding(severity="info", message=f"Assumed of {_common_name(files)}: {statement_text}.")
    if marks.ends and marks.after_zone and connection.execute("SELECT 1 FROM pieces WHERE kind <> 'normal'").fetchone():
        message = (
            "Stamps of interval ends show the clock of the end: on days on which clocks change, the interval was taken "
            "off after the stamp was put into UTC, which leaves fewer gaps and duplicates."
        )
        yield Finding(severity="info", message=message)
    yield from register_findings(advances, params)


_COUNTS = """
SELECT count(*) FILTER (NOT empty), count(DISTINCT household_id) FILTER (NOT empty), min(utc) FILTER (NOT empty),
    max(utc) FILTER (NOT empty), count(*) FILTER (kind = 'ambiguous'), count(*) FILTER (kind = 'non_existent'),
    count(*) FILTER (malformed), count(*) FILTER (empty)
FROM final RIGHT JOIN (SELECT DISTINCT file FROM records) USING (file) GROUP BY file ORDER BY file
"""
