"""The satellite pipeline by `dag.test()` against the stand-in: small areas, quick models, every step for real."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from include.core.settings import ROOT, get_settings
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from tests.airflow_runs import run_dag
from tests.plots import empty_plots
from tests.satellite.tiny import END, TINY

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

SMALL = TINY | {"end": END, "cnn_epochs": 1}
DATES = TINY["target_count"]
KEPT = ("imagery", "models/baselines")
DOCUMENTED = {
    "pipeline_name", "start_time", "end_time", "total_duration_seconds", "overall_status", "summary_statistics",
    "steps",
}  # fmt: skip


@pytest.fixture(scope="module")
def api():
    """A stand-in for all runs of this file."""
    with stand_in() as url:
        yield url


@contextmanager
def place(folder: Path, kept: Path, url: str) -> Iterator[Path]:
    """A data folder and an env file below a folder, with the imagery and the baselines that other runs left."""
    data = folder / "data"
    (data / "models").mkdir(parents=True)
    for name in KEPT:
        (kept / name).mkdir(parents=True, exist_ok=True)
        (data / name).symlink_to(kept / name)
    (folder / "app.env").write_text("# ours\nUSE_AI_MODELS=false\n")
    requests.delete(f"{url}/control/faults", timeout=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_VARIABLE, url)
        patch.setenv("GROUNDTRUTH_DATA_DIR", str(data))
        patch.setenv("GROUNDTRUTH_ENV_FILE", str(folder / "app.env"))
        yield data
    requests.delete(f"{url}/control/faults", timeout=5)
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """What outlives a run: imagery, the synthetic baseline, MLflow's database; the run of `finished` fills it."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, kept, api, blank_png):
    """A run that is green to its end, and the map that follows it."""
    with place(tmp_path_factory.mktemp("finished"), kept, api) as data, empty_plots(blank_png):
        pipeline = run_dag("satellite_pipeline", SMALL)
        shutil.copy(data / "models" / "mlflow.db", kept)
        return SimpleNamespace(data=data, pipeline=pipeline, map=run_dag("crop_health_map"))


@pytest.fixture
def run(tmp_path, kept, api, finished):
    """Runs the pipeline on the small area, with other parameters where a test gives them."""
    with place(tmp_path, kept, api) as data:
        shutil.copy(kept / "mlflow.db", data / "models")
        yield lambda **changes: run_dag("satellite_pipeline", SMALL | changes)


PROVE_AGAIN = """
import sys
sys.modules["torch"] = None  # the import fails
from pathlib import Path
from include.core.contracts import imported
from include.core.run_folder import RunFolder
from include.core.work_folder import view
from include.satellite.steps import SATELLITE_STEPS
folder = RunFolder(Path(sys.argv[1]))
for task in folder.all_tasks():
    step, result = SATELLITE_STEPS.get(task), folder.result(task)
    if step is None or result is None or not step.function:
        continue
    params = step.params.model_validate(result.params)
    located = {record.path: folder.locate(record).resolve() for record in (*result.inputs, *result.outputs)}
    with view(folder.path, located) as files:
        if step.stored:
            list(imported(step.stored)(files, params))
        step.prove(files, params)
        step.read_outcome(files)
        if step.keep:
            imported(step.keep)(files, params)
    print(task)
"""


def test_what_the_worker_does_for_steps_in_containers_needs_no_pytorch(finished):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUNDTRUTH_DATA_DIR", str(finished.data))
        patch.setenv("GROUNDTRUTH_ENV_FILE", str(finished.data.parent / "app.env"))
        command = [sys.executable, "-c", PROVE_AGAIN, finished.pipeline.folder.path]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"train_cnn", "train_lstm", "compare", "verify"} <= set(done.stdout.split())


def document(outcome, name):
    return json.loads((outcome.folder.files / name).read_bytes())


def statuses(outcome):
    return {step["id"]: step["status"] for step in outcome.report["steps"]}


