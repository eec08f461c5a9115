"""The checks of one acquisition; test_validation.py breaks every rule in turn."""

import numpy as np

from include.satellite.artifacts import IMAGERY
from include.satellite.imagery.checks import Examination, examine, mark_duplicates
from include.satellite.params import SelectionParams


def examined(world):
    world.write()
    imagery = IMAGERY.read(world.files)
    return [examine(one, imagery, SelectionParams(), world.inside) for one in imagery.acquisitions]


def test_a_sound_acquisition_passes_and_keeps_its_scene(world):
    world.add()
    [examination] = examined(world)
    assert examination.reason is None
    assert [check.name for check in examination.checks] == [
        "file", "readable", "mark", "form", "visibility", "reflectance", "bands", "indices",
    ]  # fmt: skip
    assert (examination.scene.layers == world.scene(0)).all()
    assert examination.shares["clear"] == 100
    assert [index.name for index in examination.indices] == ["ndvi", "savi", "evi", "ndwi"]


def test_the_reason_is_the_first_check_that_failed(world):
    world.add(lambda scene: scene[[1, 4]].fill(9))
    world.add(lambda scene: np.copyto(scene[4], 9))
    examination = examined(world)[1]
    assert examination.reason.startswith("visibility: cloud over 100.0 %")


def test_only_the_earliest_of_equal_dates_is_kept(world):
    for number in range(3):
        acquisition = world.draft(number)
        world.acquisitions.append(world.store.put(acquisition, world.scene(min(number, 1))))
    examinations = examined(world)
    mark_duplicates(reversed(examinations))
    assert [one.reason for one in examinations] == [None, None, "unique: its reflectances are those of 2025-01-11"]


def test_a_check_is_recorded_with_its_fault_or_its_finding(world):
    examination = Examination(world.draft(0))
    assert examination.add("one", None, "right")
    assert not examination.add("two", "wrong", "right")
    assert [(check.passed, check.found) for check in examination.checks] == [(True, "right"), (False, "wrong")]


def test_an_acquisition_is_measured_by_its_file_and_unusable_once_a_check_fails(world):
    world.add()
    [examination] = examined(world)
    measured = examination.measured()
    assert (measured.usable, measured.reason, measured.clear) == (True, None, 100)
    assert examination.shares == {"clear": 100, "cloud": 0, "shadow": 0, "nodata": 0}
    examination.add("unique", "its reflectances are those of 2025-01-11", "")
    assert examination.measured().reason == "unique: its reflectances are those of 2025-01-11"
    assert not examination.measured().usable


def test_a_report_states_the_checks_and_the_shares_of_a_date(world):
    world.add()
    [examination] = examined(world)
    report = examination.report()
    assert (report.date, report.accepted, report.clear) == (world.acquisitions[0].date, True, 100)
    assert report.checks == examination.checks
    assert Examination(world.draft(1)).report().clear is None
