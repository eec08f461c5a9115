"""JSON that two readers could read differently is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.docker_proxy.refusal import Refused
from include.docker_proxy.strict_json import parse

KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, VALUES))
def test_plain_objects_are_read_as_they_are(document):
    assert parse(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 1}', "the key 'a' must not be repeated"),
        ('{"x": [{"a": {}, "a": {}}]}', "the key 'a' must not be repeated"),
        ('{"a": 1, "\\u0061": 2}', "the key 'a' must not be repeated"),
        ('{"Bind\u017f": []}', "the key 'Bind\\u017f' must be plain ASCII"),
        ('{"Bind\\u017f": []}', "the key 'Bind\\u017f' must be plain ASCII"),
        ('{"a\\u0000": 1}', "the key 'a\\x00' must be plain ASCII"),
        ('{"a": "\\u0000"}', "a: must not hold NUL or half a surrogate pair"),
        ('{"a": ["\\ud800"]}', "a: must not hold NUL or half a surrogate pair"),
        ('{"a": NaN}', "the number NaN must be whole"),
        ('{"a": -Infinity}', "the number -Infinity must be whole"),
        ('{"a": 1.5}', "the number 1.5 must be whole"),
        ('{"a": 1e999}', "the number 1e999 must be whole"),
        ('{"a": ' + "9" * 20 + "}", "a number must not have more than 19 digits"),
        ("[" * 30_000, "the body is nested too deeply"),
        ("[]", "the body must be a JSON object"),
        ("{} {}", "the body must be JSON: Extra data"),
        ("", "the body must be JSON: Expecting value"),
    ],
)
def test_what_has_two_meanings_is_refused(text, said):
    with pytest.raises(Refused) as refused:
        parse(text.encode())
    assert str(refused.value) == said
    assert refused.value.rule == "json"


@pytest.mark.parametrize("text", [b"\xff{}", b'\xef\xbb\xbf{"a": 1}', b'{"a": "\xed\xa0\x80"}', b"\xc0\xaf"])
def test_other_bytes_than_utf_8_are_refused(text):
    with pytest.raises(Refused):
        parse(text)
