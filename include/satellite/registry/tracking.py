"""MLflow's record of trainings (parameters, curves, metrics, card, weights) and its aliases of registered models.

By default MLflow keeps them in SQLite and files below `data/models`; `MLFLOW_TRACKING_URI` names a server instead.
MLflow is a record, not a gate: where it cannot be reached, the models are kept, and the report says so (decision 22).
Trainings are found again by the checksum of their weights. The step `configure` records them, for trainings run in
containers without a network.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.errors import SetupError
from include.core.files import locked
from include.core.settings import get_settings
from include.satellite.artifacts import CROP_CARD, CROP_COMPARISON, CROP_WEIGHTS, ModelArtifacts
from include.satellite.crops.schemas import CropCard
from include.satellite.schemas import REAL
from include.satellite.training.schemas import Epoch, ModelCard

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "groundtruth-satellite"
WEIGHTS_TAG = "groundtruth.weights_sha256"
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""No telemetry, and an attempt to reach a server that does not answer ends within a minute."""
METRICS_PER_CALL = 1000


@dataclass(frozen=True)
class Training:
    """What MLflow records of a training.

    Args:
        name: Of its run.
        weights_sha256: By which it is found again.
        tags: Of its run, beside the checksum.
        params: Of the training and of its data.
        metrics: On held-out data.
        history: Losses by epoch; empty for trees.
        files: Weights, card and metrics.
    """

    name: str
    weights_sha256: str
    tags: Mapping[str, str]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    history: Sequence[Epoch]
    files: Sequence[Path]


def training_of(folder: Path, model: ModelArtifacts[Any]) -> Training:
    """Return the training of a network.

    Args:
        folder: Holds the training's weights, card and metrics.
        model: Which of the models.

    Raises:
        ContractError: A file of the training is missing, or does not keep to its schema.
    """
    card, history = model.card.read(folder), model.metrics.read(folder).training.history
    data = card.data
    return Training(
        name=f"{card.kind} {card.weights_sha256[:8]}",
        weights_sha256=card.weights_sha256,
        tags=_tags(card, synthetic=data.synthetic),
        params={
            **card.params,
            **card.model_dump(include={"kind", "label_source", "size", "device", "precision"}),
            **data.model_dump(include={"synthetic", "source"}),
            "dates": len(data.dates),
            "start": data.start.isoformat(),
            "end": data.end.isoformat(),
            "inputs": ",".join(card.inputs),
        },
        metrics=card.metrics,
        history=history,
        files=[artifact.at(folder) for artifact in model.stored],
    )


def crop_training_of(folder: Path) -> Training:
    """Return the training of a crop classifier.

    Args:
        folder: Holds its weights, card and comparison.

    Raises:
        ContractError: A file of the training is missing, or does not keep to its schema.
    """
    card, scores = CROP_CARD.read(folder), CROP_COMPARISON.read(folder).models[REAL]
    return Training(
        name=f"crops {card.weights_sha256[:8]}",
        weights_sha256=card.weights_sha256,
        tags=_tags(card, synthetic=card.synthetic),
        params={
            **card.params,
            **card.model_dump(include={"kind", "label_source", "synthetic", "months"}),
            "crops": len(card.crops),
            "fields": sum(card.fields.values()),
            "start": card.season[0].isoformat(),
            "end": card.season[1].isoformat(),
            "inputs": ",".join(card.features),
        },
        metrics=scores.model_dump(include={"accuracy", "balanced_accuracy"}),
        history=[],
        files=[artifact.at(folder) for artifact in (CROP_WEIGHTS, CROP_CARD, CROP_COMPARISON)],
    )


def _tags(card: ModelCard | CropCard, *, synthetic: bool) -> dict[str, str]:
    return {"groundtruth.synthetic": str(synthetic).lower(), "groundtruth.label_source": card.label_source}


def register(name: str, training: Training, alias: str) -> str:
    """Record a training, unless MLflow has it already, make its model a version, and set an alias to that.

    Args:
        name: The registered model.
        training: What is recorded.
        alias: `champion` or `challenger`.

    Returns:
        The version; the same one when it was registered before.

    Raises:
        SetupError: MLflow cannot be reached.
    """
    with _client() as client:
        run = _find_run(client, training.weights_sha256) or _record(client, training)
        with _unless_there():
            client.create_registered_model(name)
        versions = client.search_model_versions(f"name = '{name}'")
        version = next((version for version in versions if version.run_id == run), None)
        if version is None:
            source = client.get_run(run).info.artifact_uri
            version = client.create_model_version(name, source=str(source), run_id=run)
        client.set_registered_model_alias(name, alias, version.version)
        return str(version.version)


@contextmanager
def _client() -> Iterator[MlflowClient]:
    """Yield MLflow's client, to one process at a time where it keeps its records in local files.

    Raises:
        SetupError: Any error of MLflow in the block, in one sentence.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    folder = get_settings().data_dir / "models"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of MLflow about its own libraries: users cannot fix them
            if uri:
                yield _quiet_client(uri)
                return
            with locked(folder / ".mlflow.lock", timeout_s=None):
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


def _find_run(client: MlflowClient, weights_sha256: str) -> str | None:
    runs = client.search_runs(
        [_experiment(client)], f"tags.`{WEIGHTS_TAG}` = '{weights_sha256}' and status = 'FINISHED'", max_results=1
    )
    return runs[0].info.run_id if runs else None


def _experiment(client: MlflowClient) -> str:
    location = None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        location = (get_settings().data_dir / "models" / "mlflow-artifacts").resolve().as_uri()
    with _unless_there():
        client.create_experiment(EXPERIMENT, artifact_location=location)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None  # noqa: S101 - made above, if it was not there
    return experiment.experiment_id


@contextmanager
def _unless_there() -> Iterator[None]:
    """Let something be created in the block, unless it is there already; another process may have been first."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _record(client: MlflowClient, training: Training) -> str:
    from mlflow.entities import Metric, Param

    tags = {"mlflow.runName": training.name, **training.tags, WEIGHTS_TAG: training.weights_sha256}
    run = client.create_run(_experiment(client), tags=tags).info.run_id
    now = int(time.time() * 1000)
    values = [Metric(name, value, now, 0) for name, value in training.metrics.items()]
    for epoch in training.history:
        values += [Metric(name, value, now, epoch.epoch) for name, value in epoch.model_dump(exclude={"epoch"}).items()]
    client.log_batch(run, params=[Param(name, str(value)) for name, value in training.params.items()])
    for start in range(0, len(values), METRICS_PER_CALL):
        client.log_batch(run, metrics=values[start : start + METRICS_PER_CALL])
    for file in training.files:
        client.log_artifact(run, str(file))
    client.set_terminated(run)
    return str(run)
