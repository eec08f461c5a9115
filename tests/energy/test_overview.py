"""The first screen of an energy report: what it states follows from the analysis."""

import pytest

from include.core.run_folder import write_json
from include.core.windows import parse_zone
from include.energy.analyzer import analyze
from include.energy.overview import local, overview, unused_params
from include.energy.params import AnalyzerParams
from include.energy.schemas import EnergySource
from tests.accepted import accepted
from tests.energy.analysis import DAY, HEADER, MONDAY, analyzed, series, varied


def read_from_files(files, **fields):
    source = {"source": "files", "records_written": 1, "households": 1, "interval_seconds": 1800}
    write_json(files / "energy_source.json", EnergySource.model_validate(source | fields))


def checks(files):
    return {check.subject: (check.level, check.statement) for check in overview(accepted(files)).checks}


def test_a_complete_day_passes_and_its_metrics_are_in_units_that_read_well(files):
    analyzed(files, series([2.0] * 40 + [20000.0] * 8, home="A"), high_usage_kw=None, **DAY)
    made = overview(accepted(files))
    assert [(headline.label, headline.value) for headline in made.headlines] == [
        ("Energy", "80 MWh"),
        ("Peak", "20 MW"),
        ("Mean power", "3,335 kW"),
        ("Load factor", "17 %"),
    ]
    assert checks(files)["Records"] == ("pass", "48 of 48 accepted.")
    assert checks(files)["Coverage"] == ("pass", "48 of 48 intervals have a valid reading (100 %).")


def test_hours_that_become_quarters_have_a_mean_and_a_load_factor(files, convert):
    hours = [f"2026-01-05T{hour:02}:00:00Z,{1 + hour % 2}" for hour in range(24)]
    quarters = [f"2026-01-06T{n // 4:02}:{n % 4 * 15:02}:00Z,{0.5 + n % 2}" for n in range(96)]
    convert("\n".join(["time,kwh", *hours, *quarters]))
    analyze(files, AnalyzerParams())
    made = overview(accepted(files))
    assert [headline.value for headline in made.headlines] == ["132 kWh", "6 kW", "2.75 kW", "46 %"]
    assert made.assumptions["Interval"] == "changes"


def test_times_are_local_and_the_zone_is_named(files):
    analyzed(files, series([*varied(46), 9.5, 0.3]), timezone="Europe/Berlin", **DAY)
    made = overview(accepted(files))
    assert made.timezone == "Europe/Berlin"
    assert made.headlines[1].note == "Tue 2026-01-06 00:00"


@pytest.mark.parametrize(
    ("bad", "level"), [(0, "pass"), (1, "warn"), (6, "fail")], ids=["none rejected", "some rejected", "many rejected"]
)
def test_rejected_records_lower_the_level_and_are_shown(files, bad, level):
    lines = [
        *series(varied(48 - bad)),
        *(line.replace("0.3", "ERR", 1) for line in series([0.3] * bad, start=48 - bad)),
    ]
    analyzed(files, lines, **DAY)
    assert checks(files)["Records"][0] == level
    tables = overview(accepted(files)).tables
    assert len(tables) == (bad > 0)
    if bad:
        assert tables[0].title == f"The first {bad} rejected records"
        assert tables[0].rows[0][:3] == ("energy_data.csv", 50 - bad, "unparsable power consumption")
        assert ",ERR," in tables[0].rows[0][3]


def test_suspect_readings_are_on_the_first_screen_with_both_totals(files):
    analyzed(files, series([*varied(40), 99.5, *varied(7)]), limit_kw=50.0, timezone="Europe/Berlin", **DAY)
    made = overview(accepted(files))
    level, statement = checks(files)["Records"]
    assert (level, "1 of the accepted suspect" in statement) == ("warn", True)
    assert made.headlines[0].value == "7.73 kWh"
    assert made.headlines[0].note == "of valid readings; 57.5 kWh with 1 suspect"
    assert checks(files)["Coverage"][1].startswith("47 of 48 intervals have a valid reading")
    (table,) = made.tables
    assert (table.title, table.columns[1]) == ("Suspect readings", "Time (Europe/Berlin)")
    assert table.rows == (("A", "Mon 2026-01-05 21:00", 99.5, "", 42),)


def test_at_most_twenty_suspect_readings_are_shown(files):
    analyzed(files, series([*varied(10), *[99.5] * 30]), limit_kw=50.0, **DAY)
    (table,) = overview(accepted(files)).tables
    assert (table.title, len(table.rows)) == ("The first 20 suspect readings", 20)


def test_estimates_are_on_the_first_screen_with_both_totals(files):
    analyzed(files, series([*varied(40), None, None, *varied(6)]), estimate=True, **DAY)
    assert overview(accepted(files)).headlines[0].note == (
        "of valid readings and estimates; 7.55 kWh without 2 estimated"
    )
    assert "2 of the other 2 were estimated." in checks(files)["Coverage"][1]


@pytest.mark.parametrize(
    ("params", "level", "statement"),
    [
        ({}, "pass", "Sufficient: coverage is 95.83 %, at least 95 %; the longest gap is 1 h, at most 168 h; the "),
        ({"min_coverage": 0.9}, "pass", "Sufficient: coverage is 95.83 %, at least 90 %; "),
    ],
)
def test_whether_the_data_are_sufficient_is_stated_with_the_limits(files, params, level, statement):
    analyzed(files, series([*varied(40), None, None, *varied(6)]), **params, **DAY)
    found = checks(files)["Sufficiency"]
    assert (found[0], found[1].startswith(statement)) == (level, True)
    assert found[1].endswith("These limits are the defaults.") is not bool(params)


