"""A definition file as JSON: what is wrong with it is said with its place."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.core.errors import BadInputError


@dataclass(frozen=True)
class Fault:
    """One thing to mend.

    Args:
        path: Where, as a JSON path (`$.containers[1].depends_on[0]`).
        message: What is wrong and how to mend it.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class DefinitionError(BadInputError):
    """A pipeline definition that cannot be used, with every fault in it.

    Args:
        file: The definition file.
        faults: At least one.
    """

    def __init__(self, file: Path, faults: Sequence[Fault]) -> None:
        self.file = file
        self.faults = [Fault(_printable(fault.path), _printable(fault.message)) for fault in faults]
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n  ".join([f"{file}: {count} in this pipeline definition", *map(str, self.faults)]))


class _Object(dict[str, Any]):
    """A JSON object that remembers the keys that it was given twice."""

    repeated: frozenset[str] = frozenset()


def read_document(file: Path) -> tuple[dict[str, Any], list[Fault]]:
    """Parse a definition file.

    Returns:
        The document, and the faults that do not keep one from reading on (keys given twice, unprintable text).

    Raises:
        DefinitionError: The file cannot be read or is no JSON object.
    """
    try:
        document = json.loads(file.read_bytes().decode("utf-8-sig"), object_pairs_hook=_object)
        faults = list(_text_faults(document, ()))
    except OSError as error:
        raise DefinitionError(file, [Fault("$", f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise DefinitionError(file, [Fault("$", f"is not UTF-8 at byte {error.start}; save it as UTF-8")]) from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DefinitionError(file, [Fault("$", f"is no JSON: {error.msg} at {place}")]) from error
    except RecursionError as error:
        raise DefinitionError(file, [Fault("$", "is nested too deeply")]) from error
    except ValueError as error:
        raise DefinitionError(file, [Fault("$", f"is no usable JSON: {error}")]) from error
    if not isinstance(document, dict):
        raise DefinitionError(file, [Fault("$", f"must be a JSON object, not {kind(document)}")])
    return document, [Fault(json_path(document, loc), message) for loc, message in faults]


def json_path(document: object, loc: Sequence[int | str]) -> str:
    """A place in a document as a JSON path; it ends early where one string stands for a list or an object.

    >>> json_path({"containers": [{"my id": 1}]}, ("containers", 0, "my id"))
    "$.containers[0]['my id']"
    """
    path, here = "$", document
    for part in loc:
        if isinstance(here, str):
            break
        if isinstance(part, str) and re.fullmatch(r"[A-Za-z_]\w*", part, re.ASCII):
            path += f".{part}"
        else:
            path += f"[{part!r}]"
        try:
            here = here[part]  # type: ignore[index]
        except (LookupError, TypeError):
            here = None
    return path


def kind(value: object) -> str:
    """What JSON calls a value, for a sentence."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string" if value else "an empty string"
        case list():
            return "a list" if value else "an empty list"
        case _:
            return "an object"


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    result = _Object(pairs)
    if len(result) < len(pairs):
        result.repeated = frozenset(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return result


def _text_faults(value: object, loc: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    items: list[tuple[int | str, object]] = []
    match value:
        case str() if "\0" in value or not _encodable(value):
            yield loc, "holds a character that no file or program can take (NUL or half a surrogate pair); remove it"
        case list():
            items = list(enumerate(value))
        case Mapping():
            items = list(value.items())
            for key in sorted(getattr(value, "repeated", ())):
                yield (*loc, key), "this key is given more than once, of which only the last would count; keep one"
    for key, item in items:
        yield from _text_faults(item, (*loc, key))


def _encodable(text: str) -> bool:
    return _printable(text) == text


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
