"""Download: each chosen date into the imagery store, and what takes the place of one that was never data."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.core.contracts import Summary
from include.core.errors import ContractError
from include.core.run_folder import read_model, write_json
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.client import Hub
from include.satellite.imagery.evalscript import CLASS_BANDS
from include.satellite.imagery.fetch import day_interval, fetch, two_at_once
from include.satellite.imagery.model import Acquisition, Candidate, Imagery, SearchResult
from include.satellite.imagery.params import ImageryStepParams
from include.satellite.imagery.raster import Scene, data_mask
from include.satellite.imagery.search import download_order, read_search
from include.satellite.imagery.selection import verdict
from include.satellite.imagery.store import ImageryStore
from include.satellite.imagery.units import Meter

LOGGER = logging.getLogger(__name__)

IMAGERY_FILE = "imagery.json"
ZERO_REFLECTANCE = 1
"""What a reflectance of 0 becomes where there is data."""


def download_slot(files: Path, params: ImageryStepParams, index: int) -> None:
    """Fetch one of the chosen dates (`acquisitions/<index>.json`), unless the store holds it intact.

    A scene that was never data is this task's verdict, not its failure.

    Args:
        files: The run's files.
        params: As for the search.
        index: Which of the chosen dates, from 0.

    Raises:
        BadInputError: It would cross the limit of processing units, or the service refuses the request.
        SetupError: Credentials or quota; the store cannot be written.
        TransientError: The service does not answer.
    """
    plan = read_search(files)
    store = ImageryStore.of(plan, inside_mask(plan.geometry, plan.grid))
    downloader = _Downloader(plan, params, store, _spoken_for(files, plan, store, index))
    write_json(_slot(files, index), downloader.obtain(downloader.candidates[plan.chosen[index]]))


def collect(files: Path, params: ImageryStepParams) -> None:
    """Count the usable acquisitions and replace the others by the next best dates (`imagery.json`).

    Raises:
        ContractError: A chosen date has no verdict.
    """
    plan = read_search(files)
    done = [_verdict(files, plan, index) for index in range(len(plan.chosen))]
    spent = plan.units_spent + sum(each.units_spent for each in done)
    downloader = _Downloader(plan, params, ImageryStore.of(plan, inside_mask(plan.geometry, plan.grid)), spent)
    reserves = list(plan.reserves)
    while (wanted := len(plan.chosen) - sum(each.usable for each in done)) and reserves:
        batch, reserves = reserves[:wanted], reserves[wanted:]
        LOGGER.info("%d dates are not usable; next best: %s", wanted, ", ".join(map(str, batch)))
        done += two_at_once(downloader.obtain, [downloader.candidates[day] for day in batch])
    done.sort(key=lambda each: each.date)
    downloader.store.sweep()
    write_json(files / IMAGERY_FILE, _manifest(plan, done))


def download_slot_summary(files: Path) -> Summary:
    """Nothing: what became of each date is said once, where all are collected."""
    return {}


def collect_summary(files: Path) -> Summary:
    """Key figures of the download, and the dates that were not usable."""
    imagery, plan = read_imagery(files / IMAGERY_FILE), read_search(files)
    everything = [*imagery.acquisitions, *imagery.unusable]
    findings = [
        {"severity": "warning", "message": f"{each.date}: not usable: {each.reason}"} for each in imagery.unusable
    ]
    missing = len(plan.chosen) - len(imagery.acquisitions)
    if missing > 0:
        findings.append({"severity": "warning", "message": f"no other date could replace {missing} of them"})
    return {
        "dates": len(imagery.acquisitions),
        "first_date": str(imagery.acquisitions[0].date) if imagery.acquisitions else None,
        "last_date": str(imagery.acquisitions[-1].date) if imagery.acquisitions else None,
        "dates_fetched": sum(each.fetched for each in everything),
        "dates_from_store": sum(not each.fetched and each.file is not None for each in everything),
        "dates_not_usable": len(imagery.unusable),
        "megabytes": round(sum(each.bytes or 0 for each in imagery.acquisitions) / 1e6, 1),
        "processing_units_estimated": round(imagery.units_estimated, 2),
        "processing_units_spent": round(imagery.units_spent, 2),
        "synthetic": imagery.synthetic,
        "findings": findings,
    }


def read_imagery(path: Path) -> Imagery:
    """A manifest: `imagery.json` or `validated.json`."""
    found = read_model(path, Imagery)
    if found is None:
        raise FileNotFoundError(path.name)
    return found


class _Downloader:
    """Fetches dates of one plan; asks the service only when something is missing.

    Args:
        plan: What was searched.
        params: The limits.
        store: Where scenes are kept.
        before: Processing units that the run has spent, or is about to spend, elsewhere.
    """

    def __init__(self, plan: SearchResult, params: ImageryStepParams, store: ImageryStore, before: float) -> None:
        self.plan, self.params, self.store = plan, params, store
        self.meter = Meter(params.max_processing_units, before)
        self.candidates = {candidate.date: candidate for candidate in plan.candidates}
        self.order = download_order(plan.grid, plan.bands)
        self._hub: Hub | None = None

    def obtain(self, candidate: Candidate) -> Acquisition:
        """A date's acquisition, from the store or from the service."""
        held = self.store.find(candidate)
        if held is not None:
            LOGGER.info("%s: intact in the store", candidate.date)
            return self._judged(held)
        if self.plan.from_store:
            return self._unusable(candidate, "the store no longer holds it intact, and the download is skipped", 0.0)
        interval = day_interval(candidate.date, self.plan.start, self.plan.end)
        fetched = fetch(self._asked(), self.meter, self.order, interval, f"downloading {candidate.date}")
        if fetched.array is None:
            return self._unusable(candidate, f"never data: {fetched.reason}", fetched.units)
        scene: Scene = fetched.array.astype(np.uint16, copy=False)
        reason = nothing_in(scene, self.plan.bands, self.store.inside)
        if reason is not None:
            return self._unusable(candidate, f"never data: {reason}", fetched.units)
        draft = self._draft(candidate, usable=True, reason=None, fetched=True, units=fetched.units)
        kept = self.store.put(draft, scene)
        LOGGER.info("%s: fetched, %.2f processing units", candidate.date, fetched.units)
        return self._judged(kept)

    def _judged(self, acquisition: Acquisition) -> Acquisition:
        """The look saw the area at 60 m; the limits hold at full resolution too."""
        reason = verdict(acquisition.clear, acquisition.cloud, self.params)
        return acquisition.model_copy(update={"usable": reason is None, "reason": reason})

    def _unusable(self, candidate: Candidate, reason: str, units: float) -> Acquisition:
        LOGGER.warning("%s: not usable: %s", candidate.date, reason)
        return self._draft(candidate, usable=False, reason=reason, fetched=units > 0, units=units)

    def _draft(
        self, candidate: Candidate, *, usable: bool, reason: str | None, fetched: bool, units: float
    ) -> Acquisition:
        return Acquisition(
            date=candidate.date,
            datetime=candidate.datetime,
            product_ids=candidate.product_ids,
            source=self.plan.source,
            synthetic=candidate.synthetic,
            usable=usable,
            reason=reason,
            bands=self.plan.bands,
            tile_cloud=candidate.tile_cloud,
            fetched=fetched,
            units_spent=units,
        )

    def _asked(self) -> Hub:
        if self._hub is None:
            self._hub = Hub(self.params.source)
        return self._hub


