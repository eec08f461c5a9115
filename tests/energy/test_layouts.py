"""There and back: readings written in any layout, unit, spelling and zone are read as they were."""

import csv
import random
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.energy.generator import generate
from include.energy.params import GeneratorParams

METERS = ("MAC001", "MAC002", "MAC003")
PER_KWH = {"kWh": 1, "Wh": 1000, "MWh": Decimal("0.001"), "kW": 1, "W": 1000, "MW": Decimal("0.001")}
STAMPS = {  # format, order of day and month
    "year first": ("%Y-%m-%d %H:%M", None),
    "German": ("%d.%m.%Y %H:%M", None),
    "British": ("%d/%m/%Y %H:%M", "dmy"),
    "American": ("%m/%d/%Y %I:%M %p", "mdy"),
    "offset": ("%Y-%m-%dT%H:%M:%S%z", None),
}
SPRING, AUTUMN, SUMMER = (datetime.fromisoformat(day) for day in ("2025-03-29", "2025-10-25", "2025-07-01"))


@dataclass(frozen=True)
class Way:
    """How readings are written."""

    layout: str
    unit: str
    stamp: str
    zone: str
    first_day: datetime
    minutes: int
    days: int
    decimal: str
    ends: bool
    by_meter: bool
    seed: int


ways = st.builds(
    Way,
    layout=st.sampled_from(["rows", "columns", "days", "registers"]),
    unit=st.sampled_from(sorted(PER_KWH)),
    stamp=st.sampled_from(sorted(STAMPS)),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    first_day=st.sampled_from([SPRING, AUTUMN, SUMMER]),
    minutes=st.sampled_from([5, 15, 30, 60]),
    days=st.integers(2, 3),
    decimal=st.sampled_from([".", ","]),
    ends=st.booleans(),
    by_meter=st.booleans(),
    seed=st.integers(0, 999),
)


def readings_of(way):
    """Energy (kWh) by meter and start (UTC): whole watt-hours, so that each unit states them exactly."""
    begin, end = (
        (way.first_day + timedelta(days=days)).replace(tzinfo=ZoneInfo(zone_of(way))).astimezone(UTC)
        for days in (0, way.days)
    )
    step, source = timedelta(minutes=way.minutes), random.Random(way.seed)  # noqa: S311 -- any numbers will do
    starts = [begin + number * step for number in range((end - begin) // step)]
    return {(meter, start): Decimal(source.randrange(1, 3000)) / 1000 for meter in METERS for start in starts}


def zone_of(way):
    """Rows of days have a column for each time of the day, which days of 23 or 25 hours do not."""
    return "UTC" if way.layout == "days" else way.zone


def unit_of(way):
    return way.unit if way.layout != "registers" or way.unit.endswith("h") else f"{way.unit}h"


def written(way, kwh):
    number = kwh * PER_KWH[unit_of(way)] * (1 if unit_of(way).endswith("h") else Decimal(60) / way.minutes)
    return f"{number.normalize():f}".replace(".", way.decimal)


def stamp_of(way, start):
    moment = start + timedelta(minutes=way.minutes) if way.ends and way.layout != "registers" else start
    return moment.astimezone(ZoneInfo(zone_of(way))).strftime(STAMPS[way.stamp][0])


def file_of(way, readings):
    """Return the text of the file, and what is stated of it."""
    starts = sorted({start for _, start in readings})
    stated = {"timezone": zone_of(way), "unit": unit_of(way), "decimal": way.decimal}
    if STAMPS[way.stamp][1]:
        stated["date_order"] = STAMPS[way.stamp][1]
    if way.layout != "registers":
        stated["stamp"] = "end" if way.ends else "start"
    if way.layout == "columns":
        rows = [["Time", *METERS]]
        rows += [[stamp_of(way, t), *(written(way, readings[meter, t]) for meter in METERS)] for t in starts]
        stated["columns"] = "timestamp=Time,household_id=*"
    elif way.layout == "days":
        ends = timedelta(minutes=way.minutes if way.ends else 0)
        times = starts[: 1440 // way.minutes]
        rows = [["Meter", "Date", *(f"{t + ends:%H:%M}".replace("00:00", "24:00" if ends else "00:00") for t in times)]]
        for meter in METERS:
            for day in range(way.days):
                moments = starts[day * len(times) : (day + 1) * len(times)]
                rows.append([meter, f"{moments[0]:%Y-%m-%d}", *(written(way, readings[meter, t]) for t in moments)])
        stated.pop("date_order", None)
    else:
        rows = [["Time", "Meter", "Value"]]
        order = [(meter, t) for meter in METERS for t in starts]
        for meter, t in order if way.by_meter else sorted(order, key=lambda key: key[1]):
            rows.append([stamp_of(way, t), meter, written(way, readings[meter, t])])
        field = f"{'energy' if unit_of(way).endswith('h') else 'power'}_{unit_of(way).lower()}"
        stated["columns"] = f"timestamp=Time,household_id=Meter,{field}=Value"
        if way.layout == "registers":
            rows = rows[:1] + registers_of(way, readings, starts)
            stated["columns"] = stated["columns"].replace("energy_", "register_")
        del stated["unit"]
    return "\n".join(";".join(row) for row in rows) + "\n", stated


def registers_of(way, readings, starts):
    """Rows of what a register shows at the starts, and at the end of the last interval."""
    shown = dict.fromkeys(METERS, Decimal(12345))
    rows = []
    for meter in METERS:
        for t in starts:
            rows.append([stamp_of(way, t), meter, written(way, shown[meter])])
            shown[meter] += readings[meter, t]
        rows.append([stamp_of(way, starts[-1] + timedelta(minutes=way.minutes)), meter, written(way, shown[meter])])
    return rows


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ways)
def test_readings_in_any_layout_and_unit_are_read_as_they_were(way):
    readings = readings_of(way)
    content, stated = file_of(way, readings)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        (files / "source").mkdir()
        (files / "source" / "meters.csv").write_text(content)
        generate(files, GeneratorParams(files=("meters.csv",), **stated))
        with (files / "energy_data.csv").open(newline="") as file:
            read = {
                (record["household_id"], datetime.fromisoformat(record["timestamp"])): float(
                    record["power_consumption"]
                )
                for record in csv.DictReader(file)
            }
    expected = {key: round(float(kwh) * 60 / way.minutes, 6) for key, kwh in readings.items()}
    assert read.keys() == expected.keys()
    assert {key: power for key, power in read.items() if abs(power - expected[key]) > 2e-6} == {}
