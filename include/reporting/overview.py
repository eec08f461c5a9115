"""The overview of any run: that of its domain, with what holds for every pipeline, and the assessment of the data."""

from __future__ import annotations

from pathlib import Path

from include.core.contracts import imported
from include.core.overview import AcceptedFiles, DataCheck, Level, Overview, worst
from include.domains import DOMAINS
from include.reporting.model import PipelineReport

REJECTED_SHARE_TO_WARN, REJECTED_SHARE_TO_FAIL = 0.01, 0.1


def accepted_files(report: PipelineReport, files: Path) -> AcceptedFiles:
    """Return the accepted files of a report's run.

    Args:
        report: Its artifacts and parameters count.
        files: The run's `files/` folder.
    """
    return AcceptedFiles(files, {artifact.path: artifact for artifact in report.artifacts}, report.params)


def with_overview(report: PipelineReport, files: Path) -> PipelineReport:
    """Return a report with its overview and the assessment of its data.

    The assessment is the worst level of the checks; None where no step was accepted, or nothing was checked.
    """
    own = _overview_of_domain(report, accepted_files(report, files))
    overview = own or Overview(checks=tuple(_checks_of_records(report)))
    if report.artifacts:
        checks = (*overview.checks, _proof(report), *_checks_of_findings(report, domain=own is not None))
        overview = overview.model_copy(update={"checks": checks})
    level = worst([check.level for check in overview.checks])
    return report.model_copy(update={"overview": overview, "assessment": level})


def _overview_of_domain(report: PipelineReport, accepted: AcceptedFiles) -> Overview | None:
    steps = {step.id for step in report.steps}
    for domain in DOMAINS:
        if domain.overview and steps & domain.steps.keys():
            overview = imported(domain.overview)(accepted)
            if isinstance(overview, Overview):
                return overview
    return None


def _checks_of_records(report: PipelineReport) -> list[DataCheck]:
    titles = {step.id: step.name for step in report.steps}
    checks = []
    for records in report.record_accounting:
        share = records.rejected / records.read if records.read else 0.0
        level: Level = (
            "fail" if share > REJECTED_SHARE_TO_FAIL else "warn" if share >= REJECTED_SHARE_TO_WARN else "pass"
        )
        statement = f"{titles[records.step]}: {records.accepted:,} of {records.read:,} accepted"
        statement += f", {records.rejected:,} rejected." if records.rejected else "."
        checks.append(DataCheck(subject="Records", level=level, statement=statement))
    return checks


def _proof(report: PipelineReport) -> DataCheck:
    count = len(report.artifacts)
    unproven = {
        "not checked: no check knows the format": sum(artifact.opaque for artifact in report.artifacts),
        "only in part recomputed": sum(bool(artifact.doubts) for artifact in report.artifacts),
        "without a record of what was proven": sum(not artifact.proof for artifact in report.artifacts),
    }
    reasons = [f"{number} {reason}" for reason, number in unproven.items() if number]
    files, contracts = ("1 file", "its contract") if count == 1 else (f"{count} files", "their contracts")
    if reasons:
        return DataCheck(subject="Proof", level="warn", statement=f"Of {files}: {'; '.join(reasons)}.")
    sampled = any("sampled" in artifact.proof for artifact in report.artifacts)
    how = ", completely" if report.audited else ", some values by a sample" if sampled else ""
    return DataCheck(subject="Proof", level="pass", statement=f"{files} checked against {contracts}{how}.")


def _checks_of_findings(report: PipelineReport, *, domain: bool) -> list[DataCheck]:
    """Return a check of the findings: errors always count, warnings where no domain has weighed them."""
    errors = sum(finding.severity == "error" for finding in report.findings)
    warnings = sum(finding.severity == "warning" for finding in report.findings)
    if errors:
        return [DataCheck(subject="Findings", level="fail", statement=f"Errors among the findings: {errors}.")]
    if warnings and not domain:
        return [DataCheck(subject="Findings", level="warn", statement=f"Warnings among the findings: {warnings}.")]
    return []
