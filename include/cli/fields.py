"""The fields of models in words: what they hold, their bounds, their defaults."""

from __future__ import annotations

import json
import types
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, NaiveDatetime
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from include.core.settings import ROOT

TYPES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    AwareDatetime: "time with zone",
    datetime: "time with zone",
    NaiveDatetime: "local time",
    date: "date",
}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤"}


def bare_type(annotation: Any) -> Any:
    """Return a type without what validates it, and without None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return bare_type(next(option for option in get_args(annotation) if option is not type(None)))
    return annotation


def field_value(field: FieldInfo) -> str:
    """Return what a field holds, in words, with its bounds."""
    limits = [
        f"{sign} {_number(getattr(limit, name))}"
        for limit in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(limit, name)
    ]
    nothing = type(None) in get_args(field.annotation)
    return _kind(field.annotation) + (f" {', '.join(limits)}" if limits else "") + (", or null" if nothing else "")


def _kind(annotation: Any) -> str:
    bare = bare_type(annotation)
    match get_origin(bare):
        case _ if bare in TYPES:
            return TYPES[bare]
        case origin if origin is Literal:
            return " or ".join(f"`{value}`" for value in get_args(bare))
        case origin if origin in (list, tuple):
            return f"list ({_kind(get_args(bare)[0])})"
        case _:
            return "any" if bare is Any else "object"


def field_default(field: FieldInfo) -> str:
    """Return a field's default, between backquotes, or words where it has none."""
    value: Any = field.default
    if value is PydanticUndefined:
        return "see its meaning" if field.default_factory else "none"
    if isinstance(value, Path):
        return f"`{value.relative_to(ROOT).as_posix() if value.is_relative_to(ROOT) else value}`"
    if value in (None, "", ()):
        return "none"
    return f"`{json.dumps(value).strip(chr(34))}`"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
