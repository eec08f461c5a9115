"""Lists of runs: filter, sort, paging, states, trends."""

from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from include.reporting.archive import RunEntry
from include.reporting.listing import (
    HEIGHT,
    PAGE_SIZE,
    TREND_RUNS,
    WIDTH,
    Row,
    RunQuery,
    list_runs,
    metric_trends,
    state_of,
    trends,
)

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(number=0, **fields):
    defaults = {
        "dag_id": "energy_pipeline",
        "folder": f"manual__{number}",
        "run_id": f"manual__{number}",
        "pipeline": "energy-pipeline",
        "outcome": "success",
        "started_at": DAY + timedelta(days=number),
        "seconds": 10.0 + number,
    }
    return RunEntry(**defaults | fields)


def listed(entries, active=(), **query):
    return [row.entry.folder for row in list_runs(entries, active, RunQuery(**query)).rows]


RUNS = [
    entry(0),
    entry(1, dag_id="satellite_pipeline", pipeline="satellite", seconds=300.0),
    entry(2, outcome="failed", failure="late.csv: no such file"),
    entry(3, outcome=None, seconds=None),
]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [3, 2, 1, 0]),
        ({"order": "up"}, [0, 1, 2, 3]),
        ({"pipeline": "satellite_pipeline"}, [1]),
        ({"status": "failed"}, [2]),
        ({"status": "lost"}, [3]),
        ({"status": "running"}, []),
        ({"text": "LATE.csv"}, [2]),
        ({"text": " manual__1 "}, [1]),
        ({"since": date(2026, 3, 3)}, [3, 2]),
        ({"until": date(2026, 3, 2)}, [1, 0]),
        ({"since": date(2026, 3, 2), "until": date(2026, 3, 2)}, [1]),
        ({"sort": "duration"}, [1, 2, 0, 3]),
        ({"sort": "duration", "order": "up"}, [3, 0, 2, 1]),
        ({"sort": "status", "order": "up"}, [2, 3, 1, 0]),
        ({"sort": "pipeline", "order": "up"}, [3, 2, 0, 1]),
        ({"sort": "run", "order": "up"}, [0, 1, 2, 3]),
    ],
)
def test_filter_and_sort(query, numbers):
    assert listed(RUNS, **query) == [f"manual__{number}" for number in numbers]


@pytest.mark.parametrize(
    ("outcome", "active", "state"),
    [
        ("success", False, "success"),
        ("success", True, "running"),
        ("failed", True, "running"),
        (None, True, "running"),
        (None, False, "lost"),
        ("running", False, "lost"),
        ("pending", False, "lost"),
        ("damaged", False, "damaged"),
    ],
)
def test_the_state_is_the_reports_unless_airflow_is_running_it(outcome, active, state):
    running = {("energy_pipeline", "manual__0")} if active else set()
    assert state_of(entry(outcome=outcome), running) == state


def test_states_are_counted_before_the_filter_by_state():
    listing = list_runs(RUNS, [], RunQuery(status="failed"))
    assert (listing.states["success"], listing.states["failed"], listing.states["lost"]) == (2, 1, 1)
    assert len(listing.matches) == 1


