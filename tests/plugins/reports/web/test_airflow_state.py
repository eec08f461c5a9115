"""What Airflow's database records of runs and tasks."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

import tests.airflow_env  # noqa: F401 - before Airflow is imported

pytestmark = pytest.mark.airflow
RUN = "manual__2026-03-04T00:00:00+00:00"
FOLDER = "manual__2026-03-04T00-00-00+00-00"


@pytest.mark.parametrize(("state", "active"), [("queued", True), ("running", True), ("success", False)])
def test_active_runs_are_queued_or_running_and_named_by_their_folder(added, state, active):
    from plugins.reports.web.airflow_state import active_runs

    added("energy_pipeline", RUN, state)
    assert active_runs(["energy_pipeline"]) == ({("energy_pipeline", FOLDER)} if active else set())
    assert active_runs(["satellite_pipeline"]) == set()


def test_a_mapped_task_has_the_worst_state_of_its_instances(added, monkeypatch):
    from plugins.reports.web import airflow_state

    added("energy_pipeline", RUN)
    rows = [("one", "success"), ("two", "success"), ("two", "failed"), ("three", None)]
    session = SimpleNamespace(execute=lambda query: rows if RUN in query.compile().params.values() else [])
    monkeypatch.setattr(airflow_state, "create_session", lambda **_: nullcontext(session))
    task_states = airflow_state.task_states
    assert task_states("energy_pipeline", RUN) == {"one": "success", "two": "failed", "three": "scheduled"}
    assert task_states("energy_pipeline", "another") == {}
