"""Documents of the imagery steps, all JSON in the run's folder: search, acquisitions, manifest, validation report."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from include.core.outcome import Finding
from include.satellite.sensors import sensor_of
from include.satellite.sensors.sensor import Sensor


class Document(BaseModel):
    """A JSON document of the domain, or a part of one: no further fields, and not changed once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def fields_of(self, model: type[BaseModel]) -> dict[str, Any]:
        """Return the values of the fields that another model has too, to build one of it."""
        return {name: value for name, value in self if name in model.model_fields}


class Grid(Document):
    """The pixels that cover an area, the same for all dates.

    North-up; `bounds` are multiples of the resolution, so `width = (xmax - xmin) / resolution`.
    """

    crs: str = Field(description="`EPSG:32643`")
    resolution: int = Field(description="Pixel size, metres.")
    bounds: tuple[float, float, float, float] = Field(description="xmin, ymin, xmax, ymax in the CRS, metres.")
    width: int
    height: int


SceneClassSource = Literal["scl", "mask", "derived"]
"""A scene classification; a cloud mask, its clear pixels classified by their reflectances; reflectances alone."""
CERTAINTY = ("scl", "mask", "derived")
"""From the one that knows most."""


class Shares(Document):
    """Shares of the area, percent."""

    clear: float = Field(0, description="Clear share of the area, percent.")
    cloud: float = Field(0, description="Cloud share of the area, percent.")
    shadow: float = Field(0, description="Cloud-shadow share of the area, percent.")
    nodata: float = Field(0, description="Nodata share of the area, percent.")


class CloudSource(Document):
    """What a source knows of the cloud of a day."""

    tile_cloud: float | None = Field(None, description="Least cloud cover of its tiles, percent; None: not stated.")
    classes: SceneClassSource = Field("scl", description="What the source makes the scene classification from.")
    mask: str | None = Field(None, description="The mask that it is made from, where the source names one.")

    @property
    def cloud_unknown(self) -> bool:
        """Whether neither a classification nor the source states how much cloud there is."""
        return self.classes == "derived" and self.tile_cloud is None

    def over_area(self, shares: Shares) -> Shares:
        """Return the shares of the area, with the cloud of the tile where the classification knows no cloud."""
        if self.classes != "derived" or self.tile_cloud is None:
            return shares
        clear = max(0.0, min(shares.clear, 100 - shares.nodata - self.tile_cloud))
        return shares.model_copy(update={"cloud": self.tile_cloud, "clear": clear})


class Day(CloudSource):
    """The products of one day (UTC) that show the area."""

    date: date
    datetime: AwareDatetime = Field(description="Sensing time of its first product.")
    product_ids: list[str]
    synthetic: bool = Field(description="Whether it is simulated.")
    versions: list[str] = Field([], description="Versions of its products, where their ids do not change with them.")
    unreadable: str | None = Field(None, description="Why the source cannot read it.")
    radiometry: str | None = Field(
        None, description="How the source makes reflectance of its files' numbers; None: it serves reflectance."
    )


class Candidate(Day):
    """A day that the catalog lists, with the shares of its preview over the area."""

    clear: float = Field(description="Clear share of the area, percent.")
    cloud: float = Field(description="Cloud share of the area, percent.")
    seen: bool = Field(
        True, description="Whether the preview holds data over the area; otherwise the shares mean nothing."
    )
    usable: bool
    reason: str | None = Field(None, description="Why it is not usable.")


class Catalog(Document):
    """A collection of a STAC API."""

    url: str
    collection: str


class FolderSource(Document):
    """A folder of scenes, and what the user states of its files."""

    path: str | None = Field(description="Absolute; None: the one that a running stand-in serves.")
    mask_type: str | None = None
    scale: float | None = None
    offset: float | None = None
    band_names: tuple[str, ...] = ()

    @property
    def statements(self) -> dict[str, Any]:
        """What is stated, by the name of the parameter."""
        return {name: value for name, value in self if name != "path" and value not in (None, ())}

    @property
    def options(self) -> tuple[str, ...]:
        """Options of the stand-in that serves it."""
        stated = {"scenes": self.path} | self.statements
        texts = {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in stated.items()}
        return tuple(f"--{name.replace('_', '-')}={text}" for name, text in texts.items())


