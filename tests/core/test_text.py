"""Text from outside: what a terminal would obey is escaped, and what a URL hides stays hidden."""

import json

import pytest

from include.core.text import message_text, printable, printable_json, without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ä, 電, °C,\u00a0and a narrow\u202fspace", "plain, ä, 電, °C,\u00a0and a narrow\u202fspace"),
        ("\x1b[2J\x1b[Hall green", "\\x1b[2J\\x1b[Hall green"),
        ("\x9b2J", "\\x9b2J"),
        ("over\rwritten", "over\\rwritten"),
        ("two\nlines", "two\\nlines"),
        ("bell\a, NUL\0, DEL\x7f", "bell\\x07, NUL\\x00, DEL\\x7f"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("not UTF-8 \udcff", "not UTF-8 \\udcff"),
        ("tag \U000e0041", "tag \\U000e0041"),
    ],
)
def test_signs_that_no_reader_sees_become_their_escapes(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
    printable(text).encode()


def test_line_breaks_of_our_own_messages_stay():
    assert printable("a\n  b\x07", keep="\n") == "a\n  b\\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ada:secret@host:8070/api", "http://***@host:8070/api"),
        ("postgresql+psycopg2://ada:se@cret@db/airflow", "postgresql+psycopg2://***@db/airflow"),
        ("https://token@host", "https://***@host"),
        ("https://ada:se/cret@host/path", "https://***@host/path"),
        ("https://host/path?page=1&access_token=abc&x=2", "https://host/path?page=1&access_token=***&x=2"),
        ("https://host/?API_KEY=abc#part", "https://host/?API_KEY=***"),
        ("two: http://a:b@c and ftp://d:e@f.", "two: http://***@c and ftp://***@f."),
        ("http://host:8070/a@b", "http://host:8070/a@b"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("https://host/model@v1?x=1", "https://host/model@v1?x=1"),
        ("mail ada@example.org, key=B04", "mail ada@example.org, key=B04"),
    ],
)
def test_a_url_is_shown_without_its_secrets(text, shown):
    assert without_passwords(text) == shown
    assert without_passwords(shown) == shown


def test_a_message_is_made_harmless_in_one_go():
    assert message_text("http://u:p@h:\n\t\x1b[0m") == "http://***@h:\n\t\\x1b[0m"


def test_json_for_a_terminal_has_the_same_content():
    document = {"name": "\x9b2J \u202e \U000e0041 ä", "lines": "a\nb"}
    text = printable_json(json.dumps(document, ensure_ascii=False, indent=2))
    assert json.loads(text) == document
    assert "ä" in text
    assert not any(sign in text for sign in "\x9b\u202e\U000e0041")
