"""The energy pipeline over services by `dag.test()`: suspended, resumed, and byte for byte what a local run writes."""

import json
from contextlib import contextmanager

import pytest

from tests.airflow_runs import ROOT, run_dag  # isort: skip - sets Airflow's home first

from include.control.executor_paths import ExchangeFolder
from include.control.executor_server import executor_handler
from include.control.grpc_server import serving
from include.control.service import Service, ServiceSettings
from include.core.run_folder import Run, RunFolder, StepInfo, write_json
from include.core.runner import Attempt, called, run_step
from include.energy.steps import ENERGY_STEPS
from plugins.steps.runtimes import service as runtime
from tests.control.serving import served

pytestmark = pytest.mark.airflow
DAY = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z", "households": 2}
THEIRS = {
    "workflow_name": "energy-services",
    "start_node": "energy-generator",
    "execution_mode": "grpc",
    "schedule": None,
    "containers": {
        "energy-generator": {
            "input_file": None,
            "output_file": "/data/energy_data.csv",
            "next_node": "energy-analyzer",
            "timeout_seconds": 60,
        },
        "energy-analyzer": {
            "input_file": "/data/energy_data.csv",
            "output_file": "/data/output1.json",
            "next_node": "report-generator",
            "timeout_seconds": 60,
        },
        "report-generator": {
            "input_file": "/data/output1.json",
            "output_file": "/data/output2.json",
            "next_node": None,
            "timeout_seconds": 60,
        },
    },
}
"""A definition as the energy project's second version has it, but for its addresses."""


@contextmanager
def defined(protocol, service, data_dir):
    """Serve the steps by a protocol, and yield the definition that names the service."""
    document = json.loads((ROOT / "include/config/energy-services.json").read_text())
    if protocol == "http":
        with served(service) as client:
            yield document | {"services": {name: {"url": client.endpoint.url} for name in document["services"]}}
        return
    exchange = data_dir / "exchange"
    exchange.mkdir(parents=True)
    dialect = executor_handler(service, ExchangeFolder(exchange, str(exchange)))
    service.start()
    with serving(service, "127.0.0.1", 0, more=[dialect]) as port:
        if protocol == "grpc":
            address = {"url": f"http://127.0.0.1:{port}", "protocol": "grpc"}
            yield document | {"services": dict.fromkeys(document["services"], address)}
        else:
            yield THEIRS | {"service_registry": dict.fromkeys(THEIRS["containers"], f"127.0.0.1:{port}")}
    service.stop()


@pytest.mark.parametrize("protocol", ["http", "grpc", "container-executor"])
def test_services_write_the_same_bytes_as_a_local_run(data_dir, tmp_path, monkeypatch, protocol):
    service = Service(ENERGY_STEPS, ServiceSettings("all", tmp_path / "service", capacity=2))
    with defined(protocol, service, data_dir) as document:
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
