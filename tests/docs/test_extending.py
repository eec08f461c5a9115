"""The examples of docs/contributing/extending.md work."""

import json
import re
import sys
from datetime import UTC, datetime

import pytest

import include
from include import domains, pipelines
from include.core.contracts import imported
from include.core.outcome import Finding
from include.core.run_folder import Run, write_json
from include.core.runner import Attempt, run_step
from include.core.settings import ROOT
from include.satellite import sensors
from tools.generate import main as generate

PAGE = (ROOT / "docs" / "contributing" / "extending.md").read_text()
MODULES = dict(re.findall(r"```python\n# (include/\S+)\n(.*?)```", PAGE, re.DOTALL))
DEFINITION = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]
NOW = datetime(2026, 1, 2, tzinfo=UTC)


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


def test_a_domain_is_a_package_and_one_line(weather, pipeline, folder):
    step = pipeline["generate-weather"].step
    params = pipeline.check_params({"station": "Graz"})
    plan = Run(
        pipeline="weather-pipeline",
        dag_id=pipeline.definition.dag_id,
        run_id=folder.path.name,
        runtime="local",
        created_at=NOW,
        params=params,
        steps=pipeline.plan,
    )
    write_json(folder.path / "run.json", plan)
    attempt = Attempt(declared=pipeline.declared)
    result = run_step(step, folder, attempt, lambda params: step.load()(folder.files, params))
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


def test_a_sensor_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "example.py").write_text(MODULES["include/satellite/sensors/example.py"])
    monkeypatch.setattr(sensors, "__path__", [*sensors.__path__, str(tmp_path)])
    sensor = sensors.sensor_of("example-l2")
    assert [index.name for index in sensor.indices_of(sensor.base_bands)] == ["ndvi", "savi", "evi", "ndwi"]
    monkeypatch.delitem(sys.modules, "include.satellite.sensors.example")


@pytest.mark.parametrize(("name", "path"), re.findall(r"`(test_\w+)` in\s+`(tests/\S+\.py)`", PAGE))
def test_the_tests_that_the_page_names_exist(name, path):
    assert f"def {name}(" in (ROOT / path).read_text()
