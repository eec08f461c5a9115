"""Field monitoring by `dag.test()` against the stand-in: a run publishes the fields, and a second one adds nothing."""

import json
from pathlib import Path

import pytest

from include.core.settings import get_settings
from include.satellite.fields.reading import EXAMPLE
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from include.satellite.pipeline import FIELD_MONITORING
from tests.airflow_runs import run_dag

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]

CONF = {"end": "2026-10-01T00:00:00Z", "days_back": 20, "resolution": 20, "indices": ["ndvi", "ndmi"]}


@pytest.fixture
def run(data_dir, tmp_path, monkeypatch):
    """Runs the DAG over three fields of the simulated land; each call is one more run."""
    document = json.loads(EXAMPLE.read_text())
    document["features"] = document["features"][:3]
    (tmp_path / "farm.geojson").write_text(json.dumps(document))
    monkeypatch.setenv("GROUNDTRUTH_INPUT_DIRS", str(tmp_path))
    with stand_in() as url:
        monkeypatch.setenv(URL_VARIABLE, url)
        yield lambda **conf: run_dag("field_monitoring", CONF | {"fields": "farm.geojson"} | conf)
    get_settings.cache_clear()


def statistics(outcome):
    """Metrics of all steps."""
    results = [outcome.folder.result(item.step.id) for item in FIELD_MONITORING.steps]
    return {name: value for result in results for name, value in result.outcome.scalars().items()}


def test_a_run_publishes_the_fields_and_a_repeated_one_adds_nothing(run, data_dir):
    first = run()
    assert first.state == "success", first.report["failure_point"]
    figures = statistics(first)
    assert figures["fields"] == 3
    assert figures["observations"] == figures["observations_new"] == 3 * figures["passes"] > 0
    published = Path(first.report["published"]["path"])
    assert published == data_dir / "published" / "field_monitoring" / "manual" / "farm" / "2026-10-01"
    names = {"fields.json", "observations.parquet", "fields.parquet", "fields.gpkg", "indices.tif", "item.json"}
    assert {path.name for path in published.iterdir()} >= names
    stored = {path: path.read_bytes() for path in data_dir.glob("fields/**/*.parquet")}
    scenes = set(data_dir.glob("imagery/**/*.tif"))
    assert stored
    assert scenes

    again = run()
    assert again.state == "success", again.report["failure_point"]
    figures = statistics(again)
    assert figures["observations_new"] == figures["dates_fetched"] == figures["processing_units_spent"] == 0
    assert figures["observations"] == statistics(first)["observations"]
    assert {path: path.read_bytes() for path in data_dir.glob("fields/**/*.parquet")} == stored
    assert set(data_dir.glob("imagery/**/*.tif")) == scenes
    for name in ("fields.json", "indices.tif", "item.json", "fields.parquet"):
        assert (again.folder.files / name).read_bytes() == (first.folder.files / name).read_bytes()
