"""The validation step: which acquisitions are fit to learn from, and whether they are enough."""

from __future__ import annotations

import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from pathlib import Path

import numpy as np

from include.core.errors import ContractError
from include.core.outcome import Finding, Scalar, Severity, StepMetrics, StepOutcome, Table
from include.core.progress import counted
from include.satellite.artifacts import CONTACT_SHEET, IMAGERY, NDVI_PLOT, VALIDATED, VALIDATION_REPORT
from include.satellite.evaluation.statements import check_stated
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.candidates import classification_messages
from include.satellite.imagery.checks import Examination, examine, mark_duplicates, mark_series
from include.satellite.imagery.plots import Thumbnail, draw_contact_sheet, draw_ndvi, thumbnail
from include.satellite.imagery.radiometry import (
    BASELINE_0400,
    BRIGHT,
    BRIGHTEST_CANOPY,
    HAZE_DATES,
    OFFSET,
    order_in_doubt,
    order_not_tested,
    series_faults,
)
from include.satellite.imagery.scenes import NotDataError, Scene, read_layers
from include.satellite.imagery.schemas import (
    Acquisition,
    DateReport,
    Gap,
    Imagery,
    Radiometry,
    Shares,
    ValidationReport,
)
from include.satellite.imagery.store import scene_path
from include.satellite.params import ValidateParams
from include.satellite.sensors.indices import NDVI

LOGGER = logging.getLogger(__name__)

SIMULATED = "simulated imagery"
"""Begins the finding that says what simulated imagery means for models."""
REASONS_NAMED = 5
MOST_OUT_OF_RANGE = 5.0
"""Percent of the clear pixels whose index is out of range; above it, a finding names the date."""
MOST_SATURATED = 1.0
"""Percent of the area's pixels at the top of a band's range; above it, a finding names the date."""
DRAWN_DATES = 3
"""Accepted dates whose scenes are checked again."""


class ValidateMetrics(StepMetrics, extra="forbid"):
    """Metrics of the validation."""

    usable_dates: int
    min_dates: int
    excluded_dates: int
    longest_gap_days: int
    months_without_date: int


def validate(files: Path, params: ValidateParams, *, plots: bool = True) -> None:
    """Check every acquisition; write `validated.json`, `validation_report.json` and the plots.

    A broken scene is excluded and reported. Under `skip_validation` the dates are only counted.

    Args:
        files: The run's files.
        params: The limits.
        plots: Whether to draw the plots.

    Raises:
        ContractError: Fewer usable dates than `min_dates` are left.
    """
    imagery = IMAGERY.read(files)
    examinations, thumbnails = _examine_all(imagery, params, plots)
    reports = [examination.report() for examination in examinations]
    measured = [examination.measured() for examination in examinations]
    accepted = [acquisition for acquisition in measured if acquisition.usable]
    report = _report(imagery, params, reports, accepted)
    VALIDATION_REPORT.write(files, report)
    if plots:
        draw_contact_sheet(CONTACT_SHEET.at(files), thumbnails, reports, imagery.unusable)
        draw_ndvi(NDVI_PLOT.at(files), reports, imagery)
    if not report.passed:
        raise ContractError(
            VALIDATED.path,
            f"must hold at least {params.min_dates} usable dates (min_dates)",
            f"{len(accepted)}{_reasons(reports, imagery)}; a longer window (days_back) or looser limits "
            "(max_cloud_cover, min_clear) find more",
            hint=f"{VALIDATION_REPORT.path} and {CONTACT_SHEET.path} in the run's files show each date and its "
            "assessment.",
        )
    excluded = [acquisition for acquisition in measured if not acquisition.usable]
    validated = imagery.model_copy(
        update={
            "acquisitions": accepted,
            "unusable": sorted([*imagery.unusable, *excluded], key=attrgetter("date")),
            "synthetic": any(acquisition.synthetic for acquisition in accepted),
        }
    )
    VALIDATED.write(files, validated)


