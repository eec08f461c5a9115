"""Files of a feed are taken once, when they are complete; what is due survives whatever is killed."""

from datetime import UTC, date, datetime, timedelta
from unittest.mock import patch

import pytest

from include.core import inbox as module
from include.core.errors import BadInputError
from include.core.feeds import DayState
from include.core.inbox import Inbox, checked_options
from include.core.leftovers import LOG_NAME
from include.core.run_folder import Failure, Started, StepResult, write_json
from tests.core.small_feed import FEED_PIPELINE
from tests.core.small_pipeline import pipeline

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
DAG = FEED_PIPELINE.definition.dag_id


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox" / "home").mkdir(parents=True)
    return Inbox(tmp_path, [FEED_PIPELINE, pipeline()])


@pytest.fixture
def feed(inbox):
    return inbox.feeds("home")[0]


def later(**time):
    """The present, and a while after files were written."""
    return datetime.now(UTC) + timedelta(**(time or {"minutes": 2}))


def put(feed, name, text):
    (feed.folder / name).write_text(text)


def published(feed, *days):
    """Let the ledger state that days are published from all their files."""
    ledger = feed.ledger()
    for day in days:
        sources = [file.sha256 for file in ledger.of_day(day)]
        times = {"published_at": later(), "checked_at": later()}
        ledger.days[day] = DayState(sources=sources, revision=1, run_id="r", reason="", **times)
    feed.write(ledger)


def waiting(feed):
    return sorted(path.name for path in feed.folder.iterdir() if path.is_file() and not path.name.startswith("."))


def test_a_file_is_taken_into_the_archive_and_its_days_are_due(inbox, feed):
    put(feed, "a.csv", "2026-03-01,1\n2026-03-02,2\n")
    assert inbox.take(feed, later()) == ["a.csv: taken, 2 records of 2026-03-01 to 2026-03-02"]
    [file] = feed.ledger().files
    assert (feed.folder / file.archived).read_text() == "2026-03-01,1\n2026-03-02,2\n"
    assert waiting(feed) == ["ledger.json"]
    days = inbox.due(feed)
    assert [day.day for day in days] == [FIRST, SECOND]
    assert days[0].params == {
        "files": [str(feed.folder / file.archived)],
        "start": "2026-03-01T00:00:00Z",
        "end": "2026-03-02T00:00:00Z",
        "feed": "home/2026-03-01",
    }
    assert days[0].run_name.startswith("feed__home__2026-03-01__")


def test_a_file_waits_while_it_may_still_be_written(inbox, feed):
    for name in ("a.csv", "b.csv.part", "c.csv~"):
        put(feed, name, "2026-03-01,1\n")
    assert inbox.take(feed, datetime.now(UTC)) == [], "younger than a minute"
    assert len(inbox.take(feed, later())) == 1
    assert waiting(feed) == ["b.csv.part", "c.csv~", "ledger.json"]
    assert inbox.look(feed, later()).waiting == dict.fromkeys(
        ("b.csv.part", "c.csv~"), "its name says that it is not complete"
    )


def test_a_file_that_changes_while_it_is_read_is_left_alone(inbox, feed):
    put(feed, "a.csv", "2026-03-01,1\n")

    def grow(path):
        path.write_text("2026-03-01,1\n2026-03-02,2\n")
        return "checksum"

    with patch.object(module, "sha256", grow):
        assert inbox.take(feed, later()) == []
    assert waiting(feed) == ["a.csv"]


def test_a_link_is_never_followed(inbox, feed, tmp_path):
    (tmp_path / "secret").write_text("2026-03-01,1\n")
    (feed.folder / "a.csv").symlink_to(tmp_path / "secret")
    assert inbox.take(feed, later()) == []
    assert inbox.look(feed, later()).waiting == {"a.csv": "it is not a regular file"}


