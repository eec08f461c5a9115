"""Where steps run: one module a runtime, one entry in `RUNTIMES` of `include/core/settings.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.core.contracts import imported
from include.core.settings import RUNTIMES, get_settings

if TYPE_CHECKING:
    from plugins.steps.runtimes.base import StepOperator


def runtime_class(name: str | None = None) -> type[StepOperator]:
    """Return the operator of a runtime, imported now.

    Args:
        name: A key of `RUNTIMES`; default `GROUNDTRUTH_RUNTIME`.
    """
    operator: type[StepOperator] = imported(RUNTIMES[name or get_settings().runtime])
    return operator
