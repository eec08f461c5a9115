"""Download and collect against the stand-in, as a run does them."""

from functools import partial

import numpy as np
import pytest
import rasterio

from include.core.artifacts import sha256
from include.core.errors import BadInputError, ContractError
from include.satellite.imagery import area, client, fetch
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.download import CollectMetrics, collect_outcome, no_data_reason
from include.satellite.imagery.scenes import Scene, read_layers
from include.satellite.imagery.search import chosen_dates, search_outcome
from include.satellite.imagery.store import scene_path
from include.satellite.sensors.sentinel2 import SENTINEL2


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
    assert imagery.units_spent == pytest.approx(plan.units_estimated)  # the previews were kept
    inside = inside_mask(imagery.geometry, imagery.grid)
    for each in imagery.acquisitions:
        path = scene_path(each)
        assert sha256(path) == each.sha256
        found = Scene(imagery.sensor, imagery.bands, read_layers(path)).shares(inside)
        assert (each.clear, each.cloud, each.shadow, each.nodata) == (
            found.clear, found.cloud, found.shadow, found.nodata,
        )  # fmt: skip
        assert each.clear >= 70
        assert each.cloud <= 20


def test_what_is_there_and_intact_is_not_fetched_again(api, make_run):
    first = make_run().go()
    api.forget()
    second = make_run().go()
    assert (api.scenes_served(), api.previews_served()) == ([], 0)
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
    truth = np.stack([read_layers(scene_path(each))[5] for each in imagery.acquisitions])
    assert set(np.unique(truth)) <= {0, 1, 2, 3, 4}
    assert len(np.unique(truth)) >= 4
    api.forget()
    assert "REFERENCE" not in make_run(label_source="reference", reference="own.tif").search().bands


def test_extra_bands_come_before_the_classes_and_once(api, make_run):
    imagery = make_run(extra_bands=["B11", "B05", "B11"], target_count=1, min_dates=1).go()
    assert imagery.bands == ["B02", "B03", "B04", "B08", "B11", "B05", "SCL"]
    assert read_layers(scene_path(imagery.acquisitions[0])).shape[0] == 7


def test_the_same_pixels_come_in_parts_of_any_size(api, make_run, monkeypatch):
    size = {"target_count": 1, "min_dates": 1, "bbox": (75.80, 30.90, 75.84, 30.93), "days_back": 30}
    expected = make_run(**size).go().acquisitions[0]
    scene = read_layers(scene_path(expected))
    scene_path(expected).unlink()
    monkeypatch.setattr(fetch, "request_grids", partial(area.request_grids, largest=150))
    api.forget()
    found = make_run(**size).go().acquisitions[0]
    assert len(api.scenes_served()) == 9
    apart = np.abs(read_layers(scene_path(found)).astype(int) - scene)
    assert apart.max() <= 1  # the simulator's coordinates round differently
    assert (apart > 0).mean() < 0.001


class TestNeverData:
    """A scene without data is the result of its task, and the next best date takes its place."""

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("truncated", "no readable GeoTIFF"),
            ("garbage", "no readable GeoTIFF"),
            ("zeros", "every pixel of the area is nodata"),
            ("wrong_size", "where 59×57 pixels, 5 bands, uint16 was requested"),
        ],
    )
    def test_the_next_best_date_takes_its_place(self, api, make_run, kind, words):
        run = make_run()
        plan = run.search()
        api.fault(kind, band="B04", dates=[plan.chosen[2].isoformat()])
        acquisitions = run.download()
        assert [each.usable for each in acquisitions] == [True, True, False, True]
        assert words in acquisitions[2].reason
        assert acquisitions[2].file is None
        assert acquisitions[2].units_spent > 0
        imagery = run.collect()
        assert len(imagery.acquisitions) == 4
        assert {each.date for each in imagery.acquisitions} == {*plan.chosen, plan.reserves[0]} - {plan.chosen[2]}
        assert [each.date for each in imagery.unusable] == [plan.chosen[2]]
        outcome = collect_outcome(run.files)
        assert outcome.metrics_as(CollectMetrics).dates_not_usable == 1
        assert any(words in finding.message for finding in outcome.findings)

    def test_a_preview_without_data_leaves_its_day_out(self, api, make_run):
        api.fault("garbage", band="SCL", times=1)
        run = make_run()
        plan = run.search()
        left_out = [each for each in plan.candidates if each.reason and "no data" in each.reason]
        assert len(left_out) == 1
        assert any("no data" in finding.message for finding in search_outcome(run.files).findings)
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
        assert any("could replace 3" in finding.message for finding in collect_outcome(run.files).findings)


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

    def test_too_many_previews_are_not_begun(self, api, make_run):
        with pytest.raises(BadInputError, match=r"max_processing_units: previewing \d+ days"):
            make_run(max_processing_units=0.03).search()
        assert api.previews_served() == 0

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
        """Date 0 has no acquisition yet: what it is about to spend counts when date 1 begins."""
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
    with pytest.raises(ContractError, match=f"must be the acquisition of {plan.chosen[2]}"):
        run.collect()


@pytest.mark.parametrize(
    ("level", "reason"),
    [(0, "every pixel of the area is nodata"), (1, "every reflectance of the area is zero"), (2, None)],
)
def test_a_scene_holds_data_where_a_reflectance_is_above_zero(level, reason):
    scene = Scene(SENTINEL2, ["B02", "SCL"], np.stack([np.full((2, 2), level), np.full((2, 2), 4)]).astype(np.uint16))
    assert no_data_reason(scene, np.ones((2, 2), bool)) == reason


def test_the_outcome_names_the_source_and_counts_the_dates(api, make_run):
    run = make_run()
    imagery = run.go()
    outcome = collect_outcome(run.files)
    assert outcome.metrics_as(CollectMetrics).dates == len(imagery.acquisitions) == 4
    assert (outcome.synthetic, outcome.stand_in) == (True, True)
    assert outcome.provenance == {"imagery source": "demo", "collection": "sentinel-2-l2a"}
