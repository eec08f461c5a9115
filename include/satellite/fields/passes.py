"""The steps that find, fetch and check every pass over the fields: those of the imagery, with the fields' area.

A run takes all passes of its window. What the imagery store holds is not fetched again; every pass is checked again,
since haze and repeated scenes show only beside the others.
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

from include.core.errors import BadInputError, ContractError
from include.core.outcome import StepMetrics, StepOutcome
from include.satellite.artifacts import FIELDS, IMAGERY, SEARCH, VALIDATION_REPORT
from include.satellite.evaluation.statements import check_stated
from include.satellite.fields.params import PassParams
from include.satellite.fields.reading import area_of, placed
from include.satellite.imagery.download import Downloader, manifest_of
from include.satellite.imagery.fetch import two_at_once
from include.satellite.imagery.search import search
from include.satellite.imagery.store import ImageryStore
from include.satellite.imagery.validation import SIMULATED, recompute_manifest, validate, validate_outcome


class PassMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `check_passes`."""

    passes_accepted: int
    passes_excluded: int
    longest_gap_days: int


def find_passes(files: Path, params: PassParams) -> None:
    """Plan the download of every pass over the fields (`search.json`); arguments and errors as of `search`."""
    fields = FIELDS.read(files)
    try:
        search(files, params.for_search(area_of(fields)))
    except BadInputError as error:
        raise BadInputError(f"{placed(fields.file, fields.fields)}: {error}") from error


def fetch_passes(files: Path, params: PassParams) -> None:
    """Fetch the passes that the imagery store does not hold intact, two at once (`imagery.json`).

    Raises:
        BadInputError: The limit of processing units would be crossed, or the service refuses the request.
        SetupError: Credentials or quota; the store cannot be written.
        TransientError: The service does not answer; what was fetched stays in the store.
    """
    plan = SEARCH.read(files)
    store = ImageryStore(plan)
    downloader = Downloader(plan, params.for_search(plan.geometry), store, plan.units_spent)
    done = two_at_once(downloader.obtain, map(plan.candidate, plan.chosen), "fetching passes")
    store.sweep()
    IMAGERY.write(files, manifest_of(plan, sorted(done, key=attrgetter("date"))))


def check_passes(files: Path, params: PassParams) -> None:
    """Check every pass (`validated.json`, `validation_report.json`), as `validate` does; none need be left."""
    validate(files, params.for_validation(IMAGERY.read(files).geometry), plots=False)


def check_passes_outcome(files: Path) -> StepOutcome:
    """Return the numbers of passes and a table of all; findings that concern models alone are left out."""
    outcome, report = validate_outcome(files), VALIDATION_REPORT.read(files)
    metrics = PassMetrics(
        passes_accepted=report.usable_dates,
        passes_excluded=report.excluded_dates,
        longest_gap_days=report.longest_gap.days,
    )
    findings = tuple(finding for finding in outcome.findings if not finding.message.startswith(SIMULATED))
    return outcome.model_copy(update={"metrics": metrics, "findings": findings, "published_as": None})


def recompute_passes(files: Path, params: PassParams, *, audit: bool = False) -> tuple[str, ...]:
    """Check the manifest of the passes as `recompute_manifest` does; returns the dates that were drawn."""
    return recompute_manifest(files, params.for_validation(IMAGERY.read(files).geometry), audit=audit)


def recompute_plan(files: Path, params: PassParams) -> None:
    """Check that the passes were searched over the area of the fields, and that every usable one was chosen.

    Raises:
        ContractError: Another area, or other dates.
    """
    plan = SEARCH.read(files)
    check_stated(SEARCH.path, plan, plan.model_copy(update={"geometry": area_of(FIELDS.read(files))}))
    usable = [candidate.date for candidate in plan.candidates if candidate.usable]
    if plan.chosen != usable:
        raise ContractError(SEARCH.path, "must choose every usable date", f"{len(plan.chosen)} of {len(usable)}")
