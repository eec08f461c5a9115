"""The synthetic baseline: the same training on a simpler simulated world, made once and kept.

A model that is trained on real (or more realistic) imagery must be better than one trained on a cruder simulation. The
world is the stand-in's `simple` one with a separate seed, the area lies elsewhere; bands, patch, labels and training
are those of the run that is compared, without its minimum accuracies.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.core.contracts import Step
from include.core.errors import BadInputError, ContractError, GroundtruthError, SetupError
from include.core.files import locked, replace_folder
from include.core.run_folder import read_model, write_json
from include.core.settings import get_settings
from include.satellite.artifacts import CNN, LSTM
from include.satellite.datasets.schemas import PatchInfo
from include.satellite.imagery.schemas import Document
from include.satellite.params import CompareParams
from include.satellite.sensors.sentinel2 import SENTINEL2
from include.satellite.steps import SATELLITE_STEPS
from include.satellite.training.networks import ModelBundle, load_bundle

LOG = logging.getLogger(__name__)
VERSION, WORLD, SEED = 1, "simple", 7919
WEST, SOUTH, METRES_PER_DEGREE = 76.80, 30.40, 111_320.0
INFO = "baseline.json"
END, DATES = "2025-11-01T00:00:00Z", 20
SPARE_DATES = 10
PATCHES_PER_SIDE = 16
NO_MINIMUM = {"min_cnn_accuracy": 0, "min_lstm_accuracy": 0}
IGNORED = {*NO_MINIMUM, "allow_synthetic", "export_npy", "crop_mask", "reference"}


class BaselineInfo(Document):
    """The description of a synthetic baseline (`baseline.json`)."""

    world: str
    seed: str
    area: str
    period: str
    label_source: str
    key: str


@dataclass(frozen=True)
class Baseline:
    """The models of the synthetic baseline, and how they were made."""

    cnn: ModelBundle
    lstm: ModelBundle
    info: BaselineInfo


def ensure_baseline(params: CompareParams, dataset: PatchInfo) -> Baseline:
    """Return the synthetic baseline for a run's parameters; it is trained if it is missing, which takes minutes.

    Args:
        params: Of the run's comparison.
        dataset: Of the run's CNN: the baseline is trained on the same bands.

    Raises:
        SetupError: The model store cannot be written, or the stand-in does not start.
        GroundtruthError: The baseline cannot be trained with these parameters.
    """
    recipe = _recipe(params, dataset)
    folder = _folder(recipe)
    key = folder.name
    with locked(folder.parent / f".{key}.lock", timeout_s=None):  # two runs at once make a baseline once
        baseline = _read(folder)
        if baseline is None:
            LOG.info("The synthetic baseline %s is made now, once for these parameters.", key)
            _make(folder, recipe, key)
            baseline = _read(folder)
    if baseline is None:
        raise SetupError(f"{folder}: was removed by another process")
    return baseline


def find_baseline(params: CompareParams, dataset: PatchInfo) -> Baseline | None:
    """Return the stored synthetic baseline for a run's parameters; None where it is missing or damaged.

    Args:
        params: Of the run's comparison.
        dataset: Of the run's CNN.
    """
    return _read(_folder(_recipe(params, dataset)))


def _folder(recipe: dict[str, Any]) -> Path:
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    return get_settings().data_dir / "models" / "baselines" / key


def _read(folder: Path) -> Baseline | None:
    """Read a stored baseline; None where it is missing or damaged: it can be made again."""
    info = read_model(folder / INFO, BaselineInfo)
    if info is None:
        return None
    try:
        return Baseline(load_bundle(folder, CNN), load_bundle(folder, LSTM), info)
    except ContractError as error:
        LOG.warning("The synthetic baseline %s is damaged: %s", folder.name, error)
        return None


def _recipe(params: CompareParams, dataset: PatchInfo) -> dict[str, Any]:
    """Return everything that decides the baseline: another value makes another baseline."""
    values = params.model_dump(mode="json", exclude=IGNORED)
    side = PATCHES_PER_SIDE * params.patch_size * params.resolution / METRES_PER_DEGREE
    bbox = (WEST, SOUTH, round(WEST + side / 0.86, 4), round(SOUTH + side, 4))  # 0.86 = cos(30.4°)
    return values | {
        "version": VERSION,
        "world": WORLD,
        "world_seed": SEED,
        "bbox": bbox,
        "end": END,
        "extra_bands": [band for band in dataset.bands if band in SENTINEL2.extra_bands],
        "target_count": max(DATES, params.sequence_length + SPARE_DATES),
    }


def _make(folder: Path, recipe: dict[str, Any], key: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{key}.") as scratch:
        files = Path(scratch) / "runs" / "synthetic_baseline" / key / "files"
        files.mkdir(parents=True)
        try:
            with _simulated_imagery():
                _fetch(files, recipe)
            for data, training in (("prepare_cnn", "train_cnn"), ("prepare_lstm", "train_lstm")):
                _run(SATELLITE_STEPS[data], files, recipe | NO_MINIMUM)
                _run(SATELLITE_STEPS[training], files, recipe | NO_MINIMUM, plots=False)
        except (BadInputError, ContractError) as error:
            raise GroundtruthError(f"the synthetic baseline cannot be made with these parameters: {error}") from error
        info = BaselineInfo(
            world=WORLD,
            seed=str(SEED),
            area=", ".join(map(str, recipe["bbox"])),
            period=f"the 365 days to {END}",
            label_source=recipe["label_source"],
            key=key,
        )
        write_json(files / INFO, info)
        names = (*(artifact.path for artifact in (*CNN.stored, *LSTM.stored)), INFO)
        replace_folder(folder, {name: files / name for name in names})


@contextmanager
def _simulated_imagery() -> Iterator[None]:
    """Let the download use the baseline's own stand-in, whatever this process uses otherwise."""
    from include.satellite.imagery.demo import URL_VARIABLE, stand_in

    before = os.environ.get(URL_VARIABLE)
    with stand_in("--world", WORLD, "--seed", str(SEED)) as url:
        os.environ[URL_VARIABLE] = url
        try:
            yield
        finally:
            del os.environ[URL_VARIABLE]
            if before is not None:
                os.environ[URL_VARIABLE] = before


def _fetch(files: Path, recipe: dict[str, Any]) -> None:
    values = recipe | {"source": "demo", "min_dates": 1, "allow_synthetic": True}
    search, download = SATELLITE_STEPS["search"], SATELLITE_STEPS["download"]
    _run(search, files, values)
    for index, _ in enumerate(search.things(files)):
        _run(download.instance(index), files, values)
    _run(SATELLITE_STEPS["collect"], files, values)
    _run(SATELLITE_STEPS["validate"], files, values, plots=False)


def _run(step: Step, files: Path, values: dict[str, Any], **options: bool) -> None:
    """Run a step with the values that it takes, and further arguments of its function."""
    params = step.params.model_validate({name: values[name] for name in step.params.model_fields if name in values})
    function: Callable[..., None] = step.load()
    function(files, params, **options)
