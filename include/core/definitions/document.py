"""Reading a definition file: JSON, then its format; every fault is reported with its JSON path."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from include.core.definitions.model import (
    ColumnRange,
    LinkedContainer,
    LinkedDocument,
    ListContainer,
    ListDocument,
    OutputChecks,
    ParamSpec,
    RecordFiles,
    RowsRelation,
    ScheduleSpec,
    Service,
    ServiceAddress,
)
from include.core.errors import BadInputError

Location = tuple[int | str, ...]
"""Where a value stands in a document: keys and indices from its root."""


@dataclass(frozen=True)
class Fault:
    """One fault of a definition file.

    Args:
        path: JSON path (`$.containers[1].depends_on[0]`).
        message: What is wrong and how to fix it.
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


@dataclass(frozen=True)
class ParsedFile:
    """A definition file, as far as it is valid.

    Args:
        content: The JSON object as it was read.
        document: The document without its invalid parts.
        faults: Faults of the JSON text and of the format.
        removed: Locations of the invalid parts.
    """

    content: Mapping[str, Any]
    document: ListDocument | LinkedDocument
    faults: tuple[Fault, ...] = ()
    removed: frozenset[Location] = frozenset()

    def path(self, *location: int | str) -> str:
        """Return the JSON path of a location in this file."""
        return json_path(self.content, location)

    def is_complete(self, *keys: str) -> bool:
        """Return whether no value of these keys was removed: without them, other checks would raise false alarms."""
        return all(location[-1] not in keys for location in self.removed)


def read_file(file: Path) -> ParsedFile:
    """Read a definition file of either format.

    Raises:
        DefinitionError: The file cannot be read or is not a JSON object.
    """
    content, faults = _read_json(file)
    return _validated(content, faults)


def read_object(file: Path) -> Mapping[str, Any]:
    """Read a JSON object, in which no key appears twice.

    Raises:
        DefinitionError: The file cannot be read or is not a JSON object.
    """
    content, faults = _read_json(file)
    if faults:
        raise DefinitionError(file, faults)
    return content


