"""The charts of an energy report: their values are those of the accepted records."""

import duckdb
import pytest

from include.core.charts import BarChart, LineChart
from include.energy import charts as module
from include.energy.analyzer import analyze
from include.energy.charts import charts
from include.energy.params import AnalyzerParams, ReportParams
from include.energy.report import write_report
from tests.accepted import accepted
from tests.energy.analysis import DAY, MONDAY, analyzed, series, varied

WEEK = {"start": MONDAY, "end": MONDAY.replace(day=12)}


def named(files) -> dict[str, LineChart | BarChart]:
    return {chart.name: chart for chart in charts(accepted(files)).charts}


def test_each_meter_and_the_total_have_a_panel_with_every_reading(files):
    powers = [1.0, 2.0, None, 4.0, *[3.0] * 20]
    analyzed(files, [*series(powers, home="A"), *series([0.5] * 24, home="B")], **DAY)
    power = named(files)["power"]
    assert [panel.label for panel in power.panels] == ["All households together", "A", "B"]
    assert [list(panel.lines[0].values) for panel in power.panels] == [
        [1.5, 2.5, 0.5, 4.5, *[3.5] * 20],
        powers,
        [0.5] * 24,
    ]
    assert (power.unit, power.panels[1].start, power.panels[1].step) == ("kW", MONDAY.timestamp(), 1800)
    assert power.panels[1].note == "each reading, 30 minutes"


def test_the_total_reaches_the_peak_of_the_analysis(files):
    document = analyzed(files, [*series(varied(48)), *series(varied(48)[::-1], home="B")], **DAY).document
    assert max(named(files)["power"].panels[0].lines[0].values) == pytest.approx(document.peak_kw)


def test_anomalies_are_marked_on_their_meter(files):
    analyzed(files, series([*varied(46), 9.5, 0.3]), **DAY)
    assert named(files)["power"].panels[0].marks == ((46, 9.5),)


def test_suspect_readings_are_left_out_and_a_note_says_so(files):
    analyzed(files, series([*varied(40), 99.0, *varied(7)]), limit_kw=50.0, **DAY)
    power = named(files)["power"]
    assert power.panels[0].lines[0].values[39:42] == [varied(40)[39], None, varied(7)[0]]
    assert power.note == "Suspect readings are left out; a table lists them."


def test_estimates_are_a_line_of_their_own_and_a_part_of_the_bars(files):
    powers = [*varied(20), None, None, *varied(100)]
    document = analyzed(files, [*series(powers), *series(varied(122), home="B")], estimate=True).document
    made = named(files)
    total, home, other = sorted(made["power"].panels, key=lambda panel: ("AB".find(panel.label), panel.label))
    assert [line.estimated for line in home.lines] == [False, True]
    assert home.lines[0].values[19:23] == [varied(20)[19], None, None, 0.3]
    assert home.lines[1].values[19:23] == [None, *(pytest.approx(kw, abs=1e-3) for kw in (0.3333, 0.3167)), None]
    assert total.lines[1].values[20] == pytest.approx(home.lines[1].values[20] + varied(122)[20])
    assert len(other.lines) == 1
    estimated = document.energy_kwh - document.energy_without_estimates_kwh
    assert sum(made["energy"].estimated) == pytest.approx(estimated, rel=1e-2)
    assert sum(made["energy"].values) == pytest.approx(document.energy_kwh, rel=1e-3)


def test_without_estimates_there_is_one_line_and_nothing_hatched(files):
    analyzed(files, [*series(varied(122)), *series(varied(122), home="B")])
    made = named(files)
    assert {len(panel.lines) for panel in made["power"].panels} == {1}
    assert made["energy"].estimated == ()


