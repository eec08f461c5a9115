"""Forgetting removes a subject from published results, runs, the inbox and feeds, once, and says what it could not."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.core.domain import Subject
from include.core.feeds import DayState
from include.core.forget import Forgetting, Place, Record
from include.core.inbox import Inbox
from include.core.publications import faults_of, read_publication
from include.core.publish import publish_run
from include.core.run_folder import RunFolder
from include.core.runner import run_step
from include.domains import DOMAINS
from tests.core.small_feed import FEED_PIPELINE
from tests.core.small_pipeline import ATTEMPT, plan, table, writing
from tests.core.test_publish import ANALYZE_EXTENT, MEASURE, publishing

NOW = datetime(2026, 6, 30, tzinfo=UTC)
SUBJECT = Subject("meter", "", "tests.core.test_forget:erase_results", "tests.core.test_forget:erase_input")
DOMAIN = replace(DOMAINS[0], subject=SUBJECT)
HOME, OTHER = {"household": "home"}, {"household": "other"}


def erase_results(files, subject, target):
    """Lines that name the subject go; of a table without another line nothing is written."""
    if not any(subject in path.read_text() for path in files.values()):
        return False
    for name, path in files.items():
        header, *lines = path.read_text().splitlines(keepends=True)
        left = [line for line in lines if subject not in line]
        if left:
            (target / name).write_text("".join([header, *left]))
    return True


def erase_input(file, name, subject, params, target):
    lines = file.read_text().splitlines(keepends=True)
    left = [line for line in lines if subject not in line]
    if len(left) == len(lines):
        return "absent"
    if file.suffix == ".zip":
        return "kept"
    target.write_text("".join(left))
    return "rewritten" if left else "removed"


@pytest.fixture
def forget(tmp_path):
    def forget(name="home", *, pipeline=None, dry_run=False, backups=()) -> Record:
        forgetting = Forgetting(name, DOMAIN, [pipeline or publishing("out.csv")], tmp_path, NOW, dry_run,
                                tmp_path / "logs")  # fmt: skip
        return forgetting.run(backups)

    return forget


def published(folder: RunFolder, data: Path, *rows: dict[str, str]) -> Path:
    plan(folder, names=["home", "other"])
    for step, name in ((MEASURE, "in_csv"), (ANALYZE_EXTENT, "out_csv")):
        run_step(step, folder, ATTEMPT, writing(**{name: table(*rows)}))
    (folder.path / "pipeline_report_1.json").write_text("{}")
    return publish_run(folder, publishing("out.csv"), data).path


@pytest.fixture
def run(tmp_path):
    return RunFolder.of(tmp_path, "test_pipeline", "manual__2026-01-01T00:00:00+00:00")


def holders(root: Path, name: str = "home") -> list[str]:
    paths = (path for path in root.rglob("*") if path.is_file())
    return sorted(path.relative_to(root).as_posix() for path in paths if name in path.read_text(errors="replace"))


def test_published_tables_are_written_again_and_the_run_keeps_only_checksums(run, tmp_path, forget):
    folder = published(run, tmp_path, HOME, OTHER, OTHER)
    log = tmp_path / "logs" / "dag_id=test_pipeline" / f"run_id={run.run().run_id}" / "attempt=1.log"
    log.parent.mkdir(parents=True)
    log.write_text("home is silent")
    checksums = [record.sha256 for result in run.accepted_results() for record in result.outputs]
    record = forget()
    assert [place.done for place in record.published] == ["rewritten"]
    assert [place.done for place in record.runs] == ["removed"]
    assert holders(tmp_path) == []
    assert (folder / "out.csv").read_text() == table(OTHER, OTHER)
    manifest = read_publication(folder)
    assert faults_of(folder) == []
    assert (manifest.forgotten[0].rewritten, manifest.params) == (["out.csv"], {"names": ["(forgotten)", "other"]})
    assert [r.sha256 for result in run.accepted_results() for r in result.outputs] == checksums
    assert not (run.path / "artifacts").exists()
    for result in run.accepted_results():
        [finding] = result.outcome.findings
        assert (
            finding.message == "All artifacts were removed on 2026-06-30: they held a meter that was to be forgotten."
        )


def test_a_folder_of_the_subject_alone_is_removed_and_a_second_call_does_nothing(run, tmp_path, forget):
    folder = published(run, tmp_path, HOME, HOME, HOME)
    record = forget(backups=[tmp_path / "backups/20260601.tar.gz"])
    assert [place.done for place in record.published] == ["removed"]
    assert not folder.exists()
    [written] = (tmp_path / "forgotten").iterdir()
    stated = json.loads(written.read_text())
    assert stated["backups"] == ["20260601.tar.gz"]
    assert "home" not in written.read_text()
    again = forget()
    assert again.places == []
    assert again.complete
    assert len(list((tmp_path / "forgotten").iterdir())) == 1


def test_a_dry_run_states_the_same_and_changes_nothing(run, tmp_path, forget):
    published(run, tmp_path, HOME, OTHER, OTHER)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/mine.csv").write_text("home\nother\n")
    before = holders(tmp_path)
    dry = forget(dry_run=True)
    assert holders(tmp_path) == before
    assert dry == forget()
    assert holders(tmp_path) == []


def test_others_are_left_alone(run, tmp_path, forget):
    folder = published(run, tmp_path, OTHER, OTHER, OTHER)
    before = {path: path.read_bytes() for path in (*folder.rglob("*"), *run.path.rglob("*")) if path.is_file()}
    assert forget("elsewhere").places == []
    assert {path: path.read_bytes() for path in before} == before


def test_replaced_results_are_searched_too(run, tmp_path, forget):
    folder = published(run, tmp_path, HOME, OTHER, OTHER)
    kept = tmp_path / "published/.replaced/test/2026-01-01/20260101T000000Z"
    kept.parent.mkdir(parents=True)
    folder.rename(kept)
    [place] = forget().published
    assert (place.path, place.done) == (kept.relative_to(tmp_path).as_posix(), "rewritten")


def test_a_run_that_goes_on_is_named_and_left(run, tmp_path, forget):
    published(run, tmp_path, HOME, OTHER, OTHER)
    (run.path / "pipeline_report_1.json").unlink()
    forgetting = Forgetting("home", DOMAIN, [publishing("out.csv")], tmp_path, datetime.now(UTC))
    record = forgetting.run()
    [place] = record.runs
    assert (place.done, place.why) == ("kept", "the run goes on; forget the subject again once it has ended")
    assert not record.complete
    assert run.accepted_results()[0].outcome.findings == ()


def test_input_files_are_rewritten_or_removed_and_what_can_be_neither_is_named(tmp_path, forget):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name, text in {"both.csv": "home\nother\n", "one.csv": "home\n", "a.zip": "home other", "no.csv": "x"}.items():
        (inbox / name).write_text(text)
    record = forget()
    assert {place.path: place.done for place in record.inputs} == {
        "inbox/a.zip": "kept",
        "inbox/both.csv": "rewritten",
        "inbox/one.csv": "removed",
    }
    assert (inbox / "both.csv").read_text() == "other\n"
    assert not record.complete


def test_files_of_a_feed_keep_their_order_and_their_days_are_due_again(tmp_path, forget):
    feed_folder = tmp_path / "inbox/feed"
    feed_folder.mkdir(parents=True)
    inbox = Inbox(tmp_path, [FEED_PIPELINE])
    [feed] = inbox.feeds()
    for name, text in {
        "a.csv": "2026-03-01,7\n2026-03-02,2\n",
        "b.csv": "2026-03-01,3\n",
        "c.csv": "2026-03-03,7\n",
    }.items():
        (feed_folder / name).write_text(text)
        inbox.take(feed, datetime.now(UTC) + timedelta(minutes=2))
    ledger = feed.ledger()
    for day in ledger.due:
        sources = [file.sha256 for file in ledger.of_day(day)]
        ledger.days[day] = DayState(
            sources=sources, revision=1, published_at=NOW, checked_at=NOW, run_id="r", reason=""
        )
    feed.write(ledger)
    record = forget(",7", pipeline=FEED_PIPELINE)
    assert [place.done for place in record.inputs] == ["rewritten", "removed"]
    after = feed.ledger()
    assert [file.name for file in after.files] == ["a.csv", "b.csv"]
    assert (feed_folder / after.files[0].archived).read_text() == "2026-03-02,2\n"
    assert [day.day for day in after.due] == [1, 2]
    assert forget(",7", pipeline=FEED_PIPELINE).places == []


def test_a_record_is_complete_where_nothing_was_kept():
    record = Record(subject="meter", sha256="", at=NOW, runs=[Place(path="a", done="removed")])
    assert record.complete
    assert record.model_copy(update={"inputs": [Place(path="b", done="kept")]}).complete is False
