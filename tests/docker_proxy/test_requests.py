"""A request is read in one way: calls of the table, their parameters, JSON with one meaning. All else is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.docker_proxy.requests import (
    CALLS,
    RefusedError,
    check_keys,
    check_values,
    match_call,
    parse_json,
    parse_query,
    restrict_filters,
)

ID = "0123456789ab" * 5 + "cdef"
OURS = {
    "ping": "GET /_ping",
    "version": "GET /version",
    "image": "GET /images/registry.example:5000/team/image:1.2/json",
    "create": "POST /containers/create",
    "list": "GET /containers/json?limit=-1&all=1&size=0&trunc_cmd=0&filters=%7B%22label%22%3A+%5B%5D%7D",
    "inspect": f"GET /containers/{ID}/json",
    "start": f"POST /containers/{ID}/start",
    "logs": f"GET /containers/{ID}/logs?stderr=1&stdout=1&timestamps=0&follow=1&tail=all&since=1700000000.5",
    "wait": f"POST /containers/{ID}/wait",
    "stop": f"POST /containers/{ID}/stop?t=10",
    "remove": f"DELETE /containers/{ID}?v=True&link=False&force=True",
}


@pytest.mark.parametrize("version", ["", "/v1.41", "/v1.100"])
@pytest.mark.parametrize("name", OURS)
def test_what_docker_py_asks_for_our_operator_passes(name, version):
    method, _, url = OURS[name].partition(" ")
    path, _, query = url.partition("?")
    call, _ = match_call(method, version + path)
    assert call.name == name
    assert len(parse_query(call, query)) == query.count("=")


def test_the_table_has_no_other_calls():
    assert [call.name for call in CALLS] == list(OURS)


@pytest.mark.parametrize(
    "line",
    [
        "HEAD /_ping", "get /_ping", "GET /_ping/", "GET /v2.0/_ping", "GET /v1.41/v1.41/_ping", "GET /info",
        "GET /containers/create", "POST /containers/json", "POST /containers/create/", "DELETE /images/x",
        f"POST /containers/{ID}/kill", f"POST /containers/{ID}/exec", f"POST /containers/{ID}/attach",
        "GET /containers/postgres/json", "GET /containers/abc/json", f"GET /containers/{ID.upper()}/json",
        f"GET /containers/{ID}0/json", "GET /containers/%30123456789ab/json", "GET /containers//json", "GET http://x/_ping",
        "GET /containers/0123456789a\u0661/json",
    ],
)  # fmt: skip
def test_other_lines_are_refused(line):
    with pytest.raises(RefusedError, match="no step needs this call"):
        match_call(*line.split(" "))


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("start", "detachKeys=x"),
        ("create", "name=x"),
        ("create", "platform=x"),
        ("wait", "condition=removed"),
        ("logs", "follow=yes"),
        ("logs", "tail=all&tail=1"),
        ("logs", "follow"),
        ("logs", "since=1%0a"),
        ("stop", "t=-1"),
        ("stop", "signal=SIGKILL"),
        ("remove", "link=True"),
        ("list", "size=1"),
        ("list", "limit=5"),
        ("ping", "&"),
        ("ping", "%ff"),
    ],
)
def test_other_parameters_are_refused(name, query):
    call = next(call for call in CALLS if call.name == name)
    with pytest.raises(RefusedError) as refused:
        parse_query(call, query)
    assert refused.value.rule == "query"


@given(st.sampled_from(CALLS), st.text())
def test_any_query_is_understood_or_refused(call, text):
    try:
        found = parse_query(call, text)
    except RefusedError:
        return
    assert set(found) <= set(call.query)


def test_a_list_is_always_of_steps():
    assert json.loads(restrict_filters("")) == {"label": ["io.groundtruth=step"]}
    asked = {"label": ["io.groundtruth.run=a b", "io.groundtruth.dag"]}
    assert json.loads(restrict_filters(json.dumps(asked))) == {
        "label": ["io.groundtruth.dag", "io.groundtruth.run=a b", "io.groundtruth=step"]
    }


@pytest.mark.parametrize(
    "filters",
    [
        '{"label": ["com.docker.compose.project=x"]}',
        '{"label": ["io.groundtruthx=step"]}',
        '{"label": [1]}',
        '{"label": {"io.groundtruth=step": true}}',
        '{"label!": ["io.groundtruth=step"]}',
        '{"name": ["postgres"]}',
        '{"label": [], "label": []}',
        "[]",
        "x",
    ],
)
def test_other_filters_are_refused(filters):
    with pytest.raises(RefusedError):
        restrict_filters(filters)


KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, VALUES))
def test_plain_objects_are_read_as_they_are(document):
    assert parse_json(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 1}', "the key 'a' must not be repeated"),
        ('{"x": [{"a": {}, "a": {}}]}', "the key 'a' must not be repeated"),
        ('{"a": 1, "\\u0061": 2}', "the key 'a' must not be repeated"),
        ('{"Bind\u017f": []}', "the key 'Bind\\u017f' must be printable ASCII"),
        ('{"Bind\\u017f": []}', "the key 'Bind\\u017f' must be printable ASCII"),
        ('{"a\\u0000": 1}', "the key 'a\\x00' must be printable ASCII"),
        ('{"a": "\\u0000"}', "a: must not hold NUL or an unpaired surrogate"),
        ('{"a": ["\\ud800"]}', "a: must not hold NUL or an unpaired surrogate"),
        ('{"a": NaN}', "the number NaN must be an integer"),
        ('{"a": -Infinity}', "the number -Infinity must be an integer"),
        ('{"a": 1.5}', "the number 1.5 must be an integer"),
        ('{"a": 1e999}', "the number 1e999 must be an integer"),
        ('{"a": ' + "9" * 20 + "}", "a number must not have more than 19 digits"),
        ("[" * 30_000, "the body is nested too deeply"),
        ("[]", "the body must be a JSON object"),
        ("{} {}", "the body must be JSON: Extra data"),
        ("", "the body must be JSON: Expecting value"),
    ],
)
def test_what_has_two_meanings_is_refused(text, said):
    with pytest.raises(RefusedError) as refused:
        parse_json(text.encode())
    assert str(refused.value) == said
    assert refused.value.rule == "json"


@pytest.mark.parametrize("text", [b"\xff{}", b'\xef\xbb\xbf{"a": 1}', b'{"a": "\xed\xa0\x80"}', b"\xc0\xaf"])
def test_other_bytes_than_utf_8_are_refused(text):
    with pytest.raises(RefusedError):
        parse_json(text)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"a": 1, "c": 1}, "x.c: a step's container must not have this key"),
        ({"b": 1}, "x.a: is missing"),
        ([], "x: must be an object"),
        (None, "x: must be an object"),
    ],
)
def test_an_object_has_the_required_keys_and_no_unknown_one(document, sentence):
    check_keys("x", {"a": 1, "b": 2}, {"a"}, {"b"})
    with pytest.raises(RefusedError) as refused:
        check_keys("x", document, {"a"}, {"b"})
    assert str(refused.value) == sentence


@pytest.mark.parametrize("value", [1, "True", None, [True]])
def test_a_value_has_the_type_that_it_must_have(value):
    check_values("x.", {"a": True, "b": 1}, {"a": True})
    with pytest.raises(RefusedError, match=r"^x\.a: must be True$"):
        check_values("x.", {"a": value}, {"a": True})
