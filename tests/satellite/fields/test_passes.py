"""Every pass over the fields, from the stand-in: fetched once, checked each time."""

import json
import re

import pytest
from shapely.geometry import shape

from include.core.errors import BadInputError, ContractError
from include.satellite.artifacts import FIELDS, IMAGERY, SEARCH, VALIDATED
from include.satellite.fields.params import FieldsParams, PassParams
from include.satellite.fields.passes import (
    check_passes,
    check_passes_outcome,
    fetch_passes,
    find_passes,
    recompute_passes,
    recompute_plan,
)
from include.satellite.fields.reading import EXAMPLE, area_of, read_fields
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from tests.satellite.scene_folders import area, write_scenes

PARAMS = PassParams(source="demo", end="2026-10-01T00:00:00Z", days_back=20, indices=("ndvi",), resolution=20)


@pytest.fixture
def take(data_dir, tmp_path, monkeypatch):
    """Take all passes over two fields of the simulated land; returns the run's files."""
    document = json.loads(EXAMPLE.read_text())
    document["features"] = document["features"][:2]

    def taking(name):
        files = tmp_path / name
        (files / "source").mkdir(parents=True)
        (files / "source" / "two.geojson").write_text(json.dumps(document))
        read_fields(files, FieldsParams(fields="two.geojson"))
        for step in (find_passes, fetch_passes, check_passes):
            step(files, PARAMS)
        return files

    with stand_in() as url:
        monkeypatch.setenv(URL_VARIABLE, url)
        yield taking


def test_passes_are_fetched_once_and_cover_the_fields(take):
    first, second = take("first"), take("second")
    plan, imagery = SEARCH.read(first), IMAGERY.read(first)
    assert shape(plan.geometry).equals(shape(area_of(FIELDS.read(first))))
    assert plan.chosen == [candidate.date for candidate in plan.candidates if candidate.usable]
    assert 2 <= len(imagery.acquisitions) == len(plan.chosen)
    assert [acquisition.fetched for acquisition in imagery.acquisitions] == [True] * len(plan.chosen)
    again = IMAGERY.read(second).acquisitions
    assert [acquisition.sha256 for acquisition in again] == [one.sha256 for one in imagery.acquisitions]
    assert not any(acquisition.fetched for acquisition in again)
    assert IMAGERY.read(second).units_spent == 0
    recompute_plan(first, PARAMS)
    assert set(recompute_passes(first, PARAMS)) <= {str(day) for day in plan.chosen}
    outcome = check_passes_outcome(first)
    assert outcome.metrics.passes_accepted == len(VALIDATED.read(first).acquisitions)
    assert not any("models" in finding.message for finding in outcome.findings)
    SEARCH.write(first, plan.model_copy(update={"chosen": plan.chosen[1:]}))
    with pytest.raises(ContractError, match="must choose every usable date"):
        recompute_plan(first, PARAMS)
    other = plan.model_copy(update={"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}})
    SEARCH.write(first, other)
    with pytest.raises(ContractError, match="geometry"):
        recompute_plan(first, PARAMS)


def test_fields_outside_a_folder_of_scenes_are_named_with_what_the_folder_holds(data_dir, tmp_path):
    write_scenes(data_dir / "inbox" / "farm")
    square = area(slice(0, 20), slice(0, 20))
    far = [[[lon + 9, lat] for lon, lat in ring] for ring in square["coordinates"]]
    feature = {"type": "Feature", "properties": {"id": "far-1"}, "geometry": {"type": "Polygon", "coordinates": far}}
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "own.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    read_fields(tmp_path, FieldsParams(fields="own.geojson"))
    params = PassParams(source="demo", scenes="farm", end="2024-08-01T00:00:00Z", days_back=120, resolution=20)
    with pytest.raises(BadInputError) as error:
        find_passes(tmp_path, params)
    corner = r"\((\d+\.\d{4}), (\d+\.\d{4})\)"
    match = re.fullmatch(
        rf"own\.geojson: field far-1, between {corner} and {corner}: no imagery: .*; the scenes of the folder lie "
        rf"between {corner} and {corner} \(longitude, latitude\), are of 2024-05-10 to 2024-07-04, and hold "
        "B02, B03, B04, B08",
        str(error.value),
    )
    assert match
    west, south, east, north = map(float, match.groups()[4:])
    assert (west, south, east, north) == pytest.approx(shape(area()).bounds, abs=2e-4)
