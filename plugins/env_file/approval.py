"""Ask a reviewer before something is changed. Without an answer in time it is rejected; no answer fails the run.

With a scheduler the task waits in the state `awaiting_input`, without a worker, and the question is among the required
actions of the UI. `airflow dags test` and the command line have no scheduler, so no reviewer can answer: the change is
rejected, unless `GROUNDTRUTH_APPROVE` (`./pipeline run … --approve`) approves it.

An approval counts only for the evidence that was shown. Airflow keeps the question of a cleared task, whatever the run
has made since, and with it the evidence code in its form. The code comes back with the answer; where the run has other
evidence by then, the approval is refused. The live page of the approval shows the current question and its code: an
answer with this code counts, also after a clear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.param import ParamsDict

from include.core.approvals import Question, question_of
from include.core.contracts import imported
from include.core.events import Escalated
from include.core.pipeline import Pipeline, PipelineStep
from include.core.run_folder import RunFolder
from include.core.runner import called, run_step
from include.core.settings import get_settings
from include.env_file import current_user
from plugins.reports import PREFIX
from plugins.steps.context import TASK_DEFAULTS, attempt_of, folder_of, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REJECT = "Approve", "Reject"
WHY, CODE = "why", "evidence_code"
PATIENCE = timedelta(days=7)
SUBJECT = "Approve the change of the env file by {{ dag_run.dag_id }}, run {{ run_id }}?"


@dataclass(frozen=True)
class Answer:
    """What was answered, by whom, and why; and the SHA-256 of the evidence that a reviewer's answer is about."""

    approved: bool
    by: str
    why: str
    evidence: str | None = None


class ApprovalOperator(HITLOperator):
    """A question to a user, asked where a parameter of the run is set.

    Unlike the provider's operator of that name it skips nothing: the answer is recorded, and what follows reads it.

    Args:
        param: The run's parameter that makes it ask; without it the step approves.
        question: From the run's folder to what the reviewer is shown, and the evidence; None where there is nothing to
            approve, which rejects. It is called to ask, and again when there is an answer.
        record: Keeps the answer.
        page: From DAG and run to the address of the page that shows the current question; None for no such page.
        wait: Whether a reviewer can answer. Default: unless the run is one of `airflow dags test`.
        kwargs: Of the Airflow operator; `response_timeout` is 7 days by default.
    """

    def __init__(
        self,
        *,
        param: str,
        question: Callable[[RunFolder], Question | None],
        record: Callable[[Context, Answer], None],
        page: Callable[[str, str], str] | None = None,
        wait: bool | None = None,
        **kwargs: Any,
    ) -> None:
        options: dict[str, Any] = {
            "response_timeout": PATIENCE,
            "subject": "Approve the change of the env file by {{ dag_run.dag_id }}, run {{ run_id }}?",
        }
        params = ParamsDict(kwargs.pop("params", None))  # Airflow hands the DAG's over here
        params[WHY] = Param("", type=["string", "null"], title="Why (kept with the answer)", source="task")
        params[CODE] = Param(
            "",
            type=["string", "null"],
            title="Evidence code",
            description="Of the evidence that you saw. After a clear, replace it by the code of the live page.",
            source="task",
        )
        super().__init__(
            options=[APPROVE, REJECT],
            defaults=[REJECT],
            params=params,
            **options | TASK_DEFAULTS | kwargs,
        )
        self.param, self.question, self.record, self.page, self.wait = param, question, record, page, wait

    def execute(self, context: Context) -> Any:
        """Answer at once where no reviewer is needed or can answer; otherwise ask, and wait."""
        if not context["params"].get(self.param):
            return self._answer(context, Answer(approved=True, by="nobody", why=f"{self.param} is off"))
        question = self._current(context)
        if question is None:
            return self._answer(context, Answer(approved=False, by="nobody", why="there is nothing to approve"))
        wait = context["dag_run"].triggering_user_name != "dag_test" if self.wait is None else self.wait
        if not wait:
            approved = get_settings().approve
            why = "--approve was given" if approved else "nobody can be asked without a scheduler; --approve says yes"
            answer = Answer(approved=approved, by=current_user(), why=why, evidence=question.evidence)
            return self._answer(context, answer)
        folder_of(context).sink.emit(Escalated(step=self.task_id))
        self.log.info("asked with the evidence code %s:\n%s", question.code, question.text)
        self.params[CODE] = question.code
        address = self._address(context)
        link = f" The [live page]({address}) shows the current question, also after a clear." if address else ""
        self.body = f"{question.text}\n\nEvidence code: `{question.code}`.{link}"
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Record the answer; called when there is one, or when the time is over."""
        if "error" in event or event.get("timedout"):
            return self._answer(context, Answer(approved=False, by="nobody", why="nobody answered in time"))
        given = {WHY: "", CODE: ""} | (event["params_input"] or {})  # an answer through the API may leave them out
        response = super().execute_complete(context, event | {"params_input": given})
        user = response["responded_by_user"] or {}
        by = user.get("name") or user.get("id") or "somebody"
        why = (given[WHY] or "").strip() or "no reason given"
        if response["chosen_options"] != [APPROVE]:
            return self._answer(context, Answer(approved=False, by=by, why=why))
        return self._answer(context, self._approved(context, by, why, given[CODE] or ""))

    def _approved(self, context: Context, by: str, why: str, code: str) -> Answer:
        """Return the answer of a reviewer who approved, which counts for the current evidence alone."""
        question = self._current(context)
        if question is None:
            return Answer(approved=False, by="nobody", why="there is nothing to approve any more")
        if question.is_meant_by(code):
            return Answer(approved=True, by=by, why=why, evidence=question.evidence)
        stated = f"evidence {code.strip()[:40]!r}" if code.strip() else "without an evidence code"
        shown = self._address(context) or "the log of the task once it asks again"
        refused = (
            f"{by} approved {stated}, and the run has other evidence now, so the approval does not count. Clear the "
            f"task {self.task_id}, read the current question in {shown}, and answer with its evidence code."
        )
        return Answer(approved=False, by="nobody", why=refused)

    def _current(self, context: Context) -> Question | None:
        """Return the question as the run's artifacts give it now."""
        with plain_errors(self.log):
            return self.question(folder_of(context))

    def _address(self, context: Context) -> str | None:
        """Return the address of the page that shows the current question."""
        run = context["dag_run"]
        return self.page(run.dag_id, run.run_id) if self.page else None

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

    def record(context: Context, answer: Answer) -> None:
        folder = folder_of(context)
        write = partial(imported(approval.record), **vars(answer))
        attempt = attempt_of(context, command=approval.record)
        run_step(item.step, folder, attempt, called(lambda files, _: write(files)))

    return ApprovalOperator(
        task_id=item.step.id,
        param=approval.param,
        question=partial(question_of, item.step),
        record=record,
        page=live_page,
        doc_md=item.step.description,
    )


def live_page(dag_id: str, run_id: str) -> str:
    """Return the address of the page that shows what a run asks now."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base}/{PREFIX}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}/approval"
