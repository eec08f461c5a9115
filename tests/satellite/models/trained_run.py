"""A run as the comparison finds it: both datasets, both models, trained for moments; and what stands beside."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from pydantic import BaseModel

from include.core.settings import get_settings
from include.satellite.models import comparison_plot
from include.satellite.models.comparison import compare
from include.satellite.models.predict import ModelBundle, load_bundle
from include.satellite.params import CnnTrainParams, CompareParams, LstmTrainParams
from tests.satellite.models.small_data import write_patches, write_sequences

SIZES = {"patch_size": 8, "stride": 8, "sequence_length": 4}
PARAMS = CompareParams(**SIZES, label_source="reference", min_cnn_accuracy=0.5, allow_synthetic=True)


class Info(BaseModel):
    """What a baseline says of itself."""

    world: str = "simple"


def train(files: Path, cnn_epochs: int = 10, lstm_epochs: int = 12, **options: object) -> None:
    """Datasets and models of a run, without pictures."""
    from include.satellite.models import training

    files.mkdir(parents=True, exist_ok=True)
    write_patches(files, **options)
    write_sequences(files)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("plot_training", "plot_confusion", "plot_forecast"):
            patch.setattr(training, name, lambda *_: None)
        training.train_cnn(files, CnnTrainParams(cnn_epochs=cnn_epochs, min_cnn_accuracy=0, patch_size=8, stride=8))
        training.train_lstm(files, LstmTrainParams(lstm_epochs=lstm_epochs, min_lstm_accuracy=0, sequence_length=4))
    shutil.rmtree(files / "checkpoints", ignore_errors=True)


def spoilt(bundle: ModelBundle, seed: int = 1) -> ModelBundle:
    """The same model with the weights of chance."""
    chance = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(value.shape, generator=chance) * 0.05 if value.is_floating_point() else value
        for name, value in bundle.weights.items()
    }
    return ModelBundle(bundle.card, weights)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained once a process; tests take copies."""
    files = tmp_path_factory.mktemp("trained") / "files"
    torch.set_num_threads(1)
    train(files)
    return files


@pytest.fixture
def env_file(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The deployment's env file."""
    path = data_dir.parent / "config" / ".env"
    path.parent.mkdir()
    path.write_text("# of the team\nPASSWORD=secret\nUSE_AI_MODELS=false\n")
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(path))
    get_settings.cache_clear()
    yield path
    get_settings.cache_clear()


@pytest.fixture
def files(trained: Path, data_dir: Path, env_file: Path) -> Path:
    """A run's `files/`, ready for the comparison."""
    folder = data_dir / "runs" / "satellite_pipeline" / "manual__1" / "files"
    shutil.copytree(trained, folder)
    return folder


@pytest.fixture
def baseline(trained: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A synthetic baseline that knows nothing, in the place of the real one, which takes minutes."""
    found = SimpleNamespace(
        cnn=spoilt(load_bundle(trained / "cnn_model.safetensors", trained / "cnn_model.json")),
        lstm=spoilt(load_bundle(trained / "lstm_model.safetensors", trained / "lstm_model.json")),
        info=Info(),
    )
    module = ModuleType("include.satellite.models.synthetic")
    module.ensure_baseline = lambda params, like: found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return found


@pytest.fixture
def compared(files: Path, baseline: SimpleNamespace) -> Callable[..., Path]:
    """A run's folder with its comparison, made with some parameters; drawn only if asked."""

    def make(*, drawn: bool = False, **params: object) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            if not drawn:
                patch.setattr(comparison_plot, "plot_comparison", lambda *_: None)
            compare(files, PARAMS.model_copy(update=params))
        return files

    return make
