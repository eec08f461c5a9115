"""The contracts of the three energy steps."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from include.core.contracts import Artifact, Records, Step, Summary
from include.core.errors import ContractError
from include.core.sql import file_literal
from include.energy.findings import findings
from include.energy.results import (
    Analysis,
    AnalyzerParams,
    EnergyRecord,
    EnergyReport,
    RejectedRecord,
    ReportParams,
    ReportRow,
)
from include.energy.schemas import EnergySource, GeneratorParams, RawReading

DATA = Artifact("energy_data.csv", RawReading)
SOURCE = Artifact("energy_source.json", EnergySource, optional=True)  # other generators need not write it
ANALYSIS = Artifact("output1.json", Analysis)
RECORDS = Artifact("energy_records.parquet", EnergyRecord)
REJECTED = Artifact("rejected.csv", RejectedRecord, may_be_empty=True)
REPORT = Artifact("output2.json", EnergyReport)
REPORT_ROWS = Artifact("energy_report.csv", ReportRow)
BLOCK = 1 << 20
NEWLINE, SPACE = b"\n "
PLOTS = tuple(Artifact(f"plot_{name}.png") for name in ("load_curve", "heat_map", "households", "anomalies", "records"))

KEY_FIGURES = (
    "records_in",
    "records_out",
    "records_rejected",
    "records_outside_window",
    "rejected_by_reason",
    "energy_kwh",
    "peak_kw",
    "high_usage",
    "anomalies",
    "anomalies_by_reason",
    "expected",
    "missing",
)


def generator_records(files: Path) -> Records:
    """Every record is passed on: the analyzer judges."""
    records = _lines(files / DATA.path)
    return Records(read=records, accepted=records)


def generator_summary(files: Path) -> Summary:
    """Where the records came from."""
    path = files / SOURCE.path
    if not path.exists():
        return {"records": _lines(files / DATA.path)}
    source = EnergySource.model_validate_json(path.read_bytes())
    return {
        "source": source.source,
        "records": source.records_written,
        "households": source.households,
        "interval_seconds": source.interval_seconds,
        "files": [file.name for file in source.files],
        "findings": [finding.model_dump() for finding in source.findings],
    }


def analyzer_records(files: Path) -> Records:
    """Counts the artifacts themselves, and holds `output1.json` to them.

    Raises:
        ContractError: `output1.json` says something else than the files hold.
    """
    analysis = _analysis(files)
    reasons = _rejected_by_reason(files / REJECTED.path)
    found = Records(
        read=_lines(files / DATA.path),
        accepted=_rows(files / RECORDS.path),
        rejected=sum(reasons.values()),
        outside=analysis.records_outside_window,
        rejected_by_reason=reasons,
    )
    said = {
        "records_in": (analysis.records_in, found.read),
        "records_out": (analysis.records_out, found.accepted),
        "records_rejected": (analysis.records_rejected, found.rejected),
        "rejected_by_reason": (analysis.rejected_by_reason, reasons),
    }
    _agree(ANALYSIS.path, said)
    return found


def analyzer_summary(files: Path) -> Summary:
    """The key figures of `output1.json`, and what a person should know."""
    analysis = _analysis(files)
    return {
        **{name: getattr(analysis, name) for name in KEY_FIGURES},
        "data_start": f"{analysis.start:%Y-%m-%dT%H:%M:%SZ}",
        "data_end": f"{analysis.end:%Y-%m-%dT%H:%M:%SZ}",
        "findings": [finding.model_dump() for finding in findings(analysis)],
    }


def report_records(files: Path) -> Records:
    """Every accepted record is a row of the report.

    Raises:
        ContractError: `output2.json` says another number.
    """
    found = Records(read=_rows(files / RECORDS.path), accepted=_lines(files / REPORT_ROWS.path))
    report = EnergyReport.model_validate_json((files / REPORT.path).read_bytes())
    _agree(REPORT.path, {"records": (report.records, found.accepted)})
    return found


def report_summary(files: Path) -> Summary:
    """Key figures and tables of `output2.json`; its findings stand with the analyzer."""
    report = EnergyReport.model_validate_json((files / REPORT.path).read_bytes())
    return {**report.key_figures, "tables": [table.model_dump() for table in report.tables]}


def _agree(path: str, said: dict[str, tuple[object, object]]) -> None:
    for key, (value, found) in said.items():
        if value != found:
            raise ContractError(path, f"{key} must be {found}, as the record files hold", value)


def _analysis(files: Path) -> Analysis:
    return Analysis.model_validate_json((files / ANALYSIS.path).read_bytes())


def _lines(path: Path) -> int:
    """Records of a CSV file: its lines that are not blank, without the header."""
    import numpy as np

    lines, rest = 0, b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            content = np.frombuffer(rest + block, np.uint8)
            ends = np.flatnonzero(content == NEWLINE)
            begins = content[ends[ends < len(content) - 1] + 1]
            if (begins <= SPACE).any() or (
                not rest and block[0] <= SPACE
            ):  # perhaps a blank line: only then is each line looked at
                file.seek(0)
                return sum(1 for line in file if not line.isspace()) - 1
            lines, rest = lines + len(ends) - (rest == b"\n"), block[-1:]
    return lines + (rest != b"\n") - 1


def _rows(path: Path) -> int:
    import duckdb

    with duckdb.connect() as db:
        return int(db.execute(f"SELECT count(*) FROM read_parquet({file_literal(path)})").fetchall()[0][0])


def _rejected_by_reason(path: Path) -> dict[str, int]:
    with path.open(encoding="utf-8", newline="") as file:
        return dict(sorted(Counter(row["reason"] for row in csv.DictReader(file)).items()))


ENERGY_STEPS: dict[str, Step] = {
    step.id: step
    for step in (
        Step(
            id="energy-generator",
            title="Generate meter data",
            description="Makes up plausible household readings, or converts people's own meter files.",
            version="1",
            params=GeneratorParams,
            function="include.energy.generator:generate",
            reads=(),
            writes=(DATA, SOURCE),
            records=generator_records,
            outcome=generator_summary,
        ),
        Step(
            id="energy-analyzer",
            title="Analyze meter data",
            description="Judges every record, and adds up what the accepted ones say.",
            version="1",
            params=AnalyzerParams,
            function="include.energy.analyzer:analyze",
            reads=(DATA, SOURCE),
            writes=(ANALYSIS, RECORDS, REJECTED),
            records=analyzer_records,
            outcome=analyzer_summary,
        ),
        Step(
            id="report-generator",
            title="Write the energy report",
            description="Writes the record-by-record report, the findings in plain words, and the plots.",
            version="1",
            params=ReportParams,
            function="include.energy.report:write_report",
            reads=(ANALYSIS, RECORDS, REJECTED),
            writes=(REPORT, REPORT_ROWS, *PLOTS),
            records=report_records,
            outcome=report_summary,
        ),
    )
}
