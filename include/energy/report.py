"""Step 3, report-generator: every accepted record with its result, the findings in plain words, and the plots.

Reads `output1.json`, `energy_records.parquet` and `rejected.csv`; writes `energy_report.csv`, `output2.json` and the
plots.
"""

from __future__ import annotations

from pathlib import Path

from include.core.outcome import Scalar, Table
from include.core.sql import file_literal
from include.energy.db import connect, write_csv
from include.energy.outcomes import analysis_findings
from include.energy.params import ReportParams
from include.energy.plots import draw_plots
from include.energy.schemas import (
    ANALYSIS,
    RECORDS,
    REPORT,
    REPORT_ROWS,
    Analysis,
    EnergyReport,
    HouseholdFigures,
    ReportMetrics,
)
from include.energy.stamps import iso

HOUSEHOLDS_SHOWN = 25


def write_report(files: Path, params: ReportParams) -> None:
    """Write the report of an analysis.

    Args:
        files: The run's `files/` folder.
        params: None are taken.

    Raises:
        SetupError: The folder cannot be written.
    """
    analysis = ANALYSIS.read(files)
    with connect(files, memory_limit="400MB") as db:
        write_csv(
            db,
            f"""
            SELECT {iso("(timestamp AT TIME ZONE 'UTC')")} AS timestamp, household_id, power,
                efficiency, status, anomaly_detected, anomaly_reasons
            FROM read_parquet({file_literal(RECORDS.at(files))})
            """,
            REPORT_ROWS.at(files),
        )
    REPORT.write(files, describe(analysis, draw_plots(analysis, files)))


def describe(analysis: Analysis, plots: list[str]) -> EnergyReport:
    """Return the report's document: key figures, findings and tables."""
    return EnergyReport(
        title=f"Energy report, {analysis.start:%Y-%m-%d %H:%M} to {analysis.end:%Y-%m-%d %H:%M} UTC",
        start=analysis.start,
        end=analysis.end,
        records=analysis.records_out,
        key_figures=ReportMetrics(
            households=len(analysis.households),
            energy_kwh=analysis.energy_kwh,
            peak_kw=analysis.peak_kw,
            peak_at=f"{analysis.peak_at:%Y-%m-%dT%H:%M:%SZ}",
            load_factor=analysis.load_factor,
            mean_power_factor=analysis.mean_power_factor,
            coverage=round(analysis.received / analysis.expected, 4),
            high_usage=analysis.high_usage,
            anomalies=analysis.anomalies,
            records_rejected=analysis.records_rejected,
        ),
        findings=analysis_findings(analysis),
        tables=_tables(analysis),
        plots=plots,
    )


def _tables(analysis: Analysis) -> list[Table]:
    by_energy = sorted(analysis.households, key=lambda home: (-home.energy_kwh, home.household_id))
    shown = by_energy[:HOUSEHOLDS_SHOWN]
    title = "Households" if len(shown) == len(by_energy) else f"The {len(shown)} largest of {len(by_energy)} households"
    tables = [
        Table(
            title=title,
            columns=[
                "Household",
                "Energy (kWh)",
                "Peak (kW)",
                "Peak at (UTC)",
                "Load factor",
                "Power factor",
                "Missing intervals",
                "High usage",
                "Anomalies",
            ],
            rows=[_household_row(home) for home in shown],
        )
    ]
    if analysis.rejected_by_reason:
        rows: list[tuple[Scalar, ...]] = [
            (reason, count) for reason, count in sorted(analysis.rejected_by_reason.items(), key=lambda item: -item[1])
        ]
        tables.append(Table(title="Rejected records", columns=["Reason", "Records"], rows=rows))
    if analysis.longest_gaps:
        tables.append(
            Table(
                title="Longest gaps",
                columns=["Household", "From (UTC)", "To (UTC)", "Intervals"],
                rows=[
                    [gap.household_id, f"{gap.start:%Y-%m-%d %H:%M}", f"{gap.end:%Y-%m-%d %H:%M}", gap.intervals]
                    for gap in analysis.longest_gaps
                ],
            )
        )
    return tables


def _household_row(home: HouseholdFigures) -> tuple[Scalar, ...]:
    return (
        home.household_id,
        home.energy_kwh,
        home.peak_kw,
        None if home.peak_at is None else f"{home.peak_at:%Y-%m-%d %H:%M}",
        home.load_factor,
        home.mean_power_factor,
        home.missing,
        home.high_usage,
        home.anomalies,
    )
