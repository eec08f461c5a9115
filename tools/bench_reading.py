"""Measures reading meter files of three layouts beside pandas and Polars: `make bench` prints a table.

The readings: 100 meters, quarters of an hour of Europe/Berlin with its changes of clocks, kWh with a decimal comma,
stamps such as 31.03.2024 01:45. The layouts: one row a reading, one column a meter, one row a day. Each variant writes
the same file, `energy_data.csv`: start of the interval in UTC, household, kW; each runs in a process of its own.

- *ours*: the generator step as a run calls it: it recognises layout, spelling, unit, interval and what stamps mark,
  checks every number and time, keeps what cannot be read with its line, and counts.
- *pandas*, *Polars*: what one would write by hand for files known to be like these, without any check.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from include.core.settings import ROOT
from tools.bench import measure, print_table

METERS, STEP, ZONE = 100, 900, "Europe/Berlin"
TARGET = "energy_data.csv"
LAYOUTS = ("one row a reading", "one column a meter", "one row a day")


def main() -> None:
    """Write each layout, run each variant, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=float, default=5e6, help="of each layout")
    readings = round(parser.parse_args().readings)
    rows: list[tuple[str, ...]] = []
    contents_of: dict[str, tuple[object, ...]] = {}
    with tempfile.TemporaryDirectory(dir=ROOT / "data" if (ROOT / "data").is_dir() else None) as folder:
        for layout in LAYOUTS:
            source = Path(folder) / "meters.csv"
            measure(generate, source, layout, readings)
            size = source.stat().st_size / 1e6
            for name, variant in VARIANTS.items():
                used = measure(variant, source, layout)
                written = (Path(folder) / TARGET).stat().st_size / 1e6
                speeds = f"{size / used.seconds:.1f}", f"{readings / used.seconds / 1000:,.0f}"
                label, mebibytes = f"{layout}: {name}", f"{used.mebibytes:,.0f} MiB"
                volumes = f"{size:,.0f}", f"{written:,.0f}"
                rows.append((label, *volumes, f"{used.seconds:.1f} s", *speeds, f"{used.processor:.1f} s", mebibytes))
                if (said := contents(Path(folder) / TARGET)) != contents_of.setdefault(layout, said):
                    raise RuntimeError(f"{label} wrote {said}, others {contents_of[layout]}")
                (Path(folder) / TARGET).unlink()
            source.unlink()
    columns = ("", "MB read", "MB written", "time", "MB/s", "1,000 readings/s", "processor", "peak memory")
    print_table(f"Reading {readings / 1e6:g} million readings", columns, rows, width=130)


def contents(written: Path) -> tuple[object, ...]:
    """Return what all variants must agree in: records, households, sum of power (W), times."""
    import duckdb

    query = f"""SELECT count(*), count(DISTINCT household_id), sum(round(power_consumption * 1000)), min(timestamp),
        max(timestamp), sum(epoch(timestamp::TIMESTAMP)) FROM read_csv('{written}')"""
    return duckdb.execute(query).fetchall()[0]


def generate(target: Path, layout: str, readings: int) -> None:
    """Write readings of 100 meters from 2024-01-01 on; the time of a day's row is that of standard time."""
    import duckdb

    local = f"(TIMESTAMPTZ '2023-12-31 23:00:00+00' + to_seconds({STEP} * t)) AT TIME ZONE '{ZONE}'"
    clock = "(TIMESTAMP '2024-01-01' + to_seconds(900 * t))" if layout == LAYOUTS[2] else local
    text = "replace(printf('%.3f', 0.05 + 0.4 * (hash(h, t) % 1000) / 1000.0), '.', ',')"
    base = f"SELECT h, t, {clock} AS clock, {text} AS kwh FROM range({readings // METERS}) a(t), range({METERS}) b(h)"
    if layout == LAYOUTS[0]:
        query = f"""SELECT strftime(clock, '%d.%m.%Y %H:%M') AS Zeit, printf('DE%07d', h) AS Meter,
            kwh AS "Verbrauch (kWh)" FROM ({base}) ORDER BY h, t"""
    elif layout == LAYOUTS[1]:
        meters = ", ".join(f'max(kwh) FILTER (h = {h}) AS "DE{h:07d} (kWh)"' for h in range(METERS))
        query = f"""SELECT strftime(any_value(clock), '%d.%m.%Y %H:%M') AS Zeit, {meters}
            FROM ({base}) GROUP BY t ORDER BY t"""
    else:
        quarters = ", ".join(f'max(kwh) FILTER (t % 96 = {n}) AS "{n // 4:02}:{15 * (n % 4):02}"' for n in range(96))
        query = f"""SELECT printf('DE%07d', h) AS Meter, strftime(any_value(clock), '%d.%m.%Y') AS Datum, 'kWh' AS Unit,
            {quarters} FROM ({base}) GROUP BY h, t // 96 ORDER BY h, t // 96"""
    duckdb.execute(f"COPY ({query}) TO '{target}' (DELIMITER ';', HEADER)")


