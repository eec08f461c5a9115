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
before it. In a file that runs mostly backwards in the days around it, it is the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.core.run_folder import SOURCE_FOLDER
from include.core.tables import literal, number_sql
from include.energy.calendar_days import find_stretches
from include.energy.clock_drift import correct_clocks
from include.energy.db import connect, count, is_scan, temporary_folder, write_table
from include.energy.inspection.plan import STAMPS_MARK
from include.energy.intervals import Piece, infer_intervals
from include.energy.isolated_stamps import check_isolated_stamps
from include.energy.level_shifts import level_shift_findings
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
from include.energy.readers.base import MeterData, candidates, choose, take_samples
from include.energy.records import (
    common_name,
    common_unit,
    files_with,
    flows_of,
    require_one_header,
    require_stamps,
    store_records,
)
from include.energy.register_rows import join_registers, state_flows
from include.energy.registers import Advances, Registers, take_differences
from include.energy.revisions import SUPERSEDED, mark_superseded
from include.energy.schemas import COLUMN, DATA, QUALITY, EnergySource, Unit
from include.energy.source_account import account_of, assumptions_of, joined_findings, unit_findings
from include.energy.stamps import iso, locate
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
    where = common_name(params.files)
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
        own_units, unit = [source.unit for source in sources], common_unit(sources, names)
        sources = state_flows(sources, names, meters)
        marked = store_records(connection, sources, params, unit)
        sources = [replace(source, unit=unit) for source in sources]
        require_stamps(connection, sources, names, params)
        require_one_header(connection, sources, samples)
        if meters:
            name_households(connection, meters)
        isolated = list(check_isolated_stamps(connection, names, params))
        sources, joined = join_registers(connection, sources, names, meters)
        drifts = [] if params.resample else list(correct_clocks(connection, where))
        intervals = _intervals(connection, sources, names, params, where)
        ends = files_with(sources, "ends")
        marks = locate(connection, intervals, params, ends, _assumed(sources, params))
        stretches = find_stretches(connection, intervals, params.timezone, where)
        advances = _revise(connection, sources, params, meters, where)
        account = account_of(connection, sources, names, params, intervals, marks)
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
        account.findings += assumptions_of(connection, sources, names, params, marks, advances)
        account.findings += unit_findings(names, own_units, unit)
        account.findings += [*joined_findings(joined, names), *drifts, *isolated]
        account.findings += level_shift_findings(connection, names, params, unit)
        if meters and params.meters:
            homes = connection.execute("SELECT DISTINCT household_id FROM records WHERE household_id <> '' ORDER BY 1")
            households = [name for (name,) in homes.fetchall()]
            account.findings += compare_meters(meters, params.meters, households, unit, params.timezone)
        for number, text in marked.items():
            message = f"{names[number]}: stamps say which occurrence of a repeated hour they mean: {text}."
            account.findings.append(Finding(severity="info", message=message))
        states_quality = params.zeros_omitted or any(source.states_quality for source in sources)
        columns = [COLUMN] * any(source.unfolded for source in sources) + [QUALITY] * states_quality
        output = _output_sql(unit, names, flows_of(sources), columns)
        in_order = is_scan(connection, output, "records")
        write_table(connection, output if in_order else f"{output} ORDER BY id", DATA.at(files))
        return account


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


def _assumed(sources: Sequence[MeterData], params: GeneratorParams) -> frozenset[int]:
    """Return the files of which nothing shows whether stamps mark starts or ends."""
    if params.stamp:
        return frozenset()
    return frozenset(
        number
        for number, source in enumerate(sources)
        if any(statement.assumed and statement.topic == STAMPS_MARK for statement in source.statements)
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
    flows = flows_of(sources)
    if meters:
        apply_meters(connection, meters, params.register_digits, ("power", *flows))
        readings = "metered"
    if files := files_with(sources, "cumulative"):
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
    """Return SQL of the records as `energy_data.csv` holds them."""
    return f"""
SELECT CASE WHEN utc IS NULL THEN stamp ELSE {iso("utc")} END AS timestamp,
    household_id, {_kw_sql("power", unit)} AS power_consumption, voltage, current,
    [{", ".join(map(literal, names))}][file + 1] AS source_file, line AS source_line,
    CASE WHEN malformed THEN 'malformed_record' WHEN kind = 'non_existent' THEN 'non_existent_time' ELSE fault END
        AS source_fault{", field AS source_column" if COLUMN in columns else ""}{", quality" * (QUALITY in columns)}
    {"".join(f", {_kw_sql(flow, unit)} AS {flow}" for flow in flows)}
FROM final WHERE NOT empty
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
