"""Artifacts to take away: what results list, as it was accepted."""

import os

import pytest

from include.core.errors import BadInputError, ContractError
from include.core.run_folder import RunFolder
from include.reporting.downloads import artifacts, chunks, open_artifact
from tests.reporting.runs import artifact, broke, ended, good_run


@pytest.fixture
def run(tmp_path):
    return good_run(tmp_path)


def test_what_accepted_results_list_by_path(run):
    names = [record.path for record in artifacts(run)]
    assert names == ["energy_data.csv", "energy_report.csv", "output1.json", "plot_load_curve.png"]


def test_what_a_failed_step_left_is_no_artifact(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a_dag" / "manual__1")
    broke(folder, "collect", (0, 1), "error", "it broke", outputs=[artifact(folder, "half.csv", b"a")])
    assert artifacts(folder) == []


def test_a_damaged_result_lists_nothing_and_hides_no_other(run):
    (run.step("describe") / "result.json").write_text("{")
    assert "output1.json" in [record.path for record in artifacts(run)]
    assert "energy_report.csv" not in [record.path for record in artifacts(run)]


def test_the_content_comes_piece_by_piece_and_the_file_is_closed(run):
    record, file = open_artifact(run, "energy_data.csv")
    assert b"".join(chunks(file)) == b"a,b\n1,2\n"
    assert file.closed
    assert record.bytes == 8


@pytest.mark.parametrize("path", ["", "run.json", "../run.json", "/etc/passwd", "ENERGY_DATA.CSV", "energy_data.csv/"])
def test_what_is_not_listed_is_not_there(run, path):
    with pytest.raises(BadInputError, match="no step of this run lists"):
        open_artifact(run, path)


def test_what_a_result_lists_outside_the_files_has_other_content(run, tmp_path):
    """A result is the orchestrator's; even a forged one hands out only what it states the checksum of."""
    (run.files.parent / "secret").write_bytes(b"secret")
    record = artifact(run, "x", b"public")
    ended(run, "collect", (0, 1), outputs=[record.model_copy(update={"path": "../secret"})])
    with pytest.raises(ContractError, match="must be as it was accepted"):
        open_artifact(run, "../secret")


@pytest.mark.parametrize("change", ["content", "size", "gone", "link", "folder", "pipe"])
def test_what_is_not_as_it_was_accepted_is_not_opened(run, tmp_path, change):
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
    with pytest.raises(ContractError, match=r"energy_data\.csv: must be"):
        open_artifact(run, "energy_data.csv")
