"""What the server serves: products in a catalog, and their pixels over any grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.grid import Grid

SCL, REFERENCE, DATA_MASK = "SCL", "REFERENCE", "dataMask"
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Product:
    """An entry of the catalog.

    Args:
        id: Unique.
        datetime: Sensing time, UTC.
        ring: Footprint: longitude and latitude, closed.
        epsg: CRS of its pixels.
        bounds: xmin, ymin, xmax, ymax in that CRS.
        cloud: Cloud share, percent; None if nobody knows.
        source: What its scenes find it by again.
        properties: More properties of its catalog entry.
    """

    id: str
    datetime: datetime
    ring: Sequence[tuple[float, float]]
    epsg: int
    bounds: Box
    cloud: float | None
    source: Any
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layers:
    """Pixels of one product over a grid.

    Args:
        values: By band: uint16 (reflectance × 10000) or, for SCL and REFERENCE, uint8; shape (height, width).
        mask: Where there is data, shape (height, width).
    """

    values: dict[str, NDArray[Any]]
    mask: NDArray[np.bool_]


class UnknownBandError(Exception):
    """The scenes have no such band; its argument is the band's name."""


class Scenes(Protocol):
    """A source of products."""

    @property
    def collections(self) -> tuple[str, ...]:
        """Collections that may be asked for."""

    def products(self, start: datetime, end: datetime, box: Box) -> list[Product]:
        """Products sensed in [start, end] whose footprint may touch the box (degrees), in any order."""

    def read(self, product: Product, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        """Pixels of a product over a grid; nearest neighbour unless resampling is bilinear or bicubic.

        Raises:
            UnknownBandError: There is no such band.
        """
