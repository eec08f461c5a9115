"""The door's log: one JSON object a line on standard output. HAProxy writes its own refusals with the same keys."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def write(verdict: str, *, peer: str, method: str, path: str, rule: str = "", message: str = "") -> None:
    """Write one line.

    Args:
        verdict: `refused`, `passed`, `failed` (the engine did not answer) or `started`.
        peer: Address of the worker, as HAProxy saw it.
        method: HTTP method.
        path: Path and query as they came.
        rule: Name of the rule that was broken.
        message: What was wrong.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "by": "policy",
        "verdict": verdict,
        "peer": peer,
        "method": method,
        "path": path,
        "rule": rule,
        "message": message,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
