"""A run with two fields, for tests of what is shown of it."""

from pathlib import Path

import duckdb

from include.core.run_folder import RunFolder
from include.core.tables import literal
from include.satellite.artifacts import ALERTS, FIELD_SERIES, FIELDS, FIELDS_TABLE
from include.satellite.fields.schemas import CropField, FieldSet

HOSTILE = "<b>&\"'"


def square(name, west, south):
    ring = [[west, south], [west + 0.01, south], [west + 0.01, south + 0.01], [west, south + 0.01], [west, south]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    values = {"valid_from": None, "valid_to": None, "outline": "0", "area_ha": 2.0}
    return CropField(field_id=name, crop="wheat", geometry=geometry, **values)


def write_run(run: Path) -> Path:
    """Write the files of a run with two fields: one in the north-east with an alert, and one in the south-west."""
    folder = RunFolder(run).files
    folder.mkdir(parents=True)
    fields = [square("south", 5.0, 50.0), square(HOSTILE, 5.02, 50.02)]
    FIELDS.at(folder).write_text(FieldSet(file="f.geojson", fields=fields, findings=[]).model_dump_json())
    day = "DATE '2026-05-06'"
    fields_rows = (
        "('south', 'wheat', NULL::DATE, 2.0, 'cloudy', DATE '2026-05-01', 0.5::DOUBLE), "
        f"($name, NULL, NULL, 2.0, 'alert', {day}, 'NaN')"
    )
    series_rows = (
        "('south', DATE '2026-05-01', 0.5::DOUBLE, 0.5::DOUBLE), "
        f"('south', {day}, NULL, 1.0), ($name, DATE '2024-01-01', 0.1, 0.1)"
    )
    columns = "field_id, crop, valid_from, area_ha, state, latest, ndvi_mean"
    tables = {
        FIELDS_TABLE: f"SELECT * FROM (VALUES {fields_rows}) t({columns})",
        ALERTS: f"SELECT *, 'fall' AS kind FROM (VALUES ($name, {day}, '0.12 lower than expected', true), "
        "('south', DATE '2026-02-03', '0.30 lower', false)) t(field_id, date, text, is_current)",
        FIELD_SERIES: f"SELECT * FROM (VALUES {series_rows}) t(field_id, date, observed, smoothed)",
    }
    with duckdb.connect() as db:
        for artifact, query in tables.items():
            named = query.replace("$name", literal(HOSTILE))
            db.execute(f"COPY ({named}) TO {literal(str(artifact.at(folder)))} (FORMAT parquet)")
    return folder
