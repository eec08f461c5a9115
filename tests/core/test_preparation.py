"""Preparing a run: its folder, its plan, and people's files, before any step starts."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import AwareDatetime, Field

from include.core import preparation as planning
from include.core.contracts import StepParams
from include.core.errors import BadInputError, SetupError
from include.core.preparation import give_to, prepare_run
from include.core.run_folder import Run, RunFolder
from include.satellite.pipeline import LookbackWindow
from tests.core.small_pipeline import ANALYZE, MEASURE, READINGS, pipeline
from tests.core.test_pipeline import OURS, AnalyzeParams

DAY = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
RUN_ID = "manual__2026-01-01T00:00:00+00:00"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    for name in ("inbox/home.csv", "inbox/other/home.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(READINGS)
    return tmp_path / "inbox"


@pytest.fixture
def prepare(folder: RunFolder, inbox: Path):
    def prepare(run_id: str = RUN_ID, owner: int | None = None, interval=DAY, of=OURS, **given: Any) -> Run:
        return prepare_run(
            of, folder, given, run_id=run_id, runtime="local", interval=interval, allowed_inputs=(inbox,), owner=owner
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
    folder.files.rmdir()
    folder.files.write_text("in the way")
    with pytest.raises(SetupError, match="files: cannot be created: File exists"):
        prepare()


def test_a_pipeline_whose_steps_take_no_interval_is_published_under_it_all_the_same(prepare):
    known = (replace(MEASURE, params=AnalyzeParams), replace(ANALYZE, params=AnalyzeParams))
    run = prepare(of=pipeline(known=known))
    assert run.params == {"households": 20, "high_usage_kw": 5.0}
    assert (run.interval_start, run.interval_end) == DAY


# ── who owns the files ───────────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_handed_to_the_user_that_containers_run_as(prepare, folder, monkeypatch):
    handed = []
    monkeypatch.setattr(planning.os, "chown", lambda *given: handed.append(given))
    prepare(owner=os.getuid() + 1)
    assert handed == [(folder.files, os.getuid() + 1, -1)]


def test_files_of_the_right_owner_need_no_handing_over(tmp_path, monkeypatch):
    monkeypatch.setattr(planning.os, "chown", lambda *_: pytest.fail("not needed"))
    give_to(tmp_path, tmp_path.stat().st_uid)


def test_a_process_that_may_not_hand_files_over_says_what_to_set(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(planning.os, "chown", refuse)
    with pytest.raises(SetupError, match=r"cannot be handed to user 12345 .* set GROUNDTRUTH_STEP_UID to yours"):
        give_to(tmp_path, 12345)
