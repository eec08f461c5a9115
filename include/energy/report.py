"""Step 3, report-generator: every accepted record with its result, the findings in plain words, and the plots.

Reads `output1.json`, `energy_source.json`, `energy_records.parquet` and `rejected.csv`; writes `energy_report.csv`,
`energy_report.parquet`, `energy_totals.parquet`, `output2.json` and the plots. Tariff and factors are input files.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
from pydantic import BaseModel

from include.core.files import atomic_file
from include.core.outcome import Scalar, Table
from include.core.run_folder import SOURCE_FOLDER
from include.core.tables import file_argument
from include.core.windows import parse_zone
from include.energy.db import connect, write_table
from include.energy.emissions import emissions, read_factors
from include.energy.figure_schemas import Cost, Emissions, Usage
from include.energy.figure_tables import cost_tables, emissions_tables, usage_tables
from include.energy.figures import TOTALS_SQL, usage
from include.energy.params import ReportParams
from include.energy.plots import draw_plots
from include.energy.schemas import (
    ANALYSIS,
    METHOD_LABELS,
    RECORDS,
    REPORT,
    REPORT_ROWS,
    REPORT_TABLE,
    SOURCE,
    TOTALS,
    Analysis,
    EnergyReport,
    HouseholdFigures,
    ReportMetrics,
)
from include.energy.stamps import iso
from include.energy.steps import analysis_findings
from include.energy.tariffs import cost, read_tariff

HOUSEHOLDS_SHOWN, QUALITIES_SHOWN, YEARS_SHOWN = 25, 25, 4
HOUSEHOLD_COLUMNS = {
    "Household": "household_id",
    "Energy (kWh)": "energy_kwh",
    "Export (kWh)": "export_kwh",
    "Generation (kWh)": "generation_kwh",
    "Peak (kW)": "peak_kw",
    "Peak at": "peak_at",
    "Missing intervals": "missing",
    "Estimated": "estimated",
    "Without estimates (kWh)": "energy_without_estimates_kwh",
    "Suspect": "suspect",
    "With suspect (kWh)": "energy_with_suspect_kwh",
    "Base load (kW)": "base_load_kw",
    "Load factor": "load_factor",
    "Anomalies": "anomalies",
    "High usage": "high_usage",
    "Power factor": "mean_power_factor",
}
ROWS_MEMORY = "500MB"
"""Of the table of all records. With 200 MB DuckDB takes twice as long, for it writes CSV in turn then."""
SUSPECT_COLUMNS = ("Suspect", "With suspect (kWh)")
ESTIMATE_COLUMNS = ("Estimated", "Without estimates (kWh)")
GAP_COLUMNS = {"Household": "household_id", "From": "start", "To": "end", "Intervals": "intervals"}


def write_report(files: Path, params: ReportParams) -> None:
    """Write the report of an analysis.

    Args:
        files: The run's `files/` folder.
        params: How peaks are taken, and whether names that a spreadsheet takes for formulas are escaped.

    Raises:
        BadInputError: The tariff or the factors cannot be used.
        SetupError: The folder cannot be written.
    """
    analysis = ANALYSIS.read(files)
    with ThreadPoolExecutor(2) as pool:  # the plots are Python's work; neither of the others keeps all cores busy
        rows = pool.submit(_write_rows, files, params)
        found = pool.submit(_write_totals, files, analysis, params)
        plots = draw_plots(analysis, files)
    rows.result()
    REPORT.write(files, describe(analysis, found.result(), plots))


@dataclass(frozen=True)
class Figures:
    """What users want to know, computed from the records."""

    usage: Usage
    cost: Cost | None = None
    emissions: Emissions | None = None


def _write_rows(files: Path, params: ReportParams) -> None:
    with connect(files, memory_limit=ROWS_MEMORY) as db:
        write_table(db, rows_sql(files, params), REPORT_ROWS.at(files))
    with atomic_file(REPORT_TABLE.at(files)) as partial:
        shutil.copyfile(RECORDS.at(files), partial)


def _write_totals(files: Path, analysis: Analysis, params: ReportParams) -> Figures:
    with connect(files, memory_limit="400MB") as db:
        found = figures(db, files, analysis, params)
        write_table(db, TOTALS_SQL, TOTALS.at(files))
    return found


def figures(db: duckdb.DuckDBPyConnection, files: Path, analysis: Analysis, params: ReportParams) -> Figures:
    """Return what users want to know; creates the table `totals` (see `include.energy.figures.usage()`).

    Args:
        db: A new database.
        files: A folder that shows the step's inputs.
        analysis: Of the same records.
        params: How peaks are taken; the tariff and the factors, if there are any.

    Raises:
        BadInputError: The tariff or the factors cannot be used.
    """
    sources = files / SOURCE_FOLDER
    tariff = params.tariff and read_tariff(sources / params.tariff, params.tariff, analysis.timezone)
    factors = params.emissions and read_factors(sources / params.emissions, params.emissions)
    found = usage(db, files, analysis, SOURCE.find(files), params.peak_minutes)
    return Figures(
        found,
        cost(db, tariff, params.tariff or "", found) if tariff else None,
        emissions(db, factors, params.emissions or "", found) if factors else None,
    )


def rows_sql(files: Path, params: ReportParams) -> str:
    """Return SQL of the rows of `energy_report.csv`, in the order of the records.

    Numbers become text here, so that DuckDB converts each value of a column's dictionary once, not each record's.
    """
    return f"""
        SELECT {iso("make_timestamp(epoch_us(timestamp))")} AS timestamp,
            {text_cell(params, "household_id")} AS household_id,
            power::VARCHAR AS power, efficiency::VARCHAR AS efficiency, status,
            anomaly_detected::VARCHAR AS anomaly_detected, anomaly_reasons, state,
            {text_cell(params, "quality")} AS quality, method, export::VARCHAR AS export,
            generation::VARCHAR AS generation
        FROM read_parquet({file_argument(RECORDS.at(files))})
    """


def text_cell(params: ReportParams, column: str) -> str:
    """Return the SQL expression of a text of the input in `energy_report.csv`, over the accepted records.

    A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return as a formula (OWASP, CSV
    injection); an apostrophe before it makes it text.
    """
    if not params.escape_formulas:
        return column
    return rf"CASE WHEN regexp_matches({column}, '^[=+@\t\r-]') THEN chr(39) || {column} ELSE {column} END"


def describe(analysis: Analysis, found: Figures, plots: list[str]) -> EnergyReport:
    """Return the report's document: key figures, findings, tables, and what users want to know."""
    values = vars(analysis) | {
        "households": len(analysis.households),
        "peak_at": f"{analysis.peak_at:%Y-%m-%dT%H:%M:%SZ}",
        "coverage": round(analysis.received / analysis.expected, 4),
    }
    return EnergyReport(
        title=f"Energy report, {analysis.start:%Y-%m-%d %H:%M} to {analysis.end:%Y-%m-%d %H:%M} UTC",
        start=analysis.start,
        end=analysis.end,
        records=analysis.records_out + analysis.estimated,
        key_figures=ReportMetrics(**{name: values[name] for name in ReportMetrics.model_fields}),
        findings=analysis_findings(analysis),
        tables=[
            *_tables(analysis, found.usage),
            *usage_tables(found.usage),
            *cost_tables(found.cost),
            *emissions_tables(found.emissions),
        ],
        plots=plots,
        usage=found.usage,
        cost=found.cost,
        emissions=found.emissions,
    )


