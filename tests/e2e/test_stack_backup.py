"""A backup of the full stack holds its runs, its database and its secrets; a restore brings back that moment."""

import json

import pytest

from tools import backup

pytestmark = [pytest.mark.airflow, pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(1200)]


def run(stack, name, day):
    conf = {"households": 2, "start": f"2026-02-{day:02}T00:00:00Z", "end": f"2026-02-{day + 1:02}T00:00:00Z"}
    stack.dag("POST", "/dagRuns", {"dag_run_id": name, "logical_date": None, "conf": conf})
    assert stack.wait(name) == "success"


def test_what_ran_before_the_backup_is_there_afterwards_and_nothing_else(stack, tmp_path, monkeypatch):
    settings = {"COMPOSE_PROJECT_NAME": stack.project, "GROUNDTRUTH_PORT": stack.port, "PWD": stack.folder}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    run(stack, "before", 1)
    report, password = stack.report("before"), stack.password
    archive = backup.create_stack(stack.folder, tmp_path / "stack.tar.gz")
    run(stack, "after", 5)
    aside = backup.restore_stack(stack.folder, archive)
    stack.up()
    runs = {found["dag_run_id"] for found in stack.dag("GET", "/dagRuns?limit=100")["dag_runs"]}
    assert "before" in runs
    assert "after" not in runs
    assert (stack.report("before"), stack.password) == (report, password)
    assert not stack.run_folder("after").exists()
    assert json.loads(
        next((aside / "stack/data/runs/energy_pipeline/after").glob("pipeline_report_*.json")).read_bytes()
    )
    run(stack, "later", 9)