class ItemSource(Document):
    """A STAC item that pixels of an acquisition were taken from."""

    id: str
    collection: str
    baseline: str | None = Field(description="Processing baseline.")
    scale: float = Field(description="Reflectance is scale × DN + offset.")
    offset: float
    urls: dict[str, str] = Field(description="File of each band, without signature.")


class Scope(Document):
    """The area, the window and the bands of a run's imagery, and the service that it comes from."""

    collection: str
    source: str
    catalog: Catalog | None = Field(None, description="The STAC API, where the source is one.")
    folder: FolderSource | None = Field(
        None, description="The folder of scenes, where the user names or describes one."
    )
    grid: Grid
    geometry: dict[str, Any] = Field(description="The area, a GeoJSON geometry in WGS 84.")
    bands: list[str] = Field(description="Bands of each file, in order; SCL after the reflectances.")
    start: AwareDatetime
    end: AwareDatetime

    @property
    def sensor(self) -> Sensor:
        """The sensor that took the imagery."""
        return sensor_of(self.collection)

    @property
    def recipe(self) -> dict[str, Any]:
        """What the pixels of a date depend on beside source and collection; stores are keyed by it."""
        sources = {"catalog": self.catalog, "folder": self.folder}
        stated = {name: source.model_dump(mode="json") for name, source in sources.items() if source is not None}
        return {"grid": self.grid.model_dump(mode="json"), "bands": self.bands} | stated


class SearchResult(Scope):
    """The days that the catalog lists and those that are to be fetched (`search.json`)."""

    found: int = Field(description="Products that the catalog listed.")
    candidates: list[Candidate]
    chosen: list[date] = Field(description="Dates to fetch: the best by cloud over the area, spread over the window.")
    reserves: list[date] = Field(description="The next best, in order.")
    units_estimated: float = Field(description="Processing units that the download will take.")
    units_spent: float = Field(description="Processing units that the previews took.")
    area_findings: list[Finding] = Field(
        [], description="What was skipped, repaired or transformed of the area's file."
    )
    from_store: bool = Field(False, description="The download was skipped: planned from the imagery store alone.")

    def candidate(self, day: date) -> Candidate:
        """Return the candidate of a day."""
        return next(candidate for candidate in self.candidates if candidate.date == day)


class Preview(Document):
    """The shares of a day over the area, by its preview at 60 m, as the imagery store keeps it."""

    date: date
    product_ids: list[str]
    versions: list[str] = []
    clear: float
    cloud: float
    nodata: float = 0


class Acquisition(Shares, Day):
    """One date over the area: a file in the imagery store, or why there is none (`acquisitions/<n>.json`)."""

    source: str
    usable: bool
    reason: str | None = Field(None, description="Why it is not usable.")
    file: str | None = Field(None, description="Below the imagery store; None if nothing was stored.")
    sha256: str | None = None
    bytes: int | None = None
    bands: list[str]
    items: list[ItemSource] = Field([], description="Items of a STAC API, those first whose pixels were taken first.")
    fetched: bool = Field(False, description="Fetched by this run; otherwise it was in the store, intact.")
    units_spent: float = 0


class Imagery(Scope):
    """The manifest of a run's imagery (`imagery.json` as collected, `validated.json` as accepted), by date."""

    synthetic: bool = Field(description="Whether any of it is simulated.")
    acquisitions: list[Acquisition] = Field(description="Usable ones, ascending by date.")
    unusable: list[Acquisition] = Field(description="Those that are not, each with its reason.")
    units_spent: float
    units_estimated: float

    @property
    def place(self) -> str:
        """The area's bounding box as a folder's name: `75.800E_30.900N_75.900E_31.000N`."""
        from shapely.geometry import shape

        west, south, east, north = shape(self.geometry).bounds
        corners = ((west, south), (east, north))
        return "_".join(f"{abs(x):.3f}{'EW'[x < 0]}_{abs(y):.3f}{'NS'[y < 0]}" for x, y in corners)


