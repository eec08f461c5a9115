"""JSON is what RFC 8259 defines: what programs read differently is refused, and memory is bounded."""

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core import strict_json
from include.core.strict_json import lines, parse

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
).filter(lambda document: "\\ud" not in json.dumps(document))


@given(DOCUMENTS)
def test_every_json_document_is_parsed_as_it_was_written(document):
    assert parse(json.dumps(document).encode()) == document
    assert parse(json.dumps(document, ensure_ascii=False).encode()) == document


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"[1e999]", "the number 1e999 is too large"),
        (b'{"a": 1, "a": 1}', "the key 'a' appears more than once"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "the key 'a' appears more than once"),
        (b'{"a": 1} {"a": 1}', "Extra data"),
        (b"{'a': 1}", "Expecting property name"),
        (b'["a', "Unterminated string"),
        (b'["\\', "Unterminated string"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ('{"a": 1}'.encode("utf-16"), "codec can't decode"),
        (b'["\xff"]', "codec can't decode"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b"[" + b"9" * 5000 + b"]", "4300 digits"),
        (b"[" * 101 + b"]" * 101, "nested deeper than 100"),
        (b"", "Expecting value"),
        (bytes(10), "Expecting value"),
    ],
)
def test_what_is_not_json_is_refused_in_words(content, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        parse(content)


@pytest.mark.parametrize("content", [b"[" * 100 + b"]" * 100, b'["' + b"[{" * 200 + b'"]', b'["\\"[[[\\\\", "]"]'])
def test_only_brackets_outside_of_texts_are_nesting(content):
    assert parse(content) == json.loads(content)


def test_a_pair_of_surrogates_is_one_character():
    assert parse(b'"\\ud83c\\udf3e"') == "\N{EAR OF RICE}"


def test_the_values_and_bytes_of_a_document_are_limited(monkeypatch):
    monkeypatch.setattr(strict_json, "MAX_VALUES", 10)
    assert parse(b"[0,1,2,3,4,5,6,7,8,9]") == list(range(10))
    assert parse(b'["' + b"," * 100 + b'"]') == ["," * 100]
    with pytest.raises(ValueError, match="more than 10 values"):
        parse(b"[0,1,2,3,4,5,6,7,8,9,10]")
    monkeypatch.setattr(strict_json, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        parse(b'"' + b"a" * 10 + b'"')


def test_a_million_escaped_quotes_take_linear_time_and_no_stack():
    assert parse(b'"' + b'\\"' * 1_000_000 + b'"') == '"' * 1_000_000
    with pytest.raises(ValueError, match="Unterminated string"):
        parse(b'"' + b'\\"' * 1_000_000)


def test_numbers_stay_what_they_are():
    assert parse(b"[1, 1.5, -0.0, 1e3, 123456789012345678901234567890]") == [
        1,
        1.5,
        -0.0,
        1000.0,
        123456789012345678901234567890,
    ]
    assert math.copysign(1, parse(b"-0.0")) == -1


# ── JSON Lines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_line_is_a_document():
    assert [json.loads(line) for line in lines(io.BytesIO(b'{"a": 1}\n[2]\r\n3\n'))] == [{"a": 1}, [2], 3]
    assert not list(lines(io.BytesIO(b"")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": 2}', "line 2: no line break at its end"),
        (b'{"a": 1}\n\n{"a": 2}\n', "line 2: an empty line"),
        (b'{"a": 1}\n{"a": NaN}\n', "line 2: NaN"),
        (b'{"a": 1, "a": 2}\n', "line 1: the key 'a'"),
        (b"a,b\n1,2\n", "line 1: Expecting value"),
        (b'{"a":\n1}\n', "line 1: Expecting value"),
    ],
)
def test_a_line_that_is_not_a_document_is_named(content, message):
    with pytest.raises(ValueError, match=message):
        list(lines(io.BytesIO(content)))


def test_a_line_is_never_read_beyond_its_limit(monkeypatch):
    monkeypatch.setattr(strict_json, "MAX_LINE_BYTES", 10)
    file = io.BytesIO(b'"' + b"a" * 1000 + b'"\n')
    with pytest.raises(ValueError, match="line 1: more than 10 bytes"):
        list(lines(file))
    assert file.tell() == 11
