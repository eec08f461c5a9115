"""A definition's form (types, keys, paths, limits): every fault in words, and what is left to check the graph on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from include.core.definitions.document import Fault, json_path, kind
from include.core.definitions.shapes import (
    LinkedContainer,
    LinkedShape,
    ListContainer,
    ListShape,
    RecordFiles,
    Service,
)

Loc = tuple[int | str, ...]


@dataclass(frozen=True)
class Form:
    """What a document says, as far as it is usable.

    Args:
        shape: What is left when everything faulty is taken out.
        faults: What was faulty.
        lost: Where something was taken out.
    """

    shape: ListShape | LinkedShape
    faults: list[Fault]
    lost: frozenset[Loc]

    def lacks(self, *fields: str) -> bool:
        """Whether one of these keys was taken out somewhere: a check that needs them would raise false alarms."""
        return any(loc[-1] in fields for loc in self.lost)


def read_form(document: Mapping[str, Any]) -> Form:
    """Check a definition's form.

    Args:
        document: The parsed JSON object, of either shape.
    """
    linked = isinstance(document.get("containers"), Mapping) or "start_node" in document
    model: type[ListShape | LinkedShape] = LinkedShape if linked else ListShape
    try:
        return Form(model.model_validate(document), [], frozenset())
    except ValidationError as error:
        errors = error.errors(include_url=False)
    faults = [Fault(json_path(document, error["loc"]), _sentence(error, model)) for error in errors]
    lost = frozenset(error["loc"][: _DEPTH.get(error["loc"][0], 1)] for error in errors)
    return Form(model.model_validate(_without(document, lost, linked=linked)), faults, lost)


_DEPTH: dict[int | str, int] = {"containers": 3, "service_registry": 2}


def _without(document: Mapping[str, Any], lost: Iterable[Loc], *, linked: bool) -> dict[str, Any]:
    """The document without what is at these places, but with stand-ins for what no document can lack."""
    usable = deepcopy(dict(document))
    for *parents, key in lost:
        match parents:
            case ["containers"]:
                usable["containers"][key] = {}
            case ["containers", container]:
                usable["containers"][container].pop(key, None)
            case ["service_registry"]:
                usable["service_registry"].pop(key)
            case _:
                usable.pop(str(key), None)
    usable.setdefault("workflow_name", "unnamed")
    if linked:
        return {"start_node": "", "containers": {}} | usable
    for index, container in enumerate(usable.setdefault("containers", [])):
        container.setdefault("id", f"unnamed-container-{index}")
    return usable


def _keys(loc: Loc, top: type[BaseModel]) -> list[str]:
    """The keys that are known at the place where an unknown one was found."""
    match loc:
        case ("containers", _, _):
            model: type[BaseModel] = LinkedContainer if top is LinkedShape else ListContainer
        case (*_, "records", _):
            model = RecordFiles
        case ("service_registry", *_):
            model = Service
        case _:
            model = top
    return [field.alias or name for name, field in model.model_fields.items()]


def _sentence(error: ErrorDetails, top: type[BaseModel]) -> str:  # noqa: PLR0911
    """A pydantic error in our words, with the mend."""
    loc, ctx, found = error["loc"], error.get("ctx", {}), error["input"]
    match error["type"]:
        case "value_error":
            return str(ctx["error"])
        case "extra_forbidden":
            known = _keys(loc, top)
            near = difflib.get_close_matches(str(loc[-1]), known, n=1)
            return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(known)}"
        case "missing":
            return "is missing; add it"
        case "literal_error":
            return f"must be {ctx['expected']}, not {_shown(found)}"
        case "string_pattern_mismatch":
            return _PATTERNS.get(str(loc[-1]), _PATTERNS["id"])
        case "greater_than_equal":
            return f"must be at least {ctx['ge']:g}, not {_shown(found)}"
        case "less_than_equal":
            return f"must be at most {ctx['le']:g}, not {_shown(found)}"
        case other:
            return f"must be {_TYPES[other]}, not {_shown(found)}" if other in _TYPES else error["msg"]


_TYPES = {
    "string_type": "a string",
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
    "id": NAME_RULE,
    "workflow_name": "must begin with a letter or digit and hold only letters, digits, spaces, '_' and '-', "
    "at most 100 of them; it becomes the DAG's id",
    "image": "is no image name; write it as repository:tag",
}


def _shown(value: object) -> str:
    """A value in a sentence: short ones as they are, others by their kind."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(repr(value)) > 60 or value == "":
        return kind(value)
    return repr(value)
