"""The download and collect steps: each chosen date into the imagery store, and replacements for unusable ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path

import numpy as np

from include.core.errors import ContractError
from include.core.outcome import Finding, StepMetrics, StepOutcome
from include.satellite.artifacts import ACQUISITION, IMAGERY, SEARCH
from include.satellite.imagery.client import Hub
from include.satellite.imagery.fetch import Meter, connect, download_order, fetch, two_at_once
from include.satellite.imagery.scenes import Mask, Scene
from include.satellite.imagery.schemas import Acquisition, Day, Imagery, Scope, SearchResult
from include.satellite.imagery.stac import StacApi
from include.satellite.imagery.store import ImageryStore
from include.satellite.params import ImageryStepParams

LOGGER = logging.getLogger(__name__)

ZERO_REFLECTANCE = 1
"""Digital number of a reflectance of 0 where there is data."""


class CollectMetrics(StepMetrics, extra="forbid"):
    """Metrics of the complete download."""

    dates: int
    first_date: str | None
    last_date: str | None
    dates_fetched: int
    dates_from_store: int
    dates_not_usable: int
    megabytes: float
    processing_units_estimated: float
    processing_units_spent: float


def download(files: Path, params: ImageryStepParams, index: int) -> None:
    """Fetch one of the chosen dates (`acquisitions/<index>.json`), unless the store holds it intact.

    A scene without data is a result of this task, not its failure.

    Args:
        files: The run's files.
        params: As for the search.
        index: Which of the chosen dates, from 0.

    Raises:
        BadInputError: It would cross the limit of processing units, or the service refuses the request.
        SetupError: Credentials or quota; the store cannot be written.
        TransientError: The service does not answer.
    """
    plan = SEARCH.read(files)
    store = ImageryStore(plan)
    downloader = Downloader(plan, params, store, _committed_units(files, plan, store, index))
    ACQUISITION.instance(index).write(files, downloader.obtain(plan.candidate(plan.chosen[index])))


def collect(files: Path, params: ImageryStepParams) -> None:
    """Count the usable acquisitions and replace the others by the next best dates (`imagery.json`).

    Raises:
        ContractError: A chosen date has no acquisition.
    """
    plan = SEARCH.read(files)
    done = [_downloaded(files, plan, index) for index in range(len(plan.chosen))]
    spent = plan.units_spent + sum(acquisition.units_spent for acquisition in done)
    downloader = Downloader(plan, params, ImageryStore(plan), spent)
    reserves = list(plan.reserves)
    while (wanted := len(plan.chosen) - sum(acquisition.usable for acquisition in done)) and reserves:
        batch, reserves = reserves[:wanted], reserves[wanted:]
        LOGGER.info("%d dates are not usable; next best: %s", wanted, ", ".join(map(str, batch)))
        done += two_at_once(downloader.obtain, map(plan.candidate, batch), "fetching other dates")
    done.sort(key=attrgetter("date"))
    downloader.store.sweep()
    IMAGERY.write(files, manifest_of(plan, done))


def manifest_of(plan: SearchResult, done: Sequence[Acquisition]) -> Imagery:
    """Return the manifest of the acquisitions that a plan led to.

    Args:
        plan: The search's result.
        done: Its acquisitions, usable or not, ascending by date.
    """
    usable = [acquisition for acquisition in done if acquisition.usable]
    return Imagery(
        **plan.fields_of(Scope),
        synthetic=any(acquisition.synthetic for acquisition in usable),
        acquisitions=usable,
        unusable=[acquisition for acquisition in done if not acquisition.usable],
        units_spent=plan.units_spent + sum(acquisition.units_spent for acquisition in done),
        units_estimated=plan.units_estimated,
    )


def collect_outcome(files: Path) -> StepOutcome:
    """Return the metrics of the download, and the dates that were not usable."""
    imagery, plan = IMAGERY.read(files), SEARCH.read(files)
    usable, unusable = imagery.acquisitions, imagery.unusable
    everything = [*usable, *unusable]
    messages = [f"{acquisition.date}: not usable: {acquisition.reason}" for acquisition in unusable]
    missing = len(plan.chosen) - len(usable)
    if missing > 0:
        messages.append(f"no other date could replace {missing} of them")
    return StepOutcome(
        metrics=CollectMetrics(
            dates=len(usable),
            first_date=str(usable[0].date) if usable else None,
            last_date=str(usable[-1].date) if usable else None,
            dates_fetched=sum(acquisition.fetched for acquisition in everything),
            dates_from_store=sum(not acquisition.fetched and bool(acquisition.file) for acquisition in everything),
            dates_not_usable=len(unusable),
            megabytes=round(sum(acquisition.bytes or 0 for acquisition in usable) / 1e6, 1),
            processing_units_estimated=round(imagery.units_estimated, 2),
            processing_units_spent=round(imagery.units_spent, 2),
        ),
        findings=tuple(Finding(severity="warning", message=message) for message in messages),
        provenance=_provenance(imagery),
        synthetic=imagery.synthetic,
        stand_in=imagery.source == "demo",
    )


def _provenance(imagery: Imagery) -> dict[str, str]:
    if imagery.catalog is None:
        return {"imagery source": imagery.source, "collection": imagery.collection}
    baselines = sorted({item.baseline or "unknown" for day in imagery.acquisitions for item in day.items})
    return {
        "imagery source": imagery.catalog.url,
        "collection": imagery.catalog.collection,
        "processing baselines": ", ".join(baselines),
    }


class Downloader:
    """Fetches dates of one plan; asks the service only when something is missing.

    Args:
        plan: The search's result.
        params: The limits.
        store: Where scenes are kept.
        before: Processing units that the run has spent, or is about to spend, elsewhere.
        purpose: What the requests are for, in messages.
    """

    def __init__(
        self,
        plan: SearchResult,
        params: ImageryStepParams,
        store: ImageryStore,
        before: float,
        purpose: str = "downloading",
    ) -> None:
        self.plan, self.params, self.store, self.purpose = plan, params, store, purpose
        self.meter = Meter(params.max_processing_units, before)
        self.order = download_order(plan)

    @cached_property
    def service(self) -> Hub | StacApi:
        """The service's client, which takes a token when it is made."""
        return connect(self.plan)

    def obtain(self, candidate: Day) -> Acquisition:
        """Return a date's acquisition, from the store or from the service."""
        stored = self.store.find(candidate)
        if stored is not None:
            LOGGER.info("%s: intact in the store", candidate.date)
            return self._judged(stored)
        if self.plan.from_store:
            return self.drafted(candidate, 0.0, "the store no longer holds it intact, and the download is skipped")
        window = self.plan.start, self.plan.end
        fetched = fetch(self.service, self.meter, self.order, candidate, window, f"{self.purpose} {candidate.date}")
        if fetched.array is None:
            return self.drafted(candidate, fetched.units, f"never data: {fetched.reason}")
        scene = self.store.scene(fetched.array.astype(np.uint16, copy=False))
        reason = no_data_reason(scene, self.store.inside)
        if reason is not None:
            return self.drafted(candidate, fetched.units, f"never data: {reason}")
        draft = self.drafted(candidate, fetched.units).model_copy(update={"items": list(fetched.items)})
        kept = self.store.put(draft, scene.layers)
        LOGGER.info("%s: fetched, %.2f processing units", candidate.date, fetched.units)
        return self._judged(kept)

    def _judged(self, acquisition: Acquisition) -> Acquisition:
        """Apply the limits at full resolution too; the preview was at 60 m."""
        reason = self.params.rejection(acquisition.clear, acquisition.cloud)
        return acquisition.model_copy(update={"usable": reason is None, "reason": reason})

    def drafted(self, candidate: Day, units: float, reason: str | None = None) -> Acquisition:
        """Return an acquisition without a file: one that is about to be stored, or why there is nothing to store."""
        if reason is not None:
            LOGGER.warning("%s: not usable: %s", candidate.date, reason)
        return Acquisition(
            **candidate.fields_of(Day),
            source=self.plan.source,
            usable=reason is None,
            reason=reason,
            bands=self.plan.bands,
            fetched=reason is None or units > 0,
            units_spent=units,
        )


