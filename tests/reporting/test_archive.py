"""The archive of runs: a summary of each, read again only where it changed, and artifacts as they were accepted."""

import json
import os
import re
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest

from include.core.errors import BadInputError, ContractError
from include.core.run_folder import RunFolder
from include.reporting import archive as module
from include.reporting.archive import (
    artifacts,
    chunks,
    latest_report,
    open_artifact,
    open_page,
    read_entry,
    read_report,
    run_entries,
    run_metrics,
)
from include.reporting.report import build_report, write_report
from tests.reporting.many_runs import make_runs
from tests.reporting.runs import NOW, START, artifact, broke, ended, good_run, plan


@pytest.fixture
def run(tmp_path):
    folder = good_run(tmp_path)
    write_report(folder, build_report(folder, now=NOW))
    return folder


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def settle(folder: Path) -> None:
    """As if its last change were long ago."""
    past = time.time() - 3600
    os.utime(folder, (past, past))


def test_a_run_is_summarised(run, runs):
    (entry,) = run_entries(runs)
    assert (entry.dag_id, entry.folder, entry.run_id) == ("energy_pipeline", "manual__2026-03-01", "manual__2026-03-01")
    assert (entry.pipeline, entry.outcome, entry.seconds) == ("energy-pipeline", "success", 246.0)
    assert entry.started_at == START
    assert (entry.records, entry.rejected) == (1920, 15)
    assert entry.metrics == {"records_in": 1920, "energy_kwh": 203.456}


def test_its_data_interval_and_the_time_at_work_are_stated(run, runs):
    (entry,) = run_entries(runs)
    assert (entry.interval_start, entry.interval_end) == (START - timedelta(hours=30), START - timedelta(hours=6))
    assert entry.active_seconds == 210, "0.5 to 4 minutes, all three steps one after the other"


def test_the_wait_between_a_failure_and_a_clear_is_no_time_at_work(run, runs):
    ended(run, "describe", (600, 601), generation=1)
    write_report(run, build_report(run, now=NOW))
    (entry,) = run_entries(runs)
    assert entry.active_seconds == 210, "one minute was done again"


def test_runs_of_other_days_and_files_have_the_same_settings_and_other_parameters_have_not(tmp_path):
    def settings(**params):
        folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "r")
        plan(folder, params=params)
        return read_entry(folder.path).settings

    assert settings(households=20, start="a", files=["a"]) == settings(households=20, start="b", files=["b"])
    assert settings(households=20) != settings(households=5)


def test_a_failed_run_says_why(tmp_path, runs):
    folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "manual__1")
    plan(folder)
    ended(folder, "prepare", (0, 0.1))
    broke(folder, "collect", (0.5, 1), "bad_input", "late.csv: no such file")
    write_report(folder, build_report(folder, now=NOW))
    (entry,) = run_entries(runs)
    assert (entry.outcome, entry.failure) == ("failed", "late.csv: no such file")


def test_where_there_are_no_runs_there_are_no_entries(runs):
    assert run_entries(runs) == []


def test_a_run_without_a_report_is_known_by_its_plan(tmp_path, runs):
    folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "manual__1")
    plan(folder, run_id="manual__1")
    (entry,) = run_entries(runs)
    assert (entry.outcome, entry.run_id, entry.started_at, entry.seconds) == (None, "manual__1", START, None)


def test_an_empty_folder_is_a_run_too(tmp_path, runs):
    (tmp_path / "runs" / "a_dag" / "manual__1").mkdir(parents=True)
    (entry,) = run_entries(runs)
    assert (entry.dag_id, entry.run_id, entry.outcome) == ("a_dag", "manual__1", None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pipeline_name": 3}', b"\xff\xfe", b"null"])
def test_a_report_that_cannot_be_read_is_damaged(run, runs, content):
    latest_report(run.path).write_bytes(content)
    (entry,) = run_entries(runs)
    assert (entry.outcome, entry.run_id) == ("damaged", "manual__2026-03-01")


def test_the_latest_report_counts(run):
    first = latest_report(run.path)
    document = json.loads(first.read_bytes()) | {"overall_status": "failed"}
    second = first.with_name(f"{first.stem}_2.json")
    second.write_text(json.dumps(document))
    os.utime(first)  # whoever may write it may set its time
    assert latest_report(run.path) == second
    assert read_entry(run.path).outcome == "failed"


def test_the_latest_report_of_several_runs_is_found_by_the_pattern_of_their_folders(run, runs):
    assert latest_report(runs, "*/*") == latest_report(run.path)
    assert latest_report(runs, "*/other") is None
    assert latest_report(runs) is None


def test_metrics_of_the_run_are_told_from_the_counts_of_its_steps():
    statistics = {"total_steps": 3, "records_in": 20, "training": {"epochs": 4, "loss": 0.1}}
    assert run_metrics(statistics) == {"records_in": 20, "epochs": 4, "loss": 0.1}


def test_links_and_hidden_folders_are_not_runs(tmp_path, run, runs):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / "energy_pipeline" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "runs" / "energy_pipeline" / ".removed").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "runs" / "energy_pipeline")
    assert [entry.folder for entry in run_entries(runs)] == ["manual__2026-03-01"]


# reading again


@pytest.fixture
def reads(monkeypatch):
    """Names of the runs that were read."""
    names = []
    read = module.read_entry
    monkeypatch.setattr(module, "read_entry", lambda path: names.append(path.name) or read(path))
    return names


def test_a_run_that_has_not_changed_is_not_read_again(tmp_path, runs, reads):
    make_runs(tmp_path, 20)
    for folder in tmp_path.glob("runs/*/*"):
        settle(folder)
    first = run_entries(runs)
    assert len(reads) == 20
    assert run_entries(runs) == first
    assert len(reads) == 20


