"""Fetching a scene over the area, in as many requests as its size takes, within a limit of processing units.

Units are estimated before by the documented rules, and metered by what the service states that it charged. One unit is
512 × 512 pixels of three bands, one sample, at most 16 bits
(https://docs.sentinel-hub.com/api/latest/api/overview/processing-unit/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from threading import Event, Lock
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.core.progress import Progress
from include.satellite.imagery.area import request_grids
from include.satellite.imagery.client import AT_ONCE, Hub
from include.satellite.imagery.scenes import NotDataError, decode
from include.satellite.imagery.schemas import Day, Grid, ItemSource, Scope
from include.satellite.imagery.service import prepare_network
from include.satellite.imagery.stac import StacApi
from include.satellite.params import Source
from include.satellite.sensors.evalscript import DATA_MASK, download_script

T = TypeVar("T")
R = TypeVar("R")
Window = tuple[datetime, datetime]
"""First instant, inclusive, and end, exclusive."""

UNIT_PIXELS = 512 * 512
UNIT_BANDS = 3
LEAST_AREA_FACTOR = 0.01
LEAST_UNITS = 0.005


def estimate(parts: Iterable[Grid], bands: int) -> float:
    """Return the processing units that requests of at most 16 bits take.

    Args:
        parts: The grid of each request.
        bands: Input bands, without dataMask, which is free.
    """
    return sum(
        max(max(part.width * part.height / UNIT_PIXELS, LEAST_AREA_FACTOR) * bands / UNIT_BANDS, LEAST_UNITS)
        for part in parts
    )


class Meter:
    """Adds up the processing units that are spent, and stops before a limit is crossed; safe for threads.

    Args:
        limit: `max_processing_units`.
        before: Units that the run has spent, or set aside, before.
    """

    def __init__(self, limit: float, before: float = 0) -> None:
        self.limit, self.before, self.spent = limit, before, 0.0
        self._reserved, self._lock = 0.0, Lock()

    def reserve(self, units: float, purpose: str) -> None:
        """Set units aside for a request that is about to be sent.

        Raises:
            BadInputError: They would cross the limit.
        """
        with self._lock:
            so_far = self.before + self.spent + self._reserved
            if so_far + units > self.limit:
                raise BadInputError(
                    f"max_processing_units: {purpose} would take about {units:.2f} processing units after "
                    f"{so_far:.2f}, more than the limit of {self.limit:g}; nothing more was requested"
                )
            self._reserved += units

    def settle(self, reserved: float, spent: float) -> None:
        """Replace what was set aside by what was charged, which is nothing if the request failed."""
        with self._lock:
            self._reserved -= reserved
            self.spent += spent


@dataclass(frozen=True)
class Order:
    """A request for scenes, the same for each date.

    Args:
        script: The evalscript; None for a STAC API, which takes none and charges nothing.
        bands: Its output bands.
        dtype: Their type.
        grid: The pixels.
    """

    script: str | None
    bands: tuple[str, ...]
    dtype: str
    grid: Grid

    @property
    def charged_bands(self) -> int:
        """Number of bands that count towards processing units."""
        return sum(band != DATA_MASK for band in self.bands)

    @property
    def units(self) -> float:
        """Processing units that one date takes."""
        if self.script is None:
            return 0.0
        return estimate((part for part, _ in request_grids(self.grid)), self.charged_bands)


def download_order(scope: Scope) -> Order:
    """Return the request for the scene of each date."""
    script = download_script(scope.sensor, scope.bands) if scope.catalog is None else None
    return Order(script, tuple(scope.bands), "uint16", scope.grid)


@dataclass(frozen=True)
class Fetched:
    """An answer: (bands, height, width), or the reason why it is not data."""

    array: NDArray[np.uint16] | NDArray[np.uint8] | None
    reason: str | None
    units: float
    items: tuple[ItemSource, ...] = ()


def connect(scope: Scope) -> Hub | StacApi:
    """Return a client of the service that imagery comes from.

    Raises:
        SetupError: The credentials are missing or wrong.
        TransientError: The service does not answer.
    """
    if scope.catalog is not None:
        prepare_network()
        return StacApi(scope.catalog, scope.sensor)
    return Hub(cast(Source, scope.source), scope.sensor, scope.folder)


def fetch(service: Hub | StacApi, meter: Meter, order: Order, day: Day, window: Window, purpose: str) -> Fetched:
    """Fetch one scene, the parts of a rendered one two at once.

    Args:
        service: The service.
        meter: Stops before the limit is crossed.
        order: The request.
        day: The products of the day.
        window: First instant and end of the run's window.
        purpose: For messages: "downloading 2025-01-03".
    """
    if isinstance(service, StacApi):
        try:
            layers, items = service.read(day.product_ids, order.bands, order.grid)
        except NotDataError as error:
            return Fetched(None, str(error), 0.0)
        return Fetched(layers.astype(order.dtype), None, 0.0, items)
    return _rendered(service, meter, order, day_interval(day.date, *window), purpose)


def _rendered(hub: Hub, meter: Meter, order: Order, interval: tuple[datetime, datetime], purpose: str) -> Fetched:
    assert order.script is not None  # noqa: S101 - only orders to a STAC API have none
    script = order.script
    parts = list(request_grids(order.grid))
    array = np.zeros((len(order.bands), order.grid.height, order.grid.width), dtype=order.dtype)

    def fetch_part(part: tuple[Grid, tuple[slice, slice]]) -> tuple[float, str | None]:
        grid, (rows, columns) = part
        expected, spent = estimate([grid], order.charged_bands), 0.0
        meter.reserve(expected, purpose)
        try:
            answer = hub.render(script, grid, *interval)
            spent = expected if answer.units is None else answer.units
        except NotDataError as error:
            return spent, str(error)
        finally:
            meter.settle(expected, spent)
        try:
            array[:, rows, columns] = decode(answer.content, grid, len(order.bands), order.dtype)
        except NotDataError as error:
            return spent, str(error) if len(parts) == 1 else f"part of {len(parts)}: {error}"
        return spent, None

    results = two_at_once(fetch_part, parts)
    reason = next((reason for _, reason in results if reason is not None), None)
    return Fetched(None if reason else array, reason, sum(units for units, _ in results))


def two_at_once(function: Callable[[T], R], items: Iterable[T], what: str | None = None) -> list[R]:
    """Apply a function to each item in two threads; after the first fault nothing more is begun.

    Args:
        function: Of an item.
        items: Dates, or parts of a request.
        what: What is done with dates ("fetching"), for the progress; None to report none.

    Returns:
        The results, in the order of the items.
    """
    failed, items = Event(), list(items)
    progress = Progress(what, "dates", len(items)) if what else None

    def unless_failed(item: T) -> R:
        if failed.is_set():
            raise CancelledError
        try:
            result = function(item)
        except BaseException:
            failed.set()
            raise
        if progress:
            progress.add()
        return result

    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(unless_failed, item) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            failed.set()
    # an item that was not begun is passed over: a later one has failed, and is raised in its turn
    return [future.result() for future in futures if not isinstance(future.exception(), CancelledError)]


def day_interval(day: date, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return the first and last second of a day (UTC) within a window whose end is exclusive."""
    first = datetime.combine(day, time(), UTC)
    last = first + timedelta(days=1)
    return max(first, start.astimezone(UTC)), min(last, end.astimezone(UTC)) - timedelta(seconds=1)
