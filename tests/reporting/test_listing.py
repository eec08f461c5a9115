"""Which runs a page lists: filter, sort, paging, states, trends."""

from datetime import UTC, date, datetime, timedelta

import pytest

from include.reporting.archive import RunEntry
from include.reporting.listing import PAGE_SIZE, Query, Row, list_runs, state_of
from include.reporting.trend import HEIGHT, LATEST, WIDTH, duration_trend, figure_trends

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(number=0, **fields):
    given = {
        "dag_id": "energy_pipeline",
        "folder": f"manual__{number}",
        "run_id": f"manual__{number}",
        "pipeline": "energy-pipeline",
        "outcome": "success",
        "started_at": DAY + timedelta(days=number),
        "seconds": 10.0 + number,
    }
    return RunEntry(**given | fields)


def listed(entries, active=(), **query):
    return [row.entry.folder for row in list_runs(entries, active, Query(**query)).rows]


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
        ({"descending": False}, [0, 1, 2, 3]),
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
        ({"sort": "duration", "descending": False}, [3, 0, 2, 1]),
        ({"sort": "status", "descending": False}, [2, 3, 1, 0]),
        ({"sort": "pipeline", "descending": False}, [3, 2, 0, 1]),
        ({"sort": "run", "descending": False}, [0, 1, 2, 3]),
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


def test_airflows_run_id_is_matched_by_the_folder_that_it_makes():
    run_id = "manual__2026-03-01T00:00:00+00:00"
    run = entry(run_id=run_id, folder="manual__2026-03-01T00-00-00+00-00", outcome=None)
    shown = list_runs([run], [("energy_pipeline", run_id)], Query())
    assert shown.rows[0].state == "running"
    assert list_runs([run], [("satellite_pipeline", run_id)], Query()).rows[0].state == "lost"


def test_states_are_counted_before_the_filter_by_state():
    shown = list_runs(RUNS, [], Query(status="failed"))
    assert (shown.states["success"], shown.states["failed"], shown.states["lost"]) == (2, 1, 1)
    assert len(shown.found) == 1


def test_pages_hold_all_runs_once():
    runs = [entry(number) for number in range(2 * PAGE_SIZE + 1)]
    pages = [listed(runs, page=number) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    assert {folder for page in pages for folder in page} == {run.folder for run in runs}
    assert list_runs(runs, [], Query(page=99)).page == 3
    assert list_runs([], [], Query(page=99)).pages == 1


# trends


def rows(*seconds, **fields):
    return [Row(entry(number, seconds=each, **fields), "success") for number, each in enumerate(seconds)]


def test_a_trend_runs_from_the_oldest_to_the_latest_and_larger_is_higher():
    trend = duration_trend(list(reversed(rows(10.0, 30.0, 20.0))), "Duration")
    assert [point.x for point in trend.points] == sorted(point.x for point in trend.points)
    heights = [point.y for point in trend.points]
    assert heights[1] < heights[2] < heights[0]
    assert (trend.low, trend.high, trend.latest) == ("10.0 s", "30.0 s", "20.0 s")
    assert all(0 <= point.x <= WIDTH and 0 <= point.y <= HEIGHT for point in trend.points)


def test_equal_values_are_a_level_line():
    assert len({point.y for point in duration_trend(rows(5.0, 5.0, 5.0), "Duration").points}) == 1


@pytest.mark.parametrize("seconds", [(), (5.0,), (5.0, None), (5.0, float("nan"))])
def test_fewer_than_two_values_are_no_trend(seconds):
    assert duration_trend(rows(*seconds), "Duration") is None


def test_only_the_latest_runs_are_drawn():
    assert len(duration_trend(rows(*map(float, range(LATEST + 30))), "Duration").points) == LATEST


def test_a_figure_that_only_some_runs_tell_has_a_trend_of_those():
    told = [
        Row(entry(number, figures={"cnn_accuracy": 0.8 + number / 100} if number else {}), "success")
        for number in range(4)
    ]
    (trend,) = figure_trends(told)
    assert trend.title == "CNN accuracy"
    assert len(trend.points) == 3
