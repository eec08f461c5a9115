"""A table of series with crops whose NDVI peaks in other months; places 4 km apart, so that blocks and folds exist."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

CROPS = {"maize": 2, "wheat": 0, "grass": 1}
"""The month, from 0, of the peak."""
MONTHS = ("2022-04", "2022-05", "2022-06", "2022-07")
COLUMNS = ("field_id", "date", "crop", "lon", "lat", "B04", "B08")


def rows(fields: int = 72, seed: int = 0) -> list[dict[str, object]]:
    """Two dates a month of each field; the crop alternates from field to field, so that blocks hold every crop."""
    random = np.random.default_rng(seed)
    table: list[dict[str, object]] = []
    names = list(CROPS)
    for number in range(fields):
        crop = names[number % 3]
        lon, lat = 10 + 0.05 * (number % 9), 45 + 0.05 * (number // 9)
        for month, text in enumerate(MONTHS):
            for day in ("05", "20"):
                ndvi = 0.3 + 0.4 * np.exp(-((month - CROPS[crop]) ** 2)) + random.normal(0, 0.15)
                nir = 0.35
                red = nir * (1 - ndvi) / (1 + ndvi)
                table.append(
                    {
                        "field_id": f"F{number:03}",
                        "date": f"{text}-{day}",
                        "crop": crop,
                        "lon": round(lon, 4),
                        "lat": round(lat, 4),
                        "B04": round(float(red), 5),
                        "B08": nir,
                    }
                )
    return table


def write_csv(path: Path, table: list[dict[str, object]]) -> Path:
    """Write rows as CSV; the columns are those of the first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path
