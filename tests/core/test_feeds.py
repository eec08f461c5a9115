"""A feed's declaration, its ledger, and which of its days are due."""

from datetime import UTC, date, datetime, timedelta

import pytest

from include.core.errors import BadInputError
from include.core.feeds import DayState, Feed, Ledger, TakenFile, day_key, find_feeds, parse_duration, window_of

NOW = datetime(2026, 3, 3, 6, tzinfo=UTC)
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


def taken(name, **days):
    return TakenFile(
        name=name, sha256=name, bytes=1, taken_at=NOW, archived=f"archive/{name}", records=1,
        days={{"first": FIRST, "second": SECOND}[day]: checksum for day, checksum in days.items()},
    )  # fmt: skip


def state(*sources):
    times = {"published_at": NOW, "checked_at": NOW}
    return DayState(sources=list(sources), revision=1, run_id="r", reason="", **times)


@pytest.fixture
def feed(tmp_path):
    (tmp_path / "home").mkdir()
    return Feed(tmp_path / "home")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("6h", 21600), ("1d", 86400), ("2w", 1209600)]
)
def test_durations_are_numbers_with_a_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


def test_without_a_declaration_defaults_hold(feed):
    declaration = feed.declaration()
    assert (declaration.expected_every, declaration.settle) == (None, timedelta(minutes=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settle = 'soon'", r"feed\.toml: settle: must be a number with s, m, h, d or w.*'soon'"),
        ("expected = '1d'", r"feed\.toml: expected: Extra inputs are not permitted.*docs/guides/inbox\.md"),
        ("settle = ", r"feed\.toml: cannot be read as TOML"),
        ("[options]\nfiles = ['a']", r"feed\.toml: options: files: is set for each day by the inbox"),
    ],
)
def test_a_faulty_declaration_names_file_key_and_rule(feed, text, message):
    (feed.folder / "feed.toml").write_text(text)
    with pytest.raises(BadInputError, match=message):
        feed.declaration()


def test_a_ledger_is_written_and_read_again(feed):
    ledger = Ledger(opened_at=NOW, files=[taken("a", first="1")], days={FIRST: state("a")})
    feed.write(ledger)
    assert feed.ledger() == ledger


def test_a_damaged_ledger_stops_the_feed_and_says_what_to_do(feed):
    (feed.folder / "ledger.json").write_text("{")
    with pytest.raises(BadInputError, match=r"ledger\.json is damaged.*restore it from a backup"):
        feed.ledger()


def test_a_feed_opens_when_it_is_declared(feed):
    (feed.folder / "feed.toml").write_text("")
    opened = (feed.folder / "feed.toml").stat().st_mtime
    assert abs(feed.ledger().opened_at.timestamp() - opened) <= 1


def test_only_days_that_were_not_made_from_all_their_files_are_due():
    ledger = Ledger(opened_at=NOW, files=[taken("a", first="1"), taken("b", first="2", second="3")])
    assert ledger.due == [FIRST, SECOND]
    ledger.days = {FIRST: state("a"), SECOND: state("b")}
    assert ledger.due == [FIRST]
    ledger.days[FIRST] = state("a", "b")
    assert ledger.due == []
    assert [file.name for file in ledger.of_day(FIRST)] == ["a", "b"]


def test_a_file_that_completes_a_day_makes_it_due_only_where_another_holds_readings_of_it():
    second = taken("b", second="1").model_copy(update={"borders": [FIRST]})
    assert Ledger(opened_at=NOW, files=[second]).due == [SECOND]
    ledger = Ledger(opened_at=NOW, files=[second, taken("a", first="1")], days={FIRST: state("a"), SECOND: state("b")})
    assert ledger.due == [FIRST]
    assert [file.name for file in ledger.of_day(FIRST)] == ["b", "a"]


def test_a_day_whose_readings_are_those_of_the_latest_file_is_not_touched():
    ledger = Ledger(opened_at=NOW, files=[taken("a", first="1", second="1"), taken("b", first="2")])
    assert ledger.touched({FIRST: "1", SECOND: "1"}) == {FIRST: "1"}, "readings that were revised and now are back"


def test_days_have_23_to_25_hours():
    lengths = {day: window_of(day, "Europe/Amsterdam") for day in (date(2026, 3, 29), date(2026, 10, 25), FIRST)}
    assert [(end - start) / timedelta(hours=1) for start, end in lengths.values()] == [23, 25, 24]


def test_the_key_of_a_day_follows_its_files_their_order_and_how_they_are_read():
    keys = {day_key(FIRST, ["a", "b"], {}), day_key(FIRST, ["b", "a"], {}), day_key(FIRST, ["a", "b"], {"unit": "kWh"})}
    assert len(keys | {day_key(SECOND, ["a", "b"], {})}) == 4
    assert day_key(FIRST, ["a", "b"], {}) in keys


def test_feeds_are_folders_whose_names_can_be_published(tmp_path):
    for name in ("home", "2026-03-01", ".hidden", "a b"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert [feed.name for feed in find_feeds(tmp_path)] == ["home"]
    assert find_feeds(tmp_path / "none") == []
