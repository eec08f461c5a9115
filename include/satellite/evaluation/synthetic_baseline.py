"""The synthetic baseline: the same training on a simpler simulated world, made once and kept.

A model that is trained on real (or more realistic) imagery must be better than one trained on a cruder simulation. The
world is the stand-in's `simple` one with a separate seed, the area lies elsewhere; bands, patch, labels and training
are those of the run that is compared, without its minimum accuracies. Where the run's series hold seasons, the
baseline's reach as far back, so that both forecasts have the same features.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.artifacts import sha256
from include.core.contracts import Step
from include.core.errors import BadInputError, ContractError, GroundtruthError, TransientError
from include.core.files import locked, replace_folder, setup_errors
from include.core.run_folder import read_model, write_json
from include.core.settings import get_settings
from include.satellite.artifacts import BASELINE_FOLDER, BASELINE_INFO, CNN, LSTM, PATCH_INFO, SEQUENCE_INFO
from include.satellite.datasets.schemas import PatchInfo
from include.satellite.datasets.seasons import has_seasons
from include.satellite.params import CompareParams
from include.satellite.schemas import BaselineInfo
from include.satellite.sensors.sentinel2 import SENTINEL2
from include.satellite.steps import SATELLITE_STEPS

if TYPE_CHECKING:
    from include.satellite.training.networks import ModelBundle  # PyTorch, which a worker of containers does not have

LOG = logging.getLogger(__name__)
VERSION, WORLD, SEED = 1, "simple", 7919
WEST, SOUTH, METRES_PER_DEGREE = 76.80, 30.40, 111_320.0
INFO = "baseline.json"
NAMES = (*(artifact.path for artifact in (*CNN.stored, *LSTM.stored)), INFO)
END, DATES = "2025-11-01T00:00:00Z", 20
SPARE_DATES = 10
YEAR = 365
PATCHES_PER_SIDE = 16
NO_MINIMUM = {"min_cnn_accuracy": 0, "min_lstm_accuracy": 0}
IGNORED = {*NO_MINIMUM, "allow_synthetic", "export_npy", "crop_mask", "crop_mask_codes", "reference"}


@dataclass(frozen=True)
class Baseline:
    """The models of the synthetic baseline, and how they were made."""

    cnn: ModelBundle
    lstm: ModelBundle
    info: BaselineInfo


def provide_baseline(files: Path, params: CompareParams, dataset: PatchInfo) -> Baseline:
    """Put the synthetic baseline for a run's parameters among the run's files, and return it.

    It is the stored one; where that is missing or damaged it is trained, which takes minutes.

    Args:
        files: The run's `files/` folder.
        params: Of the run's comparison.
        dataset: Of the run's CNN: the baseline is trained on the same bands.

    Raises:
        SetupError: The folder cannot be written, or the stand-in does not start.
        GroundtruthError: The baseline cannot be trained with these parameters.
    """
    recipe = _recipe(files, params, dataset)
    stored = _stored(recipe)
    if stored is None:
        LOG.info("The synthetic baseline %s is made now, once for these parameters.", _key(recipe))
        _make(files, recipe)
    else:
        _copy(stored, files / BASELINE_FOLDER)
    return read_baseline(files)


def read_baseline(files: Path) -> Baseline:
    """Return the synthetic baseline among a run's files.

    Raises:
        ContractError: A file is missing or damaged.
    """
    from include.satellite.training.networks import load_bundle

    info, folder = BASELINE_INFO.read(files), files / BASELINE_FOLDER
    return Baseline(load_bundle(folder, CNN), load_bundle(folder, LSTM), info)


def stored_baseline(files: Path, params: CompareParams) -> list[str]:
    """Return the places of the stored baseline's files, below the data folder, whether or not they are there."""
    folder = _folder(_recipe(files, params, PATCH_INFO.read(files))).relative_to(get_settings().data_dir)
    return [f"{folder.as_posix()}/{name}" for name in NAMES]


def keep_baseline(files: Path, params: CompareParams) -> None:
    """Store the baseline of an accepted comparison, unless it is stored already.

    Args:
        files: The run's accepted files.
        params: Of the comparison.

    Raises:
        ContractError: The comparison names another recipe than its parameters give.
        TransientError: Another run has stored one of the same recipe meanwhile, which differs.
        SetupError: The store cannot be written.
    """
    recipe = _recipe(files, params, PATCH_INFO.read(files))
    key, info, own = _key(recipe), BASELINE_INFO.read(files), files / BASELINE_FOLDER
    if info != _info(recipe):
        raise ContractError(BASELINE_INFO.path, f"must be of the baseline {key}, as the parameters give it", info.key)
    folder = _folder(recipe)
    with locked(folder.parent / f".{key}.lock", timeout_s=None):
        stored = _stored(recipe)
        if stored is None:
            replace_folder(folder, {name: (own / name).resolve() for name in NAMES})
        elif any(sha256(stored / name) != sha256(own / name) for name in NAMES):
            raise TransientError(
                f"the synthetic baseline {key} is not the stored one; the next attempt compares with that one"
            )


