"""A forecaster that nobody trained, promoted into a store; and previews of three fields over more than three years."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from include.core.artifacts import sha256
from include.env_file import EnvFile, Reason
from include.satellite.artifacts import FIELDS, FIELDS_HISTORY, LSTM
from include.satellite.datasets.sequences import SEASONAL_FEATURES
from include.satellite.fields.schemas import FieldSet
from include.satellite.imagery.schemas import Imagery
from include.satellite.registry import store
from include.satellite.training.networks import SequenceLstm, parameter_count
from include.satellite.training.schemas import CardData, Interval, ModelCard
from tests.satellite.fields.squares import field, outline
from tests.satellite.imagery_store import PREVIEW_BANDS, ImageryMaker, days_from, geometry_of, grid_of
from tests.satellite.registry.test_store import comparison

GRID = grid_of(16, 16, 60)
FIRST, APART = date(2023, 3, 1), 15
DAYS = days_from(FIRST, 92, APART)
END = DAYS[-1]
"""The last preview, and the last day of the window."""
STEPS = 6
HALF_WIDTH = 0.06
WHY = Reason(by="tester", why="a test")


def card(**values: Any) -> ModelCard:
    """The card of the forecaster, whose training has seen gaps of 15 days."""
    stated: dict[str, Any] = {
        "kind": "lstm", "architecture": SequenceLstm.architecture, "classes": [], "inputs": list(SEASONAL_FEATURES),
        "parameters": parameter_count(SequenceLstm(len(SEASONAL_FEATURES))), "size": STEPS, "target": "residual",
        "interval": Interval(level=0.9, half_width=HALF_WIDTH, samples=300, dates=20, coverage=0.9),
        "location_size": 32, "mean": [0.5] * 6, "std": [0.25] * 6,
        "data": CardData(
            collection="sentinel-2-l2a", source="demo", synthetic=True, start=datetime(2023, 1, 1, tzinfo=UTC),
            end=datetime(2025, 1, 1, tzinfo=UTC), dates=DAYS[:40], grid=GRID, geometry=geometry_of(GRID),
        ),
        "label_source": "ndvi", "labels": "", "gate_classes": [], "metrics": {}, "evaluation_dates": 12, "limits": [],
        "seed": 0, "params": {}, "device": "cpu", "precision": "float32", "versions": {}, "weights_sha256": "",
    }  # fmt: skip
    return ModelCard.model_validate(stated | values)


def network(head: float) -> SequenceLstm:
    """A network of random weights; with a head of 0 it adds nothing to anomaly persistence."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        lstm = SequenceLstm(len(SEASONAL_FEATURES)).eval()
    with torch.no_grad():
        for weights in lstm.head[-1].parameters():
            weights.mul_(head)
    return lstm


def write_forecaster(folder: Path, head: float = 0.2, **values: Any) -> ModelCard:
    """Write weights and card into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network(head).state_dict(), LSTM.weights.at(folder))
    stated = card(weights_sha256=sha256(LSTM.weights.at(folder)), **values)
    LSTM.card.write(folder, stated)
    return stated


def promote(tmp_path: Path, env_file: Path, head: float = 0.2, *, synthetic: bool = True, **values: Any) -> str:
    """Store the forecaster, and enable it in an env file; returns its version."""
    folder = tmp_path / "trained"
    shutil.rmtree(folder, ignore_errors=True)
    write_forecaster(folder, head, **values)
    for name in store.FILES:
        if not (folder / name).is_file():
            (folder / name).write_text(name)
    model = store.put(folder, comparison(synthetic=synthetic), "dag/run")
    EnvFile(env_file).update(store.env_changes(model, ["lstm"]), WHY)
    return model.version


def ndvi_of(number: int, day: date) -> float:
    """NDVI of a field that repeats every year; the first one loses 0.3 on the last preview."""
    season = 0.5 + 0.2 * np.sin(2 * np.pi * ((day - FIRST).days / 365.25 + number / 5))
    noise = np.random.default_rng([number, (day - FIRST).days]).normal(0, 0.01)
    return float(season + noise - (0.3 if number == 0 and day == END else 0))


def write_fields(files: Path) -> FieldSet:
    """Two fields of 5 × 6 pixels of a preview, and one smaller than four of them (`fields.json`)."""
    files.mkdir(parents=True, exist_ok=True)
    places = {"A": (1, 1, 5, 6), "B": (8, 2, 5, 6), "tiny": (14, 14, 1, 2)}
    fields = [field(name, outline(GRID, *place)) for name, place in places.items()]
    document = FieldSet(file="farm.gpkg", fields=fields, findings=[])
    FIELDS.write(files, document)
    return document


def write_history(data_dir: Path, files: Path, days: list[date] | None = None) -> Imagery:
    """Previews of the fields (`fields_history.json`); cloud hides field B on the fifth."""
    maker = ImageryMaker(data_dir, GRID, (*PREVIEW_BANDS, "SCL"), synthetic=True)
    scenes = []
    for number, day in enumerate(days or DAYS):
        ndvi = np.full((GRID.height, GRID.width), 0.3)
        ndvi[:7], ndvi[7:14] = ndvi_of(0, day), ndvi_of(1, day)
        scl = np.full(ndvi.shape, 4)
        if number == 4:
            scl[8:14] = 9
        nir = np.full(ndvi.shape, 3000.0)
        red = nir * (1 - ndvi) / (1 + ndvi)
        scenes.append(maker.scene(day, np.stack([np.full(ndvi.shape, 300.0), red, nir, scl]).round()))
    imagery = maker.manifest(files, scenes, FIELDS_HISTORY.path)
    end = datetime.combine(imagery.acquisitions[-1].date, datetime.min.time(), UTC) + timedelta(days=1)
    imagery = imagery.model_copy(update={"end": end})
    FIELDS_HISTORY.write(files, imagery)
    return imagery
