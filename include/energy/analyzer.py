"""Step 2, energy-analyzer: validates every record, and computes the figures of the accepted ones.

Reads `energy_data.csv` (and `energy_source.json` and `source/*` where there are any); writes `output1.json`,
`energy_records.parquet` and `rejected.csv`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import duckdb

from include.core.errors import BadInputError
from include.core.files import write_atomically
from include.core.progress import Progress
from include.core.tables import literal
from include.energy import curves, statistics, validation
from include.energy.anomalies import judge
from include.energy.db import connect, count, write_table
from include.energy.estimation import estimate, find_advances
from include.energy.lines import inspect
from include.energy.params import AnalyzerParams
from include.energy.schemas import ANALYSIS, DATA, OUTSIDE, RECORDS, SOURCE, Analysis, EnergySource
from include.energy.sufficiency import require, require_sufficient
from include.energy.timeline import Timeline, draw_timeline

REPEATED = ("duplicate_timestamp", "superseded")
"""Reasons that lose no reading: another one of the same household and time is accepted."""
IMPLAUSIBLE = 10
READINGS_OF_A_SPIKE = 24
PARTS = 6
"""Of the analysis, for its progress: order, accept, judge, compute, summarise, write."""


def analyze(files: Path, params: AnalyzerParams) -> None:
    """Validate the records of `energy_data.csv` and write the figures of the accepted ones.

    Args:
        files: The run's `files/` folder.
        params: Limits, window and clock.

    Raises:
        BadInputError: The file cannot be read, lacks a required column, holds no record that can be accepted, or gives
            figures that are not plausible.
        SetupError: The folder cannot be written.
    """
    data, source = inspect(DATA.at(files)), SOURCE.find(files)
    with connect(files) as db:
        validation.parse(db, data, params, source)
        counts = validation.count_reasons(db)
        progress = Progress(f"analyzing {sum(counts.values()):,} records", "parts", PARTS)
        if not counts.get(""):
            raise validation.nothing_accepted(db, data, counts, files, params)
        validation.order(db, params.timezone)
        progress.add()
        if params.estimate:
            find_advances(db)
        intervals = validation.accept(db, source)
        validation.keep_flows(db, data)
        validation.forget_parsed(db)
        progress.add()
        window = (params.start, params.end) if params.start and params.end else None
        timeline = draw_timeline(db, intervals, source, window)
        validation.set_suspects_apart(db)
        judge(db, params.outlier_threshold)
        progress.add()
        if params.estimate:
            estimate(db, timeline, params, source)
            db.execute("INSERT INTO judged BY NAME SELECT * EXCLUDE (method, like_days) FROM estimates")
        figures = statistics.figures(db, timeline, window, params.high_usage_kw)
        progress.add()
        analysis = summarise(db, params, figures, timeline, source, counts)
        require_plausible(db, analysis, source, params)
        require_sufficient(analysis)
        progress.add()
        validation.write_rejected(db, data, files)
        write_table(db, _records_sql(db, params), RECORDS.at(files))
    write_atomically(ANALYSIS.at(files), analysis.model_dump_json().encode() + b"\n")


def _records_sql(db: duckdb.DuckDBPyConnection, params: AnalyzerParams) -> str:
    """Return SQL of `energy_records.parquet`, from `judged`, `suspects` and `estimates`."""
    bits = validation.BITS
    texts = [";".join(reason for reason in bits if flags & bits[reason]) for flags in range(sum(bits.values()) + 1)]
    reasons = f"([NULL, {', '.join(map(literal, texts[1:]))}])[(flags & {len(texts) - 1}) + 1]"
    high = "NULL" if params.high_usage_kw is None else params.high_usage_kw
    published, state, method = "judged", "'valid'", "NULL::VARCHAR"
    if params.estimate or count(db, "SELECT count(*) FROM suspects"):
        tables = ["SELECT * FROM judged WHERE line IS NOT NULL", "SELECT * EXCLUDE (voltage) FROM suspects"]
        tables += ["SELECT * FROM estimates"] * params.estimate
        published = f"({' UNION ALL BY NAME '.join(tables)} ORDER BY household, ts, line NULLS LAST)"
        states = {"estimated": validation.FLAG_ESTIMATED, "suspect": validation.FLAG_SUSPECT}
        cases = " ".join(f"WHEN flags & {bit} <> 0 THEN '{name}'" for name, bit in states.items())
        state = f"CASE {cases} ELSE 'valid' END"
        method = "method" if params.estimate else method
    flows = "NULL::DOUBLE AS export, NULL::DOUBLE AS generation"
    if count(db, "SELECT count(*) FROM flows"):
        flows = "export, generation"
        published = f"(FROM {published} LEFT JOIN flows USING (line) ORDER BY household, ts, line NULLS LAST)"
    return f"""
        SELECT make_timestamptz(epoch_us(ts)) AS timestamp, household::VARCHAR AS household_id, power, efficiency,
            CASE WHEN power > {high} THEN 'high_usage' ELSE 'normal' END AS status,
            flags & {len(texts) - 1} <> 0 AS anomaly_detected, {reasons} AS anomaly_reasons,
            {state} AS state, quality::VARCHAR AS quality, {method} AS method,
            {flows},
            flags & {validation.FLAG_ZERO_RUN} <> 0 AS zero_run, line
        FROM {published}"""


def summarise(
    db: duckdb.DuckDBPyConnection,
    params: AnalyzerParams,
    figures: dict[str, Any],
    timeline: Timeline,
    source: EnergySource | None,
    counts: dict[str, int],
) -> Analysis:
    """Return the document of an analysis.

    Args:
        db: Holds `accepted`, `judged`, `suspects`, `rejected`, `clock` and, where asked for, `estimates`.
        params: Limits, window and clock.
        figures: From `include.energy.statistics.figures()`.
        timeline: The intervals of the households.
        source: What the generator states of the data.
        counts: From `include.energy.validation.count_reasons()`.
    """
    reasons = dict(db.execute("SELECT reason::VARCHAR, count(*) FROM rejected GROUP BY ALL ORDER BY 1").fetchall())
    records_in, outside, rejected = sum(counts.values()), counts.get(OUTSIDE, 0), sum(reasons.values())
    start, end = (int(figures[name].timestamp()) for name in ("start", "end"))
    seconds = timeline.shortest
    compliance, note = curves.voltage_compliance(db, seconds, start, end, params.nominal_voltage)
    curves.summarise_quarters(db, timeline)
    requirements = require(params, *(figures[n] for n in ("expected", "received", "estimated", "longest_gaps")))
    return Analysis(
        source=source.source if source else None,
        timezone=params.timezone or "UTC",
        interval_seconds=seconds[0] if timeline.constant and len(set(seconds)) == 1 else None,
        high_usage_kw=params.high_usage_kw,
        nominal_voltage=params.nominal_voltage,
        records_in=records_in,
        records_out=records_in - rejected - outside,
        records_rejected=rejected,
        records_outside_window=outside,
        rejected_by_reason=reasons,
        qualities=_count_qualities(db),
        estimated_by_method=_count_methods(db) if params.estimate else {},
        estimated_by_like_days=_count_like_days(db) if params.estimate else {},
        sufficient=all(requirement.met for requirement in requirements),
        requirements=requirements,
        en_50160=compliance,
        en_50160_note=note,
        load_curve=curves.load_curve(db, timeline.longest),
        heat_map=curves.heat_map(db),
        **figures,
    )


def _count_qualities(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return how many accepted records are of which quality, in its order, where the input states one."""
    return dict(
        db.execute("""
            SELECT quality::VARCHAR, count(*) FROM (SELECT quality FROM judged UNION ALL SELECT quality FROM suspects)
            WHERE quality IS NOT NULL GROUP BY quality ORDER BY quality
        """).fetchall()
    )


