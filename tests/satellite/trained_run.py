"""A tiny training as the comparison reads it: both datasets and both models, trained for moments."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from include.core.artifacts import sha256
from include.core.run_folder import Run, write_json
from include.satellite.artifacts import BASELINE_FOLDER, BASELINE_INFO, CNN, LSTM
from include.satellite.params import CnnTrainParams, CompareParams, ConfigureParams, LstmTrainParams
from include.satellite.schemas import BaselineInfo
from include.satellite.training import train as training
from include.satellite.training.networks import ModelBundle, load_bundle
from tests.satellite.small_data import write_patches, write_sequences

SIZES = {"patch_size": 8, "stride": 8, "sequence_length": 4}
PARAMS = CompareParams(**SIZES, label_source="reference", min_cnn_accuracy=0.5, allow_synthetic=True)
CONFIGURE = ConfigureParams(**PARAMS.model_dump())
PLOTS = ("plot_training", "plot_confusion", "plot_forecast")


BASELINE = BaselineInfo(world="simple", seed="1", area="elsewhere", period="2025", label_source="reference", key="made")


def train(files: Path, cnn_epochs: int = 10, lstm_epochs: int = 12, **options: object) -> None:
    """Write datasets and models of a run, without plots and checkpoints."""
    files.mkdir(parents=True, exist_ok=True)
    write_patches(files, **options)
    write_sequences(files)
    with pytest.MonkeyPatch.context() as patch:
        for name in PLOTS:
            patch.setattr(training, name, lambda *_: None)
        training.train_cnn(files, CnnTrainParams(cnn_epochs=cnn_epochs, min_cnn_accuracy=0, patch_size=8, stride=8))
        training.train_lstm(files, LstmTrainParams(lstm_epochs=lstm_epochs, min_lstm_accuracy=0, sequence_length=4))
    shutil.rmtree(files / "checkpoints", ignore_errors=True)


def write_plan(folder: Path, params: CompareParams) -> None:
    """Write the `run.json` of a run with some parameters."""
    run = Run(
        pipeline="satellite-pipeline",
        dag_id="satellite_pipeline",
        run_id=folder.name,
        runtime="local",
        created_at=datetime(2026, 7, 1, tzinfo=UTC),
        params=params.model_dump(mode="json"),
        steps=[],
    )
    write_json(folder / "run.json", run)


def randomised(bundle: ModelBundle, seed: int = 1) -> ModelBundle:
    """Return the same model with random weights; variances stay, for a negative one predicts nothing."""
    random = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(value.shape, generator=random) * 0.05
        if value.is_floating_point() and not name.endswith("running_var")
        else value
        for name, value in bundle.weights.items()
    }
    return ModelBundle(bundle.card, weights)


def write_baseline(trained: Path, files: Path, change: Callable[[ModelBundle], ModelBundle] = randomised) -> None:
    """Write the baseline of a run: its models, changed."""
    folder = files / BASELINE_FOLDER
    folder.mkdir(exist_ok=True)
    for model in (CNN, LSTM):
        bundle = change(load_bundle(trained, model))
        save_file({name: value.contiguous() for name, value in bundle.weights.items()}, model.weights.at(folder))
        model.card.write(folder, bundle.card.model_copy(update={"weights_sha256": sha256(model.weights.at(folder))}))
        shutil.copyfile(model.metrics.at(trained), model.metrics.at(folder))
    BASELINE_INFO.write(files, BASELINE)
