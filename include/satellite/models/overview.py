"""What people see of the models: the one in use, the latest candidate, all stored versions, the env file's changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.core.env_file import EnvFile
from include.core.errors import BadInputError, ContractError, GroundtruthError
from include.core.run_folder import RunFolder, read_model
from include.satellite.models import model_store
from include.satellite.models.documents import ModelCard
from include.satellite.models.model_store import StoredModel
from include.satellite.models.results import Comparison, Configuration

LOG = logging.getLogger(__name__)


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


def models_page(env_file: EnvFile, runs: Iterable[Path]) -> dict[str, Any]:
    """Return what the page shows of the models; an env file that cannot be read is reported on the page.

    Args:
        env_file: The deployment's env file.
        runs: Run folders of the pipeline, latest first.

    Returns:
        `champion` (None if the env file cannot be read), `candidate`, `versions`, and `problem` (what cannot be shown).
    """
    in_use, problem = None, None
    try:
        in_use = champion(env_file)
    except GroundtruthError:
        LOG.exception("the env file cannot be shown")
        problem = "The env file or its history cannot be read. The log of Airflow's API server says why."
    return {"champion": in_use, "candidate": latest_candidate(runs), "versions": versions(), "problem": problem}


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


def _version(model: StoredModel) -> Version:
    return Version(model, _card(model, model_store.CNN_CARD), _card(model, model_store.LSTM_CARD))


def _card(model: StoredModel, name: str) -> ModelCard | None:
    try:
        return read_model(model.path(name), ModelCard)
    except (ValidationError, GroundtruthError, OSError):
        return None
