"""Validation: each rule on a scene that breaks it alone, and the gate on what is left."""

import json
from datetime import timedelta

import numpy as np
import pytest

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.satellite.artifacts import IMAGERY, VALIDATED, VALIDATION_REPORT
from include.satellite.imagery import validation
from include.satellite.imagery.scenes import Scene, encode
from include.satellite.imagery.validation import ValidateMetrics, recompute_manifest, validate, validate_outcome
from include.satellite.params import ValidateParams
from include.satellite.sensors.sentinel2 import SENTINEL2

GOOD = 4


@pytest.fixture
def check(world, monkeypatch):
    """Validate the world's acquisitions; the plots have separate tests."""
    for name in ("draw_contact_sheet", "draw_ndvi"):
        monkeypatch.setattr(validation, name, lambda path, *_: path.write_bytes(b"picture"))

    def check(**params):
        world.write()
        known = {"target_count": 20, "min_dates": GOOD}
        validate(world.files, ValidateParams(**(known | params)))
        return report(world)

    return check


def report(world):
    return VALIDATION_REPORT.read(world.files)


def rewrite(world, acquisition, scene, **parts):
    """Replace a scene's file and its checksum: only what the file holds is wrong."""
    known = {"bands": world.store.bands, "grid": world.grid, "tags": {"SYNTHETIC": "NO"}} | parts
    path = world.path(acquisition)
    path.write_bytes(encode(Scene(SENTINEL2, known["bands"], scene), known["grid"], known["tags"]))
    position = world.acquisitions.index(acquisition)
    world.acquisitions[position] = acquisition.model_copy(update={"sha256": sha256(path)})


def test_sound_imagery_passes_every_rule(world, check):
    for _ in range(GOOD):
        world.add()
    found = check()
    assert found.passed
    assert not found.skipped
    names = {"file", "readable", "mark", "form", "visibility", "reflectance", "bands", "indices", "unique", "series"}
    for each in found.dates:
        assert {rule.name for rule in each.checks} == names
        assert all(rule.passed for rule in each.checks)
        ndvi = next(index for index in each.indices if index.name == "ndvi")
        # red 500 ± 20 %, near infrared 3000 ± 20 %
        assert ndvi.mean == pytest.approx(2500 / 3500, abs=0.01)
        assert ndvi.low < ndvi.median < ndvi.high
        assert (each.clear, each.masked) == (100, 0)
    assert found.findings == []
    validated = VALIDATED.read(world.files)
    assert validated == IMAGERY.read(world.files)


def cut(world, each):
    world.path(each).write_bytes(world.path(each).read_bytes()[:-500])


def unreadable(world, each):
    path = world.path(each)
    path.write_bytes(b"II*\x00" + bytes(500))
    world.acquisitions[-1] = each.model_copy(update={"sha256": sha256(path)})


def other_bands(world, each):
    rewrite(world, each, world.scene(9), bands=["B04", "B03", "B02", "B08", "SCL"])


def too_few_bands(world, each):
    rewrite(world, each, world.scene(9)[:4], bands=["B02", "B03", "B04", "B08"])


def elsewhere(world, each):
    xmin, ymin, xmax, ymax = world.grid.bounds
    moved = world.grid.model_copy(update={"bounds": (xmin + 100, ymin, xmax + 100, ymax)})
    rewrite(world, each, world.scene(9), grid=moved)


def other_zone(world, each):
    rewrite(world, each, world.scene(9), grid=world.grid.model_copy(update={"crs": "EPSG:32644"}))


def secretly_simulated(world, each):
    rewrite(world, each, world.scene(9), tags={"SYNTHETIC": "YES"})


def silent(world, each):
    rewrite(world, each, world.scene(9), tags={})


def spoil(**levels):
    def change(world, each):
        scene = world.scene(9)
        for band, level in levels.items():
            scene[world.store.bands.index(band)] = level
        rewrite(world, each, scene)

    return change


