"""The synthetic baseline: the same code on a simpler simulated world, made once and kept.

What a model learns from real (or more realistic) imagery must be worth more than what a cruder simulation teaches. The
world is the stand-in's `simple` one with a seed of its own, the area lies elsewhere; bands, patch, labels and training
are those of the run that is compared, without its minimum accuracies.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from include.core.contracts import StepParams
from include.core.errors import BadInputError, ContractError, GroundtruthError, SetupError
from include.core.publish import replace_folder
from include.core.run_folder import read_model, write_json
from include.core.settings import get_settings
from include.satellite.datasets.schemas import PatchInfo
from include.satellite.models.predict import ModelBundle, load_bundle
from include.satellite.params import CompareParams
from include.satellite.sensors.sentinel2 import SENTINEL2

P = TypeVar("P", bound=StepParams)
LOG = logging.getLogger(__name__)
VERSION, WORLD, SEED = 1, "simple", 7919
WEST, SOUTH, METRES_A_DEGREE = 76.80, 30.40, 111_320.0
END, DATES = "2025-11-01T00:00:00Z", 20
FILES = (
    "cnn_model.safetensors", "cnn_model.json", "cnn_metrics.json",
    "lstm_model.safetensors", "lstm_model.json", "lstm_metrics.json",
)  # fmt: skip
KINDS = ("cnn", "lstm")
SPARE_DATES = 10
PATCHES_A_SIDE = 16
IGNORED = {"min_cnn_accuracy", "min_lstm_accuracy", "allow_synthetic", "export_npy", "crop_mask", "reference"}


class BaselineInfo(BaseModel):
    """How a synthetic baseline was made (`baseline.json`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    world: str
    seed: str
    area: str
    period: str
    label_source: str
    key: str


@dataclass(frozen=True)
class Baseline:
    """The two models of the synthetic baseline."""

    cnn: ModelBundle
    lstm: ModelBundle
    info: BaselineInfo


def ensure_baseline(params: CompareParams, like: PatchInfo) -> Baseline:
    """The synthetic baseline for a run's parameters; trained now where it is missing, which takes minutes.

    Args:
        params: Of the run's comparison.
        like: What the run's CNN was trained on: the baseline sees the same bands.

    Raises:
        SetupError: The model store cannot be written, or the stand-in does not start.
        GroundtruthError: The baseline cannot be trained with these parameters.
    """
    recipe = _recipe(params, like)
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    folder = get_settings().data_dir / "models" / "baselines" / key
    with _alone(folder):
        kept = _read(folder)
        if kept is None:
            LOG.info("The synthetic baseline %s is made now, once for these parameters.", key)
            _make(folder, recipe, key)
            kept = _read(folder)
    if kept is None:
        raise SetupError(f"{folder}: is gone; somebody removed it meanwhile")
    return kept


def _read(folder: Path) -> Baseline | None:
    """The baseline as it is kept, None where it is missing or damaged: it can be made again."""
    info = read_model(folder / "baseline.json", BaselineInfo)
    if info is None:
        return None
    try:
        cnn, lstm = (load_bundle(folder / f"{kind}_model.safetensors", folder / f"{kind}_model.json") for kind in KINDS)
    except ContractError as error:
        LOG.warning("The synthetic baseline %s is damaged: %s", folder.name, error)
        return None
    return Baseline(cnn, lstm, info)


def _recipe(params: CompareParams, like: PatchInfo) -> dict[str, Any]:
    """Everything that would make another baseline."""
    given = {name: value for name, value in params.model_dump(mode="json").items() if name not in IGNORED}
    side = PATCHES_A_SIDE * params.patch_size * params.resolution / METRES_A_DEGREE
    bbox = (WEST, SOUTH, round(WEST + side / 0.86, 4), round(SOUTH + side, 4))  # 0.86 = cos(30.4°)
    return given | {
        "version": VERSION,
        "world": WORLD,
        "world_seed": SEED,
        "bbox": bbox,
        "end": END,
        "extra_bands": [band for band in like.bands if band in SENTINEL2.extra_bands],
        "target_count": max(DATES, params.sequence_length + SPARE_DATES),
    }


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two runs at once make a baseline once."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = (folder.parent / f".{folder.name}.lock").open("w")
    except OSError as error:
        raise SetupError(f"{folder.parent}: cannot be written: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, recipe: dict[str, Any], key: str) -> None:
    from include.satellite.imagery.demo import stand_in

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{key}.") as scratch:
        files = Path(scratch) / "runs" / "synthetic_baseline" / key / "files"
        files.mkdir(parents=True)
        try:
            with stand_in("--world", WORLD, "--seed", str(SEED)) as url, _imagery_from(url):
                _fetch(files, recipe)
            _train(files, recipe)
        except (BadInputError, ContractError) as error:
            raise GroundtruthError(f"the synthetic baseline cannot be made with these parameters: {error}") from error
        west, south, east, north = recipe["bbox"]
        info = BaselineInfo(
            world=WORLD,
            seed=str(SEED),
            area=f"{west}, {south}, {east}, {north}",
            period=f"the 365 days to {END}",
            label_source=recipe["label_source"],
            key=key,
        )
        write_json(files / "baseline.json", info)
        replace_folder(folder, {name: files / name for name in (*FILES, "baseline.json")})


@contextmanager
def _imagery_from(url: str) -> Iterator[None]:
    """Let the download ask the baseline's own stand-in, whatever this process asks otherwise."""
    from include.satellite.imagery.demo import URL_VARIABLE

    before = os.environ.get(URL_VARIABLE)
    os.environ[URL_VARIABLE] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[URL_VARIABLE]
        else:
            os.environ[URL_VARIABLE] = before


def _fetch(files: Path, recipe: dict[str, Any]) -> None:
    from include.satellite.imagery.download import collect, download
    from include.satellite.imagery.search import chosen_dates, search
    from include.satellite.imagery.validation import validate
    from include.satellite.params import ImageryStepParams, ValidateParams

    given = recipe | {"source": "demo", "min_dates": 1, "allow_synthetic": True}
    params = _taken(ImageryStepParams, given)
    search(files, params)
    for index in range(len(chosen_dates(files))):
        download(files, params, index)
    collect(files, params)
    validate(files, _taken(ValidateParams, given))


def _train(files: Path, recipe: dict[str, Any]) -> None:
    from include.satellite.datasets.patches import prepare_cnn
    from include.satellite.datasets.sequences import prepare_lstm
    from include.satellite.models.training import learn_cnn, learn_lstm
    from include.satellite.params import CnnDataParams, CnnTrainParams, LstmDataParams, LstmTrainParams

    prepare_cnn(files, _taken(CnnDataParams, recipe))
    cnn_card, cnn_metrics = learn_cnn(files, _taken(CnnTrainParams, recipe))
    prepare_lstm(files, _taken(LstmDataParams, recipe))
    lstm_card, lstm_metrics, _ = learn_lstm(files, _taken(LstmTrainParams, recipe))
    documents = {
        "cnn_model": cnn_card, "cnn_metrics": cnn_metrics, "lstm_model": lstm_card, "lstm_metrics": lstm_metrics,
    }  # fmt: skip
    for name, document in documents.items():
        write_json(files / f"{name}.json", document)


def _taken(model: type[P], given: dict[str, Any]) -> P:
    return model.model_validate({name: value for name, value in given.items() if name in model.model_fields})
