"""Step 2, energy-analyzer: validates every record, and computes the figures of the accepted ones.

Reads `energy_data.csv` (and `energy_source.json` and `source/*` where there are any); writes `output1.json`,
`energy_records.parquet` and `rejected.csv`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from include.core.files import write_atomically
from include.core.tables import literal
from include.energy import curves, statistics, validation
from include.energy.anomalies import judge
from include.energy.artifacts import ANALYSIS, DATA, RECORDS, SOURCE
from include.energy.db import connect, write_parquet
from include.energy.intervals import origins_of
from include.energy.lines import inspect
from include.energy.params import AnalyzerParams
from include.energy.schemas import OUTSIDE, Analysis, EnergySource


def analyze(files: Path, params: AnalyzerParams) -> None:
    """Validate the records of `energy_data.csv` and write the figures of the accepted ones.

    Args:
        files: The run's `files/` folder.
        params: Limits, window and clock.

    Raises:
        BadInputError: The file cannot be read, lacks a required column, or holds no record that can be accepted.
        SetupError: The folder cannot be written.
    """
    data, source = inspect(DATA.at(files)), SOURCE.find(files)
    with connect(files) as db:
        validation.parse(db, data, params)
        verdicts = dict(
            db.execute("SELECT coalesce(verdict::VARCHAR, ''), count(*) FROM parsed GROUP BY ALL").fetchall()
        )
        if not verdicts.get(""):
            raise validation.nothing_accepted(db, data, verdicts, files, params)
        validation.order(db, params.timezone)
        intervals = validation.accept(db, DATA.path, source.interval_of if source else lambda _: None)
        db.execute("DROP TABLE parsed")
        window = (params.start, params.end) if params.start and params.end else None
        origins = origins_of(db, intervals, window)
        judge(db, list(intervals.values()), list(origins.values()), params.outlier_threshold)
        analysis = _analysis(db, params, intervals, verdicts, source)
        validation.write_rejected(db, data, files)
        write_parquet(db, _records_sql(params), RECORDS.at(files))
    write_atomically(ANALYSIS.at(files), analysis.model_dump_json().encode() + b"\n")


def _records_sql(params: AnalyzerParams) -> str:
    """Return SQL of `energy_records.parquet`, from `judged`."""
    bits = validation.BITS
    texts = [";".join(reason for reason in bits if flags & bits[reason]) for flags in range(sum(bits.values()) + 1)]
    reasons = f"([NULL, {', '.join(map(literal, texts[1:]))}])[(flags & {len(texts) - 1}) + 1]"
    high = "NULL" if params.high_usage_kw is None else params.high_usage_kw
    return f"""
        SELECT ts::TIMESTAMPTZ AS timestamp, household::VARCHAR AS household_id, power, efficiency,
            CASE WHEN power > {high} THEN 'high_usage' ELSE 'normal' END AS status,
            flags & {len(texts) - 1} <> 0 AS anomaly_detected, {reasons} AS anomaly_reasons,
            flags & {validation.FLAG_ZERO_RUN} <> 0 AS zero_run, line
        FROM judged"""


def _accounting(db: duckdb.DuckDBPyConnection, verdicts: dict[str, int]) -> dict[str, Any]:
    reasons = dict(db.execute("SELECT verdict::VARCHAR, count(*) FROM rejected GROUP BY ALL ORDER BY 1").fetchall())
    records_in, outside, rejected = sum(verdicts.values()), verdicts.get(OUTSIDE, 0), sum(reasons.values())
    return {
        "records_in": records_in,
        "records_out": records_in - rejected - outside,
        "records_rejected": rejected,
        "records_outside_window": outside,
        "rejected_by_reason": reasons,
    }


def _analysis(
    db: duckdb.DuckDBPyConnection,
    params: AnalyzerParams,
    intervals: dict[str, int],
    verdicts: dict[str, int],
    source: EnergySource | None,
) -> Analysis:
    curves.summarise_quarters(db)
    window = (params.start, params.end) if params.start and params.end else None
    profiles = curves.hourly_profiles(db)
    households, gaps = statistics.household_figures(db, intervals, window, params.high_usage_kw, profiles)
    start, end = window or statistics.extent(db, intervals)
    seconds = min(intervals.values())
    compliance, note = curves.voltage_compliance(
        db, intervals, int(start.timestamp()), int(end.timestamp()), params.nominal_voltage
    )
    return Analysis(
        start=start,
        end=end,
        source=source.source if source else None,
        timezone=params.timezone or "UTC",
        interval_seconds=seconds if len(set(intervals.values())) == 1 else None,
        high_usage_kw=params.high_usage_kw,
        nominal_voltage=params.nominal_voltage,
        **_accounting(db, verdicts),
        **statistics.totals(db, households),
        longest_gaps=gaps,
        en_50160=compliance,
        en_50160_note=note,
        hourly_profile_kw=profiles[None],
        load_curve=curves.load_curve(db, seconds),
        heat_map=curves.heat_map(db),
        households=households,
    )
