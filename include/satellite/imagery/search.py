"""The search step: which days the catalog lists, what their previews show, and which dates are therefore fetched.

A preview is the scene classification and the data mask of a day over the area at 60 m, for a twentieth of a unit. With
`history_days` it holds the bands of NDVI too, and those of earlier years are kept for the series of the forecast.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from shapely.geometry import shape

from include.core.errors import BadInputError
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.satellite.artifacts import HISTORY, SEARCH
from include.satellite.imagery.area import area_findings, area_geometry, inside_mask, make_grid
from include.satellite.imagery.candidates import candidate_of, choose, classification_messages, days
from include.satellite.imagery.client import Hub
from include.satellite.imagery.demo import DEMO
from include.satellite.imagery.fetch import Meter, Order, connect, download_order, fetch, two_at_once
from include.satellite.imagery.history import fetch_history, history_scope, stored_history
from include.satellite.imagery.scene_folder import check_heeded, folder_of
from include.satellite.imagery.scenes import Mask, shares
from include.satellite.imagery.schemas import Candidate, Day, Grid, Imagery, Preview, Scope, SearchResult, Shares
from include.satellite.imagery.stac import StacApi, catalog_of
from include.satellite.imagery.store import ImageryStore
from include.satellite.outlines.geometries import SWAP
from include.satellite.outlines.outline import Box, named
from include.satellite.outlines.reading import outlines_of
from include.satellite.params import ImageryStepParams
from include.satellite.sensors.evalscript import DATA_MASK, preview_script

LOGGER = logging.getLogger(__name__)

LOOSE_CLOUD = 90.0
"""The catalog's cloud is that of a tile (110 km), so its filter is loose; the preview decides."""
PREVIEW_RESOLUTION_M = 60
NORTHERNMOST = 84.0
NEARBY_DEGREES, NEARBY_DEGREES_DEMO = 1.0, 5.0
"""How far from an area without imagery the catalog is asked for some, to say where it is: real catalogs are full."""
FIRST = datetime(2015, 1, 1, tzinfo=UTC)
"""Before the first image of Sentinel-2."""
FEWEST_PIXELS = 100
"""An area of fewer pixels of 60 m is previewed at full resolution; a small request costs as little."""


class SearchMetrics(StepMetrics, extra="forbid"):
    """Metrics of the search."""

    source: str
    products_found: int
    dates_judged: int
    dates_usable: int
    dates_chosen: int
    dates_in_reserve: int
    pixels: str
    processing_units_estimated: float
    processing_units_spent: float


def search(files: Path, params: ImageryStepParams) -> None:
    """Plan the download (`search.json`); under `skip_download` from the imagery store, without network.

    With `history_days` the previews of the history are fetched, and listed in `history.json`.

    Raises:
        BadInputError: The area or the window is unusable, or no date is left: names the filter that left nothing.
        SetupError: Credentials or quota.
        TransientError: The service does not answer.
    """
    scope = _scope(params)
    plan, history = _from_store(params, scope) if params.skip_download else _from_catalog(params, scope)
    if history is not None:
        HISTORY.write(files, history)
    SEARCH.write(files, plan.model_copy(update={"area_findings": list(area_findings(params))}))


def search_history(params: ImageryStepParams) -> Imagery:
    """Return the manifest of the previews of a window, fetched where the store lacks them; nothing else is fetched.

    Under `skip_download` it is made from the imagery store, without network.

    Raises:
        BadInputError: The area or the window is unusable, or no date is left: names the filter that left nothing.
        SetupError: Credentials or quota.
        TransientError: The service does not answer.
    """
    scope = _scope(params)
    past = history_scope(scope, _preview_grid(ImageryStore(scope))[0], 0)
    if params.skip_download:
        history = stored_history(past, params)
        if not history.acquisitions:
            raise BadInputError(
                f"skip_download: the imagery store holds no usable preview of this area {_window(params)}; run once "
                "without skip_download"
            )
        return history
    service = connect(scope)
    window = (shape(scope.geometry).bounds, scope.start.astimezone(UTC), scope.end.astimezone(UTC))
    features = service.search(*window, LOOSE_CLOUD)
    check_heeded(features, scope.folder)
    listed = days(features, scope.geometry, scope.start, scope.end)
    history = fetch_history(past, listed, service, params)[0]
    if not history.acquisitions:
        everything = len(service.search(*window, None))
        elsewhere = "" if everything else _elsewhere(service, scope, *window)
        candidates = _judged(listed, history, params)
        raise BadInputError(_nothing_left(params, everything, len(features), candidates) + elsewhere)
    return history


