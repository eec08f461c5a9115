"""What a request asks for, read in exactly one way: its call, its query parameters and its JSON.

The engine decodes JSON leniently: of repeated scalars the last wins, repeated objects merge, keys match in any letter
case and under Unicode folding (`Bindſ` is `Binds`). Whatever two readers could read differently is refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl

LABEL = "io.groundtruth"
LABEL_NAME = re.compile(r"io\.groundtruth(?:\.[a-z][a-z0-9_.-]*)?")
LONGEST_INTEGER = 19

VERSION = r"(?:/v1\.[0-9]{1,3})?"
CONTAINER = r"/containers/(?P<name>[0-9a-f]{12,64})"
SWITCH = r"0|1|[Tt]rue|[Ff]alse"
SECONDS = r"[0-9]{1,3}"
TIME = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"


class RefusedError(Exception):
    """A request breaks a rule; the response is 403.

    Args:
        rule: Name of the rule, for filters of the log.
        sentence: The parameter or key, and what it must be.
    """

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(sentence)
        self.rule = rule


@dataclass(frozen=True)
class Call:
    """A call of the engine's API that steps need.

    Args:
        name: The project's name of the call.
        method: HTTP method.
        path: Pattern of its path after the version; the group `name` is the container or image in it.
        query: Pattern of each query parameter that is allowed.
    """

    name: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)


LIST_QUERY = {"all": SWITCH, "limit": "-1", "size": "0", "trunc_cmd": "0", "filters": r".{1,4096}"}
LOGS_QUERY = {
    **dict.fromkeys(("stdout", "stderr", "timestamps", "follow"), SWITCH),
    "tail": "all|[0-9]{1,9}",
    "since": TIME,
    "until": TIME,
}
CALLS = (
    Call("ping", "GET", "/_ping"),
    Call("version", "GET", "/version"),
    Call("image", "GET", "/images/(?P<name>[a-z0-9][A-Za-z0-9._/:-]{0,250})/json"),
    Call("create", "POST", "/containers/create"),
    Call("list", "GET", "/containers/json", LIST_QUERY),
    Call("inspect", "GET", f"{CONTAINER}/json"),
    Call("start", "POST", f"{CONTAINER}/start"),
    Call("logs", "GET", f"{CONTAINER}/logs", LOGS_QUERY),
    Call("wait", "POST", f"{CONTAINER}/wait"),
    Call("stop", "POST", f"{CONTAINER}/stop", {"t": SECONDS}),
    Call("remove", "DELETE", CONTAINER, {"v": SWITCH, "force": SWITCH, "link": "[Ff]alse|0"}),
)


def match_call(method: str, path: str) -> tuple[Call, str]:
    """Return the call of a request line, and the container or image that it names (or an empty string).

    Raises:
        RefusedError: The request line is none of `CALLS`.
    """
    for call in CALLS:
        if call.method == method and (match := re.fullmatch(VERSION + call.path, path, re.ASCII)):
            return call, match.groupdict().get("name") or ""
    raise RefusedError("call", "no step needs this call")


def parse_query(call: Call, text: str) -> dict[str, str]:
    """Return the query parameters of a call.

    Raises:
        RefusedError: A parameter is unknown, repeated or malformed; the sentence names it.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=10, errors="strict")
    except ValueError:
        raise RefusedError("query", "the query must be name=value pairs") from None
    query: dict[str, str] = {}
    for name, value in pairs:
        if name not in call.query or name in query:
            raise RefusedError("query", f"{name[:40]!a}: must be a parameter of this call, and must not be repeated")
        if not re.fullmatch(call.query[name], value, re.ASCII):
            raise RefusedError("query", f"{name}: must match {call.query[name]}")
        query[name] = value
    return query


def restrict_filters(text: str) -> str:
    """Return the filters of a list call, restricted to containers of steps.

    Args:
        text: JSON such as `{"label": ["io.groundtruth.run=…"]}`, or an empty string.

    Raises:
        RefusedError: A filter is not a label of this project.
    """
    filters = parse_json(text.encode()) if text else {}
    labels = filters.pop("label", [])
    if filters or not isinstance(labels, list):
        raise RefusedError("query", "filters: must be a list of labels")
    for label in labels:
        if not isinstance(label, str) or not LABEL_NAME.fullmatch(label.partition("=")[0]):
            raise RefusedError("query", f"filters: each label must begin with {LABEL}")
    return json.dumps({"label": sorted({*labels, f"{LABEL}=step"})})


def parse_json(text: bytes) -> dict[str, Any]:
    """Return the only object that a JSON text can mean.

    Raises:
        RefusedError: The text is not a JSON object, or has a repeated key, a key that is not printable ASCII, a
            fraction, NaN, an integer of more than 19 digits, NUL or an unpaired surrogate; the sentence names it.
    """
    try:
        document = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            parse_int=_integer,
        )
    except UnicodeDecodeError:
        raise RefusedError("json", "the body must be UTF-8") from None
    except RecursionError:
        raise RefusedError("json", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise RefusedError("json", f"the body must be JSON: {error.msg}") from None
    if not isinstance(document, dict):
        raise RefusedError("json", "the body must be a JSON object")
    return document


def check_keys(name: str, document: Any, required: set[str], optional: Collection[str] = ()) -> None:
    """Raise RefusedError unless a value is an object with all required keys and none but these and the optional ones.

    Args:
        name: The path of the object in the request; empty for the request itself.
        document: The value.
        required: Keys that it must have.
        optional: Keys that it may have.
    """
    if not isinstance(document, dict):
        raise RefusedError("create", f"{name}: must be an object")
    prefix = f"{name}." if name else ""
    for key in document:
        if key not in required and key not in optional:
            raise RefusedError("create", f"{prefix}{key}: a step's container must not have this key")
    for key in sorted(required):
        if key not in document:
            raise RefusedError("create", f"{prefix}{key}: is missing")


def check_values(prefix: str, document: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    """Raise RefusedError unless an object has these values, of the same types (`True` is not 1)."""
    for key, value in allowed.items():
        if type(document[key]) is not type(value) or document[key] != value:
            raise RefusedError("create", f"{prefix}{key}: must be {value!r}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if not (key.isascii() and key.isprintable()):
            raise RefusedError("json", f"the key {key!a} must be printable ASCII")
        if key in document:
            raise RefusedError("json", f"the key {key!r} must not be repeated")
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and ("\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)):
                raise RefusedError("json", f"{key}: must not hold NUL or an unpaired surrogate")
        document[key] = value
    return document


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > LONGEST_INTEGER:
        raise RefusedError("json", f"a number must not have more than {LONGEST_INTEGER} digits")
    return int(digits)


def _refuse_number(text: str) -> NoReturn:
    raise RefusedError("json", f"the number {text[:20]} must be an integer")
