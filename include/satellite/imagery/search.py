"""Search: what the catalog names, what a cheap look at the area shows, and which dates are therefore fetched."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

from include.core.contracts import Summary
from include.core.errors import BadInputError
from include.core.run_folder import read_model, write_json
from include.satellite.imagery.area import area_geometry, inside_mask, make_grid
from include.satellite.imagery.catalog import days
from include.satellite.imagery.client import COLLECTION, Hub
from include.satellite.imagery.evalscript import download_script
from include.satellite.imagery.fetch import Order
from include.satellite.imagery.looks import look_at
from include.satellite.imagery.model import Candidate, Grid, SearchResult
from include.satellite.imagery.params import ImageryStepParams
from include.satellite.imagery.selection import choose, verdict
from include.satellite.imagery.store import ImageryStore
from include.satellite.imagery.units import Meter

LOGGER = logging.getLogger(__name__)

SEARCH_FILE = "search.json"
LOOSE_CLOUD = 90.0
"""The catalog's cloud is a whole tile's (110 km), so its filter is loose; the look decides."""


def search(files: Path, params: ImageryStepParams) -> None:
    """Plan the download (`search.json`); under `skip_download` from the imagery store, without network.

    Raises:
        BadInputError: The area or the window is unusable, or no date is left: names the filter that left nothing.
        SetupError: Credentials or quota.
        TransientError: The service does not answer.
    """
    geometry = area_geometry(params)
    grid = make_grid(geometry, params.resolution)
    store = ImageryStore(
        collection=COLLECTION,
        source=params.source,
        grid=grid,
        bands=params.bands,
        geometry=geometry,
        inside=inside_mask(geometry, grid),
    )
    plan = _from_store(params, store) if params.skip_download else _from_catalog(params, store)
    write_json(files / SEARCH_FILE, plan)


def read_search(files: Path) -> SearchResult:
    """The plan of a run's download."""
    found = read_model(files / SEARCH_FILE, SearchResult)
    if found is None:
        raise FileNotFoundError(SEARCH_FILE)
    return found


def chosen_dates(files: Path) -> list[str]:
    """The dates to fetch, one task each."""
    return [day.isoformat() for day in read_search(files).chosen]


def search_summary(files: Path) -> Summary:
    """Key figures of the search, and a table of the chosen dates."""
    plan = read_search(files)
    usable = sum(candidate.usable for candidate in plan.candidates)
    chosen = [candidate for candidate in plan.candidates if candidate.date in set(plan.chosen)]
    return {
        "source": plan.source,
        "products_found": plan.found,
        "dates_judged": len(plan.candidates),
        "dates_usable": usable,
        "dates_chosen": len(plan.chosen),
        "dates_in_reserve": len(plan.reserves),
        "pixels": f"{plan.grid.width} × {plan.grid.height} of {plan.grid.resolution} m, {plan.grid.crs}",
        "processing_units_estimated": round(plan.units_estimated, 2),
        "processing_units_spent": round(plan.units_spent, 2),
        "findings": _findings(plan),
        "tables": [
            {
                "title": "Dates chosen",
                "columns": ["date", "cloud over the area, %", "clear, %", "cloud of the tile, %", "products"],
                "rows": [
                    [
                        each.date.isoformat(),
                        each.cloud,
                        each.clear,
                        "unknown" if each.tile_cloud is None else each.tile_cloud,
                        len(each.product_ids),
                    ]
                    for each in chosen
                ],
            }
        ],
    }


def _findings(plan: SearchResult) -> list[dict[str, str]]:
    removed = Counter(each.reason or "" for each in plan.candidates if not each.seen)
    found = [{"severity": "warning", "message": f"{count} dates left out: {why}"} for why, count in removed.items()]
    unknown = sum(each.tile_cloud is None for each in plan.candidates)
    if unknown:
        found.append({"severity": "warning", "message": f"the source does not know the cloud of {unknown} dates"})
    if plan.from_store:
        found.append({"severity": "info", "message": "download skipped: planned from the imagery store, no network"})
    return found


