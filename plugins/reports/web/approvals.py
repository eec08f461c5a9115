"""The live page of an approval: what a run asks now, with the code of its evidence."""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, Request, Response

from include.core.approvals import Question, question_of
from include.core.contracts import Step
from include.core.errors import GroundtruthError
from include.core.run_folder import RunFolder
from include.pipelines import all_pipelines
from plugins.reports.web.app import LOG, render
from plugins.reports.web.runs import folder_of
from plugins.reports.web.security import reads_runs

router = APIRouter()
UNDECIDED = (
    "A step before the approval has not ended, was cleared, or its artifacts contradict each other. The log of "
    "Airflow's API server says which."
)
NOTHING = "There is nothing to approve: the run itself decides against the change."


@router.get(
    "/dags/{dag_id}/runs/{run_id}/approval",
    dependencies=[reads_runs(), Depends(requires_access_dag("GET", DagAccessEntity.HITL_DETAIL))],
)
def approval(request: Request, dag_id: str, run_id: str) -> Response:
    """Show what the run asks now; users who may see its required actions see it."""
    folder = folder_of(dag_id, run_id)
    steps = approval_steps(dag_id)
    if not folder.path.is_dir() or not steps:
        return render(request, "no_run.html.j2", status=404, dag_id=dag_id, run_id=run_id)
    asked = [(step, *_asked(step, folder)) for step in steps]
    return render(request, "approval.html.j2", dag_id=dag_id, run_id=run_id, folder=folder.path.name, asked=asked)


def approval_steps(dag_id: str) -> list[Step]:
    """Return the steps of a DAG's pipeline that ask a reviewer."""
    pipelines, _ = all_pipelines()
    steps = [item.step for pipeline in pipelines if pipeline.definition.dag_id == dag_id for item in pipeline.steps]
    return [step for step in steps if step.approval is not None]


def _asked(step: Step, folder: RunFolder) -> tuple[Question | None, str]:
    """Return the question, or why there is none."""
    try:
        question = question_of(step, folder)
    except GroundtruthError as error:
        LOG.warning("%s: nothing can be asked: %s", folder.path.name, error)
        return None, UNDECIDED
    return question, "" if question else NOTHING