def recompute_manifest(files: Path, params: ValidateParams, *, audit: bool = False) -> tuple[str, ...]:
    """Check that the accepted manifest holds collected acquisitions alone, and that report and scenes agree with it.

    The scenes of every excluded date and of `DRAWN_DATES` accepted ones are checked again.

    Args:
        files: Inputs and outputs of the step `validate`.
        params: The limits.
        audit: Check the scenes of all dates.

    Returns:
        The accepted dates that were drawn.

    Raises:
        ContractError: An acquisition was not collected or breaks a limit, or a field states something else.
    """
    collected, validated, report = IMAGERY.read(files), VALIDATED.read(files), VALIDATION_REPORT.read(files)
    origins = {acquisition.file: acquisition for acquisition in collected.acquisitions}
    for acquisition in validated.acquisitions:
        day, origin = acquisition.date, origins.pop(acquisition.file, None)
        if origin is None:
            raise ContractError(VALIDATED.path, f"must hold each collected acquisition once at most; {day}", "another")
        check_stated(VALIDATED.path, acquisition, origin.model_copy(update=acquisition.fields_of(Shares)))
        reason = None if params.skip_validation else params.rejection(acquisition.clear, acquisition.cloud)
        if reason is not None:
            raise ContractError(VALIDATED.path, f"must hold usable acquisitions alone; {day}", reason)
    synthetic = any(acquisition.synthetic for acquisition in validated.acquisitions)
    taken = {"acquisitions": validated.acquisitions, "unusable": validated.unusable, "synthetic": synthetic}
    check_stated(VALIDATED.path, validated, collected.model_copy(update=taken))
    accepted = [acquisition.date for acquisition in validated.acquisitions]
    if accepted != sorted(day.date for day in report.dates if day.accepted):
        raise ContractError(VALIDATED.path, f"must hold the dates that {VALIDATION_REPORT.path} accepts", accepted)
    expected = _report(collected, params, report.dates, validated.acquisitions)
    check_stated(VALIDATION_REPORT.path, report, expected.model_copy(update={"passed": True}))
    _check_every_date(collected, validated, report)
    drawn = accepted if audit else _draw(accepted)
    _check_again(collected, validated, report, params, drawn)
    return tuple(map(str, sorted(drawn)))


def _draw(dates: Sequence[date]) -> list[date]:
    random = np.random.default_rng(int.from_bytes(os.urandom(16)))
    return [dates[number] for number in random.permutation(len(dates))[:DRAWN_DATES]]


def _check_every_date(collected: Imagery, validated: Imagery, report: ValidationReport) -> None:
    """Check that the report assesses each collected date, and that the manifest keeps those that are not usable."""
    dates = [acquisition.date for acquisition in collected.acquisitions]
    if (stated := [day.date for day in report.dates]) != dates:
        listed = ", ".join(map(str, sorted({*dates} ^ {*stated}))) or "another order"
        raise ContractError(VALIDATION_REPORT.path, "must assess each collected date once, in their order", listed)
    shown = {day.date: day.radiometry for day in report.dates if day.radiometry}
    excluded = {day.date for day in report.dates if not day.accepted}
    for day, (test, fault) in series_faults(shown).items():
        if day not in excluded:
            raise ContractError(VALIDATION_REPORT.path, f"must exclude {day} for {test}", fault)
    kept = [acquisition for acquisition in validated.unusable if acquisition.date not in excluded]
    if kept != collected.unusable or len(validated.unusable) != len(kept) + len(excluded):
        rule = f"must list as unusable what was not usable, and each date that {VALIDATION_REPORT.path} excludes"
        raise ContractError(VALIDATED.path, rule, f"{len(validated.unusable)} dates")


def _check_again(
    collected: Imagery, validated: Imagery, report: ValidationReport, params: ValidateParams, drawn: Sequence[date]
) -> None:
    """Check the scenes of all excluded dates again, and those of some accepted ones."""
    own = {day.date: day for day in report.dates}
    accepted = [acquisition.date for acquisition in validated.acquisitions]
    excluded = [day.date for day in report.dates if not day.accepted]
    twins = [day for day in accepted if any(str(day) in str(own[other].reason) for other in excluded)]
    chosen = {*excluded, *drawn, *twins}
    some = [acquisition for acquisition in collected.acquisitions if acquisition.date in chosen]
    others = {day.date: day.radiometry for day in report.dates if day.radiometry and day.date not in chosen}
    examinations, _ = _examine_all(collected.model_copy(update={"acquisitions": some}), params, False, others)
    measured = {acquisition.date: acquisition for acquisition in (*validated.unusable, *validated.acquisitions)}
    for examination in examinations:
        day = examination.acquisition.date
        check_stated(VALIDATION_REPORT.path, own[day], examination.report())
        check_stated(VALIDATED.path, measured[day], examination.measured())


