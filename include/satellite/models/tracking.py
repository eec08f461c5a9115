"""Trainings as MLflow knows them: parameters, curves, measures, card and weights; registered models and their aliases.

By default MLflow keeps them in SQLite and files below `data/models`; `MLFLOW_TRACKING_URI` names a server instead.
Tracking is a record, not a gate: where MLflow cannot be reached, the models are kept, and the report says so. Trainings
are found again by the checksum of their weights. It is the step `configure` that tracks them: trainings run in
containers without a network.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from include.core.artifacts import sha256
from include.core.errors import ContractError, SetupError, explain
from include.core.run_folder import read_model
from include.core.settings import get_settings
from include.satellite.models.documents import CnnMetrics, LstmMetrics, ModelCard, ModelKind

if TYPE_CHECKING:
    from mlflow import MlflowClient

Document = TypeVar("Document", bound=BaseModel)
EXPERIMENT = "groundtruth-satellite"
WEIGHTS_TAG = "groundtruth.weights_sha256"
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""Nothing is sent to MLflow's makers, and a server that does not answer is given up within a minute."""
METRICS_A_CALL = 1000
METRICS: dict[ModelKind, type[CnnMetrics | LstmMetrics]] = {"cnn": CnnMetrics, "lstm": LstmMetrics}


def register(name: str, folder: Path, kind: ModelKind) -> str:
    """Track a training, unless MLflow knows it already, and make its model a version of a registered model.

    Args:
        name: The registered model.
        folder: Holds the training's weights, card and metrics.
        kind: Which of the models.

    Returns:
        The version; the same one when it was registered before.

    Raises:
        ContractError: A file of the training is missing, or is not what this version writes.
        SetupError: MLflow cannot be reached.
    """
    weights, card, metrics = _training(folder, kind)
    with _client() as client:
        run = _find_run(client, sha256(weights)) or _record(client, weights, card, metrics)
        _create_model(client, name)
        for known in client.search_model_versions(f"name = '{name}'"):
            if known.run_id == run:
                return str(known.version)
        source = client.get_run(run).info.artifact_uri
        return str(client.create_model_version(name, source=str(source), run_id=run).version)


def set_alias(name: str, alias: str, version: str) -> None:
    """Let an alias (`champion`, `challenger`) of a registered model name a version.

    Raises:
        SetupError: MLflow cannot be reached, or knows no such version.
    """
    with _client() as client:
        client.set_registered_model_alias(name, alias, version)


@contextmanager
def _client() -> Iterator[MlflowClient]:
    """MLflow, one process at a time where it keeps its records in local files.

    Raises:
        SetupError: Whatever MLflow raises inside, in one sentence.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    folder = get_settings().data_dir / "models"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of MLflow about its own libraries: nothing that our user can mend
            if uri:
                yield _quiet_client(uri)
                return
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ".mlflow.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield _quiet_client(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    except SetupError:
        raise
    except Exception as error:  # MLflow lets its database's and transport's own exceptions through
        where = uri or folder / "mlflow.db"
        raise SetupError(f"MLflow ({where}): {str(error).splitlines()[0] or type(error).__name__}") from error


def _quiet_client(uri: str) -> MlflowClient:
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow.MlflowClient(uri)


def _find_run(client: MlflowClient, mark: str) -> str | None:
    found = client.search_runs(
        [_experiment(client)], f"tags.`{WEIGHTS_TAG}` = '{mark}' and status = 'FINISHED'", max_results=1
    )
    return found[0].info.run_id if found else None


def _experiment(client: MlflowClient) -> str:
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(EXPERIMENT)
    if known is None:
        place = None
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            place = (get_settings().data_dir / "models" / "mlflow-artifacts").resolve().as_uri()
        try:
            return client.create_experiment(EXPERIMENT, artifact_location=place)
        except MlflowException:  # another process was first
            known = client.get_experiment_by_name(EXPERIMENT)
            if known is None:
                raise
    return known.experiment_id


def _create_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _training(folder: Path, kind: ModelKind) -> tuple[Path, ModelCard, CnnMetrics | LstmMetrics]:
    card = _read(folder / f"{kind}_model.json", ModelCard)
    return folder / f"{kind}_model.safetensors", card, _read(folder / f"{kind}_metrics.json", METRICS[kind])


def _read(path: Path, model: type[Document]) -> Document:
    try:
        found = read_model(path, model)
    except ValidationError as error:
        raise ContractError(path.name, "must be as this version writes it", explain(error)) from error
    if found is None:
        raise ContractError(path.name, "must exist", "no such file")
    return found


def _record(client: MlflowClient, weights: Path, card: ModelCard, metrics: CnnMetrics | LstmMetrics) -> str:
    from mlflow.entities import Metric, Param

    tags = {
        "mlflow.runName": f"{card.kind} {card.weights_sha256[:8]}",
        "groundtruth.synthetic": str(card.data.synthetic).lower(),
        "groundtruth.label_source": card.label_source,
        WEIGHTS_TAG: card.weights_sha256,
    }
    run = client.create_run(_experiment(client), tags=tags).info.run_id
    now = int(time.time() * 1000)
    values = [Metric(name, value, now, 0) for name, value in card.metrics.items()]
    for epoch in metrics.training.history:
        curves = epoch.model_dump(exclude={"epoch"})
        values += [Metric(name, value, now, epoch.epoch) for name, value in curves.items()]
    client.log_batch(run, params=[Param(name, str(value)) for name, value in _params(card).items()])
    for start in range(0, len(values), METRICS_A_CALL):
        client.log_batch(run, metrics=values[start : start + METRICS_A_CALL])
    client.log_artifact(run, str(weights))
    client.log_dict(run, json.loads(card.model_dump_json()), f"{card.kind}_model.json")
    client.log_dict(run, json.loads(metrics.model_dump_json()), f"{card.kind}_metrics.json")
    client.set_terminated(run)
    return str(run)


def _params(card: ModelCard) -> dict[str, object]:
    data = card.data
    return {
        **card.params,
        "kind": card.kind,
        "label_source": card.label_source,
        "synthetic": data.synthetic,
        "source": data.source,
        "dates": len(data.dates),
        "start": data.start.isoformat(),
        "end": data.end.isoformat(),
        "size": card.size,
        "inputs": ",".join(card.inputs),
        "device": card.device,
        "precision": card.precision,
    }