def _key(recipe: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def _folder(recipe: dict[str, Any]) -> Path:
    return get_settings().data_dir / "models" / "baselines" / _key(recipe)


def _stored(recipe: dict[str, Any]) -> Path | None:
    """Return the folder of the stored baseline; None where it is missing or damaged: it can be made again."""
    folder = _folder(recipe)
    if read_model(folder / INFO, BaselineInfo) is None:
        return None
    try:
        for model in (CNN, LSTM):
            model.check_weights(folder)
    except ContractError as error:
        LOG.warning("The synthetic baseline %s is damaged: %s", folder.name, error)
        return None
    return folder


def _recipe(files: Path, params: CompareParams, dataset: PatchInfo) -> dict[str, Any]:
    """Return everything that decides the baseline: another value makes another baseline."""
    sequences = SEQUENCE_INFO.find(files)
    values = params.model_dump(mode="json", exclude=IGNORED)
    side = PATCHES_PER_SIDE * params.patch_size * params.resolution / METRES_PER_DEGREE
    bbox = (WEST, SOUTH, round(WEST + side / 0.86, 4), round(SOUTH + side, 4))  # 0.86 = cos(30.4°)
    return values | {
        "version": VERSION,
        "world": WORLD,
        "world_seed": SEED,
        "bbox": bbox,
        "end": END,
        "history_days": _history_days(sequences.dates if sequences else [], params),
        "extra_bands": [band for band in dataset.bands if band in SENTINEL2.extra_bands],
        "target_count": max(DATES, params.sequence_length + SPARE_DATES),
    }


def _history_days(dates: list[date], params: CompareParams) -> int:
    """Return how far the baseline's series reaches back, so that it holds seasons where the run's does.

    The run's own dates may span years without a history of previews; those of three years always span two.
    """
    return max(params.history_days, 3 * YEAR) if has_seasons(dates) else 0


def _info(recipe: dict[str, Any]) -> BaselineInfo:
    return BaselineInfo(
        world=WORLD,
        seed=str(SEED),
        area=", ".join(map(str, recipe["bbox"])),
        period=f"the {max(recipe['history_days'], YEAR)} days to {END}",
        label_source=recipe["label_source"],
        key=_key(recipe),
    )


def _make(target: Path, recipe: dict[str, Any]) -> None:
    """Train the baseline in a folder of its own, with stores of its own, and copy it to a run's files."""
    with tempfile.TemporaryDirectory(dir=target, prefix=".baseline.") as name, _own_stores(Path(name)):
        files = Path(name) / "runs" / "synthetic_baseline" / _key(recipe) / "files"
        files.mkdir(parents=True)
        try:
            with _simulated_imagery():
                _fetch(files, recipe)
            for data, training in (("prepare_cnn", "train_cnn"), ("prepare_lstm", "train_lstm")):
                _run(SATELLITE_STEPS[data], files, recipe | NO_MINIMUM)
                _run(SATELLITE_STEPS[training], files, recipe | NO_MINIMUM, plots=False)
        except (BadInputError, ContractError) as error:
            raise GroundtruthError(f"the synthetic baseline cannot be made with these parameters: {error}") from error
        write_json(files / INFO, _info(recipe))
        _copy(files, target / BASELINE_FOLDER)


def _copy(source: Path, target: Path) -> None:
    with setup_errors(target, "written"):
        target.mkdir(exist_ok=True)
        for name in NAMES:
            shutil.copyfile(source / name, target / name)


@contextmanager
def _own_stores(folder: Path) -> Iterator[None]:
    """Let the steps that make the baseline keep their imagery in a folder, whatever this process uses otherwise."""
    with _variable("GROUNDTRUTH_DATA_DIR", str(folder)):
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


@contextmanager
def _simulated_imagery() -> Iterator[None]:
    """Let the download use the baseline's own stand-in, whatever this process uses otherwise."""
    from include.satellite.imagery.demo import URL_VARIABLE, stand_in

    with stand_in("--world", WORLD, "--seed", str(SEED)) as url, _variable(URL_VARIABLE, url):
        yield


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


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
