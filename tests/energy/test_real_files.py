"""Measured data read as it is published; the figures were counted from the raw files by other means."""

import shutil
from collections import Counter
from datetime import datetime, timedelta

import pytest

from include.core.errors import BadInputError
from include.energy.generator import generate
from include.energy.params import GeneratorParams

pytestmark = pytest.mark.real_data

HOMES = {"10006414": 36061, "10006704": 30273, "10017554": 29641, "10017936": 30652, "10018060": 30373}
HOME_COLUMNS = "timestamp=reading_datetime,household_id=customer_id,energy_kwh=general_supply_kwh"


@pytest.fixture
def read(real_data, files, convert):
    def read(name, **params):
        return convert({name: (real_data / name).read_bytes()}, **params)

    return read


def raw(folder, name):
    """The file's fields, by means of Python alone."""
    return [line.split(",") for line in (folder / name).read_text().splitlines()[1:]]


@pytest.mark.parametrize("home", HOMES)
def test_homes_are_kwh_in_half_hours_on_a_clock_that_never_changes(read, real_data, home):
    name = f"household_au_{home}.csv"
    done = read(name, columns=HOME_COLUMNS, timezone="+10:00")
    assert (done.source.records_written, done.source.interval_seconds, done.source.unit) == (HOMES[home], 1800, "kWh")
    assert "Assumed of" in done.messages
    expected = [
        (f"{datetime.fromisoformat(stamp) - timedelta(hours=10):%Y-%m-%dT%H:%M:%SZ}", float(kwh) * 2)
        for _, stamp, kwh in raw(real_data, name)
    ]
    assert done.column("timestamp") == [stamp for stamp, _ in expected]
    assert [float(kw) for kw in done.column("power_consumption")] == pytest.approx([kw for _, kw in expected])
    assert "2012-10-06T16:00:00Z" in done.column("timestamp")


@pytest.mark.parametrize("home", HOMES)
def test_read_as_sydney_time_the_skipped_hours_are_found_and_the_offset_is_named(read, home):
    sydney = {"columns": HOME_COLUMNS, "timezone": "Australia/Sydney"}
    with pytest.raises(BadInputError, match=r"the fixed offset --timezone \+10:00 would explain that"):
        read(f"household_au_{home}.csv", **sydney)
    done = read(f"household_au_{home}.csv", **sydney, as_mapped=True)
    skipped = [record["timestamp"] for record in done.records if record["source_fault"] == "non_existent_time"]
    assert skipped == [f"{day} 02:{minute}:00" for day in ("2012-10-07", "2013-10-06") for minute in ("00", "30")]


def test_the_five_homes_together(real_data, files):
    names = [f"household_au_{home}.csv" for home in HOMES]
    for name in names:
        shutil.copy(real_data / name, files / "source" / name)
    generate(files, GeneratorParams(files=tuple(names), columns=HOME_COLUMNS, timezone="+10:00"))
    with (files / "energy_data.csv").open() as file:
        homes = Counter(line.split(",")[1] for line in list(file)[1:])
    assert homes == HOMES


def test_victoria_is_complete(read, real_data):
    done = read("grid_vic_30min.csv", columns="timestamp=Time,household_id=@VIC,power_mw=Demand")
    rows = raw(real_data, "grid_vic_30min.csv")
    assert (done.source.records_written, done.source.interval_seconds, len(rows)) == (52608, 1800, 52608)
    assert done.column("timestamp") == [row[0] for row in rows]
    assert [float(kw) for kw in done.column("power_consumption")] == pytest.approx([float(r[1]) * 1000 for r in rows])


@pytest.mark.parametrize(("zone", "records"), [("AEP", 121273), ("DAYTON", 121275)])
def test_pjm_stamps_are_ends_of_hours(read, zone, records):
    options = {"columns": f"timestamp=Datetime,household_id=@{zone},power_mw={zone}_MW", "timezone": "America/New_York"}
    done = read(f"grid_pjm_{zone}_hourly.csv", **options, stamp="end")
    assert (done.source.records_written, done.source.interval_seconds) == (records, 3600)
    assert (done.source.ambiguous_pairs, done.source.ambiguous_times, done.source.non_existent_times) == (4, 8, 0)
    assert len(set(done.column("timestamp"))) == records
    assert read(f"grid_pjm_{zone}_hourly.csv", **options).column("timestamp") == done.column("timestamp")
    with pytest.raises(BadInputError, match="only as ends do the stamps, 01:00 to 00:00, give complete days"):
        read(f"grid_pjm_{zone}_hourly.csv", **options, stamp="start")