class Check(Document):
    """The result of one rule for one acquisition."""

    name: str
    passed: bool
    found: str = Field(description="Finding of the rule, in words.")


class IndexRange(Document):
    """Statistics of an index over the clear pixels of the area."""

    name: str
    mean: float | None = Field(description="Over pixels where it is defined and in range; None if there are none.")
    low: float | None = Field(description="10th percentile.")
    median: float | None
    high: float | None = Field(description="90th percentile.")
    out_of_range: float = Field(description="Share of the clear pixels whose value cannot be right, percent.")
    undefined: float = Field(description="Share of the clear pixels where its denominator vanishes, percent.")


class Radiometry(Document):
    """What a scene's reflectances show by themselves, over the area; see decision 39."""

    land: int = Field(description="Pixels of clear land: vegetation and soil.")
    blue: float | None = Field(None, description="Median reflectance in blue over clear land; None: too little of it.")
    red: float | None = Field(None, description="Median reflectance in red over clear land.")
    bright: float | None = Field(None, description="95th percentile of the near infrared over clear land.")
    dark: float | None = Field(
        None, description="5th percentile of red over dense vegetation; None: too little of it to tell an offset."
    )
    canopy: float | None = Field(None, description="95th percentile of the near infrared over dense vegetation.")
    floor: float | None = Field(None, description="5th percentile of the darkest band over clear land.")
    zero: float | None = Field(None, description="Share of clear land whose green is 0, percent.")
    inverted: float = Field(
        0, description="Share of clear pixels that reflect far more visible light than near infrared, percent."
    )
    redder: float | None = Field(
        None, description="Share of a lush canopy that is redder than green, percent; None: too little of it."
    )
    greenest: float | None = Field(None, description="Share of a lush canopy whose brightest visible band is green.")
    bluest: float | None = Field(None, description="Share of a lush canopy whose brightest visible band is blue.")
    bluer: float | None = Field(
        None, description="Share of bare soil that is bluer than red, percent; None: too little of it."
    )
    rotated: float | None = Field(None, description="Share of bare soil that is greener than blue and bluer than red.")
    clipped: float = Field(0, description="Share of clear land at the largest value of every band, percent.")
    saturated: float = Field(0, description="Share of pixels at the largest value of a band, of the worst, percent.")


class DateReport(Document):
    """The validation of one acquisition."""

    date: date
    file: str | None
    accepted: bool
    reason: str | None = Field(description="Why it is excluded.")
    checks: list[Check]
    clear: float | None = Field(None, description="Clear share of the area, percent, as the file shows.")
    cloud: float | None = Field(None, description="Cloud share of the area, percent.")
    shadow: float | None = Field(None, description="Cloud-shadow share of the area, percent.")
    nodata: float | None = Field(None, description="Nodata share of the area, percent.")
    masked: float | None = Field(None, description="Clear pixels masked for an impossible or undefined index, percent.")
    indices: list[IndexRange] = []
    radiometry: Radiometry | None = None
    synthetic: bool

    def index(self, name: str) -> IndexRange | None:
        """Return the statistics of an index; None where it was not measured."""
        return next((index for index in self.indices if index.name == name and index.mean is not None), None)


class Gap(Document):
    """A period without a usable date; the ends of the window count as dates."""

    days: int
    after: date
    before: date


class ValidationReport(Document):
    """The validation of all acquisitions of a run, and whether enough are usable (`validation_report.json`)."""

    skipped: bool = Field(description="Only counted against min_dates, as the run requested (skip_validation).")
    passed: bool
    usable_dates: int
    min_dates: int
    excluded_dates: int = Field(description="Collected, and excluded by a check.")
    never_data: int = Field(description="Not usable as collected: already replaced where a reserve was left.")
    longest_gap: Gap
    coverage_by_month: dict[str, int] = Field(description="Usable dates by month of the window, `2025-01` first.")
    synthetic: bool
    allow_synthetic: bool
    dates: list[DateReport]
    findings: list[Finding]
