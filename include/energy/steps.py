"""The contracts of the three energy steps: their accounting and outcomes are read from the checked artifacts."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TypeVar

from include.core.contracts import SOURCES, Step
from include.core.errors import ContractError
from include.core.outcome import Finding, StepMetrics, StepOutcome
from include.core.run_folder import Records
from include.core.tables import connect, file_argument
from include.core.windows import parse_zone
from include.energy.params import AnalyzerParams, GeneratorParams, ReportParams
from include.energy.schemas import (
    ANALYSIS,
    ANOMALY_LABELS,
    DATA,
    PLOTS,
    RECORDS,
    REJECTED,
    REPORT,
    REPORT_ROWS,
    REPORT_TABLE,
    SOURCE,
    TOTALS,
    Analysis,
    AnalyzerMetrics,
    GeneratorMetrics,
)

K = TypeVar("K", bound=str)
REJECTED_SHARE_TO_WARN = 0.01
COVERAGE_TO_WARN = 0.95
BLOCK_BYTES = 1 << 20


def generator_records(files: Path) -> Records:
    """Count the generator's records: every one is passed on, for the analyzer judges them."""
    records = _count_lines(DATA.at(files))
    return Records(read=records, accepted=records)


def generator_outcome(files: Path) -> StepOutcome:
    """Return where the records came from; a generator that writes no `energy_source.json` has a count alone."""
    source = SOURCE.find(files)
    if source is None:
        return StepOutcome(metrics=StepMetrics(records=_count_lines(DATA.at(files))))
    metrics = GeneratorMetrics(
        source=source.source,
        records=source.records_written,
        households=source.households,
        interval_seconds=source.interval_seconds,
        files=tuple(file.name for file in source.files),
    )
    return StepOutcome(metrics=metrics, findings=tuple(source.findings))


def analyzer_records(files: Path) -> Records:
    """Count the records of the artifacts themselves, and compare `output1.json` with them.

    What is neither accepted nor rejected is outside the window; the recomputation judges every record and proves it.

    Raises:
        ContractError: `output1.json` states other numbers than the files hold.
    """
    analysis = ANALYSIS.read(files)
    reasons = _count_reasons(REJECTED.at(files))
    read, rejected = _count_lines(DATA.at(files)), sum(reasons.values())
    accepted, estimated = _count_rows(RECORDS.at(files))
    records = Records(
        read=read,
        accepted=accepted,
        rejected=rejected,
        outside=read - accepted - rejected,
        rejected_by_reason=reasons,
    )
    _agree(
        ANALYSIS.path,
        records_in=(analysis.records_in, records.read),
        records_out=(analysis.records_out, records.accepted),
        records_rejected=(analysis.records_rejected, records.rejected),
        records_outside_window=(analysis.records_outside_window, records.outside),
        estimated=(analysis.estimated, estimated),
        rejected_by_reason=(analysis.rejected_by_reason, reasons),
    )
    return records


def analyzer_outcome(files: Path) -> StepOutcome:
    """Return the key figures and findings of `output1.json`, and the interval that the data cover."""
    analysis = ANALYSIS.read(files)
    return StepOutcome(
        metrics=AnalyzerMetrics(**{name: getattr(analysis, name) for name in AnalyzerMetrics.model_fields}),
        findings=tuple(analysis_findings(analysis)),
        data_start=analysis.start.replace(microsecond=0),
        data_end=analysis.end.replace(microsecond=0),
    )


def report_records(files: Path) -> Records:
    """Count the rows of the report: one for every accepted record and every estimate.

    Raises:
        ContractError: `output2.json` states another number.
    """
    records = Records(read=sum(_count_rows(RECORDS.at(files))), accepted=_count_lines(REPORT_ROWS.at(files)))
    _agree(REPORT.path, records=(REPORT.read(files).records, records.accepted))
    return records


def report_outcome(files: Path) -> StepOutcome:
    """Return the key figures and tables of `output2.json`; its findings stand with the analyzer."""
    report = REPORT.read(files)
    return StepOutcome(metrics=report.key_figures, tables=tuple(report.tables))


def _agree(path: str, **numbers: tuple[object, object]) -> None:
    for key, (stated, counted) in numbers.items():
        if stated != counted:
            raise ContractError(path, f"{key} must be {counted}, as the record files hold", stated)


