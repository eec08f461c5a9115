"""The model store: each version is a folder with both models' weights and cards, the comparison, and checksums.

```
data/models/store/<version>/
  model.json                 what it is; checksum and size of each file
  cnn_model.safetensors      cnn_model.json   cnn_metrics.json
  lstm_model.safetensors     lstm_model.json  lstm_metrics.json
  comparison.json            why it was promoted
data/models/store/env_files/ which env files have ever named a version
```

A version is stored atomically. A version that an env file names, or once named and could be rolled back to, is kept.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from include.core.artifacts import sha256
from include.core.contracts import Artifact
from include.core.errors import BadInputError, ContractError, GroundtruthError, SetupError
from include.core.files import path_inside, replace_folder, write_atomically
from include.core.run_folder import write_json
from include.core.settings import get_settings
from include.env_file import EnvFile
from include.satellite.artifacts import (
    CNN,
    COMPARISON,
    CROP_CARD,
    CROP_COMPARISON,
    CROP_WEIGHTS,
    LSTM,
    ModelArtifacts,
)
from include.satellite.crops.schemas import CropComparison
from include.satellite.imagery.schemas import Document
from include.satellite.params import LabelSource
from include.satellite.schemas import Comparison, ModelName
from include.satellite.training.schemas import ModelCard

USE, VERSION, CNN_PATH, LSTM_PATH = "USE_AI_MODELS", "AI_MODEL_VERSION", "AI_CNN_MODEL_PATH", "AI_LSTM_MODEL_PATH"
CROP_PATH = "AI_CROPS_MODEL_PATH"
KEYS = (USE, VERSION, CNN_PATH, LSTM_PATH, CROP_PATH)
"""Keys of the env file that a promotion sets."""
ENV_KEYS = (USE, VERSION, CNN_PATH, LSTM_PATH)
"""Those that decide which models of crop health are in use: a model whose path is absent is not promoted."""
CROP_ENV_KEYS = (USE, CROP_PATH)
"""Those that decide which crop classifier is in use."""
PATHS: dict[ModelName, str] = {"cnn": CNN_PATH, "lstm": LSTM_PATH}
"""The key of each model. Its path names the version, which may be older than that of the other model."""
ARTIFACTS: dict[ModelName, ModelArtifacts[Any]] = {"cnn": CNN, "lstm": LSTM}
FILES = tuple(artifact.path for artifact in (*CNN.stored, *LSTM.stored, COMPARISON))
CROP_FILES = (CROP_WEIGHTS.path, CROP_CARD.path, CROP_COMPARISON.path)
MANIFEST = "model.json"
KEPT_VERSIONS, KEPT_SECONDS = 5, 24 * 3600.0
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_ENABLED = ("true", "1", "yes", "on")


class StoredFile(Document):
    """The checksum and size of a stored file."""

    sha256: str
    bytes: int


class StoredModel(Document):
    """A version of the models (`model.json`)."""

    version: str = Field(pattern=f"^{_NAME.pattern}$")
    decided_at: AwareDatetime
    run: str = Field(description="The run that trained it.")
    label_source: LabelSource | Literal["fields"]
    synthetic: bool
    files: dict[str, StoredFile]

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return path_inside(store_dir(), self.version, _NAME, stated_by=f"{MANIFEST}: version")


def store_dir() -> Path:
    """Return the folder of all versions."""
    return get_settings().data_dir.resolve() / "models" / "store"


def _names(comparison: Comparison | CropComparison) -> tuple[str, ...]:
    return CROP_FILES if isinstance(comparison, CropComparison) else FILES


def plan(files: Path, comparison: Comparison | CropComparison, run: str) -> StoredModel:
    """Return the version that storing the models of a run would make.

    Args:
        files: The run's `files/` folder.
        comparison: Its `comparison.json` or `crop_comparison.json`, which says what is stored.
        run: Name of the run.

    Raises:
        ContractError: A file is missing.
    """
    stored = {name: _stored(files, name) for name in _names(comparison)}
    checksums = "".join(file.sha256 for file in stored.values())
    mark = hashlib.sha256(checksums.encode()).hexdigest()[:8]
    return StoredModel(
        version=f"{comparison.decided_at:%Y%m%dT%H%M%SZ}-{mark}",
        run=run,
        files=stored,
        **comparison.fields_of(StoredModel),
    )


def put(files: Path, comparison: Comparison | CropComparison, run: str) -> StoredModel:
    """Store the models of a run; the same models and comparison are the same version, however often they are stored.

    Args:
        files: The run's `files/` folder.
        comparison: Its `comparison.json` or `crop_comparison.json`, which says what is stored.
        run: Name of the run.

    Raises:
        ContractError: A file is missing, or the stored copy is damaged.
        SetupError: The store cannot be written.
    """
    model = plan(files, comparison, run)
    try:
        stored = find(model.version, _names(comparison))
    except GroundtruthError:  # not there yet, or damaged
        store_dir().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store_dir(), prefix=".manifest.") as folder:
            manifest = Path(folder) / MANIFEST
            write_json(manifest, model)
            replace_folder(model.folder, {name: files / name for name in model.files} | {MANIFEST: manifest})
        return find(model.version, _names(comparison))
    os.utime(model.folder)  # not to be pruned: an env file is about to name it
    return stored


def find(version: str, names: tuple[str, ...] = FILES) -> StoredModel:
    """Return a stored version whose files are unchanged.

    Args:
        version: Its name.
        names: The files that it must have: `CROP_FILES` of a crop classifier.

    Raises:
        BadInputError: There is no such version.
        ContractError: It is damaged, or is not what its folder says.
    """
    folder = f"models/store/{version}"
    manifest = Artifact(f"{folder}/{MANIFEST}", StoredModel)
    model = manifest.find(get_settings().data_dir) if _NAME.fullmatch(version) else None
    if model is None:
        raise BadInputError(f"there is no model version {version!r} in {store_dir()}")
    if model.version != version or set(model.files) != set(names):
        found = f"version {model.version} with {', '.join(model.files)}"
        raise ContractError(manifest.path, f"must be of the version {version} and list {', '.join(names)}", found)
    for name, expected in model.files.items():
        file = model.folder / name
        if not file.is_file() or file.is_symlink() or sha256(file) != expected.sha256:
            fault = "other content" if file.is_file() else "no such file"
            raise ContractError(f"{folder}/{name}", "must be as it was stored", fault)
    return model


def env_changes(model: StoredModel, promoted: Iterable[ModelName]) -> dict[str, str]:
    """Return what an env file sets to use some models of a version; the others' keys stay as they are."""
    paths = {PATHS[kind]: str(ARTIFACTS[kind].weights.at(model.folder)) for kind in promoted}
    return {USE: "true", VERSION: model.version, **paths}


