"""Compare what a document states with what was derived again."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel

from include.core.errors import ContractError

ROUNDING = 1e-9
"""The same sum in another order differs by less."""


def check_stated(name: str, stated: BaseModel, recomputed: BaseModel) -> None:
    """Check that a document states what was derived again; numbers may differ by rounding.

    Args:
        name: Its file.
        stated: What it holds.
        recomputed: What it must hold.

    Raises:
        ContractError: Names the first field that differs, with both values.
    """
    difference = _difference("$", stated.model_dump(mode="json"), recomputed.model_dump(mode="json"))
    if difference is not None:
        field, one, other = difference
        raise ContractError(
            name,
            f"must state what follows from the run's predictions, data and parameters: {field} is {other!r}",
            repr(one),
            hint="The step that wrote the file states something else than its own artifacts show.",
        )


def _difference(field: str, one: Any, other: Any) -> tuple[str, Any, Any] | None:
    """Return the first field that differs, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = [*one, *(name for name in other if name not in one)]
        parts = [(f"{field}.{name}", one.get(name), other.get(name)) for name in names]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [(f"{field}[{number}]", *pair) for number, pair in enumerate(zip(one, other, strict=True))]
    elif isinstance(one, float) and isinstance(other, float | int):
        return None if math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING) else (field, one, other)
    else:
        return None if one == other else (field, one, other)
    return next(filter(None, (_difference(*part) for part in parts)), None)