def test_a_new_report_is_seen_and_read_alone(tmp_path, run, runs, reads):
    make_runs(tmp_path, 20)
    for folder in tmp_path.glob("runs/*/*"):
        settle(folder)
    run_entries(runs)
    reads.clear()
    document = json.loads(latest_report(run.path).read_bytes()) | {"overall_status": "failed"}
    (run.path / "pipeline_report_20990101_000000.json").write_text(json.dumps(document))
    outcomes = {entry.folder: entry.outcome for entry in run_entries(runs)}
    assert outcomes["manual__2026-03-01"] == "failed"
    assert reads == ["manual__2026-03-01"]


def test_a_run_that_changed_a_moment_ago_is_read_again_because_file_times_are_coarse(run, runs, reads):
    run_entries(runs)
    run_entries(runs)
    assert len(reads) == 2


def test_a_removed_run_is_forgotten(run, runs):
    run_entries(runs)
    shutil.rmtree(run.path)
    assert run_entries(runs) == []
    assert read_entry(run.path).outcome is None


# artifacts


def test_artifacts_are_what_accepted_results_list_by_path(run):
    names = [record.path for record in artifacts(run)]
    assert names == ["energy_data.csv", "energy_report.csv", "output1.json", "plot_load_curve.png"]


def test_a_file_of_a_failed_step_is_not_an_artifact(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a_dag" / "manual__1")
    broke(folder, "collect", (0, 1), "error", "it broke", outputs=[artifact(folder, "half.csv", b"a")])
    assert artifacts(folder) == []


def test_a_damaged_result_lists_nothing_and_hides_no_other(run):
    (run.step("describe") / "result.json").write_text("{")
    assert "output1.json" in [record.path for record in artifacts(run)]
    assert "energy_report.csv" not in [record.path for record in artifacts(run)]


def test_the_content_is_read_in_chunks_and_the_file_is_closed(run):
    record, file = open_artifact(run, "energy_data.csv")
    assert b"".join(chunks(file)) == b"a,b\n1,2\n"
    assert file.closed
    assert record.bytes == 8


@pytest.mark.parametrize("path", ["", "run.json", "../run.json", "/etc/passwd", "ENERGY_DATA.CSV", "energy_data.csv/"])
def test_a_file_that_is_not_listed_is_not_found(run, path):
    with pytest.raises(BadInputError, match="no step of this run lists"):
        open_artifact(run, path)


def test_a_forged_path_outside_the_files_has_other_content(run, tmp_path):
    """A result is the orchestrator's; even a forged one hands out only what it states the checksum of."""
    (run.files.parent / "secret").write_bytes(b"secret")
    record = artifact(run, "x", b"public")
    ended(run, "collect", (0, 1), outputs=[record.model_copy(update={"path": "../secret"})])
    with pytest.raises(ContractError, match="must be as it was accepted"):
        open_artifact(run, "../secret")


@pytest.mark.parametrize("change", ["content", "size", "gone", "link", "folder", "pipe"])
def test_an_artifact_that_was_changed_or_removed_is_not_opened(run, tmp_path, change):
    path = run.files / "energy_data.csv"
    content = path.read_bytes()
    path.unlink()
    match change:
        case "content":
            path.write_bytes(content.replace(b"1", b"9"))
        case "size":
            path.write_bytes(content + b"3,4\n")
        case "link":
            (tmp_path / "same").write_bytes(content)
            path.symlink_to(tmp_path / "same")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(ContractError, match=r"energy_data\.csv: must (be|exist) as it was accepted"):
        open_artifact(run, "energy_data.csv")


def test_of_very_many_runs_the_latest_are_listed_and_the_rest_is_counted(runs, monkeypatch):
    make_runs(runs.parent, 12)
    monkeypatch.setattr(module, "LISTED_RUNS", 5)
    folders = sorted(runs.glob("*/*"))
    for age, folder in enumerate(folders):
        os.utime(folder, (NOW.timestamp() - age,) * 2)
    entries = run_entries(runs)
    assert {entry.folder for entry in entries} == {folder.name for folder in folders[:5]}
    assert entries.left_out == 7
    dag = folders[0].parent.name
    mine = [folder for folder in folders if folder.parent.name == dag]
    assert run_entries(runs, [dag]).left_out == len(mine) - 5, "runs of other DAGs crowd out none of these"


def huge(path):
    with path.open("wb") as file:
        file.truncate(400 * 10**6)


def link_to_a_secret(path):
    secret = path.parent / "secret"
    path.rename(secret)
    path.symlink_to(secret)


def dangling(path):
    path.unlink()
    path.symlink_to("/nowhere")


@pytest.mark.parametrize(
    "damage",
    [
        huge, link_to_a_secret, dangling, lambda path: path.write_text("{"), lambda path: path.write_text("[1]"),
        lambda path: path.write_text('{"overall_status": "success"}'), lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff"), lambda path: path.write_text("[" * 100_000),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_read_is_named_and_hides_no_other(run, damage):
    path = latest_report(run.path)
    damage(path)
    with pytest.raises(BadInputError, match=f"^{re.escape(str(path))}: "):
        read_report(path)
    assert read_entry(run.path).outcome == "damaged"


def test_the_page_of_a_report_is_opened_unless_it_is_a_link_or_too_large(run):
    page = latest_report(run.path).with_suffix(".html")
    with open_page(page) as file:
        assert b"".join(chunks(file)) == page.read_bytes()
    huge(page)
    with pytest.raises(BadInputError, match="has 400 MB, more than the 67 MB allowed"):
        open_page(page)
    dangling(page)
    with pytest.raises(OSError, match="symbolic links"):
        open_page(page)