def _count_lines(path: Path) -> int:
    """Return the number of records of a CSV file: its lines that are not blank, without the header."""
    import numpy as np

    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            text = np.frombuffer(last + block, np.uint8)
            begins = text[:-1] == ord("\n")
            if (begins & (text[1:] <= ord(" "))).any():  # There may be a blank line; only then is every line examined.
                file.seek(0)
                return _count_filled(file) - 1
            lines, last = lines + int(np.count_nonzero(begins)), block[-1:]
    return max(lines - 1, 0)


def _count_filled(file: IO[bytes]) -> int:
    """Return the number of lines that are not blank, however long a line is."""
    lines, filled = 0, False
    while piece := file.readline(BLOCK_BYTES):
        filled |= not piece.isspace()
        if piece.endswith(b"\n"):
            lines, filled = lines + filled, False
    return lines + filled


def _count_rows(path: Path) -> tuple[int, int]:
    """Return the number of accepted records and of estimates; an estimate stands in no line."""
    with connect() as db:
        query = f"SELECT count(line), count(*) - count(line) FROM read_parquet({file_argument(path)})"
        ((accepted, estimated),) = db.execute(query).fetchall()
        return int(accepted), int(estimated)


def _count_reasons(path: Path) -> dict[str, int]:
    with path.open(encoding="utf-8", newline="") as file:
        return dict(sorted(Counter(row["reason"] for row in csv.DictReader(file)).items()))


def analysis_findings(analysis: Analysis) -> list[Finding]:
    """Return the findings in the order of a reader's questions: is it trustworthy, what is missing, what is odd."""
    generated = Finding(severity="info", message="The readings are synthetic: produced by the generator, not measured.")
    return [
        *([generated] if analysis.source == "generated" else []),
        *_record_findings(analysis),
        *_coverage_findings(analysis),
        *_anomaly_findings(analysis),
        _voltage_finding(analysis),
    ]


def _record_findings(analysis: Analysis) -> Iterator[Finding]:
    if analysis.records_rejected:
        share = analysis.records_rejected / analysis.records_in
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in _by_count(analysis.rejected_by_reason))
        message = (
            f"{analysis.records_rejected:,} of {analysis.records_in:,} records ({percent(share)}) were rejected: "
            f"{reasons}; rejected.csv shows each one."
        )
        yield Finding(severity="warning" if share >= REJECTED_SHARE_TO_WARN else "info", message=message)
    if analysis.suspect:
        message = (
            f"{_some(analysis.suspect, 'reading')} above the limit of the connection, and suspect: kept in "
            f"{REPORT_ROWS.path}, and left out of all totals. Energy without suspect readings: "
            f"{analysis.energy_kwh:,.2f} kWh, with them: {analysis.energy_with_suspect_kwh:,.2f} kWh."
        )
        yield Finding(severity="warning", message=message)
    if analysis.estimated:
        methods = ", ".join(f"{count:,} {method}" for method, count in _by_count(analysis.estimated_by_method))
        message = (
            f"{analysis.estimated:,} of {analysis.missing:,} missing intervals were estimated ({methods}). Energy with "
            f"estimates: {analysis.energy_kwh:,.2f} kWh, without: {analysis.energy_without_estimates_kwh:,.2f} kWh."
        )
        yield Finding(severity="info", message=message)
    if days := analysis.estimated_by_like_days:
        single = days.get(1, 0)
        span = f"{min(days)} to {max(days)} readings" if len(days) > 1 else _count(max(days), "reading")
        message = f"{_count(sum(days.values()), 'estimate')} by like days average {span} of like days each"
        message += f"; {single:,} of them rest on a single day." if single else "."
        yield Finding(severity="warning" if single else "info", message=message)
    if analysis.records_outside_window:
        message = f"{analysis.records_outside_window:,} records lie outside the window and were left out."
        yield Finding(severity="info", message=message)