def test_the_same_content_under_another_name_is_recorded_and_makes_no_day_due(inbox, feed):
    put(feed, "a.csv", "2026-03-01,1\n")
    inbox.take(feed, later())
    published(feed, FIRST)
    put(feed, "b.csv", "2026-03-01,1\n")
    [sentence] = inbox.take(feed, later())
    assert sentence.startswith("b.csv: holds the same as a.csv, which was taken on ")
    assert [(file.name, file.of) for file in feed.ledger().repeated] == [("b.csv", "a.csv")]
    assert waiting(feed) == ["ledger.json"]
    assert inbox.due(feed) == []


def test_only_the_days_whose_readings_a_later_file_changes_are_due_again(inbox, feed):
    put(feed, "a.csv", "2026-03-01,1\n2026-03-02,2\n")
    inbox.take(feed, later())
    published(feed, FIRST, SECOND)
    put(feed, "month.csv", "2026-03-01,1\n2026-03-02,3\n")
    assert inbox.take(feed, later()) == [
        "month.csv: taken, 2 records of 2026-03-01 to 2026-03-02; 1 days hold what they held before"
    ]
    [day] = inbox.due(feed)
    assert (day.day, len(day.params["files"])) == (SECOND, 2)


def test_a_file_that_cannot_be_used_is_moved_beside_a_text_that_says_why_and_stops_no_other(inbox, feed):
    put(feed, "a.csv", "yesterday,1\n")
    put(feed, "b.csv", "crash\n")
    put(feed, "c.csv", "")
    put(feed, "d.csv", "2026-03-01,1\n")
    assert len(inbox.take(feed, later())) == 4
    text = (feed.folder / "rejected" / "a.csv.txt").read_text()
    assert text.startswith("a.csv: 'yesterday' is no day; say --factor 1\n")
    assert f"mv '{feed.folder}/rejected/a.csv' '{feed.folder}/a.csv'" in text
    assert "by a fault of this program: ZeroDivisionError" in (feed.folder / "rejected" / "b.csv.txt").read_text()
    assert "is empty (0 bytes)" in (feed.folder / "rejected" / "c.csv.txt").read_text()
    assert [file.name for file in feed.ledger().files] == ["d.csv"]
    assert (feed.folder / "rejected" / "a.csv").read_text() == "yesterday,1\n"


def test_two_rejected_files_of_one_name_are_both_kept_and_one_may_come_back(inbox, feed):
    for text in ("one,1\n", "two,1\n"):
        put(feed, "a.csv", text)
        inbox.take(feed, later())
    assert sorted(path.name for path in (feed.folder / "rejected").glob("*.csv")) == ["2-a.csv", "a.csv"]
    (feed.folder / "rejected" / "a.csv").replace(feed.folder / "a.csv")
    with patch("tests.core.small_feed.date") as lenient:
        lenient.fromisoformat = lambda _: FIRST
        assert inbox.take(feed, later()) == ["a.csv: taken, 1 records of 2026-03-01"]
    assert len([f for f in inbox.look(feed, later()).findings if f.mark.startswith("rejected")]) == 1


def test_a_file_of_very_many_days_is_refused_with_the_key_that_allows_it(inbox, feed):
    put(feed, "feed.toml", "max_days = 1\n")
    put(feed, "a.csv", "2026-03-01,1\n2026-03-02,2\n")
    [sentence] = inbox.take(feed, later())
    assert "touches 2 days, each of which is a run; at most 1 may be: raise max_days in feed.toml" in sentence


