"""Preparing a run: its folder, its plan, and copies of the input files; a run reads no other file of the machine."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, Field

from include.core.contracts import StepParams
from include.core.errors import BadInputError, SetupError
from include.core.preparation import prepare_run, stage, staged_names
from include.core.run_folder import FileRecord, Run, RunFolder
from include.core.sink import last_event
from include.satellite.pipeline import LookbackWindow
from tests.core.small_pipeline import ANALYZE, MEASURE, READINGS, pipeline
from tests.core.test_pipeline import OURS, AnalyzeParams

DAY = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
RUN_ID = "manual__2026-01-01T00:00:00+00:00"
NAMES = st.text(st.sampled_from("ab-2.é "), min_size=1, max_size=6).filter(lambda name: name.strip("."))


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    for name in ("inbox/home.csv", "inbox/other/home.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(READINGS)
    return tmp_path / "inbox"


@pytest.fixture
def prepare(folder: RunFolder, inbox: Path):
    def prepare(run_id: str = RUN_ID, interval=DAY, of=OURS, **params: Any) -> Run:
        return prepare_run(
            of, folder, params, run_id=run_id, runtime="local", interval=interval, allowed_inputs=(inbox,)
        )

    return prepare


def test_the_plan_says_what_was_asked_for_and_what_will_run(prepare, folder):
    run = prepare(households=3)
    assert run == folder.run()
    assert (run.pipeline, run.dag_id, run.run_id, run.runtime) == ("test-pipeline", "test_pipeline", RUN_ID, "local")
    assert run.definition.bytes > 0
    assert [(step.id, step.title) for step in run.steps] == [("measure", "Measure"), ("analyze", "Analyze")]
    assert run.params["households"] == 3
    assert timedelta(0) <= datetime.now(UTC) - run.created_at < timedelta(minutes=1)
    assert last_event(folder.path).words == "run of test-pipeline started: 2 steps"


def test_a_scheduled_run_works_on_its_data_interval(prepare):
    run = prepare()
    assert (run.interval_start, run.interval_end) == DAY
    assert (run.params["start"], run.params["end"]) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")


class LookbackParams(StepParams):
    end: AwareDatetime | None = None
    days_back: int = 30
    mask: str | None = Field(None, json_schema_extra={"file": True})


LOOKBACK = replace(
    pipeline(known=(replace(MEASURE, params=LookbackParams), replace(ANALYZE, params=LookbackParams))),
    window=LookbackWindow(),
)


def test_a_pipeline_that_looks_back_covers_the_days_before_the_interval_s_end(prepare):
    run = prepare(of=LOOKBACK)
    assert (run.interval_start, run.interval_end) == (DAY[1] - timedelta(days=30), DAY[1])
    assert run.params["end"] == "2026-01-02T00:00:00Z"


def test_a_pipeline_that_looks_back_ends_where_somebody_says(prepare):
    run = prepare(of=LOOKBACK, end="2025-06-02T00:00:00Z", days_back=2)
    assert run.interval_start == datetime(2025, 5, 31, tzinfo=UTC)
    assert prepare(of=LOOKBACK, end="2025-06-02T00:00:00Z", interval=None).params["end"] == "2025-06-02T00:00:00Z"


def test_a_file_that_a_parameter_names_is_staged_into_the_run(prepare, folder, inbox):
    (inbox / "mask.tif").write_bytes(b"a raster")
    run = prepare(of=LOOKBACK, mask="mask.tif")
    assert run.params["mask"] == "mask.tif"
    assert [source.path for source in run.sources] == ["source/mask.tif"]
    assert (folder.files / "source/mask.tif").read_bytes() == b"a raster"
    with pytest.raises(BadInputError, match="no such file"):
        prepare(of=LOOKBACK, mask="other.tif")


def test_an_interval_that_somebody_names_goes_before_the_run_s_own(prepare):
    run = prepare(start="2025-06-01T00:00:00+02:00", end="2025-06-02T00:00:00+02:00")
    assert run.interval_start == datetime(2025, 5, 31, 22, tzinfo=UTC)


def test_people_s_files_bring_their_own_interval(prepare):
    run = prepare(files=["home.csv"])
    assert (run.interval_start, run.params["start"], run.params["end"]) == (None, None, None)


def test_a_window_on_people_s_files_is_kept(prepare):
    run = prepare(files=["home.csv"], start="2026-01-01T00:00Z", end="2026-01-02T00:00Z")
    assert run.interval_end == DAY[1]


def test_files_of_both_types_of_parameters_are_staged_together(prepare, folder, inbox):
    (inbox / "mask.tif").write_bytes(b"a raster")
    both = replace(LOOKBACK, definition=replace(LOOKBACK.definition, sources=("home.csv",)))
    run = prepare(of=both, files=["home.csv"], mask="mask.tif")
    assert (run.params["files"], run.params["mask"]) == (["home.csv"], "mask.tif")
    assert sorted(path.name for path in (folder.files / "source").iterdir()) == ["home.csv", "mask.tif"]
    assert [source.path for source in run.sources] == ["source/home.csv", "source/mask.tif"]


def test_a_run_without_any_interval_is_left_open(prepare):
    assert prepare(interval=None).interval_start is None


def test_steps_find_people_s_files_under_the_names_they_were_staged_with(prepare, folder):
    run = prepare(files=["home.csv", "other/home.csv"])
    assert run.params["files"] == ["home.csv", "home-2.csv"]
    assert [record.path for record in run.sources] == ["source/home.csv", "source/home-2.csv"]
    assert all((folder.files / record.path).read_text() == READINGS for record in run.sources)


def test_what_cannot_be_asked_for_leaves_a_plan_for_the_report_and_no_files(prepare, folder):
    with pytest.raises(BadInputError, match="housholds: no such parameter"):
        prepare(housholds=3)
    with pytest.raises(BadInputError, match=r"absent\.csv: no such file"):
        prepare(files=["absent.csv"])
    assert [step.id for step in folder.run().steps] == ["measure", "analyze"]
    assert list(folder.files.iterdir()) == []


def test_preparing_again_keeps_what_earlier_attempts_left(prepare, folder):
    prepare()
    (folder.files / "in.csv").write_text(READINGS)
    again = prepare()
    assert (folder.files / "in.csv").read_text() == READINGS
    assert again == folder.run()


def test_two_runs_never_share_a_folder(prepare, folder):
    """`safe_name` gives `a:b` and `a-b` one folder; the second run is refused instead of mixed with the first."""
    first = prepare()
    with pytest.raises(BadInputError, match=r"belongs to the run manual__2026-01-01T00:00:00\+00:00; give this one"):
        prepare(run_id=RUN_ID.replace(":", "-"))
    assert folder.run() == first


def test_a_run_folder_that_cannot_be_made_is_said_in_words(tmp_path, prepare, folder, monkeypatch):
    (folder.path / "artifacts").write_text("in the way")
    with pytest.raises(SetupError, match=r"source/home\.csv: cannot be sealed: File exists"):
        prepare(files=["home.csv"])


def test_a_pipeline_whose_steps_take_no_interval_is_published_under_it_all_the_same(prepare):
    known = (replace(MEASURE, params=AnalyzeParams), replace(ANALYZE, params=AnalyzeParams))
    run = prepare(of=pipeline(known=known))
    assert run.params == {"households": 20, "high_usage_kw": 5.0, "audit": False, "publish": False}
    assert (run.interval_start, run.interval_end) == DAY


# ── copies of the input files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def input_folder(tmp_path: Path) -> Path:
    """A folder of input files, each of which holds its own name."""
    folder = tmp_path / "inbox"
    for name in ("day.csv", "homes/day.csv", "homes/year.csv.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
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


def test_files_are_copied_with_their_checksum_and_stay_where_they_were(input_folder, folder):
    records = stage([str(input_folder / "day.csv"), "homes/day.csv"], folder, [input_folder])
    for record, original in zip(records, (input_folder / "day.csv", input_folder / "homes/day.csv"), strict=True):
        content = original.read_bytes()
        assert (folder.files / record.path).read_bytes() == content
        assert record.sha256 == hashlib.sha256(content).hexdigest()
        assert (record.bytes, record.records) == (len(content), None)
    assert [record.path for record in records] == ["source/day.csv", "source/day-2.csv"]
    assert sorted(path.name for path in (folder.files / "source").iterdir()) == ["day-2.csv", "day.csv"]


def test_a_relative_path_is_looked_for_in_each_allowed_folder(input_folder, folder):
    assert stage(["year.csv.gz"], folder, [input_folder, input_folder / "homes"])[0].path == "source/year.csv.gz"


def test_a_link_within_the_allowed_folder_is_followed(input_folder, folder):
    (input_folder / "latest.csv").symlink_to("homes/day.csv")
    stage(["latest.csv"], folder, [input_folder])
    staged = folder.files / "source/latest.csv"
    assert staged.resolve().parent == folder.path / "artifacts"
    assert staged.read_text() == "content of homes/day.csv"


def test_an_allowed_folder_may_be_reached_through_a_link(input_folder, folder, tmp_path):
    (tmp_path / "link").symlink_to(input_folder)
    assert stage([str(tmp_path / "link/day.csv")], folder, [tmp_path / "link"])[0].path == "source/day.csv"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.csv", "absent.csv: no such file"),
        ("{input_folder}/absent.csv", "absent.csv: no such file"),
        ("", ": is not a file"),
        ("homes", "homes: is not a file"),
        ("empty.csv", r"empty.csv: is empty \(0 bytes\)"),
        (
            "{tmp}/secret.csv",
            r"secret.csv: lies outside the folders that runs may read \(.*inbox\); see GROUNDTRUTH_IN",
        ),
        ("{input_folder}/../secret.csv", "lies outside the folders"),
        ("../secret.csv", "no such file"),
        ("escape.csv", "no such file"),
        ("{input_folder}/escape.csv", "lies outside the folders"),
        ("dangling.csv", "no such file"),
        ("loop.csv", "(no such file|cannot be read)"),
        ("nul\0.csv", "cannot be read: .*null"),
        ("x" * 300, "cannot be read: File name too long"),
        ("day.csv/more", "no such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason_and_nothing_is_staged(
    input_folder, folder, tmp_path, path, message
):
    (tmp_path / "secret.csv").write_text("secret")
    (input_folder / "empty.csv").touch()
    (input_folder / "escape.csv").symlink_to(tmp_path / "secret.csv")
    (input_folder / "dangling.csv").symlink_to("nowhere")
    (input_folder / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(BadInputError, match=message):
        stage(["day.csv", path.format(input_folder=input_folder, tmp=tmp_path)], folder, [input_folder])
    assert not any(folder.files.iterdir())


def test_a_file_that_may_not_be_read_is_named(input_folder, folder, monkeypatch):
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadInputError, match=r"day\.csv: cannot be read: Permission denied"):
        stage(["day.csv"], folder, [input_folder])


def test_staging_again_leaves_only_what_was_asked_for_now(input_folder, folder):
    stage(["day.csv", "homes/day.csv"], folder, [input_folder])
    (input_folder / "day.csv").write_text("new content")
    stage(["day.csv"], folder, [input_folder])
    assert [path.name for path in (folder.files / "source").iterdir()] == ["day.csv"]
    assert (folder.files / "source/day.csv").read_text() == "new content"


@pytest.mark.parametrize("plant", ["link", "file"])
def test_nothing_that_a_step_left_leads_a_copy_out_of_the_run(input_folder, folder, tmp_path, plant):
    outside = tmp_path / "outside"
    outside.mkdir()
    if plant == "link":
        (folder.files / "source").symlink_to(outside)
    else:
        (folder.files / "source").write_text("in the way")
    assert stage(["day.csv"], folder, [input_folder]) == [
        FileRecord(
            path="source/day.csv",
            sha256=hashlib.sha256(b"content of day.csv").hexdigest(),
            bytes=len("content of day.csv"),
        )
    ]
    assert (folder.files / "source/day.csv").is_file()
    assert not any(outside.iterdir())


def test_a_copy_that_cannot_be_written_is_the_machines_fault_and_leaves_nothing_half(input_folder, folder, monkeypatch):
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(SetupError, match=r"source/day\.csv: cannot be sealed: No space left on device"):
        stage(["day.csv"], folder, [input_folder])
    assert not any((folder.path / "artifacts").iterdir())


def refuse_files(folder: Path, params: dict[str, Any]) -> None:
    """Refuse the input files, naming them."""
    raise BadInputError(f"{', '.join(sorted(path.name for path in folder.iterdir()))} for {params['households']}")


def test_files_are_checked_before_the_first_step_and_the_plan_stays_for_the_report(prepare, folder):
    checking = replace(OURS, check_files=f"{__name__}:refuse_files")
    with pytest.raises(BadInputError, match=r"home\.csv for 3"):
        prepare(of=checking, households=3, files=["home.csv"])
    assert folder.run().params["households"] == 3
