"""Decisions have one form, and the index shows their status."""

import re

import pytest

from include.core.settings import ROOT

RECORDS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
HEAD = re.compile(
    r"# (?P<number>\d+)\. (?P<title>.+)\n\n- Status: (?P<status>.+)\n- Date: \d{4}-\d\d-\d\d\n\n\*\*Context\.\*\* "
)
SECTIONS = ["Context", "Decision", "Alternatives considered", "Consequences"]
STATUS = re.compile(r"accepted\b|superseded (in part )?by \[\d+\]\((?P<successor>[\w-]+\.md)\)")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_begins_with_its_number_status_and_date(record):
    head = HEAD.match(record.read_text())
    assert head, "# N. Title, then - Status: … and - Date: …, then **Context.**"
    assert int(head["number"]) == int(record.name[:4])


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_every_section_in_order(record):
    sections = re.findall(r"^\*\*([A-Z][\w ]+)\.\*\*(?= |$)", record.read_text(), re.MULTILINE)
    assert [section for section in sections if section in SECTIONS] == SECTIONS


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_is_accepted_or_names_its_successor(record):
    head = HEAD.match(record.read_text())
    status = STATUS.match(head["status"])
    assert status, "accepted, or superseded (in part) by [N](file)"
    if status["successor"]:
        successor = record.with_name(status["successor"])
        assert f"]({record.name})" in successor.read_text(), "the successor links back"


def test_records_are_numbered_without_duplicates():
    numbers = [record.name[:4] for record in RECORDS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_the_index_shows_number_title_and_status(record):
    head = HEAD.match(record.read_text())
    row = f"| {head['number']} | [{head['title']}](decisions/{record.name}) | {plain(head['status'])} |"
    assert row in (ROOT / "docs" / "README.md").read_text().splitlines()


def plain(status: str) -> str:
    """Return a status without its links and remarks, as the index shows it."""
    return re.sub(r"\[(\d+)\]\([^)]*\)", r"\1", status).partition(";")[0].partition(" (")[0]
