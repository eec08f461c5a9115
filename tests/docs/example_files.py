"""The files that commands of the guides name, as a user would have them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.docs.transcripts import ROOT
from tests.satellite.scene_folders import area, write_scenes

OWN_DATA, ENERGY, IMAGERY = (f"docs/guides/{name}.md" for name in ("own-data", "energy", "real-imagery"))


def block_of(page: str, start: str) -> str:
    """Return the block of a page that begins with these words."""
    [block] = re.findall(rf"^```\w*\n({re.escape(start)}.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return str(block)


def stamps(first: str, count: int, minutes: int) -> list[datetime]:
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return [start + timedelta(minutes=minutes * place) for place in range(count)]


def write_rows(path: Path, header: str, rows: Iterable[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def home(folder: Path) -> None:
    """Half-hours of one day, as the README's meter states them."""
    rows = (f"{at:%Y-%m-%d %H:%M},M1,0.{20 + at.hour}" for at in stamps("2026-01-05", 48, 30))
    write_rows(folder / "home.csv", "Read at,Meter,Import kWh", rows)


def own_data(folder: Path) -> None:
    """A file for each command of the guide to own data."""
    formats = folder / "data" / "formats"
    formats.mkdir(parents=True, exist_ok=True)
    (formats / "our-works.toml").write_text(block_of(OWN_DATA, "# data/formats/our-works.toml"), encoding="utf-8")
    works = [
        f"{at:%d.%m.%Y %H:%M};{meter};{direction};0,{at.minute + 10}"
        for at in stamps("2026-01-05T00:15", 95, 15)
        for meter in ("Halle 1", "Halle 2")
        for direction in ("Bezug", "Lieferung")
    ]
    write_rows(folder / "works.csv", "Zeit;Messstelle;Richtung;Wert", works)
    write_rows(
        folder / "pv.csv",
        "time,Import kWh,Export kWh,PV kWh",
        (f"{at:%Y-%m-%d %H:%M},0.{at.hour + 10},0.10,0.{at.hour + 20}" for at in stamps("2026-01-05", 96, 15)),
    )
    write_rows(
        folder / "fluvius.csv",
        "time,EAN,Register,kWh",
        (
            f"{at:%Y-%m-%d %H:%M},54144,{register},{'' if register.endswith('Nacht') else '0.25'}"
            for at in stamps("2026-01-05T08:00", 8, 15)
            for register in ("Afname Dag", "Afname Nacht", "Injectie Dag", "Injectie Nacht")
        ),
    )
    (folder / "meters.toml").write_text(block_of(OWN_DATA, "[meters.M1]"), encoding="utf-8")
    write_rows(
        folder / "meter.csv",
        "time,meter,obis,kWh",
        (
            f"{at:%Y-%m-%d %H:%M},M1,{code},{1000 + place * share:.1f}"
            for place, at in enumerate(stamps("2026-01-05", 48, 30))
            for code, share in (("1-0:1.8.0*255", 0.5), ("1.8.1", 0.3), ("1.8.2", 0.2), ("2.8.0", 0.1))
        ),
    )
    at, readings = datetime(2025, 3, 1, tzinfo=UTC), []
    for place in range(160):
        readings.append(f"sensor.grid,{500 + place * 0.3:.1f},{at:%Y-%m-%dT%H:%M:%S}.000Z")
        at += timedelta(minutes=15 + place % 7)
    write_rows(
        folder / "history.csv", "entity_id,state,last_changed", [*readings, f"sensor.grid,unavailable,{at:%FT%T}.000Z"]
    )


def described_plant(folder: Path) -> None:
    """A description of meters with a key that there is not."""
    (folder / "meters.toml").write_text("[meters.plant]\nlimit = 630\n", encoding="utf-8")
    write_rows(
        folder / "plant.csv",
        "time,meter,energy_kwh",
        (f"{at:%FT%H:%MZ},plant,12.5" for at in stamps("2026-01-05", 96, 15)),
    )


def fortnight(folder: Path) -> None:
    """Two weeks with 93 readings missing and two above what the connection can carry."""
    missing = {*range(820, 910), 200, 201, 202}
    write_rows(
        folder / "home.csv",
        "timestamp,household_id,energy_kwh",
        (
            f"{at:%Y-%m-%d %H:%M},home,{75 if place in (400, 500) else 0.2 + place % 96 / 1000:.3f}"
            for place, at in enumerate(stamps("2026-01-12", 1344, 15))
            if place not in missing
        ),
    )
    write_rows(
        folder / "spike.csv",
        "timestamp,household_id,energy_kwh",
        (f"{at:%FT%H:%MZ},home,{75 if at.hour == 7 else 0.2}" for at in stamps("2026-01-12", 96, 60)),
    )


def billed(folder: Path) -> None:
    """Two hours, with the tariff and the emission factors of the guide."""
    (folder / "tariff.toml").write_text(block_of(ENERGY, "name = "), encoding="utf-8")
    (folder / "co2.csv").write_text(block_of(ENERGY, "time,gCO2/kWh"), encoding="utf-8")
    write_rows(
        folder / "meter.csv",
        "time,meter,energy_kwh",
        (f"{at:%FT%H:%MZ},M1,0.5" for at in stamps("2026-01-05", 8, 15)),
    )


def offset_left_in(folder: Path) -> None:
    write_scenes(folder / "in", offset=-0.1)
    (folder / "area.geojson").write_text(json.dumps(area()), encoding="utf-8")


def bands_without_names(folder: Path) -> None:
    write_scenes(folder / "in", names=())
    (folder / "area.geojson").write_text(json.dumps(area()), encoding="utf-8")


def specimen(folder: Path) -> None:
    """A small file as Fluvius exports it, under the name FILE."""
    preset = tomllib.loads((ROOT / "include/energy/formats/fluvius.toml").read_text(encoding="utf-8"))
    (folder / "FILE").write_text(preset["specimen"]["text"].lstrip(), encoding="utf-8")


FILES: dict[str, Callable[[Path], None]] = {
    r"README.*home\.csv": home,
    r"--format fluvius FILE|--files FILE": specimen,
    r"plant\.csv": described_plant,
    r"own-data.*(home|spike)\.csv": fortnight,
    r"own-data.*(works|pv|fluvius|meter|history)\.csv": own_data,
    r"energy\.md.*meter\.csv": billed,
    r"--scenes in .*--end": offset_left_in,
    r"--scenes in --geojson area\.geojson --set": bands_without_names,
}
"""By a command with its page."""


def write_files(shown: object, folder: Path) -> None:
    """Write what a command of a page reads."""
    for pattern, write in FILES.items():
        if re.search(pattern, str(shown)):
            write(folder)
            return
