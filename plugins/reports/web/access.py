"""Who may see what: Airflow's own permissions, asked on every route."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models import DagModel
from fastapi import Depends, HTTPException, status

MODELS_DAG = "satellite_pipeline"
"""The DAG that trains and promotes models: who may read its runs sees them, who may edit it rolls back."""

reads_run = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
"""Reading the runs of the DAG that the path names."""
reads_models = Depends(requires_access_dag("GET", DagAccessEntity.RUN, MODELS_DAG))
edits_models = Depends(requires_access_dag("PUT", None, MODELS_DAG))


def _readable_dags(user: GetUserDep) -> set[str]:
    """The DAGs whose runs a user may read.

    Raises:
        HTTPException: 403 where the user may read no DAG's runs, whichever there are.
    """
    manager = get_auth_manager()
    listed = manager.get_authorized_dag_ids(user=user, method="GET")
    readable = {dag_id for dag_id in listed if _may(user, "GET", dag_id, DagAccessEntity.RUN)}
    if not readable and not manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.RUN, user=user):
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return readable


ReadableDags = Annotated[set[str], Depends(_readable_dags)]


def may_edit_models(user: BaseUser) -> bool:
    """Whether a user may change which model is in use."""
    return _may(user, "PUT", MODELS_DAG, None)


def may_read_models(user: BaseUser) -> bool:
    """Whether a user may see the models."""
    return _may(user, "GET", MODELS_DAG, DagAccessEntity.RUN)


def _may(user: BaseUser, method: str, dag_id: str, entity: DagAccessEntity | None) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return bool(
        get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)  # type: ignore[arg-type]
    )
