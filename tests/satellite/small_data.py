"""A small made-up dataset, written as the preparation writes it: texture decides the class, mean colour does not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from include.core.run_folder import write_json
from include.satellite.datasets.schemas import CLASSES, SPLITS, BlockPlan, Normalisation, PatchInfo, SequenceInfo
from include.satellite.datasets.sequences import FEATURES, SEASONAL_FEATURES
from include.satellite.datasets.storage import write_index
from include.satellite.imagery.schemas import Acquisition, Grid, Imagery

BANDS = ["B02", "B03", "B04", "B08"]
SIDE, PATCH, DATES = 64, 8, 8
GRID = Grid(crs="EPSG:32643", resolution=10, bounds=(0, 0, 640, 640), width=SIDE, height=SIDE)
HELD, TUNED = [10, 11, 14, 15], [2, 3, 6, 7]
PLAN = BlockPlan(row_edges=[0, 16, 32, 48, 64], column_edges=[0, 16, 32, 48, 64], tune=TUNED, validation=HELD)
DAYS = [date(2026, 1, 1) + timedelta(days=30 * number) for number in range(20)]
LATE = 13
"""The first validation target of the sequences; each later date is a spell of its own."""


def write_patches(files: Path, *, label_source: str = "reference", seed: int = 0, amplitude: int = 300) -> None:
    """Files of `prepare_cnn`: 8 dates of 8 × 8 patches; the class is the strength of the red band's texture."""
    random = np.random.default_rng(seed)
    across = SIDE // PATCH
    classes = random.integers(0, 4, (DATES, across, across))
    strength = np.kron(classes, np.ones((PATCH, PATCH), int)) * amplitude
    cube = np.full((DATES, SIDE, SIDE, 4), 3000, np.int64) + random.integers(-100, 100, (DATES, SIDE, SIDE, 4))
    cube[..., 2] += strength * random.choice([-1, 1], (DATES, SIDE, SIDE))
    scl = np.full((DATES, SIDE, SIDE), 4, np.uint8)
    scl[0, 0, 0] = 9
    np.save(files / "cube.npy", np.maximum(cube, 1).astype(np.uint16))
    np.save(files / "scl.npy", scl)
    time, row, column = (each.ravel() for each in np.indices(classes.shape))
    block = row // 2 * 4 + column // 2
    split = np.select([np.isin(block, HELD), np.isin(block, TUNED)], [2, 1], 0)
    label = classes.ravel()
    write_index(
        files / "cnn_index.parquet",
        {
            "date": time,
            "row": row * PATCH,
            "column": column * PATCH,
            "label": label,
            "split": split,
            "block": block,
            "repeat": np.where((split == 0) & (label == 0), 2, 1),
            "ndvi": np.full(len(label), 0.6),
        },
    )
    counts = {
        name: {kind: int(((split == part) & (label == at)).sum()) for at, kind in enumerate(CLASSES)}
        for part, name in enumerate(SPLITS)
    }
    info = PatchInfo(
        grid=GRID, dates=DAYS[:DATES], bands=BANDS, classes=list(CLASSES), label_source=label_source, synthetic=True,
        seed=seed, patch_size=PATCH, stride=PATCH,
        normalisation=Normalisation(bands=BANDS, mean=[0.3] * 4, std=[0.01, 0.01, 0.05, 0.01]), blocks=PLAN,
        training_dates=DAYS[:DATES], validation_dates=DAYS[:DATES], positions=across**2, counts=counts, left_out={},
        dropped={}, drawn=counts["train"], gate_classes=list(CLASSES), masked_pixels=1,
    )  # fmt: skip
    write_json(files / "cnn_dataset.json", info)
    write_manifest(files)


def write_sequences(files: Path, *, seed: int = 0, length: int = 4, seasonal: bool = False) -> None:
    """Files of `prepare_lstm`: 40 locations that rise and fall around the year, each with its own phase.

    Seasonal ones span more than two years, and the tuning part of their later dates calibrates intervals.
    """
    random = np.random.default_rng(seed)
    dates = [date(2026, 1, 1) + timedelta(days=60 * number) for number in range(20)] if seasonal else DAYS
    calibration = LATE - 3 if seasonal else LATE
    days = np.array(dates, "datetime64[D]").astype(int)
    phase = random.uniform(0, 2 * np.pi, (40, 1))
    series = 0.5 + 0.3 * np.sin(2 * np.pi * days / 120 + phase) + random.normal(0, 0.01, (40, len(days)))
    series[0, 2] = np.nan
    np.save(files / "lstm_series.npy", series.astype(np.float32))
    location, target = (
        each.ravel() for each in np.meshgrid(np.arange(40), np.arange(length, len(dates)), indexing="ij")
    )
    enough = np.cumsum(~np.isnan(series), axis=1)[location, target - 1] >= length
    split = np.select([location >= 30, location >= 24], [2, 1], 0)
    late = target >= LATE
    kept = enough & np.where(split == 2, late, ~late) & ((split != 0) | (target < calibration))
    write_index(
        files / "lstm_index.parquet",
        {
            "location": location[kept],
            "target": target[kept],
            "split": split[kept],
            "block": np.select([split == 2, split == 1], [np.array(HELD)[location % 4], TUNED[0]], 0)[kept],
        },
    )
    counts = {name: int((split[kept] == part).sum()) for part, name in enumerate(SPLITS)}
    info = SequenceInfo(
        grid=GRID, dates=dates, synthetic=True, seed=seed, sequence_length=length,
        features=list(SEASONAL_FEATURES if seasonal else FEATURES), calibration_targets=dates[calibration:LATE],
        location_size=8, locations=64, locations_across=8, locations_per_window=100, blocks=PLAN,
        training_targets=dates[length:calibration], validation_targets=dates[LATE:], counts=counts, left_out={},
        dropped={}, masked_pixels=0,
    )  # fmt: skip
    write_json(files / "lstm_dataset.json", info)
    write_manifest(files, dates)


def write_manifest(files: Path, dates: list[date] = DAYS) -> None:
    """`validated.json`."""
    acquisitions = [
        Acquisition(
            date=day, datetime=datetime(day.year, day.month, day.day, 5, tzinfo=UTC), product_ids=[f"S2_{day}"],
            source="demo", synthetic=True, usable=True, file=f"{day}.tif", bands=[*BANDS, "SCL"], clear=100,
        )
        for day in dates
    ]  # fmt: skip
    imagery = Imagery(
        collection="sentinel-2-l2a", source="demo", synthetic=True, grid=GRID,
        geometry={"type": "Polygon", "coordinates": []}, bands=[*BANDS, "SCL"], start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2027, 1, 1, tzinfo=UTC), acquisitions=acquisitions, unusable=[], units_spent=0, units_estimated=0,
    )  # fmt: skip
    write_json(files / "validated.json", imagery)