def _count_methods(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return how many estimates were made by which method, in the order of their names."""
    return dict(db.execute("SELECT method, count(*) FROM estimates GROUP BY method ORDER BY method").fetchall())


def _count_like_days(db: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """Return how many estimates average how many readings of like days, fewest first."""
    query = (
        "SELECT like_days, count(*) FROM estimates WHERE like_days IS NOT NULL GROUP BY like_days ORDER BY like_days"
    )
    return dict(db.execute(query).fetchall())


def require_plausible(
    db: duckdb.DuckDBPyConnection, analysis: Analysis, source: EnergySource | None, params: AnalyzerParams
) -> None:
    """Refuse figures of input files that no meter can have meant.

    Args:
        db: Holds `judged`, of valid records and estimates, and the macros of `include.energy.timeline.draw_timeline()`.
        analysis: The figures.
        source: Where the records came from; only input files are judged.
        params: The limits.

    Raises:
        BadInputError: Too many records were rejected, one reading holds more than half of the energy, or a household's
            mean power is ten times what counts as high usage.
    """
    if source is None or source.source != "files":
        return
    judged = analysis.records_in - analysis.records_outside_window
    reasons = {reason: n for reason, n in analysis.rejected_by_reason.items() if reason not in REPEATED}
    rejected = sum(reasons.values())
    share = rejected / judged
    if params.max_rejected is not None and share > params.max_rejected:
        shown = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        raise BadInputError(
            f"{rejected:,} of {judged:,} records ({share:.0%}) would be rejected: {shown}; at most "
            f"{params.max_rejected:.0%} may be; correct the files or how they are read, or allow more with "
            "--set max_rejected=1"
        )
    spike = db.execute(f"""
        WITH energy AS (SELECT household, ts, power * interval_of(household, ts) / 3600 AS kwh, power FROM judged
            WHERE power > 0)
        SELECT max_by(household::VARCHAR, kwh), max_by(ts, kwh), max(kwh), sum(kwh), max_by(power, kwh) FROM energy
        HAVING count(*) >= {READINGS_OF_A_SPIKE} AND max(kwh) > sum(kwh) / 2
    """).fetchone()
    if spike and validation.limit_of(spike[0], params, source) is None:
        household, time, kwh, total, power = spike
        raise BadInputError(
            f"household {household}: the reading at {time} UTC, {power:,.6g} kW, holds {kwh:,.6g} of {total:,.6g} kWh, "
            "more than half of the energy; state what the connection can carry, for example --limit-kw 50: the reading "
            f"is suspect then, and in no total; or accept it with --limit-kw {math.ceil(power * 1.01)}"
        )
    high = next(
        (
            home
            for home in analysis.households
            if params.high_usage_kw and home.mean_kw and home.mean_kw > IMPLAUSIBLE * params.high_usage_kw
        ),
        None,
    )
    if high and source.unit not in ("MW", "MWh"):
        raise BadInputError(
            f"household {high.household_id}: its mean power, {high.mean_kw:,.6g} kW, is more than {IMPLAUSIBLE} times "
            f"what counts as high usage ({params.high_usage_kw:g} kW); if the values are in W or Wh, map them as "
            "power_w or energy_wh; if this is no home, say so with --set high_usage_kw=null"
        )
