"""A day of a feed is published again only when its readings change, with its number, its totals and the reason."""

import json
from datetime import date
from unittest.mock import patch

import pytest

from include.core.errors import ContractError
from include.core.feeds import Changes, Feed
from include.core.inbox import Inbox
from include.core.preparation import prepare_run
from include.core.publish import publish_run
from include.core.revisions import REVISION, read_revisions, reason_of
from include.core.run_folder import RunFolder
from include.core.runner import run_step
from tests.core.small_feed import FEED_PIPELINE
from tests.core.small_pipeline import ATTEMPT, table, writing
from tests.core.test_inbox import later

DAY = date(2026, 1, 1)
ONE, TWO = table({}), table({}, {"household": "other"})


@pytest.fixture
def feed(tmp_path):
    (tmp_path / "inbox" / "home").mkdir(parents=True)
    return Feed(tmp_path / "inbox" / "home")


@pytest.fixture
def inbox(feed, tmp_path):
    return Inbox(tmp_path, [FEED_PIPELINE])


@pytest.fixture
def deliver(feed, inbox):
    """Put a file into the feed, and let the inbox take it."""

    def put(name, text="2026-01-01,1\n"):
        (feed.folder / name).write_text(text)
        inbox.take(feed, later())

    return put


@pytest.fixture
def run_day(tmp_path, inbox, feed):
    """Run the day that is due, or one that was due before, to its publication."""

    def run(content, day=None, **changes):
        [day] = [day] if day else inbox.due(feed)
        folder = RunFolder.of(tmp_path, day.pipeline.definition.dag_id, day.run_name)
        params = {**day.params, **changes}
        options = {"run_id": day.run_name, "runtime": "local", "interval": None, "allowed_inputs": (tmp_path,)}
        prepare_run(FEED_PIPELINE, folder, params, **options)
        run_step(FEED_PIPELINE["measure"].step, folder, ATTEMPT, writing(in_csv=content))
        return publish_run(folder, FEED_PIPELINE, tmp_path)

    return run


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "published" / "test" / "home" / "2026-01-01"


def test_a_new_day_is_revision_1_with_its_totals_and_its_files(deliver, run_day, feed, folder):
    deliver("a.csv")
    published = run_day(ONE)
    assert (published.key, published.path, published.is_new) == ("home/2026-01-01", folder, True)
    assert published.finding.message == "Revision 1 of home/2026-01-01: 2 new readings."
    document = json.loads((folder / REVISION).read_text())
    assert (document["revision"], document["totals"], document["totals_before"]) == (1, {"lines": 2}, None)
    assert document["sources"][0]["sha256"] == feed.ledger().files[0].sha256
    assert document["run_id"].startswith("feed__home__2026-01-01__")
    assert feed.ledger().due == []
    assert feed.ledger().days[DAY].revision == 1


def test_a_changed_day_is_published_again_with_the_totals_before_the_reason_and_the_changes(deliver, run_day, folder):
    deliver("a.csv")
    run_day(ONE)
    deliver("b.csv", "2026-01-01,2\n")
    published = run_day(TWO)
    assert published.finding.message == "Revision 2 of home/2026-01-01: 1 late reading; lines 2 → 3."
    revisions = read_revisions(folder)
    assert (revisions.revision, revisions.reason) == (2, "1 late reading")
    assert (revisions.totals_before, revisions.totals) == ({"lines": 2}, {"lines": 3})
    assert [source.name for source in revisions.sources] == ["a.csv", "b.csv"]
    assert [(past.revision, past.reason) for past in revisions.earlier] == [(1, "2 new readings")]
    assert (folder / "in.csv").read_text() == TWO
    assert (folder / "changes-2.csv").read_bytes() == b"change\n"
    deliver("c.csv", "2026-01-01,3\n")
    run_day(ONE)
    assert [past.revision for past in read_revisions(folder).earlier] == [2, 1]
    assert sorted(path.name for path in folder.glob("changes*")) == ["changes-2.csv", "changes-3.csv"]


