"""The history: previews of several years with the bands of NDVI, of which the series of the forecast are made.

A preview of the history is an acquisition like any other, of 60 m and few bands, in a separate part of the imagery
store. So a preview that one run fetched is not fetched again, and the next run fetches only new days.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from operator import attrgetter

from include.core.errors import BadInputError
from include.satellite.imagery.client import Hub
from include.satellite.imagery.download import Downloader, manifest_of
from include.satellite.imagery.fetch import Meter, two_at_once
from include.satellite.imagery.schemas import Acquisition, Day, Grid, Imagery, Scope, SearchResult
from include.satellite.imagery.stac import StacApi
from include.satellite.imagery.store import ImageryStore
from include.satellite.params import ImageryStepParams

LOGGER = logging.getLogger(__name__)

BANDS = ("blue", "red", "nir")
"""Red and near infrared make NDVI; blue shows haze."""


def history_scope(scope: Scope, grid: Grid, days: int) -> Scope:
    """Return the scope of the previews of a run: on their own grid, with the bands of NDVI, over more years.

    Args:
        scope: Of the run's imagery.
        grid: Of the previews.
        days: `history_days`; where the window is longer, the history is as long as the window.
    """
    sensor = scope.sensor
    return scope.model_copy(
        update={
            "grid": grid,
            "bands": [*(sensor.name_of(name) for name in BANDS), sensor.classes.band],
            "start": min(scope.start, scope.end - timedelta(days=days)),
        }
    )


def fetch_history(
    scope: Scope, days: Sequence[Day], service: Hub | StacApi, params: ImageryStepParams
) -> tuple[Imagery, Meter]:
    """Preview each day with the bands of NDVI, two requests at once; what the store holds is reused.

    Args:
        scope: Of the history.
        days: The catalog's days.
        service: The service.
        params: The limits.

    Returns:
        The manifest of all days, usable or not; and the meter, with what the previews took.

    Raises:
        BadInputError: The previews would cross the limit of processing units.
    """
    downloader = Downloader(_plan(scope, len(days)), params, ImageryStore(scope), 0, "previewing")
    downloader.service = service
    missing = sum(not day.unreadable and downloader.store.find(day) is None for day in days)
    units = missing * downloader.order.units
    LOGGER.info("%d days to preview of %d, about %.1f processing units", missing, len(days), units)
    if units > downloader.meter.limit:
        downloader.meter.reserve(units, f"previewing {missing} days (history_days {params.history_days})")

    def obtain(day: Day) -> Acquisition:
        if day.unreadable:
            return downloader.drafted(day, 0.0, day.unreadable)
        try:
            return downloader.obtain(day)
        except BadInputError as error:
            if isinstance(service, Hub):
                raise
            return downloader.drafted(day, 0.0, str(error))  # an item of an earlier year must not end the run

    return manifest_of(
        downloader.plan, sorted(two_at_once(obtain, days, "fetching previews"), key=attrgetter("date"))
    ), downloader.meter


def stored_history(scope: Scope, params: ImageryStepParams) -> Imagery:
    """Return the manifest of the previews that the imagery store holds, without network."""
    previews = []
    for preview in ImageryStore(scope).between(scope.start, scope.end):
        reason = params.rejection(preview.clear, preview.cloud)
        previews.append(preview.model_copy(update={"usable": reason is None, "reason": reason}))
    return manifest_of(_plan(scope, len(previews)), previews)


def _plan(scope: Scope, found: int) -> SearchResult:
    return SearchResult(
        **scope.fields_of(Scope), found=found, candidates=[], chosen=[], reserves=[], units_estimated=0, units_spent=0
    )