def _coverage_findings(analysis: Analysis) -> Iterator[Finding]:
    if analysis.missing:
        coverage = analysis.received / analysis.expected
        gap, zone = analysis.longest_gaps[0], parse_zone(analysis.timezone)
        message = (
            f"{analysis.missing:,} of {analysis.expected:,} intervals ({percent(1 - coverage)}) have no valid record; "
            f"the longest gap: {gap.household_id}, {gap.intervals:,} interval{'s' * (gap.intervals != 1)} "
            f"from {gap.start.astimezone(zone):%Y-%m-%d %H:%M} to {gap.end.astimezone(zone):%Y-%m-%d %H:%M} {zone}."
        )
        yield Finding(severity="warning" if coverage < COVERAGE_TO_WARN else "info", message=message)
    if analysis.zero_runs:
        message = (
            f"{analysis.zero_runs:,} runs of zeros of a day or more, {analysis.zero_run_hours:,.0f} h in all: an empty "
            f"home or a dead meter. They count as readings."
        )
        yield Finding(severity="info", message=message)


def _anomaly_findings(analysis: Analysis) -> Iterator[Finding]:
    for reason, count in _by_count(analysis.anomalies_by_reason):
        if count:
            share = percent(count / analysis.records_out)
            message = f"{count:,} record{'s' * (count != 1)} ({share}): {ANOMALY_LABELS[reason]} ({reason})."
            yield Finding(severity="warning", message=message)
    if analysis.outlier_not_assessed:
        message = f"{analysis.outlier_not_assessed:,} records could not be assessed for outliers: too few samples."
        yield Finding(severity="info", message=message)


def _voltage_finding(analysis: Analysis) -> Finding:
    compliance = analysis.en_50160
    if compliance is None:
        return Finding(severity="info", message=f"No EN 50160 figure. {analysis.en_50160_note}")
    message = (
        f"EN 50160: {compliance.compliant_households} of {compliance.households} households keep 95 % of each week's "
        f"10-minute means within ± 10 % of {analysis.nominal_voltage:g} V (lowest week: "
        f"{percent(compliance.lowest_share)})."
    )
    compliant = compliance.compliant_households == compliance.households
    return Finding(severity="info" if compliant else "warning", message=message)


def _some(count: int, noun: str) -> str:
    """Return a number of things with the verb.

    >>> _some(1, "reading"), _some(1200, "reading")
    ('1 reading is', '1,200 readings are')
    """
    return f"{count:,} {noun} is" if count == 1 else f"{count:,} {noun}s are"


def _count(number: int, noun: str) -> str:
    """Return a number of things.

    >>> _count(1, "reading"), _count(1200, "reading")
    ('1 reading', '1,200 readings')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _by_count(counts: Mapping[K, int]) -> list[tuple[K, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def percent(share: float) -> str:
    """Return a share as a percentage of two significant digits; only a whole is 100 %.

    >>> percent(0.00123), percent(0.99985), percent(1.0)
    ('0.12 %', '99.98 %', '100 %')
    """
    value = share * 100
    if 95 < value < 100:
        return f"{math.floor(value * 100) / 100:.2f} %"
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.2g} %"


ENERGY_STEPS: dict[str, Step] = {
    step.id: step
    for step in (
        Step(
            id="energy-generator",
            title="Generate meter data",
            description="Generates plausible household readings, or converts your own meter files.",
            version="1",
            params=GeneratorParams,
            function="include.energy.generator:generate",
            reads=(SOURCES,),
            writes=(DATA, SOURCE),
            records=generator_records,
            outcome=generator_outcome,
            recompute="include.energy.audit.readings:prove_generator",
        ),
        Step(
            id="energy-analyzer",
            title="Analyze meter data",
            description="Judges every record, and adds up what the accepted ones say.",
            version="1",
            params=AnalyzerParams,
            function="include.energy.analyzer:analyze",
            reads=(SOURCES, DATA, SOURCE),
            writes=(ANALYSIS, RECORDS, REJECTED),
            records=analyzer_records,
            outcome=analyzer_outcome,
            recompute="include.energy.audit.analysis:prove_analyzer",
        ),
        Step(
            id="report-generator",
            title="Write the energy report",
            description="Writes the record-by-record report, totals, peaks, findings in plain words, and the plots.",
            version="2",
            params=ReportParams,
            function="include.energy.report:write_report",
            reads=(SOURCES, ANALYSIS, SOURCE, RECORDS, REJECTED),
            writes=(REPORT, REPORT_ROWS, REPORT_TABLE, TOTALS, *PLOTS.values()),
            records=report_records,
            outcome=report_outcome,
            recompute="include.energy.audit.rows:prove_report",
        ),
    )
}
