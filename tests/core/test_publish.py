"""Results are promoted all at once, under a key that says what they are of; a reader never sees half of them."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.contracts import SOURCES, Artifact
from include.core.errors import ContractError
from include.core.outcome import StepOutcome
from include.core.pipeline import Pipeline
from include.core.preparation import stage
from include.core.publications import faults_of, find_publications, read_publication
from include.core.publish import Published, publish_run, publishing_key, verify
from include.core.run_folder import FileRecord, Run, RunFolder, write_json
from include.core.runner import run_step
from tests.core.small_pipeline import (
    ANALYZE,
    ATTEMPT,
    MEASURE,
    NOW,
    READINGS,
    measured,
    pipeline,
    plan,
    spec,
    table,
    tamper,
    writing,
)

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def run_of(start: datetime | None, end: datetime | None, *sources: str) -> Run:
    return Run(
        pipeline="p",
        dag_id="p",
        run_id="r",
        runtime="local",
        created_at=NOW,
        interval_start=start,
        interval_end=end,
        steps=[],
        sources=[FileRecord(path=f"source/{name}", sha256="", bytes=1) for name in sources],
    )


# ── the key ──────────────────────────────────────────────────────────────────────────────────────────────────────────

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("start", "end", "sources", "key"),
    [
        (DAY, DAY + 24 * HOUR, (), "2026-01-01"),
        (DAY, DAY + 48 * HOUR, (), "2026-01-01_2026-01-03"),
        (DAY, DAY + 12 * HOUR, (), "2026-01-01_2026-01-01T1200"),
        (DAY + HOUR, DAY + 25 * HOUR, (), "2026-01-01T0100_2026-01-02T0100"),
        (DAY, DAY + timedelta(seconds=90), (), "2026-01-01_2026-01-01T000130"),
        (DAY, DAY + 24 * HOUR, ("home.csv",), "home/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, ("home.csv.gz",), "home/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, ("home.csv", "b.csv", "c.csv"), "home+2-e3b7134d/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, ("my home (1).csv",), "my-home--1--bcdba24d/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, ("v1.2.csv",), "v1.2/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, ("...csv",), "source-95375650/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, ("2026-01-01.csv",), "file-2026-01-01-afbd2ad5/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, ("x" * 251 + ".csv", "b.csv"), "x" * 200 + "+1-8611cf1c/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, (".csv",), "source-b9ce43c2/2026-01-01_2026-01-02"),
        (DAY, DAY + 24 * HOUR, ("manual.csv",), "file-manual-a4a0b54d/2026-01-01_2026-01-02"),
    ],
)
def test_the_key_names_the_interval_and_the_source(start, end, sources, key):
    assert publishing_key(run_of(start, end, *sources), []) == key


@pytest.mark.parametrize(
    "inputs",
    [
        (("home.csv", "east.csv"), ("home.csv", "west.csv")),
        (("a b.csv",), ("a-b.csv",)),
        (("2026-01-01.csv",), ("file-2026-01-01.csv",)),
        (("x" * 201 + ".csv",), ("x" * 202 + ".csv",)),
    ],
)
def test_other_files_have_another_key(inputs):
    first, second = (publishing_key(run_of(DAY, DAY + 24 * HOUR, *names), []) for names in inputs)
    assert first != second


def test_files_that_explain_the_data_are_not_in_the_key():
    day = (DAY, DAY + 24 * HOUR)
    run = run_of(*day, "home.csv", "tariff.toml").model_copy(update={"params": {"files": ["home.csv"]}})
    assert publishing_key(run, []) == "home/2026-01-01_2026-01-02"
    generated = run_of(*day, "tariff.toml").model_copy(update={"params": {"files": []}})
    assert publishing_key(generated, []) == "2026-01-01"


def test_a_local_day_is_that_day():
    start = datetime(2026, 1, 1, tzinfo=timezone(10 * HOUR))
    assert publishing_key(run_of(start, start + 24 * HOUR), []) == "2026-01-01"


def test_without_an_interval_the_extent_of_the_data_itself_is_the_key():
    data = StepOutcome(data_start=datetime(2012, 7, 1, 0, 30, tzinfo=UTC), data_end=datetime(2014, 2, 28, tzinfo=UTC))
    key = publishing_key(run_of(None, None, "home.csv"), [StepOutcome(), data])
    assert key == "home/2012-07-01T0030_2014-02-28"


def test_files_of_which_nobody_states_an_interval_are_published_as_a_whole():
    """As those of a definition with `sources`, run without a date."""
    assert publishing_key(run_of(None, None, "home.csv"), [StepOutcome()]) == "home/all"
    assert publishing_key(run_of(None, None, "home.csv", "grid.csv"), []).endswith("/all")


def test_results_of_no_known_interval_are_not_published():
    with pytest.raises(ContractError, match="must state the interval"):
        publishing_key(run_of(None, None, "home.csv"), [StepOutcome(data_start=datetime(2012, 7, 1, tzinfo=UTC))])


@given(st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name))
def test_a_key_never_leaves_the_folder_of_its_pipeline(name):
    source, interval = publishing_key(run_of(DAY, DAY + 24 * HOUR, name), []).split("/")
    assert source.strip(".")
    assert interval == "2026-01-01_2026-01-02"


# ── publishing a run ─────────────────────────────────────────────────────────────────────────────────────────────────


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def extent(files: Path) -> StepOutcome:
    return StepOutcome.model_validate(
        {"data_start": "2026-01-01T00:00:00Z", "data_end": "2026-01-02T00:00:00Z", "rows": 3, "by": {}}
    )


ANALYZE_EXTENT = replace(ANALYZE, outcome=extent)


def publishing(*names: str, **fields: object) -> Pipeline:
    return pipeline(known=(MEASURE, ANALYZE_EXTENT), publish=names, **fields)


@pytest.fixture
def done(folder: RunFolder) -> RunFolder:
    measured(folder)
    run_step(ANALYZE_EXTENT, folder, ATTEMPT, writing(out_csv=READINGS))
    return folder


def test_a_run_publishes_what_its_definition_names_with_its_key_figures(done, tmp_path):
    target = tmp_path / "published/test/2026-01-01"
    figures = {"data_start": "2026-01-01T00:00:00Z", "data_end": "2026-01-02T00:00:00Z", "rows": 3}
    assert publish_run(done, publishing("out.csv"), tmp_path) == Published(target, "2026-01-01", figures)
    published = content(target)
    publication = json.loads(published.pop("publication.json"))
    assert published == {"out.csv": READINGS}
    assert publication["run_id"] == done.run().run_id
    assert [file["path"] for file in publication["files"]] == ["out.csv"]


def again(done: RunFolder, run_id: str, content: str, **changes: object) -> RunFolder:
    """Another run of the same day, with results of its own, later than those of `done`."""
    other = RunFolder(shutil.copytree(done.path, done.path.with_name(run_id), symlinks=True))
    write_json(other.path / "run.json", other.run().model_copy(update={"run_id": run_id, **changes}))
    run_step(ANALYZE_EXTENT, other, replace(ATTEMPT, generation=1), writing(out_csv=content))
    return other


def changed(power: int) -> str:
    return table({}, {}, {"power": str(power)})


DAILY = {"schedule": "@daily"}


def test_the_manifest_states_run_parameters_interval_report_and_checksums(done, tmp_path):
    run = done.run().model_copy(update={"started_by": "schedule", "params": {"factor": 2.0}})
    write_json(done.path / "run.json", run)
    of = publishing("out.csv", **DAILY)
    target = publish_run(done, of, tmp_path, domain="energy", report="https://airflow/r").path
    stated = read_publication(target)
    assert (stated.domain, stated.pipeline, stated.key) == ("energy", "test", "2026-01-01")
    assert (stated.started_by, stated.params, stated.report) == ("schedule", {"factor": 2.0}, "https://airflow/r")
    assert (stated.interval_start, stated.interval_end) == (run.interval_start, run.interval_end)
    assert stated.files[0].sha256 == sha256((target / "out.csv").read_bytes()).hexdigest()
    assert stated.published_at > stated.results_ended_at
    assert faults_of(target) == []


def test_a_run_by_hand_leaves_the_results_of_the_schedule_unless_it_is_told_to_publish(done, tmp_path):
    write_json(done.path / "run.json", done.run().model_copy(update={"started_by": "schedule"}))
    of, folder = publishing("out.csv", **DAILY), tmp_path / "published/test"
    assert publish_run(done, of, tmp_path).key == "2026-01-01"
    trial = again(done, "trial", changed(1), started_by="user")
    assert publish_run(trial, of, tmp_path).key == "manual/2026-01-01"
    assert read_publication(folder / "2026-01-01").run_id == done.run().run_id
    asked = again(done, "asked", changed(2), started_by="user", params={"publish": True})
    published = publish_run(asked, of, tmp_path)
    assert published.key == "2026-01-01"
    replaced = read_publication(published.path).replaced
    assert (replaced.run_id, replaced.started_by) == (done.run().run_id, "schedule")
    assert content(tmp_path / replaced.kept)["out.csv"] == READINGS
    assert replaced.kept in published.finding.message
    assert [path.parent.name for path in find_publications(tmp_path / "published")] == ["test", "manual", "2026-01-01"]


def test_a_pipeline_that_runs_on_request_alone_publishes_under_its_key(done, tmp_path):
    write_json(done.path / "run.json", done.run().model_copy(update={"started_by": "user"}))
    assert publish_run(done, publishing("out.csv"), tmp_path).key == "2026-01-01"


def test_what_is_replaced_by_the_same_files_of_the_same_run_is_not_kept(done, tmp_path):
    publish_run(done, publishing("out.csv"), tmp_path)
    published = publish_run(done, publishing("out.csv"), tmp_path)
    assert read_publication(published.path).replaced is None
    assert not (tmp_path / "published/.replaced").exists()
    for number in (1, 2, 3):
        publish_run(again(done, f"r{number}", changed(number)), publishing("out.csv"), tmp_path)
    assert len(list((tmp_path / "published/.replaced/test/2026-01-01").iterdir())) == 3


def test_a_definition_that_publishes_nothing_is_verified_all_the_same(done, tmp_path):
    assert publish_run(done, publishing(), tmp_path) is None
    tamper(done, "in.csv", table({}))
    with pytest.raises(ContractError, match=r"in\.csv: must be as measure left it"):
        publish_run(done, publishing(), tmp_path)


def test_an_output_that_changed_after_its_checksum_was_recorded_is_not_published(done, tmp_path):
    run_step(ANALYZE_EXTENT, done, replace(ATTEMPT, generation=1), writing(out_csv=table({}, {}, {"power": "3"})))
    tamper(done, "out.csv", table({}, {}, {}))
    with pytest.raises(ContractError, match=r"out\.csv: must be as analyze left it"):
        publish_run(done, publishing("out.csv"), tmp_path)
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize("key", ["../other", "/etc", "a/../../other", ".", "", "..", "a/b/c", ".hidden", "a\0", "a\n"])
def test_a_key_that_an_artifact_states_never_leads_out_of_the_pipelines_folder(folder, tmp_path, key):
    other = tmp_path / "published" / "other"
    other.mkdir(parents=True)
    (other / "results.csv").write_text("of others")
    plan(folder)
    step = replace(MEASURE, outcome=lambda files: extent(files).model_copy(update={"published_as": key or "../"}))
    run_step(step, folder, ATTEMPT, writing(in_csv=READINGS))
    with pytest.raises(ContractError, match="the key of the published results: must match"):
        publish_run(folder, pipeline(spec("measure"), known=(step,), publish=("in.csv",)), tmp_path)
    assert content(tmp_path / "published") == {"other/results.csv": "of others"}


def test_a_run_is_published_only_when_every_step_has_succeeded(folder, tmp_path):
    with pytest.raises(ContractError, match=r"run\.json: must be written before publishing"):
        publish_run(folder, publishing("out.csv"), tmp_path)
    measured(folder)
    with pytest.raises(ContractError, match="analyze: must have succeeded before its run is published"):
        publish_run(folder, publishing("out.csv"), tmp_path)
    with pytest.raises(ContractError):
        run_step(ANALYZE_EXTENT, folder, ATTEMPT, writing())
    with pytest.raises(ContractError, match="analyze: must have succeeded"):
        publish_run(folder, publishing("out.csv"), tmp_path)
    assert not (tmp_path / "published").exists()


def test_a_publication_below_a_folder_keeps_its_path(folder, tmp_path):
    plan(folder)
    step = replace(MEASURE, writes=(Artifact("in.csv"), Artifact("maps/in.csv")), outcome=extent)
    run_step(step, folder, ATTEMPT, writing(in_csv=READINGS, **{"maps/in_csv": table({})}))
    one = pipeline(spec("measure"), known=(step,), publish=("in.csv", "maps/in.csv"))
    published = publish_run(folder, one, tmp_path)
    assert content(published.path).items() >= {"in.csv": READINGS, "maps/in.csv": table({})}.items()


def test_a_step_that_is_cleared_while_its_run_is_published_refuses_the_publication(done, tmp_path, monkeypatch):
    copy = shutil.copyfile

    def clear_meanwhile(source, target):
        started = done.started("measure")
        write_json(done.step("measure") / "started.json", started.model_copy(update={"generation": 1}))
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", clear_meanwhile)
    with pytest.raises(ContractError, match="must not change while it is published; found a step that was run again"):
        publish_run(done, publishing("out.csv"), tmp_path)
    assert not (tmp_path / "published/test/2026-01-01").exists()


def test_older_results_never_replace_newer_ones(done, tmp_path):
    newer = RunFolder(shutil.copytree(done.path, tmp_path / "newer", symlinks=True))
    write_json(newer.path / "run.json", newer.run().model_copy(update={"run_id": "newer"}))
    run_step(ANALYZE_EXTENT, newer, replace(ATTEMPT, generation=1), writing(out_csv=table({}, {}, {})))
    publish_run(newer, publishing("out.csv"), tmp_path)
    with pytest.raises(ContractError, match="must not replace newer results, those of the run newer"):
        publish_run(done, publishing("out.csv"), tmp_path)
    assert content(tmp_path / "published/test/2026-01-01")["out.csv"] == table({}, {}, {})
    run_step(ANALYZE_EXTENT, done, replace(ATTEMPT, generation=1), writing(out_csv=READINGS))
    publish_run(done, publishing("out.csv"), tmp_path)
    assert content(tmp_path / "published/test/2026-01-01")["out.csv"] == READINGS


def test_a_result_that_was_accepted_and_then_changed_is_caught_by_verify(folder):
    measured(folder)
    run_step(ANALYZE, folder, ATTEMPT, writing(out_csv=table({}, {}, {"power": "3"})))
    assert [record.path for record in verify(folder)] == ["in.csv", "out.csv"]
    tamper(folder, "out.csv", table({}, {}, {}))
    with pytest.raises(ContractError, match=r"out\.csv: must be as analyze left it"):
        verify(folder)


def test_a_result_made_from_an_input_that_was_made_anew_is_caught_by_verify(folder):
    measured(folder)
    run_step(ANALYZE, folder, ATTEMPT, writing(out_csv=READINGS))
    run_step(MEASURE, folder, replace(ATTEMPT, generation=1), writing(in_csv=table({}, {}, {})))
    with pytest.raises(ContractError, match=r"in\.csv: must be the file that analyze worked with; found a newer one"):
        verify(folder)


# ── honest mistakes with a cleared `prepare` ─────────────────────────────────────────────────────────────────────────


def staged(folder: RunFolder, content: str, name: str = "meter.csv", **params: object) -> None:
    """Prepare a run with an input file, or prepare it again with another one."""
    source = folder.path.parent / name
    source.write_text(content)
    plan(folder, sources=stage([str(source)], folder, [folder.path.parent]), **params)


FROM_FILE = replace(MEASURE, reads=(SOURCES,))
PREPARED_AGAIN = {
    "another input file of the same name": (
        lambda folder: staged(folder, table({}), factor=2),
        r"source/meter\.csv: must be the file that measure worked with; found a newer one",
    ),
    "an input file of another name": (
        lambda folder: staged(folder, READINGS, "other.csv", factor=2),
        r"source/meter\.csv: must be the file that measure worked with; found none",
    ),
    "no input file": (
        lambda folder: plan(folder, factor=2),
        r"source/meter\.csv: must be the file that measure worked with; found none",
    ),
    "another parameter": (
        lambda folder: staged(folder, READINGS, factor=3),
        r"run\.json: must hold the factor that measure ran with: 2\.0; found 3",
    ),
}


@pytest.mark.parametrize("mistake", PREPARED_AGAIN)
def test_a_run_that_was_prepared_again_publishes_nothing_of_before(folder, tmp_path, mistake):
    again, message = PREPARED_AGAIN[mistake]
    one = pipeline(spec("measure"), known=(replace(FROM_FILE, outcome=extent),), publish=("in.csv",))
    staged(folder, READINGS, factor=2)
    run_step(FROM_FILE, folder, ATTEMPT, writing(in_csv=READINGS))
    verify(folder)
    again(folder)
    with pytest.raises(ContractError, match=message):
        publish_run(folder, one, tmp_path)
    assert not (tmp_path / "published").exists()