def no_data_reason(scene: Scene, inside: Mask) -> str | None:
    """Return why a readable scene holds no data over the area all the same, or None if it does.

    Args:
        scene: The scene.
        inside: Which pixels belong to the area.
    """
    if not (scene.data & inside).any():
        return "every pixel of the area is nodata"
    reflectances = scene.sensor.reflectances(scene.bands)
    if max(int(scene.band(name)[inside].max()) for name in reflectances) <= ZERO_REFLECTANCE:
        return "every reflectance of the area is zero"
    return None


def _downloaded(files: Path, plan: SearchResult, index: int) -> Acquisition:
    artifact, day = ACQUISITION.instance(index), plan.chosen[index]
    acquisition = artifact.find(files)
    if acquisition is None:
        raise ContractError(artifact.path, f"must exist: {day} was chosen and has no acquisition", "no such file")
    if acquisition.date != day:
        raise ContractError(artifact.path, f"must be the acquisition of {day}", acquisition.date)
    return acquisition


def _committed_units(files: Path, plan: SearchResult, store: ImageryStore, index: int) -> float:
    """Return the units that the run has spent, and those that tasks before this one are about to spend.

    Tasks run side by side: one before this that has left no acquisition yet is under way, or will be tried again.
    """
    units = plan.units_spent
    for other, day in enumerate(plan.chosen):
        acquisition = None if other == index else ACQUISITION.instance(other).find(files)
        if acquisition is not None:
            units += acquisition.units_spent
        elif other < index and store.find(plan.candidate(day)) is None:
            units += download_order(plan).units
    return units