def test_a_day_with_the_same_readings_is_left_as_it_is_and_is_no_longer_due(deliver, run_day, feed, folder):
    deliver("a.csv")
    run_day(ONE)
    before = folder.stat().st_ino
    deliver("b.csv", "2026-01-01,2\n")
    published = run_day(ONE)
    assert not published.is_new
    assert published.finding.message == (
        "home/2026-01-01 was not published again: its readings are those of revision 1."
    )
    assert folder.stat().st_ino == before
    assert read_revisions(folder).revision == 1
    assert (feed.ledger().due, feed.ledger().days[DAY].revision) == ([], 1)


def test_a_run_that_other_files_overtook_publishes_nothing_and_the_day_stays_due(deliver, run_day, inbox, feed, folder):
    deliver("a.csv")
    [day] = inbox.due(feed)
    deliver("b.csv", "2026-01-01,2\n")
    published = run_day(ONE, day)
    assert (published.is_new, folder.exists()) == (False, False)
    assert "other files have arrived since" in published.finding.message
    assert feed.ledger().due == [DAY]


def test_a_run_with_other_options_than_the_feed_declares_publishes_nothing(deliver, run_day, inbox, feed, folder):
    (feed.folder / "feed.toml").write_text("[options]\nfactor = 3\n")
    deliver("a.csv")
    [day] = inbox.due(feed)
    assert not run_day(ONE, day, factor=4).is_new
    (feed.folder / "feed.toml").write_text("settle = 1")
    assert not run_day(ONE, day).is_new
    assert not folder.exists()


def test_a_run_reads_the_file_that_an_option_names_as_it_is_now(deliver, run_day, inbox, feed, folder):
    (feed.folder / "feed.toml").write_text('[options]\nlimits = "limits.txt"\n')
    (feed.folder / "limits.txt").write_text("1")
    deliver("a.csv")
    [day] = inbox.due(feed)
    assert run_day(ONE, day).is_new
    deliver("b.csv", "2026-01-01,2\n")
    [day] = inbox.due(feed)
    (feed.folder / "limits.txt").write_text("2")
    with patch("include.core.revisions.content_of", lambda *_: {"limits": "the checksum of 3"}):
        assert not run_day(TWO, day).is_new
    assert run_day(TWO, day).is_new


def test_a_run_of_another_interval_than_the_day_is_refused(deliver, run_day, inbox, feed):
    deliver("a.csv")
    [day] = inbox.due(feed)
    with pytest.raises(ContractError, match="must cover the day of the feed, 2026-01-01T00:00:00Z to 2026-01-02T00:00"):
        run_day(ONE, day, end="2026-01-01T12:00:00Z")


@pytest.mark.parametrize("name", ["away/2026-01-01", "home/yesterday", "home", "../home/2026-01-01"])
def test_a_run_that_names_no_feed_and_day_is_refused(deliver, run_day, inbox, feed, name):
    deliver("a.csv")
    [day] = inbox.due(feed)
    with pytest.raises(ContractError, match="feed must name a feed and a day"):
        run_day(ONE, day, feed=name)


def test_what_is_killed_between_publication_and_ledger_is_found_unchanged_by_the_next_run(
    deliver, run_day, inbox, feed, folder
):
    deliver("a.csv")
    [day] = inbox.due(feed)
    with patch.object(Feed, "write", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run_day(ONE, day)
    assert read_revisions(folder).revision == 1
    assert feed.ledger().due == [DAY]
    assert not run_day(ONE, day).is_new
    assert (feed.ledger().due, read_revisions(folder).revision) == ([], 1)


def test_a_damaged_revision_is_not_replaced_for_it_counts(deliver, run_day, folder):
    deliver("a.csv")
    run_day(ONE)
    (folder / REVISION).write_text("{")
    deliver("b.csv", "2026-01-01,2\n")
    with pytest.raises(ContractError, match=r"revision\.json: must be readable"):
        run_day(TWO)


def test_the_ledger_is_untouched_when_the_publication_fails(deliver, run_day, inbox, feed, tmp_path):
    deliver("a.csv")
    with (
        patch("include.core.publish.replace_folder", side_effect=OSError("full")),
        pytest.raises(OSError, match="full"),
    ):
        run_day(ONE)
    assert feed.ledger().days == {}


def test_the_reason_counts_late_revised_and_withdrawn_readings():
    changes = Changes({}, added=1, changed=2, removed=1000, table=b"")
    assert reason_of(changes, 2) == "1 late reading, 2 revised readings, 1,000 withdrawn readings"
    assert reason_of(changes, 1) == "1 new reading"