def _scope(params: ImageryStepParams) -> Scope:
    geometry = area_geometry(params)
    start, end = params.window
    return Scope(
        collection=params.sensor.collections[params.source],
        source=params.source,
        catalog=catalog_of(params),
        folder=folder_of(params),
        grid=make_grid(geometry, params.resolution),
        geometry=geometry,
        bands=list(params.bands),
        start=start,
        end=end,
    )


def chosen_dates(files: Path) -> list[str]:
    """Return the dates to fetch, one task each."""
    return [day.isoformat() for day in SEARCH.read(files).chosen]


def search_outcome(files: Path) -> StepOutcome:
    """Return the metrics of the search, and a table of the chosen dates."""
    plan = SEARCH.read(files)
    rows = [
        (
            candidate.date.isoformat(),
            "unknown" if candidate.cloud_unknown else candidate.cloud,
            candidate.clear,
            "unknown" if candidate.tile_cloud is None else candidate.tile_cloud,
            len(candidate.product_ids),
        )
        for candidate in plan.candidates
        if candidate.date in set(plan.chosen)
    ]
    columns = ("date", "cloud over the area, %", "clear, %", "cloud of the tile, %", "products")
    return StepOutcome(
        metrics=SearchMetrics(
            source=plan.source,
            products_found=plan.found,
            dates_judged=len(plan.candidates),
            dates_usable=sum(candidate.usable for candidate in plan.candidates),
            dates_chosen=len(plan.chosen),
            dates_in_reserve=len(plan.reserves),
            pixels=f"{plan.grid.width} × {plan.grid.height} of {plan.grid.resolution} m, {plan.grid.crs}",
            processing_units_estimated=round(plan.units_estimated, 2),
            processing_units_spent=round(plan.units_spent, 2),
        ),
        findings=_findings(plan),
        tables=(Table(title="Dates chosen", columns=columns, rows=tuple(rows)),),
        stand_in=plan.source == "demo",
    )


def _findings(plan: SearchResult) -> tuple[Finding, ...]:
    removed = Counter(candidate.reason or "" for candidate in plan.candidates if not candidate.seen)
    messages = [f"{count} dates left out: {reason}" for reason, count in removed.items()]
    messages += classification_messages(plan.candidates)
    findings = [Finding(severity="warning", message=message) for message in messages]
    if plan.from_store:
        skipped = "download skipped: planned from the imagery store, no network"
        findings.append(Finding(severity="info", message=skipped))
    return (*plan.area_findings, *findings)


def _from_catalog(params: ImageryStepParams, scope: Scope) -> tuple[SearchResult, Imagery | None]:
    if params.wants_reference and params.source != "demo":
        raise BadInputError(
            f"label_source: reference needs a class raster, which {params.source} does not have; name one as "
            "`reference`, or take ndvi_rule or next_ndvi"
        )
    store = ImageryStore(scope)
    service, meter = connect(scope), Meter(params.max_processing_units)
    window = (shape(scope.geometry).bounds, scope.start.astimezone(UTC), scope.end.astimezone(UTC))
    features = service.search(*window, LOOSE_CLOUD)
    check_heeded(features, scope.folder)
    listed = days(features, scope.geometry, scope.start, scope.end)
    LOGGER.info("%d products on %d days", len(features), len(listed))
    history = None
    if params.history_days and listed:
        past = history_scope(scope, _preview_grid(store)[0], params.history_days)
        before = (shape(scope.geometry).bounds, past.start.astimezone(UTC), window[1])
        earlier = days(service.search(*before, LOOSE_CLOUD), scope.geometry, past.start, scope.start)
        history, meter = fetch_history(past, [*earlier, *listed], service, params)
        candidates = _judged(listed, history, params)
    else:
        candidates = preview_days(listed, service, meter, store, params)
    if not any(candidate.usable for candidate in candidates):
        everything = len(service.search(*window, None))
        elsewhere = "" if everything else _elsewhere(service, scope, *window) + _features(params)
        raise BadInputError(_nothing_left(params, everything, len(features), candidates) + elsewhere)
    plan = _plan(params, scope, candidates, found=len(features), units_spent=meter.spent)
    missing = sum(store.find(plan.candidate(day)) is None for day in plan.chosen)
    units = missing * download_order(plan).units
    meter.reserve(units, f"downloading {missing} dates")
    return plan.model_copy(update={"units_estimated": units}), history


