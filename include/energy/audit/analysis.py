"""The analyzer's artifacts recomputed: each record judged again, the totals from all records, a sample twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from include.core.errors import ContractError
from include.core.outcome import Proof
from include.core.tables import file_argument, literal
from include.core.windows import parse_zone
from include.energy.audit.estimates import prove_estimates
from include.energy.audit.judgements import OWN_FLAGS, judge_again
from include.energy.audit.plain_rules import Judgement, UndecidedError, judge_record, judge_series
from include.energy.audit.samples import draw, take
from include.energy.audit.tables import header, require_no_more_columns
from include.energy.audit.totals import compare_anomalies, compare_totals, number_intervals
from include.energy.db import connect
from include.energy.lines import LineFile, inspect
from include.energy.params import AnalyzerParams
from include.energy.schemas import ANALYSIS, DATA, RECORDS, REJECTED, SOURCE, EnergySource
from include.energy.timeline import Timeline
from include.energy.validation import BITS, FLAG_SUSPECT, FLAG_ZERO_RUN, set_suspects_apart

RECORDS_JUDGED_TWICE = 200
RECORDS_AT_ONCE = 10_000
SERIES_BITS = {"outlier": BITS["outlier"], "flat_line": BITS["flat_line"], "zero_run": FLAG_ZERO_RUN}


def prove_analyzer(files: Path, params: AnalyzerParams, *, audit: bool = False) -> tuple[Proof, ...]:
    """Recompute `output1.json`, `energy_records.parquet` and `rejected.csv` from `energy_data.csv`.

    Args:
        files: A folder that shows the analyzer's inputs and outputs, and the input files in `source/`.
        params: Limits, window and clock.
        audit: Recompute the anomalies of all households, and judge all records by the plain rules too, not a sample.

    Returns:
        What was recomputed, with the households and lines that were drawn.

    Raises:
        ContractError: An artifact states something else than `energy_data.csv` gives.
    """
    data, source, analysis = inspect(DATA.at(files)), SOURCE.find(files), ANALYSIS.read(files)
    with connect(files) as db:
        described = db.execute(f"DESCRIBE FROM read_parquet({file_argument(RECORDS.at(files))})").fetchall()
        require_no_more_columns(RECORDS, [name for name, *_ in described])
        require_no_more_columns(REJECTED, header(REJECTED.at(files)))
        counts = judge_again(db, data, files, params, source)
        judged = _judge_twice(db, data, params, source, audit=audit)
        lines, plain = ((), sum(1 for _ in judged)) if audit else (tuple(judged), 0)
        timeline = number_intervals(db, params, source)
        set_suspects_apart(db, "stated")
        estimates = prove_estimates(db, params, source, timeline, audit=audit)
        homes = [name for (name,) in db.execute("SELECT DISTINCT household::VARCHAR FROM stated ORDER BY 1").fetchall()]
        drawn = draw(homes, audit=audit)
        compare_anomalies(db, params, drawn)
        with ThreadPoolExecutor(1) as pool:  # the plain rules are Python's work, the totals DuckDB's
            judged_twice = None
            for household in drawn if audit else take(drawn, 1):
                series = _series(db, household)
                if judged_twice:
                    judged_twice.result()
                judged_twice = pool.submit(_judge_series_twice, series, params, household, timeline)
            compare_totals(db, params, source, counts, timeline, analysis)
            if judged_twice:
                judged_twice.result()
    if audit:
        values = "line, household, time, power, efficiency and all anomalies"
        records = Proof(artifact=RECORDS.path, recomputed=f"{values} of {analysis.records_out:,} records{estimates}")
        rules = Proof(artifact=DATA.path, recomputed=f"{plain:,} records judged by plain rules")
    else:
        outlined = f"outlier, flat_line and zero_run of all records of {len(drawn)} of {len(homes)} households"
        records = Proof(
            artifact=RECORDS.path,
            recomputed=f"line, household, time, power and efficiency of {analysis.records_out:,} records{estimates}",
            sampled=outlined,
            draw=tuple(drawn),
        )
        rules = Proof(artifact=DATA.path, sampled=f"{len(lines)} records judged by plain rules", draw=lines)
    return (
        Proof(artifact=ANALYSIS.path, recomputed=f"every value, from {analysis.records_out:,} accepted records"),
        records,
        Proof(
            artifact=REJECTED.path,
            recomputed=f"place, text and reason of {analysis.records_rejected:,} records",
        ),
        rules,
    )


def _judge_twice(
    db: duckdb.DuckDBPyConnection, data: LineFile, params: AnalyzerParams, source: EnergySource | None, *, audit: bool
) -> Iterator[int]:
    """Judge some records, or all, by the plain rules too; yields the lines of those that they decided."""
    ((first, last),) = db.execute("SELECT min(line), max(line) FROM parsed").fetchall()
    lines = range(first, last + 1)
    numbers = lines if audit else take(lines, RECORDS_JUDGED_TWICE)
    texts = data.texts_at(numbers)
    for start in range(0, len(numbers), RECORDS_AT_ONCE):
        some = numbers[start : start + RECORDS_AT_ONCE]
        query = f"""
            SELECT line, CASE WHEN line IN (SELECT line FROM repeated) THEN NULL ELSE reason::VARCHAR END AS reason,
                household, ts, power, efficiency, flags & {OWN_FLAGS} AS flags, quality
            FROM parsed WHERE line IN ({", ".join(map(str, some))})
        """
        parsed = {line: values for line, *values in db.execute(query).fetchall()}
        for line, text in islice(texts, len(some)):
            if line not in parsed:
                continue  # an empty line
            try:
                plain = judge_record(text, data, params, source)
            except UndecidedError:
                continue
            if not _agree(plain, parsed[line]):
                rule = f"line {line} must be judged as the rules say: {_words(plain)}"
                raise ContractError(DATA.path, rule, parsed[line])
            yield line


def _agree(plain: Judgement, parsed: Sequence[Any]) -> bool:
    reason, household, ts, power, efficiency, flags, quality = parsed
    if plain.reason is not None or reason is not None:
        return bool(plain.reason == reason)
    anomalies = {name for name, bit in BITS.items() if flags & bit}
    return (
        plain.household == household
        and plain.time == ts.replace(tzinfo=UTC)
        and _near(plain.power, power, 1e-6)
        and _near(plain.efficiency, efficiency, 1e-4)
        and plain.anomalies == anomalies
        and plain.suspect == bool(flags & FLAG_SUSPECT)
        and plain.quality == quality
    )


def _near(a: float | None, b: float | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= tolerance + 1e-12 * abs(a)


def _words(plain: Judgement) -> str:
    marks = [*sorted(plain.anomalies), *["suspect"] * plain.suspect]
    return plain.reason or f"{plain.household}, {plain.time}, {plain.power} kW, {marks}, quality {plain.quality}"


def _series(db: duckdb.DuckDBPyConnection, household: str) -> list[Any]:
    """Return start (seconds since 1970), power, flags and line of a household's stated records, by time."""
    return db.execute(
        f"SELECT epoch(ts)::BIGINT, power, flags, line FROM stated WHERE household = {literal(household)} ORDER BY ts"
    ).fetchall()


def _judge_series_twice(rows: Sequence[Any], params: AnalyzerParams, household: str, timeline: Timeline) -> None:
    """Judge the series of a household by the plain rules too."""
    series = [(start, power) for start, power, _, _ in rows]
    zone = parse_zone(params.timezone or "UTC")
    plain = dict(judge_series(series, zone, params.outlier_threshold, timeline.stretches[household]))
    for start, _, flags, line in rows:
        marks = {name for name, bit in SERIES_BITS.items() if flags & bit}
        if start in plain and plain[start] != marks:
            rule = f"anomalies of {household} in line {line} must be {sorted(plain[start])}, as the rules say"
            raise ContractError(RECORDS.path, rule, sorted(marks))