def test_a_run_ends_with_a_decision_and_a_report_in_the_documented_format(finished):
    outcome = finished.pipeline
    assert outcome.state == "success", outcome.report["failure_point"]
    assert set(outcome.report) >= DOCUMENTED
    assert [step["step_number"] for step in outcome.report["steps"]] == list(range(1, 9))
    assert set(statuses(outcome).values()) == {"success"}
    statistics = outcome.report["summary_statistics"]
    metrics, comparison = document(outcome, "cnn_metrics.json"), document(outcome, "comparison.json")
    assert statistics["total_steps"] == statistics["completed_steps"] == 8
    assert statistics["cnn_accuracy"] == pytest.approx(metrics["accuracy"], abs=1e-4)
    assert statistics["lstm_accuracy"] == pytest.approx(document(outcome, "lstm_metrics.json")["accuracy"], abs=1e-4)
    assert statistics["model_comparison"] == {
        "cnn_accuracy_improvement_percent": comparison["cnn_comparison"]["accuracy_improvement"],
        "lstm_mae_improvement_percent": comparison["lstm_comparison"]["mae_improvement"],
    }
    imagery = document(outcome, "imagery.json")
    assert len(imagery["acquisitions"]) == DATES
    assert imagery["synthetic"] is True
    # simulated imagery reaches no env file unless somebody allows it, and the run says so
    assert document(outcome, "configuration.json")["promoted"] is False
    assert (finished.data.parent / "app.env").read_text() == "# ours\nUSE_AI_MODELS=false\n"
    assert any("not promoted" in finding["message"] for finding in outcome.report["findings"])
    published = Path(outcome.report["published"]["path"])
    assert {path.name for path in published.iterdir()} >= {"validated.json", "comparison.json", "configuration.json"}
    assert published.parent.parent == finished.data / "published" / "satellite" / "manual"


def test_the_map_of_the_latest_date_follows_a_run(finished):
    outcome = finished.map
    assert outcome.state == "success", outcome.report["failure_point"]
    health_map = document(outcome, "health_map.json")
    assert health_map["drawn_by"] == "ndvi_rule"
    dates = [acquisition["date"] for acquisition in document(finished.pipeline, "validated.json")["acquisitions"]]
    assert health_map["date"] == max(dates)
    assert {"health_map.tif", "plot_health_map.png"} <= {artifact["path"] for artifact in outcome.report["artifacts"]}


def test_without_validated_imagery_there_is_no_map(run):
    outcome = run_dag("crop_health_map")
    assert outcome.state == "failed"
    assert "run satellite_pipeline first" in outcome.report["failure_point"]["message"]


def test_skipping_download_and_validation_takes_the_store_without_network_and_says_so(run, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{unused.getsockname()[1]}")
        outcome = run(skip_download=True, skip_validation=True)
    assert outcome.state == "success", outcome.report["failure_point"]
    by_step = statuses(outcome)
    assert (by_step.pop("download"), by_step.pop("validate")) == ("skipped", "skipped")
    assert set(by_step.values()) == {"success"}
    assert outcome.report["overall_status"] == "success"
    assert outcome.report["summary_statistics"]["skipped_steps"] == 2
    assert document(outcome, "validation_report.json")["skipped"] is True
    assert not any(acquisition["fetched"] for acquisition in document(outcome, "imagery.json")["acquisitions"])


def test_skipping_the_validation_does_not_skip_its_count(run):
    outcome = run(skip_validation=True, days_back=30)
    assert outcome.state == "failed"
    assert outcome.tasks["prepare_cnn"] == outcome.tasks["prepare_lstm"] == "upstream_failed"
    assert f"must hold at least {DATES} usable dates" in outcome.error("validate")


def test_a_missed_minimum_accuracy_fails_its_training_while_the_other_branch_finishes(run):
    outcome = run(min_cnn_accuracy=1.0)
    assert outcome.state == "failed"
    assert outcome.tasks["train_cnn"] == "failed"
    assert outcome.tasks["train_lstm"] == "success"
    assert outcome.tasks["compare"] == outcome.tasks["configure"] == "upstream_failed"
    assert outcome.report["failure_point"]["task"] == "train_cnn"
    assert "accuracy must be at least 1" in outcome.report["failure_point"]["message"]
    assert statuses(outcome)["compare"] == "skipped"


def test_a_scene_that_is_no_data_is_assessed_and_the_next_best_date_takes_its_place(run, finished, api, data_dir):
    (data_dir / "imagery").unlink()  # so that every scene is fetched
    empty = document(finished.pipeline, "search.json")["chosen"][3]
    requests.post(f"{api}/control/faults", json={"kind": "zeros", "dates": [empty], "band": "B08"}, timeout=5)
    outcome = run(min_dates=1)
    assert outcome.state == "success", outcome.report["failure_point"]
    assert outcome.tasks["download"] == "success"
    assessment = document(outcome, "acquisitions/003.json")
    assert (assessment["date"], assessment["usable"]) == (empty, False)
    imagery = document(outcome, "imagery.json")
    assert len(imagery["acquisitions"]) == DATES
    assert empty not in {acquisition["date"] for acquisition in imagery["acquisitions"]}
    assert empty in {acquisition["date"] for acquisition in imagery["unusable"]}


def test_a_search_that_finds_nothing_fails_and_names_the_filter(run):
    outcome = run(min_clear=100, max_cloud_cover=0, end="2025-12-21T00:00:00Z", days_back=3)
    assert outcome.state == "failed"
    assert outcome.tasks["search"] == "failed"
    assert outcome.tasks["download"] == "upstream_failed"
    assert outcome.report["failure_point"]["step"] == "Download real satellite data"
    assert "no usable date" in outcome.error("search")