def _judged(listed: Sequence[Day], history: Imagery, params: ImageryStepParams) -> list[Candidate]:
    """Return the days of the window as candidates, by their previews of the history."""
    previews = {preview.date: preview for preview in (*history.acquisitions, *history.unusable)}
    return [
        candidate_of(day, Shares(**previews[day.date].fields_of(Shares)), params)
        if previews[day.date].file
        else _without_data(day, str(previews[day.date].reason))
        for day in listed
    ]


def _from_store(params: ImageryStepParams, scope: Scope) -> tuple[SearchResult, Imagery | None]:
    store = ImageryStore(scope)
    candidates = [
        candidate_of(stored, Shares(**stored.fields_of(Shares)), params)
        for stored in store.between(scope.start, scope.end)
    ]
    if not any(candidate.usable for candidate in candidates):
        raise BadInputError(
            f"skip_download: the imagery store holds {len(candidates)} acquisitions of this area, resolution and bands "
            f"from {params.source} {_window(params)}, read as this run states, and none is usable; state the folder of "
            "scenes, scale, offset, bands and masks as the run that fetched them did, or run once without skip_download"
        )
    plan = _plan(params, scope, candidates, found=len(candidates), units_spent=0, from_store=True)
    if not params.history_days:
        return plan, None
    return plan, stored_history(history_scope(scope, _preview_grid(store)[0], params.history_days), params)


def _plan(params: ImageryStepParams, scope: Scope, candidates: list[Candidate], **values: Any) -> SearchResult:
    chosen, reserves = choose(candidates, params.target_count, scope.end - scope.start)
    return SearchResult(
        **scope.fields_of(Scope),
        candidates=candidates,
        chosen=chosen,
        reserves=reserves,
        units_estimated=0,
        **values,
    )


def preview_days(
    days: Sequence[Day], service: Hub | StacApi, meter: Meter, store: ImageryStore, params: ImageryStepParams
) -> list[Candidate]:
    """Assess each day by a preview over the area, two requests at once; previews that the store holds are reused.

    Args:
        days: The catalog's days.
        service: The service.
        meter: Stops before the limit is crossed.
        store: Where previews are kept.
        params: The limits, and the window.

    Raises:
        BadInputError: The previews alone would cross the limit of processing units.
    """
    grid, inside = _preview_grid(store)
    bands = (store.sensor.classes.band, DATA_MASK)
    script = None if isinstance(service, StacApi) else preview_script(store.sensor)
    order = Order(script, bands, "uint8", grid)
    previews = [store.find_preview(day) for day in days]

    def assess(day: Day, preview: Preview | None) -> Candidate:
        if day.unreadable:
            return _without_data(day, day.unreadable)
        if preview is None:
            fetched = fetch(service, meter, order, day, params.window, f"previewing {day.date}")
            if fetched.array is None:
                return _without_data(day, f"the preview is no data: {fetched.reason}")
            classes, mask = fetched.array
            over_area = shares(store.sensor, classes.astype(np.uint8, copy=False), mask == 1, inside)
            if over_area.nodata == 100:
                return _without_data(day, "no data over the area")
            preview = Preview(**day.fields_of(Preview), **over_area.fields_of(Preview))
            store.keep_preview(preview)
        return candidate_of(day, Shares(**preview.fields_of(Shares)), params)

    missing = previews.count(None)
    if missing * order.units > meter.limit:
        meter.reserve(missing * order.units, f"previewing {missing} days")
    return two_at_once(lambda pair: assess(*pair), zip(days, previews, strict=True), "assessing previews")


def _without_data(day: Day, reason: str) -> Candidate:
    return Candidate(**day.fields_of(Day), clear=0, cloud=0, seen=False, usable=False, reason=reason)


