"""Approval: what a user is asked, who is waited for, and which answer counts."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import TaskAwaitingInput
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from include.core.approvals import Question
from include.core.settings import get_settings
from include.core.sink import last_event
from plugins.env_file.approval import PATIENCE, Answer, ApprovalOperator, live_page
from tests.evidence import text_evidence
from tests.plugins.env_file.runs import RUN_ID, context, dag_of

pytestmark = pytest.mark.airflow


QUESTION = """
from include.core.approvals import Question
from tests.evidence import text_evidence
def asked(folder):
    return Question("**diff**", text_evidence(Path("FOLDER/evidence").read_text()))
def keep(context, answer):
    with Path("FOLDER/answers").open("a") as file:
        file.write(f"{answer.approved}\\n")
with DAG("ask_dag", params={"require_approval": True}, **START):
    ask = ApprovalOperator(param="require_approval", task_id="approve", question=asked, record=keep)
    ask >> EnvFileOperator(task_id="after", changes={"AFTER": "1"}, why="it ran")
"""


class Asked:
    """An approval whose question and answers are kept; its evidence can be changed."""

    def __init__(self, text="**diff**", **options):
        self.answers, self.folders, self.evidence = [], [], EVIDENCE

        def show(folder):
            self.folders.append(folder.path)
            return None if text is None else Question(text, self.evidence)

        self.operator = ApprovalOperator(
            param="require_approval",
            task_id="approve",
            question=show,
            record=lambda _, answer: self.answers.append(answer),
            **options,
        )


EVIDENCE, OTHER = text_evidence("trained once"), text_evidence("trained again")
CODE = Question("", EVIDENCE).code


@pytest.fixture
def form(monkeypatch):
    """What is put before a person."""
    shown = {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **fields: shown.update(fields))
    return shown


def test_nothing_is_asked_where_the_run_needs_no_approval(form):
    asked = Asked()
    assert asked.operator.execute(context(require_approval=False))["approved"] is True
    assert asked.answers == [Answer(True, "nobody", "require_approval is off")]
    assert (form, asked.folders) == ({}, [])


def test_nothing_is_asked_where_there_is_nothing_to_approve(form):
    asked = Asked(text=None)
    assert asked.operator.execute(context(require_approval=True))["approved"] is False
    assert asked.answers == [Answer(False, "nobody", "there is nothing to approve")]
    assert form == {}


def test_a_person_is_shown_the_diff_and_waited_for_without_a_worker(form, tmp_path):
    asked = Asked()
    with pytest.raises(TaskAwaitingInput) as waiting:
        asked.operator.execute(context(require_approval=True))
    assert (waiting.value.method_name, waiting.value.timeout) == ("execute_complete", PATIENCE)
    assert form["body"].startswith(f"**diff**\n\nEvidence code: `{CODE}`.")
    assert (form["options"], form["defaults"]) == (["Approve", "Reject"], ["Reject"])
    assert list(form["params"]) == ["why", "evidence_code"]
    assert form["params"]["evidence_code"]["value"] == CODE, "the form brings the code of what it shows"
    assert asked.answers == []
    assert asked.folders == [tmp_path / "data" / "runs" / "a_dag" / "manual__2026-01-01T00-00-00+00-00"]


def test_a_reviewer_who_is_asked_is_an_event_of_the_run(form, tmp_path):
    run = tmp_path / "data" / "runs" / "a_dag" / "manual__2026-01-01T00-00-00+00-00"
    run.mkdir(parents=True)
    with pytest.raises(TaskAwaitingInput):
        Asked().operator.execute(context(require_approval=True))
    event = last_event(run)
    assert (event.kind, event.step) == ("escalated", "approve")


def test_the_form_links_to_the_live_page(form):
    asked = Asked(page=live_page)
    with pytest.raises(TaskAwaitingInput):
        asked.operator.execute(context(require_approval=True))
    address = "/groundtruth/dags/a_dag/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/approval"
    assert f"The [live page]({live_page('a_dag', RUN_ID)}) shows the current question" in form["body"]
    assert live_page("a_dag", RUN_ID).endswith(address)


ADA = {"id": "1", "name": "ada"}


def response(chosen, why="", user=None, code=CODE, **more):
    return {
        "chosen_options": [chosen],
        "params_input": {"why": why, "evidence_code": code},
        "responded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "responded_by_user": user,
        **more,
    }


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        (response("Approve", "fine", {"id": "1", "name": "ada"}), Answer(True, "ada", "fine", EVIDENCE)),
        (response("Reject", " ", {"id": "1", "name": "ada"}), Answer(False, "ada", "no reason given")),
        (response("Approve", None, {"id": "7", "name": ""}), Answer(True, "7", "no reason given", EVIDENCE)),
        (response("Approve", "", ADA, f" {CODE.upper()} "), Answer(True, "ada", "no reason given", EVIDENCE)),
        (response("Reject", "no", ADA, code="of old"), Answer(False, "ada", "no")),
        (response("Reject", timedout=True), Answer(False, "nobody", "nobody answered in time")),
        (response("Approve", timedout=True), Answer(False, "nobody", "nobody answered in time")),
        ({"error": "too late", "error_type": "timeout"}, Answer(False, "nobody", "nobody answered in time")),
    ],
)
def test_the_answer_is_recorded_and_never_fails_the_run(event, answer):
    asked = Asked()
    assert asked.operator.execute_complete(context(), event) == vars(answer)
    assert asked.answers == [answer]


@pytest.mark.parametrize(
    ("code", "stated"),
    [
        (CODE, f"ada approved evidence '{CODE}'"),
        ("", "ada approved without an evidence code"),
        (None, "ada approved without an evidence code"),
        ("x" * 100, "ada approved evidence '" + "x" * 40 + "'"),
    ],
)
def test_an_approval_of_other_evidence_is_refused_with_what_to_do(code, stated):
    """A clear and a retraining later Airflow still shows the old question, and its form the old code."""
    asked = Asked(page=live_page)
    asked.evidence = OTHER
    asked.operator.execute_complete(context(), response("Approve", "fine", ADA, code))
    [answer] = asked.answers
    assert (answer.approved, answer.by, answer.evidence) == (False, "nobody", None)
    assert answer.why.startswith(f"{stated}, and the run has other evidence now, so the approval does not count.")
    assert "Clear the task approve, read the current question in " in answer.why
    assert live_page("a_dag", RUN_ID) in answer.why


def test_with_the_code_of_the_live_page_an_approval_counts_also_after_a_clear():
    asked = Asked()
    asked.evidence = OTHER
    asked.operator.execute_complete(context(), response("Approve", "read", ADA, Question("", OTHER).code))
    assert asked.answers == [Answer(True, "ada", "read", OTHER)]


def test_an_answer_through_the_api_without_a_code_is_refused_and_fails_no_run():
    for fields in ({}, None, {"why": "fine"}):
        asked = Asked()
        asked.operator.execute_complete(context(), response("Approve", user=ADA) | {"params_input": fields})
        assert [answer.approved for answer in asked.answers] == [False]
        assert "without an evidence code" in asked.answers[0].why


def test_an_approval_of_what_the_run_would_no_longer_do_is_refused():
    asked = Asked(text=None)
    asked.operator.execute_complete(context(), response("Approve", "fine", ADA))
    assert asked.answers == [Answer(False, "nobody", "there is nothing to approve any more")]


@pytest.mark.parametrize(("given", "approved"), [(None, False), ("false", False), ("true", True)])
def test_without_a_scheduler_the_answer_is_no_unless_it_was_given(form, monkeypatch, given, approved):
    if given:
        monkeypatch.setenv("GROUNDTRUTH_APPROVE", given)
        get_settings.cache_clear()
    asked = Asked()
    assert asked.operator.execute(context(user="dag_test", require_approval=True))["approved"] is approved
    assert (asked.answers[0].approved, asked.answers[0].evidence) == (approved, EVIDENCE)
    assert "--approve" in asked.answers[0].why
    assert form == {}


def test_whether_to_wait_can_be_said(form):
    assert Asked(wait=False).operator.execute(context(require_approval=True))["approved"] is False
    with pytest.raises(TaskAwaitingInput):
        Asked(wait=True, response_timeout=timedelta(hours=1)).operator.execute(
            context(user="dag_test", require_approval=True)
        )


@pytest.mark.parametrize("given", ["false", "true"])
def test_a_dag_test_ends_by_itself_and_what_follows_runs(dags, monkeypatch, given):
    monkeypatch.setenv("GROUNDTRUTH_APPROVE", given)
    get_settings.cache_clear()
    (dags / "evidence").write_text("trained once")
    run = dag_of(dags, QUESTION.replace("FOLDER", str(dags))).test()
    assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == {"approve": "success", "after": "success"}
    assert (dags / "answers").read_text() == f"{given.title()}\n"


def respond(found, over, *, timedout, code=None, before=lambda: None):
    """What the API does with a person's answer, and the scheduler when the time is over.

    `dag.test()` may write the state that it read before over an answer; then it is given once more.

    Args:
        found: Filled with the question as Airflow keeps it.
        over: Set when the run has ended.
        timedout: Whether the time is over.
        code: The evidence code of the answer; None leaves that of the form.
        before: Called before the answer.
    """
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session

    while not over.wait(0.2):
        with suppress(OperationalError), create_session() as session:  # SQLite is locked now and then
            task = session.scalar(select(TaskInstance).where(TaskInstance.state == "awaiting_input"))
            detail = task and session.get(HITLDetail, task.id)
            if not detail:
                continue
            found.update(body=detail.body, subject=detail.subject, params=detail.params)
            detail.chosen_options = list(detail.defaults) if timedout else ["Approve"]
            kept = detail.params["evidence_code"]["value"]
            detail.params_input = {"why": "" if timedout else "fine", "evidence_code": kept if code is None else code}
            before()
            detail.responded_by = None if timedout else {"id": "1", "name": "ada"}
            detail.responded_at = datetime.now(UTC)
            payload = detail.as_resume_event_payload(timedout=timedout)
            handle_event_submit(TriggerEvent(payload), task_instance=task, session=session)


@pytest.fixture
def waiting(dags):
    """A DAG that waits for a reviewer, with evidence in a file."""
    (dags / "evidence").write_text("trained once")
    text = QUESTION.replace("FOLDER", str(dags)).replace("record=keep", "record=keep, wait=True")
    return dag_of(dags, text.replace("{answer.approved}", "{answer.approved} {answer.by} {answer.why}"))


def answered(dag, dags, **options):
    """Run the DAG until it was answered; returns the question, the recorded answer and the run."""
    found, over = {}, threading.Event()
    person = threading.Thread(target=respond, args=(found, over), kwargs={"timedout": False} | options, daemon=True)
    person.start()
    run = dag.test()
    over.set()
    person.join(10)
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert states == {"approve": "success", "after": "success"}
    return found, (dags / "answers").read_text(), run


@pytest.mark.parametrize(
    ("timedout", "answer"), [(False, "True ada fine"), (True, "False nobody nobody answered in time")]
)
def test_a_task_that_waits_goes_on_with_the_answer(waiting, dags, timedout, answer):
    found, recorded, run = answered(waiting, dags, timedout=timedout)
    assert found["body"].startswith("**diff**")
    assert found["subject"] == f"Approve the change of the env file by ask_dag, run {run.run_id}?"
    assert list(found["params"]) == ["why", "evidence_code"]
    assert recorded == answer + "\n"


def test_evidence_that_changes_while_a_reviewer_reads_makes_the_approval_void(waiting, dags):
    _, recorded, _ = answered(waiting, dags, before=lambda: (dags / "evidence").write_text("trained again"))
    assert recorded.startswith("False nobody ada approved evidence ")
    assert "the run has other evidence now" in recorded


def test_the_current_code_approves_whatever_the_form_holds(waiting, dags):
    code = Question("", OTHER).code
    _, recorded, _ = answered(waiting, dags, code=code, before=lambda: (dags / "evidence").write_text("trained again"))
    assert recorded == "True ada fine\n"
