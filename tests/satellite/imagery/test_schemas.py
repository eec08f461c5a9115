"""The manifest and the plan of a download."""

import pytest

from include.satellite.artifacts import IMAGERY
from include.satellite.sensors.sentinel2 import SENTINEL2


def test_the_place_of_a_manifest_is_its_bounding_box(world):
    world.add()
    world.write()
    imagery = IMAGERY.read(world.files)
    assert imagery.place == "75.800E_30.900N_75.806E_30.905N"
    assert imagery.sensor == SENTINEL2
    ring = [[-1.5, -2.25], [3, -2.25], [3, 4], [-1.5, -2.25]]
    elsewhere = imagery.model_copy(update={"geometry": {"type": "MultiPolygon", "coordinates": [[ring]]}})
    assert elsewhere.place == "1.500W_2.250S_3.000E_4.000N"


def test_a_plan_finds_the_candidate_of_a_day(api, make_run):
    plan = make_run().search()
    assert plan.candidate(plan.chosen[1]).date == plan.chosen[1]
    assert plan.sensor == SENTINEL2
    with pytest.raises(StopIteration):
        plan.candidate(plan.start.date().replace(year=1999))
