"""Search, download and collect against the stand-in, as a run does them."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import pytest
import rasterio

from include.core.artifacts import sha256
from include.core.errors import BadInputError, ContractError
from include.satellite.imagery import area, client, fetch
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.download import collect_summary
from include.satellite.imagery.quality import shares
from include.satellite.imagery.raster import data_mask, read_scene
from include.satellite.imagery.search import chosen_dates, search_summary
from include.satellite.imagery.store import scene_path


def test_a_run_ends_with_the_scenes_that_it_chose(api, make_run):
    run = make_run()
    plan = run.search()
    assert [candidate.date for candidate in plan.candidates] == sorted({each.date for each in plan.candidates})
    assert len(plan.chosen) == 4
    assert chosen_dates(run.files) == [day.isoformat() for day in plan.chosen]
    assert plan.units_spent == pytest.approx(0.005 * len(plan.candidates))
    imagery = run.go()
    assert [each.date for each in imagery.acquisitions] == plan.chosen
    assert imagery.synthetic
    assert all(each.usable and each.fetched and each.synthetic for each in imagery.acquisitions)
    assert imagery.units_spent == pytest.approx(plan.units_estimated)  # the looks were kept
    inside = inside_mask(imagery.geometry, imagery.grid)
    for each in imagery.acquisitions:
        path = scene_path(each)
        assert sha256(path) == each.sha256
        scene = read_scene(path)
        found = shares(scene[4].astype(np.uint8), data_mask(scene), inside)
        assert (each.clear, each.cloud, each.shadow, each.nodata) == (
            found.clear, found.cloud, found.shadow, found.nodata,
        )  # fmt: skip
        assert each.clear >= 70
        assert each.cloud <= 20


def test_a_look_judges_the_area_as_the_scene_shows_it(api, make_run):
    run = make_run(days_back=40, target_count=3, min_clear=0, max_cloud_cover=100, bbox=(75.80, 30.90, 75.83, 30.93))
    plan = run.search()
    seen = {each.date: each for each in plan.candidates}
    for each in run.go().acquisitions:
        assert each.clear == pytest.approx(seen[each.date].clear, abs=4)
        assert each.cloud == pytest.approx(seen[each.date].cloud, abs=4)


def test_overlapping_tiles_of_a_day_are_one_acquisition(api, make_run):
    plan = make_run(bbox=(75.8, 30.9, 75.9, 31.0), resolution=60, days_back=60).search()
    tiles = [len(each.product_ids) for each in plan.candidates]
    assert max(tiles) > 1
    assert plan.found == sum(tiles)


def test_what_is_there_and_intact_is_not_fetched_again(api, make_run):
    first = make_run().go()
    api.forget()
    second = make_run().go()
    assert (api.scenes_served(), api.looks_served()) == ([], 0)
    assert [each.sha256 for each in second.acquisitions] == [each.sha256 for each in first.acquisitions]
    assert not any(each.fetched for each in second.acquisitions)
    assert (second.units_spent, second.units_estimated) == (0, 0)


def test_a_damaged_scene_is_fetched_again_alone(api, make_run):
    first = make_run().go()
    damaged = first.acquisitions[1]
    scene_path(damaged).write_bytes(b"rotten")
    api.forget()
    second = make_run().go()
    assert api.scenes_served() == [damaged.date.isoformat()]
    assert second.acquisitions[1].sha256 == damaged.sha256 == sha256(scene_path(damaged))


def test_a_longer_window_looks_only_at_what_is_new(api, make_run):
    make_run(days_back=40).search()
    looked = api.looks_served()
    api.forget()
    plan = make_run(days_back=80).search()
    assert api.looks_served() == len(plan.candidates) - looked > 0


def test_reflectance_zero_is_one_and_nodata_is_zero(api, make_run):
    """The rule for digital numbers holds in what is stored: with data no reflectance is 0."""
    for each in make_run().go().acquisitions:
        with rasterio.open(scene_path(each)) as dataset:
            scene = dataset.read()
        data = scene[0] > 0
        assert (scene[:4, data] > 0).all()
        assert (scene[:4, ~data] == 0).all()
        assert data.any()


def test_true_stress_comes_as_a_band_where_the_labels_need_it(api, make_run):
    imagery = make_run(label_source="reference", bbox=(75.80, 30.90, 75.83, 30.92), target_count=2, min_dates=1).go()
    assert imagery.bands == ["B02", "B03", "B04", "B08", "SCL", "REFERENCE"]
    truth = np.stack([read_scene(scene_path(each))[5] for each in imagery.acquisitions])
    assert set(np.unique(truth)) <= {0, 1, 2, 3, 4}
    assert len(np.unique(truth)) >= 4
    api.forget()
    assert "REFERENCE" not in make_run(label_source="reference", reference="own.tif").search().bands


@pytest.mark.parametrize("source", ["sentinelhub", "cdse"])
def test_true_stress_is_not_asked_of_the_real_service(make_run, source):
    with pytest.raises(BadInputError, match="label_source: reference needs a class raster"):
        make_run(label_source="reference", source=source).search()


def test_extra_bands_come_before_the_classes_and_once(api, make_run):
    imagery = make_run(extra_bands=["B11", "B05", "B11"], target_count=1, min_dates=1).go()
    assert imagery.bands == ["B02", "B03", "B04", "B08", "B11", "B05", "SCL"]
    assert read_scene(scene_path(imagery.acquisitions[0])).shape[0] == 7


def test_the_same_pixels_come_in_parts_of_any_size(api, make_run, monkeypatch):
    size = {"target_count": 1, "min_dates": 1, "bbox": (75.80, 30.90, 75.84, 30.93), "days_back": 30}
    expected = make_run(**size).go().acquisitions[0]
    scene = read_scene(scene_path(expected))
    scene_path(expected).unlink()
    monkeypatch.setattr(fetch, "tiles", partial(area.tiles, largest=150))
    api.forget()
    found = make_run(**size).go().acquisitions[0]
    assert len(api.scenes_served()) == 9
    apart = np.abs(read_scene(scene_path(found)).astype(int) - scene)
    assert apart.max() <= 1  # the simulator's coordinates round differently
    assert (apart > 0).mean() < 0.001


def test_a_polygon_is_judged_by_its_own_pixels(api, make_run):
    west, south, east, north = 75.80, 30.90, 75.81, 30.91
    triangle = {"type": "Polygon", "coordinates": [[[west, south], [east, south], [west, north], [west, south]]]}
    plan = make_run(geojson=triangle).search()
    box = make_run(bbox=(west, south, east, north)).search()
    assert plan.grid.crs == box.grid.crs
    assert inside_mask(plan.geometry, plan.grid).mean() == pytest.approx(0.5, abs=0.03)
    assert {each.date for each in plan.candidates} == {each.date for each in box.candidates}


def test_the_window_ends_before_its_end(api, make_run):
    plan = make_run(days_back=60).search()
    last = plan.candidates[-1]
    cut = make_run(end=last.datetime, days_back=60).search()
    assert last.date not in {each.date for each in cut.candidates}
    kept = make_run(end=last.datetime + timedelta(seconds=1), days_back=60).search()
    assert kept.candidates[-1].date == last.date


class TestNeverData:
    """What was never data is the verdict of its task, and the next best date takes its place."""

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("truncated", "no readable GeoTIFF"),
            ("garbage", "no readable GeoTIFF"),
            ("zeros", "every pixel of the area is nodata"),
            ("wrong_size", "where 59×57 pixels, 5 bands, uint16 was asked for"),
        ],
    )
    def test_the_next_best_date_takes_its_place(self, api, make_run, kind, words):
        run = make_run()
        plan = run.search()
        api.fault(kind, band="B04", dates=[plan.chosen[2].isoformat()])
        verdicts = run.download()
        assert [each.usable for each in verdicts] == [True, True, False, True]
        assert words in verdicts[2].reason
        assert verdicts[2].file is None
        assert verdicts[2].units_spent > 0
        imagery = run.collect()
        assert len(imagery.acquisitions) == 4
        assert {each.date for each in imagery.acquisitions} == {*plan.chosen, plan.reserves[0]} - {plan.chosen[2]}
        assert [each.date for each in imagery.unusable] == [plan.chosen[2]]
        said = collect_summary(run.files)
        assert said["dates_not_usable"] == 1
        assert any(words in finding["message"] for finding in said["findings"])

    def test_a_look_that_was_no_data_leaves_its_day_out(self, api, make_run):
        api.fault("garbage", band="SCL", times=1)
        run = make_run()
        plan = run.search()
        left_out = [each for each in plan.candidates if each.reason and "no data" in each.reason]
        assert len(left_out) == 1
        assert any("no data" in finding["message"] for finding in search_summary(run.files)["findings"])
        api.heal()
        assert all(not each.reason or "no data" not in each.reason for each in run.search().candidates)

    def test_when_the_reserves_end_what_is_left_is_handed_on(self, api, make_run):
        run = make_run()
        plan = run.search()
        dates = [day.isoformat() for day in [*plan.chosen[1:], *plan.reserves]]
        api.fault("zeros", band="B04", dates=dates)
        run.download()
        imagery = run.collect()
        assert [each.date for each in imagery.acquisitions] == [plan.chosen[0]]
        assert len(imagery.unusable) == len(dates)
        assert any("could replace 3" in finding["message"] for finding in collect_summary(run.files)["findings"])


class TestNothingFound:
    """An empty search names the filter that left nothing."""

    def test_no_product_of_the_area_and_window(self, api, make_run):
        run = make_run(end=datetime(2025, 1, 2, tzinfo=UTC), days_back=1)
        with pytest.raises(BadInputError, match=r"no imagery: the catalog of demo names no product .* 2025-01-01 and"):
            run.search()

    def test_all_too_cloudy_over_the_area(self, api, make_run):
        with pytest.raises(BadInputError, match=r"no usable date .* of \d+ products .* all removed: by min_clear"):
            make_run(max_cloud_cover=100, min_clear=100, end=datetime(2025, 6, 20, tzinfo=UTC), days_back=2).search()

    def test_the_cloud_limit_is_named(self, api, make_run):
        plan = make_run(max_cloud_cover=100, min_clear=0).search()
        cloudy = next(each for each in plan.candidates if each.cloud > 50)
        end = cloudy.datetime + timedelta(hours=1)
        with pytest.raises(BadInputError, match=r"show 1 days, which were all removed: by max_cloud_cover \(20 %"):
            make_run(end=end, days_back=1).search()


class TestSkipDownload:
    """The usable dates of the store, without network."""

    def test_the_store_is_all_that_is_asked(self, api, make_run, monkeypatch):
        first = make_run().go()
        monkeypatch.setenv("GROUNDTRUTH_SENTINEL_HUB_URL", "http://127.0.0.1:9")
        api.forget()
        run = make_run(skip_download=True)
        imagery = run.go()
        assert [each.sha256 for each in imagery.acquisitions] == [each.sha256 for each in first.acquisitions]
        assert run.search().from_store
        assert api.served == []

    def test_an_empty_store_says_what_to_do(self, make_run):
        with pytest.raises(BadInputError, match=r"skip_download: the imagery store holds 0 .* run once without"):
            make_run(skip_download=True).search()

    def test_a_scene_that_vanishes_is_replaced_from_the_store(self, api, make_run):
        make_run(target_count=4).go()
        run = make_run(skip_download=True, target_count=3)
        plan = run.search()
        by_date = {each.date: each for each in make_run(skip_download=True).go().acquisitions}
        scene_path(by_date[plan.chosen[0]]).unlink()
        run.download()
        imagery = run.collect()
        assert [each.date for each in imagery.acquisitions] == sorted([*plan.chosen[1:], *plan.reserves])
        assert "no longer holds it" in imagery.unusable[0].reason


class TestProcessingUnits:
    """The limit stops before it is crossed."""

    def test_the_plan_does_not_begin_what_it_could_not_pay(self, api, make_run):
        with pytest.raises(BadInputError, match=r"max_processing_units: downloading 4 dates would take about 0\.09"):
            make_run(max_processing_units=0.12).search()
        assert api.scenes_served() == []

    def test_too_many_looks_are_not_begun(self, api, make_run):
        with pytest.raises(BadInputError, match=r"max_processing_units: looking at \d+ days"):
            make_run(max_processing_units=0.03).search()
        assert api.looks_served() == 0

    def test_a_service_that_charges_more_than_it_says_is_stopped(self, api, make_run, monkeypatch):
        run = make_run()
        plan = run.search()
        limit = plan.units_spent + plan.units_estimated + 0.001
        dear = run.params.model_copy(update={"max_processing_units": limit})
        run.params = dear
        render = client.Hub.render
        monkeypatch.setattr(
            client.Hub, "render", lambda *asked: client.Rendered(render(*asked).content, plan.units_estimated / 2)
        )
        with pytest.raises(BadInputError, match=r"max_processing_units: downloading .* more than the limit"):
            run.download()
        assert len(api.scenes_served()) == 2

    def test_what_is_under_way_counts(self, api, make_run):
        """Slot 0 has no verdict yet: what it is about to spend is spoken for when slot 1 begins."""
        run = make_run()
        plan = run.search()
        one = plan.units_estimated / 4
        run.params = run.params.model_copy(update={"max_processing_units": plan.units_spent + 1.5 * one})
        with pytest.raises(BadInputError, match="max_processing_units"):
            run.download(1)
        run.download(0)


def test_collect_counts_artifacts_and_not_tasks(api, make_run):
    run = make_run()
    plan = run.search()
    run.download(0, 1, 3)
    with pytest.raises(ContractError, match=rf"acquisitions/002.json: must exist: {plan.chosen[2]} was chosen"):
        run.collect()
    (run.files / "acquisitions" / "002.json").write_bytes((run.files / "acquisitions" / "001.json").read_bytes())
    with pytest.raises(ContractError, match=f"must be the verdict on {plan.chosen[2]}"):
        run.collect()


def test_dates_are_those_of_utc(api, make_run):
    plan = make_run(end=datetime.fromisoformat("2025-07-01T00:00:00+05:30")).search()
    assert all(each.date == each.datetime.astimezone(UTC).date() for each in plan.candidates)
    assert plan.candidates[-1].date <= date(2025, 6, 30)
