"""The instant from which a run's deadline counts."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
from types import SimpleNamespace

import pytest
from airflow.sdk.definitions.deadline import DeadlineReference

from plugins.notifications.deadline import RunQueued
from tests.core.small_pipeline import NOW

pytestmark = pytest.mark.airflow


def test_a_deadline_counts_from_the_queueing_of_its_own_run():
    queries = []
    session = SimpleNamespace(scalar=lambda query: queries.append(query) or NOW)
    assert RunQueued()._evaluate_with(session=session, dag_id="a_dag", run_id="manual__1") == NOW
    [query] = queries
    assert [column.name for column in query.selected_columns] == ["queued_at"]
    assert set(query.compile().params.values()) == {"a_dag", "manual__1"}


def test_stored_dags_find_the_class_under_the_name_that_v0_1_0_gave_it():
    assert (RunQueued.__module__, RunQueued.__name__) == ("plugins.notices.deadline", "RunQueued")
    assert RunQueued.required_kwargs == {"dag_id", "run_id"}


def test_it_counts_from_the_queueing_of_a_run_and_not_from_its_logical_date():
    assert RunQueued in DeadlineReference.TYPES.DAGRUN_QUEUED
