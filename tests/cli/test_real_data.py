"""Measured data through the command line, as published. What the figures are checked against: tests/energy."""

import json
import re

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.real_data]

HOMES = ("10006414", "10018060")
HOME_COLUMNS = "timestamp=reading_datetime,household_id=customer_id,energy_kwh=general_supply_kwh"
EASTERN = ("--timezone", "America/New_York", "--stamp", "end", "--set", "high_usage_kw=none")


def run(call, *arguments):
    ended = call("run", "energy", "--json", *arguments)
    assert ended.code == 0, ended.stderr
    report = json.loads(ended.stdout)
    return report, {step["id"]: step["output_summary"] for step in report["steps"]}["energy-analyzer"]


def test_homes_in_kwh_with_a_fixed_offset(call, real_data, data_dir):
    files = [real_data / "energy" / f"household_au_{home}.csv" for home in HOMES]
    csv = [argument for file in files for argument in ("--csv", file)]
    report, figures = run(call, *csv, "--columns", HOME_COLUMNS, "--timezone", "+10:00")
    lines = sum(len(file.read_text().splitlines()) - 1 for file in files)
    assert figures["records_in"] == figures["records_out"] == lines
    assert figures["records_rejected"] == figures["records_outside_window"] == 0
    assert report["overall_status"] == "success"
    [published] = (data_dir / "published/energy/manual").iterdir()
    assert re.fullmatch(r"household_au_10006414\+1-[0-9a-f]{8}", published.name), "with a checksum of both names"


def test_one_day_of_a_home_counts_the_rest_as_outside(call, real_data):
    file = real_data / "energy" / "household_au_10018060.csv"
    day = ("--date", "2013-01-05", "--timezone", "+10:00")
    report, figures = run(call, "--csv", file, "--columns", HOME_COLUMNS, *day)
    assert report["interval"] == {"start": "2013-01-04T14:00:00Z", "end": "2013-01-05T14:00:00Z"}
    assert figures["records_out"] == 48
    assert figures["records_outside_window"] == 30373 - 48


def test_a_states_demand_in_megawatts(call, real_data):
    file = real_data / "energy" / "grid_vic_30min.csv"
    columns = "timestamp=Time,household_id=@VIC,power_mw=Demand"
    _, figures = run(call, "--csv", file, "--columns", columns, "--set", "high_usage_kw=none")
    assert figures["records_in"] == figures["records_out"] == 52608
    assert figures["high_usage"] == 0


def test_hour_ending_stamps_on_an_eastern_clock(call, real_data):
    file = real_data / "energy" / "grid_pjm_AEP_hourly.csv"
    columns = "timestamp=Datetime,household_id=@AEP,power_mw=AEP_MW"
    _, figures = run(call, "--csv", file, "--columns", columns, *EASTERN)
    assert figures["records_in"] == figures["records_out"] == 121273
    assert figures["records_rejected"] == 0
