"""An env file's text: what is written reads back the same everywhere, and nothing else changes."""

import io
import re
import subprocess

import pytest
from dotenv import dotenv_values
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from include.core.errors import BadInputError
from include.env_file.text import change, quote, read_values, unified_diff

KEYS = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12).filter(str.isprintable)
HARD = st.text(st.sampled_from(list("ab '\"\\$`#=!{}()~*;&|é")), max_size=8)
LINES = st.one_of(
    st.just(""),
    st.just("   "),
    st.builds("# {}".format, VALUES),
    st.builds("{}={}".format, KEYS, st.from_regex(r"[a-z0-9./-]{0,6}", fullmatch=True)),
    st.builds("export {}='{}'  # why".format, KEYS, st.from_regex(r"[a-z #=]{0,6}", fullmatch=True)),
    st.builds('{} = "{}"'.format, KEYS, st.from_regex(r"[a-z #=]{0,6}", fullmatch=True)),
    st.builds('{}="{}\n{}"'.format, KEYS, KEYS, KEYS),
    st.just("a line that is no assignment"),
    st.just("alias ll='ls -l'"),
)
NEWLINES = st.sampled_from(["\n", "\r\n"])


@st.composite
def files(draw):
    newline = draw(NEWLINES)
    text = newline.join(line.replace("\n", newline) for line in draw(st.lists(LINES, max_size=8)))
    return text + draw(st.sampled_from(["", newline]))


def by_dotenv(text):
    return {
        key: value for key, value in dotenv_values(stream=io.StringIO(text, newline="")).items() if value is not None
    }


def by_bash(text, key):
    done = subprocess.run(
        ["bash", "-c", f'set -eu; source /dev/stdin; printf %s "${key}"'],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@given(files(), st.dictionaries(KEYS, st.one_of(VALUES, HARD), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_back_and_every_other_key_is_as_it_was(text, changes):
    try:
        after = change(text, changes)
    except BadInputError:
        for key, value in changes.items():
            try:
                quote(key, value)
            except BadInputError:
                assume(False)
        raise
    before = by_dotenv(text)
    assert by_dotenv(after) == before | changes
    assert read_values(after) == before | changes
    assert change(after, changes) == after


def other_lines(text, keys):
    """Lines, without those (of several lines, too) that set one of the keys."""
    kept = text
    for key in keys:
        kept = re.sub(rf"(?m)^(export )?{key} ?=(\"[^\"]*\"|[^\r\n]*)[^\r\n]*(\r?\n|\Z)", "", kept)
    return kept.splitlines()


@given(files(), st.dictionaries(KEYS, st.sampled_from(["", "true", "a b", "/data/models"]), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_every_other_line_stays_with_its_newline_and_order(text, changes):
    after = change(text, changes)
    duplicates = [key for key in changes if len(re.findall(rf"(?m)^(export )?{key} ?=", text)) > 1]
    assume(not duplicates)
    assert other_lines(after, changes) == other_lines(text, changes)
    if text:
        assert after.endswith(("\n", "\r")) == text.endswith(("\n", "\r"))
    if "\r\n" in text:
        assert "\n" not in after.replace("\r\n", "")


@given(files(), st.dictionaries(KEYS, st.sampled_from(["", "true", "a b"]), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_a_new_key_that_is_removed_again_leaves_the_very_bytes(text, changes):
    assume(text and not set(changes) & set(read_values(text)))
    assert change(change(text, changes), dict.fromkeys(changes)) == text


@given(st.one_of(VALUES, HARD), st.sampled_from(["", "'", '"']))
@settings(max_examples=150, deadline=None)
def test_bash_reads_what_python_dotenv_reads(value, like):
    try:
        text = f"KEY={quote('KEY', value, like)}\n"
    except BadInputError:
        assume(False)
    assert by_bash(text, "KEY") == value == by_dotenv(text)["KEY"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\n", "A=2\n"),
        ("A='1'\n", "A='2'\n"),
        ('A="1" # why\n', 'A="2" # why\n'),
        ("A=1  # why\n", "A=2  # why\n"),
        ("A= # why\n", "A=2 # why\n"),
        ('A="1"#why\n', 'A="2" #why\n'),
        ("export A=1\nB=3\n", "export A=2\nB=3\n"),
        ("A = 1\n", "A=2\n"),
        ("  A=1\n", "  A=2\n"),
        ("A=1", "A=2"),
        ("A=0\nB=3\nA=1\n", "A=0\nB=3\nA=2\n"),
        ('A="one\ntwo"\nB=3\n', 'A="2"\nB=3\n'),
        ('B="\nA=1\n"\n', 'B="\nA=1\n"\nA=2\n'),
        ("# A=1\n", "# A=1\nA=2\n"),
        ("B=3", "B=3\nA=2"),
        ("B=3\r\n", "B=3\r\nA=2\r\n"),
        ("\ufeffA=1\n", "\ufeffA=2\n"),
        ("", "A=2\n"),
        ("B=\udcff\n", "B=\udcff\nA=2\n"),
        ("\n\n# head\n\nA=1\n", "\n\n# head\n\nA=2\n"),
    ],
)
def test_only_the_value_changes(text, expected):
    assert change(text, {"A": "2"}) == expected


def test_quotes_change_only_where_the_new_value_needs_others():
    assert change("A=1\n", {"A": "a b"}) == "A='a b'\n"
    assert change('A="1"\n', {"A": "costs $5"}) == "A='costs $5'\n"
    assert change("A='1'\n", {"A": "it's"}) == 'A="it\'s"\n'
    assert change("A='1'\n", {"A": ""}) == "A=''\n"


def test_removing_takes_every_line_of_the_key_and_keeps_the_blank_ones():
    assert change("A=1\n\nA=2\nB=3\n", {"A": None}) == "\nB=3\n"
    assert change("B=3\nA=1", {"A": None}) == "B=3"


@pytest.mark.parametrize("value", ["two\nlines", "tab\there", "${HOME}", "it's $5", "\x00", "\udcff"])
def test_a_value_that_readers_would_read_differently_is_refused(value):
    with pytest.raises(BadInputError, match=r"^A: "):
        change("A=1\n", {"A": value})


@pytest.mark.parametrize("key", ["", "1A", "A B", "A=B", "A-B", "Ä"])
def test_a_key_that_is_no_name_is_refused(key):
    with pytest.raises(BadInputError, match="not the name of an environment variable"):
        change("A=1\n", {key: "2"})


@pytest.mark.parametrize("text", ['B=3\nA="1\n', "B=3\nA='1\nC=4\n", 'B=3\nA="1"2\n'])
def test_quotes_that_do_not_close_are_named_by_their_line(text):
    with pytest.raises(BadInputError, match="line 2: its quotes do not close"):
        change(text, {"B": "4"})


def test_the_diff_shows_no_line_that_does_not_change():
    text = "PASSWORD=secret\nA=1\nTOKEN=hidden\n"
    diff = unified_diff(text, change(text, {"A": "2", "B": "3"}), ".env")
    assert diff.splitlines() == ["--- a/.env", "+++ b/.env", "@@ -2 +2 @@", "-A=1", "+A=2", "@@ -3,0 +4 @@", "+B=3"]
    assert unified_diff(text, text, ".env") == ""
