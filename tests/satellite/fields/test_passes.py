"""Every pass over the fields, from the stand-in: fetched once, checked each time."""

import json

import pytest
from shapely.geometry import shape

from include.core.errors import ContractError
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
