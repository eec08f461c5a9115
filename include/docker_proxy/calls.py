"""The calls that fit through the door, with their query parameters. All others are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from include.docker_proxy.create import LABEL, LABEL_NAME
from include.docker_proxy.refusal import Refused
from include.docker_proxy.strict_json import parse

VERSION = r"(?:/v1\.[0-9]{1,3})?"
CONTAINER = r"/containers/(?P<name>[0-9a-f]{12,64})"
SWITCH = r"0|1|[Tt]rue|[Ff]alse"
SECONDS = r"[0-9]{1,3}"
TIME = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"


@dataclass(frozen=True)
class Call:
    """One call of the engine's API.

    Args:
        name: Ours.
        method: HTTP method.
        path: Pattern of its path after the version; `name` is the container or image in it.
        query: Pattern of each parameter that may be given.
    """

    name: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)


CALLS = (
    Call("ping", "GET", "/_ping"),
    Call("version", "GET", "/version"),
    Call("image", "GET", "/images/(?P<name>[a-z0-9][A-Za-z0-9._/:-]{0,250})/json"),
    Call("create", "POST", "/containers/create"),
    Call(
        "list",
        "GET",
        "/containers/json",
        {"all": SWITCH, "limit": "-1", "size": "0", "trunc_cmd": "0", "filters": r".{1,4096}"},
    ),
    Call("inspect", "GET", f"{CONTAINER}/json"),
    Call("start", "POST", f"{CONTAINER}/start"),
    Call(
        "logs",
        "GET",
        f"{CONTAINER}/logs",
        {
            **dict.fromkeys(("stdout", "stderr", "timestamps", "follow"), SWITCH),
            "tail": "all|[0-9]{1,9}",
            "since": TIME,
            "until": TIME,
        },
    ),
    Call("wait", "POST", f"{CONTAINER}/wait"),
    Call("stop", "POST", f"{CONTAINER}/stop", {"t": SECONDS}),
    Call("remove", "DELETE", CONTAINER, {"v": SWITCH, "force": SWITCH, "link": "[Ff]alse|0"}),
)


def call_of(method: str, path: str) -> tuple[Call, str]:
    """Which call a request line is, and the container or image that it names (else an empty text).

    Raises:
        Refused: None of ours.
    """
    for call in CALLS:
        if call.method == method and (found := re.fullmatch(VERSION + call.path, path, re.ASCII)):
            return call, found.groupdict().get("name") or ""
    raise Refused("call", "no step needs this call")


def query_of(call: Call, text: str) -> dict[str, str]:
    """The query parameters of a call.

    Raises:
        Refused: One is unknown, repeated or in another form; names it.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=10, errors="strict")
    except ValueError:
        raise Refused("query", "the query must be name=value pairs") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in call.query or name in found:
            raise Refused("query", f"{name[:40]!a}: this call has no such parameter, or had it already")
        if not re.fullmatch(call.query[name], value, re.ASCII):
            raise Refused("query", f"{name}: must look like {call.query[name]}")
        found[name] = value
    return found


def own_filters(text: str) -> str:
    """Filters of a list, reduced to ours: containers that are steps, and have the labels that were asked for.

    Args:
        text: JSON such as `{"label": ["io.groundtruth.run=…"]}`, or nothing.

    Raises:
        Refused: It filters by anything else than labels of ours.
    """
    asked: dict[str, Any] = parse(text.encode()) if text else {}
    labels = asked.pop("label", [])
    if asked or not isinstance(labels, list):
        raise Refused("query", "filters: must be a list of labels")
    for label in labels:
        if not isinstance(label, str) or not LABEL_NAME.fullmatch(label.partition("=")[0]):
            raise Refused("query", f"filters: each label must begin with {LABEL}")
    return json.dumps({"label": sorted({*labels, f"{LABEL}=step"})})
