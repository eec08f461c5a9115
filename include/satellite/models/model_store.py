"""The model store: each version a folder with both models' weights and cards, the comparison, and checksums.

```
data/models/store/<version>/
  model.json                 what it is; checksum and size of each file
  cnn_model.safetensors      cnn_model.json   cnn_metrics.json
  lstm_model.safetensors     lstm_model.json  lstm_metrics.json
  comparison.json            why it was promoted
data/models/store/env_files/ which env files were ever switched to a version
```

A version appears whole or not at all. What an env file names, or once named and could be rolled back to, stays.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from include.core.artifacts import sha256
from include.core.errors import BadInputError, ContractError, GroundtruthError, SetupError
from include.core.publish import replace_folder
from include.core.run_folder import write_atomically, write_json
from include.core.settings import get_settings
from include.env_file import EnvFile
from include.satellite.models.results import Comparison
from include.satellite.params import LabelSource

USE, VERSION, CNN_PATH, LSTM_PATH = "USE_AI_MODELS", "AI_MODEL_VERSION", "AI_CNN_MODEL_PATH", "AI_LSTM_MODEL_PATH"
"""Keys of the env file."""
SWITCHES = (USE, VERSION)
"""Those that say which models are in use."""
CNN_WEIGHTS, CNN_CARD = "cnn_model.safetensors", "cnn_model.json"
LSTM_WEIGHTS, LSTM_CARD = "lstm_model.safetensors", "lstm_model.json"
FILES = (CNN_WEIGHTS, CNN_CARD, "cnn_metrics.json", LSTM_WEIGHTS, LSTM_CARD, "lstm_metrics.json", "comparison.json")
MANIFEST = "model.json"
KEPT_VERSIONS, KEPT_SECONDS = 5, 24 * 3600.0
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_TRUE = ("true", "1", "yes", "on")


class StoredFile(BaseModel):
    """A file of a stored model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    bytes: int


