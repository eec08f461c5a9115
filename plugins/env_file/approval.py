"""Ask a reviewer before something is changed. Without an answer in time it is rejected; no answer fails the run.

With a scheduler the task waits in the state `awaiting_input`, without a worker, and the question is among the required
actions of the UI. `airflow dags test` and the command line have no scheduler, so no reviewer can answer: the change is
rejected, unless `GROUNDTRUTH_APPROVE` (`./pipeline run … --approve`) approves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict

from include.core.contracts import imported
from include.core.pipeline import Pipeline, PipelineStep
from include.core.runner import called, run_step
from include.core.settings import get_settings
from include.env_file import current_user
from plugins.steps.context import TASK_DEFAULTS, attempt_of, folder_of, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REJECT = "Approve", "Reject"
PATIENCE = timedelta(days=7)
SUBJECT = "Approve the change of the env file by {{ dag_run.dag_id }}, run {{ run_id }}?"


@dataclass(frozen=True)
class Answer:
    """What was answered, by whom, and why."""

    approved: bool
    by: str
    why: str


class ApprovalOperator(HITLOperator):
    """A question to a user, asked where a parameter of the run is set.

    Unlike the provider's operator of that name it skips nothing: the answer is recorded, and what follows reads it.

    Args:
        param: The run's parameter that makes it ask; without it the step approves.
        question: From the run's `files/` folder to what the reviewer is shown (Markdown); None where there is nothing
            to approve, which rejects.
        record: Keeps the answer.
        wait: Whether a reviewer can answer. Default: unless the run is one of `airflow dags test`.
        kwargs: Of the Airflow operator; `response_timeout` is 7 days by default.
    """

    def __init__(
        self,
        *,
        param: str,
        question: Callable[[Path], str | None],
        record: Callable[[Context, Answer], None],
        wait: bool | None = None,
        **kwargs: Any,
    ) -> None:
        options: dict[str, Any] = {
            "response_timeout": PATIENCE,
            "subject": "Approve the change of the env file by {{ dag_run.dag_id }}, run {{ run_id }}?",
        }
        params = ParamsDict(kwargs.pop("params", None))  # Airflow hands the DAG's over here
        params["why"] = Param("", type=["string", "null"], title="Why (kept with the answer)", source="task")
        super().__init__(
            options=[APPROVE, REJECT],
            defaults=[REJECT],
            params=params,
            **options | TASK_DEFAULTS | kwargs,
        )
        self.param, self.question, self.record, self.wait = param, question, record, wait

    def execute(self, context: Context) -> Any:
        """Answer at once where no reviewer is needed or can answer; otherwise ask, and wait."""
        if not context["params"].get(self.param):
            return self._answer(context, Answer(approved=True, by="nobody", why=f"{self.param} is off"))
        with plain_errors(self.log):
            self.body = self.question(folder_of(context).files)
        if self.body is None:
            return self._answer(context, Answer(approved=False, by="nobody", why="there is nothing to approve"))
        wait = context["dag_run"].triggering_user_name != "dag_test" if self.wait is None else self.wait
        if not wait:
            approved = get_settings().approve
            why = "--approve was given" if approved else "nobody can be asked without a scheduler; --approve says yes"
            return self._answer(context, Answer(approved=approved, by=current_user(), why=why))
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Record the answer; called when there is one, or when the time is over."""
        if "error" in event or event.get("timedout"):
            return self._answer(context, Answer(approved=False, by="nobody", why="nobody answered in time"))
        response = super().execute_complete(context, event)
        user = response["responded_by_user"] or {}
        why = (response["params_input"].get("why") or "").strip() or "no reason given"
        by = user.get("name") or user.get("id") or "somebody"
        return self._answer(context, Answer(approved=response["chosen_options"] == [APPROVE], by=by, why=why))

    def _answer(self, context: Context, answer: Answer) -> dict[str, Any]:
        self.log.info("%s by %s: %s", "approved" if answer.approved else "not approved", answer.by, answer.why)
        with plain_errors(self.log):
            self.record(context, answer)
        return vars(answer)


def approval_task(pipeline: Pipeline, item: PipelineStep) -> ApprovalOperator:
    """Return the task of a step that asks a user; the answer is recorded under the step's contract."""
    approval = item.step.approval
    if approval is None:
        raise ValueError(f"{item.step.id}: its contract declares no approval")

    def question(files: Path) -> str | None:
        return cast("str | None", imported(approval.question)(files))

    def record(context: Context, answer: Answer) -> None:
        folder = folder_of(context)
        write = partial(imported(approval.record), **vars(answer))
        attempt = attempt_of(context, command=approval.record)
        run_step(item.step, folder, attempt, called(lambda files, _: write(files)))

    return ApprovalOperator(
        task_id=item.step.id,
        param=approval.param,
        question=question,
        record=record,
        doc_md=item.step.description,
    )
