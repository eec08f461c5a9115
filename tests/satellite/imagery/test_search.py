"""Search against the stand-in: which days are listed, what their previews show at 60 m, and which are chosen."""

from datetime import UTC, date, datetime, timedelta

import pytest

from include.core.errors import BadInputError
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.client import Hub
from include.satellite.imagery.fetch import Meter
from include.satellite.imagery.search import (
    SearchMetrics,
    download_order,
    preview_days,
    search_history,
    search_outcome,
)
from include.satellite.imagery.store import ImageryStore
from include.satellite.sensors.sentinel2 import SENTINEL2


def test_overlapping_tiles_of_a_day_are_one_acquisition(api, make_run):
    plan = make_run(bbox=(75.8, 30.9, 75.9, 31.0), resolution=60, days_back=60).search()
    tiles = [len(each.product_ids) for each in plan.candidates]
    assert max(tiles) > 1
    assert plan.found == sum(tiles)


def test_a_longer_window_previews_only_what_is_new(api, make_run):
    make_run(days_back=40).search()
    previewed = api.previews_served()
    api.forget()
    plan = make_run(days_back=80).search()
    assert api.previews_served() == len(plan.candidates) - previewed > 0


@pytest.mark.parametrize("source", ["sentinelhub", "cdse"])
def test_true_stress_is_not_asked_of_the_real_service(make_run, source):
    with pytest.raises(BadInputError, match="label_source: reference needs a class raster"):
        make_run(label_source="reference", source=source).search()


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


class TestNothingFound:
    """An empty search names the filter that left nothing."""

    def test_no_product_of_the_area_and_window(self, api, make_run):
        run = make_run(end=datetime(2025, 1, 2, tzinfo=UTC), days_back=1)
        with pytest.raises(BadInputError, match=r"no imagery: the catalog of demo lists no product .* 2025-01-01 and"):
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


def test_dates_are_those_of_utc(api, make_run):
    plan = make_run(end=datetime.fromisoformat("2025-07-01T00:00:00+05:30")).search()
    assert all(each.date == each.datetime.astimezone(UTC).date() for each in plan.candidates)
    assert plan.candidates[-1].date <= date(2025, 6, 30)


def test_the_outcome_lists_the_chosen_dates(api, make_run):
    run = make_run()
    plan = run.search()
    outcome = search_outcome(run.files)
    metrics = outcome.metrics_as(SearchMetrics)
    assert (metrics.dates_chosen, metrics.dates_judged) == (len(plan.chosen), len(plan.candidates))
    [table] = outcome.tables
    assert [row[0] for row in table.rows] == [day.isoformat() for day in plan.chosen]
    assert outcome.stand_in


def test_the_request_of_a_scene_holds_its_bands(api, make_run):
    plan = make_run(extra_bands=["B11"]).search()
    order = download_order(plan)
    assert order.bands == ("B02", "B03", "B04", "B08", "B11", "SCL")
    assert (order.dtype, order.grid) == ("uint16", plan.grid)


def test_a_preview_judges_the_area_as_the_scene_shows_it(api, make_run):
    run = make_run(days_back=40, target_count=3, min_clear=0, max_cloud_cover=100, bbox=(75.80, 30.90, 75.83, 30.93))
    plan = run.search()
    seen = {each.date: each for each in plan.candidates}
    for each in run.go().acquisitions:
        assert each.clear == pytest.approx(seen[each.date].clear, abs=4)
        assert each.cloud == pytest.approx(seen[each.date].cloud, abs=4)


def test_a_preview_that_the_store_holds_is_not_fetched_again(api, make_run):
    run = make_run()
    plan = run.search()
    assert api.previews_served() == len(plan.candidates)
    api.forget()
    assert run.search().candidates == plan.candidates
    assert api.previews_served() == 0


def test_no_day_needs_no_request(api, make_run):
    run = make_run()
    store = ImageryStore(run.search())
    api.forget()
    assert preview_days([], Hub("demo", SENTINEL2), Meter(1), store, run.params) == []
    assert api.previews_served() == 0


def test_a_history_alone_fetches_previews_once_and_is_listed_again_from_the_store(api, make_run):
    run = make_run(bbox=(75.80, 30.90, 75.83, 30.93), days_back=60)
    history = search_history(run.params)
    assert history.grid.resolution == 60
    assert (history.start, history.end) == run.params.window
    assert len(history.acquisitions) > 3
    assert history.units_spent > 0
    again = search_history(run.params)
    assert again.units_spent == 0
    assert [day.file for day in again.acquisitions] == [day.file for day in history.acquisitions]
    api.forget()
    stored = search_history(run.params.model_copy(update={"skip_download": True}))
    assert [day.file for day in stored.acquisitions] == [day.file for day in history.acquisitions]
    assert api.served == []


def test_a_history_of_nothing_says_what_removed_it(api, make_run):
    params = make_run(bbox=(75.80, 30.90, 75.83, 30.93), days_back=60).params
    with pytest.raises(BadInputError, match=r"max_cloud_cover|min_clear"):
        search_history(params.model_copy(update={"min_clear": 101}))
    elsewhere = make_run(bbox=(75.70, 30.80, 75.73, 30.83), days_back=60).params
    with pytest.raises(BadInputError, match="the imagery store holds no usable preview"):
        search_history(elsewhere.model_copy(update={"skip_download": True}))
