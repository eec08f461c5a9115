"""Previews: what 60 m show of the area."""

import pytest

from include.satellite.imagery.client import Hub
from include.satellite.imagery.fetch import Meter
from include.satellite.imagery.preview import preview_days
from include.satellite.imagery.store import ImageryStore
from include.satellite.sensors.sentinel2 import SENTINEL2


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
