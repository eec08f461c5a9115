"""Approval: what a user is asked, who is waited for, and which answer counts."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import TaskAwaitingInput
from sqlalchemy import select

from include.core.settings import get_settings
from plugins.env_file.approval import PATIENCE, Answer, ApprovalOperator
from tests.plugins.env_file.runs import context, dag_of

pytestmark = pytest.mark.airflow


QUESTION = """
def keep(context, answer):
    with Path("FOLDER/answers").open("a") as file:
        file.write(f"{answer.approved}\\n")
with DAG("ask_dag", params={"require_approval": True}, **START):
    ask = ApprovalOperator(param="require_approval", task_id="approve", question=lambda files: "**diff**", record=keep)
    ask >> EnvFileOperator(task_id="after", changes={"AFTER": "1"}, why="it ran")
"""


class Asked:
    """An approval whose question and answers are kept."""

    def __init__(self, question="**diff**", **options):
        self.answers, self.files = [], []

        def show(files):
            self.files.append(files)
            return question

        self.operator = ApprovalOperator(
            param="require_approval",
            task_id="approve",
            question=show,
            record=lambda _, answer: self.answers.append(answer),
            **options,
        )


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
    assert (form, asked.files) == ({}, [])


def test_nothing_is_asked_where_there_is_nothing_to_approve(form):
    asked = Asked(question=None)
    assert asked.operator.execute(context(require_approval=True))["approved"] is False
    assert asked.answers == [Answer(False, "nobody", "there is nothing to approve")]
    assert form == {}


def test_a_person_is_shown_the_diff_and_waited_for_without_a_worker(form, tmp_path):
    asked = Asked()
    with pytest.raises(TaskAwaitingInput) as waiting:
        asked.operator.execute(context(require_approval=True))
    assert (waiting.value.method_name, waiting.value.timeout) == ("execute_complete", PATIENCE)
    assert (form["body"], form["options"], form["defaults"]) == ("**diff**", ["Approve", "Reject"], ["Reject"])
    assert asked.answers == []
    assert asked.files == [tmp_path / "data" / "runs" / "a_dag" / "manual__2026-01-01T00-00-00+00-00" / "files"]


def response(chosen, why="", user=None, **more):
    return {
        "chosen_options": [chosen],
        "params_input": {"why": why},
        "responded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "responded_by_user": user,
        **more,
    }


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        (response("Approve", "fine", {"id": "1", "name": "ada"}), Answer(True, "ada", "fine")),
        (response("Reject", " ", {"id": "1", "name": "ada"}), Answer(False, "ada", "no reason given")),
        (response("Approve", None, {"id": "7", "name": ""}), Answer(True, "7", "no reason given")),
        (response("Reject", timedout=True), Answer(False, "nobody", "nobody answered in time")),
        (response("Approve", timedout=True), Answer(False, "nobody", "nobody answered in time")),
        ({"error": "too late", "error_type": "timeout"}, Answer(False, "nobody", "nobody answered in time")),
    ],
)
def test_the_answer_is_recorded_and_never_fails_the_run(event, answer):
    asked = Asked()
    assert asked.operator.execute_complete(context(), event) == vars(answer)
    assert asked.answers == [answer]


@pytest.mark.parametrize(("given", "approved"), [(None, False), ("false", False), ("true", True)])
def test_without_a_scheduler_the_answer_is_no_unless_it_was_given(form, monkeypatch, given, approved):
    if given:
        monkeypatch.setenv("GROUNDTRUTH_APPROVE", given)
        get_settings.cache_clear()
    asked = Asked()
    assert asked.operator.execute(context(user="dag_test", require_approval=True))["approved"] is approved
    assert asked.answers[0].approved is approved
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
    run = dag_of(dags, QUESTION.replace("FOLDER", str(dags))).test()
    assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == {"approve": "success", "after": "success"}
    assert (dags / "answers").read_text() == f"{given.title()}\n"


def respond(found, *, timedout):
    """What the API does with a person's answer, and the scheduler when the time is over."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session

    while True:
        time.sleep(0.2)
        with create_session() as session:
            task = session.scalar(select(TaskInstance).where(TaskInstance.state == "awaiting_input"))
            detail = task and session.get(HITLDetail, task.id)
            if not detail:
                continue
            found.update(body=detail.body, subject=detail.subject, params=detail.params)
            detail.chosen_options = list(detail.defaults) if timedout else ["Approve"]
            detail.params_input = {"why": "" if timedout else "fine"}
            detail.responded_by = None if timedout else {"id": "1", "name": "ada"}
            detail.responded_at = datetime.now(UTC)
            payload = detail.as_resume_event_payload(timedout=timedout)
            handle_event_submit(TriggerEvent(payload), task_instance=task, session=session)
            return


@pytest.mark.parametrize(
    ("timedout", "answer"), [(False, "True ada fine"), (True, "False nobody nobody answered in time")]
)
def test_a_task_that_waits_goes_on_with_the_answer(dags, timedout, answer):
    text = QUESTION.replace("FOLDER", str(dags)).replace("record=keep", "record=keep, wait=True")
    found = {}
    dag = dag_of(dags, text.replace("{answer.approved}", "{answer.approved} {answer.by} {answer.why}"))
    person = threading.Thread(target=respond, args=(found,), kwargs={"timedout": timedout}, daemon=True)
    person.start()
    run = dag.test()
    person.join(10)
    assert found["body"] == "**diff**"
    assert found["subject"] == f"Approve the change of the env file by ask_dag, run {run.run_id}?"
    assert list(found["params"]) == ["why"]
    assert (dags / "answers").read_text() == answer + "\n"
    assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == {"approve": "success", "after": "success"}