def crop_env_changes(model: StoredModel) -> dict[str, str]:
    """Return what an env file sets to use a crop classifier."""
    return {USE: "true", CROP_PATH: str(CROP_WEIGHTS.at(model.folder))}


def crops_in_use(keys: Mapping[str, str]) -> str | None:
    """Return the version of the crop classifier that an env file enables; None where it enables none."""
    path = keys.get(CROP_PATH, "").strip()
    return Path(path).parent.name if enabled(keys) and path else None


def in_use(keys: Mapping[str, str], kind: ModelName) -> str | None:
    """Return the version of a model that an env file enables; None where it enables none of this kind.

    Args:
        keys: The env file's keys.
        kind: Which model; its path names the version as its folder.
    """
    path = keys.get(PATHS[kind], "").strip()
    return Path(path).parent.name if enabled(keys) and path else None


def enabled(keys: Mapping[str, str]) -> bool:
    """Return whether an env file enables AI models."""
    return keys.get(USE, "").strip().lower() in _ENABLED


def champion(
    keys: Mapping[str, str], artifacts: ModelArtifacts[Any], *, synthetic: bool, label_source: LabelSource
) -> tuple[StoredModel | None, str | None]:
    """Return the version that an env file names, if it can be compared; and a note for readers, if there is one.

    Args:
        keys: The env file's keys.
        artifacts: Which model.
        synthetic: Whether the new models were trained on simulated imagery.
        label_source: Labels that a classifier was trained on; the forecast learns NDVI, whatever they are.
    """
    version = in_use(keys, artifacts.kind)
    if version is None:
        return None, None
    try:
        model = find(version)
    except GroundtruthError as error:
        return None, f"The champion that the env file names cannot be compared: {error}."
    own_labels = artifacts.kind == "lstm" or model.label_source == label_source  # the forecast's target is NDVI, always
    if model.synthetic != synthetic or not own_labels:
        imagery, labels = "simulated" if model.synthetic else "real", model.label_source
        learnt = "to forecast NDVI" if artifacts.kind == "lstm" else labels
        return (
            None,
            f"The champion {version} learnt {learnt} from {imagery} imagery: another task, so it is not compared.",
        )
    return model, None


