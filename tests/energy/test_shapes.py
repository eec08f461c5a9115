"""Shapes of meter files of many countries: the figures are those that are computed here, without the reader.

A file is described by its header and the pattern of its lines, as they stand in it. Where something cannot be told, it
has to be refused: `refused` is a part of the message.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from include.core.errors import BadInputError
from include.energy.analyzer import analyze
from include.energy.generator import generate
from include.energy.params import AnalyzerParams, GeneratorParams

BERLIN, MADRID, PARIS, NEW_YORK = "Europe/Berlin", "Europe/Madrid", "Europe/Paris", "America/New_York"
AUTUMN, SPRING, WINTER = ("2025-10-25", "2025-10-28"), ("2025-03-29", "2025-04-01"), ("2026-01-05", "2026-01-08")
ISO = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Reading:
    """Energy of an interval that begins at a time (UTC)."""

    start: datetime
    seconds: int
    kwh: float

    @property
    def kw(self):
        return self.kwh * 3600 / self.seconds

    @property
    def end(self):
        return self.start + timedelta(seconds=self.seconds)


def kwh(number):
    """Energy that neither rises for long nor stands out."""
    return round(0.1 + 0.013 * (number * 37 % 101), 3)


def between(moments, base=0.0):
    """Readings of the intervals between moments."""
    return [
        Reading(a.astimezone(UTC), round((b.astimezone(UTC) - a.astimezone(UTC)).total_seconds()), base + kwh(n))
        for n, (a, b) in enumerate(pairwise(moments))
    ]


def at(zone, *dates):
    return [datetime(*date, tzinfo=ZoneInfo(zone)) for date in dates]


def readings(zone="UTC", span=WINTER, minutes=60):
    """Readings between two local midnights."""
    begin, end = (datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for day in span)
    return between(
        [begin + timedelta(minutes=minutes * n) for n in range((end - begin) // timedelta(minutes=minutes) + 1)]
    )


def scaled(factor, series):
    return [replace(r, kwh=round(r.kwh * factor, 3)) for r in series]


HOURS, HALVES, QUARTERS = readings(), readings(minutes=30), readings(minutes=15)
THOUSANDS = scaled(4000, HOURS)


def lines(line, series, zone="UTC", *, newest_first=False):
    """Lines by their pattern: `t` is the local start, `e` the local end, `u` the start in UTC, `n` a number from 0."""
    texts = [
        line.format(
            t=r.start.astimezone(ZoneInfo(zone)), e=r.end.astimezone(ZoneInfo(zone)), u=r.start, n=n, v=r.kwh,
            comma=f"{r.kwh:.3f}".replace(".", ","), kw=round(r.kw, 6), kw_comma=f"{r.kw:.3f}".replace(".", ","),
            wh=round(r.kwh * 1000), mwh=f"{r.kwh / 1000:.6f}", rest=round(r.kwh - 0.1, 3), more=round(r.kwh + 0.3, 3),
            hour=r.start.hour + 1, period=r.start.hour * 2 + r.start.minute // 30 + 1, unix=round(r.start.timestamp()),
            on=n % 4, grouped=f"{r.kwh:,.1f}", blank=f"{r.kwh:,.1f}".replace(",", " ").replace(".", ","),
            apostrophe=f"{r.kwh:,.1f}".replace(",", "'"), point=f"{round(r.kwh):,}".replace(",", "."),
        )
        for n, r in enumerate(series)
    ]  # fmt: skip
    return texts[::-1] if newest_first else texts


@dataclass(frozen=True)
class Shape:
    """Input files by name, the readings that they hold (by household, where there are several), and what is stated."""

    files: dict | Callable[[], dict]
    readings: dict | list
    params: dict = field(default_factory=dict)
    refused: str | None = None


def text(*parts):
    return "\n".join(part if isinstance(part, str) else "\n".join(part) for part in parts) + "\n"


def one(header, line, series=HOURS, zone="UTC", *, refused=None, newest_first=False, **params):
    """One file with one kind of line."""
    content = text(header, lines(line, series, zone, newest_first=newest_first))
    return Shape({"a.csv": content}, series, {"timezone": zone} | params, refused)


def by_day(series, zone="UTC"):
    days = {}
    for reading in series:
        days.setdefault(reading.start.astimezone(ZoneInfo(zone)).date(), []).append(reading)
    return days


def numbered(header, zone, span, pattern, **more):
    """The hours of a local day, numbered from 1."""
    series = readings(zone, span)
    rows = [
        f"{day.strftime(pattern)};{number};{r.kwh:.3f}".replace(".", ",")
        for day, own in by_day(series, zone).items()
        for number, r in enumerate(own, start=1)
    ]
    return Shape({"a.csv": text(header, rows)}, series, {"timezone": zone}, **more)


def across(names, series=HOURS, zone="UTC", **more):
    """One line a day."""
    width = len(names)
    rows = [
        ",".join([str(day), *(str(r.kwh) for r in own), *[""] * (width - len(own))])
        for day, own in by_day(series, zone).items()
    ]
    params = {"timezone": zone, "unit": "kWh"}
    return Shape({"a.csv": text(",".join(["Date", *names]), rows)}, series, params, **more)


def clock(minutes, numbers, pattern="%H:%M"):
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    return [(midnight + timedelta(minutes=minutes * number)).strftime(pattern) for number in numbers]


def changing(first, second, zone="UTC", since="2026-01-05"):
    return [
        *readings(zone, (since, "2026-01-07"), first),
        *scaled(0.5, readings(zone, ("2026-01-07", "2026-01-08"), second)),
    ]


def register(header, line, series=HOURS, zone="UTC", start=1000.0, *, newest_first=False, **params):
    """Readings of a register: one more than intervals."""
    totals = [start]
    for reading in series:
        totals.append(round(totals[-1] + reading.kwh, 3))
    ends = [*series, Reading(series[-1].end, 3600, 0)]
    shown = [replace(r, kwh=total) for r, total in zip(ends, totals, strict=True)]
    content = text(header, lines(line, shown, zone, newest_first=newest_first))
    return Shape({"a.csv": content}, series, {"timezone": zone} | params)


MONTHS = at(BERLIN, *((2025 + n // 12, n % 12 + 1, 1) for n in range(15)))
QUARTERS_OF_YEARS = at("UTC", *((2023 + n // 4, n % 4 * 3 + 1, 1) for n in range(13)))
MINUTES = readings(span=("2026-01-05", "2026-01-15"), minutes=1)
SPIKE = 9000


def days(zone, count=60, step=1):
    return between([datetime(2025, 3, 3, tzinfo=ZoneInfo(zone)) + timedelta(days=step * n) for n in range(count)], 5)


def late(header, line, odd, **more):
    """A long file, one line of which differs from all others."""

    def files():
        rows = lines(line, scaled(0.5, MINUTES))
        rows[SPIKE] = lines(odd, [MINUTES[SPIKE]])[0]
        return {"a.csv": text(header, rows)}

    return Shape(files, MINUTES, {"timezone": "UTC"}, **more)


SHAPES = {
    # Languages
    "german quarters with from and to": one(
        "Datum;Uhrzeit von;Uhrzeit bis;Verbrauch [kWh]", "{t:%d.%m.%Y;%H:%M};{e:%H:%M};{comma}",
        readings(BERLIN, AUTUMN, 15), BERLIN,
    ),
    "german directions": one("Zeit;Bezug kWh;Einspeisung kWh", "{t:%d.%m.%Y %H:%M};{comma};{on},500"),
    "french half-hours": one(
        "Date et heure;Consommation (kWh)", "{t:%d/%m/%Y %H:%M};{comma}", readings(PARIS, AUTUMN, 30), PARIS
    ),
    "french Wh": one("Horodate;Energie (Wh)", "{t:%d/%m/%Y %H:%M};{wh}", readings(PARIS, SPRING, 30), PARIS),
    "spanish hours 1 to 25": numbered("Fecha;Hora;AE_kWh", MADRID, AUTUMN, "%d/%m/%Y"),
    "spanish hours 1 to 23": numbered("Fecha;Hora;AE_kWh", MADRID, SPRING, "%d/%m/%Y"),
    "polish hours": numbered(
        "Data;Godzina;Energia pobrana [kWh]", "Europe/Warsaw", AUTUMN, "%Y-%m-%d", refused="give another value"
    ),
    "dutch": one(
        "Datum;Verbruik in kWh", "{t:%d-%m-%Y %H:%M};{comma}", readings("Europe/Amsterdam", AUTUMN), "Europe/Amsterdam"
    ),
    "finnish": one(
        "MeteringPointGSRN;Resolution;UnitType;StartTime;Quantity;Quality", "643;PT1H;kWh;{u:" + ISO + "};{comma};OK"
    ),
    "norwegian": one("Fra;Til;KWH 60 Forbruk;Kvalitet", "{t:%d.%m.%Y %H:%M};{e:%d.%m.%Y %H:%M};{comma};Målt"),
    "hungarian": one("Időpont;Fogyasztás kWh", "{t:%Y.%m.%d %H:%M};{comma}"),
    "portuguese ends": one("Data;Hora;Consumo (kW)", "{e:%Y/%m/%d;%H:%M};{kw_comma}", scaled(0.5, QUARTERS)),
    # Stamps
    "twelve hours": one(
        "Start,Usage (kWh)", "{t:%m/%d/%Y %I:%M %p},{v}", readings(NEW_YORK, ("2025-11-01", "2025-11-04")), NEW_YORK
    ),
    "twelve hours, ends": one("Reading Time,Usage (kWh)", "{e:%m/%d/%Y %I:%M %p},{v}", QUARTERS),
    "days of january, day first": one("Time,kWh", "{t:%d/%m/%Y %H:%M},{v}"),
    "days of january, month first": one("Time,kWh", "{t:%m/%d/%Y %H:%M},{v}"),
    "short numbers": one("Datum;kWh", "{t.day}.{t.month}.{t.year} {t.hour}:00;{comma}"),
    "short numbers, american": one(
        "Date,Time,kWh", "{t.month}/{t.day}/{t.year},{t.hour}:00:00,{v}", readings(span=("2026-01-12", "2026-01-15"))
    ),
    "short years": one("Time,kWh", "{t:%d/%m/%y %H:%M},{v}"),
    "compact dates": one("Time,kWh", "{t:%Y%m%d %H:%M},{v}"),
    "compact stamps": one("Time,kWh", "{t:%Y%m%d%H%M},{v}", refused="no column holds times"),
    "named months": one("Time,kWh", "{t:%d-%b-%Y %H:%M},{v}"),
    "named months, american": one("Time;kWh", "{t:%b %d, %Y %I:%M %p};{v}"),
    "times with dots": one("Dato;Tid;kWh", "{t:%d-%m-%Y;%H.%M};{comma}", refused="give another value for a time"),
    "fractions, offsets without colon": one("Time,kWh", "{u:%Y-%m-%dT%H:%M:%S.000+0000},{v}"),
    "unix seconds": one("epoch,kWh", "{unix},{v}"),
    "unix milliseconds": one("timestamp,kwh", "{unix}000,{v}"),
    "abbreviated zones": one("Time,kWh", "{t:%Y-%m-%d %H:%M:%S %Z},{v}", readings(BERLIN, AUTUMN), BERLIN),
    "other abbreviated zones": one("Time,kWh", "{t:%Y-%m-%d %H:%M:%S} EET,{v}", refused="no column holds"),
    "offsets over autumn": one("Time,kWh", "{t:%Y-%m-%dT%H:%M:%S%z},{v}", readings(BERLIN, AUTUMN), BERLIN),
    "time before date": one("Time,Date,kWh", "{t:%H:%M,%Y-%m-%d},{v}"),
    "weekdays": one("Day,Date,Time,kWh", "{t:%a,%d/%m/%Y,%H:%M},{v}"),
    "start and end of a date": one("Date,Start,End,kWh", "{t:%Y-%m-%d,%H:%M},{e:%H:%M},{v}"),
    "settlement periods": one("Settlement Date,Settlement Period,Consumption kWh", "{t:%Y-%m-%d},{period},{v}", HALVES),
    "hours 1 to 24": one("Date,Hour Ending,kWh", "{t:%Y-%m-%d},{hour},{v}"),
    "hours 0 to 23": one("Date,Hour,kWh", "{t:%Y-%m-%d},{t.hour},{v}", refused="from 0 to 23 in 'Hour'"),
    "UTC before the local clock": one(
        "Time (UTC),Time (local),kWh", "{u:%Y-%m-%d %H:%M},{t:%Y-%m-%d %H:%M},{v}", zone=BERLIN
    ),
    # Zones
    "half-hour zone": one("Time,kWh", "{t:%Y-%m-%d %H:%M},{v}", readings("Asia/Kolkata"), "Asia/Kolkata"),
    "half an hour of daylight saving": one(
        "Time,kWh", "{t:%Y-%m-%d %H:%M},{v}", readings("Australia/Lord_Howe", ("2025-04-05", "2025-04-08"), 30),
        "Australia/Lord_Howe",
    ),
    "fixed offset": one("Time,kWh", "{t:%Y-%m-%d %H:%M},{v}", readings("Etc/GMT-10"), "Etc/GMT-10", timezone="+10:00"),
    "ends in autumn": one(
        "Time,kWh", "{e:%Y-%m-%d %H:%M},{v}", readings(NEW_YORK, ("2025-11-01", "2025-11-04")), NEW_YORK
    ),
    "ends in spring": one("Time,kWh", "{e:%Y-%m-%d %H:%M},{v}", readings(BERLIN, SPRING, 15), BERLIN),
    "a column of ends": one("End time,kWh", "{e:%Y-%m-%d %H:%M},{v}", readings(BERLIN, AUTUMN), BERLIN),
    "newest first": one(
        "Time,kWh", "{t:%Y-%m-%d %H:%M},{v}", readings(BERLIN, AUTUMN, 15), BERLIN, newest_first=True
    ),
    "days of UTC on a local clock": one("Time,kWh", "{t:%Y-%m-%d %H:%M},{v}", zone=BERLIN),
    "days of UTC with local offsets": one("Time,kWh", "{t:%Y-%m-%dT%H:%M:%S%z},{v}", zone=BERLIN),
    # Intervals
    "5 then 15 minutes": one("Time,kWh", "{t:%Y-%m-%d %H:%M},{v}", changing(5, 15)),
    "15 then 60 minutes": one("Time,kWh", "{t:%Y-%m-%d %H:%M},{v}", changing(15, 60)),
    "60 then 15 minutes of power": one("Time,kW", "{t:%Y-%m-%d %H:%M},{kw}", changing(60, 15)),
    "30 then 5 minutes, ends": one(
        "Time,kWh", "{e:%Y-%m-%d %H:%M},{v}", changing(30, 5, BERLIN), BERLIN, stamp="end"
    ),
    "60 then 15 minutes, ends in autumn": one(
        "Interval End,kWh", "{e:%Y-%m-%d %H:%M},{v}",
        [*readings(BERLIN, ("2025-10-24", "2025-10-25")), *readings(BERLIN, AUTUMN, 15)], BERLIN,
    ),
    "days then hours": one("Time,kWh", "{t:%Y-%m-%d %H:%M},{v}", changing(1440, 60, since="2025-12-20")),
    "one minute": one("time,kWh", "{u:" + ISO + "},{v}", scaled(0.05, MINUTES[:300])),
    "days in spring": one("Day,kWh", "{t:%Y-%m-%d},{v}", days(BERLIN), BERLIN, decimal="."),
    "days in the south": one("Day,kWh", "{t:%Y-%m-%d},{v}", days("Australia/Sydney"), "Australia/Sydney", decimal="."),
    "days with offsets": one("Day,kWh", "{t:%Y-%m-%dT%H:%M:%S%z},{v}", days(NEW_YORK), NEW_YORK, decimal="."),
    "weeks": one("Week,kWh", "{t:%Y-%m-%d},{v}", days(BERLIN, 30, 7), BERLIN, decimal="."),
    "months": one("Monat;kWh", "{t:%d.%m.%Y};{comma}", between(MONTHS, 200), BERLIN, decimal=","),
    "months, ends": one("Monat;kWh", "{e:%d.%m.%Y};{comma}", between(MONTHS, 200), BERLIN, decimal=",", stamp="end"),
    "quarters of years": one("Quarter,kWh", "{t:%Y-%m-%d},{v}", between(QUARTERS_OF_YEARS, 400), decimal="."),
    # Days as lines
    "hours across": across(clock(60, range(24))),
    "hours across, numbered": across([f"HE{n:02}" for n in range(1, 25)]),
    "hours across, ends": across([*clock(60, range(1, 24)), "24:00"]),
    "hours across, ends with 00:00": across(clock(60, range(1, 25))),
    "half-hours across, ends": across([*clock(30, range(1, 48)), "24:00"], HALVES),
    "half-hours across, numbered": across([f"HH{n}" for n in range(1, 49)], HALVES),
    "quarters across, ranges": across(
        [f"{a}-{b}" for a, b in zip(clock(15, range(96)), clock(15, range(1, 97)), strict=True)], QUARTERS
    ),
    "twelve hours across": across(clock(60, range(24), "%I:%M %p")),
    "25 hours across": across([f"H{n}" for n in range(1, 26)], readings(BERLIN, AUTUMN), BERLIN),
    "23 hours across": across([f"H{n}" for n in range(1, 26)], readings(BERLIN, SPRING), BERLIN),
    # Numbers
    "thousands with commas": one("Time,kWh", '{t:%Y-%m-%d %H:%M},"{grouped}"', THOUSANDS, high_usage_kw=None),
    "thousands with blanks": one("Time;kWh", "{t:%Y-%m-%d %H:%M};{blank}", THOUSANDS, high_usage_kw=None),
    "thousands with apostrophes": one("Zeit;kWh", "{t:%Y-%m-%d %H:%M};{apostrophe}", THOUSANDS, high_usage_kw=None),
    "thousands with points": one(
        "Zeit;kWh", "{t:%Y-%m-%d %H:%M};{point}", [replace(r, kwh=round(r.kwh)) for r in THOUSANDS],
        high_usage_kw=None, decimal=",",
    ),
    "decimal commas between commas": one("Time,kWh", "{t:%Y-%m-%d %H:%M},{comma}", refused="decimal comma"),
    "signs and zeros": one("Time,kWh", "{t:%Y-%m-%d %H:%M}, +{v:08.3f} "),
    "units in cells": one("Time,Energy", "{t:%Y-%m-%d %H:%M},{v} kWh", refused="no column holds power or energy"),
    "a mark late in the file": late(
        "Zeit;Wh", "{t:%d.%m.%Y %H:%M};{wh}", "{t:%d.%m.%Y %H:%M};1.500", refused="'1.500' may be 1.500 or 1500"
    ),
    "a unit late in the file": late(
        "Time,Value,Unit", "{t:%Y-%m-%d %H:%M},{v},kWh", "{t:%Y-%m-%d %H:%M},0.0015,MWh", refused="different units"
    ),
    # Units
    "W": one("Time,Power (W)", "{t:%Y-%m-%d %H:%M},{wh}"),
    "kW of quarters": one("Time,Power (kW)", "{t:%Y-%m-%d %H:%M},{kw}", scaled(0.5, QUARTERS)),
    "MWh": one("Time,Load MWh", "{t:%Y-%m-%d %H:%M},{mwh}"),
    "a column of units": one("Time,Value,Unit", "{t:%Y-%m-%d %H:%M},{wh},Wh"),
    "a second line of the header": one("Time,Consumption\n,Wh", "{t:%Y-%m-%d %H:%M},{wh}"),
    "apparent energy": one("Time,Energy (kVAh)", "{t:%Y-%m-%d %H:%M},{v}", refused="not active energy"),
    "reactive power": one("Time,kvar", "{t:%Y-%m-%d %H:%M},{v}", columns="power_kw=kvar", refused="is in kvar"),
    "gas": one("Time,Gas (m3)", "{t:%Y-%m-%d %H:%M},{v}", refused="'Gas (m3)' is not active energy"),
    # Columns
    "import and export": one("Time,Import kWh,Export kWh", "{t:%Y-%m-%d %H:%M},{v},{on}"),
    "consumption and generation": one("Time,Consumption (kWh),Generation (kWh)", "{t:%Y-%m-%d %H:%M},{v},{on}"),
    "grid and PV": one("Time,PV kWh,Grid kWh", "{t:%Y-%m-%d %H:%M},{on},{v}"),
    "active and reactive": one("Time,kWh,kvarh", "{t:%Y-%m-%d %H:%M},{v},{on}"),
    "price and temperature": one(
        "Time,Price (ct),Temperature,Consumption kWh,Cost (EUR)", "{t:%Y-%m-%d %H:%M},3{on},5.5,{v},0.{on}"
    ),
    "voltage and current": one("Time,Voltage (V),Current (A),Power (W)", "{t:%Y-%m-%d %H:%M},230.1,2.{on},{wh}"),
    "phases": one(
        "Time,L1 kWh,L2 kWh,L3 kWh", "{t:%Y-%m-%d %H:%M},0.05,0.05,{rest}",
        columns="energy_kwh=L1 kWh,energy_kwh=L2 kWh,energy_kwh=L3 kWh",
    ),
    "phases and their total": one("Time,L1 kWh,L2 kWh,L3 kWh,Total kWh", "{t:%Y-%m-%d %H:%M},0.05,0.05,{rest},{v}"),
    "tariffs": one("Time,High tariff kWh,Low tariff kWh", "{t:%Y-%m-%d %H:%M},0.1,{rest}"),
    "forecast and actual": one(
        "Time,Forecast [MW],Actual [MW]", "{t:%Y-%m-%d %H:%M},1.0,{v}", refused="power_mw=Actual [MW]"
    ),
    "least and greatest": one("Time,Min kW,Max kW", "{t:%Y-%m-%d %H:%M},{v},{more}", refused="'Min kW', 'Max kW'"),
    "energy and power": one("Time,kWh,kW", "{t:%Y-%m-%d %H:%M},{v},{kw}", HALVES, refused="in different units"),
    "row numbers": one("No,Time,kWh", "{n},{t:%Y-%m-%d %H:%M},{v}"),
    "one numeric meter": one("Meter Number,Time,Units", "12345678,{t:%Y-%m-%d %H:%M},{v}", unit="kWh"),
    # Rows
    "preamble and total": Shape(
        {
            "a.csv": text(
                "Lastgang", "Kunde;Muster GmbH", "Zeitraum;01.01.2026;31.01.2026", "Einheit;kWh", "", "Zeit;Wert",
                lines("{t:%d.%m.%Y %H:%M};{comma}", HOURS), "", "Summe;1234,5",
            )
        },
        HOURS, {"timezone": "UTC"},
    ),
    "totals of days": Shape(
        {
            "a.csv": text(
                "Date,Time,kWh",
                *([*lines("{t:%Y-%m-%d,%H:%M},{v}", own), f"{day},Total,17.5"] for day, own in by_day(HOURS).items()),
            )
        },
        HOURS, {"timezone": "UTC"},
    ),
    "quotes, CRLF and BOM": Shape(
        {"a.csv": "\ufeff" + text('"Time","kWh"', lines('"{t:%Y-%m-%d %H:%M}","{v}"', HOURS)).replace("\n", "\r\n")},
        HOURS, {"timezone": "UTC"},
    ),
    "channels": one("Time,Channel,kWh", "{t:%Y-%m-%d %H:%M},Import,{v}\n{t:%Y-%m-%d %H:%M},Export,{on}"),
    "flats": one(
        "Time,Apartment,kWh", "{t:%Y-%m-%d %H:%M},left,{v}\n{t:%Y-%m-%d %H:%M},right,{on}",
        refused="'Apartment' tells them apart: left, right",
    ),
    "phases in rows": one(
        "Time,Phase,kWh", "{t:%Y-%m-%d %H:%M},A,{v}\n{t:%Y-%m-%d %H:%M},B,{on}", refused="'Phase' tells them apart"
    ),
    "estimates and actual reads": one(
        "Time,kWh,Quality", "{t:%Y-%m-%d %H:%M},{more},E\n{t:%Y-%m-%d %H:%M},{v},A",
        refused="'Quality' tells them apart",
    ),
    # Households
    "two meters with their own intervals": Shape(
        {
            "a.csv": text(
                "time,meter_id,kwh",
                lines("{u:%Y-%m-%dT%H:%MZ},A,{v}", QUARTERS), lines("{u:%Y-%m-%dT%H:%MZ},B,{v}", HOURS),
            )
        },
        {"A": QUARTERS, "B": HOURS},
    ),
    "meters as columns": one("Time,Home A kWh,Home B kWh", "{t:%Y-%m-%d %H:%M},{v},{on}", refused="household_id=*"),
    "meters as columns, stated": Shape(
        {"a.csv": text("Time,house_1,house_2", lines("{t:%Y-%m-%d %H:%M},{v},{more}", HOURS))},
        {"house_1": HOURS, "house_2": [replace(r, kwh=round(r.kwh + 0.3, 3)) for r in HOURS]},
        {"timezone": "UTC", "unit": "kWh", "columns": "household_id=*"},
    ),
    # Files
    "a file a day": Shape(
        {
            "a.csv": text("Time,kWh", lines("{u:" + ISO + "},{v}", HOURS[:24])),
            "b.csv": text("Zeit;kWh", lines("{u:" + ISO + "};{comma}", HOURS[24:])),
        },
        HOURS, {"columns": "household_id=@A"},
    ),
    "a file a household": Shape(
        {
            "a.csv": text("Time,kWh", lines("{u:" + ISO + "},{v}", HOURS)),
            "b.csv": text("Time,kWh", lines("{u:" + ISO + "},{v}", scaled(2, HOURS))),
        },
        {"a": HOURS, "b": scaled(2, HOURS)}, {"columns": "household_id=@{file}"},
    ),
    "a file a day or a household": Shape(
        dict.fromkeys(("a.csv", "b.csv"), text("Time,kWh", lines("{u:" + ISO + "},{v}", HOURS))), HOURS,
        refused="may be of one household or of one each",
    ),
    # Registers
    "register": register("Time,Meter reading kWh", "{t:%Y-%m-%d %H:%M},{v}"),
    "register, newest first": register("Time,Meter reading kWh", "{t:%Y-%m-%d %H:%M},{v}", newest_first=True),
    "register of Wh": register("Time,Counter Wh", "{t:%Y-%m-%d %H:%M},{wh}"),
    "register over autumn": register(
        "Zeit;Zählerstand kWh", "{t:%d.%m.%Y %H:%M};{comma}", readings(BERLIN, AUTUMN), BERLIN, newest_first=True
    ),
    "register of days": register("Datum;Zählerstand kWh", "{t:%d.%m.%Y %H:%M};{comma}", days(BERLIN), BERLIN),
    "register, hours then quarters": register("Time,Reading kWh", "{t:%Y-%m-%d %H:%M},{v}", changing(60, 15)),
    "register taken for energy": replace(
        register("Time,Value", "{t:%Y-%m-%d %H:%M},{v}", columns="energy_kwh=Value"), refused="looks like a register"
    ),
}  # fmt: skip


def figures(shape, files):
    """Run generator and analyzer; returns output1.json."""
    sources = shape.files() if callable(shape.files) else shape.files
    for name, content in sources.items():
        (files / "source" / name).write_bytes(content.encode())
    params = [
        {key: value for key, value in shape.params.items() if key in model.model_fields}
        for model in (GeneratorParams, AnalyzerParams)
    ]
    generate(files, GeneratorParams(files=tuple(sources), **params[0]))
    analyze(files, AnalyzerParams(**params[1]))
    return json.loads((files / "output1.json").read_text())


def expected(shape):
    """Return the figures of the readings by household, and of all."""
    homes = shape.readings if isinstance(shape.readings, dict) else {None: shape.readings}
    peaks = {name: max(own, key=lambda r: r.kw) for name, own in homes.items()}
    return {
        "energy_kwh": {name: pytest.approx(sum(r.kwh for r in own), abs=0.01) for name, own in homes.items()},
        "peak_kw": {name: pytest.approx(peak.kw, abs=0.01) for name, peak in peaks.items()},
        "peak_at": {name: peak.start.strftime(ISO) for name, peak in peaks.items()},
        "accepted": sum(map(len, homes.values())),
        "missing": 0,
        "start": min(r.start for own in homes.values() for r in own).strftime(ISO),
        "end": max(r.end for own in homes.values() for r in own).strftime(ISO),
    }


def measured(output, shape):
    """Return the same figures as the analyzer wrote them."""
    several = isinstance(shape.readings, dict)
    homes = {home["household_id"] if several else None: home for home in output["households"]}
    of_homes = {key: {name: home[key] for name, home in homes.items()} for key in ("energy_kwh", "peak_kw", "peak_at")}
    of_all = {key: output[key] for key in ("missing", "start", "end")}
    return of_homes | {"accepted": output["records_out"]} | of_all


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.refused is None])
def test_figures_are_those_of_the_readings(files, name):
    shape = SHAPES[name]
    assert measured(figures(shape, files), shape) == expected(shape)


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.refused is not None])
def test_what_cannot_be_told_is_refused(files, name):
    with pytest.raises(BadInputError) as refused:
        figures(SHAPES[name], files)
    assert SHAPES[name].refused in str(refused.value)
