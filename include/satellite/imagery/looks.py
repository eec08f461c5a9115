"""The cheap look at a day: scene classification and data mask over the area at 60 m, a twentieth of a unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from include.satellite.imagery.area import inside_mask, make_grid
from include.satellite.imagery.catalog import Day
from include.satellite.imagery.client import Hub
from include.satellite.imagery.evalscript import LOOK_BANDS, look_script
from include.satellite.imagery.fetch import Order, day_interval, fetch, two_at_once
from include.satellite.imagery.model import Candidate, Grid
from include.satellite.imagery.params import ImageryStepParams
from include.satellite.imagery.quality import shares
from include.satellite.imagery.selection import verdict
from include.satellite.imagery.store import ImageryStore, Look
from include.satellite.imagery.units import Meter

LOOK_RESOLUTION = 60
FEWEST_LOOK_PIXELS = 100
"""An area of fewer pixels of 60 m is looked at in full; a small request costs as little."""


def look_at(
    found: Sequence[Day], hub: Hub, meter: Meter, store: ImageryStore, params: ImageryStepParams
) -> list[Candidate]:
    """Judge each day by its scene classification over the area, two looks at once; what was seen before is known.

    Args:
        found: The catalog's days.
        hub: Whom to ask.
        meter: Stops before the limit is crossed.
        store: Where looks are kept.
        params: The limits, and the window.

    Raises:
        BadInputError: The looks alone would cross the limit of processing units.
    """
    grid, inside = _look_grid(store)
    order = Order(look_script(), LOOK_BANDS, len(LOOK_BANDS), "uint8", grid)

    def look(day: Day) -> Candidate:
        known = store.look(day.date, day.product_ids)
        if known is None:
            interval = day_interval(day.date, *params.window)
            seen = fetch(hub, meter, order, interval, f"looking at {day.date}")
            if seen.array is None:
                return _not_seen(day, f"the look at it was no data: {seen.reason}")
            over_area = shares(seen.array[0].astype(np.uint8), seen.array[1] == 1, inside)
            if over_area.nodata == 100:
                return _not_seen(day, "no data over the area")
            known = Look(
                date=day.date,
                product_ids=list(day.product_ids),
                clear=over_area.clear,
                cloud=over_area.cloud,
            )
            store.keep_look(known)
        return _candidate(day, known.clear, known.cloud, verdict(known.clear, known.cloud, params))

    new = sum(store.look(day.date, day.product_ids) is None for day in found)
    if new * order.units > meter.limit:
        meter.reserve(new * order.units, f"looking at {new} days")
    return list(two_at_once(look, found))


def _candidate(day: Day, clear: float, cloud: float, reason: str | None) -> Candidate:
    return Candidate(
        date=day.date,
        datetime=day.datetime,
        product_ids=list(day.product_ids),
        tile_cloud=day.tile_cloud,
        clear=clear,
        cloud=cloud,
        synthetic=day.synthetic,
        usable=reason is None,
        reason=reason,
    )


def _not_seen(day: Day, reason: str) -> Candidate:
    return _candidate(day, 0.0, 0.0, reason).model_copy(update={"seen": False})


def _look_grid(store: ImageryStore) -> tuple[Grid, NDArray[np.bool_]]:
    grid = make_grid(store.geometry, max(LOOK_RESOLUTION, store.grid.resolution))
    if grid.width * grid.height < FEWEST_LOOK_PIXELS:
        return store.grid, store.inside
    return grid, inside_mask(store.geometry, grid)