def validate_outcome(files: Path) -> StepOutcome:
    """Return the metrics of the validation, and a table of all dates."""
    report, imagery = VALIDATION_REPORT.read(files), VALIDATED.read(files)
    columns = ("date", "clear, %", "cloud, %", "shadow, %", "nodata, %", "masked, %", "NDVI", "assessment")
    return StepOutcome(
        metrics=ValidateMetrics(
            **report.fields_of(ValidateMetrics),
            longest_gap_days=report.longest_gap.days,
            months_without_date=sum(not count for count in report.coverage_by_month.values()),
        ),
        findings=tuple(report.findings),
        tables=(Table(title="Dates validated", columns=columns, rows=tuple(map(_row, report.dates))),),
        published_as=f"{imagery.place}/{imagery.start:%Y-%m-%d}_{imagery.end:%Y-%m-%d}",
        synthetic=report.synthetic,
        stand_in=imagery.source == "demo",
    )


def _examine_all(
    imagery: Imagery, params: ValidateParams, plots: bool, others: Mapping[date, Radiometry] | None = None
) -> tuple[list[Examination], list[Thumbnail | None]]:
    """Examine the acquisitions with one scene in memory at a time; draw their thumbnails if there are plots.

    Args:
        imagery: The acquisitions.
        params: The limits.
        plots: Whether there are plots.
        others: What dates of the series show that are not among the acquisitions.
    """
    inside = inside_mask(imagery.geometry, imagery.grid)
    examinations, thumbnails = [], []
    for acquisition in counted(imagery.acquisitions, "examining", "dates"):
        if params.skip_validation:
            examination = _count(acquisition, imagery)
        else:
            examination = examine(acquisition, imagery, params, inside)
        thumbnails.append(thumbnail(examination.scene, inside) if plots and examination.scene else None)
        examination.scene = None
        examinations.append(examination)
    mark_duplicates(examinations)
    mark_series(examinations, others or {})
    return examinations, thumbnails


def _count(acquisition: Acquisition, imagery: Imagery) -> Examination:
    """Count a date if its file is there; its content is only drawn."""
    examination = Examination(acquisition)
    path = scene_path(acquisition)
    exists = path.is_file()
    fault = None if exists else f"{acquisition.file} is missing"
    examination.add("file", fault, "there; not validated (skip_validation)")
    if exists:
        try:
            examination.scene = Scene(imagery.sensor, imagery.bands, read_layers(path))
        except NotDataError as error:
            LOGGER.warning("%s: %s", acquisition.date, error)
    return examination


def _report(
    imagery: Imagery, params: ValidateParams, reports: Sequence[DateReport], accepted: Sequence[Acquisition]
) -> ValidationReport:
    days = [acquisition.date for acquisition in accepted]
    return ValidationReport(
        skipped=params.skip_validation,
        passed=len(accepted) >= params.min_dates,
        usable_dates=len(accepted),
        min_dates=params.min_dates,
        excluded_dates=len(reports) - len(accepted),
        never_data=len(imagery.unusable),
        longest_gap=_longest_gap(days, imagery.start, imagery.end),
        coverage_by_month=_by_month(days, imagery.start, imagery.end),
        synthetic=any(acquisition.synthetic for acquisition in accepted),
        allow_synthetic=params.allow_synthetic,
        dates=list(reports),
        findings=_findings(params, reports, accepted),
    )


def _findings(params: ValidateParams, reports: Sequence[DateReport], accepted: Sequence[Acquisition]) -> list[Finding]:
    messages: list[tuple[Severity, str]] = [
        ("warning", f"{report.date} is excluded: {report.reason}") for report in reports if not report.accepted
    ]
    simulated = sum(acquisition.synthetic for acquisition in accepted)
    if simulated:
        consequence = (
            "allow_synthetic lets models trained on it be promoted"
            if params.allow_synthetic
            else "models trained on it will not be promoted (allow_synthetic is off)"
        )
        severity: Severity = "info" if params.allow_synthetic else "warning"
        messages.append((severity, f"{SIMULATED} on {simulated} of {len(accepted)} dates; {consequence}"))
    messages += [("warning", message) for message in classification_messages(accepted)]
    messages += _on_reflectance(reports, accepted)
    if params.skip_validation:
        messages.append(("warning", "validation skipped: the dates were only counted"))
    return [Finding(severity=severity, message=message) for severity, message in messages]


