"""What v0.1.0 wrote stays usable: runs, published results, imagery, models, `.env` history, Airflow's database."""

import json
import lzma
import os
import sqlite3
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest

from include.core.errors import ContractError
from include.core.retention import expired_runs, remove_run
from include.core.run_folder import RunFolder
from include.reporting.archive import artifacts, chunks, latest_report, open_artifact, run_entries
from include.reporting.listing import RunQuery, list_runs
from include.reporting.report import build_report, write_report

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "v0.1.0"

ENERGY_FILES = "energy_pipeline/cli__2026-11-29T075653.878247Z"
ENERGY_SYNTHETIC = "energy_pipeline/manual__2026-11-29T07-54-51.510673+00-00"
ENERGY_FAILED = "energy_pipeline/manual__2026-11-29T07-56-08.344001+00-00"
SATELLITE_FAILED = "satellite_pipeline/cli__2026-11-29T075439.123714Z"
SATELLITE_REFUSED = "satellite_pipeline/cli__2026-11-29T080605.480525Z"
SATELLITE_PROMOTED = "satellite_pipeline/manual__2026-10-02T00-00-00+00-00"
MAP_BY_RULE = "crop_health_map/manual__2026-11-29T08-06-29.839813+00-00"
MAP_BY_MODEL = "crop_health_map/cli__2026-11-29T080805.108435Z"
STATES = {
    ENERGY_FILES: "success",
    ENERGY_SYNTHETIC: "success",
    ENERGY_FAILED: "failed",
    SATELLITE_FAILED: "failed",
    SATELLITE_REFUSED: "success",
    SATELLITE_PROMOTED: "success",
    MAP_BY_RULE: "success",
    MAP_BY_MODEL: "success",
}
COMPLETE = (ENERGY_FILES, ENERGY_SYNTHETIC, MAP_BY_RULE, MAP_BY_MODEL)
PLACE = "75.820E_30.920N_75.826E_30.925N"
CHAMPION = "20261129T080318Z-4c5f95d3"
PROMOTION, ROLLBACK, RETURN = "20261129T080322Z-f9cc", "20261129T080600Z-1f7a", "20261129T080735Z-2cb5"
DOCUMENTED = (
    "pipeline_name", "dag_id", "run_id", "overall_status", "start_time", "end_time", "total_duration_seconds",
    "interval", "params", "steps", "summary_statistics", "failure_point", "record_accounting", "findings", "tables",
    "artifacts", "published", "provenance", "runtime",
)  # fmt: skip
"""What a report built today must state as v0.1.0 stated it."""


def unpack(name: str, target: Path) -> None:
    with tarfile.open(FIXTURES / f"{name}.tar.xz") as archive:
        archive.extractall(target, filter="data")


def pipeline(*arguments: object, code: int = 0) -> str:
    """Run `./pipeline` with these arguments under the test's environment; return what it printed on stdout."""
    from tests.in_process import call_pipeline

    with patch.dict(os.environ, {"COLUMNS": "250"}):
        ended = call_pipeline(*arguments)
    assert ended.code == code, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def runs(data_dir: Path) -> Path:
    """The folder `runs/` of v0.1.0, with what was published beside it."""
    unpack("runs", data_dir.parent)
    return data_dir / "runs"