def _preview_grid(store: ImageryStore) -> tuple[Grid, Mask]:
    grid = make_grid(store.geometry, max(PREVIEW_RESOLUTION_M, store.grid.resolution))
    if grid.width * grid.height < FEWEST_PIXELS:
        return store.grid, store.inside
    return grid, inside_mask(store.geometry, grid)


def _nothing_left(params: ImageryStepParams, everything: int, loosely: int, candidates: Sequence[Candidate]) -> str:
    """Name the filter that left nothing, and what each before it removed."""
    window = _window(params)
    if not everything:
        return f"no imagery: the catalog of {params.source} lists no product that shows the area {window}"
    if not candidates:
        return (
            f"no imagery: the catalog lists {everything} products {window}; its filter of at most {LOOSE_CLOUD:g} % "
            f"cloud over the tile removed {everything - loosely}, the area and window the others"
        )
    filters = Counter(_removed_by(candidate, params) for candidate in candidates)
    removed = ", ".join(f"{name} {count}" for name, count in filters.most_common())
    return (
        f"no usable date {window}: of {everything} products {everything - loosely} were removed by the catalog's "
        f"filter of at most {LOOSE_CLOUD:g} % cloud; the others show {len(candidates)} days, which were all removed: "
        f"by {removed}{_first_fault(candidates)}"
    )


def _first_fault(candidates: Sequence[Candidate]) -> str:
    """Return why the first day cannot be read at all; nothing where all can."""
    return next((f" ({day.date}: {day.unreadable})" for day in candidates if day.unreadable), "")


def _elsewhere(service: Hub | StacApi, scope: Scope, bounds: Box, start: datetime, end: datetime) -> str:
    """Return where the catalog has imagery, where it has none of the area: behind swapped axes, else nearby.

    Of a folder it is where and when all of its scenes are.
    """
    west, south, east, north = bounds
    if max(abs(west), abs(east)) <= NORTHERNMOST and service.search((south, west, north, east), start, end, None):
        return f"; it lists some with latitude and longitude swapped: if the area states latitude first, {SWAP}"
    is_folder = scope.folder is not None and scope.folder.path is not None
    within = 360.0 if is_folder else NEARBY_DEGREES_DEMO if scope.source == DEMO else NEARBY_DEGREES
    nearby = (
        max(west - within, -180.0),
        max(south - within, -NORTHERNMOST),
        min(east + within, 180.0),
        min(north + within, NORTHERNMOST),
    )
    window = (FIRST, datetime.now(UTC)) if is_folder else (start, end)
    features = service.search(nearby, *window, None)
    places = [shape(feature["geometry"]).bounds for feature in features]
    if not places:
        return ""
    west, south = (min(place[side] for place in places) for side in (0, 1))
    east, north = (max(place[side] for place in places) for side in (2, 3))
    where = f"between ({west:.4f}, {south:.4f}) and ({east:.4f}, {north:.4f}) (longitude, latitude)"
    if not is_folder:
        return f"; the nearest lie {where}"
    days = sorted(str(feature["properties"]["datetime"])[:10] for feature in features)
    bands = dict.fromkeys(band for feature in features for band in feature["properties"].get("scene_bands", ()))
    held = ", ".join(bands) or "no band"
    return f"; the scenes of the folder lie {where}, are of {days[0]} to {days[-1]}, and hold {held}"


def _features(params: ImageryStepParams) -> str:
    """Return in words which features of a file are the area; nothing for a bounding box or a bare geometry."""
    if params.geojson is None or "coordinates" in params.geojson:
        return ""
    return f"; the area is {named([outline.id for outline in outlines_of(params.geojson).outlines])} of its file"


def _window(params: ImageryStepParams) -> str:
    start, end = params.window
    return f"between {start:%Y-%m-%d} and {end:%Y-%m-%d}"


def _removed_by(candidate: Candidate, params: ImageryStepParams) -> str:
    if not candidate.seen:
        return "previews without data"
    if candidate.cloud > params.max_cloud_cover:
        return f"max_cloud_cover ({params.max_cloud_cover:g} % of the area)"
    return f"min_clear ({params.min_clear:g} % of the area)"