def _on_reflectance(reports: Sequence[DateReport], accepted: Sequence[Acquisition]) -> Iterator[tuple[Severity, str]]:
    """Yield what is known of the reflectances of the accepted dates, and what is not."""
    for words, count in Counter(acquisition.radiometry for acquisition in accepted if acquisition.radiometry).items():
        yield "info", f"reflectance on {count} of {len(accepted)} dates: {words}"
    shown = {report.date: report.radiometry for report in reports if report.accepted and report.radiometry}
    yield from _on_scale_and_haze(reports, accepted)
    if shown and all(radiometry.dark is None for radiometry in shown.values()):
        darkest = min((radiometry.blue for radiometry in shown.values() if radiometry.blue is not None), default=None)
        seen = "no clear land" if darkest is None else f"at least {darkest:.3f} in blue (median of the clear land)"
        yield "warning", f"an offset that was left in cannot be told: no date shows dense vegetation, but {seen}"
    for report in reports:
        if not report.accepted:
            continue
        for index in report.indices:
            if index.out_of_range > MOST_OUT_OF_RANGE:
                yield (
                    "warning",
                    f"{report.date}: {index.name.upper()} is out of range on {index.out_of_range:.1f} % of the clear "
                    "pixels; the date is kept, and models learn nothing from them",
                )
        if report.radiometry and report.radiometry.saturated > MOST_SATURATED:
            share = report.radiometry.saturated
            yield "warning", f"{report.date}: {share:.1f} % of the pixels are at the top of a band's range (saturated)"


def _on_scale_and_haze(
    reports: Sequence[DateReport], accepted: Sequence[Acquisition]
) -> Iterator[tuple[Severity, str]]:
    """Yield how far the scale is tested, dates on which an offset cannot be told, and whether haze was tested."""
    shown = {report.date: report.radiometry for report in reports if report.radiometry}
    measured = {day: radiometry for day, radiometry in shown.items() if radiometry.blue is not None}
    bright = [measured[acquisition.date].bright or 0 for acquisition in accepted if acquisition.date in measured]
    if bright and any(acquisition.radiometry for acquisition in accepted):
        low, high = BRIGHT
        yield (
            "info",
            f"the scale is tested to a factor only: clear land reflects {min(bright):.2f} to {max(bright):.2f} in the "
            f"near infrared, and {low:g} to {high:g} passes (dense vegetation: at most {BRIGHTEST_CANOPY:g}); NDVI "
            "does not depend on it, SAVI and EVI do",
        )
        if untold := order_not_tested(measured):
            yield "info", untold
        if doubt := order_in_doubt(measured):
            yield "warning", doubt
    if shown and len(measured) < HAZE_DATES:
        yield (
            "warning",
            f"haze not tested: {len(measured)} of {len(shown)} dates show clear land, and a series to compare them "
            f"with needs {HAZE_DATES}",
        )
    left_in = {
        report.date >= BASELINE_0400
        for report in reports
        if any(check.name == "offset" and not check.passed for check in report.checks)
    }
    for day in sorted({acquisition.date for acquisition in accepted} & measured.keys()):
        blue, dark = measured[day].blue, measured[day].dark
        if dark is None and blue is not None and blue >= OFFSET and (day >= BASELINE_0400) in left_in:
            yield (
                "warning",
                f"{day}: an offset that was left in cannot be told (no dense vegetation, {blue:.3f} in blue), and "
                "other dates have it",
            )


def _longest_gap(days: Sequence[date], start: datetime, end: datetime) -> Gap:
    edges = [start.astimezone(UTC).date(), *days, end.astimezone(UTC).date()]
    gaps = [Gap(days=(last - first).days, after=first, before=last) for first, last in itertools.pairwise(edges)]
    return max(gaps, key=lambda gap: gap.days)


def _by_month(days: Sequence[date], start: datetime, end: datetime) -> dict[str, int]:
    first, last = start.astimezone(UTC).date(), (end.astimezone(UTC) - timedelta(microseconds=1)).date()
    months = np.arange(np.datetime64(first, "M"), np.datetime64(last, "M") + 1).astype(str).tolist()
    counts = Counter(f"{day:%Y-%m}" for day in days)
    return {month: counts[month] for month in months}


def _reasons(reports: Sequence[DateReport], imagery: Imagery) -> str:
    dates: list[DateReport | Acquisition] = [*reports, *imagery.unusable]
    reasons = [f"{assessed.date}: {assessed.reason}" for assessed in dates if assessed.reason]
    if not reasons:
        return ""
    more = f", and {len(reasons) - REASONS_NAMED} more" if len(reasons) > REASONS_NAMED else ""
    return f" ({len(reasons)} are not usable: {'; '.join(reasons[:REASONS_NAMED])}{more})"


def _row(report: DateReport) -> tuple[Scalar, ...]:
    ndvi = report.index(NDVI.name)
    cloud = "unknown" if report.cloud is None and report.clear is not None else report.cloud
    return (
        report.date.isoformat(),
        *(report.clear, cloud, report.shadow, report.nodata, report.masked),
        ndvi.mean if ndvi else None,
        "accepted" if report.accepted else f"excluded: {report.reason}",
    )