def nothing_in(scene: Scene, bands: Iterable[str], inside: NDArray[np.bool_]) -> str | None:
    """Why a readable scene is no data over the area all the same, or None.

    Args:
        scene: (bands, height, width).
        bands: Their names.
        inside: Which pixels belong to the area.
    """
    if not (data_mask(scene) & inside).any():
        return "every pixel of the area is nodata"
    reflectances = [number for number, band in enumerate(bands) if band not in CLASS_BANDS]
    if max(int(scene[number][inside].max()) for number in reflectances) <= ZERO_REFLECTANCE:
        return "every reflectance of the area is zero"
    return None


def _manifest(plan: SearchResult, done: list[Acquisition]) -> Imagery:
    usable = [each for each in done if each.usable]
    return Imagery(
        collection=plan.collection,
        source=plan.source,
        synthetic=any(each.synthetic for each in usable),
        grid=plan.grid,
        geometry=plan.geometry,
        bands=plan.bands,
        start=plan.start,
        end=plan.end,
        acquisitions=usable,
        unusable=[each for each in done if not each.usable],
        units_spent=plan.units_spent + sum(each.units_spent for each in done),
        units_estimated=plan.units_estimated,
    )


def _slot(files: Path, index: int) -> Path:
    return files / "acquisitions" / f"{index:03d}.json"


def _verdict(files: Path, plan: SearchResult, index: int) -> Acquisition:
    name, day = f"acquisitions/{index:03d}.json", plan.chosen[index]
    found = read_model(_slot(files, index), Acquisition)
    if found is None:
        raise ContractError(name, f"must exist: {day} was chosen and has no verdict", "no such file")
    if found.date != day:
        raise ContractError(name, f"must be the verdict on {day}", found.date)
    return found


def _spoken_for(files: Path, plan: SearchResult, store: ImageryStore, index: int) -> float:
    """Units that the run has spent, and those that tasks before this one are about to spend.

    Tasks run side by side: one before this that has no verdict yet is under way, or will be tried again.
    """
    one = download_order(plan.grid, plan.bands).units
    candidates = {candidate.date: candidate for candidate in plan.candidates}
    spoken_for = plan.units_spent
    for other in range(len(plan.chosen)):
        found = None if other == index else read_model(_slot(files, other), Acquisition)
        if found is not None:
            spoken_for += found.units_spent
        elif other < index and store.find(candidates[plan.chosen[other]]) is None:
            spoken_for += one
    return spoken_for