def _tables(analysis: Analysis, found: Usage) -> list[Table]:
    zone = parse_zone(analysis.timezone)
    by_energy = sorted(analysis.households, key=lambda home: (-home.energy_kwh, home.household_id))
    shown = by_energy[:HOUSEHOLDS_SHOWN]
    title = "Households" if len(shown) == len(by_energy) else f"The {len(shown)} largest of {len(by_energy)} households"
    reasons = sorted(analysis.rejected_by_reason.items(), key=lambda item: -item[1])
    methods = [(METHOD_LABELS[method], count) for method, count in analysis.estimated_by_method.items()]
    qualities = sorted(analysis.qualities.items(), key=lambda item: -item[1])[:QUALITIES_SHOWN]
    columns = {
        heading: name
        for heading, name in HOUSEHOLD_COLUMNS.items()
        if (analysis.suspect or heading not in SUSPECT_COLUMNS)
        and (analysis.estimated or heading not in ESTIMATE_COLUMNS)
    }
    if 2 <= len(found.years) <= YEARS_SHOWN:
        columns |= {f"Energy {total.start.year} (kWh)": f"year_{total.start.year}" for total in found.years}
    tables = [
        _table(title, columns, _with_usage(shown, found), zone),
        Table(title="Rejected records", columns=("Reason", "Records"), rows=tuple(reasons)),
        Table(title="Estimates", columns=("Method", "Intervals"), rows=tuple(methods)),
        Table(title="Quality as the input states it", columns=("Quality", "Records"), rows=tuple(qualities)),
        _table("Longest gaps", GAP_COLUMNS, analysis.longest_gaps, zone),
    ]
    return [table for table in tables if table.rows]


def _with_usage(homes: Sequence[HouseholdFigures], found: Usage) -> list[SimpleNamespace]:
    """Return households with their base load, and their energy by year (`year_2026`)."""
    usage_of = {home.household_id: home for home in found.households}
    return [
        SimpleNamespace(
            **vars(home),
            base_load_kw=usage_of[home.household_id].base_load_kw,
            **{f"year_{total.start.year}": total.energy_kwh for total in usage_of[home.household_id].years},
        )
        for home in homes
    ]


def _table(
    title: str, columns: Mapping[str, str], records: Sequence[BaseModel | SimpleNamespace], zone: tzinfo
) -> Table:
    """Return a table of records; each column has the name of the field that it shows, times are those of a zone.

    A column that no record fills is left out; a heading of times names the zone.
    """
    values = {heading: [getattr(record, name, None) for record in records] for heading, name in columns.items()}
    filled = {heading: cells for heading, cells in values.items() if any(cell is not None for cell in cells)}
    headings = [
        f"{heading} ({zone})" if any(isinstance(cell, datetime) for cell in cells) else heading
        for heading, cells in filled.items()
    ]
    rows = tuple(tuple(_cell(cell, zone) for cell in row) for row in zip(*filled.values(), strict=True))
    return Table(title=title, columns=tuple(headings), rows=rows)


def _cell(value: Any, zone: tzinfo) -> Scalar:
    return f"{value.astimezone(zone):%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value
