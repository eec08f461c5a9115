"""The energy pipeline over services by `dag.test()`: suspended, resumed, and byte for byte what a local run writes."""

import json

import pytest

from tests.airflow_runs import ROOT, run_dag  # isort: skip - sets Airflow's home first

from include.control.service import Service, ServiceSettings
from include.core.run_folder import Run, RunFolder, StepInfo, write_json
from include.core.runner import Attempt, called, run_step
from include.energy.steps import ENERGY_STEPS
from plugins.steps.runtimes import service as runtime
from tests.control.serving import served

pytestmark = pytest.mark.airflow
DAY = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z", "households": 2}


def test_services_write_the_same_bytes_as_a_local_run(data_dir, tmp_path, monkeypatch):
    document = json.loads((ROOT / "include/config/energy-services.json").read_text())
    service = Service(ENERGY_STEPS, ServiceSettings("all", tmp_path / "service", capacity=2))
    with served(service) as client:
        document["services"] = {name: {"url": client.endpoint.url} for name in document["services"]}
        (tmp_path / "definitions").mkdir()
        (tmp_path / "definitions" / "energy-services.json").write_text(json.dumps(document))
        monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(tmp_path / "definitions"))
        monkeypatch.setattr(runtime, "SHORT_WAIT_SECONDS", 0)
        outcome = run_dag("energy_services", DAY)
    assert set(outcome.tasks.values()) == {"success"}, outcome.tasks
    assert [outcome.folder.result(name).runtime for name in ENERGY_STEPS] == ["service"] * 3
    assert (outcome.folder.files / "energy_report.csv").read_bytes() == local_report(tmp_path, outcome.folder.run())


def local_report(tmp_path, planned: Run) -> bytes:
    """The report of the same run, by the functions themselves."""
    folder = RunFolder.of(tmp_path / "local", "energy_services", "local")
    folder.files.mkdir(parents=True)
    steps = [StepInfo(id=step.id, title=step.title, description="") for step in ENERGY_STEPS.values()]
    write_json(folder.path / "run.json", planned.model_copy(update={"steps": steps, "run_id": "local"}))
    for step in ENERGY_STEPS.values():
        run_step(step, folder, Attempt(), called(step.load()))
    return (folder.files / "energy_report.csv").read_bytes()
