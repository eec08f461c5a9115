"""What the maintenance DAG runs: orphans of the runtime, leftovers, what is older than its setting."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import json
import os
import time
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include.core.errors import SetupError
from include.core.run_folder import RunFolder
from include.core.settings import get_settings
from plugins.steps import maintenance
from plugins.steps.maintenance import remove_expired, remove_orphans, sweep_leftovers
from tests.reporting.lost_runs import first_step_done

pytestmark = pytest.mark.airflow


def instance(states):
    """A task instance to which Airflow reports these states of a task of the run `r`."""
    asked = []

    def get_task_states(**arguments):
        asked.append(arguments)
        return {"r": states} if states is not None else {}

    return SimpleNamespace(get_task_states=get_task_states, asked=asked)


@pytest.fixture
def runtime(monkeypatch):
    """A runtime that holds one piece of work, of the mapped task 2 of `t`, or of a task that is not mapped."""
    runtime = SimpleNamespace(index=2)
    runtime.remove_orphans = lambda is_ended, log: int(is_ended("d", "r", "t", runtime.index))
    services = SimpleNamespace(remove_orphans=lambda is_ended, log: 0)
    monkeypatch.setattr(maintenance, "runtime_class", lambda name: services if name == "service" else runtime)
    return runtime


@pytest.mark.parametrize(
    ("states", "removed"),
    [
        ({"t": "success"}, 1),
        ({"t": "failed"}, 1),
        ({"t": "upstream_failed"}, 1),
        ({"t": "skipped"}, 1),
        ({"t": "removed"}, 1),
        ({"t": "running"}, 0),
        ({"t": "up_for_retry"}, 0),
        ({"t": None}, 0),
        ({"t": "success", "t_2": "running"}, 0),
        (None, 1),
    ],
)
def test_work_is_removed_once_its_task_has_ended_or_is_unknown(runtime, states, removed):
    assert remove_orphans(instance(states), {}) == removed


@pytest.mark.parametrize(("index", "map_index"), [(2, 2), (0, 0), (-1, None)])
def test_airflow_is_asked_about_the_very_task(runtime, index, map_index):
    runtime.index, ti = index, instance({})
    remove_orphans(ti, {})
    assert ti.asked == [{"dag_id": "d", "task_ids": ["t"], "run_ids": ["r"], "map_index": map_index}]


def test_an_engine_that_cannot_be_used_is_one_sentence_in_the_log(runtime, caplog):
    def fail(*_):
        raise SetupError("no permission to use the Docker engine")

    runtime.remove_orphans = fail
    with pytest.raises(SetupError):
        remove_orphans(instance({}), {})
    assert [record.getMessage() for record in caplog.records] == ["no permission to use the Docker engine"]


@pytest.fixture
def runs(data_dir):
    """Two runs of a DAG: one of yesterday, one 31 days old."""
    for name, days in (("new", 1), ("old", 31)):
        run = RunFolder.of(data_dir, "energy_pipeline", name)
        run.files.mkdir(parents=True)
        then = time.time() - days * 86400
        for path in (run.path, run.files):
            os.utime(path, (then, then))
    return data_dir / "runs" / "energy_pipeline"


@pytest.mark.parametrize(
    ("days", "left"), [("0", ["new", "old"]), ("30", ["new"]), ("60", ["new", "old"]), (None, ["new", "old"])]
)
def test_runs_older_than_the_setting_are_removed_and_counted(runs, monkeypatch, days, left):
    if days:
        monkeypatch.setenv("GROUNDTRUTH_KEEP_RUNS_DAYS", days)
    get_settings.cache_clear()
    rows = {row["subject"]: row["count"] for row in remove_expired({})}
    assert rows["runs"] == 2 - len(left)
    assert rows.keys() >= {"runs", "logs", "replaced publications", "scenes"}
    assert sorted(path.name for path in runs.iterdir()) == left


def test_logs_are_those_of_airflow(data_dir, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path / "logs"))
    old = tmp_path / "logs" / "dag_id=a" / "run_id=b" / "attempt=1.log"
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (1, 1))
    assert {row["subject"]: row["count"] for row in remove_expired({})}["logs"] == 1
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_dry_run_removes_nothing(runs, runtime, monkeypatch, caplog):
    monkeypatch.setenv("GROUNDTRUTH_KEEP_RUNS_DAYS", "30")
    get_settings.cache_clear()
    dry = {"dry_run": True}
    with caplog.at_level("INFO"):
        assert {row["subject"]: row["count"] for row in remove_expired(dry)}["runs"] == 1
    assert "Would remove runs: 1 (" in caplog.text
    assert sorted(path.name for path in runs.iterdir()) == ["new", "old"]
    for task in (remove_orphans, sweep_leftovers):
        with pytest.raises(AirflowSkipException):
            task(instance({"t": "success"}), dry)


def test_what_killed_runs_left_is_swept_and_their_reports_are_written(data_dir):
    killed = RunFolder.of(data_dir, "energy_pipeline", "cli__killed")
    first_step_done(killed)
    for name in ("airflow.log", ".airflow.db"):
        (killed.path / name).touch()
    half = data_dir / "published" / "energy" / ".2026-01-01.abcd1234"
    partial = data_dir / "imagery" / "area" / ".scene.tif.partial"
    half.mkdir(parents=True)
    partial.parent.mkdir(parents=True)
    partial.touch()
    for path in (half, partial):
        os.utime(path, (1, 1))
    assert sweep_leftovers(instance({}), {}) == 3
    [report] = killed.path.glob("pipeline_report_*.json")
    assert json.loads(report.read_bytes())["failure_point"]["kind"] == "lost"
    assert not half.exists()
    assert not partial.exists()
    assert sweep_leftovers(instance({}), {}) == 0
    assert len(list(killed.path.glob("pipeline_report_*.json"))) == 1


@pytest.mark.parametrize(
    ("states", "swept"),
    [
        ({"analyze": "failed", "publish": "upstream_failed"}, 1),
        ({"analyze": "failed", "publish": "up_for_retry"}, 0),
        ({"analyze": "success", "download_2": "running"}, 0),
        ({"analyze": None}, 0),
        (None, 1),
    ],
)
def test_work_folders_are_removed_once_all_tasks_of_their_run_have_ended(data_dir, states, swept):
    run = RunFolder.of(data_dir, "energy_pipeline", "scheduled__2026-01-01T00:00:00+00:00")
    first_step_done(run)
    plan = run.run()
    work = run.path / "work" / "analyze.0-1"
    work.mkdir(parents=True)
    os.utime(work, (1, 1))
    ti = instance(states)
    assert sweep_leftovers(ti, {}) == swept
    assert work.exists() == (not swept)
    assert ti.asked == [{"dag_id": plan.dag_id, "run_ids": [plan.run_id]}], "by its id, not the name of its folder"


def test_the_work_of_a_run_whose_id_is_not_known_stays(data_dir):
    run = RunFolder.of(data_dir, "energy_pipeline", "scheduled__1")
    work = run.path / "work" / "analyze.0-1"
    work.mkdir(parents=True)
    os.utime(work, (1, 1))
    (run.path / "run.json").write_text("{")
    assert sweep_leftovers(instance(None), {}) == 0
    assert work.exists()


def test_a_removal_that_was_interrupted_is_ended_though_all_runs_stay(data_dir):
    half = data_dir / "runs" / "energy_pipeline" / ".removed-manual__1"
    half.mkdir(parents=True)
    remove_expired({})
    assert not half.exists()