def _read_json(file: Path) -> tuple[Mapping[str, Any], list[Fault]]:
    """Return the object of a file, and the faults of its text."""
    try:
        content = json.loads(file.read_bytes().decode("utf-8-sig"), object_pairs_hook=_object)
        faults = list(_text_faults(content, ()))
    except OSError as error:
        raise DefinitionError(file, [Fault("$", f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise DefinitionError(file, [Fault("$", f"is not UTF-8 at byte {error.start}; save it as UTF-8")]) from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DefinitionError(file, [Fault("$", f"is not valid JSON: {error.msg} at {place}")]) from error
    except RecursionError as error:
        raise DefinitionError(file, [Fault("$", "is nested too deeply")]) from error
    except ValueError as error:
        raise DefinitionError(file, [Fault("$", f"is not usable JSON: {error}")]) from error
    if not isinstance(content, dict):
        raise DefinitionError(file, [Fault("$", f"must be a JSON object, not {_kind(content)}")])
    return content, [Fault(json_path(content, location), message) for location, message in faults]


def json_path(content: object, location: Location) -> str:
    """Return a location as a JSON path; it ends early where one string stands for a list or an object.

    >>> json_path({"containers": [{"my id": 1}]}, ("containers", 0, "my id"))
    "$.containers[0]['my id']"
    """
    path, value = "$", content
    for part in location:
        if isinstance(value, str):
            break
        is_name = isinstance(part, str) and re.fullmatch(r"[A-Za-z_]\w*", part, re.ASCII)
        path += f".{part}" if is_name else f"[{part!r}]"
        try:
            value = value[part]  # type: ignore[index]
        except (LookupError, TypeError):
            value = None
    return path


def suggestion(name: str, names: Collection[str], otherwise: str) -> str:
    """Return the remedy for an unknown name: the name that comes close to it, or else another remedy.

    >>> suggestion("mesure", ["measure", "analyze"], "add it")
    "did you mean 'measure'?"
    """
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise


# ── the text ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Object(dict[str, Any]):
    """A JSON object that remembers its repeated keys."""

    repeated: frozenset[str] = frozenset()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    result = _Object(pairs)
    if len(result) < len(pairs):
        result.repeated = frozenset(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return result


def _text_faults(value: object, location: Location) -> Iterator[tuple[Location, str]]:
    items: list[tuple[int | str, object]] = []
    match value:
        case str() if "\0" in value or _printable(value) != value:
            yield location, "contains NUL or an unpaired surrogate, which no file name or command can hold; remove it"
        case list():
            items = list(enumerate(value))
        case Mapping():
            items = list(value.items())
            for key in sorted(getattr(value, "repeated", ())):
                yield (*location, key), "this key appears more than once, but only the last value counts; keep one"
    for key, item in items:
        yield from _text_faults(item, (*location, key))


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


# ── the format ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _validated(content: Mapping[str, Any], faults: list[Fault]) -> ParsedFile:
    """Validate the keys, types, paths and limits of a document."""
    linked = isinstance(content.get("containers"), Mapping) or "start_node" in content
    model: type[ListDocument | LinkedDocument] = LinkedDocument if linked else ListDocument
    try:
        return ParsedFile(content, model.model_validate(content), tuple(faults))
    except ValidationError as error:
        errors = error.errors(include_url=False)
    faults += [Fault(json_path(content, _place(error)), sentence(error, model)) for error in errors]
    removed = frozenset(error["loc"][: _REMOVAL_DEPTH.get(error["loc"][0], 1)] for error in errors)
    document = model.model_validate(_without(content, removed, linked=linked))
    return ParsedFile(content, document, tuple(faults), removed)


def _place(error: ErrorDetails) -> Location:
    """Return where an error stands; pydantic puts `[key]` behind a key that is itself at fault."""
    return error["loc"][:-1] if error["loc"][-1:] == ("[key]",) else error["loc"]


_REMOVAL_DEPTH: dict[int | str, int] = {"containers": 3, "service_registry": 2, "services": 2}


def _without(content: Mapping[str, Any], removed: Iterable[Location], *, linked: bool) -> Any:
    """The content without what is at these locations, but with placeholders for required keys."""
    valid: Any = deepcopy(dict(content))
    for *parents, key in removed:
        parent = reduce(getitem, parents, valid)
        if parents == ["containers"]:
            parent[key] = {}
        else:
            parent.pop(key, None)
    valid.setdefault("workflow_name", "unnamed")
    if linked:
        return {"start_node": "", "containers": {}} | valid
    for index, container in enumerate(valid.setdefault("containers", [])):
        container.setdefault("id", f"unnamed-container-{index}")
    return valid


def _allowed_keys(location: Location, root: type[BaseModel]) -> list[str]:
    """The keys that are allowed where an unknown one stands."""
    match location:
        case ("containers", _, _):
            model: type[BaseModel] = LinkedContainer if root is LinkedDocument else ListContainer
        case ("params", _, _):
            model = ParamSpec
        case ("schedules", _, _):
            model = ScheduleSpec
        case (*_, "records", _):
            model = RecordFiles
        case (*_, "ranges", _, _):
            model = ColumnRange
        case (*_, "rows", _):
            model = RowsRelation
        case ("containers", _, "checks", _, _):
            model = OutputChecks
        case ("service_registry", *_):
            model = Service
        case ("services", *_):
            model = ServiceAddress
        case _:
            model = root
    return [field.alias or name for name, field in model.model_fields.items()]


def sentence(error: ErrorDetails, root: type[BaseModel]) -> str:
    """Return a pydantic error as a sentence, with the remedy.

    Args:
        error: Of a document, or of a part of it.
        root: The model of the document.
    """
    location, context, value = error["loc"], error.get("ctx", {}), _shown(error["input"])
    match error["type"]:
        case "value_error":
            return str(context["error"])
        case "extra_forbidden":
            allowed = _allowed_keys(location, root)
            return "unknown key; " + suggestion(str(location[-1]), allowed, f"use one of {', '.join(allowed)}")
        case "missing":
            return "is missing; add it"
        case "string_pattern_mismatch":
            return _PATTERNS.get(next((key for key in reversed(location) if isinstance(key, str)), ""), NAME_RULE)
        case other:
            rule = _RULES.get(other)
            return f"must be {rule.format(**context)}, not {value}" if rule else error["msg"]


_RULES = {
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "at most {le:g}",
    "string_type": "a string",
    "string_too_short": "a string that is not empty",
    "too_short": "a list that is not empty",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}

NAME_RULE = (
    "must begin with a letter or digit and hold only letters, digits, '.', '_' and '-', at most 200 of them; "
    "it becomes the Airflow task id"
)
_PATTERNS = {
    "workflow_name": "must begin with a letter or digit and hold only letters, digits, spaces, '_' and '-', "
    "at most 100 of them; it becomes the DAG's id",
    "image": "is not an image name; write it as repository:tag",
    "function": "must be FILE:FUNCTION, the file in a folder beside the definition: steps/totals.py:write_totals",
    "name": "must be small letters, digits and _, at most 40 of them; it becomes part of the DAG's id",
    **dict.fromkeys(
        ("network", "pool", "triggers"), "must begin with a letter or digit and hold only those, '.', '_' and '-'"
    ),
    "address": "is not the address of a service; write it as host:port, or https://host:port for TLS",
    "url": "is not the address of a service; write it as http://host:port or https://host:port",
}


def _shown(value: object) -> str:
    """A value in a sentence: short ones as they are, others by their type."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(repr(value)) > 60 or value == "":
        return _kind(value)
    return repr(value)


def _kind(value: object) -> str:
    """Return the JSON type of a value, for a sentence."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if value in ("", []):
        return "an empty string" if value == "" else "an empty list"
    return {int: "a number", float: "a number", str: "a string", list: "a list"}.get(type(value), "an object")
