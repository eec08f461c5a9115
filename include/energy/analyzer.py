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
from include.energy.db import connect, write_table
from include.energy.intervals import define_slots
from include.energy.lines import inspect
from include.energy.params import AnalyzerParams
from include.energy.schemas import ANALYSIS, DATA, OUTSIDE, RECORDS, SOURCE, Analysis, EnergySource


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
        validation.parse(db, data, params, source)
        counts = validation.count_reasons(db)
        if not counts.get(""):
            raise validation.nothing_accepted(db, data, counts, files, params)
        validation.order(db, params.timezone)
        intervals = validation.accept(db, source)
        validation.forget_parsed(db)
        window = (params.start, params.end) if params.start and params.end else None
        origins = define_slots(db, intervals, window)
        judge(db, params.outlier_threshold)
        figures = statistics.figures(db, intervals, origins, window, params.high_usage_kw)
        analysis = summarise(db, params, figures, list(intervals.values()), source, counts)
        validation.write_rejected(db, data, files)
        write_table(db, _records_sql(params), RECORDS.at(files))
    write_atomically(ANALYSIS.at(files), analysis.model_dump_json().encode() + b"\n")


def _records_sql(params: AnalyzerParams) -> str:
    """Return SQL of `energy_records.parquet`, from `judged`."""
    bits = validation.BITS
    texts = [";".join(reason for reason in bits if flags & bits[reason]) for flags in range(sum(bits.values()) + 1)]
    reasons = f"([NULL, {', '.join(map(literal, texts[1:]))}])[(flags & {len(texts) - 1}) + 1]"
    high = "NULL" if params.high_usage_kw is None else params.high_usage_kw
    return f"""
        SELECT make_timestamptz(epoch_us(ts)) AS timestamp, household::VARCHAR AS household_id, power, efficiency,
            CASE WHEN power > {high} THEN 'high_usage' ELSE 'normal' END AS status,
            flags & {len(texts) - 1} <> 0 AS anomaly_detected, {reasons} AS anomaly_reasons,
            flags & {validation.FLAG_ZERO_RUN} <> 0 AS zero_run, line
        FROM judged"""


def summarise(
    db: duckdb.DuckDBPyConnection,
    params: AnalyzerParams,
    figures: dict[str, Any],
    seconds: list[int],
    source: EnergySource | None,
    counts: dict[str, int],
) -> Analysis:
    """Return the document of an analysis.

    Args:
        db: Holds `accepted`, `judged`, `rejected` and `clock`.
        params: Limits, window and clock.
        figures: From `include.energy.statistics.figures()`.
        seconds: Intervals of the households, in the order of the type `household`.
        source: What the generator states of the data.
        counts: From `include.energy.validation.count_reasons()`.
    """
    reasons = dict(db.execute("SELECT reason::VARCHAR, count(*) FROM rejected GROUP BY ALL ORDER BY 1").fetchall())
    records_in, outside, rejected = sum(counts.values()), counts.get(OUTSIDE, 0), sum(reasons.values())
    start, end = (int(figures[name].timestamp()) for name in ("start", "end"))
    compliance, note = curves.voltage_compliance(db, seconds, start, end, params.nominal_voltage)
    curves.summarise_quarters(db)
    return Analysis(
        source=source.source if source else None,
        timezone=params.timezone or "UTC",
        interval_seconds=seconds[0] if len(set(seconds)) == 1 else None,
        high_usage_kw=params.high_usage_kw,
        nominal_voltage=params.nominal_voltage,
        records_in=records_in,
        records_out=records_in - rejected - outside,
        records_rejected=rejected,
        records_outside_window=outside,
        rejected_by_reason=reasons,
        en_50160=compliance,
        en_50160_note=note,
        load_curve=curves.load_curve(db, min(seconds)),
        heat_map=curves.heat_map(db),
        **figures,
    )
