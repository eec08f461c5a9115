"""Validation: which acquisitions are fit to learn from, and whether they are enough."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from include.core.contracts import Summary
from include.core.errors import ContractError
from include.core.run_folder import read_model, write_json
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.checks import Examined, examine, mark_duplicates
from include.satellite.imagery.download import IMAGERY_FILE, read_imagery
from include.satellite.imagery.model import Acquisition, Imagery
from include.satellite.imagery.pictures import Thumbnail, draw_contact_sheet, draw_ndvi, thumbnail
from include.satellite.imagery.raster import NotDataError, read_scene
from include.satellite.imagery.report import DateReport, Finding, Gap, ValidationReport
from include.satellite.imagery.store import scene_path
from include.satellite.params import ValidateParams

LOGGER = logging.getLogger(__name__)

VALIDATED_FILE = "validated.json"
REPORT_FILE = "validation_report.json"
REASONS_NAMED = 5


def validate(files: Path, params: ValidateParams) -> None:
    """Check every acquisition; write `validated.json`, `validation_report.json` and the pictures.

    A broken scene is excluded and reported. Under `skip_validation` the dates are only counted.

    Raises:
        ContractError: Fewer usable dates than `min_dates` are left.
    """
    imagery = read_imagery(files / IMAGERY_FILE)
    examined, thumbnails = _examine_all(imagery, params)
    reports = [_date_report(each) for each in examined]
    accepted = [_as_seen(each) for each, report in zip(examined, reports, strict=True) if report.accepted]
    report = _report(imagery, params, reports, accepted)
    write_json(files / REPORT_FILE, report)
    draw_contact_sheet(files / "plot_contact_sheet.png", thumbnails, reports, imagery.unusable)
    draw_ndvi(files / "plot_ndvi.png", reports, imagery)
    if not report.passed:
        raise ContractError(
            VALIDATED_FILE,
            f"must hold at least {params.min_dates} usable dates (min_dates)",
            f"{len(accepted)}{_why(reports, imagery)}; a longer window (days_back) or looser limits "
            "(max_cloud_cover, min_clear) find more",
            hint="validation_report.json and plot_contact_sheet.png in the run's files show each date and its verdict.",
        )
    excluded = [
        _as_seen(each).model_copy(update={"usable": False, "reason": said.reason})
        for each, said in zip(examined, reports, strict=True)
        if not said.accepted
    ]
    validated = imagery.model_copy(
        update={
            "acquisitions": accepted,
            "unusable": sorted([*imagery.unusable, *excluded], key=lambda each: each.date),
            "synthetic": any(each.synthetic for each in accepted),
        }
    )
    write_json(files / VALIDATED_FILE, validated)


def validate_summary(files: Path) -> Summary:
    """Key figures of the validation, and a table of all dates."""
    report = read_model(files / REPORT_FILE, ValidationReport)
    if report is None:
        raise FileNotFoundError(REPORT_FILE)
    imagery = read_imagery(files / VALIDATED_FILE)
    return {
        "usable_dates": report.usable_dates,
        "min_dates": report.min_dates,
        "excluded_dates": report.excluded_dates,
        "longest_gap_days": report.longest_gap.days,
        "months_without_date": sum(not count for count in report.coverage_by_month.values()),
        "synthetic": report.synthetic,
        "published_as": f"{imagery.place}/{imagery.start:%Y-%m-%d}_{imagery.end:%Y-%m-%d}",
        "findings": [finding.model_dump() for finding in report.findings],
        "tables": [
            {
                "title": "Dates validated",
                "columns": ["date", "clear, %", "cloud, %", "shadow, %", "nodata, %", "masked, %", "NDVI", "verdict"],
                "rows": [_row(each) for each in report.dates],
            }
        ],
    }


def _examine_all(imagery: Imagery, params: ValidateParams) -> tuple[list[Examined], list[Thumbnail | None]]:
    """One scene in memory at a time."""
    inside = inside_mask(imagery.geometry, imagery.grid)
    examined, thumbnails = [], []
    for acquisition in imagery.acquisitions:
        seen = _only_counted(acquisition) if params.skip_validation else examine(acquisition, imagery, params, inside)
        thumbnails.append(None if seen.scene is None else thumbnail(seen.scene, inside))
        seen.scene = None
        examined.append(seen)
    mark_duplicates(examined)
    return examined, thumbnails


def _only_counted(acquisition: Acquisition) -> Examined:
    """A date counts if its file is there; what is in it is only drawn."""
    seen = Examined(acquisition)
    path = scene_path(acquisition)
    there = path.is_file()
    seen.add("file", None if there else f"{acquisition.file} is missing", "there; not validated (skip_validation)")
    if there:
        try:
            seen.scene = read_scene(path)
        except NotDataError as error:
            LOGGER.warning("%s: %s", acquisition.date, error)
    return seen


def _as_seen(seen: Examined) -> Acquisition:
    return seen.acquisition.model_copy(update=vars(seen.over_area) if seen.over_area else {})


def _date_report(seen: Examined) -> DateReport:
    shares = vars(seen.over_area) if seen.over_area else {}
    return DateReport(
        date=seen.acquisition.date,
        file=seen.acquisition.file,
        accepted=seen.reason is None,
        reason=seen.reason,
        checks=seen.checks,
        masked=seen.masked,
        indices=seen.indices,
        synthetic=seen.acquisition.synthetic,
        **shares,
    )


def _report(
    imagery: Imagery, params: ValidateParams, reports: Sequence[DateReport], accepted: Sequence[Acquisition]
) -> ValidationReport:
    days = [each.date for each in accepted]
    return ValidationReport(
        skipped=params.skip_validation,
        passed=len(accepted) >= params.min_dates,
        usable_dates=len(accepted),
        min_dates=params.min_dates,
        excluded_dates=len(reports) - len(accepted),
        never_data=len(imagery.unusable),
        longest_gap=_longest_gap(days, imagery.start, imagery.end),
        coverage_by_month=_by_month(days, imagery.start, imagery.end),
        synthetic=any(each.synthetic for each in accepted),
        allow_synthetic=params.allow_synthetic,
        dates=list(reports),
        findings=_findings(imagery, params, reports, accepted),
    )


def _findings(
    imagery: Imagery, params: ValidateParams, reports: Sequence[DateReport], accepted: Sequence[Acquisition]
) -> list[Finding]:
    found = [
        Finding(severity="warning", message=f"{each.date} is excluded: {each.reason}")
        for each in reports
        if not each.accepted
    ]
    simulated = sum(each.synthetic for each in accepted)
    if simulated:
        rest = (
            "allow_synthetic lets models trained on it be promoted"
            if params.allow_synthetic
            else "models trained on it will not be promoted (allow_synthetic is off)"
        )
        severity = "info" if params.allow_synthetic else "warning"
        said = f"simulated imagery on {simulated} of {len(accepted)} dates; {rest}"
        found.append(Finding(severity=severity, message=said))
    unknown = sum(each.tile_cloud is None for each in accepted)
    if unknown:
        said = f"the source does not know the cloud of {unknown} of {len(accepted)} dates"
        found.append(Finding(severity="warning", message=said))
    if params.skip_validation:
        said = "validation skipped: the dates were only counted"
        found.append(Finding(severity="warning", message=said))
    return found


def _longest_gap(days: Sequence[date], start: datetime, end: datetime) -> Gap:
    edges = [start.astimezone(UTC).date(), *days, end.astimezone(UTC).date()]
    gaps = [Gap(days=(last - first).days, after=first, before=last) for first, last in itertools.pairwise(edges)]
    return max(gaps, key=lambda gap: gap.days)


def _by_month(days: Sequence[date], start: datetime, end: datetime) -> dict[str, int]:
    day, last = start.astimezone(UTC).date(), (end.astimezone(UTC) - timedelta(microseconds=1)).date()
    months: dict[str, int] = {}
    while (day.year, day.month) <= (last.year, last.month):
        months[f"{day:%Y-%m}"] = 0
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    for each in days:
        months[f"{each:%Y-%m}"] += 1
    return months


def _why(reports: Sequence[DateReport], imagery: Imagery) -> str:
    said = [(each.date, each.reason) for each in reports] + [(each.date, each.reason) for each in imagery.unusable]
    reasons = [f"{day}: {reason}" for day, reason in said if reason]
    if not reasons:
        return ""
    more = f", and {len(reasons) - REASONS_NAMED} more" if len(reasons) > REASONS_NAMED else ""
    return f" ({len(reasons)} are not usable: {'; '.join(reasons[:REASONS_NAMED])}{more})"


def _row(report: DateReport) -> list[object]:
    ndvi = next((index.mean for index in report.indices if index.name == "ndvi"), None)
    shares = [report.clear, report.cloud, report.shadow, report.nodata, report.masked, ndvi]
    return [report.date.isoformat(), *shares, "accepted" if report.accepted else f"excluded: {report.reason}"]
