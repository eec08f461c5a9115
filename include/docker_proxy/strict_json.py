"""JSON that has one meaning only.

The engine decodes leniently: of repeated scalars the last wins, repeated objects merge, keys match in any letter case
and under Unicode folding (`Bindſ` is `Binds`). What two readers could read differently is refused here.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from include.docker_proxy.refusal import Refused

DIGITS = 19


def parse(text: bytes) -> dict[str, Any]:
    """The object that a request's text stands for.

    Raises:
        Refused: It is no JSON object, or has a repeated key, a key that is not plain ASCII, a fraction, NaN, a number
            of more than 19 digits, a NUL or half a surrogate pair; names it.
    """
    try:
        document = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_fraction,
            parse_constant=_fraction,
            parse_int=_integer,
        )
    except UnicodeDecodeError:
        raise Refused("json", "the body must be UTF-8") from None
    except RecursionError:
        raise Refused("json", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Refused("json", f"the body must be JSON: {error.msg}") from None
    if not isinstance(document, dict):
        raise Refused("json", "the body must be a JSON object")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if not (key.isascii() and key.isprintable()):
            raise Refused("json", f"the key {key!a} must be plain ASCII")
        if key in found:
            raise Refused("json", f"the key {key!r} must not be repeated")
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                _one_meaning(key, text)
        found[key] = value
    return found


def _one_meaning(key: str, text: str) -> None:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Refused("json", f"{key}: must not hold NUL or half a surrogate pair")


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise Refused("json", f"a number must not have more than {DIGITS} digits")
    return int(digits)


def _fraction(text: str) -> NoReturn:
    raise Refused("json", f"the number {text[:20]} must be whole")
