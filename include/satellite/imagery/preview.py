"""Previews: scene classification and data mask of a day over the area at 60 m, for a twentieth of a unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from include.satellite.imagery.area import inside_mask, make_grid
from include.satellite.imagery.candidates import candidate_of, rejection
from include.satellite.imagery.client import Hub
from include.satellite.imagery.fetch import Meter, Order, day_interval, fetch, two_at_once
from include.satellite.imagery.scenes import shares
from include.satellite.imagery.schemas import Candidate, Day, Grid, Preview
from include.satellite.imagery.store import ImageryStore
from include.satellite.params import ImageryStepParams
from include.satellite.sensors.evalscript import DATA_MASK, preview_script

RESOLUTION_M = 60
FEWEST_PIXELS = 100
"""An area of fewer pixels of 60 m is previewed at full resolution; a small request costs as little."""


def preview_days(
    days: Sequence[Day], hub: Hub, meter: Meter, store: ImageryStore, params: ImageryStepParams
) -> list[Candidate]:
    """Assess each day by a preview over the area, two requests at once; previews that the store holds are reused.

    Args:
        days: The catalog's days.
        hub: The service.
        meter: Stops before the limit is crossed.
        store: Where previews are kept.
        params: The limits, and the window.

    Raises:
        BadInputError: The previews alone would cross the limit of processing units.
    """
    grid, inside = _preview_grid(store)
    bands = (store.sensor.classes.band, DATA_MASK)
    order = Order(preview_script(store.sensor), bands, len(bands), "uint8", grid)

    def judge(day: Day) -> Candidate:
        preview = store.find_preview(day.date, day.product_ids)
        if preview is None:
            interval = day_interval(day.date, *params.window)
            fetched = fetch(hub, meter, order, interval, f"previewing {day.date}")
            if fetched.array is None:
                return _without_data(day, f"the preview is no data: {fetched.reason}")
            layers = dict(zip(bands, fetched.array, strict=True))
            over_area = shares(store.sensor, layers[bands[0]].astype(np.uint8), layers[DATA_MASK] == 1, inside)
            if over_area.nodata == 100:
                return _without_data(day, "no data over the area")
            preview = Preview(
                date=day.date, product_ids=list(day.product_ids), clear=over_area.clear, cloud=over_area.cloud
            )
            store.keep_preview(preview)
        return candidate_of(day, preview.clear, preview.cloud, rejection(preview.clear, preview.cloud, params))

    missing = sum(store.find_preview(day.date, day.product_ids) is None for day in days)
    if missing * order.units > meter.limit:
        meter.reserve(missing * order.units, f"previewing {missing} days")
    return list(two_at_once(judge, days))


def _without_data(day: Day, reason: str) -> Candidate:
    return candidate_of(day, 0.0, 0.0, reason).model_copy(update={"seen": False})


def _preview_grid(store: ImageryStore) -> tuple[Grid, NDArray[np.bool_]]:
    grid = make_grid(store.geometry, max(RESOLUTION_M, store.grid.resolution))
    if grid.width * grid.height < FEWEST_PIXELS:
        return store.grid, store.inside
    return grid, inside_mask(store.geometry, grid)