@pytest.fixture
def env_file(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The env file of v0.1.0, which switches the champion on, with its history."""
    unpack("env", data_dir.parent)
    path = data_dir.parent / "config" / ".env"
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(path))
    return path


@pytest.fixture
def deployment(runs: Path, env_file: Path, data_dir: Path) -> Path:
    """The complete data folder: runs, published results, imagery and models."""
    unpack("imagery", data_dir.parent)
    unpack("models", data_dir.parent)
    return data_dir


def reported(run: Path) -> dict:
    """The report that v0.1.0 wrote."""
    path = latest_report(run)
    assert path is not None
    return json.loads(path.read_bytes())


# runs


def test_every_run_is_listed_with_its_state_records_failure_and_metrics(runs):
    listing = list_runs(run_entries(runs), (), RunQuery())
    assert {f"{row.entry.dag_id}/{row.entry.folder}": row.state for row in listing.matches} == STATES
    entries = {f"{row.entry.dag_id}/{row.entry.folder}": row.entry for row in listing.matches}
    own_files = entries[ENERGY_FILES]
    assert (own_files.pipeline, own_files.records, own_files.rejected) == ("energy-pipeline", 98, 2)
    assert own_files.metrics["energy_kwh"] == pytest.approx(74.696)
    assert own_files.seconds == reported(runs / ENERGY_FILES)["total_duration_seconds"]
    assert own_files.started_at == datetime.fromisoformat(reported(runs / ENERGY_FILES)["start_time"])
    assert "bad.csv: has no column 'timestamp'" in (entries[ENERGY_FAILED].failure or "")
    assert "24 validation sequences" in (entries[SATELLITE_FAILED].failure or "")
    assert entries[SATELLITE_PROMOTED].metrics["cnn_accuracy"] == pytest.approx(0.5469)
    assert entries[SATELLITE_REFUSED].metrics["cnn_accuracy_improvement_percent"] == pytest.approx(-75.6757, abs=1e-3)


def test_runs_are_found_by_pipeline_state_and_text(runs):
    entries = run_entries(runs)
    failed = list_runs(entries, (), RunQuery(pipeline="satellite_pipeline", status="failed")).matches
    assert [row.entry.folder for row in failed] == [SATELLITE_FAILED.split("/")[1]]
    by_text = list_runs(entries, (), RunQuery(text="has no column")).matches
    assert [row.entry.folder for row in by_text] == [ENERGY_FAILED.split("/")[1]]


@pytest.mark.parametrize("name", STATES)
def test_a_plan_without_a_schema_version_is_read_as_version_0(runs, name):
    assert "schema_version" not in json.loads((runs / name / "run.json").read_bytes())
    run = RunFolder(runs / name).run()
    assert run is not None
    assert run.schema_version == 0


@pytest.mark.parametrize("name", STATES)
def test_a_report_built_today_states_what_the_old_one_stated(runs, name):
    old = reported(runs / name)
    new = json.loads(
        build_report(RunFolder(runs / name), now=datetime.fromisoformat(old["generated_at"])).model_dump_json()
    )
    assert set(new) >= set(old)
    assert not any(artifact["proof"] or artifact["proofs"] for artifact in new["artifacts"]), "none was recorded"
    for report in (old, new):
        (report["failure_point"] or {}).pop("hint", None)  # advice may be worded better
    for key in DOCUMENTED:
        assert known(new[key], old[key]) == old[key], key


def known(new, old):
    """The same document without the keys that v0.1.0 did not have."""
    if isinstance(old, dict):
        return {key: known(new[key], old[key]) for key in old}
    if isinstance(old, list) and len(new) == len(old):
        return [known(*pair) for pair in zip(new, old, strict=True)]
    return new


@pytest.mark.parametrize("name", [ENERGY_FILES, ENERGY_FAILED, SATELLITE_FAILED, MAP_BY_MODEL])
def test_the_page_of_a_run_renders_from_its_folder(runs, name):
    old, folder = reported(runs / name), RunFolder(runs / name)
    report = build_report(folder, now=datetime.now(UTC))
    document, page = write_report(folder, report)
    text = page.read_text()
    assert old["run_id"] in text
    for step in old["steps"]:
        assert step["name"] in text
    assert json.loads(document.read_bytes())["overall_status"] == STATES[name]


@pytest.mark.parametrize("name", COMPLETE)
def test_artifacts_can_be_downloaded_as_they_were_accepted(runs, name):
    folder = RunFolder(runs / name)
    listed = artifacts(folder)
    assert [record.path for record in listed] == sorted(item["path"] for item in reported(runs / name)["artifacts"])
    for record in listed:
        _, file = open_artifact(folder, record.path)
        assert len(b"".join(chunks(file))) == record.bytes


def test_an_old_artifact_that_was_changed_is_refused(runs):
    path = runs / ENERGY_FILES / "files" / "energy_report.csv"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"H-01", b"H-99", 1))
    with pytest.raises(ContractError, match="must be as it was accepted"):
        open_artifact(RunFolder(runs / ENERGY_FILES), "energy_report.csv")


def test_retention_keeps_what_later_runs_may_read_and_expires_the_rest(runs):
    assert expired_runs(runs, datetime(2020, 1, 1, tzinfo=UTC)) == []
    expired = expired_runs(runs, datetime(2100, 1, 1, tzinfo=UTC))
    assert {path.relative_to(runs).as_posix() for path in expired} == {
        ENERGY_SYNTHETIC, ENERGY_FAILED, SATELLITE_FAILED, SATELLITE_PROMOTED, MAP_BY_RULE,
    }  # fmt: skip
    for run in expired:
        assert remove_run(run) > 0
    kept = list_runs(run_entries(runs), (), RunQuery()).matches
    assert {f"{row.entry.dag_id}/{row.entry.folder}" for row in kept} == {ENERGY_FILES, SATELLITE_REFUSED, MAP_BY_MODEL}


# the command line


def test_the_command_line_shows_the_reports_of_old_runs(runs):
    for name in (ENERGY_FILES, SATELLITE_PROMOTED):
        assert json.loads(pipeline("report", name.split("/")[1], "--json")) == reported(runs / name)
    text = pipeline("report", runs / ENERGY_FAILED)
    assert "bad.csv: has no column 'timestamp'" in text
    assert text.splitlines()[-1].startswith(f"report: {runs / ENERGY_FAILED}/pipeline_report_")


def test_the_list_of_pipelines_names_the_latest_old_run_of_each(runs):
    text = pipeline("list")
    for name in (ENERGY_FILES, SATELLITE_REFUSED, MAP_BY_MODEL):
        assert name.split("/")[1] in text


# the env file


def test_the_history_of_the_env_file_is_listed(env_file):
    text = pipeline("env", "history")
    positions = [text.index(entry) for entry in (PROMOTION, ROLLBACK, RETURN)]
    assert positions == sorted(positions)
    for part in (
        "operator, step configure: every gate passed",
        f"run {SATELLITE_PROMOTED}",
        "the maps of September look wrong",
        "USE_AI_MODELS: false → true",
        f"AI_MODEL_VERSION: (not set) → {CHAMPION}",
    ):
        assert part in text


def test_an_old_promotion_is_rolled_back_and_the_old_entries_stay(env_file):
    history = env_file.with_name(".env.history.jsonl")
    old = history.read_text().splitlines()
    backup = env_file.with_name(".env.backups") / f"{PROMOTION}.env"
    text = pipeline("env", "rollback", "--why", "trying the upgrade")
    assert "+USE_AI_MODELS=false" in text
    assert env_file.read_bytes() == backup.read_bytes()
    new = [json.loads(line) for line in history.read_text().splitlines()]
    assert [entry["id"] for entry in new[:3]] == [json.loads(line)["id"] for line in old]
    assert new[3]["why"] == "trying the upgrade"


def test_the_pending_change_of_the_latest_old_run_is_shown(deployment, env_file):
    text = pipeline("env", "diff")
    assert SATELLITE_REFUSED.split("/")[1] in text
    assert "such models reach an env file only with allow_synthetic" in text
    assert f"last change: {RETURN}" in text


# runs that build on old ones


@pytest.mark.airflow
@pytest.mark.timeout(600)
def test_the_old_champion_draws_the_map_of_the_published_imagery(deployment, quick_plots):
    manifest = next((deployment / "published" / "satellite" / PLACE).glob("*/validated.json"))
    report = json.loads(pipeline("run", "crop_health_map", "--set", f"imagery={manifest}", "--json"))
    assert report["overall_status"] == "success"
    new = deployment / "runs" / "crop_health_map" / report["run_id"] / "files" / "health_map.json"
    drawn, old = (
        json.loads(path.read_bytes()) for path in (new, deployment / "runs" / MAP_BY_MODEL / "files" / new.name)
    )
    assert (drawn["drawn_by"], drawn["model_version"]) == ("model", CHAMPION)
    for key in ("date", "place", "hectares", "not_assessed", "label_source", "synthetic"):
        assert drawn[key] == old[key], key
    assert report["published"]["path"] == str(
        deployment / "published" / "crop_health_map" / "manual" / PLACE / old["date"]
    )


@pytest.mark.airflow
@pytest.mark.timeout(600)
def test_a_new_satellite_run_takes_its_imagery_from_the_old_store(deployment, quick_plots, tmp_path):
    """The run ends at a minimum accuracy that no model reaches: the comparison needs no imagery, and takes minutes."""
    old = json.loads((deployment / "runs" / SATELLITE_REFUSED / "run.json").read_bytes())["params"]
    params = {name: value for name, value in old.items() if value is not None} | {"min_cnn_accuracy": 1.0}
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps(params | {"cnn_epochs": 1}))
    report = json.loads(pipeline("run", "satellite", "--profile", profile, "--skip-download", "--json", code=1))
    statuses = {step["id"]: step["status"] for step in report["steps"]}
    assert statuses["validate"] == statuses["prepare_cnn"] == statuses["prepare_lstm"] == "success"
    assert report["failure_point"]["task"] == "train_cnn"
    files = deployment / "runs" / "satellite_pipeline" / report["run_id"] / "files"
    new, before = (
        json.loads((folder / "imagery.json").read_bytes())["acquisitions"]
        for folder in (files, deployment / "runs" / SATELLITE_REFUSED / "files")
    )
    assert [(item["file"], item["sha256"]) for item in new] == [(item["file"], item["sha256"]) for item in before]
    assert not any(item["fetched"] for item in new)


# Airflow's database


@pytest.mark.airflow
@pytest.mark.timeout(600)
def test_the_airflow_database_is_migrated_and_keeps_its_runs(tmp_path):
    database = tmp_path / "airflow.db"
    database.write_bytes(lzma.decompress((FIXTURES / "airflow.db.xz").read_bytes()))
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    commands = [["db", "migrate"], ["db", "check-migrations", "--migration-wait-timeout", "0"]]
    program = (
        "from airflow.cli.cli_parser import get_parser\n"
        f"for words in {commands}:\n    command = get_parser().parse_args(words)\n    command.func(command)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with sqlite3.connect(database) as connection:
        states = dict(connection.execute("SELECT dag_id || '/' || run_id, state FROM dag_run").fetchall())
    connection.close()
    assert states == {
        "energy_pipeline/manual__2026-11-29T07:54:51.510673+00:00": "success",
        "energy_pipeline/manual__2026-11-29T07:56:08.344001+00:00": "failed",
        "crop_health_map/manual__2026-11-29T08:06:29.839813+00:00": "success",
    }
