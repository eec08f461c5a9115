"""Models: the one in use, the latest candidate, all versions, what changed the env file, and the way back."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from include.core.errors import BadInputError, GroundtruthError
from include.core.settings import get_settings
from include.env_file import Entry, EnvFile, Reason
from include.reporting.listing import Row
from include.reporting.notices import rollback_notice
from include.reporting.trend import figure_trends
from include.satellite.registry import overview
from plugins.notifications.sending import send
from plugins.reports.web.access import MODELS_DAG, edits_models, may_edit_models, reads_models
from plugins.reports.web.app import LOG, page
from plugins.reports.web.guard import check_form, form_token
from plugins.reports.web.runs import archive

router = APIRouter()
LOOKED_AT = 50
"""So many of the latest runs are searched for a comparison."""


@router.get("/models", dependencies=[reads_models])
def models(request: Request, user: GetUserDep, done: str = "") -> Response:
    """The models, and what the env file says of them."""
    settings = get_settings()
    env_file = EnvFile(settings.env_file)
    entries = [entry for entry in archive(settings.data_dir).entries() if entry.dag_id == MODELS_DAG]
    entries.sort(key=lambda entry: entry.started_at, reverse=True)
    runs = [settings.data_dir / "runs" / MODELS_DAG / entry.folder for entry in entries[:LOOKED_AT]]
    view = overview.models_page(env_file, runs)
    may_edit = may_edit_models(user)
    targets = overview.rollback_targets(view["history"]) if may_edit else []
    return page(
        request,
        "models.html.j2",
        **view,
        trends=figure_trends([Row(entry, "success") for entry in entries if entry.outcome == "success"]),
        done=next((entry for entry in view["history"] if entry.id == done), None),
        may_edit=may_edit,
        tokens={target: form_token(user, _purpose(view["history"], target)) for target in targets},
        dag_id=MODELS_DAG,
    )


@router.post("/models/rollback", dependencies=[edits_models])
def rollback(
    request: Request,
    user: GetUserDep,
    token: Annotated[str, Form(max_length=2000)],
    why: Annotated[str, Form(min_length=1, max_length=300)],
    entry: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Take the env file back to what it said before its last change, or after an earlier one."""
    env_file, target = EnvFile(get_settings().env_file), entry or None
    history = env_file.history()
    check_form(request, user, token, _purpose(history, entry))
    try:
        overview.rollback_target(history, target)
    except BadInputError as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from error
    made = env_file.rollback(target, Reason(by=f"{user.get_name()}, Airflow page Models", why=why.strip() or "–"))
    _follow(env_file)
    back = f"{request.scope.get('root_path', '')}/models" + (f"?done={made.id}" if made else "")
    told = BackgroundTask(send, rollback_notice(made, env_file.path)) if made else None
    return RedirectResponse(back, HTTPStatus.SEE_OTHER, background=told)


def _purpose(history: list[Entry], entry_id: str) -> str:
    """A form is for one way back from one state of the history: whoever comes second is asked to look again."""
    return f"rollback {entry_id} {history[-1].id if history else ''}"


def _follow(env_file: EnvFile) -> None:
    """MLflow's alias is a record: where it cannot follow, the log says so and the rollback stands."""
    from include.satellite.registry.promotion import follow_env_file

    try:
        problem = follow_env_file(env_file)
    except GroundtruthError as error:
        problem = str(error)
    if problem:
        LOG.warning("after the rollback: %s", problem)