def test_long_data_keep_mean_and_extremes_of_each_period(files, monkeypatch):
    monkeypatch.setattr(module, "MOST_VALUES", 600)
    powers = varied(7 * 48)
    powers[100] = 8.0
    analyzed(files, series(powers), **WEEK)
    (panel,) = named(files)["power"].panels
    (line,) = panel.lines
    assert panel.step > 1800
    assert len(line.values) * 3 <= 600
    assert (max(line.high), min(line.low)) == (8.0, 0.3)
    per_point = int(panel.step // 1800)
    assert line.values[1] == pytest.approx(sum(powers[per_point : 2 * per_point]) / per_point)
    assert panel.note.startswith("mean, lowest and highest reading of")


def test_many_households_are_a_total_a_range_and_those_that_need_attention(files, monkeypatch):
    monkeypatch.setattr(module, "MOST_HOUSEHOLDS", 5)
    monkeypatch.setattr(module, "HOUSEHOLDS_OF_MANY", 2)
    lines = [line for number in range(9) for line in series([number + 0.5] * 3, home=f"H{number}")]
    analyzed(files, [*lines, *series([1.0], home="poor")], **DAY)
    power = named(files)["power"]
    assert [panel.label for panel in power.panels][:3] == ["All households together", "Range of the households", "poor"]
    assert len(power.panels) == 4
    (median,) = power.panels[1].lines
    assert (median.values[1], median.low[1], median.high[1]) == (4.5, 1.3, 7.7)


def test_energy_by_day_adds_up_to_the_total_and_follows_local_days(files):
    document = analyzed(files, series(varied(96)), timezone="+10:00", start=MONDAY, end=MONDAY.replace(day=7)).document
    energy = named(files)["energy"]
    assert energy.labels == ("2026-01-05", "2026-01-06", "2026-01-07")
    assert sum(energy.values) == pytest.approx(document.energy_kwh)
    assert energy.title == "Energy by day"


def test_a_day_without_readings_keeps_its_place(files):
    analyzed(files, series([*[1.0] * 48, *[None] * 48, *[1.0] * 48]), start=MONDAY, end=MONDAY.replace(day=8))
    assert named(files)["energy"].values == (24.0, 0.0, 24.0)


def test_long_data_are_added_up_by_month(files):
    analyzed(files, series(varied(4 * 24 * 100), minutes=60)[: 24 * 100], start=MONDAY, end=MONDAY.replace(month=5))
    energy = named(files)["energy"]
    assert energy.title == "Energy by month"
    assert energy.labels == ("2026-01", "2026-02", "2026-03", "2026-04")


def test_the_mean_day_tells_weekdays_from_weekends(files):
    week = [1.0] * (5 * 24) + [3.0] * (2 * 24)
    analyzed(files, series([power + 0.01 * (n % 5) for n, power in enumerate(week)], minutes=60), **WEEK)
    weekday, weekend = named(files)["day"].panels[0].lines
    assert len(weekday.values) == 24
    assert max(weekday.values) < 1.1 < 3 <= min(weekend.values)


def test_a_mean_day_needs_both_and_readings_of_an_hour_or_less(files):
    analyzed(files, series(varied(48)), **DAY)
    assert "day" not in named(files)
    assert "energy" not in named(files), "one day is one bar"


def test_the_load_duration_curve_falls_from_the_peak_to_the_least(files, quick_plots):
    powers = [round(0.1 + 0.01 * (number % 100), 2) for number in range(7 * 48)]
    analyzed(files, series(powers), **WEEK)
    assert "duration" not in named(files), "without a report there is none"
    write_report(files, ReportParams())
    curve = named(files)["duration"]
    values = list(curve.panels[0].lines[0].values)
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (max(powers), min(powers))
    assert curve.note == "Time with readings: 168 h. Base load, exceeded 97.5 % of the time: 0.12 kW."


def test_charts_replace_the_plots_that_show_less(files):
    analyzed(files, series(varied(48)), **DAY)
    assert charts(accepted(files)).replaces == ("plot_load_curve.png", "plot_anomalies.png")


def test_records_that_changed_or_are_of_another_version_give_no_charts(files):
    analyzed(files, series(varied(48)), **DAY)
    held = accepted(files)
    duckdb.execute(f"COPY (SELECT 1 AS other) TO '{files}/energy_records.parquet' (FORMAT parquet)")
    assert charts(held).charts == ()
    assert charts(accepted(files)).charts == ()


def test_hours_and_quarters_of_a_meter_are_shown_by_the_hour(files, convert):
    hours = [f"2026-01-05T{hour:02}:00:00Z,A,0.{hour + 1:02}" for hour in range(24)]
    quarters = [f"2026-01-06T{n // 4:02}:{n % 4 * 15:02}:00Z,A,0.{n % 4 + 1}" for n in range(96)]
    convert("\n".join(["time,meter,kwh", *hours, *quarters]))
    analyze(files, AnalyzerParams())
    found = named(files)
    (panel,) = found["power"].panels
    (line,) = panel.lines
    assert (panel.step, len(line.values)) == (3600, 48)
    assert (line.values[0], line.values[24]) == (0.01, 1.0)
    assert (line.low[24], line.high[24]) == (0.4, 1.6)
    assert found["energy"].values == (3.0, 24.0)


def test_local_days_of_23_hours_give_no_charts(files, convert):
    days = [f"{day}.03.2026;{day % 7}.5" for day in range(20, 32)]
    convert("\n".join(["Datum;Verbrauch kWh", *days]), timezone="Europe/Berlin")
    analyze(files, AnalyzerParams(timezone="Europe/Berlin"))
    assert charts(accepted(files)).charts == ()


def test_a_run_without_an_analysis_has_no_charts(files):
    assert charts(accepted(files)).charts == ()