@pytest.mark.parametrize("name", ["a.csv", "bad.csv"])
def test_a_call_that_is_killed_before_a_file_is_moved_is_continued_by_the_next(inbox, feed, name):
    put(feed, name, "2026-03-01,1\n" if name == "a.csv" else "yesterday\n")
    with patch.object(module, "_move", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        inbox.take(feed, later())
    assert (feed.folder / name).exists()
    inbox.take(feed, later())
    ledger = feed.ledger()
    assert (len(ledger.files), len(ledger.rejected), len(ledger.repeated)) == (
        (1, 0, 0) if name == "a.csv" else (0, 1, 0)
    )
    place = ledger.files[0].archived if name == "a.csv" else ledger.rejected[0].moved
    assert (feed.folder / place).exists()
    assert not (feed.folder / name).exists()


def test_files_are_taken_in_the_order_in_which_they_arrived(inbox, feed):
    put(feed, "z.csv", "2026-03-01,1\n")
    while (feed.folder / "z.csv").stat().st_ctime_ns == _touch(feed.folder / "a.csv"):
        pass
    inbox.take(feed, later())
    assert [file.name for file in feed.ledger().files] == ["z.csv", "a.csv"]


def _touch(path):
    path.write_text("2026-03-01,2\n")
    return path.stat().st_ctime_ns


# ── runs of a day ────────────────────────────────────────────────────────────────────────────────────────────────────


def ended(inbox, name, error=None, step="measure"):
    """Leave the result of a run of a day."""
    folder = inbox.runs / DAG / name
    started = Started(step=step, started_at=later())
    result = StepResult.draft(started, title="", description="", version="1")
    result.status = "failed" if error else "success"
    result.error = Failure(kind=error, message="why") if error else None
    write_json(folder / "steps" / step / "result.json", result)


@pytest.fixture
def due_day(inbox, feed):
    put(feed, "a.csv", "2026-03-01,1\n")
    inbox.take(feed, later())
    return inbox.due(feed)[0]


def test_a_day_whose_run_is_under_way_is_not_started_again(inbox, feed, due_day):
    (inbox.runs / DAG / due_day.run_name).mkdir(parents=True)
    assert inbox.due(feed) == []
    assert inbox.look(feed, later()).due[0].standing == "running"


def test_a_day_whose_run_failed_waits_for_other_files_for_another_declaration_or_for_a_retry(inbox, feed, due_day):
    ended(inbox, due_day.run_name, "bad_input")
    assert inbox.due(feed) == []
    [again] = inbox.due(feed, retry=True)
    assert again.run_name == f"{due_day.run_name}.2"
    [finding] = inbox.look(feed, later()).findings
    assert (finding.subject, finding.notify) == ("has a day that failed", False)
    assert finding.message.startswith("2026-03-01 is not published, for its run failed: why (feed__home__2026-03-01__")
    put(feed, "feed.toml", "[options]\nfactor = 3\n")
    assert [day.params["factor"] for day in inbox.due(feed)] == [3]


def test_a_run_that_ended_in_airflow_without_a_result_has_failed(inbox, feed, due_day):
    (inbox.runs / DAG / due_day.run_name).mkdir(parents=True)
    inbox.has_ended = lambda folder: folder.name == due_day.run_name
    assert inbox.look(feed, later()).due[0].problem == "the run ended without a result; its log says why"


@pytest.mark.parametrize("error", [None, "interrupted", "transient"])
def test_a_run_of_the_command_line_that_was_killed_is_made_again(inbox, feed, due_day, error):
    folder = inbox.runs / DAG / f"cli__{due_day.run_name}"
    folder.mkdir(parents=True)
    (folder / LOG_NAME).touch()
    if error:
        ended(inbox, folder.name, error)
    with patch.object(module, "goes_on", return_value=False):
        assert [day.run_name for day in inbox.due(feed)] == [f"{due_day.run_name}.2"]


def test_a_run_that_other_files_overtook_is_followed_by_another(inbox, feed, due_day):
    ended(inbox, due_day.run_name, step="publish")
    assert [day.run_name for day in inbox.due(feed)] == [f"{due_day.run_name}.2"]


# ── what an operator should know ─────────────────────────────────────────────────────────────────────────────────────


def test_a_feed_is_silent_when_no_file_was_taken_for_longer_than_expected(inbox, feed):
    put(feed, "feed.toml", 'expected_every = "1d"\ntolerance = "6h"\n')
    assert inbox.look(feed, later(hours=29)).findings == []
    [never] = inbox.look(feed, later(hours=31)).findings
    put(feed, "a.csv", "2026-03-01,1\n")
    inbox.take(feed, later(hours=31))
    assert inbox.look(feed, later(hours=60)).findings == []
    [silent] = inbox.look(feed, later(hours=62)).findings
    assert silent.subject == "is silent"
    assert "one is expected every 1d" in silent.message
    assert inbox.look(feed, later(hours=90)).findings[0].mark == silent.mark, "one silence is one finding"
    assert never.mark != silent.mark
    last = feed.ledger().files[-1].taken_at
    assert inbox.look(feed, later(hours=62)).silent_since(later(hours=62)) == last
    assert inbox.look(feed, later(hours=62)).silent_since(last + timedelta(hours=1)) is None


def test_the_last_reading_is_that_of_all_files_not_of_the_last_one(inbox, feed):
    for name, day in (("new.csv", SECOND), ("old.csv", FIRST)):
        put(feed, name, f"{day},1\n")
        inbox.take(feed, later())
    status = inbox.look(feed, later())
    assert status.last_file.name == "old.csv"
    assert f"{status.last_reading:%Y-%m-%d %H:%M}" == "2026-03-03 00:00"


def test_a_rejected_file_is_no_sign_of_life_and_is_a_finding_until_it_is_removed(inbox, feed):
    put(feed, "feed.toml", 'expected_every = "1d"\n')
    put(feed, "a.csv", "yesterday\n")
    inbox.take(feed, later())
    assert [f.subject for f in inbox.look(feed, later(hours=31)).findings] == ["rejected a file", "is silent"]
    (feed.folder / "rejected" / "a.csv").unlink()
    assert inbox.look(feed, later()).findings == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settle = 1", "settle: must be a number with s, m, h, d or w"),
        ("pipeline = 'test-pipelin'", "pipeline: must be one that reads feeds: test"),
        ("[options]\nfacto = 3", "options: facto: no such parameter; did you mean factor?"),
        ("[options]\nfactor = 0", "options: factor: Input should be greater than 0"),
    ],
)
def test_a_faulty_declaration_takes_no_file_and_is_a_finding(inbox, feed, text, message):
    put(feed, "feed.toml", text)
    put(feed, "a.csv", "2026-03-01,1\n")
    with pytest.raises(BadInputError):
        inbox.take(feed, later())
    [finding] = inbox.look(feed, later()).findings
    assert finding.subject == "cannot be read"
    assert message in finding.message
    assert (feed.folder / "a.csv").exists()


