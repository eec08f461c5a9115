"""Charts on the page: complete without a script, and exact for it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from include.core.charts import Area, BarChart, Line, LineChart, MapChart, Panel
from include.core.windows import parse_zone
from include.reporting.charts import COLUMNS, charts_of, shown_chart
from include.reporting.report import build_report
from tests.reporting.runs import NOW, good_run

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def chart(values, *, axis="time", step=3600.0, **line) -> LineChart:
    panel = Panel("A", START, step, (Line("power", values, **line),), note="each reading")
    return LineChart("power", "Power", "kW", axis, (panel,))


def test_a_line_is_interrupted_by_a_gap():
    drawing = shown_chart(chart([1.0, 2.0, None, 2.0, 1.0]), UTC).drawing
    ((_, path),) = drawing.lines
    assert path.count("M") == 2
    assert drawing.bands == ()


def test_the_range_of_long_data_holds_its_extremes():
    values = [1.0] * 10_000
    values[4321], values[8765] = 9.0, -3.0
    shown = shown_chart(chart(values), UTC)
    ((_, band),) = shown.drawing.bands
    places = [float(point.split()[1].rstrip("Z")) for point in band[1:].split("L")]
    scale = [tick.place for tick in shown.drawing.y_ticks]
    texts = [tick.text for tick in shown.drawing.y_ticks]
    nine = scale[texts.index("0")] + (scale[texts.index("10")] - scale[texts.index("0")]) * 0.9
    assert min(places) == pytest.approx(nine, abs=0.1)
    assert shown.summary == "from -3 to 9 kW"
    assert len(places) == 2 * COLUMNS


@pytest.mark.parametrize(
    ("count", "step", "first"),
    [(24, 3600, "01:00"), (240, 3600, "Jan 02"), (365, 86400, "2026-03"), (3650, 86400, "2028")],
    ids=["a day", "ten days", "a year", "ten years"],
)
def test_times_are_those_of_local_clocks(count, step, first):
    drawing = shown_chart(chart([1.0] * count, step=step), ZoneInfo("Europe/Berlin")).drawing
    texts = [tick.text for tick in drawing.x_ticks]
    assert texts[0] in (first, "03:00")
    assert 2 <= len(texts) <= 14
    assert [tick.place for tick in drawing.x_ticks] == sorted(tick.place for tick in drawing.x_ticks)


def test_ticks_of_numbers_are_round():
    panel = Panel("A", 0, 0.5, (Line("power", [1.0] * 201),))
    drawing = shown_chart(LineChart("a", "A", "kW", "Share (%)", (panel,)), UTC).drawing
    assert [tick.text for tick in drawing.x_ticks] == ["0", "20", "40", "60", "80", "100"]


def test_a_local_day_of_23_hours_has_its_ticks_on_the_clock():
    start = datetime(2026, 3, 28, 23, tzinfo=UTC).timestamp()  # midnight in Berlin, before the clocks go forward
    panel = Panel("A", start, 3600, (Line("power", [1.0] * 24),))
    drawing = shown_chart(LineChart("power", "Power", "kW", "time", (panel,)), ZoneInfo("Europe/Berlin")).drawing
    texts = [tick.text for tick in drawing.x_ticks]
    assert texts == ["00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00", "00:00"]
    places = [tick.place for tick in drawing.x_ticks]
    assert places[1] - places[0] == pytest.approx((places[2] - places[1]) * 2 / 3)


def test_the_script_gets_every_value_and_the_zone():
    shown = shown_chart(
        chart([1.25, None, 3.5], low=[1.0, None, 3.0], high=[2.0, None, 4.0]), ZoneInfo("Europe/Berlin")
    )
    document = json.loads(shown.values)
    assert document["panels"] == [
        {
            "label": "A",
            "note": "each reading",
            "start": START,
            "step": 3600.0,
            "marks": [],
            "lines": [
                {"label": "power", "values": [1.25, None, 3.5], "low": [1.0, None, 3.0], "high": [2.0, None, 4.0]}
            ],
        }
    ]
    assert (document["zone"], document["shift"]) == ("Europe/Berlin", 0)


def test_a_fixed_offset_is_a_shift():
    document = json.loads(shown_chart(chart([1.0, 2.0]), parse_zone("+10:30")).values)
    assert (document["zone"], document["shift"]) == ("UTC", 37800)


def test_a_label_never_ends_the_script():
    panel = Panel("</script><b>&amp;", START, 1, (Line("x", [1.0]),))
    shown = shown_chart(LineChart("a", "A", "kW", "time", (panel,)), UTC)
    assert "<" not in shown.values
    assert json.loads(shown.values)["panels"][0]["label"] == "</script><b>&amp;"


def test_bars_stand_on_zero_and_say_their_value():
    bars = BarChart("energy", "Energy", "kWh", ("2026-01", "2026-02"), (10.0, -5.0), "Month")
    shown = shown_chart(bars, UTC)
    (_, y, _, height, text), (_, below, _, depth, _) = shown.drawing.bars
    assert text == "2026-01: 10 kWh"
    assert y + height == pytest.approx(below)
    assert height == pytest.approx(2 * depth)
    assert shown.values is None


def test_constant_and_single_values_are_drawn():
    for values in ([0.0], [0.0, 0.0], [5.0] * 3, [-2.0, -2.0]):
        drawing = shown_chart(chart(values), UTC).drawing
        assert len(drawing.y_ticks) >= 2
        assert drawing.lines[0][1]


def test_a_run_of_foreign_steps_has_no_charts(tmp_path: Path):
    folder = good_run(tmp_path)
    assert charts_of(build_report(folder, now=NOW), folder.files).charts == ()


def test_marks_are_drawn_and_the_axis_holds_them():
    panel = Panel("A", START, 86400, (Line("smoothed", [0.2, 0.3, 0.4]),), marks=((2, 0.9),))
    drawing = shown_chart(LineChart("a", "A", "NDVI", "time", (panel,)), UTC).drawing
    assert drawing.marks.count("M") == 1
    assert float(drawing.marks.split()[1].removesuffix("h0")) >= min(tick.place for tick in drawing.y_ticks)


def test_a_map_is_summarised_by_its_states():
    area = Area("A", "good", [[[0, 0], [1, 0], [1, 1], [0, 0]]])
    shown = shown_chart(MapChart("map", "Map", {"bad": "alert", "good": "plain"}, [area]), UTC)
    assert (shown.summary, shown.values) == ("1 areas, of which 1 good", None)
