"""What the server serves: products in a catalog, and their pixels over the grid of a request."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from include.standins.sentinel_hub.noise import Floats, upsample

CLASS_BANDS = SCL, REFERENCE = "SCL", "REFERENCE"
DATA_MASK = "dataMask"
WGS84 = 4326
NODES_EVERY = 32
"""Centres are projected on every 32nd pixel and interpolated between: off by 2 mm at 10 m, by 7 cm at 60 m."""
Box = tuple[float, float, float, float]


def projection(source: int, target: int) -> Transformer:
    """Return the projection between two CRS, given as EPSG codes; longitude or easting comes first."""
    return Transformer.from_crs(source, target, always_xy=True)


@dataclass(frozen=True)
class Grid:
    """A north-up grid of pixels.

    Args:
        crs: EPSG code; 4326 has longitude first, as the API has it.
        bounds: xmin, ymin, xmax, ymax in the CRS.
        width: Pixels.
        height: Pixels.
    """

    crs: int
    bounds: Box
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, as arrays have them."""
        return self.height, self.width

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Width and height of a pixel in units of the CRS."""
        xmin, ymin, xmax, ymax = self.bounds
        return (xmax - xmin) / self.width, (ymax - ymin) / self.height

    @property
    def transform(self) -> Affine:
        """The affine transform from pixels to the CRS."""
        dx, dy = self.pixel_size
        return Affine(dx, 0, self.bounds[0], 0, -dy, self.bounds[3])

    @property
    def profile(self) -> dict[str, Any]:
        """CRS, transform and size, as rasterio names them."""
        return {"crs": f"EPSG:{self.crs}", "transform": self.transform, "width": self.width, "height": self.height}

    @property
    def degrees(self) -> Box:
        """West, south, east, north."""
        return projection(self.crs, WGS84).transform_bounds(*self.bounds)

    @property
    def is_on_earth(self) -> bool:
        """Whether all pixels lie where their CRS is defined."""
        return all(bool(np.isfinite(degrees).all()) for degrees in self.centres(NODES_EVERY))

    def within(self, epsg: int, bounds: Box) -> NDArray[np.bool_]:
        """Return which pixel centres lie within bounds (xmin, ymin, xmax, ymax) in another CRS."""
        xmin, ymin, xmax, ymax = bounds
        x, y = projection(WGS84, epsg).transform(*self.centres(NODES_EVERY))
        if xmin <= x.min() and x.max() <= xmax and ymin <= y.min() and y.max() <= ymax:
            return np.ones(self.shape, bool)
        x, y = (upsample(places, self.shape, NODES_EVERY) for places in (x, y))
        return np.asarray((x >= xmin) & (x <= xmax) & (y >= ymin) & (y <= ymax))

    def centres(self, every: int = 1) -> tuple[Floats, Floats]:
        """Return longitude and latitude of pixel centres, degrees.

        Args:
            every: 1 for all pixels, or the distance of the nodes that `upsample` interpolates between.

        Returns:
            Two arrays of shape (height, width), or of the nodes' shape (see `nodes`).
        """
        if every == 1:
            longitude, latitude = (upsample(degrees, self.shape, NODES_EVERY) for degrees in self.centres(NODES_EVERY))
            return longitude, latitude
        dx, dy = self.pixel_size
        x = self.bounds[0] + (nodes(self.width, every) + 0.5) * dx
        y = self.bounds[3] - (nodes(self.height, every) + 0.5) * dy
        longitude, latitude = projection(self.crs, WGS84).transform(*np.meshgrid(x, y))
        return np.asarray(longitude), np.asarray(latitude)


def nodes(pixels: int, every: int) -> NDArray[np.int64]:
    """Return the indices of the nodes over a row of pixels: 0, every, … up to the first behind the last pixel."""
    return np.arange(0, ((pixels - 1) // every + 2) * every, every)


@dataclass(frozen=True)
class Product:
    """An entry of the catalog.

    Args:
        id: Unique.
        datetime: Sensing time, UTC.
        ring: Footprint: longitude and latitude, closed.
        epsg: CRS of its pixels.
        bounds: xmin, ymin, xmax, ymax in that CRS.
        cloud: Cloud share, percent; None if it is unknown.
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


class Layers(NamedTuple):
    """Pixels of one product over a grid.

    Args:
        values: By band: uint16 (reflectance × 10000) or, for SCL and REFERENCE, uint8; shape (height, width).
        mask: Where there is data, shape (height, width).
    """

    values: dict[str, NDArray[Any]]
    mask: NDArray[np.bool_]


class Scenes(Protocol):
    """A source of products."""

    @property
    def collections(self) -> tuple[str, ...]:
        """Collections that may be requested."""

    def products(self, start: datetime, end: datetime, box: Box) -> list[Product]:
        """Return products sensed in [start, end] whose footprint may touch the box (degrees), in any order."""

    def bands(self, product: Product) -> Collection[str]:
        """Return the bands that a product has."""

    def read(self, product: Product, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        """Return pixels of a product's bands over a grid; resampling is NEAREST, BILINEAR or BICUBIC."""
