"""The history against the stand-in: one preview a day, kept in the store, and previewed only once."""

import pytest

from include.core.errors import BadInputError
from include.satellite.artifacts import HISTORY
from include.satellite.imagery.fetch import estimate
from include.satellite.imagery.history import history_scope, stored_history

AREA = {"bbox": (75.80, 30.90, 75.83, 30.93), "days_back": 30}


def test_previews_of_the_history_hold_ndvi_and_judge_the_window_too(api, make_run):
    run = make_run(**AREA, history_days=120)
    plan, plain = run.search(), make_run(**AREA).search()
    history = HISTORY.read(run.files)
    assert history.bands == ["B02", "B04", "B08", "SCL"]
    assert history.grid.resolution == 60
    days = [day.date for day in (*history.acquisitions, *history.unusable)]
    assert (max(days) - min(days)).days > 100
    assert len(set(days)) == len(days)
    assert [(day.date, day.clear, day.cloud) for day in plan.candidates] == [
        (day.date, day.clear, day.cloud) for day in plain.candidates
    ]
    assert all(preview.clear >= 70 for preview in history.acquisitions)
    assert plan.units_spent == pytest.approx(len(days) * estimate([history.grid], 4))


def test_a_preview_of_the_history_is_fetched_once(api, make_run):
    run = make_run(**AREA, history_days=60)
    first = run.search()
    spent, served = first.units_spent, len(api.served)
    api.forget()
    again = make_run(**AREA, history_days=60)
    plan = again.search()
    assert (spent > 0, plan.units_spent) == (True, 0)
    assert len([answer for answer in api.served if answer.get("bands")]) == 0 < served
    assert [day.file for day in HISTORY.read(again.files).acquisitions] == [
        day.file for day in HISTORY.read(run.files).acquisitions
    ]


def test_a_history_that_would_cross_the_limit_is_refused_before_anything_is_fetched(api, make_run):
    with pytest.raises(BadInputError, match=r"previewing \d+ days \(history_days 300\) would take"):
        make_run(**AREA, history_days=300, max_processing_units=0.05).search()
    assert not [answer for answer in api.served if answer.get("bands")]


def test_the_stored_history_needs_no_network(api, make_run):
    run = make_run(**AREA, history_days=60)
    plan = run.search()
    kept = HISTORY.read(run.files)
    scope = history_scope(plan, kept.grid, 60)
    assert scope.start == kept.start < plan.start
    api.forget()
    history = stored_history(scope, run.params)
    assert [day.file for day in history.acquisitions] == [day.file for day in kept.acquisitions]
    assert api.served == []


def test_without_history_nothing_is_listed(api, make_run):
    run = make_run(**AREA)
    run.search()
    assert HISTORY.find(run.files) is None
