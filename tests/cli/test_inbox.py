"""`./pipeline inbox --once`: what arrives day by day, and what is published of it, compared with independent sums."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.airflow_runs import ROOT  # noqa: F401  # isort: skip - sets Airflow's home first

from rich.console import Console

from include.cli.inbox import show_feeds
from include.core.feeds import Feed
from include.core.inbox import Inbox
from include.pipelines import all_pipelines
from tests.feed_files import day_file, energy, make_feed

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]


@pytest.fixture
def feed(data_dir):
    return make_feed(data_dir)


@pytest.fixture
def inbox(call):
    """Take and run what has arrived; returns the exit code and how the feed stands."""

    def once(*options):
        ended = call("inbox", "home", "--once", "--json", *options)
        return ended.code, json.loads(ended.stdout)[0]

    return once


def published(data_dir, day):
    """The energy of a published day, added up from its readings (kW over an hour are kWh), and its revision."""
    folder = data_dir / "published" / "energy" / "home" / day
    with (folder / "energy_report.csv").open() as file:
        total = sum(float(row["power"]) for row in csv.DictReader(file) if row["state"] != "suspect")
    return round(total, 6), json.loads((folder / "revision.json").read_text())


def total(hours=range(24)):
    return round(sum(energy(meter, hour) for meter in "AB" for hour in hours), 6)


def test_days_are_published_and_again_exactly_when_their_readings_change(feed, inbox, data_dir):
    # Day 1 arrives incomplete, day 2 complete.
    (feed / "day1.csv").write_text(day_file("2026-03-01", range(20)))
    (feed / "day2.csv").write_text(day_file("2026-03-02"))
    code, state = inbox()
    assert (code, state["due"], state["findings"]) == (0, [], [])
    energy_1, revision = published(data_dir, "2026-03-01")
    assert energy_1 == revision["totals"]["energy_kwh"] == total(range(20))
    assert (revision["revision"], revision["reason"], revision["totals_before"]) == (1, "40 new readings", None)
    assert published(data_dir, "2026-03-02")[0] == total()

    # The rest of day 1 is late; day 2 is revised, in a file that also holds day 1 as it is; one file comes twice.
    (feed / "late.csv").write_text(day_file("2026-03-01", range(18, 24)))
    _, state = inbox()
    energy_1, revision = published(data_dir, "2026-03-01")
    assert energy_1 == revision["totals"]["energy_kwh"] == total()
    assert (revision["revision"], revision["reason"]) == (2, "8 late readings")
    assert revision["totals_before"]["energy_kwh"] == total(range(20))
    assert state["days"]["2026-03-02"]["revision"] == 1

    (feed / "revised.csv").write_text(day_file("2026-03-02", revised={("A", 3): 5.0}))
    (feed / "copy.csv").write_text(day_file("2026-03-02"))
    _, state = inbox()
    energy_2, revision = published(data_dir, "2026-03-02")
    assert energy_2 == revision["totals"]["energy_kwh"] == round(total() - energy("A", 3) + 5, 6)
    assert (revision["revision"], revision["reason"], revision["changed"]) == (2, "1 revised reading", 1)
    assert [file["name"] for file in state["repeated"]] == ["copy.csv"]
    assert published(data_dir, "2026-03-01")[1]["revision"] == 2

    # A part of the same readings again: the day runs, and nothing is published.
    (feed / "part.csv").write_text(day_file("2026-03-01", range(12)))
    (feed / "broken.csv").write_text("time,meter\n")
    code, state = inbox()
    assert (code, state["due"]) == (1, [])
    assert state["days"]["2026-03-01"]["sources"][-1] == state["taken"][-1]["sha256"]
    assert published(data_dir, "2026-03-01")[1]["revision"] == 2
    [finding] = state["findings"]
    assert finding["subject"] == "rejected a file"
    reports = [json.loads(path.read_text()) for path in data_dir.glob("runs/energy_pipeline/*/pipeline_report_*.json")]
    assert {report["overall_status"] for report in reports} == {"success"}
    messages = {found["message"] for report in reports for found in report["findings"]}
    assert "home/2026-03-01 was not published again: its readings are those of revision 2." in messages
    assert len(reports) == 5


def test_the_first_reading_of_a_register_completes_the_day_before(feed, inbox, data_dir):
    columns = "timestamp=time,household_id=meter,register_kwh=Stand"
    (feed / "feed.toml").write_text((feed / "feed.toml").read_text() + f'columns = "{columns}"\n')
    rises = [energy("A", hour) for _ in range(2) for hour in range(24)]
    total_at = [round(100 + sum(rises[:hour]), 2) for hour in range(48)]
    readings = {1: total_at[:24], 2: total_at[24:]}
    for day, values in readings.items():
        rows = [f"2026-03-0{day} {hour:02}:00,A,{value:.2f}" for hour, value in enumerate(values)]
        (feed / f"{day}.csv").write_text("\n".join(["time,meter,Stand", *rows]) + "\n")
        assert inbox()[0] == 0
        energy_1, revision = published(data_dir, "2026-03-01")
        end = readings[1][-1] if day == 1 else readings[2][0]
        assert energy_1 == round(end - readings[1][0], 6)
        assert (revision["revision"], revision["totals"]["records"]) == (day, 22 + day)
        assert not (data_dir / "published" / "energy" / "home" / "2026-02-28").exists()
    assert published(data_dir, "2026-03-02")[0] == round(readings[2][-1] - readings[2][0], 6)


def test_a_day_that_fails_is_run_again_only_when_that_is_asked_for(feed, inbox, data_dir):
    spike = {("A", 3): 5000.0}
    (feed / "day1.csv").write_text(day_file("2026-03-01", revised=spike))
    code, state = inbox()
    assert (code, state["due"][0]["standing"]) == (1, "failed")
    assert "holds 5,000 of" in state["due"][0]["problem"]
    runs = list((data_dir / "runs" / "energy_pipeline").iterdir())
    inbox()
    assert list((data_dir / "runs" / "energy_pipeline").iterdir()) == runs
    inbox("--retry")
    assert len(list((data_dir / "runs" / "energy_pipeline").iterdir())) == 2
    (feed / "feed.toml").write_text((feed / "feed.toml").read_text() + "limit_kw = 20\n")
    code, state = inbox()
    assert (code, state["due"]) == (0, [])
    assert published(data_dir, "2026-03-01")[0] == round(total() - energy("A", 3), 6)


def test_the_table_says_what_waits_and_why(feed, call):
    (feed / "feed.toml").write_text('settle = "1h"\n')
    (feed / "day1.csv").write_text(day_file("2026-03-01"))
    ended = call("inbox")
    assert ended.code == 0
    assert "home: day1.csv waits: it changed less than 3600 s ago" in ended.stdout
    assert call("inbox", "away").code == 2
    assert call("inbox", "--retry").code == 2


def test_a_narrow_terminal_cuts_no_date(feed, data_dir):
    (feed / "day1.csv").write_text(day_file("2026-03-01"))
    inbox, output = Inbox(data_dir, all_pipelines()[0]), io.StringIO()
    inbox.take(Feed(feed), datetime(2026, 3, 2, 6, 30, tzinfo=UTC) + timedelta(days=3650))
    show_feeds(inbox, [inbox.look(Feed(feed), datetime.now(UTC))], Console(file=output, width=40))
    assert "2036-02-28 06:30 UTC" in output.getvalue()
    assert "home" in output.getvalue()


def test_without_a_feed_it_says_how_to_make_one(call, data_dir):
    assert f"make a folder in {data_dir.resolve()}/inbox" in call("inbox").stdout
