"""The step `measure_fields`: every pass over every field, measured once.

A run lists the passes of its window. What an earlier run measured on the same scene, by its checksum, and of the same
outline is taken from the store of measurements; so is what was measured before the window, which gives the fields'
earlier seasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.contracts import StepParams
from include.core.errors import BadInputError
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.progress import counted
from include.satellite.artifacts import FIELDS, OBSERVATIONS, VALIDATED
from include.satellite.fields.measurement import indices_of, measure_scene
from include.satellite.fields.pixels import FEWEST_PIXELS, FieldPixels, field_pixels
from include.satellite.fields.reading import placed
from include.satellite.fields.schemas import KEY, STATISTICS, CropField, ObservationRow
from include.satellite.fields.store import keep_measurements, read_measurements, read_table, write_table
from include.satellite.imagery.store import scene_path

if TYPE_CHECKING:
    import pandas as pd

    from include.satellite.imagery.schemas import Acquisition, Imagery

DIGITS = 6
SCENES_AT_ONCE = 2
NAMED = 5
"""Fields named in a finding."""
Measurements = Mapping[str, tuple[Any, ...]]
"""Values of one scene by outline, in the order of `columns_of`."""


class MeasureMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `measure_fields`."""

    fields: int
    passes: int
    observations: int
    observations_new: int
    observations_usable: int
    fields_too_small: int
    first_date: date | None
    last_date: date | None


def measure_fields(files: Path, params: StepParams) -> None:
    """Measure each field on each accepted pass (`observations.parquet`).

    Args:
        files: The run's `files/` folder.
        params: None that matter.

    Raises:
        BadInputError: There is no pass on which a field is valid.
        NotDataError: A scene cannot be read.
        SetupError: The folder cannot be written.
    """
    fields, imagery = FIELDS.read(files).fields, VALIDATED.read(files)
    observations = observe(fields, imagery, read_measurements(imagery))
    if observations.empty:
        raise BadInputError(
            f"no field is valid on any of the {len(imagery.acquisitions)} accepted passes between "
            f"{imagery.start:%Y-%m-%d} and {imagery.end:%Y-%m-%d}; a longer window (days_back) or other days "
            "(valid_from, valid_to) find some"
        )
    write_table(OBSERVATIONS.at(files), observations, ObservationRow)


def observe(fields: Sequence[CropField], imagery: Imagery, stored: pd.DataFrame | None) -> pd.DataFrame:
    """Return the observations of fields, by date and field, those before the window from the store alone.

    Args:
        fields: The fields.
        imagery: The accepted passes of the window.
        stored: Measurements of earlier runs.

    Returns:
        The columns of `ObservationRow`, then those of the indices.
    """
    import pandas as pd

    outlines = list({field.outline: field for field in fields}.values())
    columns = columns_of(imagery)
    known = _known(stored, columns)
    missing = _missing(fields, imagery, known)
    new: dict[str, Measurements] = {}
    if missing:
        pixels = field_pixels([field.geometry for field in outlines], imagery.grid)
        with ThreadPoolExecutor(SCENES_AT_ONCE) as pool:
            measured = pool.map(lambda item: _measure(item[0], item[1], imagery, outlines, pixels), missing)
            measured = counted(measured, "measuring fields", "passes", len(missing))
            new = {str(item[0].sha256): values for item, values in zip(missing, measured, strict=True)}
    rows = [
        (field.field_id, field.crop, *values, values is new.get(sha256, {}).get(field.outline))
        for acquisition in imagery.acquisitions
        for sha256 in [str(acquisition.sha256)]
        for field in fields
        if field.is_valid_on(acquisition.date)
        for values in [new.get(sha256, {}).get(field.outline) or known[sha256][field.outline]]
    ]
    table = pd.DataFrame(rows, columns=["field_id", "crop", *columns, "is_new"])
    earlier = _before_the_window(fields, stored, imagery)
    if earlier is not None and len(earlier):
        table = pd.concat([earlier, table], ignore_index=True) if len(table) else earlier
    order = [*KEY, *(name for name in table.columns if name not in KEY)]
    return table[order].sort_values(["date", "field_id"], kind="stable", ignore_index=True)


def unmeasured(fields: Sequence[CropField], imagery: Imagery) -> list[Acquisition]:
    """Return the passes of which the store of measurements lacks a field."""
    known = _known(read_measurements(imagery), columns_of(imagery))
    return [acquisition for acquisition, _ in _missing(fields, imagery, known)]


def _missing(
    fields: Sequence[CropField], imagery: Imagery, known: Mapping[str, Measurements]
) -> list[tuple[Acquisition, set[str]]]:
    """Return the outlines that are to be measured, by pass."""
    wanted = (
        (acquisition, {field.outline for field in fields if field.is_valid_on(acquisition.date)})
        for acquisition in imagery.acquisitions
    )
    missing = ((acquisition, names - known.get(str(acquisition.sha256), {}).keys()) for acquisition, names in wanted)
    return [(acquisition, names) for acquisition, names in missing if names]


