"""The env file in DAGs: changed as a transaction, and only after a person's yes where one is asked for."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import TaskAwaitingInput
from dotenv import dotenv_values
from sqlalchemy import select

from include.core.errors import BadInputError, SetupError
from include.core.settings import get_settings
from include.env_file import EnvFile
from plugins.env_file.approval import PATIENCE, Answer, ApprovalOperator
from plugins.env_file.operator import EnvFileOperator

pytestmark = pytest.mark.airflow
RUN_ID = "manual__2026-01-01T00:00:00+00:00"


@pytest.fixture(autouse=True)
def env_path(tmp_path, monkeypatch):
    path = tmp_path / ".env"
    path.write_text("# team\nMODEL=old\nGONE=1\n")
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(path))
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("GROUNDTRUTH_APPROVE", raising=False)
    get_settings.cache_clear()
    yield path
    get_settings.cache_clear()


def context(user=None, **params):
    run = SimpleNamespace(dag_id="a_dag", run_id=RUN_ID, triggering_user_name=user)
    return {"dag_run": run, "params": params, "run_id": RUN_ID, "task_instance": SimpleNamespace(id="ti")}


# the operator


def test_it_changes_the_file_and_leaves_a_trace(env_path):
    operator = EnvFileOperator(task_id="switch", changes={"MODEL": "new one", "GONE": None}, why="it is better")
    found = operator.execute(context())
    assert env_path.read_text() == "# team\nMODEL='new one'\n"
    (entry,) = EnvFile(env_path).history()
    assert (entry.why, entry.run) == ("it is better", f"a_dag/{RUN_ID}")
    assert entry.by.endswith(", task switch")
    assert found == {"entry": entry.id, "diff": entry.diff}
    assert operator.execute(context()) == {"entry": None, "diff": ""}


def test_another_file_may_be_named(tmp_path, env_path):
    EnvFileOperator(task_id="x", changes={"A": "1"}, why="y", env_file=str(tmp_path / "other.env")).execute(context())
    assert dotenv_values(tmp_path / "other.env") == {"A": "1"}
    assert "A" not in dotenv_values(env_path)


@pytest.mark.parametrize("value", [True, 3, ["x"]])
def test_only_text_is_written(env_path, value):
    before = env_path.read_bytes()
    with pytest.raises(BadInputError, match="changes: A must be text"):
        EnvFileOperator(task_id="x", changes={"MODEL": "new", "A": value}, why="y").execute(context())
    assert env_path.read_bytes() == before


def dag_of(folder, text):
    """The DAG of a file, as `airflow dags test` finds it."""
    from airflow.dag_processing.dagbag import DagBag

    (folder / "a_dag.py").write_text(HEAD + text)
    bag = DagBag(dag_folder=str(folder), bundle_path=folder, bundle_name="dags-folder")
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    return dag


HEAD = """
from datetime import UTC, datetime
from pathlib import Path
from airflow.sdk import DAG
from plugins.env_file.approval import ApprovalOperator
from plugins.env_file.operator import EnvFileOperator
START = {"schedule": None, "start_date": datetime(2026, 1, 1, tzinfo=UTC)}
"""
TEMPLATES = """
with DAG("env_dag", params={"version": "v7", "name": "app"}, **START):
    EnvFileOperator(
        task_id="switch",
        env_file="FOLDER/{{ params.name }}.env",
        changes={"MODEL": "{{ params.version }}", "OLD": None},
        why="run {{ run_id }}",
    )
"""
QUESTION = """
def keep(context, answer):
    with Path("FOLDER/answers").open("a") as file:
        file.write(f"{answer.approved}\\n")
with DAG("ask_dag", params={"require_approval": True}, **START):
    ask = ApprovalOperator(param="require_approval", task_id="approve", question=lambda files: "**diff**", record=keep)
    ask >> EnvFileOperator(task_id="after", changes={"AFTER": "1"}, why="it ran")
"""


@pytest.fixture
def dags(tmp_path, monkeypatch):
    folder = tmp_path / "dags"
    folder.mkdir()
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(folder))
    return folder


def test_values_file_and_reason_are_templates(dags):
    run = dag_of(dags, TEMPLATES.replace("FOLDER", str(dags))).test()
    assert str(run.state) == "success"
    assert dotenv_values(dags / "app.env") == {"MODEL": "v7"}
    assert EnvFile(dags / "app.env").history()[0].why == f"run {run.run_id}"


def test_a_file_that_cannot_be_changed_fails_the_task_in_words(env_path, monkeypatch):
    from include.env_file import replacement

    def busy(*_):
        raise OSError(16, "busy")

    monkeypatch.setattr(replacement, "_exchange", busy)
    with pytest.raises(SetupError, match="is mounted as a single file"):
        EnvFileOperator(task_id="x", changes={"MODEL": "new"}, why="y").execute(context())


# asking


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
        Asked(wait=True, patience=timedelta(hours=1)).operator.execute(context(user="dag_test", require_approval=True))


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


def test_airflow_loads_no_operator_as_a_plugin():
    """It would import `operator.py` under that name, in the place of Python's own module."""
    plugins = Path(__file__).resolve().parents[2] / "plugins"
    packages = {f"{init.parent.name}/" for init in plugins.glob("*/__init__.py")}
    assert packages <= set((plugins / ".airflowignore").read_text().splitlines())
