"""Totals, peaks, base load and load duration, compared with what pandas computes minute by minute."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pytest

from include.core.windows import parse_zone
from include.energy.analyzer import analyze
from include.energy.db import connect
from include.energy.figures import TOTALS_SQL, local_offsets, usage
from include.energy.params import AnalyzerParams
from include.energy.schemas import ANALYSIS, RECORDS, SOURCE
from tests.energy.analysis import HEADER, analyzed

BERLIN = "Europe/Berlin"


def readings(home, first, minutes, powers, zone=BERLIN):
    """Records from a local time on, one an interval; None leaves an interval out."""
    start = datetime.fromisoformat(first).replace(tzinfo=parse_zone(zone)).astimezone(UTC)
    times = [start + timedelta(minutes=minutes * number) for number in range(len(powers))]
    return [
        f"{time:%Y-%m-%dT%H:%M:%SZ},{home},{power},230,{power * 1000 / 230:.3f}"
        for time, power in zip(times, powers, strict=True)
        if power is not None
    ]


def figures(files, lines=None, zone=BERLIN, peak_minutes=15):
    """The figures of some records, and the rows of `energy_totals.parquet`."""
    if lines is not None:
        analyzed(files, lines, timezone=zone, allow_export=True)
    analysis = ANALYSIS.read(files)
    with connect(files) as db:
        found = usage(db, files, analysis, SOURCE.find(files), peak_minutes)
        return found, db.execute(TOTALS_SQL).fetchall()


def by_minute(files, zone, minutes_of=None):
    """The accepted records as one row a minute: household, local time, kWh."""
    analysis = ANALYSIS.read(files)
    seconds = {home.household_id: home.interval_seconds for home in analysis.households}
    frames = []
    for home, time, power in duckdb.execute(
        f"SELECT household_id, epoch(timestamp)::BIGINT, power FROM '{RECORDS.at(files)}'"
    ).fetchall():
        minutes = minutes_of(time) if minutes_of else seconds[home] // 60
        frames.append(
            pd.DataFrame(
                {"home": home, "kwh": power / 60, "utc": pd.to_datetime(time + 60 * pd.RangeIndex(minutes), unit="s")}
            )
        )
    table = pd.concat(frames)
    table["local"] = table["utc"].dt.tz_localize("UTC").dt.tz_convert(parse_zone(zone))
    return table


def expected_totals(files, zone, minutes_of=None):
    """(household or None, period, start) → energy and coverage."""
    table, totals = by_minute(files, zone, minutes_of), {}
    homes = table["home"].nunique()
    for period, alias in (("day", "D"), ("month", "M"), ("year", "Y")):
        start = table["local"].dt.tz_localize(None).dt.to_period(alias)
        for groups, number in ((table.assign(start=start, home=None), homes), (table.assign(start=start), 1)):
            for (home, bucket), own in groups.groupby(["home", "start"], dropna=False):
                begin, end = (
                    edge.tz_localize(parse_zone(zone), nonexistent="shift_forward")
                    for edge in (bucket.start_time, (bucket + 1).start_time)
                )
                share = len(own) / ((end - begin).total_seconds() / 60) / number
                key = (home if isinstance(home, str) else None, period, bucket.start_time.date())
                totals[key] = (own["kwh"].sum(), share)
    return totals


def assert_totals(rows, expected):
    assert {tuple(row[:3]) for row in rows} == set(expected)
    for *key, energy, coverage in (row[:5] for row in rows):
        kwh, share = expected[tuple(key)]
        assert energy == pytest.approx(kwh, abs=0.00051)
        assert coverage == pytest.approx(share, abs=1e-4)
        assert (coverage == 1) == (share > 1 - 1e-9), "what is not complete is never called so"


def varied(count):
    return [round(0.2 + (number * 37 % 101) / 50, 3) for number in range(count)]


def test_days_on_which_clocks_change_have_23_and_25_hours(files):
    lines = readings("A", "2026-03-28T00:00", 15, varied(3 * 96 - 4))
    lines += readings("B", "2026-10-24T00:00", 15, varied(3 * 96 + 4))
    found, rows = figures(files, lines)
    assert_totals(rows, expected_totals(files, BERLIN))
    days = {row[2]: row[4] for row in rows if row[:2] in (("A", "day"), ("B", "day"))}
    assert set(days.values()) == {1.0}
    assert [total.start for total in found.months] == [date(2026, 3, 1), date(2026, 10, 1)]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/Sao_Paulo", "Australia/Lord_Howe", "+10:00"])
def test_days_are_those_of_the_zone(files, zone):
    lines = readings("A", "2018-11-02T00:00", 15, varied(4 * 96), zone)
    lines += readings("B", "2018-11-03T07:00", 60, varied(40), zone)
    _, rows = figures(files, lines, zone)
    assert_totals(rows, expected_totals(files, zone))


@pytest.mark.parametrize("minutes", [45, 360, 1440])
def test_an_interval_across_midnight_is_split_in_proportion_to_time(files, minutes):
    lines = readings("A", "2026-03-27T21:15", minutes, varied(4 * 1440 // minutes))
    _, rows = figures(files, lines)
    assert_totals(rows, expected_totals(files, BERLIN))


def test_a_month_with_a_part_of_its_readings_says_so(files):
    found, rows = figures(files, readings("A", "2026-01-10T00:00", 60, varied(24 * 31)))
    assert_totals(rows, expected_totals(files, BERLIN))
    assert [(total.start.month, total.coverage) for total in found.months] == [(1, 0.7096), (2, 0.3214)]
    assert found.years[0].coverage == 0.0849
    assert len(found.days) == 31
    assert found.households[0].months == found.months


def test_estimates_count_in_totals_and_not_in_coverage(files):
    powers = [1.0] * 24 * 21
    powers[24 * 9 : 24 * 10 + 2] = [None] * 26
    lines = readings("A", "2026-01-10T00:00", 60, powers)
    analyzed(files, lines, timezone=BERLIN, estimate=True)
    estimated, _ = figures(files)
    assert [day.energy_kwh for day in estimated.days] == [24.0] * 21 + [0.0] * (len(estimated.days) - 21)
    without, _ = figures(files, lines)
    assert [day.coverage for day in estimated.days if day.energy_kwh][8:12] == [1.0, 0.0, 0.9166, 1.0]
    assert [month.coverage for month in estimated.months] == [month.coverage for month in without.months]


def test_totals_add_up_to_the_energy_of_the_analysis(files):
    found, _ = figures(
        files, [*readings("A", "2026-01-30T22:10", 5, varied(700)), *readings("B", "2026-01-31", 15, varied(90))]
    )
    for totals in (found.days, found.months, found.years):
        assert sum(total.energy_kwh for total in totals) == pytest.approx(ANALYSIS.read(files).energy_kwh, abs=0.005)


def test_peaks_are_means_of_complete_quarters_of_the_local_clock(files):
    powers = [0.5] * 36
    powers[3:6] = [2.0, 3.0, 4.0]
    powers[8:10] = [5.0, 5.0]  # the ends of two quarters
    powers[12], powers[13:15] = 9.0, [None, None]  # one reading of three
    found, _ = figures(files, readings("A", "2026-01-05T00:00", 5, powers))
    (peak,) = found.households[0].peaks
    assert (peak.peak_kw, peak.window_seconds, peak.month) == (3.0, 900, date(2026, 1, 1))
    assert peak.at == datetime(2026, 1, 4, 23, 15, tzinfo=UTC)


def test_peaks_of_coarse_readings_are_those_of_the_interval(files):
    lines = readings("A", "2026-01-31T00:00", 60, [1.0] * 20 + [4.0, 1, 1, 1, 2.0, 3.0, 2.0])
    found, _ = figures(files, lines)
    peaks = [(peak.month.month, peak.peak_kw, peak.window_seconds) for peak in found.households[0].peaks]
    assert peaks == [(1, 4.0, 3600), (2, 3.0, 3600)]


def test_the_minutes_of_peaks_are_a_choice(files):
    lines = readings("A", "2026-01-05T00:00", 5, [1.0] * 6 + [4.0] + [1.0] * 17)
    peaks = {minutes: figures(files, lines, peak_minutes=minutes)[0].peaks[0].peak_kw for minutes in (5, 15, 30)}
    assert peaks == {5: 4.0, 15: 2.0, 30: 1.5}


def test_peaks_of_all_together_are_coincident_over_the_longest_window(files):
    lines = readings("A", "2026-01-05T00:00", 15, [1, 1, 1, 9, 2, 2, 2, 2, 1, 1, 1, 1])
    lines += readings("B", "2026-01-05T00:00", 60, [1, 3, 1])
    found, _ = figures(files, lines)
    (peak,) = found.peaks
    assert (peak.peak_kw, peak.window_seconds) == (5.0, 3600)
    assert peak.at == datetime(2026, 1, 5, 0, tzinfo=UTC), "9 kW of a quarter are 3 kW of that hour"


def test_base_load_and_load_duration_rest_on_the_time_in_which_all_report(files):
    powers = varied(400)
    lines = [*readings("A", "2026-01-05T00:00", 15, powers), *readings("B", "2026-01-05T00:00", 15, powers[:200])]
    found, _ = figures(files, lines)
    assert found.households[0].base_load_kw == pd.Series(powers).quantile(0.025, "higher")
    both = pd.Series(powers[:200]) * 2
    assert found.base_load_kw == pytest.approx(both.quantile(0.025, "higher"))
    assert found.load_duration.hours == 50
    curve = found.load_duration.kw
    assert (len(curve), curve[0], curve[100]) == (101, both.max(), both.min())
    for percent in range(1, 101):
        assert (both >= curve[percent] - 1e-9).mean() >= percent / 100 > (both > curve[percent] + 1e-9).mean() - 1e-9


def test_an_interval_that_changes_counts_with_its_length(files, convert):
    hours = [f"2026-01-{5 + n // 24:02d} {n % 24:02d}:00,A,{1 + n % 3}" for n in range(48)]
    quarters = [f"2026-01-{7 + n // 96:02d} {n % 96 // 4:02d}:{n % 4 * 15:02d},A,{n % 5}" for n in range(192)]
    text = "\n".join(["time,home,kW", *hours, *quarters]) + "\n"
    convert(text, columns="timestamp=time,household_id=home,power_kw=kW", timezone=BERLIN)
    analyze(files, AnalyzerParams(timezone=BERLIN))
    assert ANALYSIS.read(files).households[0].interval_seconds is None
    change = datetime(2026, 1, 7, tzinfo=ZoneInfo(BERLIN)).timestamp()
    found, rows = figures(files)
    assert_totals(rows, expected_totals(files, BERLIN, lambda time: 15 if time >= change else 60))
    assert (found.peaks[0].peak_kw, found.peaks[0].window_seconds) == (3.0, 3600)
    assert found.households[0].peaks[0].peak_kw == 4.0


def test_intervals_that_differ_too_much_have_no_power_of_all_together(files):
    lines = [*readings("A", "2026-01-05T00:00", 15, varied(288)), *readings("B", "2026-01-05T00:00", 1440, [1, 2, 3])]
    found, rows = figures(files, lines)
    assert_totals(rows, expected_totals(files, BERLIN))
    assert (found.peaks, found.base_load_kw, found.load_duration) == ([], None, None)
    assert "too much" in found.note
    assert found.households[1].peaks[0].peak_kw == 3


def test_power_fed_into_the_grid_is_negative_in_totals(files):
    found, rows = figures(files, readings("A", "2026-01-05T00:00", 15, [-1.0] * 48 + [0.5] * 48))
    assert_totals(rows, expected_totals(files, BERLIN))
    assert found.days[0].energy_kwh == -6
    assert found.base_load_kw == -1


FLOW_NAMES = ("import_kwh", "export_kwh", "net_kwh", "generation_kwh", "self_consumption_kwh", "self_sufficiency")


def flow_lines(home, flows, minutes=60, first="2026-01-30T00:00"):
    """Records of (power, export, generation); None leaves a cell empty."""
    lines = readings(home, first, minutes, [power for power, _, _ in flows])
    cells = [",".join("" if value is None else str(value) for value in own) for _, *own in flows]
    return [f"{line},{own}" for line, own in zip(lines, cells, strict=True)]


def with_flows(files, lines, **params):
    analyzed(files, lines, f"{HEADER},export,generation", timezone=BERLIN, **params)
    return figures(files)


def test_export_and_generation_are_stated_by_day_month_and_year(files):
    sunny = [(round(1 + n % 3, 1), round(n % 5 * 0.1, 1), round(n % 7 * 0.3 + 0.5, 1)) for n in range(24 * 6)]
    dark = [(2.0, None, None)] * 24 * 6
    found, rows = with_flows(files, [*flow_lines("A", sunny), *flow_lines("B", dark)])
    table = pd.DataFrame(sunny, columns=["power", "export", "generation"])
    table["local"] = pd.Timestamp("2026-01-30") + pd.to_timedelta(table.index, unit="h")
    stated = {tuple(row[:3]): dict(zip(FLOW_NAMES, row[5:], strict=True)) for row in rows}
    for period, alias in (("day", "D"), ("month", "M"), ("year", "Y")):
        for start, own in table.groupby(table["local"].dt.to_period(alias)):
            hours, sums = len(own), own[["power", "export", "generation"]].sum()
            used = sums["generation"] - sums["export"]
            key = (period, start.start_time.date())
            expected = (sums["power"], sums["export"], sums["power"] - sums["export"], sums["generation"], used)
            share = used / (used + sums["power"])
            assert list(stated["A", *key].values()) == pytest.approx([*expected, share], abs=0.00051)
            both = (expected[0] + 2 * hours, expected[1], expected[2] + 2 * hours, *expected[3:], share)
            assert list(stated[None, *key].values()) == pytest.approx(both, abs=0.00051)
            assert list(stated["B", *key].values()) == [2 * hours, None, None, None, None, None]
    assert [total.flows.export_kwh for total in found.months] == [
        stated[None, "month", date(2026, month, 1)]["export_kwh"] for month in (1, 2)
    ]
    assert found.households[1].months[0].flows is None
    analysis = ANALYSIS.read(files)
    assert found.years[0].flows.net_kwh == pytest.approx(analysis.net_kwh)
    assert found.years[0].flows.self_consumption_kwh == pytest.approx(analysis.self_consumption_kwh)


def test_export_of_an_interval_across_midnight_is_split_in_proportion_to_time(files):
    found, _ = with_flows(files, flow_lines("A", [(1.0, 2.0, 4.0)] * 3, minutes=360, first="2026-01-30T21:00"))
    assert [total.flows.export_kwh for total in found.days] == [6.0, 30.0]


def test_negative_power_is_export_where_no_column_states_it(files):
    found, _ = figures(files, readings("A", "2026-01-05T00:00", 15, [-1.0] * 48 + [0.5] * 144))
    assert [tuple(vars(day.flows).values()) for day in found.days] == [
        (6.0, 12.0, -6.0, None, None, None),
        (12.0, 0.0, 12.0, None, None, None),
    ]
    assert [day.energy_kwh for day in found.days] == [-6.0, 12.0]


def test_estimates_count_as_import_and_in_no_net_energy(files):
    flows = [(1.0, 0.5, 1.0)] * 24 * 2
    lines = flow_lines("A", flows)
    found, _ = with_flows(files, lines[:20] + lines[21:], estimate=True)
    assert (found.days[0].flows.import_kwh, found.days[0].flows.net_kwh) == (24.0, 11.5)
    assert found.days[0].flows.export_kwh == 11.5


def test_self_sufficiency_rests_on_readings_that_state_export_and_generation(files):
    (day,) = with_flows(files, flow_lines("A", [(1.0, 0.5, 1.5)] * 12 + [(9.0, None, None)] * 12))[0].days
    assert day.flows.self_sufficiency == 0.5
    (day,) = with_flows(files, flow_lines("A", [(1.0, 0.5, 0.25)] * 24))[0].days
    assert (day.flows.self_consumption_kwh, day.flows.self_sufficiency) == (-6.0, None)


def test_without_export_and_generation_no_flows_are_stated(files):
    found, rows = figures(files, readings("A", "2026-01-05T00:00", 15, varied(96)))
    assert found.days[0].flows is None
    assert rows[0][5:] == (None,) * 6


def test_readings_before_1970_have_their_days(files):
    _, rows = figures(files, readings("A", "1955-06-01T00:00", 60, varied(100)))
    assert_totals(rows, expected_totals(files, BERLIN))


def test_offsets_of_a_zone_change_at_the_second():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    (_, winter), (at, summer), _ = local_offsets(parse_zone(BERLIN), start, datetime(2027, 1, 1, tzinfo=UTC))
    assert (winter, summer) == (3600, 7200)
    assert datetime(1800, 1, 1, tzinfo=UTC) + timedelta(seconds=at) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_awkward_names_have_figures(files):
    names = ["A,B", 'the "big" one', "O'Neill", "$\\frac{"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    (files / "energy_data.csv").write_text(
        "\n".join([HEADER, *(line for name in quoted for line in readings(name, "2026-01-05", 15, varied(8)))]) + "\n"
    )
    analyze(files, AnalyzerParams())
    found, _ = figures(files)
    assert {home.household_id for home in found.households} == set(names)
