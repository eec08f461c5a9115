"""Days that meter files touch, and how two results of a day differ."""

import csv
import io
import json
from datetime import date
from pathlib import Path

import pytest

from include.core.errors import BadInputError
from include.energy.feeds import compare, examine

AMSTERDAM = {"timezone": "Europe/Amsterdam"}


DAY = [hour * 7 % 24 for hour in range(24)]
"""A reading for each hour, up and down: what rises all day is a register."""


def write(path: Path, *rows: str, header: str = "time,meter,Import kWh") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def hours(day, *values, meter="A"):
    return [f"{day} {hour:02}:00,{meter},{value}" for hour, value in enumerate(values)]


def test_the_days_are_those_of_the_local_clock(tmp_path):
    file = write(tmp_path / "a.csv", *(f"2026-03-01T{hour:02}:00Z,A,1" for hour in range(24)))
    assert list(examine(file, "a.csv", {}).days) == [date(2026, 3, 1)]
    assert list(examine(file, "a.csv", AMSTERDAM).days) == [date(2026, 3, 1), date(2026, 3, 2)]
    assert examine(file, "a.csv", {}).records == 24


def test_equal_readings_of_a_day_have_one_checksum_whatever_file_they_stand_in(tmp_path):
    day1, day2 = hours("2026-03-01", *DAY), hours("2026-03-02", *DAY)
    one = examine(write(tmp_path / "a.csv", *day1, *day2), "a.csv", AMSTERDAM)
    other = examine(write(tmp_path / "b.csv", *day1, *hours("2026-03-02", *DAY[:-1], 99)), "b.csv", AMSTERDAM)
    assert one.days[date(2026, 3, 1)] == other.days[date(2026, 3, 1)]
    assert one.days[date(2026, 3, 2)] != other.days[date(2026, 3, 2)]


def test_the_first_reading_of_a_register_ends_an_interval_of_the_day_before(tmp_path):
    rows = [f"2026-03-02 {hour:02}:00,A,{1000 + hour * 3}" for hour in range(24)]
    file = write(tmp_path / "r.csv", *rows, header="time,meter,Meter reading kWh")
    options = {**AMSTERDAM, "columns": "timestamp=time,household_id=meter,register_kwh=Meter reading kWh"}
    examined = examine(file, "r.csv", options)
    assert (list(examined.days), examined.borders) == ([date(2026, 3, 2)], (date(2026, 3, 1),))


@pytest.mark.parametrize(
    ("rows", "end"),
    [
        (hours("2026-03-01", *DAY), "2026-03-01T23:00"),
        ([*hours("2026-03-01", *DAY), *hours("2026-03-02", *DAY[:5], meter="B")], "2026-03-02T04:00"),
    ],
)
def test_the_last_reading_ends_after_its_interval(tmp_path, rows, end):
    examined = examine(write(tmp_path / "a.csv", *rows), "a.csv", AMSTERDAM)
    assert f"{examined.until:%Y-%m-%dT%H:%M}" == end


def test_a_file_that_names_no_household_is_refused_for_each_file_would_be_one_of_its_own(tmp_path):
    rows = [f"2026-03-02 {hour:02}:00,{hour}" for hour in range(24)]
    file = write(tmp_path / "a.csv", *rows, header="time,Import kWh")
    with pytest.raises(BadInputError, match="household_id=@HOME"):
        examine(file, "a.csv", AMSTERDAM)


def test_what_is_open_is_refused_with_the_option(tmp_path):
    with pytest.raises(BadInputError, match=r"names no zone.*--timezone"):
        examine(write(tmp_path / "a.csv", *hours("2026-03-01", *DAY)), "a.csv", {})


KEYS = {"households": 1, "energy_kwh": 6.0, "peak_kw": 3.0, "peak_at": "", "load_factor": None, "anomalies": 2}
HEADER = "timestamp,household_id,power,efficiency,status,anomaly_detected,anomaly_reasons,state,quality"


def results(folder, *powers, quality="A"):
    """The results of a day as a run publishes them."""
    folder.mkdir()
    rows = [
        f"2026-03-01T{hour:02}:00:00Z,A,{power},,normal,false,,valid,{quality}"
        for hour, power in enumerate(powers)
        if power
    ]
    (folder / "energy_report.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (folder / "output2.json").write_text(json.dumps({"title": "", "records": len(rows), "key_figures": KEYS}))
    return {name: folder / name for name in ("energy_report.csv", "output2.json")}


def test_late_revised_and_withdrawn_readings_are_told_apart_with_their_values(tmp_path):
    results(tmp_path / "before", 1, 2, None, 4)
    changes = compare(results(tmp_path / "after", 1, 2.5, 3, None), tmp_path / "before")
    assert (changes.added, changes.changed, changes.removed, changes.same) == (1, 1, 1, False)
    rows = list(csv.DictReader(io.StringIO(changes.table.decode())))
    values = [(row["change"], row["timestamp"][11:13], row["power_before_kw"], row["power_after_kw"]) for row in rows]
    assert values == [("changed", "01", "2.0", "2.5"), ("added", "02", "", "3.0"), ("removed", "03", "4.0", "")]
    assert changes.totals == {"records": 3, "energy_kwh": 6.0, "peak_kw": 3.0, "households": 1}


def test_the_same_readings_are_no_change_and_all_are_new_where_nothing_is_published(tmp_path):
    results(tmp_path / "before", 1, 2)
    assert compare(results(tmp_path / "after", 1, 2), tmp_path / "before").same
    assert compare(results(tmp_path / "first", 1, 2), None).added == 2


def test_another_quality_of_the_same_value_is_a_revision_where_both_state_one(tmp_path):
    results(tmp_path / "before", 1, 2, quality="E")
    now = results(tmp_path / "after", 1, 2)
    assert compare(now, tmp_path / "before").changed == 2
    table = tmp_path / "before" / "energy_report.csv"
    table.write_text(table.read_text().replace(",valid,E", "").replace(",state,quality", ""))
    assert compare(now, tmp_path / "before").same, "published by a version that stated none"


def test_another_export_at_the_same_power_is_a_revision(tmp_path):
    for name, export in (("before", "0.5"), ("after", "0.7")):
        table = results(tmp_path / name, 1, 2)["energy_report.csv"]
        head, *rows = table.read_text().splitlines()
        table.write_text("\n".join([f"{head},export,generation", *(f"{row},{export}," for row in rows)]) + "\n")
    now = {name: tmp_path / "after" / name for name in ("energy_report.csv", "output2.json")}
    assert compare(now, tmp_path / "before").changed == 2
