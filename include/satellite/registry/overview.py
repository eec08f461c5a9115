"""The page Models: the champion, the latest candidate, all stored versions, and the env file's changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.core.contracts import Artifact, D
from include.core.errors import BadInputError, ContractError, GroundtruthError
from include.core.run_folder import RunFolder, read_model
from include.env_file import EnvFile
from include.satellite.artifacts import CNN, COMPARISON, CONFIGURATION, CROP_CARD, LSTM
from include.satellite.crops.schemas import CropCard
from include.satellite.registry import store
from include.satellite.registry.store import StoredModel
from include.satellite.schemas import Comparison, Configuration
from include.satellite.training.schemas import ModelCard

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A stored version with its cards; None for a card that cannot be read."""

    model: StoredModel
    cnn: ModelCard | None
    lstm: ModelCard | None
    crops: CropCard | None = None


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
    """Return the page's own variables; an env file that cannot be read is reported on the page.

    Args:
        env_file: The deployment's env file.
        runs: Run folders of the pipeline, latest first.

    Returns:
        `champion` and `crops` (None if the env file cannot be read), `candidate`, `versions`, and `problem` (what
        cannot be shown).
    """
    in_use, crops, problem = None, None, None
    try:
        in_use, crops = champion(env_file), crop_champion(env_file)
    except GroundtruthError:
        LOG.exception("the env file cannot be shown")
        problem = "The env file or its history cannot be read. The log of Airflow's API server says why."
    candidate = latest_candidate(runs)
    return {"champion": in_use, "crops": crops, "candidate": candidate, "versions": versions(), "problem": problem}


def champion(env_file: EnvFile) -> Champion:
    """Return the version that an env file names, checked as it is checked before it is used.

    Raises:
        BadInputError: The env file cannot be parsed.
        SetupError: It cannot be read.
    """
    keys = env_file.read()
    on, name = store.enabled(keys), keys.get(store.VERSION) or None
    in_use = {kind: version for kind in store.PATHS if (version := store.in_use({**keys, store.USE: "true"}, kind))}
    if name is None:
        on = on and not keys.get(store.CROP_PATH)  # a crop classifier alone enables no model of crop health
        return Champion(on, None, None, "The env file enables AI models and names no version." if on else None)
    try:
        stored = store.find(name)
        cards = {kind: _card(store.find(version), store.ARTIFACTS[kind].card) for kind, version in in_use.items()}
        return Champion(on, name, Version(stored, cards.get("cnn"), cards.get("lstm")), None)
    except BadInputError:
        return Champion(on, name, None, f"Version {name} is not in the model store.")
    except ContractError as error:
        return Champion(on, name, None, f"Version {name} is damaged: {error}.")


def crop_champion(env_file: EnvFile) -> Champion:
    """Return the crop classifier that an env file names, checked likewise.

    Raises:
        BadInputError: The env file cannot be parsed.
        SetupError: It cannot be read.
    """
    keys = env_file.read()
    on, name = store.enabled(keys), store.crops_in_use({**keys, store.USE: "true"})
    if name is None:
        return Champion(on, None, None, None)
    try:
        return Champion(on, name, _version(store.find(name, store.CROP_FILES)), None)
    except GroundtruthError as error:
        return Champion(on, name, None, f"Version {name} cannot be used: {error}.")


def versions() -> list[Version]:
    """Return all stored versions, latest first, but none whose manifest is unreadable or of another version."""
    stored = []
    for manifest in store.store_dir().glob(f"[0-9]*/{store.MANIFEST}"):
        try:
            model = read_model(manifest, StoredModel)
        except ValidationError:
            continue
        if model is not None and model.version == manifest.parent.name:
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


def _version(model: StoredModel) -> Version:
    return Version(model, _card(model, CNN.card), _card(model, LSTM.card), _card(model, CROP_CARD))


def _card(model: StoredModel, card: Artifact[D]) -> D | None:
    try:
        return card.find(model.folder) if card.path in model.files else None
    except (GroundtruthError, OSError):
        return None