def columns_of(imagery: Imagery) -> list[str]:
    """Return the names of what is measured, as the store keeps it."""
    measured = ["date", "scene", "pixels", "clear_share", "status", "outline", "scene_sha256"]
    names = [index.name for index in indices_of(imagery.sensor, imagery.bands)]
    return [*measured, *(f"{name}_{statistic}" for name in names for statistic in STATISTICS)]


def _known(stored: pd.DataFrame | None, columns: Sequence[str]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return stored values by scene and outline."""
    known: dict[str, dict[str, tuple[Any, ...]]] = {}
    if stored is not None:
        place = columns.index("outline"), columns.index("scene_sha256")
        for values in stored[list(columns)].itertuples(index=False, name=None):
            known.setdefault(values[place[1]], {})[values[place[0]]] = values
    return known


def _measure(
    acquisition: Acquisition, names: set[str], imagery: Imagery, outlines: Sequence[CropField], pixels: FieldPixels
) -> Measurements:
    """Measure some outlines on one scene."""
    import numpy as np

    some = np.array([field.outline in names for field in outlines])
    own = pixels.of(some)
    measured = measure_scene(scene_path(acquisition), imagery.sensor, imagery.bands, imagery.grid, own)
    scene = ",".join(acquisition.product_ids)
    statistics = [np.round(values, DIGITS).tolist() for values in measured.statistics.values()]
    clear = np.round(measured.clear_share, DIGITS).tolist()
    return {
        outlines[number].outline: (
            acquisition.date,
            scene,
            int(measured.pixels[number]),
            clear[number],
            measured.status[number],
            outlines[number].outline,
            str(acquisition.sha256),
            *(values[number] for values in statistics),
        )
        for number in np.flatnonzero(some).tolist()
    }


def _before_the_window(
    fields: Iterable[CropField], stored: pd.DataFrame | None, imagery: Imagery
) -> pd.DataFrame | None:
    """Return what earlier runs measured before the window, of fields that were valid then."""
    import pandas as pd

    if stored is None:
        return None
    earlier = stored[stored["date"] < imagery.start.date()]
    rows = pd.DataFrame(
        [(field.outline, field.field_id, field.crop, field.valid_from, field.valid_to) for field in fields],
        columns=["outline", "field_id", "crop", "valid_from", "valid_to"],
    )
    joined = earlier.merge(rows, on="outline")
    first, last = joined["valid_from"].fillna(date.min), joined["valid_to"].fillna(date.max)
    valid = (joined["date"] >= first) & (joined["date"] <= last)
    return joined[valid].drop(columns=["valid_from", "valid_to"]).assign(is_new=False)


def measure_fields_outcome(files: Path) -> StepOutcome:
    """Return the numbers of observations, and the fields without any value."""
    observations, imagery = read_table(OBSERVATIONS.at(files)), VALIDATED.read(files)
    usable = observations[observations["status"] == "ok"]
    small = sorted(observations.loc[observations["status"] == "too small", "field_id"].unique())
    silent = sorted(set(observations["field_id"]) - set(usable["field_id"]) - set(small))
    findings = []
    if small:
        message = f"{_named(small)} too small: fewer than {FEWEST_PIXELS} pixels lie 10 m or more inside the outline"
        findings.append(Finding(severity="warning", message=message))
    seen = set(observations.loc[observations["status"] != "no data", "field_id"])
    outside = [name for name in silent if name not in seen]
    silent = [name for name in silent if name in seen]
    if outside:
        fields = FIELDS.read(files)
        where = placed(fields.file, [field for field in fields.fields if field.field_id in outside])
        message = f"{where}: no scene of the window holds data there, so no pass has a value"
        findings.append(Finding(severity="warning", message=message))
    if silent:
        message = f"{_named(silent)} without a clear pass in the window"
        findings.append(Finding(severity="warning", message=message))
    by_date = observations.groupby("date")
    rows = tuple(
        (str(day), len(group), int((group["status"] == "ok").sum()), round(100 * float(group["clear_share"].mean()), 1))
        for day, group in by_date
    )
    columns = ("date", "fields", "fields with a value", "clear, % (mean of the fields)")
    return StepOutcome(
        metrics=MeasureMetrics(
            fields=observations["field_id"].nunique(),
            passes=len(imagery.acquisitions),
            observations=len(observations),
            observations_new=int(observations["is_new"].sum()),
            observations_usable=len(usable),
            fields_too_small=len(small),
            first_date=observations["date"].min() if len(observations) else None,
            last_date=observations["date"].max() if len(observations) else None,
        ),
        findings=tuple(findings),
        tables=(Table(title="Passes over the fields", columns=columns, rows=rows),),
        synthetic=imagery.synthetic,
        stand_in=imagery.source == "demo",
    )


def keep_observations(files: Path, params: StepParams) -> None:
    """Add what this run measured to the store of measurements."""
    keep_measurements(VALIDATED.read(files), read_table(OBSERVATIONS.at(files)))


def _named(fields: Sequence[str]) -> str:
    more = f" and {len(fields) - NAMED} more" if len(fields) > NAMED else ""
    subject = "field" if len(fields) == 1 else "fields"
    return f"{len(fields)} {subject} ({', '.join(fields[:NAMED])}{more})"
