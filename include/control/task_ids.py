"""The id of a task, computed from what it is: whoever has the same work to do asks for the same task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from include.control.models import TaskKeys


def task_id(
    keys: TaskKeys, *, operation: str, inputs: Mapping[str, str], params: Mapping[str, Any], definition: str | None
) -> str:
    """Return the id of a task, as 64 hexadecimal digits.

    An attempt whose worker died between submitting and remembering finds its task again, and a clear, other inputs or
    another definition ask for another task.

    Args:
        keys: What the task is for.
        operation: The step with its version.
        inputs: Checksum of each file that the step reads, by path.
        params: What the step takes, as JSON values.
        definition: Checksum of the pipeline definition.
    """
    content = {
        "keys": keys.model_dump(mode="json"),
        "operation": operation,
        "inputs": dict(inputs),
        "params": dict(params),
        "definition": definition,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
