"""Folders of scenes with known NDVI, served in this process, and what the steps up to the validation say of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform_geom

from include.satellite.artifacts import IMAGERY, SEARCH, VALIDATION_REPORT
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.demo import SCENES_URL_VARIABLE, URL_VARIABLE
from include.satellite.imagery.download import collect, collect_outcome, download
from include.satellite.imagery.schemas import DateReport, Imagery, SearchResult, ValidationReport
from include.satellite.imagery.search import search, search_outcome
from include.satellite.imagery.validation import validate
from include.satellite.params import ImageryStepParams, ValidateParams
from include.standins.sentinel_hub.folder import SceneFolder
from include.standins.sentinel_hub.server import running

DATES = (date(2024, 5, 10), date(2024, 6, 9), date(2024, 7, 4))
NDVI = dict(zip(DATES, (0.50, 0.48, 0.46), strict=True))
"""Mean NDVI of the scenes that `write_scenes` writes."""
FIELD = 30
SIDE = 2 * FIELD
CRS, WEST, NORTH = "EPSG:32631", 600_000, 5_620_000
BANDS = ("B02", "B03", "B04", "B08")
RED = 600
WINDOW = {"end": datetime(2024, 8, 1, tzinfo=UTC), "days_back": 120, "target_count": 3, "min_dates": 3}


def area(columns: slice = slice(0, SIDE), rows: slice = slice(0, SIDE)) -> dict[str, Any]:
    """Some pixels of the scenes, as a polygon in degrees."""
    west, east = (WEST + 10 * column for column in (columns.start, columns.stop))
    north, south = (NORTH - 10 * row for row in (rows.start, rows.stop))
    ring = [(west, north), (west, south), (east, south), (east, north), (west, north)]
    return dict(transform_geom(CRS, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]}, precision=9))


def reflectances(mean_ndvi: float, seed: int = 0) -> NDArray[np.float64]:
    """B02, B03, B04, B08 of four fields of 9 ha, (4, 60, 60), reflectance × 10000; NDVI is the mean ± 0.1 and 0.3."""
    random = np.random.default_rng(seed)
    ndvi = np.kron(mean_ndvi + np.array([[0.3, 0.1], [-0.1, -0.3]]), np.ones((FIELD, FIELD)))
    red = RED + random.uniform(-30, 30, ndvi.shape)
    blue, green = (level + random.uniform(-30, 30, ndvi.shape) for level in (400, 700))
    return np.stack([blue, green, red, red * (1 + ndvi) / (1 - ndvi)])


def write_raster(
    path: Path, layers: NDArray[Any], *, names: Sequence[str] = (), nodata: float | None = 0, **profile: Any
) -> Path:
    """Write layers (bands, 60, 60) where the scenes lie, with band descriptions where there are names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": CRS, "transform": rasterio.Affine(10, 0, WEST, 0, -10, NORTH), "driver": "GTiff", "nodata": nodata}
    count, height, width = layers.shape
    size = {"count": count, "height": height, "width": width, "dtype": layers.dtype}
    with rasterio.open(path, "w", **(place | size | profile)) as file:
        file.write(layers)
        file.descriptions = tuple(names) or (None,) * count
    return path


def write_scenes(
    folder: Path,
    ndvi: Mapping[date, float] = NDVI,
    *,
    scale: float = 1e-4,
    offset: float = 0,
    dtype: str = "uint16",
    names: Sequence[str] = BANDS,
    nodata: float | None = 0,
    classes: int | None = 4,
    tagged: bool = False,
) -> Path:
    """Write `scenes/S2_<date>.tif` and `scl/SCL_<date>.tif`.

    Args:
        folder: Where.
        ndvi: Mean NDVI of each date.
        scale: Reflectance = number × scale + offset.
        offset: See `scale`.
        dtype: Of the numbers.
        names: Descriptions of the bands; none for a file without them.
        nodata: As the files declare it.
        classes: Value of the scene classification; None for no `scl` folder.
        tagged: Whether the files declare scale and offset.
    """
    for number, (day, mean) in enumerate(ndvi.items()):
        values = (reflectances(mean, number) * 1e-4 - offset) / scale
        whole = np.issubdtype(np.dtype(dtype), np.integer)
        path = folder / "scenes" / f"S2_{day:%Y%m%d}.tif"
        write_raster(path, (values.round() if whole else values).astype(dtype), names=names, nodata=nodata)
        if tagged:
            with rasterio.open(path, "r+") as file:
                file.scales, file.offsets = (scale,) * file.count, (offset,) * file.count
        if classes is not None:
            write_classes(folder / "scl" / f"SCL_{day:%Y%m%d}.tif", classes)
    return folder


def write_classes(path: Path, value: int | NDArray[Any], **profile: Any) -> Path:
    """Write a mask of one value, or of values (60, 60)."""
    values = np.broadcast_to(np.asarray(value, np.uint8), (SIDE, SIDE))
    return write_raster(path, values[None], **({"names": ("SCL",)} | profile))


@dataclass(frozen=True)
class Read:
    """What the steps made of a folder."""

    plan: SearchResult
    imagery: Imagery
    report: ValidationReport
    messages: str
    """The findings of all steps."""

    @property
    def pixels(self) -> int:
        """Pixels of the area."""
        return int(inside_mask(self.imagery.geometry, self.imagery.grid).sum())

    @property
    def accepted(self) -> dict[date, DateReport]:
        """The validation of each accepted date."""
        return {day.date: day for day in self.report.dates if day.accepted}

    @property
    def unusable(self) -> dict[date, str | None]:
        """Why the other dates were left out, in any step."""
        excluded = {day.date: day.reason for day in self.report.dates if not day.accepted}
        others = [*self.plan.candidates, *self.imagery.unusable]
        return excluded | {day.date: day.reason for day in others if not day.usable}

    @property
    def ndvi(self) -> dict[date, float | None]:
        """Mean NDVI of the accepted dates."""
        return {day: index.mean for day, report in self.accepted.items() if (index := report.index("ndvi"))}


def read_folder(files: Path, scenes: Path, **params: Any) -> Read:
    """Search, download, collect and validate the scenes of a folder, as a run would.

    Args:
        files: The run's files; the data folder is that of the settings.
        scenes: The folder.
        params: Of the run; those that `SceneFolder` takes are given to the stand-in. `stated_path` is its `scenes`.

    Raises:
        GroundtruthError: As the steps raise it.
        ValueError: The stand-in cannot serve the folder; as a command it says so, and ends.
    """
    files.mkdir(parents=True, exist_ok=True)
    known = WINDOW | {"geojson": area(), "scenes": params.pop("stated_path", None)} | params
    served = {name: known[name] for name in inspect.signature(SceneFolder).parameters if name in known}
    step = ImageryStepParams(**{name: known[name] for name in known if name in ImageryStepParams.model_fields})
    checked = ValidateParams(**{name: known[name] for name in known if name in ValidateParams.model_fields})
    with running(SceneFolder(scenes, **served)) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(SCENES_URL_VARIABLE if known["scenes"] else URL_VARIABLE, url)
        search(files, step)
        for index in range(len(SEARCH.read(files).chosen)):
            download(files, step, index)
        collect(files, step)
    outcomes = [search_outcome(files), collect_outcome(files)]
    validate(files, checked, plots=False)
    report = VALIDATION_REPORT.read(files)
    findings = [finding for outcome in outcomes for finding in outcome.findings] + report.findings
    return Read(SEARCH.read(files), IMAGERY.read(files), report, "\n".join(finding.message for finding in findings))
