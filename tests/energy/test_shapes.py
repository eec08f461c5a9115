"""Shapes of meter files in many countries: the figures are those that are computed here, without the reader."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from include.core.errors import BadInputError
from include.energy.analyzer import analyze
from include.energy.generator import generate
from include.energy.params import AnalyzerParams, GeneratorParams


@dataclass(frozen=True)
class Reading:
    """Energy of an interval that begins at a time (UTC)."""

    start: datetime
    seconds: int
    kwh: float

    @property
    def kw(self):
        return self.kwh * 3600 / self.seconds


@dataclass(frozen=True)
class Shape:
    """Input files by name, what the user states, and the readings by household that they hold.

    `refused` is part of the message of a file that has to be refused.
    """

    files: dict
    readings: dict | list = field(default_factory=list)
    params: dict = field(default_factory=dict)
    refused: str = ""


def kwh(number):
    """Energy that neither rises for long nor stands out; the greatest is unique within a hundred."""
    return round(0.1 + 0.013 * (number * 37 % 101), 3)


def readings(zone="UTC", start="2026-01-05 00:00", until="2026-01-08 00:00", minutes=60, first=0):
    """Readings between two local times."""
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) for text in (start, until))
    moment, result = begin.astimezone(UTC), []
    while moment < end.astimezone(UTC):
        result.append(Reading(moment, minutes * 60, kwh(first + len(result))))
        moment += timedelta(minutes=minutes)
    return result


def comma(value, digits=3):
    return f"{value:.{digits}f}".replace(".", ",")


def table(header, rows, delimiter=";", before=(), after=(), end="\n"):
    return end.join([*before, header, *(delimiter.join(map(str, row)) for row in rows), *after]) + end


def local(reading, zone, pattern, *, ends=False):
    """The start or the end of a reading on a local clock."""
    moment = reading.start + timedelta(seconds=reading.seconds * ends)
    return moment.astimezone(ZoneInfo(zone)).strftime(pattern)


def days(series, zone):
    """Readings by local day."""
    result = {}
    for reading in series:
        result.setdefault(reading.start.astimezone(ZoneInfo(zone)).date(), []).append(reading)
    return result


BERLIN, MADRID, PARIS, LONDON, NEW_YORK = (
    "Europe/Berlin", "Europe/Madrid", "Europe/Paris", "Europe/London", "America/New_York",
)  # fmt: skip
HOURS, QUARTERS, HALVES = readings(), readings(minutes=15, until="2026-01-06 12:00"), readings(minutes=30)
AUTUMN = {"start": "2025-10-25 00:00", "until": "2025-10-28 00:00"}
SPRING = {"start": "2025-03-29 00:00", "until": "2025-04-01 00:00"}


def simple(stamp="%Y-%m-%d %H:%M", header="Time,kWh", series=HOURS, number=str, zone="UTC", delimiter=",", ends=False,
           stated=None, **params):  # fmt: skip
    rows = [(local(r, zone, stamp, ends=ends), number(r.kwh)) for r in series]
    return Shape({"a.csv": table(header, rows, delimiter)}, series, {"timezone": stated or zone} | params)


def registers(series, start=1000.0, factor=1):
    total, rows = start, []
    for reading in series:
        rows.append((reading.start, round(total * factor, 3)))
        total = round(total + reading.kwh, 3)
    rows.append((series[-1].start + timedelta(seconds=series[-1].seconds), round(total * factor, 3)))
    return rows


def german():
    series = readings(BERLIN, **AUTUMN, minutes=15)
    rows = [(local(r, BERLIN, "%d.%m.%Y"), local(r, BERLIN, "%H:%M"), local(r, BERLIN, "%H:%M", ends=True),
             comma(r.kwh)) for r in series]  # fmt: skip
    return Shape(
        {"a.csv": table("Datum;Uhrzeit von;Uhrzeit bis;Verbrauch [kWh]", rows)}, series, {"timezone": BERLIN}
    )


def hours_numbered(header, zone, span, pattern):
    series = readings(zone, **span)
    rows = [
        (day.strftime(pattern), number, comma(r.kwh))
        for day, own in days(series, zone).items()
        for number, r in enumerate(own, start=1)
    ]
    return Shape({"a.csv": table(header, rows)}, series, {"timezone": zone})


def hours_as_columns(header, names, series, zone="UTC", pattern="%Y-%m-%d", delimiter=",", number=str, lead=()):
    rows = [(*lead, day.strftime(pattern), *(number(r.kwh) for r in own)) for day, own in days(series, zone).items()]
    return Shape({"a.csv": table(delimiter.join([header, *names]), rows, delimiter)}, series, {"timezone": zone, "unit": "kWh"})


def clock(minutes, number, pattern="%H:%M"):
    return (datetime(2026, 1, 1) + timedelta(minutes=minutes * number)).strftime(pattern)  # noqa: DTZ001


def changing(first, second, zone="UTC", *, ends=False, header="Time,kWh"):
    one = readings(zone, "2026-01-05 00:00", "2026-01-07 00:00", first)
    two = readings(zone, "2026-01-07 00:00", "2026-01-08 00:00", second, first=50)
    rows = [(local(r, zone, "%Y-%m-%d %H:%M", ends=ends), r.kwh) for r in (*one, *two)]
    params = {"timezone": zone} | ({"stamp": "end"} if ends else {})
    return Shape({"a.csv": table(header, rows, ",")}, [*one, *two], params)


def monthly(zone, *, ends=False):
    starts = [datetime(2025 + n // 12, n % 12 + 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) for n in range(15)]
    series = [
        Reading(a, round((b - a).total_seconds()), 200 + kwh(n))
        for n, (a, b) in enumerate(zip(starts, starts[1:], strict=False))
    ]
    rows = [(local(r, zone, "%d.%m.%Y", ends=ends), comma(r.kwh, 2 if False else 3)) for r in series]
    params = {"timezone": zone, "decimal": ","} | ({"stamp": "end"} if ends else {})
    return Shape({"a.csv": table("Monat;Verbrauch kWh", rows)}, series, params)


def daily(zone, *, offsets=False):
    begins = [
        datetime(2025, 3, 1, tzinfo=ZoneInfo(zone)) + timedelta(days=n) for n in range(60)
    ]
    series = [
        Reading(a.astimezone(UTC), round((b.astimezone(UTC) - a.astimezone(UTC)).total_seconds()), 5 + kwh(n))
        for n, (a, b) in enumerate(zip(begins, begins[1:], strict=False))
    ]
    rows = [(a.isoformat() if offsets else f"{a:%Y-%m-%d}", r.kwh) for a, r in zip(begins, series, strict=False)]
    return Shape({"a.csv": table("Day,kWh", rows, ",")}, series, {"timezone": zone, "decimal": "."})


def households():
    a, b = readings(minutes=15, until="2026-01-06 00:00"), readings(until="2026-01-06 00:00", first=40)
    rows = [(f"{r.start:%Y-%m-%dT%H:%M:%SZ}", home, r.kwh) for home, own in (("A", a), ("B", b)) for r in own]
    return Shape({"a.csv": table("time,meter_id,energy_kwh", rows, ",")}, {"A": a, "B": b})


def wide(header, **params):
    a, b = HOURS, readings(first=50)
    rows = [(f"{x.start:%Y-%m-%d %H:%M}", x.kwh, y.kwh) for x, y in zip(a, b, strict=True)]
    names = [name for name in header.split(",")[1:]]
    return Shape({"a.csv": table(header, rows, ",")}, dict(zip(names, (a, b), strict=True)), {"timezone": "UTC"} | params)


def with_columns(header, row, series=HOURS, delimiter=",", **params):
    rows = [row(n, r) for n, r in enumerate(series)]
    return Shape({"a.csv": table(header, rows, delimiter)}, series, {"timezone": "UTC"} | params)


def register(pattern="%Y-%m-%d %H:%M", header="Time,Meter reading kWh", series=HOURS, number=str, factor=1, *, backwards=False,
             zone="UTC", delimiter=",", **params):  # fmt: skip
    rows = [(t.astimezone(ZoneInfo(zone)).strftime(pattern), number(value)) for t, value in registers(series, factor=factor)]
    rows = rows[::-1] if backwards else rows
    return Shape({"a.csv": table(header, rows, delimiter)}, series, {"timezone": zone} | params)


def iso(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


SHAPES = {
    "german quarters, from and to": german,
    "french half-hours": lambda: simple("%d/%m/%Y %H:%M", "Date et heure;Consommation (kWh)", readings(PARIS, **AUTUMN, minutes=30), comma, PARIS, ";"),
    "french Wh": lambda: simple("%d/%m/%Y %H:%M", "Horodate;Energie (Wh)", readings(PARIS, **SPRING, minutes=30), lambda v: round(v * 1000), PARIS, ";"),
    "spanish hours 1 to 25": lambda: hours_numbered("CUPS_;Fecha;Hora;AE_kWh".removeprefix("CUPS_;"), MADRID, AUTUMN, "%d/%m/%Y"),
    "spanish hours 1 to 23": lambda: hours_numbered("Fecha;Hora;AE_kWh", MADRID, SPRING, "%d/%m/%Y"),
    "polish hours": lambda: hours_numbered("Data;Godzina;Energia pobrana [kWh]", "Europe/Warsaw", AUTUMN, "%Y-%m-%d"),
    "dutch dashes": lambda: simple("%d-%m-%Y %H:%M", "Datum;Verbruik in kWh", readings("Europe/Amsterdam", **AUTUMN), comma, "Europe/Amsterdam", ";"),
    "swedish": lambda: simple("%Y-%m-%d %H:%M", "Tidpunkt;Förbrukning (kWh)", readings("Europe/Stockholm", **AUTUMN), comma, "Europe/Stockholm", ";"),
    "finnish": lambda: with_columns("MeteringPointGSRN;Resolution;UnitType;StartTime;Quantity;Quality", lambda n, r: ("643", "PT1H", "kWh", iso(r.start), comma(r.kwh), "OK"), delimiter=";"),
    "norwegian": lambda: with_columns("Fra;Til;KWH 60 Forbruk;Kvalitet", lambda n, r: (f"{r.start:%d.%m.%Y %H:%M}", f"{r.start + timedelta(hours=1):%d.%m.%Y %H:%M}", comma(r.kwh), "Målt"), delimiter=";"),
    "hours as columns, HE01 to HE24": lambda: hours_as_columns("Date", [f"HE{n:02}" for n in range(1, 25)], HOURS, pattern="%Y/%m/%d"),
    "hours as columns, clock": lambda: hours_as_columns("Date", [clock(60, n) for n in range(24)], HOURS),
    "hours as columns, ends": lambda: hours_as_columns("Date", [clock(60, n) for n in range(1, 24)] + ["24:00"], HOURS),
    "hours as columns, ends with midnight": lambda: hours_as_columns("Date", [clock(60, n) for n in range(1, 25)], HOURS),
    "half-hours as columns, ends": lambda: hours_as_columns("Date", [clock(30, n) for n in range(1, 48)] + ["24:00"], HALVES, pattern="%d.%m.%Y"),
    "quarters as ranges in columns": lambda: hours_as_columns("Giorno", [f"{clock(15, n)}-{clock(15, n + 1)}" for n in range(96)], readings(minutes=15), pattern="%d.%m.%Y", delimiter=";", number=comma),
    "hours as columns, AM and PM": lambda: hours_as_columns("Date", [clock(60, n, "%I:%M %p") for n in range(24)], HOURS),
    "hours as columns, HH1 to HH48": lambda: hours_as_columns("Date", [f"HH{n}" for n in range(1, 49)], HALVES),
    "hours as columns with a total": lambda: hours_as_columns("Date", [f"H{n}" for n in range(1, 25)], HOURS),
    "settlement periods": lambda: with_columns("Settlement Date,Settlement Period,Consumption kWh", lambda n, r: (f"{r.start:%Y-%m-%d}", r.start.hour * 2 + r.start.minute // 30 + 1, r.kwh), HALVES),
    "hour ending 1 to 24": lambda: with_columns("Date,Hour Ending,kWh", lambda n, r: (f"{r.start:%m/%d/%Y}", r.start.hour + 1, r.kwh)),
    "hours 0 to 23": lambda: with_columns("Date,Hour,kWh", lambda n, r: (f"{r.start:%m/%d/%Y}", r.start.hour, r.kwh)),
    "clock of 12 hours": lambda: simple("%m/%d/%Y %I:%M %p", "Start,Usage (kWh)", readings(NEW_YORK, start="2025-11-01 00:00", until="2025-11-04 00:00"), str, NEW_YORK),
    "clock of 12 hours, ends": lambda: simple("%m/%d/%Y %I:%M %p", "Reading Time,Usage (kWh)", readings(NEW_YORK, start="2025-06-01 00:00", until="2025-06-04 00:00", minutes=15), str, NEW_YORK, ends=True),
    "ambiguous dates of January": lambda: simple("%d/%m/%Y %H:%M", series=readings(start="2026-01-01 00:00", until="2026-01-08 00:00")),
    "ambiguous american dates": lambda: simple("%m/%d/%Y %H:%M", series=readings(start="2026-02-01 00:00", until="2026-02-08 00:00")),
    "short years": lambda: simple("%d/%m/%y %H:%M"),
    "compact dates": lambda: simple("%Y%m%d %H:%M"),
    "compact stamps": lambda: simple("%Y%m%d%H%M"),
    "named months": lambda: simple("%d-%b-%Y %H:%M"),
    "american named months": lambda: with_columns("Time;kWh", lambda n, r: (f"{r.start:%b %d, %Y %I:%M %p}", r.kwh), delimiter=";"),
    "unix seconds": lambda: with_columns("epoch,kWh", lambda n, r: (round(r.start.timestamp()), r.kwh)),
    "unix milliseconds": lambda: with_columns("timestamp,kwh", lambda n, r: (round(r.start.timestamp() * 1000), r.kwh)),
    "abbreviated zones": lambda: with_columns("Time,kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M:%S} CET", r.kwh)),
    "offsets over autumn": lambda: with_columns("Time,kWh", lambda n, r: (r.start.astimezone(ZoneInfo(BERLIN)).strftime("%Y-%m-%dT%H:%M:%S%z"), r.kwh), readings(BERLIN, **AUTUMN)),
    "local and UTC columns": lambda: with_columns("Time (UTC),Time (local),kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", local(r, BERLIN, "%Y-%m-%d %H:%M"), r.kwh), timezone=BERLIN),
    "local before UTC columns": lambda: with_columns("Local time,UTC time,kWh", lambda n, r: (local(r, BERLIN, "%Y-%m-%d %H:%M"), f"{r.start:%Y-%m-%d %H:%M}", r.kwh), timezone=BERLIN),
    "half-hour zone": lambda: simple(series=readings("Asia/Kolkata"), zone="Asia/Kolkata"),
    "lord howe": lambda: simple(series=readings("Australia/Lord_Howe", start="2025-04-05 00:00", until="2025-04-08 00:00", minutes=30), zone="Australia/Lord_Howe"),
    "fixed offset": lambda: simple(series=readings("Etc/GMT-10"), zone="Etc/GMT-10", stated="+10:00"),
    "ends in autumn, clock of the end": lambda: simple(series=readings(NEW_YORK, start="2025-11-01 00:00", until="2025-11-04 00:00"), zone=NEW_YORK, ends=True) ,
    "ends in spring, clock of the end": lambda: simple(series=readings(BERLIN, **SPRING, minutes=15), zone=BERLIN, ends=True),
    "newest first in autumn": lambda: Shape({"a.csv": table("Time,kWh", [(local(r, BERLIN, "%Y-%m-%d %H:%M"), r.kwh) for r in readings(BERLIN, **AUTUMN, minutes=15)][::-1], ",")}, readings(BERLIN, **AUTUMN, minutes=15), {"timezone": BERLIN}),
    "5 then 15 minutes": lambda: changing(5, 15),
    "15 then 60 minutes": lambda: changing(15, 60),
    "30 then 5 minutes, ends and zone": lambda: changing(30, 5, BERLIN, ends=True),
    "60 then 15 minutes, kW": lambda: (lambda s: Shape({"a.csv": table("Time,kW", [(f"{r.start:%Y-%m-%d %H:%M}", r.kw) for r in s.readings], ",")}, s.readings, {"timezone": "UTC"}))(changing(60, 15)),
    "months": lambda: monthly(BERLIN),
    "months, ends": lambda: monthly(BERLIN, ends=True),
    "days in spring": lambda: daily(BERLIN),
    "days in Sydney": lambda: daily("Australia/Sydney"),
    "days with offsets": lambda: daily(NEW_YORK, offsets=True),
    "thousands, quoted commas": lambda: simple(series=[Reading(r.start, 3600, round(r.kwh * 4000, 1)) for r in HOURS], number=lambda v: f'"{v:,.1f}"', high_usage_kw=None),
    "thousands, blanks": lambda: simple(series=[Reading(r.start, 3600, round(r.kwh * 4000, 1)) for r in HOURS], number=lambda v: f"{v:,.1f}".replace(",", " ").replace(".", ","), delimiter=";", header="Time;kWh", high_usage_kw=None),
    "thousands, narrow blanks": lambda: simple(series=[Reading(r.start, 3600, round(r.kwh * 4000, 1)) for r in HOURS], number=lambda v: f"{v:,.1f}".replace(",", "\u202f").replace(".", ","), delimiter=";", header="Time;kWh", high_usage_kw=None),
    "thousands, apostrophes": lambda: simple(series=[Reading(r.start, 3600, round(r.kwh * 4000, 1)) for r in HOURS], number=lambda v: f"{v:,.1f}".replace(",", "'"), header="Zeit;kWh", delimiter=";", high_usage_kw=None),
    "thousands, points and no decimals": lambda: simple(series=[Reading(r.start, 3600, round(r.kwh * 4000)) for r in HOURS], number=lambda v: f"{v:,}".replace(",", "."), header="Zeit;kWh", delimiter=";", high_usage_kw=None, decimal=","),
    "decimal commas unquoted": lambda: simple(number=comma),
    "units in cells": lambda: simple(header="Time,Energy", number=lambda v: f"{v} kWh"),
    "units in a second header line": lambda: Shape({"a.csv": table("Time,Consumption\n,kWh", [(f"{r.start:%Y-%m-%d %H:%M}", r.kwh) for r in HOURS], ",")}, HOURS, {"timezone": "UTC"}),
    "Wh of a second header line": lambda: Shape({"a.csv": table("Time,Consumption\n,Wh", [(f"{r.start:%Y-%m-%d %H:%M}", r.kwh * 1000) for r in HOURS], ",")}, HOURS, {"timezone": "UTC"}),
    "W": lambda: with_columns("Time,Power (W)", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", round(r.kwh * 1000))),
    "kW of quarters": lambda: with_columns("Time,Power (kW)", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", round(r.kw, 3)), QUARTERS),
    "MWh": lambda: with_columns("Time,Load MWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", f"{r.kwh / 1000:.6f}")),
    "import and export": lambda: with_columns("Time,Import kWh,Export kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", r.kwh, n % 3)),
    "consumption and generation": lambda: with_columns("Time,Consumption (kWh),Generation (kWh)", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", r.kwh, n % 5)),
    "german directions": lambda: with_columns("Zeit;Bezug kWh;Einspeisung kWh", lambda n, r: (f"{r.start:%d.%m.%Y %H:%M}", comma(r.kwh), comma(n % 4)), delimiter=";"),
    "long channels": lambda: Shape({"a.csv": table("Time,Channel,kWh", [(f"{r.start:%Y-%m-%d %H:%M}", c, r.kwh if c == "Import" else 9) for r in HOURS for c in ("Import", "Export")], ",")}, HOURS, {"timezone": "UTC"}),
    "active and reactive": lambda: with_columns("Time,kWh,kvarh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", r.kwh, n % 7)),
    "price and temperature": lambda: with_columns("Time,Price (ct),Temperature,Consumption kWh,Cost (EUR)", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", 30 + n % 3, 5.5, r.kwh, 0.1 * (n % 4))),
    "phases": lambda: with_columns("Time,L1 W,L2 W,L3 W", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", round(r.kwh * 500), round(r.kwh * 300), round(r.kwh * 1000) - round(r.kwh * 500) - round(r.kwh * 300)), columns="power_w=L1 W,power_w=L2 W,power_w=L3 W"),
    "phases and their total": lambda: with_columns("Time,L1 kWh,L2 kWh,L3 kWh,Total kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", 0.05, 0.05, round(r.kwh - 0.1, 3), r.kwh)),
    "tariffs": lambda: with_columns("Time,High tariff kWh,Low tariff kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", r.kwh if n % 24 > 6 else 0, 0 if n % 24 > 6 else r.kwh)),
    "unit column": lambda: with_columns("Time,Value,Unit", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", round(r.kwh * 1000), "Wh")),
    "units that change": lambda: with_columns("Time,Value,Unit", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", r.kwh, "kWh" if n % 2 else "Wh")),
    "preamble and total": lambda: Shape({"a.csv": table("Zeit;Wert", [(f"{r.start:%d.%m.%Y %H:%M}", comma(r.kwh)) for r in HOURS], ";", ["Lastgang", "Kunde;Muster GmbH", "Zeitraum;01.01.2026;31.01.2026", "Einheit;kWh", ""], ["", f"Summe;{comma(sum(r.kwh for r in HOURS))}"])}, HOURS, {"timezone": "UTC"}),
    "total with a date": lambda: Shape({"a.csv": table("Time,kWh", [(f"{r.start:%Y-%m-%d %H:%M}", r.kwh) for r in HOURS], ",", (), [f"Total,{sum(r.kwh for r in HOURS):.3f}"])}, HOURS, {"timezone": "UTC"}),
    "daily totals between hours": lambda: Shape({"a.csv": table("Date,Time,kWh", [row for day, own in days(HOURS, "UTC").items() for row in (*((day, f"{r.start:%H:%M}", r.kwh) for r in own), (day, "Total", round(sum(r.kwh for r in own), 3)))], ",")}, HOURS, {"timezone": "UTC"}),
    "everything quoted, CRLF and BOM": lambda: Shape({"a.csv": "\ufeff" + table('"Time","kWh"', [(f'"{r.start:%Y-%m-%d %H:%M}"', f'"{r.kwh}"') for r in HOURS], ",", end="\r\n")}, HOURS, {"timezone": "UTC"}),
    "tabs": lambda: simple(header="Time\tkWh", delimiter="\t", number=comma),
    "two households with their own intervals": households,
    "wide": lambda: wide("Time,Home A kWh,Home B kWh"),
    "wide, stated": lambda: wide("Time,house_1,house_2", unit="kWh", columns="household_id=*"),
    "two files, two days": lambda: Shape({"a.csv": table("Time,kWh", [(iso(r.start), r.kwh) for r in HOURS[:24]], ","), "b.csv": table("Zeit;kWh", [(iso(r.start), comma(r.kwh)) for r in HOURS[24:]])}, HOURS, {"columns": "household_id=@A"}),
    "two files, two households": lambda: Shape({"a.csv": table("Time,kWh", [(iso(r.start), r.kwh) for r in HOURS], ","), "b.csv": table("Time,kWh", [(iso(r.start), r.kwh * 2) for r in HOURS], ",")}, {"a": HOURS, "b": [Reading(r.start, 3600, r.kwh * 2) for r in HOURS]}, {"columns": "household_id=@{file}"}),
    "two files, which household": lambda: Shape({"a.csv": table("Time,kWh", [(iso(r.start), r.kwh) for r in HOURS], ","), "b.csv": table("Time,kWh", [(iso(r.start), r.kwh * 2) for r in HOURS], ",")}, refused="may be of one household or of one each"),
    "estimates then actual reads": lambda: Shape({"a.csv": table("Time,kWh,Quality", [row for r in HOURS for row in ((iso(r.start), round(r.kwh + 0.5, 3), "E"), (iso(r.start), r.kwh, "A"))], ",")}, HOURS),
    "register": register,
    "register, newest first": lambda: register(backwards=True),
    "register in Wh": lambda: register(header="Time,Counter Wh", factor=1000),
    "register, decimal comma and zone": lambda: register("%d.%m.%Y %H:%M", "Zeit;Zählerstand kWh", readings(BERLIN, **AUTUMN), comma, zone=BERLIN, delimiter=";"),
    "register, newest first in autumn": lambda: register("%d.%m.%Y %H:%M", "Zeit;Zählerstand kWh", readings(BERLIN, **AUTUMN), comma, zone=BERLIN, delimiter=";", backwards=True),
    "register taken for energy": lambda: register(header="Time,Value", refused=None) if False else Shape({"a.csv": table("Time,Value", [(f"{t:%Y-%m-%d %H:%M}", v) for t, v in registers(HOURS)], ",")}, refused="register", params={"timezone": "UTC", "columns": "energy_kwh=Value"}),
    "registers of two tariffs": lambda: (lambda one, two: Shape({"a.csv": table("Time,T1 reading kWh,T2 reading kWh", [(f"{t:%Y-%m-%d %H:%M}", x, y) for (t, x), (_, y) in zip(registers(one), registers(two, 77.7), strict=True)], ",")}, [Reading(a.start, 3600, round(a.kwh + b.kwh, 3)) for a, b in zip(one, two, strict=True)], {"timezone": "UTC"}))([Reading(r.start, 3600, r.kwh if r.start.hour > 6 else 0.0) for r in HOURS], [Reading(r.start, 3600, 0.0 if r.start.hour > 6 else r.kwh) for r in HOURS]),
    "empty cells": lambda: with_columns("Time,kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", r.kwh)),
    "net power of a solar home": lambda: simple(series=[Reading(r.start, 3600, round(r.kwh - 0.6, 3)) for r in HOURS], allow_export=True, header="Time,Net kWh"),
    "start and end with 24:00": lambda: with_columns("Start,End,kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", f"{r.start:%Y-%m-%d} {r.start.hour + 1:02}:00", r.kwh)),
    "date with midnight and time": lambda: with_columns("Date,Time,kWh", lambda n, r: (f"{r.start:%Y-%m-%d} 00:00:00", f"{r.start:%H:%M}", r.kwh)),
    "time before date": lambda: with_columns("Time,Date,kWh", lambda n, r: (f"{r.start:%H:%M}", f"{r.start:%Y-%m-%d}", r.kwh)),
    "numeric meter": lambda: with_columns("Meter Number,Time,Units", lambda n, r: ("12345678", f"{r.start:%Y-%m-%d %H:%M}", r.kwh), unit="kWh"),
    "row numbers": lambda: with_columns("No,Time,kWh", lambda n, r: (n + 1, f"{r.start:%Y-%m-%d %H:%M}", r.kwh)),
    "one minute in W": lambda: with_columns("time,watts", lambda n, r: (iso(r.start), round(r.kw * 1000)), [Reading(r.start, 60, round(r.kwh / 60, 6)) for r in readings(minutes=1, until="2026-01-05 05:00")]),
    "portuguese decimal kW, ends": lambda: with_columns("Data;Hora;Consumo (kW)", lambda n, r: ((r.start + timedelta(minutes=15)).strftime("%Y/%m/%d"), (r.start + timedelta(minutes=15)).strftime("%H:%M"), comma(r.kw)), readings(minutes=15), delimiter=";"),
    "portuguese kW, ends with 24:00": lambda: with_columns("Data;Hora;Consumo (kW)", lambda n, r: (f"{r.start:%Y/%m/%d}", "24:00" if (r.start + timedelta(minutes=15)).hour + (r.start + timedelta(minutes=15)).minute == 0 else f"{r.start + timedelta(minutes=15):%H:%M}", comma(r.kw)), readings(minutes=15), delimiter=";"),
    "UTC days on a local clock with offsets": lambda: with_columns("Time,kWh", lambda n, r: (r.start.astimezone(ZoneInfo(BERLIN)).isoformat(), r.kwh)),
    "UTC days on a local clock": lambda: with_columns("Time,kWh", lambda n, r: (local(r, BERLIN, "%Y-%m-%d %H:%M"), r.kwh), timezone=BERLIN),
    "wide with a total": lambda: with_columns("Time,Kitchen kWh,Garage kWh,Total kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", 0.05, round(r.kwh - 0.05, 3), r.kwh)),
    "forecast and actual": lambda: with_columns("Time,Forecast [MW],Actual [MW]", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", 1.0, r.kwh)),
    "entsoe": lambda: with_columns("Time (CET/CEST);Day-ahead Total Load Forecast [MW];Actual Total Load [MW]", lambda n, r: (f"{r.start:%d.%m.%Y %H:%M} - {r.start + timedelta(hours=1):%d.%m.%Y %H:%M}", 1000 + n % 9, r.kwh), delimiter=";"),
    "PV and grid": lambda: with_columns("Time,PV kWh,Grid kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", n % 4, r.kwh)),
    "energy and its running total": lambda: (lambda t: with_columns("Time,kWh,Cumulative kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", r.kwh, t[n][1])))(registers(HOURS)),
    "reading and usage": lambda: (lambda t: with_columns("Date,Reading kWh,Usage kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", t[n][1], r.kwh)))(registers(HOURS)),
    "least, greatest and mean": lambda: with_columns("Time,Min kW,Max kW,Avg kW", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", round(r.kwh - 0.1, 3), round(r.kwh + 0.3, 3), r.kwh)),
    "energy and power": lambda: with_columns("Time,kWh,kW", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", r.kwh, round(r.kw, 3)), HALVES),
    "voltage, current and power": lambda: with_columns("Time,Voltage (V),Current (A),Power (W)", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", 230.1, 2.2, round(r.kw * 1000)), HALVES),
    "hungarian": lambda: with_columns("Időpont;Fogyasztás kWh", lambda n, r: (f"{r.start:%Y.%m.%d %H:%M}", comma(r.kwh)), delimiter=";"),
    "hungarian, dot after the day": lambda: with_columns("Időpont;Fogyasztás kWh", lambda n, r: (f"{r.start:%Y.%m.%d. %H:%M}", comma(r.kwh)), delimiter=";"),
    "short numbers in dates": lambda: with_columns("Datum;kWh", lambda n, r: (f"{r.start.day}.{r.start.month}.{r.start.year} {r.start.hour}:00", comma(r.kwh)), delimiter=";"),
    "american short numbers": lambda: with_columns("Date,Time,kWh", lambda n, r: (f"{r.start.month}/{r.start.day + 10}/{r.start.year}", f"{(r.start.hour - 1) % 12 + 1}:00:00 {'AM' if r.start.hour < 12 else 'PM'}", r.kwh)),
    "times with dots": lambda: with_columns("Dato;Tid;kWh", lambda n, r: (f"{r.start:%d-%m-%Y}", f"{r.start:%H.%M}", comma(r.kwh)), delimiter=";"),
    "fractions and offsets without colon": lambda: with_columns("Time,kWh", lambda n, r: (r.start.strftime("%Y-%m-%dT%H:%M:%S.000+0000"), r.kwh)),
    "days of spreadsheets": lambda: with_columns("Time,kWh", lambda n, r: (f"{46027 + n / 24:.6f}", r.kwh)),
    "signs, zeros and blanks": lambda: with_columns("Time,kWh", lambda n, r: (f"{r.start:%Y-%m-%d %H:%M}", f" +{r.kwh:08.3f} ")),
    "three decimals above one": lambda: simple(header="Zeit;kWh", delimiter=";", series=[Reading(r.start, 3600, round(r.kwh + 1, 3)) for r in HOURS], number=lambda v: f"{v:.3f}", decimal="."),
    "weeks": lambda: (lambda z: (lambda begins: (lambda own: Shape({"a.csv": table("Week,kWh", [(f"{a:%Y-%m-%d}", r.kwh) for a, r in zip(begins, own, strict=False)], ",")}, own, {"timezone": BERLIN, "decimal": "."}))([Reading(a.astimezone(UTC), round((b.astimezone(UTC) - a.astimezone(UTC)).total_seconds()), round(40 + kwh(n), 3)) for n, (a, b) in enumerate(zip(begins, begins[1:], strict=False))]))([datetime(2025, 1, 6, tzinfo=z) + timedelta(days=7 * n) for n in range(31)]))(ZoneInfo(BERLIN)),
    "quarters of a year": lambda: (lambda begins: (lambda own: Shape({"a.csv": table("Quarter,kWh", [(f"{a:%Y-%m-%d}", r.kwh) for a, r in zip(begins, own, strict=False)], ",")}, own, {"timezone": "UTC", "decimal": "."}))([Reading(a, round((b - a).total_seconds()), round(400 + kwh(n), 3)) for n, (a, b) in enumerate(zip(begins, begins[1:], strict=False))]))([datetime(2023 + n // 4, n % 4 * 3 + 1, 1, tzinfo=UTC) for n in range(13)]),
    "ends of months": lambda: (lambda begins: (lambda own: Shape({"a.csv": table("Month,kWh", [(f"{b - timedelta(days=1):%Y-%m-%d}", r.kwh) for b, r in zip(begins[1:], own, strict=False)], ",")}, own, {"timezone": "UTC", "decimal": "."}))([Reading(a, round((b - a).total_seconds()), round(400 + kwh(n), 3)) for n, (a, b) in enumerate(zip(begins, begins[1:], strict=False))]))([datetime(2023 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(13)]),
    "day then hours": lambda: changing(1440, 60),
    "one mark late in a file": lambda: (lambda own: Shape({"a.csv": table("Zeit;Wh", [(f"{r.start:%d.%m.%Y %H:%M}", f"{round(r.kwh * 1000):,}".replace(",", ".")) for r in own])}, own, {"timezone": "UTC"}))([Reading(r.start, 60, 1.5 if n == 9000 else round(kwh(n) / 2, 3)) for n, r in enumerate(readings(minutes=1, until="2026-01-15 00:00"))]),
    "decimal comma late in a file": lambda: (lambda own: Shape({"a.csv": table("Zeit;kWh", [(f"{r.start:%d.%m.%Y %H:%M}", f"{r.kwh:g}".replace(".", ",")) for r in own])}, own, {"timezone": "UTC", "high_usage_kw": None}))([Reading(r.start, 60, 1.5 if n == 9000 else float(n % 3)) for n, r in enumerate(readings(minutes=1, until="2026-01-15 00:00"))]),
    "another unit late in a file": lambda: (lambda own: Shape({"a.csv": table("Time,Value,Unit", [(f"{r.start:%Y-%m-%d %H:%M}", r.kwh if n != 9000 else 0.0015, "kWh" if n != 9000 else "MWh") for n, r in enumerate(own)], ",")}, own, {"timezone": "UTC", "high_usage_kw": None}))([Reading(r.start, 60, 1.5 if n == 9000 else round(kwh(n) / 2, 3)) for n, r in enumerate(readings(minutes=1, until="2026-01-15 00:00"))]),
    "the same file twice": lambda: Shape({"a.csv": table("Time,kWh", [(iso(r.start), r.kwh) for r in HOURS], ","), "b.csv": table("Time,kWh", [(iso(r.start), r.kwh) for r in HOURS], ",")}, HOURS, {"columns": "household_id=@A"}),
    "gas": lambda: simple(header="Time,Gas (m3)"),
    "therms": lambda: simple(header="Time,Usage (therms)"),
    "apparent energy": lambda: simple(header="Time,Energy (kVAh)"),
    "reactive power stated as power": lambda: simple(header="Time,kvar", columns="power_kw=kvar"),
    "joules": lambda: simple(header="Time,Energy (MJ)"),
    "flats": lambda: Shape({"a.csv": table("Time,Apartment,kWh", [(iso(r.start), flat, r.kwh) for r in HOURS for flat in ("left", "right")], ",")}, {"left": HOURS, "right": HOURS}),
    "phases in rows": lambda: Shape({"a.csv": table("Time,Phase,kWh", [(iso(r.start), phase, r.kwh) for r in HOURS for phase in "ABC"], ",")}, [Reading(r.start, 3600, r.kwh * 3) for r in HOURS]),
    "many numeric meters, few readings": lambda: (lambda own: Shape({"a.csv": table("Time,meter_id,kWh", [(iso(r.start), 100 + m, r.kwh) for r in own for m in range(10)], ",")}, {str(100 + m): own for m in range(10)}))(HOURS[:10]),
    "registers of two meters": lambda: Shape({"a.csv": table("Time,meter_id,Reading kWh", [(iso(t), m, v) for m in ("A", "B") for t, v in registers(HOURS)], ",")}, {"A": HOURS, "B": HOURS}),
    "register and energy, hours then quarters": lambda: (lambda s: register(series=s.readings))(changing(60, 15)),
    "register of days in autumn": lambda: (lambda s: register("%d.%m.%Y %H:%M", "Datum;Zählerstand kWh", s.readings, comma, zone=BERLIN, delimiter=";"))(daily(BERLIN)),
    "times of autumn marked A and B": lambda: (lambda own: Shape({"a.csv": table("Zeit;kWh", [(local(r, BERLIN, "%d.%m.%Y %H:%M") + ("A" if r.start.hour == 0 and r.start.day == 26 else "B" if r.start.hour == 1 and r.start.day == 26 else ""), comma(r.kwh)) for r in own])}, own, {"timezone": BERLIN}))(readings(BERLIN, **AUTUMN)),
    "weekday column": lambda: with_columns("Day,Date,Time,kWh", lambda n, r: (f"{r.start:%a}", f"{r.start:%d/%m/%Y}", f"{r.start:%H:%M}", r.kwh)),
    "weekday in stamp": lambda: with_columns("Time;kWh", lambda n, r: (f"{r.start:%a, %d %b %Y %H:%M:%S}", r.kwh), delimiter=";"),
    "end column": lambda: with_columns("End time,kWh", lambda n, r: (local(r, BERLIN, "%Y-%m-%d %H:%M", ends=True), r.kwh), readings(BERLIN, **AUTUMN), timezone=BERLIN),
    "date, start and end": lambda: with_columns("Date,Start,End,kWh", lambda n, r: (f"{r.start:%Y-%m-%d}", f"{r.start:%H:%M}", f"{r.start + timedelta(hours=1):%H:%M}", r.kwh)),
    "hours as columns, long export": lambda: Shape({"a.csv": table(",".join(["Meter", "Direction", "Date", *[f"H{n}" for n in range(1, 25)]]), [(m, d, day, *(r.kwh if d == "Import" else 7 for r in own)) for day, own in days(HOURS, "UTC").items() for m in ("M1", "M2") for d in ("Import", "Export")], ",")}, {"M1": HOURS, "M2": HOURS}, {"unit": "kWh", "timezone": "UTC"}),
    "hours as columns, spring": lambda: (lambda own: Shape({"a.csv": table(",".join(["Date", *[f"H{n}" for n in range(1, 26)]]), [(day, *((r.kwh for r in hours)), *([""] * (25 - len(hours)))) for day, hours in days(own, BERLIN).items()], ",")}, own, {"unit": "kWh", "timezone": BERLIN}))(readings(BERLIN, **SPRING)),
    "hours as columns, autumn": lambda: (lambda own: Shape({"a.csv": table(",".join(["Date", *[f"H{n}" for n in range(1, 26)]]), [(day, *((r.kwh for r in hours)), *([""] * (25 - len(hours)))) for day, hours in days(own, BERLIN).items()], ",")}, own, {"unit": "kWh", "timezone": BERLIN}))(readings(BERLIN, **AUTUMN)),
    "hours as columns, clock in autumn": lambda: (lambda own: Shape({"a.csv": table(",".join(["Date", *[clock(60, n) for n in range(24)]]), [(day, *(next(r.kwh for r in hours if local(r, BERLIN, "%H") == f"{n:02}") for n in range(24))) for day, hours in days(own, BERLIN).items()], ",")}, own, {"unit": "kWh", "timezone": BERLIN}))(readings(BERLIN, **AUTUMN)),
    "ends and interval change at autumn": lambda: (lambda own: with_columns("Interval End,kW", lambda n, r: (local(r, BERLIN, "%Y-%m-%d %H:%M", ends=True), round(r.kw, 3)), own, timezone=BERLIN))([*readings(BERLIN, "2025-10-24 00:00", "2025-10-25 00:00", 60), *readings(BERLIN, "2025-10-25 00:00", "2025-10-28 00:00", 15, first=30)]),
}  # fmt: skip


def figures(shape, files):
    """Run generator and analyzer; returns output1.json."""
    (files / "source").mkdir(parents=True, exist_ok=True)
    for name, content in shape.files.items():
        (files / "source" / name).write_bytes(content.encode())
    of = {model: {k: v for k, v in shape.params.items() if k in model.model_fields} for model in (GeneratorParams, AnalyzerParams)}
    generate(files, GeneratorParams(files=tuple(shape.files), **of[GeneratorParams]))
    analyze(files, AnalyzerParams(**of[AnalyzerParams]))
    return json.loads((files / "output1.json").read_text())


def expected(shape):
    """Figures of the readings, without any of the project's code."""
    homes = shape.readings if isinstance(shape.readings, dict) else {None: shape.readings}
    homes = {name: sorted(own, key=lambda r: r.start) for name, own in homes.items()}
    peaks = {name: max(own, key=lambda r: r.kw) for name, own in homes.items()}
    return {
        "energy": {name: round(sum(r.kwh for r in own), 2) for name, own in homes.items()},
        "accepted": sum(map(len, homes.values())),
        "missing": 0,
        "peak": {name: (round(peak.kw, 2), iso(peak.start)) for name, peak in peaks.items()},
        "end": iso(max(own[-1].start + timedelta(seconds=own[-1].seconds) for own in homes.values())),
    }


def measured(output, shape):
    homes = output["households"]
    names = [home["household_id"] for home in homes] if isinstance(shape.readings, dict) else [None] * len(homes)
    return {
        "energy": {name: round(home["energy_kwh"], 2) for name, home in zip(names, homes, strict=True)},
        "accepted": output["records_out"],
        "missing": output["missing"],
        "peak": {name: (round(home["peak_kw"], 2), home["peak_at"]) for name, home in zip(names, homes, strict=True)},
        "end": output["end"],
    }