class StoredModel(BaseModel):
    """A version (`model.json`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    decided_at: AwareDatetime
    run: str = Field(description="The run that trained it.")
    label_source: LabelSource
    synthetic: bool
    files: dict[str, StoredFile]

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return store_dir() / self.version

    def path(self, name: str) -> Path:
        """One of its files."""
        return self.folder / name


def store_dir() -> Path:
    """The folder of all versions."""
    return get_settings().data_dir.resolve() / "models" / "store"


def plan(files: Path, comparison: Comparison, run: str) -> StoredModel:
    """What storing the models of a run would make.

    Args:
        files: The run's `files/` folder.
        comparison: Its `comparison.json`.
        run: Name of the run.

    Raises:
        ContractError: A file is missing.
    """
    stored = {name: _stored(files, name) for name in FILES}
    return StoredModel(
        version=_version(stored, comparison.decided_at),
        decided_at=comparison.decided_at,
        run=run,
        label_source=comparison.label_source,
        synthetic=comparison.synthetic,
        files=stored,
    )


def put(files: Path, comparison: Comparison, run: str) -> StoredModel:
    """Store the models of a run; the same models and comparison are the same version, however often they are put.

    Args:
        files: The run's `files/` folder.
        comparison: Its `comparison.json`.
        run: Name of the run.

    Raises:
        ContractError: A file is missing, or the stored copy is not what was stored.
        SetupError: The store cannot be written.
    """
    model = plan(files, comparison, run)
    try:
        found = find(model.version)
        os.utime(model.folder)  # young again: somebody is about to name it
        return found  # noqa: TRY300 - what fails above is stored anew
    except GroundtruthError:  # not there yet, or damaged
        store_dir().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store_dir(), prefix=".manifest.") as folder:
            manifest = Path(folder) / MANIFEST
            write_json(manifest, model)
            replace_folder(model.folder, {name: files / name for name in FILES} | {MANIFEST: manifest})
    return find(model.version)


def find(version: str) -> StoredModel:
    """A stored version, its files as they were stored.

    Raises:
        BadInputError: There is none.
        ContractError: It is damaged.
    """
    path = store_dir() / version / MANIFEST
    if not _NAME.fullmatch(version) or not path.is_file():
        raise BadInputError(f"there is no model version {version!r} in {store_dir()}")
    try:
        model = StoredModel.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ContractError(f"models/store/{version}/{MANIFEST}", "must describe the version", str(error)) from error
    for name, expected in model.files.items():
        file = model.path(name)
        if not file.is_file() or sha256(file) != expected.sha256:
            found = "other content" if file.is_file() else "no such file"
            raise ContractError(f"models/store/{version}/{name}", "must be as it was stored", found)
    return model


def switch(model: StoredModel) -> dict[str, str]:
    """What an env file sets to use a version."""
    return {
        USE: "true",
        VERSION: model.version,
        CNN_PATH: str(model.path(CNN_WEIGHTS)),
        LSTM_PATH: str(model.path(LSTM_WEIGHTS)),
    }


def switched_on(values: Mapping[str, str]) -> bool:
    """Whether an env file switches AI models on."""
    return values.get(USE, "").strip().lower() in _TRUE


def champion(
    values: Mapping[str, str], *, synthetic: bool, label_source: LabelSource
) -> tuple[StoredModel | None, str | None]:
    """The version that an env file names, if it is of the same kind; and what a reader should know, if anything.

    Args:
        values: What the env file says.
        synthetic: Whether the new models come from simulated imagery.
        label_source: What they learn.
    """
    if not switched_on(values):
        return None, None
    version = values.get(VERSION, "")
    try:
        model = find(version)
    except GroundtruthError as error:
        return None, f"The champion that the env file names cannot be compared: {error}."
    if (model.synthetic, model.label_source) != (synthetic, label_source):
        what = "simulated" if model.synthetic else "real"
        return None, (
            f"The champion {version} learnt {model.label_source} from {what} imagery: another task, so it is not "
            "compared."
        )
    return model, None


def remember(env_file: EnvFile) -> None:
    """Note that an env file names versions of this store, so that none of those is pruned."""
    mark = hashlib.sha256(str(env_file.path).encode()).hexdigest()[:16]
    write_atomically(store_dir() / "env_files" / mark, str(env_file.path).encode())


def prune() -> list[str]:
    """Remove versions that nobody can need: no env file names or named them, and newer ones are there.

    The newest few stay, and what is younger than a day: another run may be about to switch to it.

    Returns:
        What was removed.

    Raises:
        SetupError: An env file that named versions cannot be read, so that nothing can be removed safely.
    """
    named, removed = _named(), []
    versions = sorted(path.name for path in store_dir().iterdir() if _NAME.fullmatch(path.name))
    for version in versions[:-KEPT_VERSIONS]:
        folder = store_dir() / version
        if version not in named and _is_old(folder):
            folder.rename(folder.with_name(f".{version}.removed"))
            removed.append(version)
    for leftover in store_dir().glob(".*"):  # of what was removed, and of processes that were killed
        if leftover.name.endswith(".removed") or _is_old(leftover):
            shutil.rmtree(leftover)
    return removed


def _is_old(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > KEPT_SECONDS


def _named() -> set[str]:
    named = set()
    for mark in (store_dir() / "env_files").glob("*"):
        env_file = EnvFile(Path(mark.read_text()))
        if not env_file.path.exists():
            raise SetupError(
                f"{env_file.path}: named versions of {store_dir()} and is gone; if for good, delete {mark}"
            )
        named.add(env_file.read().get(VERSION))
        for entry in env_file.history():
            change = entry.changes.get(VERSION)
            named |= {change.old, change.new} if change else set()
    return {version for version in named if version}


def _stored(files: Path, name: str) -> StoredFile:
    path = files / name
    if not path.is_file():
        raise ContractError(name, "must be there to be stored", "no such file")
    return StoredFile(sha256=sha256(path), bytes=path.stat().st_size)


def _version(stored: dict[str, StoredFile], decided_at: datetime) -> str:
    mark = hashlib.sha256("".join(stored[name].sha256 for name in FILES).encode()).hexdigest()[:8]
    return f"{decided_at:%Y%m%dT%H%M%SZ}-{mark}"