def unlike(model: StoredModel, files: Path, artifacts: ModelArtifacts[Any]) -> str | None:
    """Return why a stored version cannot be compared with the models of a run: they take other data; None if it can.

    Args:
        model: The stored version.
        files: A folder with the cards of the run's models.
        artifacts: Which model.

    Raises:
        ContractError: A card is missing or damaged.
    """
    card = artifacts.card.read(files)
    if _shape(artifacts.card.read(model.folder)) == _shape(card):
        return None
    differs = f"takes other data ({card.kind}: inputs, size or resolution), so it is not compared"
    return f"The champion {model.version} {differs}."


def remember(env_file: EnvFile) -> None:
    """Record that an env file names versions of this store, so that none of those is pruned."""
    mark = hashlib.sha256(str(env_file.path).encode()).hexdigest()[:16]
    write_atomically(store_dir() / "env_files" / mark, str(env_file.path).encode())


def prune() -> list[str]:
    """Remove old versions that no env file names or has named.

    The newest few stay, and versions younger than a day: another run may be about to use them.

    Returns:
        The removed versions.

    Raises:
        SetupError: An env file that named versions cannot be read, so that nothing can be removed safely.
    """
    named, removed = _named_versions(), []
    versions = sorted(path.name for path in store_dir().iterdir() if _NAME.fullmatch(path.name))
    for version in versions[:-KEPT_VERSIONS]:
        folder = store_dir() / version
        if version not in named and _is_old(folder):
            folder.rename(folder.with_name(f".{version}.removed"))
            removed.append(version)
    for leftover in store_dir().glob(".*"):  # of removed versions, and of killed processes
        if leftover.name.endswith(".removed") or _is_old(leftover):
            shutil.rmtree(leftover)
    return removed


def _shape(card: ModelCard) -> tuple[object, ...]:
    return (card.inputs, card.classes, card.size, card.location_size, card.data.grid.resolution)


def _is_old(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > KEPT_SECONDS


def _named_versions() -> set[str]:
    named = set()
    for mark in (store_dir() / "env_files").glob("*"):
        env_file = EnvFile(Path(mark.read_text()))
        if not env_file.path.exists():
            raise SetupError(
                f"{env_file.path}: named versions of {store_dir()} and does not exist; "
                f"if it was removed for good, delete {mark}"
            )
        keys = [env_file.read()]
        for entry in env_file.history():
            keys += [{key: change.old or "" for key, change in entry.changes.items()}]
            keys += [{key: change.new or "" for key, change in entry.changes.items()}]
        for values in keys:
            named.add(values.get(VERSION, ""))
            named |= {Path(values[key]).parent.name for key in (*PATHS.values(), CROP_PATH) if values.get(key)}
    return {version for version in named if version}


def _stored(files: Path, name: str) -> StoredFile:
    path = files / name
    if not path.is_file():
        raise ContractError(name, "must be there to be stored", "no such file")
    return StoredFile(sha256=sha256(path), bytes=path.stat().st_size)
