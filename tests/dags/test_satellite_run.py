"""The satellite pipeline by `dag.test()` against the stand-in: small areas, quick models, every step for real."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import requests

from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from tests.airflow_runs import run_dag

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

END = "2026-10-01T00:00:00Z"
SMALL = {
    "bbox": [75.82, 30.92, 75.85, 30.945],
    "end": END,
    "days_back": 180,
    "target_count": 14,
    "min_dates": 12,
    "patch_size": 16,
    "stride": 16,
    "samples_per_class": 100,
    "sequence_length": 4,
    "cnn_epochs": 2,
    "lstm_epochs": 2,
    "min_cnn_accuracy": 0,
    "min_lstm_accuracy": 0,
    "label_source": "reference",
}
DOCUMENTED = {
    "pipeline_name", "start_time", "end_time", "total_duration_seconds", "overall_status", "summary_statistics",
    "steps",
}  # fmt: skip


@pytest.fixture(scope="module")
def api():
    """A stand-in for all runs of this file."""
    with stand_in() as url:
        yield url


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """What outlives a run: imagery and the synthetic baseline, which the first run fills."""
    folder = tmp_path_factory.mktemp("shared")
    for name in ("imagery", "models/baselines"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.fixture
def run(data_dir, shared, api, monkeypatch, tmp_path):
    """Runs the pipeline on the small area, with other parameters where a test gives them."""
    (data_dir / "models").mkdir(parents=True)
    (data_dir / "imagery").symlink_to(shared / "imagery")
    (data_dir / "models" / "baselines").symlink_to(shared / "models/baselines")
    monkeypatch.setenv(URL_VARIABLE, api)
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(tmp_path / "app.env"))
    (tmp_path / "app.env").write_text("# ours\nUSE_AI_MODELS=false\n")

    def run(dag_id="satellite_pipeline", **changes):
        return run_dag(dag_id, SMALL | changes if dag_id == "satellite_pipeline" else changes)

    requests.delete(f"{api}/control/faults", timeout=5)
    yield run
    requests.delete(f"{api}/control/faults", timeout=5)


def document(outcome, name):
    return json.loads((outcome.folder.files / name).read_bytes())


def statuses(outcome):
    return {step["id"]: step["status"] for step in outcome.report["steps"]}


def test_a_run_ends_with_a_decision_and_a_report_in_the_documented_format(run, tmp_path, data_dir):
    outcome = run()
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
    assert len(imagery["acquisitions"]) == 14
    assert imagery["synthetic"] is True
    # simulated imagery reaches no env file unless somebody allows it, and the run says so
    assert document(outcome, "configuration.json")["promoted"] is False
    assert (tmp_path / "app.env").read_text() == "# ours\nUSE_AI_MODELS=false\n"
    assert any("not promoted" in finding["message"] for finding in outcome.report["findings"])
    published = Path(outcome.report["published"]["path"])
    assert {path.name for path in published.iterdir()} >= {"validated.json", "comparison.json", "configuration.json"}
    assert published.parent.parent == data_dir / "published" / "satellite"


def test_the_map_of_the_latest_date_follows_a_run(run):
    pipeline = run()
    assert pipeline.state == "success"
    outcome = run("crop_health_map")
    assert outcome.state == "success", outcome.report["failure_point"]
    drawn = document(outcome, "health_map.json")
    assert drawn["drawn_by"] == "ndvi_rule"
    assert drawn["date"] == max(each["date"] for each in document(pipeline, "validated.json")["acquisitions"])
    assert {"health_map.tif", "plot_health_map.png"} <= {each["path"] for each in outcome.report["artifacts"]}


def test_without_validated_imagery_there_is_no_map(run):
    outcome = run("crop_health_map")
    assert outcome.state == "failed"
    assert "run satellite_pipeline first" in outcome.report["failure_point"]["message"]


def test_skipping_download_and_validation_takes_the_store_without_network_and_says_so(run, monkeypatch):
    assert run(cnn_epochs=1, lstm_epochs=1).state == "success"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{unused.getsockname()[1]}")
        outcome = run(skip_download=True, skip_validation=True, cnn_epochs=1, lstm_epochs=1)
    assert outcome.state == "success", outcome.report["failure_point"]
    found = statuses(outcome)
    assert (found.pop("download"), found.pop("validate")) == ("skipped", "skipped")
    assert set(found.values()) == {"success"}
    assert outcome.report["overall_status"] == "success"
    assert outcome.report["summary_statistics"]["skipped_steps"] == 2
    assert document(outcome, "validation_report.json")["skipped"] is True
    assert not any(each["fetched"] for each in document(outcome, "imagery.json")["acquisitions"])


def test_skipping_the_validation_does_not_skip_its_count(run):
    outcome = run(skip_validation=True, min_dates=14, days_back=30)
    assert outcome.state == "failed"
    assert outcome.tasks["prepare_cnn"] == outcome.tasks["prepare_lstm"] == "upstream_failed"
    assert "must hold at least 14 usable dates" in outcome.error("validate")


def test_a_missed_minimum_accuracy_fails_its_training_while_the_other_branch_finishes(run):
    outcome = run(min_cnn_accuracy=1.0)
    assert outcome.state == "failed"
    assert outcome.tasks["train_cnn"] == "failed"
    assert outcome.tasks["train_lstm"] == "success"
    assert outcome.tasks["compare"] == outcome.tasks["configure"] == "upstream_failed"
    assert outcome.report["failure_point"]["task"] == "train_cnn"
    assert "accuracy must be at least 1" in outcome.report["failure_point"]["message"]
    assert statuses(outcome)["compare"] == "skipped"


def test_a_scene_that_is_no_data_is_a_verdict_and_the_next_best_date_takes_its_place(run, api, shared):
    for path in (shared / "imagery").iterdir():
        shutil.rmtree(path)
    planned = run(min_dates=1, cnn_epochs=1, lstm_epochs=1)
    chosen = document(planned, "search.json")["chosen"]
    for path in (shared / "imagery").iterdir():
        shutil.rmtree(path)
    requests.post(
        f"{api}/control/faults", json={"kind": "zeros", "dates": [chosen[3]], "band": "B08"}, timeout=5
    ).raise_for_status()
    outcome = run(min_dates=1, cnn_epochs=1, lstm_epochs=1)
    assert outcome.state == "success", outcome.report["failure_point"]
    assert outcome.tasks["download"] == "success"
    verdict = document(outcome, "acquisitions/003.json")
    assert (verdict["date"], verdict["usable"]) == (chosen[3], False)
    imagery = document(outcome, "imagery.json")
    assert len(imagery["acquisitions"]) == 14
    assert chosen[3] not in {each["date"] for each in imagery["acquisitions"]}
    assert chosen[3] in {each["date"] for each in imagery["unusable"]}


def test_a_search_that_finds_nothing_fails_and_names_the_filter(run):
    outcome = run(min_clear=100, max_cloud_cover=0, end="2025-12-21T00:00:00Z", days_back=3)
    assert outcome.state == "failed"
    assert outcome.tasks["search"] == "failed"
    assert outcome.tasks["download"] == "upstream_failed"
    assert outcome.report["failure_point"]["step"] == "Download real satellite data"
    assert "no usable date" in outcome.error("search")
