"""The step `read_fields`: the fields to monitor, each with an id, a crop and the days on which it is valid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.errors import BadInputError
from include.core.outcome import Finding, StepMetrics, StepOutcome
from include.core.run_folder import SOURCE_FOLDER
from include.satellite.artifacts import FIELDS
from include.satellite.evaluation.statements import check_stated
from include.satellite.fields.params import DEMO, FieldsParams
from include.satellite.fields.pixels import outline_key
from include.satellite.fields.schemas import CropField, FieldSet

if TYPE_CHECKING:
    from include.satellite.outlines.outline import Outline, Outlines

EXAMPLE = Path(__file__).with_name("example.geojson")
"""Fields of the simulator's land, for the source `demo`."""
STEP_DEGREES = 0.01
"""The area of the imagery has corners at multiples of this, so that a new field seldom makes it another area."""
MARGIN_DEGREES = 0.001
SQUARE_METRES_PER_HECTARE = 10_000
FAULTS_NAMED = 5
DEFAULT_COLUMNS = {"id": "id", "crop": "crop", "valid_from": "valid_from", "valid_to": "valid_to"}


class ReadFieldsMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `read_fields`."""

    fields: int
    crops: int
    area_ha: float


def read_fields(files: Path, params: FieldsParams) -> None:
    """Read the fields to monitor (`fields.json`).

    Args:
        files: The run's `files/` folder, with the file of the fields in `source/`.
        params: Its name, and the names of its columns.

    Raises:
        BadInputError: There is no file, or it cannot be read; an id is missing or occurs twice at a time; a column does
            not exist; a date cannot be read. Names the features.
    """
    FIELDS.write(files, _read(files, params))


def check_fields(folder: Path, params: Mapping[str, Any]) -> None:
    """Refuse a file of fields that `read_fields` would refuse.

    Args:
        folder: Of the run's input files.
        params: Of the run; `fields` names a file of the folder.

    Raises:
        BadInputError: As `read_fields`.
    """
    stated = {name: value for name, value in params.items() if name in FieldsParams.model_fields}
    _read(folder.parent, FieldsParams.model_validate(stated))


def recompute_fields(files: Path, params: FieldsParams) -> None:
    """Check that the fields are those of the file.

    Raises:
        ContractError: One is another.
    """
    check_stated(FIELDS.path, FIELDS.read(files), _read(files, params))


def _read(files: Path, params: FieldsParams) -> FieldSet:
    from include.satellite.outlines.reading import read_outlines

    if not params.fields and params.source != DEMO:
        raise BadInputError(
            "fields: name the file that holds the outlines of the fields (--fields FILE, or GROUNDTRUTH_FIELDS)"
        )
    path = files / SOURCE_FOLDER / params.fields if params.fields else EXAMPLE
    return field_set(path.name, read_outlines(path), params)


def field_set(name: str, read: Outlines, params: FieldsParams) -> FieldSet:
    """Return the fields of outlines.

    Args:
        name: Of their file.
        read: The outlines.
        params: Names of their columns.

    Raises:
        BadInputError: As `read_fields`.
    """
    columns, findings = _columns(name, read.outlines, params)
    return FieldSet(file=name, fields=_fields(name, read.outlines, columns), findings=[*read.findings, *findings])


def read_fields_outcome(files: Path) -> StepOutcome:
    """Return the number and the area of the fields, and how their file was understood."""
    found = FIELDS.read(files)
    by_id = {field.field_id: field.area_ha for field in found.fields}
    crops = {field.crop for field in found.fields if field.crop is not None}
    return StepOutcome(
        metrics=ReadFieldsMetrics(fields=len(by_id), crops=len(crops), area_ha=round(sum(by_id.values()), 2)),
        findings=tuple(found.findings),
        provenance={"fields": found.file},
    )


def area_of(fields: FieldSet) -> dict[str, Any]:
    """Return the rectangle that holds all fields, as a GeoJSON geometry in WGS 84.

    Its corners are multiples of `STEP_DEGREES`, so that imagery is fetched anew only if a field lies beyond it.
    """
    from shapely import bounds
    from shapely.geometry import box, mapping, shape

    west, south, east, north = bounds([shape(field.geometry) for field in fields.fields]).T
    low = (_down(west.min()), _down(south.min()))
    high = (-_down(-east.max()), -_down(-north.max()))
    return dict(mapping(box(*low, *high)))


def placed(file: str, fields: Sequence[CropField]) -> str:
    """Return the ids of some fields, and where they lie."""
    from shapely import total_bounds
    from shapely.geometry import shape

    names = list(dict.fromkeys(field.field_id for field in fields))
    more = f" and {len(names) - FAULTS_NAMED} more" if len(names) > FAULTS_NAMED else ""
    west, south, east, north = total_bounds([shape(field.geometry) for field in fields])
    return (
        f"{file}: {'field' if len(names) == 1 else 'fields'} {', '.join(names[:FAULTS_NAMED])}{more}, between "
        f"({west:.4f}, {south:.4f}) and ({east:.4f}, {north:.4f})"
    )


def _down(degrees: float) -> float:
    return round(math.floor((degrees - MARGIN_DEGREES) / STEP_DEGREES) * STEP_DEGREES, 6)


def _columns(
    file: str, outlines: Sequence[Outline], params: FieldsParams
) -> tuple[dict[str, str | None], list[Finding]]:
    """Return the column of each attribute, None where the file has none, and what was taken without a statement."""
    present = {name for outline in outlines for name in outline.properties}
    columns: dict[str, str | None] = {}
    findings: list[Finding] = []
    for attribute, default in DEFAULT_COLUMNS.items():
        stated = getattr(params, f"{attribute}_column")
        if stated is not None and stated not in present:
            names = ", ".join(sorted(present)) or "none"
            raise BadInputError(f"{file}: has no column {stated!r} ({attribute}_column); its columns are: {names}")
        columns[attribute] = stated or (default if default in present else None)
        if columns[attribute] is None and attribute == "crop":
            message = f"{file} states no crop, so fields are compared with no others (crop_column names the column)"
            findings.append(Finding(severity="info", message=message))
    if columns["id"] is None:
        names = ", ".join(sorted(present)) or "none"
        message = f"{file} has no column `id`: fields are named as their features are (id_column; columns: {names})"
        findings.append(Finding(severity="warning", message=message))
    return columns, findings


def _fields(file: str, outlines: Sequence[Outline], columns: Mapping[str, str | None]) -> list[CropField]:
    fields: list[CropField] = []
    faults: list[str] = []
    for number, outline in enumerate(outlines, 1):
        try:
            fields.append(_field(outline, columns))
        except ValueError as error:
            faults.append(f"feature {outline.id.strip() or number}: {error}")
    faults += _overlaps(fields)
    if faults:
        more = f"; and {len(faults) - FAULTS_NAMED} more" if len(faults) > FAULTS_NAMED else ""
        raise BadInputError(f"{file}: {'; '.join(faults[:FAULTS_NAMED])}{more}")
    if not fields:
        raise BadInputError(f"{file}: holds no field")
    return sorted(fields, key=lambda field: (field.field_id, field.valid_from or date.min))


def _field(outline: Outline, columns: Mapping[str, str | None]) -> CropField:
    from shapely.geometry import mapping

    values = {
        attribute: None if column is None else outline.properties.get(column) for attribute, column in columns.items()
    }
    name = _text(outline.id if columns["id"] is None else values["id"])
    if name is None:
        raise ValueError("has no id (id_column); each field needs one")
    first, last = (_day(attribute, values[attribute]) for attribute in ("valid_from", "valid_to"))
    if first and last and first > last:
        raise ValueError(f"field {name}: valid_from {first} is after valid_to {last}")
    geometry = dict(mapping(outline.geometry))
    return CropField(
        field_id=name,
        crop=_text(values["crop"]),
        valid_from=first,
        valid_to=last,
        geometry=geometry,
        outline=outline_key(geometry),
        area_ha=round(_area_ha(outline), 4),
    )


def _area_ha(outline: Outline) -> float:
    """Return the area of an outline on the ellipsoid, ha."""
    from pyproj import Geod

    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(outline.geometry)
    return abs(area) / SQUARE_METRES_PER_HECTARE


def _text(value: object) -> str | None:
    """Return an id or a crop as text: 7.0, as tables hold whole numbers beside empty cells, is 7."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _day(attribute: str, value: object) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = _text(value)
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.replace("/", "-")).date()
    except ValueError as error:
        raise ValueError(f"{attribute} {text!r} is not a date such as 2026-04-30") from error


def _overlaps(fields: Sequence[CropField]) -> list[str]:
    """Return a sentence for each id that occurs twice at a time; one id may have crops one after the other."""
    faults: list[str] = []
    last: dict[str, CropField] = {}
    for field in sorted(fields, key=lambda field: (field.field_id, field.valid_from or date.min)):
        earlier = last.get(field.field_id)
        last[field.field_id] = field
        if earlier is None:
            continue
        if earlier.valid_to is None or field.valid_from is None or field.valid_from <= earlier.valid_to:
            faults.append(
                f"field {field.field_id} occurs twice: ids must be unique, or their days (valid_from, valid_to) apart"
            )
    return list(dict.fromkeys(faults))
