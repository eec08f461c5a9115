"""People's files come into a run by copy; a run reads no other file of the machine."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.errors import BadInputError, SetupError
from include.core.preparation import stage, staged_names
from include.core.run_folder import FileRecord

NAMES = st.text(st.sampled_from("ab-2.é "), min_size=1, max_size=6).filter(lambda name: name.strip("."))


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    for name in ("day.csv", "homes/day.csv", "homes/year.csv.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([], []),
        (["/a/day.csv"], ["day.csv"]),
        (["a/day.csv", "b/day.csv", "c/day.csv"], ["day.csv", "day-2.csv", "day-3.csv"]),
        (["day.csv", "day.csv", "day-2.csv"], ["day.csv", "day-2.csv", "day-2-2.csv"]),
        (["day-2.csv", "day.csv", "day.csv"], ["day-2.csv", "day.csv", "day-3.csv"]),
        (["a/year.csv.gz", "b/year.csv.gz"], ["year.csv.gz", "year-2.csv.gz"]),
        (["a/README", "b/README"], ["README", "README-2"]),
    ],
)
def test_a_file_keeps_its_name_and_the_next_of_that_name_is_numbered(paths, names):
    assert staged_names(paths) == names


def test_a_name_that_would_break_a_line_is_mended():
    """`energy_data.csv` and `rejected.csv` name the file in every record, and a record is one line."""
    assert staged_names(["a\nb.csv", "a\x00\x1b.csv", "ü 'q\".csv", "-rf.csv"]) == [
        "a-b.csv",
        "a--.csv",
        "ü 'q\".csv",
        "-rf.csv",
    ]


@given(st.lists(NAMES, max_size=12))
def test_staged_names_are_unique_and_the_first_of_a_name_keeps_it(names):
    staged = staged_names(f"folder/{name}" for name in names)
    assert len(set(staged)) == len(staged) == len(names)
    assert not names or staged[0] == names[0]
    assert staged_names(staged) == staged, "what is staged keeps its names when a run is prepared again"


def test_files_are_copied_with_their_checksum_and_stay_where_they_were(inbox, files):
    records = stage([str(inbox / "day.csv"), "homes/day.csv"], files, [inbox])
    for record, original in zip(records, (inbox / "day.csv", inbox / "homes/day.csv"), strict=True):
        content = original.read_bytes()
        assert (files / record.path).read_bytes() == content
        assert record.sha256 == hashlib.sha256(content).hexdigest()
        assert (record.bytes, record.records) == (len(content), None)
    assert [record.path for record in records] == ["source/day.csv", "source/day-2.csv"]
    assert sorted(path.name for path in (files / "source").iterdir()) == ["day-2.csv", "day.csv"]


def test_a_relative_path_is_looked_for_in_each_allowed_folder(inbox, files):
    assert stage(["year.csv.gz"], files, [inbox, inbox / "homes"])[0].path == "source/year.csv.gz"


def test_a_link_within_the_allowed_folder_is_followed(inbox, files):
    (inbox / "latest.csv").symlink_to("homes/day.csv")
    stage(["latest.csv"], files, [inbox])
    staged = files / "source/latest.csv"
    assert not staged.is_symlink()
    assert staged.read_text() == "content of homes/day.csv"


def test_an_allowed_folder_may_be_reached_through_a_link(inbox, files, tmp_path):
    (tmp_path / "link").symlink_to(inbox)
    assert stage([str(tmp_path / "link/day.csv")], files, [tmp_path / "link"])[0].path == "source/day.csv"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.csv", "absent.csv: no such file"),
        ("{inbox}/absent.csv", "absent.csv: no such file"),
        ("", ": is not a file"),
        ("homes", "homes: is not a file"),
        ("empty.csv", r"empty.csv: is empty \(0 bytes\)"),
        (
            "{tmp}/secret.csv",
            r"secret.csv: lies outside the folders that runs may read \(.*inbox\); see GROUNDTRUTH_IN",
        ),
        ("{inbox}/../secret.csv", "lies outside the folders"),
        ("../secret.csv", "no such file"),
        ("escape.csv", "no such file"),
        ("{inbox}/escape.csv", "lies outside the folders"),
        ("dangling.csv", "no such file"),
        ("loop.csv", "(no such file|cannot be read)"),
        ("nul\0.csv", "cannot be read: .*null"),
        ("x" * 300, "cannot be read: File name too long"),
        ("day.csv/more", "no such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason_and_nothing_is_staged(
    inbox, files, tmp_path, path, message
):
    (tmp_path / "secret.csv").write_text("secret")
    (inbox / "empty.csv").touch()
    (inbox / "escape.csv").symlink_to(tmp_path / "secret.csv")
    (inbox / "dangling.csv").symlink_to("nowhere")
    (inbox / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(BadInputError, match=message):
        stage(["day.csv", path.format(inbox=inbox, tmp=tmp_path)], files, [inbox])
    assert not any(files.iterdir())


def test_a_file_that_may_not_be_read_is_named(inbox, files, monkeypatch):
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadInputError, match=r"day\.csv: cannot be read: Permission denied"):
        stage(["day.csv"], files, [inbox])


def test_staging_again_leaves_only_what_was_asked_for_now(inbox, files):
    stage(["day.csv", "homes/day.csv"], files, [inbox])
    (inbox / "day.csv").write_text("new content")
    stage(["day.csv"], files, [inbox])
    assert [path.name for path in (files / "source").iterdir()] == ["day.csv"]
    assert (files / "source/day.csv").read_text() == "new content"


@pytest.mark.parametrize("plant", ["link", "file"])
def test_nothing_that_a_step_left_leads_a_copy_out_of_the_run(inbox, files, tmp_path, plant):
    outside = tmp_path / "outside"
    outside.mkdir()
    if plant == "link":
        (files / "source").symlink_to(outside)
    else:
        (files / "source").write_text("in the way")
    assert stage(["day.csv"], files, [inbox]) == [
        FileRecord(
            path="source/day.csv",
            sha256=hashlib.sha256(b"content of day.csv").hexdigest(),
            bytes=len("content of day.csv"),
        )
    ]
    assert (files / "source/day.csv").is_file()
    assert not any(outside.iterdir())


def test_a_copy_that_cannot_be_written_is_the_machines_fault_and_leaves_nothing_half(inbox, files, monkeypatch):
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SetupError, match=r"source/day\.csv: cannot be written: No space left on device"):
        stage(["day.csv"], files, [inbox])
    assert not any((files / "source").iterdir())