def test_an_unknown_feed_is_refused_with_those_there_are(inbox):
    with pytest.raises(BadInputError, match=r"no feed 'hom'; a feed is a folder of .*inbox \(there are: home\)"):
        inbox.feeds("hom")


def test_options_are_checked_as_parameters_and_only_those_that_are_stated_count(inbox, feed):
    put(feed, "feed.toml", "[options]\nfactor = 3\n")
    assert checked_options(FEED_PIPELINE, feed, feed.declaration()) == {"factor": 3.0}


def test_a_file_that_an_option_names_lies_beside_the_declaration_and_is_not_taken(inbox, feed, due_day):
    put(feed, "feed.toml", '[options]\nlimits = "limits.txt"\n')
    [finding] = inbox.look(feed, later()).findings
    assert "options: limits: there is no file 'limits.txt' beside feed.toml" in finding.message
    put(feed, "limits.txt", "1")
    assert inbox.take(feed, later()) == []
    [day] = inbox.due(feed)
    assert day.params["limits"] == str(feed.folder / "limits.txt")
    put(feed, "limits.txt", "2")
    [other] = inbox.due(feed)
    assert day.run_name != other.run_name, "a day that failed is run again with another content of it"
    put(feed, "feed.toml", '[options]\nlimits = "../../secret"\n')
    assert "there is no file '../../secret'" in inbox.look(feed, later()).findings[0].message


def test_the_clock_of_a_feed_stays_once_files_were_taken_for_its_days_are_those_of_that_clock(inbox, feed, due_day):
    put(feed, "feed.toml", '[options]\ntimezone = "Europe/Amsterdam"\n')
    with pytest.raises(BadInputError, match=r"timezone: was not stated \(UTC\) when files were taken"):
        inbox.due(feed)