def ours(source: Path, layout: str) -> None:
    """The generator step."""
    from include.energy.generator import generate as convert
    from include.energy.params import GeneratorParams

    with tempfile.TemporaryDirectory(dir=source.parent) as name:
        folder = Path(name)
        (folder / "source").mkdir()
        (folder / "source" / source.name).hardlink_to(source)
        convert(folder, GeneratorParams(files=(source.name,), timezone=zone_of(layout)))
        (folder / TARGET).rename(source.with_name(TARGET))


def zone_of(layout: str) -> str:
    """Return the zone of a layout's stamps: rows of days have 96 quarters each, so their clocks never change."""
    return "+01:00" if layout == LAYOUTS[2] else ZONE


def by_pandas(source: Path, layout: str) -> None:
    """Read, unfold, put into UTC and kW, write."""
    import pandas as pd

    table = pd.read_csv(source, sep=";", decimal=",")
    if layout == LAYOUTS[0]:
        table.columns = pd.Index(["stamp", "household_id", "kwh"])
    elif layout == LAYOUTS[1]:
        table = table.rename(columns={"Zeit": "stamp"}).melt("stamp", var_name="household_id", value_name="kwh")
    else:
        table = table.drop(columns="Unit").melt(["Meter", "Datum"], var_name="time", value_name="kwh").dropna()
        table["stamp"] = table["Datum"] + " " + table["time"]
        table = table.rename(columns={"Meter": "household_id"})
    stamps = pd.to_datetime(table["stamp"], format="%d.%m.%Y %H:%M")
    if layout == LAYOUTS[2]:
        utc = stamps - pd.Timedelta(hours=1)
    else:
        first = ~table.duplicated(["household_id", "stamp"])
        utc = stamps.dt.tz_localize(ZONE, ambiguous=first.to_numpy()).dt.tz_convert(None)
    table["timestamp"] = utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    table["power_consumption"] = (table["kwh"] * 3600 / STEP).round(6)
    columns = ["timestamp", "household_id", "power_consumption"]
    table[columns].to_csv(source.with_name(TARGET), index=False)


def by_polars(source: Path, layout: str) -> None:
    """As `by_pandas()`, lazily."""
    import polars as pl

    table = pl.scan_csv(source, separator=";", decimal_comma=True, schema_overrides={"Datum": pl.String})
    if layout == LAYOUTS[0]:
        table = table.rename({"Zeit": "stamp", "Meter": "household_id", "Verbrauch (kWh)": "kwh"})
    elif layout == LAYOUTS[1]:
        table = table.unpivot(index="Zeit", variable_name="household_id", value_name="kwh").rename({"Zeit": "stamp"})
    else:
        unfolded = (
            table.drop("Unit").unpivot(index=["Meter", "Datum"], variable_name="time", value_name="kwh").drop_nulls()
        )
        table = unfolded.with_columns(pl.concat_str("Datum", "time", separator=" ").alias("stamp"))
        table = table.rename({"Meter": "household_id"})
    stamp = pl.col("stamp").str.to_datetime("%d.%m.%Y %H:%M")
    if layout == LAYOUTS[2]:
        utc = stamp.dt.offset_by("-1h")
    else:
        first = pl.struct("household_id", "stamp").is_first_distinct()
        ambiguous = pl.when(first).then(pl.lit("earliest")).otherwise(pl.lit("latest"))
        utc = stamp.dt.replace_time_zone(ZONE, ambiguous=ambiguous).dt.convert_time_zone("UTC")
    table.select(
        utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("timestamp"),
        "household_id",
        (pl.col("kwh") * 3600 / STEP).round(6).alias("power_consumption"),
    ).sink_csv(source.with_name(TARGET))


VARIANTS: dict[str, Callable[[Path, str], None]] = {"ours": ours, "pandas": by_pandas, "Polars": by_polars}

if __name__ == "__main__":
    main()
