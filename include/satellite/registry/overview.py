"""The page Models: the champion, the latest candidate, all stored versions, and the env file's changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.core.contracts import Artifact
from include.core.errors import BadInputError, ContractError, GroundtruthError
from include.core.run_folder import RunFolder, read_model
from include.env_file import Entry, EnvFile
from include.satellite.artifacts import CNN, COMPARISON, CONFIGURATION, LSTM
from include.satellite.registry import store
from include.satellite.registry.store import StoredModel
from include.satellite.schemas import Comparison, Configuration
from include.satellite.training.schemas import ModelCard

LOG = logging.getLogger(__name__)
NOT_SHOWN = "(not shown)"


@dataclass(frozen=True)
class Version:
    """A stored version with its cards; None for a card that cannot be read."""

    model: StoredModel
    cnn: ModelCard | None
    lstm: ModelCard | None


@dataclass(frozen=True)
class Champion:
    """The model that the env file names.

    Args:
        on: Whether the env file enables AI models.
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
    """The decision of the latest run that compared models.

    Args:
        run: Name of the run's folder.
        comparison: Metrics, gates and decision.
        configuration: The result of the promotion; None where the run failed before that.
    """

    run: str
    comparison: Comparison
    configuration: Configuration | None


def models_page(env_file: EnvFile, runs: Iterable[Path]) -> dict[str, Any]:
    """Return the variables of the page's template; an env file that cannot be read is reported on the page.

    Args:
        env_file: The deployment's env file.
        runs: Run folders of the pipeline, latest first.

    Returns:
        `env_file` (its name), `champion` (None if the env file cannot be read), `candidate`, `versions`, `history`
        (oldest first), `shown_value` (how a value of the history is shown), and `problem` (what cannot be shown).
    """
    page: dict[str, Any] = {
        "env_file": env_file.path.name,
        "champion": None,
        "candidate": latest_candidate(runs),
        "versions": versions(),
        "history": [],
        "shown_value": shown,
        "problem": None,
    }
    for name, read in (("history", env_file.history), ("champion", lambda: champion(env_file))):
        try:
            page[name] = read()
        except GroundtruthError as error:
            page["problem"] = _problem(error)
    return page


def champion(env_file: EnvFile) -> Champion:
    """Return the version that an env file names, checked as it is checked before it is used.

    Raises:
        BadInputError: The env file cannot be parsed.
        SetupError: It cannot be read.
    """
    keys = env_file.read()
    on, name = store.enabled(keys), keys.get(store.VERSION) or None
    if name is None:
        return Champion(on, None, None, "The env file enables AI models and names no version." if on else None)
    try:
        return Champion(on, name, _version(store.find(name)), None)
    except BadInputError:
        return Champion(on, name, None, f"Version {name} is not in the model store.")
    except ContractError as error:
        return Champion(on, name, None, f"Version {name} is damaged: {error}.")


def versions() -> list[Version]:
    """Return all stored versions, latest first; one whose manifest cannot be read is left out."""
    stored = []
    for manifest in store.store_dir().glob(f"[0-9]*/{store.MANIFEST}"):
        try:
            model = read_model(manifest, StoredModel)
        except ValidationError:
            continue
        if model is not None:
            stored.append(_version(model))
    return sorted(stored, key=lambda version: version.model.version, reverse=True)


def latest_candidate(runs: Iterable[Path]) -> Candidate | None:
    """Return the decision of the first of some runs that has compared models.

    Args:
        runs: Run folders, latest first.
    """
    for run in runs:
        files = RunFolder(run).files
        try:
            comparison, configuration = COMPARISON.find(files), CONFIGURATION.find(files)
        except ContractError:
            continue
        if comparison is not None:
            return Candidate(run.name, comparison, configuration)
    return None


def shown(key: str, value: str | None) -> str:
    """Return a value of the env file for the page: of the models' keys alone, for others may be secrets."""
    if key not in store.KEYS:
        return NOT_SHOWN
    if value is None:
        return "(not set)"
    return f"…/{'/'.join(Path(value).parts[-2:])}" if value.startswith("/") else value


def rollback_target(entries: list[Entry], entry_id: str | None) -> dict[str, str | None]:
    """Return what a rollback would set, if it changes the models' keys alone.

    Args:
        entries: The history, oldest first.
        entry_id: The entry whose state is restored; None: the state before the last change.

    Raises:
        BadInputError: There is no such entry, or other keys would change too.
    """
    names = [entry.id for entry in entries]
    if not entries or entry_id not in (None, *names):
        raise BadInputError("The history of the env file has no such entry.")
    undone = entries[-1:] if entry_id is None else entries[names.index(entry_id) + 1 :]
    changes = {key: change.old for entry in reversed(undone) for key, change in entry.changes.items()}
    others = sorted(set(changes) - set(store.KEYS))
    if others:
        raise BadInputError(
            f"Going back there would also change {', '.join(others)}, which is not a key of models: use ./pipeline env "
            "rollback."
        )
    return changes


def rollback_targets(entries: list[Entry]) -> list[str]:
    """Return the ids of the entries whose state the page may restore; "" stands for undoing the last change.

    Args:
        entries: The history, oldest first.
    """
    targets = []
    for entry_id in ["", *(entry.id for entry in entries[:-1])]:
        try:
            if rollback_target(entries, entry_id or None):
                targets.append(entry_id)
        except BadInputError:
            continue
    return targets


def _version(model: StoredModel) -> Version:
    cnn, lstm = (_card(model, artifacts.card) for artifacts in (CNN, LSTM))
    return Version(model, cnn, lstm)


def _card(model: StoredModel, artifact: Artifact[ModelCard]) -> ModelCard | None:
    try:
        return artifact.find(model.folder)
    except (GroundtruthError, OSError):
        return None


def _problem(error: GroundtruthError) -> str:
    LOG.error("the env file cannot be shown: %s", error)
    return "The env file or its history cannot be read. The log of Airflow's API server says why."