def test_data_that_are_not_sufficient_warn_and_the_broken_limit_alone_is_named(files):
    analyzed(files, series([*varied(20), *[None] * 20, *varied(8)]), **DAY)
    assert checks(files)["Sufficiency"] == (
        "warn",
        "Not sufficient: coverage is 58.33 %, at least 95 %. These limits are the defaults.",
    )


def test_at_most_twenty_rejected_records_are_shown_and_long_ones_are_cut(files):
    lines = [*series(varied(10)), *(f"{MONDAY:%Y-%m-%d},A,{'x' * 500},230,1" for _ in range(30))]
    analyzed(files, lines, **DAY)
    (table,) = overview(accepted(files)).tables
    assert len(table.rows) == 20
    assert len(table.rows[0][3]) == 121


@pytest.mark.parametrize(("kept", "level"), [(47, "pass"), (40, "warn"), (20, "fail")])
def test_missing_intervals_lower_the_level_and_the_longest_gap_is_named(files, kept, level):
    analyzed(files, series(varied(kept)), **DAY)
    found, statement = checks(files)["Coverage"]
    assert found == level
    assert statement.startswith(f"{kept} of 48 intervals have a valid reading")
    assert statement.endswith("to Tue 2026-01-06 00:00.")


@pytest.mark.parametrize(
    ("unit", "peak", "level"), [("kW", 50000.0, "warn"), ("kW", 900.0, "pass"), ("MW", 50000.0, "pass")]
)
def test_a_reading_above_every_connection_warns_unless_the_input_is_of_a_grid(files, unit, peak, level):
    analyzed(files, series([peak] * 48), high_usage_kw=None, **DAY)
    read_from_files(files, unit=unit)
    found, statement = checks(files)["Plausibility"]
    assert found == level
    assert unit in statement


def test_many_anomalies_warn(files):
    analyzed(files, [line.replace("230.0", "150.0") for line in series(varied(48))], **DAY)
    assert checks(files)["Anomalies"] == ("warn", "48 of 48 accepted records are unusual (100 %).")
    analyzed(files, series(varied(48)), **DAY)
    assert checks(files)["Anomalies"] == ("pass", "None.")


def test_how_input_files_were_read_is_stated(files):
    analyzed(files, series(varied(48)), **DAY)
    assert overview(accepted(files)).assumptions == {}
    read_from_files(files, unit="Wh", stamp="end", timezone="+10:00")
    analyzed(files, series(varied(48)), **DAY)
    assert overview(accepted(files)).assumptions == {
        "Unit": "Wh",
        "Stamps": "mark the end of the interval",
        "Zone of stamps": "+10:00",
        "Interval": "30 min",
    }


def test_settings_of_the_generator_have_no_effect_on_input_files_nor_the_other_way_round(files):
    read_from_files(files)
    from_files = analyzed(files, series(varied(48)), **DAY).document
    assert set(unused_params(from_files)) == {"households", "interval_minutes", "seed", "faulty_share"}
    generated = from_files.model_copy(update={"source": "generated"})
    assert not {"households", "seed", "timezone"} & set(unused_params(generated))
    assert "files" in unused_params(generated)


def test_plots_that_would_be_empty_are_left_out(files):
    analyzed(files, series(varied(48)), **DAY)
    left_out = overview(accepted(files)).left_out_plots
    assert {"plot_heat_map.png", "plot_households.png", "plot_anomalies.png"} <= set(left_out)
    week = {"start": MONDAY, "end": MONDAY.replace(day=9)}
    analyzed(files, [*series([*varied(180), 9.9]), *series(varied(181), home="B")], **week)
    assert overview(accepted(files)).left_out_plots == ("plot_records.png",)


def test_a_run_without_an_analysis_has_no_overview(files):
    assert overview(accepted(files)) is None


def test_a_moment_is_said_on_local_clocks():
    assert local(MONDAY, parse_zone("+10:00")) == "Mon 2026-01-05 10:00"


def test_what_is_fed_in_and_used_at_home_stand_on_the_first_screen(files):
    rows = [f"{line},0.5,2.0" for line in series([1.0] * 48)]
    analyzed(files, rows, header=f"{HEADER},export,generation", **DAY)
    shown = [(headline.label, headline.value, headline.note) for headline in overview(accepted(files)).headlines]
    assert shown[1:3] == [
        ("Export", "12 kWh", "fed into the grid; net 12 kWh from the grid"),
        ("Self-consumption", "36 kWh", "generation less export; generated: 48 kWh"),
    ]
    assert [label for label, *_ in shown] == ["Import", "Export", "Self-consumption", "Peak"]


def test_net_energy_names_its_direction(files):
    analyzed(files, [f"{line},1.5" for line in series([1.0] * 48)], header=f"{HEADER},export", **DAY)
    assert overview(accepted(files)).headlines[1].note == "fed into the grid; net 12 kWh into the grid"


def test_net_energy_rests_on_no_estimates_and_says_so(files):
    rows = [f"{line},1.5" for line in series([*varied(40), None, None, *varied(6)])]
    analyzed(files, rows, header=f"{HEADER},export", estimate=True, **DAY)
    assert overview(accepted(files)).headlines[1].note.endswith("into the grid without estimates")
