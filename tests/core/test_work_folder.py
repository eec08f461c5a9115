"""A work folder shows a step its declared inputs, takes its outputs, and tells what was left beside them."""

import os
from pathlib import Path

import pytest

from include.core import work_folder
from include.core.errors import ContractError, SetupError
from include.core.work_folder import WorkFolder, remove_tree, show, view


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    """A folder with one input (`sub/in.csv`) and one scratch folder (`checkpoints/a`)."""
    sealed = tmp_path / "artifacts" / "0123"
    sealed.parent.mkdir()
    sealed.write_text("in")
    folder = WorkFolder(
        tmp_path / "work" / "step.1", {"sub/in.csv": sealed}, scratch={"checkpoints/a": tmp_path / "kept"}
    )
    folder.create()
    return folder


def test_links_show_the_sealed_file_and_the_scratch_folder(work):
    work.link_inputs()
    assert (work.files / "sub/in.csv").readlink() == work.inputs["sub/in.csv"]
    (work.files / "checkpoints/a/epoch").touch()
    assert (work.scratch["checkpoints/a"] / "epoch").exists()


def test_copies_are_files_of_their_own(work):
    work.copy_inputs()
    (work.files / "sub/in.csv").write_text("changed")
    assert work.inputs["sub/in.csv"].read_text() == "in"


def test_mount_points_are_empty_files_and_folders(work):
    work.mount_points()
    assert (work.files / "sub/in.csv").read_bytes() == b""
    assert (work.files / "checkpoints/a").is_dir()
    work.check_nothing_else([])


@pytest.mark.parametrize("shown", [WorkFolder.link_inputs, WorkFolder.copy_inputs, WorkFolder.mount_points])
def test_outputs_inputs_and_scratch_are_expected_and_nothing_else(work, shown):
    shown(work)
    (work.files / "out.csv").touch()
    (work.files / "checkpoints/a/epoch").touch()
    (work.files / "empty").mkdir()
    work.check_nothing_else(["out.csv"])
    with pytest.raises(ContractError, match=r"out\.csv: must not be written: the step did not declare it"):
        work.check_nothing_else([])


@pytest.mark.parametrize(
    "harm", [lambda path: None, lambda path: path.symlink_to("/etc/passwd"), lambda path: path.write_text("other")]
)
@pytest.mark.parametrize("shown", [WorkFolder.link_inputs, WorkFolder.copy_inputs])
def test_an_input_that_was_removed_or_replaced_is_reported(work, shown, harm):
    shown(work)
    (work.files / "sub/in.csv").unlink()
    harm(work.files / "sub/in.csv")
    with pytest.raises(ContractError, match=r"sub/in\.csv: must not be touched by a step that only reads it"):
        work.check_nothing_else([])


def test_a_folder_is_given_to_the_user_that_containers_run_as(work, monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(work_folder.os, "chown", lambda *arguments: given.append(arguments))
    owner = os.getuid() + 1
    other = WorkFolder(tmp_path / "work" / "step.2", work.inputs, scratch=work.scratch, owner=owner)
    other.create()
    other.mount_points()
    assert [path for path, _, _ in given] == [
        other.files, work.scratch["checkpoints/a"], other.files / "sub", other.files / "checkpoints",
        other.files / "checkpoints/a",
    ]  # fmt: skip
    assert {(uid, gid) for _, uid, gid in given} == {(owner, -1)}


def test_a_process_that_may_not_give_a_folder_away_says_what_to_set(work, monkeypatch, tmp_path):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(work_folder.os, "chown", refuse)
    other = WorkFolder(tmp_path / "work" / "step.2", owner=12345)
    other.create()
    with pytest.raises(SetupError, match=r"cannot be given to user 12345 .* set GROUNDTRUTH_STEP_UID to yours"):
        other.check_owner()


def test_a_view_shows_some_sealed_files_for_a_while(work, tmp_path):
    with view(tmp_path, work.inputs) as files:
        assert (files / "sub/in.csv").read_text() == "in"
    assert not files.exists()
    assert work.inputs["sub/in.csv"].exists()


def test_a_documented_name_leads_to_the_sealed_file_whatever_stood_there(tmp_path, work):
    files = tmp_path / "files"
    for _ in range(2):
        show(files, "sub/in.csv", work.inputs["sub/in.csv"])
        assert (files / "sub/in.csv").read_text() == "in"
    assert str((files / "sub/in.csv").readlink()) == "../../artifacts/0123"
    assert [path.name for path in (files / "sub").iterdir()] == ["in.csv"]


def test_a_folder_that_nobody_may_enter_is_removed_too_and_no_link_is_followed(work):
    work.link_inputs()
    (work.files / "closed" / "deep").mkdir(parents=True)
    (work.files / "closed").chmod(0o000)
    remove_tree(work.files)
    assert not work.files.exists()
    assert work.inputs["sub/in.csv"].exists()
    assert work.scratch["checkpoints/a"].exists()
