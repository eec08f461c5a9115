"""What people see of the models: the one in use, the latest candidate, all stored versions, the env file's changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from include.core.errors import BadInputError, ContractError, GroundtruthError
from include.core.run_folder import RunFolder, read_model
from include.env_file import Entry, EnvFile
from include.satellite.models import model_store
from include.satellite.models.documents import ModelCard
from include.satellite.models.model_store import StoredModel
from include.satellite.models.results import Comparison, Configuration

MODEL_KEYS = (model_store.USE, model_store.VERSION, model_store.CNN_PATH, model_store.LSTM_PATH)
NOT_SHOWN = "(not shown)"


@dataclass(frozen=True)
class Version:
    """A stored version with its cards; None for a card that cannot be read."""

    model: StoredModel
    cnn: ModelCard | None
    lstm: ModelCard | None


@dataclass(frozen=True)
class Champion:
    """What the env file says.

    Args:
        on: Whether it switches AI models on.
        name: The version that it names, if any.
        version: That version, if it is stored.
        problem: Why it cannot be used, if so.
    """

    on: bool
    name: str | None
    version: Version | None
    problem: str | None


@dataclass(frozen=True)
class Candidate:
    """What the latest run that compared models decided.

    Args:
        run: Name of the run's folder.
        comparison: Figures, gates and decision.
        configuration: What became of it; None where the run broke before that.
    """

    run: str
    comparison: Comparison
    configuration: Configuration | None


def champion(env_file: EnvFile) -> Champion:
    """The version that an env file names, checked as it is checked before it is used.

    Raises:
        BadInputError: The env file cannot be understood.
        SetupError: It cannot be read.
    """
    values = env_file.read()
    on, name = model_store.switched_on(values), values.get(model_store.VERSION) or None
    if name is None:
        return Champion(on, None, None, "The env file switches AI models on and names no version." if on else None)
    try:
        return Champion(on, name, _version(model_store.find(name)), None)
    except BadInputError:
        return Champion(on, name, None, f"Version {name} is not in the model store.")
    except ContractError as error:
        return Champion(on, name, None, f"Version {name} is damaged: {error}.")


def versions() -> list[Version]:
    """All stored versions, latest first; one whose manifest cannot be read is left out."""
    found = []
    for manifest in model_store.store_dir().glob(f"[0-9]*/{model_store.MANIFEST}"):
        try:
            model = read_model(manifest, StoredModel)
        except ValidationError:
            continue
        if model is not None:
            found.append(_version(model))
    return sorted(found, key=lambda each: each.model.version, reverse=True)


def latest_candidate(runs: Iterable[Path]) -> Candidate | None:
    """What the first of some runs decided that has compared models.

    Args:
        runs: Run folders, latest first.
    """
    for run in runs:
        files = RunFolder(run).files
        try:
            comparison = read_model(files / "comparison.json", Comparison)
            configuration = read_model(files / "configuration.json", Configuration)
        except ValidationError:
            continue
        if comparison is not None:
            return Candidate(run.name, comparison, configuration)
    return None


def shown(key: str, value: str | None) -> str:
    """A value of the env file for a page: of models' keys alone, for the others may be secrets."""
    if key not in MODEL_KEYS:
        return NOT_SHOWN
    if value is None:
        return "(not set)"
    return f"…/{'/'.join(Path(value).parts[-2:])}" if value.startswith("/") else value


def rollback_target(entries: list[Entry], entry_id: str | None) -> dict[str, str | None]:
    """What going back would set, if that is for a person who looks after models alone.

    Args:
        entries: The history, oldest first.
        entry_id: The entry after which things were as they shall be; None: before the last change.

    Raises:
        BadInputError: There is no such entry, or other keys would change too.
    """
    names = [entry.id for entry in entries]
    if not entries or entry_id not in (None, *names):
        raise BadInputError("The history of the env file has no such entry.")
    undone = entries[-1:] if entry_id is None else entries[names.index(entry_id) + 1 :]
    changes = {key: change.old for entry in reversed(undone) for key, change in entry.changes.items()}
    others = sorted(set(changes) - set(MODEL_KEYS))
    if others:
        raise BadInputError(
            f"Going back there would also change {', '.join(others)}, which is no model's: use ./pipeline env rollback."
        )
    return changes


def _version(model: StoredModel) -> Version:
    return Version(model, _card(model, model_store.CNN_CARD), _card(model, model_store.LSTM_CARD))


def _card(model: StoredModel, name: str) -> ModelCard | None:
    try:
        return read_model(model.path(name), ModelCard)
    except (ValidationError, GroundtruthError, OSError):
        return None
