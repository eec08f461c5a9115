"""One scene over the area, in as many requests as its size takes, metered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from threading import Event
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from include.satellite.imagery.area import tiles
from include.satellite.imagery.client import Hub
from include.satellite.imagery.evalscript import DATA_MASK
from include.satellite.imagery.model import Grid
from include.satellite.imagery.raster import NotDataError, decode
from include.satellite.imagery.slots import AT_ONCE
from include.satellite.imagery.units import Meter, estimate

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Order:
    """What is asked for, the same for each date.

    Args:
        script: The evalscript.
        inputs: Its input bands.
        count: Its output bands.
        dtype: Their type.
        grid: The pixels.
    """

    script: str
    inputs: tuple[str, ...]
    count: int
    dtype: str
    grid: Grid

    @property
    def charged_bands(self) -> int:
        """Bands that count towards processing units."""
        return sum(band != DATA_MASK for band in self.inputs)

    @property
    def units(self) -> float:
        """Processing units that one date takes."""
        return estimate((part for part, _ in tiles(self.grid)), self.charged_bands)


@dataclass(frozen=True)
class Fetched:
    """What came: (bands, height, width), or the reason why it is no data."""

    array: NDArray[np.uint16] | NDArray[np.uint8] | None
    reason: str | None
    units: float


def fetch(hub: Hub, meter: Meter, order: Order, interval: tuple[datetime, datetime], purpose: str) -> Fetched:
    """Fetch one scene, its parts two at once.

    Args:
        hub: Whom to ask.
        meter: Stops before the limit is crossed.
        order: What to ask for.
        interval: First and last instant.
        purpose: For messages: "downloading 2025-01-03".
    """
    parts = list(tiles(order.grid))
    array = np.zeros((order.count, order.grid.height, order.grid.width), dtype=order.dtype)

    def one(part: tuple[Grid, tuple[slice, slice]]) -> tuple[float, str | None]:
        grid, (rows, columns) = part
        expected, spent = estimate([grid], order.charged_bands), 0.0
        meter.reserve(expected, purpose)
        try:
            answer = hub.render(order.script, grid, *interval)
            spent = expected if answer.units is None else answer.units
        finally:
            meter.settle(expected, spent)
        try:
            array[:, rows, columns] = decode(answer.content, grid, order.count, order.dtype)
        except NotDataError as error:
            return spent, str(error) if len(parts) == 1 else f"part of {len(parts)}: {error}"
        return spent, None

    done = list(two_at_once(one, parts))
    reason = next((reason for _, reason in done if reason is not None), None)
    return Fetched(None if reason else array, reason, sum(units for units, _ in done))


def two_at_once(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Apply a function to each item in two threads; the first fault ends it: nothing more is begun.

    Yields:
        The results, in the order of the items.
    """
    failed = Event()

    def unless_failed(item: T) -> R:
        if failed.is_set():
            raise CancelledError
        try:
            return function(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(unless_failed, item) for item in items]
        try:
            for future in futures:
                try:
                    yield future.result()
                except CancelledError:
                    continue  # one after it in the list failed first, and is raised in its turn
        finally:
            failed.set()
            pool.shutdown(wait=True, cancel_futures=True)


def day_interval(day: date, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """First and last second of a day (UTC) within a window whose end is exclusive."""
    first = datetime.combine(day, time(), UTC)
    last = first + timedelta(days=1)
    return max(first, start.astimezone(UTC)), min(last, end.astimezone(UTC)) - timedelta(seconds=1)
