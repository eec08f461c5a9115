"""What the steps hand each other about imagery: grid, acquisitions, manifest (all JSON in the run's folder)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

REFLECTANCE_BANDS = ("B02", "B03", "B04", "B08")
SCL, REFERENCE = "SCL", "REFERENCE"
SCALE = 1e-4
NODATA = 0
CLEAR, CLOUD, EXCLUDED = (4, 5, 6, 7), (8, 9, 10), (0, 1, 2, 3, 11)
"""Classes of the scene classification: 4 vegetation, 5 bare soil, 6 water, 7 unclassified; 8, 9 cloud, 10 cirrus; 0
nodata, 1 saturated, 2 dark, 3 cloud shadow, 11 snow."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Grid(_Part):
    """The pixels of an area: the same for all dates.

    North-up; `bounds` are multiples of the resolution, so `width = (xmax - xmin) / resolution`.
    """

    crs: str = Field(description="`EPSG:32643`")
    resolution: int = Field(description="Pixel size, metres.")
    bounds: tuple[float, float, float, float] = Field(description="xmin, ymin, xmax, ymax in the CRS, metres.")
    width: int
    height: int


class Candidate(_Part):
    """A day that the catalog names, as the cheap look at the area saw it."""

    date: date
    datetime: AwareDatetime = Field(description="Sensing time of its first product.")
    product_ids: list[str]
    tile_cloud: float | None = Field(description="Least cloud cover of its tiles, percent; None: cloud unknown.")
    clear: float = Field(description="Clear share of the area, percent.")
    cloud: float = Field(description="Cloud share of the area, percent.")
    synthetic: bool = False
    seen: bool = Field(True, description="Whether the look was data over the area; otherwise the shares say nothing.")
    usable: bool
    reason: str | None = Field(None, description="Why it is not usable.")


class SearchResult(_Part):
    """What was found, and what is to be fetched (`search.json`)."""

    collection: str
    source: str
    grid: Grid
    geometry: dict[str, Any] = Field(description="The area, a GeoJSON geometry in WGS 84.")
    bands: list[str] = Field(description="Bands of each file, in order; SCL after the reflectances.")
    start: AwareDatetime
    end: AwareDatetime
    found: int = Field(description="Products that the catalog named.")
    candidates: list[Candidate]
    chosen: list[date] = Field(description="Dates to fetch: the best by cloud over the area, spread over the window.")
    reserves: list[date] = Field(description="The next best, in order.")
    units_estimated: float = Field(description="Processing units that the download will take.")
    units_spent: float = Field(description="Processing units that the looks took.")
    from_store: bool = Field(False, description="The download was skipped: planned from the imagery store alone.")


class Acquisition(_Part):
    """One date over the area: a file in the imagery store, or why there is none (`acquisitions/<n>.json`)."""

    date: date
    datetime: AwareDatetime
    product_ids: list[str]
    source: str
    synthetic: bool
    usable: bool
    reason: str | None = Field(None, description="Why it is not usable: what came was never data.")
    file: str | None = Field(None, description="Below the imagery store; None if nothing was stored.")
    sha256: str | None = None
    bytes: int | None = None
    bands: list[str]
    tile_cloud: float | None = None
    clear: float = Field(0, description="Clear share of the area, percent.")
    cloud: float = Field(0, description="Cloud share of the area, percent.")
    shadow: float = Field(0, description="Cloud-shadow share of the area, percent.")
    nodata: float = Field(0, description="Nodata share of the area, percent.")
    fetched: bool = Field(False, description="Fetched by this run; otherwise it was in the store, intact.")
    units_spent: float = 0


class Imagery(_Part):
    """The manifest of a run's imagery (`imagery.json` as collected, `validated.json` as accepted), by date."""

    collection: str
    source: str
    synthetic: bool = Field(description="Whether any of it is simulated.")
    grid: Grid
    geometry: dict[str, Any]
    bands: list[str]
    start: AwareDatetime
    end: AwareDatetime
    acquisitions: list[Acquisition] = Field(description="Usable ones, ascending by date.")
    unusable: list[Acquisition] = Field(description="Those that are not, each with its reason.")
    units_spent: float
    units_estimated: float

    @property
    def place(self) -> str:
        """The area's bounding box as a folder's name: `75.800E_30.900N_75.900E_31.000N`."""
        points = list(_positions(self.geometry["coordinates"]))
        longitudes, latitudes = [x for x, _ in points], [y for _, y in points]
        corners = ((min(longitudes), min(latitudes)), (max(longitudes), max(latitudes)))
        return "_".join(f"{abs(x):.3f}{'EW'[x < 0]}_{abs(y):.3f}{'NS'[y < 0]}" for x, y in corners)


def _positions(coordinates: Any) -> Iterator[tuple[float, float]]:
    """Every position of a GeoJSON geometry's coordinates, however deep they lie."""
    if coordinates and isinstance(coordinates[0], (int, float)):
        yield coordinates[0], coordinates[1]
        return
    for inner in coordinates:
        yield from _positions(inner)
