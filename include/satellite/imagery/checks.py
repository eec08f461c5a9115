"""The checks of one acquisition: what its file holds, not what was recorded of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter

import numpy as np

from include.core.artifacts import sha256
from include.satellite.imagery.radiometry import measure, reflectance_fault, series_faults
from include.satellite.imagery.scenes import Mask, NotDataError, Scene, Values, form_faults, open_scene, percent
from include.satellite.imagery.schemas import Acquisition, Check, DateReport, Imagery, IndexRange, Radiometry
from include.satellite.imagery.store import scene_path
from include.satellite.params import SelectionParams

REAL_SOURCES = ("sentinelhub", "cdse")


@dataclass
class Examination:
    """The checks of one acquisition and what they measured."""

    acquisition: Acquisition
    checks: list[Check] = field(default_factory=list)
    scene: Scene | None = None
    shares: dict[str, float] = field(default_factory=dict)
    """Shares of the area by name; none where the scene could not be read."""
    indices: list[IndexRange] = field(default_factory=list)
    masked: float | None = None
    radiometry: Radiometry | None = None
    fingerprint: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it is excluded: the first check that failed."""
        return next((f"{check.name}: {check.found}" for check in self.checks if not check.passed), None)

    def add(self, name: str, fault: str | None, finding: str) -> bool:
        """Record a check and return whether it passed."""
        self.checks.append(Check(name=name, passed=fault is None, found=fault or finding))
        return fault is None

    def measured(self) -> Acquisition:
        """Return the acquisition with the shares that its file shows, usable unless a check failed."""
        assessment = {"usable": self.reason is None, "reason": self.reason}
        return self.acquisition.model_copy(update=self.shares | assessment)

    def report(self) -> DateReport:
        """Return what the validation report states of the acquisition."""
        return DateReport(
            date=self.acquisition.date,
            file=self.acquisition.file,
            accepted=self.reason is None,
            reason=self.reason,
            checks=self.checks,
            masked=self.masked,
            indices=self.indices,
            radiometry=self.radiometry,
            synthetic=self.acquisition.synthetic,
            **(self.shares | ({"cloud": None} if self.acquisition.cloud_unknown else {})),
        )


def examine(acquisition: Acquisition, imagery: Imagery, params: SelectionParams, inside: Mask) -> Examination:
    """Apply every rule that needs no other acquisition; the scene stays in `scene` if it could be read.

    Args:
        acquisition: As collected.
        imagery: The run's manifest: grid, bands.
        params: The limits.
        inside: Which pixels belong to the area.
    """
    examination = Examination(acquisition)
    scene = _read(examination, imagery)
    if scene is None:
        return examination
    examination.scene = scene
    examination.shares = shares = acquisition.over_area(scene.shares(inside)).model_dump()
    finding = ", ".join(f"{name} {share:.1f} %" for name, share in shares.items())
    examination.add("visibility", params.rejection(shares["clear"], shares["cloud"]), finding)
    examination.radiometry = measure(scene, inside)
    examination.add("reflectance", reflectance_fault(examination.radiometry), "as bright as land can be")
    _check_variation(examination, scene, inside)
    _check_indices(examination, scene, inside)
    reflectances = np.stack([scene.band(name) for name in scene.sensor.base_bands])
    examination.fingerprint = hashlib.sha256(reflectances.tobytes()).hexdigest()
    return examination


def mark_duplicates(examinations: Iterable[Examination]) -> None:
    """Exclude all but the earliest of dates with equal reflectances: no two days are equal to the last digit."""
    first: dict[str, Examination] = {}
    for examination in sorted(examinations, key=attrgetter("acquisition.date")):
        if examination.fingerprint is None:
            continue
        twin = first.setdefault(examination.fingerprint, examination)
        fault = None if twin is examination else f"its reflectances are those of {twin.acquisition.date}"
        examination.add("unique", fault, "no other date is the same")


def mark_series(examinations: Iterable[Examination], others: Mapping[date, Radiometry]) -> None:
    """Exclude the dates that the series contradicts: haze that counts as clear, and a wrong offset.

    Args:
        examinations: Each with its radiometry, where its scene could be read.
        others: What further dates of the series show.
    """
    measured = [examination for examination in examinations if examination.radiometry is not None]
    shown = {examination.acquisition.date: examination.radiometry for examination in measured if examination.radiometry}
    faults = series_faults({**others, **shown})
    for examination in measured:
        test, fault = faults.get(examination.acquisition.date, ("series", None))
        examination.add(test, fault, "neither haze nor an offset that the series shows")


def _read(examination: Examination, imagery: Imagery) -> Scene | None:
    """Read the scene; None where its file is not the one that was fetched, not readable, or not as requested."""
    path = scene_path(examination.acquisition)
    try:
        changed = sha256(path) != examination.acquisition.sha256
        fault = f"checksum differs: {path.name} is not what was fetched" if changed else None
    except OSError as error:
        fault = f"{examination.acquisition.file} cannot be read: {error.strerror}"
    if not examination.add("file", fault, "checksum right"):
        return None
    try:
        with open_scene(path) as dataset:
            faults = form_faults(dataset, imagery.bands, imagery.grid)
            mark = dataset.tags().get("SYNTHETIC")
            scene = Scene(imagery.sensor, imagery.bands, dataset.read())
    except NotDataError as error:
        examination.add("readable", str(error), "")
        return None
    examination.add("readable", None, "all bands read")
    _check_mark(examination, mark)
    right = examination.add("form", "; ".join(faults) or None, "bands, size, georeference and nodata as requested")
    return scene if right else None


def _check_mark(examination: Examination, mark: str | None) -> None:
    synthetic, source = examination.acquisition.synthetic, examination.acquisition.source
    recorded, fault = "YES" if synthetic else "NO", None
    if mark != recorded:
        fault = f"the file says SYNTHETIC={mark}, the record {recorded}"
    elif synthetic and source in REAL_SOURCES:
        fault = f"{source} serves real imagery, and this is marked as simulated"
    examination.add("mark", fault, "simulated, and marked so" if synthetic else "measured")


def _check_variation(examination: Examination, scene: Scene, inside: Mask) -> None:
    pixels = inside & scene.data
    constant = []
    for name in scene.sensor.reflectances(scene.bands):
        values = scene.band(name)[pixels]
        if values.size > 1 and values.min() == values.max():
            constant.append(f"{name} is {values[0]} everywhere")
    examination.add("bands", "; ".join(constant) or None, "no band is constant")


def _check_indices(examination: Examination, scene: Scene, inside: Mask) -> None:
    clear = scene.clear & inside
    wrong, undefined = np.zeros(clear.sum(), bool), np.zeros(clear.sum(), bool)
    for index, values in scene.indices(clear):
        missing = np.isnan(values)
        outside = ~(missing | index.in_range(values))
        examination.indices.append(_range(index.name, values, outside, missing))
        wrong |= outside
        undefined |= missing
    examination.masked = percent(wrong | undefined)
    examination.add("indices", None, f"{percent(wrong):.2f} % of the clear pixels out of range and masked")


def _range(name: str, values: Values, outside: Mask, missing: Mask) -> IndexRange:
    right = values[~(outside | missing)]
    statistics: list[float | None] = [None] * 4
    if right.size:
        statistics = [round(float(value), 4) for value in (right.mean(), *np.percentile(right, (10, 50, 90)))]
    return IndexRange(
        name=name,
        **dict(zip(("mean", "low", "median", "high"), statistics, strict=True)),
        out_of_range=percent(outside),
        undefined=percent(missing),
    )
