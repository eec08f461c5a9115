"""The env file in DAGs: changed as a transaction."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
from pathlib import Path
from types import SimpleNamespace

import pytest
from dotenv import dotenv_values

from include.core.errors import BadInputError, SetupError
from include.env_file import EnvFile, replacement
from plugins.env_file.operator import EnvFileOperator
from tests.plugins.env_file.runs import RUN_ID, context, dag_of

pytestmark = pytest.mark.airflow
TEMPLATES = """
with DAG("env_dag", params={"version": "v7", "name": "app"}, **START):
    EnvFileOperator(
        task_id="switch",
        env_file="FOLDER/{{ params.name }}.env",
        changes={"MODEL": "{{ params.version }}", "OLD": None},
        why="run {{ run_id }}",
    )
"""


def test_it_changes_the_file_and_leaves_a_trace(env_path):
    operator = EnvFileOperator(task_id="switch", changes={"MODEL": "new one", "GONE": None}, why="it is better")
    found = operator.execute(context())
    assert env_path.read_text() == "# team\nMODEL='new one'\n"
    (entry,) = EnvFile(env_path).history()
    assert (entry.why, entry.run) == ("it is better", f"a_dag/{RUN_ID}")
    assert entry.by.endswith(", task switch")
    assert found == {"entry": entry.id, "diff": "-MODEL=(not shown)\n+MODEL=(not shown)\n-GONE=(not shown)"}
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


def test_values_file_and_reason_are_templates(dags):
    run = dag_of(dags, TEMPLATES.replace("FOLDER", str(dags))).test()
    assert str(run.state) == "success"
    assert dotenv_values(dags / "app.env") == {"MODEL": "v7"}
    assert EnvFile(dags / "app.env").history()[0].why == f"run {run.run_id}"


def test_a_file_that_cannot_be_changed_fails_the_task_in_words(env_path, monkeypatch):
    def busy(*_):
        raise OSError(16, "busy")

    monkeypatch.setattr(replacement, "_exchange", busy)
    with pytest.raises(SetupError, match="is mounted as a single file"):
        EnvFileOperator(task_id="x", changes={"MODEL": "new"}, why="y").execute(context())


def test_airflow_loads_no_operator_as_a_plugin():
    """It would import `operator.py` under that name, in the place of Python's own module."""
    plugins = Path(__file__).resolve().parents[3] / "plugins"
    packages = {f"{init.parent.name}/" for init in plugins.glob("*/__init__.py")}
    assert packages <= set((plugins / ".airflowignore").read_text().splitlines())


def test_a_value_goes_neither_into_the_log_nor_through_xcom(env_path, monkeypatch):
    lines = []
    changes = {"API_TOKEN": "s3cret", "AI_MODEL_VERSION": "v9"}
    operator = EnvFileOperator(task_id="switch", changes=changes, why="rotated")
    log = SimpleNamespace(info=lambda *texts: lines.append(str(texts)), warning=lambda text: None)
    monkeypatch.setattr(EnvFileOperator, "log", log)
    found = operator.execute(context())
    assert found["diff"] == "+API_TOKEN=(not shown)\n+AI_MODEL_VERSION=v9"
    assert "API_TOKEN" in lines[0]
    assert "s3cret" not in lines[0]
