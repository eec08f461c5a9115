"""The checks of one acquisition: what its file really holds, not what was recorded of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from include.core.artifacts import sha256
from include.satellite.imagery.evalscript import CLASS_BANDS
from include.satellite.imagery.indices import INDICES, Values, clear_mask, in_range
from include.satellite.imagery.model import REFLECTANCE_BANDS, SCALE, SCL, Acquisition, Imagery
from include.satellite.imagery.quality import Shares, shares
from include.satellite.imagery.raster import Scene, data_mask, form_faults
from include.satellite.imagery.report import Check, IndexRange
from include.satellite.imagery.selection import verdict
from include.satellite.imagery.store import scene_path
from include.satellite.params import SelectionParams

Mask = NDArray[np.bool_]

MOST_OUT_OF_RANGE = 5.0
"""Percent of the clear pixels; above it the date fails, below it they are masked."""
REAL_SOURCES = ("sentinelhub", "cdse")


@dataclass
class Examined:
    """What the checks of one acquisition found."""

    acquisition: Acquisition
    checks: list[Check] = field(default_factory=list)
    scene: Scene | None = None
    over_area: Shares | None = None
    indices: list[IndexRange] = field(default_factory=list)
    masked: float | None = None
    fingerprint: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it is excluded: the first check that failed."""
        return next((f"{check.name}: {check.found}" for check in self.checks if not check.passed), None)

    def add(self, name: str, fault: str | None, found: str) -> bool:
        """Record a check; whether it passed."""
        self.checks.append(Check(name=name, passed=fault is None, found=fault or found))
        return fault is None


def examine(acquisition: Acquisition, imagery: Imagery, params: SelectionParams, inside: Mask) -> Examined:
    """Hold one acquisition against every rule that needs no other; the scene stays in `scene` if it could be read.

    Args:
        acquisition: As collected.
        imagery: The run's manifest: grid, bands.
        params: The limits.
        inside: Which pixels belong to the area.
    """
    seen = Examined(acquisition)
    if not (_whole(seen) and _readable(seen, imagery)) or seen.scene is None:
        return seen
    scene = seen.scene
    scl = scene[imagery.bands.index(SCL)].astype(np.uint8)
    seen.over_area = over = shares(scl, data_mask(scene), inside)
    seen.add(
        "visibility",
        verdict(over.clear, over.cloud, params),
        f"clear {over.clear:.1f} %, cloud {over.cloud:.1f} %, shadow {over.shadow:.1f} %, nodata {over.nodata:.1f} %",
    )
    _bands_vary(seen, imagery, inside)
    _indices_in_range(seen, scl, inside)
    seen.fingerprint = _fingerprint(scene)
    return seen


def mark_duplicates(dates: list[Examined]) -> None:
    """Of dates with the very same reflectances the earliest is kept: two days never look the same to the last digit."""
    first: dict[str, Examined] = {}
    for seen in sorted(dates, key=lambda each: each.acquisition.date):
        if seen.fingerprint is None:
            continue
        twin = first.setdefault(seen.fingerprint, seen)
        fault = None if twin is seen else f"its reflectances are those of {twin.acquisition.date}"
        seen.add("unique", fault, "no other date is the same")


def _whole(seen: Examined) -> bool:
    path = scene_path(seen.acquisition)
    try:
        found = sha256(path)
    except OSError as error:
        return seen.add("file", f"{seen.acquisition.file} cannot be read: {error.strerror}", "")
    fault = None if found == seen.acquisition.sha256 else f"checksum differs: {path.name} is not what was fetched"
    return seen.add("file", fault, "checksum right")


def _readable(seen: Examined, imagery: Imagery) -> bool:
    path: Path = scene_path(seen.acquisition)
    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            faults = form_faults(dataset, imagery.bands, imagery.grid)
            marked = dataset.tags().get("SYNTHETIC")
            scene: Scene = dataset.read()
    except RasterioError as error:
        return seen.add("readable", f"{path.name} cannot be read: {str(error)[:200]}", "")
    seen.add("readable", None, "all bands read")
    _mark(seen, marked)
    right = seen.add("form", "; ".join(faults) or None, "bands, size, georeference and nodata as asked for")
    seen.scene = scene if right else None
    return right


def _mark(seen: Examined, marked: str | None) -> None:
    recorded = seen.acquisition.synthetic
    fault = None
    if marked != ("YES" if recorded else "NO"):
        fault = f"the file says SYNTHETIC={marked}, the record {'YES' if recorded else 'NO'}"
    elif recorded and seen.acquisition.source in REAL_SOURCES:
        fault = f"{seen.acquisition.source} serves real imagery, and this is marked as simulated"
    seen.add("mark", fault, "simulated, and marked so" if recorded else "measured")


def _bands_vary(seen: Examined, imagery: Imagery, inside: Mask) -> None:
    scene: Scene = seen.scene  # type: ignore[assignment]
    pixels = inside & data_mask(scene)
    constant = []
    for name, band in zip(imagery.bands, scene, strict=True):
        values = band[pixels]
        if name not in CLASS_BANDS and values.size > 1 and values.min() == values.max():
            constant.append(f"{name} is {values[0]} everywhere")
    seen.add("bands", "; ".join(constant) or None, "no band is constant")


def _indices_in_range(seen: Examined, scl: NDArray[np.uint8], inside: Mask) -> None:
    reflectances = np.moveaxis(seen.scene[: len(REFLECTANCE_BANDS)], 0, -1)  # type: ignore[index]
    clear = clear_mask(reflectances, scl) & inside
    rho: Values = reflectances[clear].astype(np.float64) * SCALE
    wrong, undefined = np.zeros(len(rho), bool), np.zeros(len(rho), bool)
    for name, index in INDICES.items():
        values = index(rho)
        missing = np.isnan(values)
        outside = ~(missing | in_range(name, values))
        seen.indices.append(_range(name, values, outside, missing))
        wrong |= outside
        undefined |= missing
    share = _percent(wrong)
    seen.masked = _percent(wrong | undefined)
    limit = f"at most {MOST_OUT_OF_RANGE:g} % may be"
    fault = f"{share:.2f} % of the clear pixels have an index out of range, {limit}"
    right = f"{share:.2f} % of the clear pixels out of range and masked, {limit}"
    seen.add("indices", fault if share > MOST_OUT_OF_RANGE else None, right)


def _range(name: str, values: Values, outside: Mask, missing: Mask) -> IndexRange:
    right = values[~(outside | missing)]
    low, median, high = np.percentile(right, (10, 50, 90)) if right.size else (None, None, None)
    return IndexRange(
        name=name,
        mean=_rounded(right.mean() if right.size else None),
        low=_rounded(low),
        median=_rounded(median),
        high=_rounded(high),
        out_of_range=_percent(outside),
        undefined=_percent(missing),
    )


def _fingerprint(scene: Scene) -> str:
    return hashlib.sha256(np.ascontiguousarray(scene[: len(REFLECTANCE_BANDS)]).tobytes()).hexdigest()


def _percent(mask: Mask) -> float:
    return round(100 * float(mask.mean()), 4) if mask.size else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
