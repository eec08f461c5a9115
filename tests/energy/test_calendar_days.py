"""Days of 23 to 25 hours, months, and intervals that change, through generator and analyzer."""

import json
from datetime import date, datetime, timedelta

import pytest

from include.core.errors import BadInputError
from include.energy.analyzer import analyze
from include.energy.params import AnalyzerParams

DAYS = [date(2026, 3, 20) + timedelta(days=number) for number in range(20)]
SPRING = date(2026, 3, 29)


def analysis(convert, files, *rows, header="Day,kWh", **params):
    done = convert("\n".join([header, *rows]) + "\n", **params)
    analyze(files, AnalyzerParams(timezone=params.get("timezone")))
    return done.source, json.loads((files / "output1.json").read_text())


@pytest.mark.parametrize("offsets", [False, True])
def test_a_local_day_may_have_23_hours(convert, files, offsets):
    suffix = {True: "T00:00:00+02:00", False: "T00:00:00+01:00"} if offsets else {True: "", False: ""}
    rows = [f"{day}{suffix[day > SPRING]},{4.8 if day != SPRING else 4.6}" for day in DAYS]
    source, found = analysis(convert, files, *rows, timezone="Europe/Berlin")
    (stretches,) = source.stretches.values()
    assert [stretch.interval_seconds // 3600 for stretch in stretches] == [24, 23, 24]
    assert (found["energy_kwh"], found["peak_kw"]) == (pytest.approx(19 * 4.8 + 4.6), 0.2)
    assert (found["expected"], found["missing"], found["interval_seconds"]) == (20, 0, None)


def test_days_of_unequal_length_need_a_zone(convert):
    rows = [f"{day}T00:00:00+0{2 if day > SPRING else 1}:00,4.8" for day in DAYS]
    with pytest.raises(BadInputError, match="its days have 23, 24 and 25 hours; name the zone of its clock"):
        convert("\n".join(["Day,kWh", *rows]) + "\n")


def test_months_are_of_their_own_lengths(convert, files):
    rows = [f"2026-{month:02}-01,{days * 24}" for month, days in ((1, 31), (2, 28), (3, 31), (4, 30))]
    source, found = analysis(convert, files, *rows, timezone="UTC")
    (stretches,) = source.stretches.values()
    assert [stretch.interval_seconds // 86400 for stretch in stretches] == [31, 28, 31, 30]
    assert (found["energy_kwh"], found["peak_kw"], found["missing"]) == (120 * 24, 1.0, 0)


@pytest.mark.parametrize("stamp", ["start", "end"])
def test_hours_may_become_quarters(convert, files, stamp):
    begin, seconds = datetime(2026, 1, 5), [3600] * 24 + [900] * 96  # noqa: DTZ001
    starts = [begin + timedelta(seconds=sum(seconds[:number])) for number in range(len(seconds))]
    marks = [start + timedelta(seconds=s * (stamp == "end")) for start, s in zip(starts, seconds, strict=True)]
    rows = [
        f"{mark}Z,{s / 3600 * (1 + number % 3)}" for number, (mark, s) in enumerate(zip(marks, seconds, strict=True))
    ]
    source, found = analysis(convert, files, *rows, header="t,kWh", stamp=stamp)
    (stretches,) = source.stretches.values()
    assert [stretch.interval_seconds for stretch in stretches] == [3600, 900]
    energy = sum(s / 3600 * (1 + number % 3) for number, s in enumerate(seconds))
    assert (found["energy_kwh"], found["peak_kw"]) == (pytest.approx(energy, abs=1e-3), 3.0)
    assert (found["expected"], found["missing"], found["end"]) == (120, 0, "2026-01-07T00:00:00Z")