def test_pages_hold_all_runs_once():
    runs = [entry(number) for number in range(2 * PAGE_SIZE + 1)]
    pages = [listed(runs, page=number) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    assert {folder for page in pages for folder in page} == {run.folder for run in runs}
    assert list_runs(runs, [], RunQuery(page=99)).page == 3
    assert list_runs([], [], RunQuery(page=99)).pages == 1


@pytest.mark.parametrize("name", ["pipeline", "status", "since", "until"])
def test_an_empty_field_of_the_form_filters_nothing(name):
    assert RunQuery.model_validate({name: ""}) == RunQuery()


@pytest.mark.parametrize("fields", [{"page": 0}, {"status": "great"}, {"since": "yesterday"}, {"sort": "size"}])
def test_an_impossible_query_is_refused(fields):
    with pytest.raises(ValidationError):
        RunQuery.model_validate(fields)


def test_a_link_keeps_the_filter_and_begins_on_the_first_page():
    query = RunQuery(pipeline="energy_pipeline", since=date(2026, 3, 2), page=3)
    assert query.link() == "?pipeline=energy_pipeline&since=2026-03-02"
    assert query.link(page=4, pipeline=None) == "?since=2026-03-02&page=4"
    assert query.link(sort="run", order="up") == "?pipeline=energy_pipeline&since=2026-03-02&sort=run&order=up"


# trends


def rows(*seconds, **fields):
    return [Row(entry(number, seconds=duration, **fields), "success") for number, duration in enumerate(seconds)]


def test_a_trend_runs_from_the_oldest_to_the_latest_and_larger_is_higher():
    (trend,) = trends(list(reversed(rows(10.0, 30.0, 20.0))))
    assert trend.title == "energy_pipeline: duration"
    assert [point.x for point in trend.points] == sorted(point.x for point in trend.points)
    heights = [point.y for point in trend.points]
    assert heights[1] < heights[2] < heights[0]
    assert (trend.low, trend.high, trend.latest) == ("10.0 s", "30.0 s", "20.0 s")
    assert all(0 <= point.x <= WIDTH and 0 <= point.y <= HEIGHT for point in trend.points)


def test_equal_values_are_a_level_line():
    assert len({point.y for point in trends(rows(5.0, 5.0, 5.0))[0].points}) == 1


@pytest.mark.parametrize("seconds", [(), (5.0,), (5.0, None), (5.0, float("nan"))])
def test_fewer_than_two_values_are_no_trend(seconds):
    assert trends(rows(*seconds)) == []


def test_only_the_latest_runs_are_drawn():
    assert len(trends(rows(*map(float, range(TREND_RUNS + 30))))[0].points) == TREND_RUNS


def test_a_metric_that_only_some_runs_report_has_a_trend_of_those():
    rows = [
        Row(entry(number, metrics={"cnn_accuracy": 0.8 + number / 100} if number else {}), "success")
        for number in range(4)
    ]
    (trend,) = metric_trends(rows)
    assert trend.title == "CNN accuracy"
    assert len(trend.points) == 3


def test_the_metrics_are_drawn_of_a_single_pipeline_alone():
    own = rows(10.0, 20.0, metrics={"cnn_accuracy": 0.8})
    other = rows(5.0, 6.0, dag_id="satellite_pipeline", metrics={"cnn_accuracy": 0.9})
    assert [trend.title for trend in trends(own)] == ["energy_pipeline: duration", "CNN accuracy"]
    assert [trend.title for trend in trends(own + other)] == [
        "energy_pipeline: duration",
        "satellite_pipeline: duration",
    ]


def test_a_trend_compares_runs_with_the_parameters_of_the_latest_and_states_the_others():
    own = [
        Row(entry(number, settings="a" if number != 1 else "b", seconds=10.0 + number), "success")
        for number in range(4)
    ]
    (trend,) = trends(own)
    assert (len(trend.points), trend.others) == (3, 1)
    assert trend.high == "13.0 s"


def test_a_trend_goes_by_the_data_and_counts_the_time_at_work():
    backfilled = [
        Row(entry(number, interval_start=DAY - timedelta(days=number), active_seconds=float(number)), "success")
        for number in (1, 2)
    ]
    (trend,) = trends(backfilled)
    assert [point.text.partition(",")[0] for point in trend.points] == [
        "2026-02-27 12:00: 2.0 s",
        "2026-02-28 12:00: 1.0 s",
    ]
    assert (trend.first_day, trend.last_day) == (DAY - timedelta(days=2), DAY - timedelta(days=1))


def test_days_and_order_are_those_of_the_data():
    runs = [entry(5, interval_start=DAY), entry(1, interval_start=DAY + timedelta(days=9)), entry(3)]
    assert listed(runs, since=DAY.date(), until=DAY.date()) == ["manual__5"]
    assert listed(runs, sort="interval") == ["manual__1", "manual__3", "manual__5"]
