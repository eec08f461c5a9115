"""The examples of docs/contributing/extending.md work."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import json
import re
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

import include
from include import domains, pipelines
from include.core.contracts import imported
from include.core.outcome import Finding
from include.core.run_folder import Run, write_json
from include.core.runner import Attempt, called, run_step
from include.core.settings import ROOT
from include.energy import readers
from include.energy.analyzer import analyze
from include.energy.generator import generate as generate_readings
from include.energy.params import AnalyzerParams, GeneratorParams
from include.energy.schemas import SOURCE
from include.energy.steps import analyzer_records
from include.satellite import sensors
from plugins.steps import runtimes
from plugins.steps.context import RETRIES
from plugins.steps.factory import build_dag
from tools.generate import main as generate

PAGE = (ROOT / "docs" / "contributing" / "extending.md").read_text()
MODULES = dict(re.findall(r"```python\n# ((?:include|plugins)/\S+)\n(.*?)```", PAGE, re.DOTALL))
DEFINITION = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]
LATER = [f"home@2026-01-01T0{hour}:00:00+01:00=0.5 kWh" for hour in (1, 2, 3)]
NOW = datetime(2026, 1, 2, tzinfo=UTC)

pytestmark = pytest.mark.airflow


@pytest.fixture
def weather(tmp_path, monkeypatch):
    """The domain of the page, in the list of domains."""
    for path, text in MODULES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "include" / "weather" / "__init__.py").touch()
    monkeypatch.setattr(include, "__path__", [*include.__path__, str(tmp_path / "include")])
    for name in ("include.weather", "include.weather.steps", "include.weather.domain"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    domain = imported("include.weather.domain:WEATHER")
    monkeypatch.setattr(pipelines, "DOMAINS", (*domains.DOMAINS, domain))
    return domain


@pytest.fixture
def pipeline(weather, tmp_path):
    """The pipeline of the page's definition."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "weather-pipeline.json").write_text(DEFINITION)
    (pipeline,), errors = pipelines.load_pipelines(tmp_path / "config")
    assert errors == []
    return pipeline


def plan_of(pipeline, folder, params):
    """Return the plan of a run of the pipeline."""
    return Run(
        pipeline="weather-pipeline",
        dag_id=pipeline.definition.dag_id,
        run_id=folder.path.name,
        runtime="local",
        created_at=NOW,
        params=pipeline.check_params(params),
        steps=pipeline.plan,
    )


def test_a_domain_is_a_package_and_one_line(weather, pipeline, folder):
    step = pipeline["generate-weather"].step
    write_json(folder.path / "run.json", plan_of(pipeline, folder, {"station": "Graz"}))
    result = run_step(step, folder, Attempt(), called(step.load()))
    assert result.status == "success"
    assert result.outcome.scalars() == {"maximum_c": 8.0, "synthetic": True}
    assert result.outcome.findings == (
        Finding(severity="info", message="The temperatures are synthetic, not measured."),
    )
    assert json.loads((folder.files / "temperatures.json").read_text())["station"] == "Graz"
    assert pipelines.domain_of(step) is weather


def test_a_misspelt_parameter_of_the_new_domain_is_rejected_like_any_other(pipeline):
    with pytest.raises(Exception, match="stations: no such parameter; did you mean station"):
        pipeline.check_params({"stations": "Graz"})


def test_the_program_of_the_new_domain_lists_its_steps(weather, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["include.weather"])
    with pytest.raises(SystemExit, match=r"usage: python -m include\.weather generate-weather"):
        exec(compile(MODULES["include/weather/__main__.py"], "__main__.py", "exec"), {"__name__": "__main__"})  # noqa: S102


def test_generated_blocks_are_stale_until_they_are_generated_for_a_new_domain(weather):
    assert generate(["--check"], (*domains.DOMAINS, weather)) == 1


def test_a_runtime_is_one_module_and_one_line(pipeline, folder, tmp_path, monkeypatch):
    (tmp_path / "inline.py").write_text(MODULES["plugins/steps/runtimes/inline.py"])
    monkeypatch.setattr(runtimes, "__path__", [*runtimes.__path__, str(tmp_path)])
    monkeypatch.setitem(runtimes.RUNTIMES, "inline", "plugins.steps.runtimes.inline:InlineStep")
    task = build_dag(pipeline, doc_md="", runtime="inline").get_task("generate-weather")
    monkeypatch.delitem(sys.modules, "plugins.steps.runtimes.inline")
    assert type(task).__name__ == "InlineStep"
    write_json(folder.path / "run.json", plan_of(pipeline, folder, {"station": "Graz"}))
    monkeypatch.setattr("plugins.steps.runtimes.base.folder_of", lambda context: folder)
    ti = SimpleNamespace(
        try_number=1,
        max_tries=RETRIES,
        task=SimpleNamespace(retries=RETRIES),
        map_index=-1,
        task_id="generate-weather",
        dag_id="d",
        run_id="r",
    )
    assert task.execute({"ti": ti})["maximum_c"] == 8.0
    assert folder.result("generate-weather").runtime == "inline"


def test_a_meter_format_is_one_file(tmp_path, monkeypatch, folder):
    (tmp_path / "logger.py").write_text(MODULES["include/energy/readers/logger.py"])
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    hours = ("home@2026-01-01T00:00:00+01:00=0.25 kWh", "?", *LATER)
    (folder.files / "source").mkdir()
    (folder.files / "source" / "home.log").write_text("\n".join(hours))
    generate_readings(folder.files, GeneratorParams(files=("home.log",)))
    source = SOURCE.read(folder.files)
    monkeypatch.delitem(sys.modules, "include.energy.readers.logger")
    assert (source.unit, source.interval_seconds, source.records_written) == ("kWh", 3600, 5)
    first, malformed = (folder.files / "energy_data.csv").read_text().splitlines()[1:3]
    assert first.startswith("2025-12-31T23:00:00Z,home,0.25,")
    assert malformed.endswith("home.log,2,malformed_record")
    analyze(folder.files, AnalyzerParams(max_rejected=0.2))
    assert analyzer_records(folder.files).accepted == 4


def test_a_sensor_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "example.py").write_text(MODULES["include/satellite/sensors/example.py"])
    monkeypatch.setattr(sensors, "__path__", [*sensors.__path__, str(tmp_path)])
    sensor = sensors.sensor_of("example-l2")
    assert [index.name for index in sensor.indices_of(sensor.base_bands)] == ["ndvi", "savi", "evi", "ndwi"]
    monkeypatch.delitem(sys.modules, "include.satellite.sensors.example")


@pytest.mark.parametrize(("name", "path"), re.findall(r"`(test_\w+)` in\s+`(tests/\S+\.py)`", PAGE))
def test_the_tests_that_the_page_names_exist(name, path):
    assert f"def {name}(" in (ROOT / path).read_text()
