"""Permissions of the pages: Airflow's own, checked on every route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models import DagModel
from fastapi import Depends, HTTPException, status

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser


def reads_runs(dag_id: str | None = None) -> Any:
    """Return the dependency that admits users who may read the runs of a DAG; None: the one that the path names."""
    return Depends(requires_access_dag("GET", DagAccessEntity.RUN, dag_id))


def edits_dag(dag_id: str) -> Any:
    """Return the dependency that admits users who may edit a DAG."""
    return Depends(requires_access_dag("PUT", None, dag_id))


def may_edit(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may edit a DAG."""
    return _may(user, "PUT", dag_id, None)


def readable_dags(user: GetUserDep) -> set[str]:
    """Return the DAGs whose runs a user may read.

    Raises:
        HTTPException: 403 where the user may read no DAG's runs, whichever there are.
    """
    manager = get_auth_manager()
    listed = manager.get_authorized_dag_ids(user=user, method="GET")
    readable = {dag_id for dag_id in listed if _may(user, "GET", dag_id, DagAccessEntity.RUN)}
    if not readable and not manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.RUN, user=user):
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return readable


ReadableDags = Annotated[set[str], Depends(readable_dags)]


def _may(user: BaseUser, method: str, dag_id: str, entity: DagAccessEntity | None) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return bool(
        get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)  # type: ignore[arg-type]
    )
