"""Writes small meter files and analyzes them, for the tests of the analysis."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from include.energy.analyzer import analyze
from include.energy.params import AnalyzerParams
from include.energy.schemas import Analysis

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
DAY = {"start": MONDAY, "end": MONDAY + timedelta(days=1)}
HEADER = "timestamp,household_id,power_consumption,voltage,current"


def stamp(number: int, minutes: int = 30) -> str:
    """The start of an interval after Monday, 5 January 2026."""
    return f"{MONDAY + timedelta(minutes=number * minutes):%Y-%m-%dT%H:%M:%SZ}"


def series(powers, home="A", minutes=30, start=0):
    """Records with these powers, one an interval; None leaves an interval out."""
    return [
        f"{stamp(start + number, minutes)},{home},{power},230.0,{float(power) * 1000 / 230 / 0.95:.2f}"
        for number, power in enumerate(powers)
        if power is not None
    ]


def varied(count, low=0.3):
    """Powers that no rule finds odd."""
    return [round(low + 0.01 * (number % 7), 3) for number in range(count)]


class Analyzed:
    """What the analyzer wrote."""

    def __init__(self, files: Path) -> None:
        self.document = Analysis.model_validate_json((files / "output1.json").read_bytes())
        self.plain = json.loads((files / "output1.json").read_text())
        with (files / "rejected.csv").open(encoding="utf-8", newline="") as file:
            self.rejected = list(csv.DictReader(file))
        iso = "strftime(timestamp AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS timestamp"
        query = f"SELECT * REPLACE ({iso}) FROM '{files}/energy_records.parquet'"
        cursor = duckdb.execute(query)
        names = [column[0] for column in cursor.description]
        self.records = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def reasons(self, column="anomaly_reasons"):
        return [record[column] for record in self.records]


def analyzed(files: Path, lines: list[str], header: str = HEADER, **params) -> Analyzed:
    """Write `energy_data.csv` and analyze it."""
    (files / "energy_data.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    analyze(files, AnalyzerParams(**params))
    return Analyzed(files)
