"""The pages of the domains: what a domain shows, trends of its runs, the env file's changes, and their rollback."""

from __future__ import annotations

from datetime import UTC
from functools import partial
from http import HTTPStatus
from itertools import takewhile
from pathlib import Path
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from include.core.contracts import imported
from include.core.domain import Domain, EnvKeys, Page
from include.core.errors import GroundtruthError
from include.core.settings import get_settings
from include.env_file import Entry, EnvFile, Reason, shown_value
from include.reporting.archive import run_entries
from include.reporting.charts import shown_chart
from include.reporting.listing import RunQuery, Trend, list_runs, metric_trends
from include.reporting.notices import rollback_notice
from plugins.notifications.sending import send
from plugins.reports.web.app import LOG, render
from plugins.reports.web.security import check_form, edits_dag, form_token, map_headers, may_edit, reads_runs

LATEST_RUNS = 50
"""The view of a page gets this many of the latest runs."""
NOT_A_TARGET = (
    "The history has no such entry, or going back there would also change keys that this page does not set: use "
    "./pipeline env rollback."
)


def page_router(domain: Domain, page: Page) -> APIRouter:
    """Return the routes of a page: the page itself and, if it offers that, the rollback of its domain's keys.

    Users who may read the runs of the page's DAG see it; users who may edit the DAG may roll back.
    """
    router, keys = APIRouter(prefix=f"/{page.name}"), domain.env_keys if page.rolls_back else None

    @router.get("", dependencies=[reads_runs(page.dag_id)])
    def show(request: Request, user: GetUserDep, done: str = "") -> Response:
        env_file = EnvFile(get_settings().env_file)
        history, problem = _history(env_file)
        runs, trends = _latest_runs(page.dag_id)
        editor = keys is not None and may_edit(user, page.dag_id)
        targets = rollback_targets(history, keys) if keys and editor else []
        variables = imported(page.view)(env_file, runs)
        charts = variables.pop("charts", ())
        basemap = get_settings().basemap if charts else None
        return render(
            request,
            f"{page.name}.html.j2",
            headers=map_headers(basemap) if basemap else None,
            **variables,
            charts=[shown_chart(chart, UTC) for chart in charts],
            basemap=basemap,
            dag_id=page.dag_id,
            trends=trends,
            env_file=env_file.path.name,
            history=list(reversed(history)),
            history_problem=problem,
            shown_value=partial(shown_value, keys.names if keys else ()),
            done=next((entry for entry in history if entry.id == done), None),
            may_edit=editor,
            tokens={entry_id: form_token(user, _purpose(page, history, entry_id)) for entry_id in targets},
        )

    if keys is not None:

        @router.post("/rollback", dependencies=[edits_dag(page.dag_id)])
        def rollback(
            request: Request,
            user: GetUserDep,
            token: Annotated[str, Form(max_length=2000)],
            why: Annotated[str, Form(min_length=1, max_length=300)],
            entry: Annotated[str, Form(max_length=100)] = "",
        ) -> Response:
            env_file = EnvFile(get_settings().env_file)
            history = env_file.history()
            check_form(request, user, token, _purpose(page, history, entry))
            if entry not in rollback_targets(history, keys):
                raise HTTPException(HTTPStatus.CONFLICT, NOT_A_TARGET)
            reason = Reason(by=f"{user.get_name()}, Airflow page {page.title}", why=why.strip() or "–")
            made = env_file.rollback(entry or None, reason)
            _follow(env_file, keys)
            address = f"{request.scope.get('root_path', '')}/{page.name}" + (f"?done={made.id}" if made else "")
            notify = BackgroundTask(send, rollback_notice(made, env_file.path)) if made else None
            return RedirectResponse(address, HTTPStatus.SEE_OTHER, background=notify)

    return router


def rollback_targets(history: list[Entry], keys: EnvKeys) -> list[str]:
    """Return the ids of the entries whose state can be restored without changing keys other than the domain's.

    Args:
        history: The env file's changes, oldest first.
        keys: The keys that the domain sets.

    Returns:
        Ids of entries; an empty id stands for undoing the last change.
    """
    undoable = list(takewhile(lambda entry: entry.changes.keys() <= set(keys.names), reversed(history)))
    return ["", *(entry.id for entry in history[-len(undoable) - 1 : -1])] if undoable else []


def _history(env_file: EnvFile) -> tuple[list[Entry], str | None]:
    """Return the env file's changes, oldest first, and why they cannot be shown, if so."""
    try:
        return env_file.history(), None
    except GroundtruthError as error:
        LOG.error("the history of the env file cannot be shown: %s", error)
        return [], "The env file or its history cannot be read. The log of Airflow's API server says why."


def _latest_runs(dag_id: str) -> tuple[list[Path], list[Trend]]:
    """Return the folders of a DAG's latest runs, and the trends of those that succeeded."""
    runs = get_settings().data_dir / "runs"
    rows = list_runs(run_entries(runs, [dag_id]), [], RunQuery(pipeline=dag_id)).matches
    folders = [runs / dag_id / row.entry.folder for row in rows[:LATEST_RUNS]]
    return folders, metric_trends([row for row in rows if row.state == "success"])


def _purpose(page: Page, history: list[Entry], entry_id: str) -> str:
    """A form is for one rollback from one state of the history: once that has changed, the form is void."""
    return f"{page.name} rollback {entry_id} {history[-1].id if history else ''}"


def _follow(env_file: EnvFile, keys: EnvKeys) -> None:
    """Bring other systems in line; where that fails, the log says so and the rollback stands."""
    try:
        problem = imported(keys.after_rollback)(env_file)
    except GroundtruthError as error:
        problem = str(error)
    if problem:
        LOG.warning("after the rollback: %s", problem)