def _from_catalog(params: ImageryStepParams, store: ImageryStore) -> SearchResult:
    if params.wants_reference and params.source != "demo":
        raise BadInputError(
            f"label_source: reference needs a class raster, which {params.source} does not have; name one as "
            "`reference`, or take ndvi_rule or next_ndvi"
        )
    start, end = params.window
    hub, meter = Hub(params.source), Meter(params.max_processing_units)
    features = hub.search(_bounds(store), start.astimezone(UTC), end.astimezone(UTC), LOOSE_CLOUD)
    found = days(features, store.geometry, start, end)
    LOGGER.info("%d products on %d days", len(features), len(found))
    candidates = look_at(found, hub, meter, store, params)
    if not any(candidate.usable for candidate in candidates):
        everything = hub.search(_bounds(store), start.astimezone(UTC), end.astimezone(UTC), None)
        raise BadInputError(_nothing_left(params, len(everything), len(features), candidates))
    plan = _plan(params, store, candidates, len(features), meter.spent)
    missing = sum(store.find(each) is None for each in candidates if each.date in set(plan.chosen))
    units = missing * download_order(plan.grid, plan.bands).units
    meter.reserve(units, f"downloading {missing} dates")
    return plan.model_copy(update={"units_estimated": units})


def _from_store(params: ImageryStepParams, store: ImageryStore) -> SearchResult:
    start, end = params.window
    held = store.between(start, end)
    candidates = []
    for each in held:
        reason = verdict(each.clear, each.cloud, params)
        candidates.append(
            Candidate(
                date=each.date,
                datetime=each.datetime,
                product_ids=each.product_ids,
                tile_cloud=each.tile_cloud,
                clear=each.clear,
                cloud=each.cloud,
                synthetic=each.synthetic,
                usable=reason is None,
                reason=reason,
            )
        )
    if not any(candidate.usable for candidate in candidates):
        raise BadInputError(
            f"skip_download: the imagery store holds {len(held)} acquisitions of this area, resolution and bands from "
            f"{params.source} between {start:%Y-%m-%d} and {end:%Y-%m-%d}, and none is usable; run once without "
            "skip_download"
        )
    return _plan(params, store, candidates, len(held), 0.0).model_copy(update={"from_store": True})


def _plan(
    params: ImageryStepParams, store: ImageryStore, candidates: Sequence[Candidate], found: int, spent: float
) -> SearchResult:
    start, end = params.window
    chosen, reserves = choose(candidates, params.target_count, end - start)
    return SearchResult(
        collection=COLLECTION,
        source=params.source,
        grid=store.grid,
        geometry=store.geometry,
        bands=list(params.bands),
        start=start,
        end=end,
        found=found,
        candidates=list(candidates),
        chosen=chosen,
        reserves=reserves,
        units_estimated=0.0,
        units_spent=spent,
    )


def download_order(grid: Grid, bands: Sequence[str]) -> Order:
    """What is fetched of each date."""
    return Order(download_script(bands), tuple(bands), len(bands), "uint16", grid)


def _bounds(store: ImageryStore) -> tuple[float, float, float, float]:
    from shapely.geometry import shape

    west, south, east, north = shape(store.geometry).bounds
    return west, south, east, north


def _nothing_left(params: ImageryStepParams, everything: int, loosely: int, candidates: Sequence[Candidate]) -> str:
    """Names the filter that left nothing, and what each before it removed."""
    start, end = params.window
    where = f"between {start:%Y-%m-%d} and {end:%Y-%m-%d}"
    if not everything:
        return f"no imagery: the catalog of {params.source} names no product that shows the area {where}"
    if not candidates:
        return (
            f"no imagery: the catalog names {everything} products {where}; its filter of at most {LOOSE_CLOUD:g} % "
            f"cloud over the tile removed {everything - loosely}, the area and window the others"
        )
    kinds = Counter(_removed_by(each, params) for each in candidates)
    said = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    return (
        f"no usable date {where}: of {everything} products {everything - loosely} were removed by the catalog's filter "
        f"of at most {LOOSE_CLOUD:g} % cloud; the others show {len(candidates)} days, which were all removed: by {said}"
    )


def _removed_by(candidate: Candidate, params: ImageryStepParams) -> str:
    if not candidate.seen:
        return "looks that were no data"
    if candidate.cloud > params.max_cloud_cover:
        return f"max_cloud_cover ({params.max_cloud_cover:g} % of the area)"
    return f"min_clear ({params.min_clear:g} % of the area)"
