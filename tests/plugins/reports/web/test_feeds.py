"""The page of feeds: how each stands, for users who may read the inbox and the DAG that runs its days."""

import html
import re
from datetime import UTC, datetime, timedelta

import pytest

from include.core.feeds import DayState, Feed
from include.core.inbox import Inbox
from include.pipelines import all_pipelines
from tests.feed_files import day_file, make_feed

pytestmark = pytest.mark.airflow
DAY = "2026-03-01"
PAGE = "/groundtruth/feeds"


@pytest.fixture
def feed(data_dir):
    """A feed that took a file 3 days ago, and whose day is at revision 2."""
    feed = Feed(make_feed(data_dir))
    (feed.folder / "day.csv").write_text(day_file(DAY))
    Inbox(data_dir, all_pipelines()[0]).take(feed, datetime.now(UTC) + timedelta(minutes=2))
    ledger, now = feed.ledger(), datetime.now(UTC)
    ledger.files[-1].taken_at -= timedelta(days=3)
    [day] = ledger.due
    ledger.days[day] = DayState(
        sources=[file.sha256 for file in ledger.files],
        revision=2,
        published_at=now,
        checked_at=now,
        run_id="feed__home__1",
        reason="1 revised reading",
        totals={"energy_kwh": 20.5},
    )
    feed.write(ledger)
    return feed


def text_of(browser):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", browser.get(PAGE).text)).split())


def test_a_feed_shows_its_last_file_its_last_reading_its_silence_and_its_revisions(client, feed):
    text = text_of(client("viewer"))
    assert "home is silent" in text
    assert "day.csv, 48 readings" in text
    assert "Last reading 2026-03-01 23:00 UTC" in text, "a day of Amsterdam ends there"
    assert "Silent since" in text
    assert "1 published 1 of them revised, 0 to run" in text
    assert "2026-03-01 2 " in text
    assert "1 revised reading" in text
    assert "Energy (kWh) 20.5" in text


def test_the_run_of_a_day_is_linked(client, feed):
    assert 'href="/groundtruth/dags/energy_pipeline/runs/feed__home__1"' in client("viewer").get(PAGE).text


@pytest.mark.parametrize("user", ["viewer", "user", "op", "admin"])
def test_airflows_roles_see_feeds(client, feed, user):
    assert "home" in text_of(client(user))


@pytest.mark.parametrize("user", ["energy", "models", "nobody", "no_runs"])
def test_users_who_may_not_read_the_inbox_are_refused(client, feed, user):
    assert client(user).get(PAGE).status_code == 403


def test_users_who_are_not_logged_in_are_refused(client, feed):
    assert client().get(PAGE).status_code == 401


def test_a_feed_is_hidden_from_users_who_may_not_read_the_runs_of_its_days(client, feed):
    assert "home" not in text_of(client("inbox"))


def test_a_faulty_declaration_is_shown_beside_the_other_feeds(client, feed, data_dir):
    make_feed(data_dir, "away", "settle = 1")
    text = text_of(client("viewer"))
    assert "away cannot be read" in text
    assert "feed.toml: settle: must be a number with s, m, h, d or w" in text
    assert "home is silent" in text
    assert str(data_dir) not in text, "the page reveals nothing of the machine"


def test_without_a_feed_the_page_says_how_to_make_one(client):
    text = text_of(client("viewer"))
    assert "There is no feed yet" in text
    assert "./pipeline inspect FILE" in text
    assert "feed.toml" in text


def test_a_day_that_airflow_is_running_has_not_failed(client, feed, added, data_dir):
    ledger = feed.ledger()
    ledger.days.clear()
    feed.write(ledger)
    [due] = Inbox(data_dir, all_pipelines()[0]).due(feed)
    (data_dir / "runs" / "energy_pipeline" / due.run_name).mkdir(parents=True)
    assert "has a day that failed" in text_of(client("viewer"))
    added("energy_pipeline", due.run_name)
    assert "has a day that failed" not in text_of(client("viewer"))
