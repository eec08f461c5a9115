"""What a person should know of an analysis, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from include.energy.results import Analysis, AnomalyReason
from include.energy.schemas import Finding

K = TypeVar("K", bound=str)
WORDS: dict[AnomalyReason, str] = {
    "voltage_outside_band": "voltage outside the band of ± 10 %",
    "power_factor": "more real than apparent power",
    "outlier": "far above what is usual at that hour",
    "flat_line": "the same value for 6 hours or more",
}
REJECTED_SHARE_TO_WARN = 0.01
COVERAGE_TO_WARN = 0.95


def findings(analysis: Analysis) -> list[Finding]:
    """Findings in the order in which a person would ask: can I trust it, what is missing, what is odd."""
    found = [*_records(analysis), *_coverage(analysis), *_anomalies(analysis), *_voltage(analysis)]
    if analysis.source == "generated":
        found.insert(0, Finding(severity="info", message="The readings are made up by the generator, not measured."))
    return found


def _records(analysis: Analysis) -> list[Finding]:
    found = []
    if analysis.records_rejected:
        share = analysis.records_rejected / analysis.records_in
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in _by_count(analysis.rejected_by_reason))
        severe = share >= REJECTED_SHARE_TO_WARN
        message = (
            f"{analysis.records_rejected:,} of {analysis.records_in:,} records ({_percent(share)}) were rejected: "
            f"{reasons}; rejected.csv shows each one."
        )
        found.append(Finding(severity="warning" if severe else "info", message=message))
    if analysis.records_outside_window:
        message = f"{analysis.records_outside_window:,} records lie outside the window and were left out."
        found.append(Finding(severity="info", message=message))
    return found


def _coverage(analysis: Analysis) -> list[Finding]:
    found = []
    if analysis.missing:
        coverage = analysis.received / analysis.expected
        gap = analysis.longest_gaps[0]
        message = (
            f"{analysis.missing:,} of {analysis.expected:,} intervals ({_percent(1 - coverage)}) have no record; the "
            f"longest gap: {gap.household_id}, {gap.intervals:,} {'interval' if gap.intervals == 1 else 'intervals'} "
            f"from {gap.start:%Y-%m-%d %H:%M} to "
            f"{gap.end:%Y-%m-%d %H:%M} UTC."
        )
        found.append(Finding(severity="warning" if coverage < COVERAGE_TO_WARN else "info", message=message))
    if analysis.zero_runs:
        message = (
            f"{analysis.zero_runs:,} runs of zeros of a day or more, {analysis.zero_run_hours:,.0f} h in all: an empty "
            f"home or a dead meter. They count as readings."
        )
        found.append(Finding(severity="info", message=message))
    return found


def _anomalies(analysis: Analysis) -> list[Finding]:
    found = [
        Finding(
            severity="warning",
            message=f"{count:,} records ({_percent(count / analysis.records_out)}): {WORDS[reason]} ({reason}).",
        )
        for reason, count in _by_count(analysis.anomalies_by_reason)
        if count
    ]
    if analysis.outlier_not_assessed:
        message = f"{analysis.outlier_not_assessed:,} records could not be assessed for outliers: too few samples."
        found.append(Finding(severity="info", message=message))
    return found


def _voltage(analysis: Analysis) -> list[Finding]:
    compliance = analysis.en_50160
    if compliance is None:
        return [Finding(severity="info", message=f"No EN 50160 figure. {analysis.en_50160_note}")]
    whole = compliance.compliant_households == compliance.households
    message = (
        f"EN 50160: {compliance.compliant_households} of {compliance.households} households keep 95 % of each week's "
        f"10-minute means within ± 10 % of {analysis.nominal_voltage:g} V (lowest week: "
        f"{_percent(compliance.lowest_share)})."
    )
    return [Finding(severity="info" if whole else "warning", message=message)]


def _by_count(counts: Mapping[K, int]) -> list[tuple[K, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _percent(share: float) -> str:
    """A share as a percentage of two significant digits.

    >>> _percent(0.00123)
    '0.12 %'
    """
    percent = share * 100
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"