def half(band, level):
    def change(world, each):
        scene = world.scene(9)
        scene[world.store.bands.index(band), : world.grid.height // 2] = level
        rewrite(world, each, scene)

    return change


def no_data_in_the_west(world, each):
    scene = world.scene(9)
    scene[:, :, : world.grid.width // 2] = 0
    rewrite(world, each, scene)


def impossible(share):
    """EVI of 6.4 where blue is brighter than all else."""

    def change(world, each):
        scene = world.scene(9)
        rows = round(world.grid.height * share)
        for band, level in zip(scene, (1500, 1000, 100, 1000), strict=False):
            band[:rows] = level
        rewrite(world, each, scene)

    return change


def changed(change):
    def rewritten(world, each):
        scene = world.scene(9)
        scene[:4] = np.clip(change(scene[:4].astype(float)), 1, 65535)
        rewrite(world, each, scene)

    return rewritten


def multiplied(factor):
    return changed(lambda numbers: numbers * factor)


def added(number):
    return changed(lambda numbers: numbers + number)


@pytest.mark.parametrize(
    ("break_it", "rule", "words"),
    [
        (cut, "file", "checksum differs"),
        (lambda world, each: world.path(each).unlink(), "file", "cannot be read: No such file"),
        (unreadable, "readable", "cannot be read"),
        (other_bands, "form", "bands ['B04', 'B03', 'B02'"),
        (too_few_bands, "form", "bands ['B02', 'B03', 'B04', 'B08'], not"),
        (elsewhere, "form", "bounds (576540.0"),
        (other_zone, "form", "CRS EPSG:32644, not EPSG:32643"),
        (secretly_simulated, "mark", "the file says SYNTHETIC=YES, the record NO"),
        (silent, "mark", "SYNTHETIC=None"),
        (half("SCL", 9), "visibility", "cloud over 4"),
        (half("SCL", 3), "visibility", "of the area is clear"),
        (no_data_in_the_west, "visibility", "of the area is clear"),
        (spoil(B02=0, B03=0, B04=0, B08=0, SCL=0), "visibility", "only 0.0 %"),
        (spoil(B03=700), "bands", "B03 is 700 everywhere"),
        (spoil(B08=4321), "bands", "B08 is 4321 everywhere"),
        (multiplied(0.1), "reflectance", "0.035 in the near infrared, where 0.06 to 1.2 can be: the scale is wrong"),
        (multiplied(6.5535), "reflectance", "the scale is wrong"),
        (added(1000), "haze", "in blue (median), more than 0.08 and"),
        (added(-1000), "reflectance", "green is 0 on 100.0 % of the clear land"),
    ],
)
def test_one_broken_scene_is_excluded_and_reported(world, check, break_it, rule, words):
    for _ in range(GOOD + 1):
        world.add()
    broken = world.acquisitions[-1]
    break_it(world, broken)
    found = check()
    assert found.passed
    assert (found.usable_dates, found.excluded_dates) == (GOOD, 1)
    verdict = next(each for each in found.dates if each.date == broken.date)
    assert not verdict.accepted
    assert verdict.reason.startswith(f"{rule}: ")
    assert words in verdict.reason
    assert next(check.name for check in verdict.checks if not check.passed) == rule
    assert any(str(broken.date) in finding.message for finding in found.findings)
    validated = VALIDATED.read(world.files)
    assert broken.date not in {each.date for each in validated.acquisitions}
    [excluded] = validated.unusable
    assert (excluded.date, excluded.usable, excluded.reason) == (broken.date, False, verdict.reason)


def test_a_twin_of_another_date_is_excluded_and_the_earlier_kept(world, check):
    for _ in range(GOOD + 1):
        world.add()
    rewrite(world, world.acquisitions[3], world.scene(1))
    found = check()
    assert [each.accepted for each in found.dates] == [True, True, True, False, True]
    assert found.dates[3].reason == f"unique: its reflectances are those of {found.dates[1].date}"


def test_few_impossible_pixels_are_masked_and_counted(world, check):
    for _ in range(GOOD):
        world.add()
    impossible(0.04)(world, world.acquisitions[0])
    found = check()
    assert found.passed
    rows = round(world.grid.height * 0.04)
    expected = 100 * world.inside[:rows].sum() / world.inside.sum()
    assert found.dates[0].masked == pytest.approx(expected, abs=0.01)
    evi = next(index for index in found.dates[0].indices if index.name == "evi")
    assert evi.out_of_range == found.dates[0].masked
    assert evi.high < 1.01


def test_a_date_with_evi_out_of_range_is_kept_with_a_warning(world, check):
    for _ in range(GOOD):
        world.add()
    impossible(0.10)(world, world.acquisitions[0])
    found = check()
    assert found.dates[0].accepted
    [message] = [finding.message for finding in found.findings if "EVI" in finding.message]
    assert message.startswith(f"{found.dates[0].date}: EVI is out of range on 9.0 % of the clear")


def test_undefined_pixels_are_masked_and_are_no_fault(world, check):
    """EVI's denominator vanishes at B08 + 6·B04 − 7.5·B02 + 1 = 0."""

    def vanish(scene):
        for band, level in zip(scene, (2000, 700, 500, 2000), strict=False):
            band[: world.grid.height // 2] = level

    world.add(vanish)
    for _ in range(GOOD - 1):
        world.add()
    found = check()
    evi = next(index for index in found.dates[0].indices if index.name == "evi")
    assert found.dates[0].accepted
    assert evi.undefined == pytest.approx(50, abs=2)
    assert evi.out_of_range == 0
    assert found.dates[0].masked == evi.undefined


def test_what_lies_outside_the_polygon_decides_nothing(world, check):
    for _ in range(GOOD):
        world.add()
    scene = world.scene(9)
    scene[4, ~world.inside] = 9
    scene[:4, ~world.inside] = 0
    rewrite(world, world.acquisitions[0], scene)
    found = check()
    assert found.dates[0].accepted
    assert (found.dates[0].clear, found.dates[0].nodata) == (100, 0)


def test_the_gate_fails_when_what_is_left_is_not_enough(world, check):
    for _ in range(GOOD):
        world.add()
    cut(world, world.acquisitions[1])
    (world.files / "validated.json").write_text("of an earlier attempt")
    with pytest.raises(ContractError) as error:
        check()
    for words in (
        "validated.json: must hold at least 4 usable dates (min_dates); found 3",
        f"{world.acquisitions[1].date}: file: ",
        "days_back",
    ):
        assert words in str(error.value)
    assert not report(world).passed  # what was found is there to be read
    assert (world.files / "plot_contact_sheet.png").is_file()


def test_no_plot_is_drawn_where_none_is_wanted(world):
    for _ in range(GOOD):
        world.add()
    world.write()
    validate(world.files, ValidateParams(target_count=20, min_dates=GOOD), plots=False)
    assert len(VALIDATED.read(world.files).acquisitions) == GOOD
    assert not list(world.files.glob("*.png"))


class TestSkipValidation:
    """The dates are only counted, and it is the artifacts that count."""

    def test_what_is_there_is_taken_unseen_and_said_so(self, world, check):
        for _ in range(GOOD):
            world.add()
        spoil(B08=4321)(world, world.acquisitions[0])
        found = check(skip_validation=True)
        assert (found.skipped, found.passed, found.usable_dates) == (True, True, GOOD)
        assert any("validation skipped" in finding.message for finding in found.findings)
        assert len(VALIDATED.read(world.files).acquisitions) == GOOD
        assert (world.files / "plot_ndvi.png").is_file()

    def test_a_missing_file_does_not_count(self, world, check):
        for _ in range(GOOD):
            world.add()
        world.path(world.acquisitions[2]).unlink()
        with pytest.raises(ContractError, match=r"at least 4 usable dates .* found 3 .* is missing"):
            check(skip_validation=True)

    def test_too_few_dates_fail_it_too(self, world, check):
        world.add()
        with pytest.raises(ContractError, match="at least 4 usable dates"):
            check(skip_validation=True)

    def test_an_unreadable_file_is_drawn_as_such(self, world, check):
        for _ in range(GOOD):
            world.add()
        unreadable(world, world.acquisitions[-1])
        assert check(skip_validation=True).passed


class TestSyntheticMark:
    """Simulated imagery is never silent."""

    @pytest.mark.parametrize(("allowed", "severity"), [(False, "warning"), (True, "info")])
    @pytest.mark.parametrize("skip", [False, True])
    def test_it_is_a_finding(self, world, check, allowed, severity, skip):
        world.add(synthetic=True)
        for _ in range(GOOD):
            world.add()
        found = check(allow_synthetic=allowed, skip_validation=skip)
        assert found.synthetic
        [finding] = [each for each in found.findings if "simulated imagery on 1 of 5 dates" in each.message]
        assert finding.severity == severity
        assert VALIDATED.read(world.files).synthetic

    def test_a_real_source_never_serves_it(self, world, check):
        world.add(synthetic=True, source="cdse")
        for _ in range(GOOD):
            world.add()
        found = check()
        assert "cdse serves real imagery" in found.dates[0].reason
        assert not found.synthetic
        assert not VALIDATED.read(world.files).synthetic


def test_gap_and_coverage_are_those_of_the_accepted_dates(world, check):
    for _ in range(GOOD + 3):
        world.add()
    cut(world, world.acquisitions[5])
    found = check()
    days = [each.date for each in found.dates if each.accepted]
    assert found.longest_gap.after == days[-1]  # the window ends with the year
    assert found.longest_gap.days == (found.longest_gap.before - days[-1]) / timedelta(days=1)
    assert list(found.coverage_by_month) == [f"2025-{month:02d}" for month in range(1, 13)]
    assert list(found.coverage_by_month.values())[:4] == [4, 1, 1, 0]


def test_the_outcome_says_what_a_reader_should_know(world, check):
    for _ in range(GOOD + 1):
        world.add()
    cut(world, world.acquisitions[0])
    check()
    outcome = validate_outcome(world.files)
    metrics = outcome.metrics_as(ValidateMetrics)
    assert (metrics.usable_dates, metrics.excluded_dates, metrics.min_dates) == (GOOD, 1, GOOD)
    [table] = outcome.tables
    assert len(table.rows) == GOOD + 1
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "excluded: file" in table.rows[0][-1]
    json.dumps(outcome.model_dump(mode="json"))


def test_validated_shares_are_those_that_the_files_show(world, check):
    """Not those that were recorded when they were fetched."""
    for _ in range(GOOD):
        world.add()
    half_percent = world.scene(0)
    half_percent[4, 0, :] = 9
    rewrite(world, world.acquisitions[0], half_percent)
    check()
    validated = VALIDATED.read(world.files)
    expected = 100 * world.inside[0].sum() / world.inside.sum()
    assert validated.acquisitions[0].cloud == pytest.approx(expected, abs=0.001)
    assert np.isclose(validated.acquisitions[0].clear + validated.acquisitions[0].cloud, 100)


# what the orchestrator derives again


def state(world, artifact, change):
    document = json.loads(artifact.at(world.files).read_bytes())
    change(document)
    artifact.at(world.files).write_text(json.dumps(document))


@pytest.mark.parametrize("skipped", [False, True])
def test_an_honest_validation_is_confirmed(world, check, skipped):
    for _ in range(GOOD):
        world.add()
    check(skip_validation=skipped)
    recompute_manifest(world.files, ValidateParams(target_count=20, min_dates=GOOD, skip_validation=skipped))


def _another(document):
    document["acquisitions"][0]["sha256"] = "0" * 64


def _twice(document):
    document["acquisitions"][1] = document["acquisitions"][0]


def _elsewhere(document):
    document["acquisitions"][0]["file"] = "../other.tif"


def _cloudy(document):
    document["acquisitions"][0]["cloud"] = 99


def _real(document):
    document["acquisitions"][0]["synthetic"] = False


def _marked_real(document):
    document["synthetic"] = not document["synthetic"]


def _another_source(document):
    document["source"] = "sentinelhub"


def _another_area(document):
    document["geometry"] = {"type": "Point", "coordinates": [0, 0]}


def _fewer(document):
    del document["acquisitions"][0]


@pytest.mark.parametrize(
    "change",
    [_another, _twice, _elsewhere, _cloudy, _real, _marked_real, _another_source, _another_area, _fewer],
    ids=lambda change: change.__name__.strip("_"),
)
def test_a_manifest_of_other_imagery_than_was_collected_is_refused(world, check, change):
    for _ in range(GOOD):
        world.add(synthetic=True)
    check(allow_synthetic=True)
    state(world, VALIDATED, change)
    with pytest.raises(ContractError, match=r"validated\.json: must"):
        recompute_manifest(world.files, ValidateParams(target_count=20, min_dates=GOOD, allow_synthetic=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [("usable_dates", 99), ("passed", False), ("synthetic", True), ("min_dates", 1), ("skipped", True)],
)
def test_a_report_that_states_another_validation_is_refused(world, check, name, value):
    for _ in range(GOOD):
        world.add()
    check()
    state(world, VALIDATION_REPORT, lambda document: document.update({name: value}))
    with pytest.raises(ContractError, match=rf"validation_report\.json: must state .*\$\.{name}"):
        recompute_manifest(world.files, ValidateParams(target_count=20, min_dates=GOOD))


# what the orchestrator reads again from the scenes


def _clouds(scene):
    scene[-1] = 9


def call_cloudy(manifest, stated):
    """Exclude a sound date, in words that both files agree on."""
    day, reason = manifest["acquisitions"].pop(0), "visibility: cloud 99.0 %, more than 20 %"
    manifest["unusable"].insert(0, day | {"usable": False, "reason": reason})
    stated["dates"][0] |= {"accepted": False, "reason": reason}
    count_again(manifest, stated)


def leave_out(manifest, stated):
    del manifest["acquisitions"][0], stated["dates"][0]
    count_again(manifest, stated)


def keep_silent(manifest, stated):
    """Exclude a cloudy date without listing it."""
    del manifest["unusable"][0]


def call_sound(manifest, stated):
    """Accept the cloudy date, with the shares of a sound one."""
    shares = {"clear": 100.0, "cloud": 0.0}
    [day] = manifest["unusable"]
    manifest["unusable"] = []
    manifest["acquisitions"].append(day | {"usable": True, "reason": None} | shares)
    stated["dates"][-1] |= {"accepted": True, "reason": None} | shares
    count_again(manifest, stated)


def call_clearer(manifest, stated):
    manifest["acquisitions"][0]["clear"] = stated["dates"][0]["clear"] = 99.5


def call_greener(manifest, stated):
    next(index for index in stated["dates"][0]["indices"] if index["name"] == "ndvi")["mean"] = 0.9


def count_again(manifest, stated):
    """Let the report's own counts follow its dates, as `_report` counts them."""
    report = VALIDATION_REPORT.schema.model_validate(stated)
    imagery = IMAGERY.schema.model_validate(manifest | {"unusable": []})
    params = ValidateParams(target_count=20, min_dates=GOOD)
    stated.update(validation._report(imagery, params, report.dates, imagery.acquisitions).model_dump(mode="json"))


def call_less_blue(manifest, stated):
    stated["dates"][0]["radiometry"]["blue"] = 0.01


SCENE_LIES = {
    "a date is called less blue than it is": (call_less_blue, "must state what follows .*radiometry"),
    "a sound date is called cloudy": (call_cloudy, "must state what follows .*accepted"),
    "a sound date is not mentioned": (leave_out, "must assess each collected date once"),
    "a cloudy date is dropped from the manifest": (keep_silent, "must list as unusable"),
    "a cloudy date is accepted as clear": (call_sound, "must state what follows"),
    "a date is called clearer than it is": (call_clearer, "must state what follows .*clear"),
    "a date is called greener than it is": (call_greener, "must state what follows .*indices"),
}


@pytest.mark.parametrize("lie", SCENE_LIES)
def test_a_lie_about_what_a_scene_shows_is_red(world, check, monkeypatch, lie):
    tell, message = SCENE_LIES[lie]
    monkeypatch.setattr(validation, "DRAWN_DATES", 99)
    for _ in range(GOOD + 1):
        world.add()
    world.add(_clouds)
    check()
    params = ValidateParams(target_count=20, min_dates=GOOD)
    recompute_manifest(world.files, params)
    manifest, stated = (
        json.loads(artifact.at(world.files).read_bytes()) for artifact in (VALIDATED, VALIDATION_REPORT)
    )
    tell(manifest, stated)
    for artifact, document in ((VALIDATED, manifest), (VALIDATION_REPORT, stated)):
        artifact.at(world.files).write_text(json.dumps(document))
    with pytest.raises(ContractError, match=rf"(validated|validation_report)\.json: {message}"):
        recompute_manifest(world.files, params)


def test_a_hazy_date_is_not_accepted_though_its_scene_is_not_drawn(world, check, monkeypatch):
    monkeypatch.setattr(validation, "DRAWN_DATES", 0)
    for _ in range(GOOD):
        world.add()
    check()
    params = ValidateParams(target_count=20, min_dates=GOOD)
    recompute_manifest(world.files, params)
    hazy = {"land": 3000, "blue": 0.13, "red": 0.12}
    state(world, VALIDATION_REPORT, lambda document: document["dates"][0].update(radiometry=hazy))
    with pytest.raises(ContractError, match=r"must exclude 2025-01-01 for haze; found clear land reflects 0\.130"):
        recompute_manifest(world.files, params)


def test_every_excluded_date_is_read_again_also_one_that_repeats_another(world, check):
    for _ in range(GOOD):
        world.add()
    world.add(_clouds)
    twin = world.store.put(world.draft(GOOD + 1), world.scene(0))
    world.acquisitions.append(twin)
    check()
    for _ in range(5):
        recompute_manifest(world.files, ValidateParams(target_count=20, min_dates=GOOD))
