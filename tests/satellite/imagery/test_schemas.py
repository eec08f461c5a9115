"""The manifest and the plan of a download."""

import pytest

from include.satellite.artifacts import IMAGERY
from include.satellite.imagery.checks import Examination
from include.satellite.imagery.schemas import Acquisition, Day, IndexRange
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


def test_a_document_hands_the_fields_of_a_base_on(world):
    acquisition = world.draft(0, cloud=7)
    day = Day(**acquisition.fields_of(Day))
    assert (day.date, day.datetime, day.product_ids) == (acquisition.date, acquisition.datetime, ["S2A_20250101"])
    assert set(acquisition.fields_of(Day)) == set(Day.model_fields) < set(Acquisition.model_fields)
    assert isinstance(acquisition, Acquisition)


def test_a_report_finds_the_statistics_of_an_index_that_was_measured(world):
    def statistics(name, mean):
        return IndexRange(name=name, mean=mean, low=0, median=0, high=0, out_of_range=0, undefined=0)

    examination = Examination(world.draft(0), indices=[statistics("evi", 0.3), statistics("ndvi", None)])
    report = examination.report()
    assert report.index("evi").mean == 0.3
    assert report.index("ndvi") is None
    assert report.index("savi") is None
