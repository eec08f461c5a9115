"""Runs a step as a program: `python -m include.energy energy-analyzer`, in a container or by hand.

Environment: `DATA_DIR` is the run's `files/` folder (default `/data`), `STEP_PARAMS` the parameters as JSON. A fault is
one line, `error: …`, on stderr and an exit code that tells its kind, so that the orchestrator treats it alike in every
runtime. With `STEP_LOG` every line is a JSON object (`include.core.step_log`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from include.core.contracts import Step
from include.core.errors import BadInputError, GroundtruthError, explain
from include.core.recording import as_known_error
from include.core.step_log import LOG, step_log


def main(package: str, steps: Mapping[str, Step]) -> int:
    """What `python -m <package> STEP` does.

    Args:
        package: As it was called.
        steps: Its steps by id.
    """
    name, *index = sys.argv[1:] or [""]
    step = steps.get(name)
    if step is None or len(index) != step.mapped or not all(map(str.isdecimal, index)):
        names = "|".join(f"{step.id} INDEX" if step.mapped else step.id for step in steps.values())
        raise SystemExit(f"usage: python -m {package} {names}")
    return run_step_main(step.instance(int(index[0])) if index else step)


def run_step_main(step: Step) -> int:
    """Run a step with what the environment says; the exit code is 0, or that of the error's kind."""
    files = Path(os.environ.get("DATA_DIR", "/data"))
    with step_log() as as_json:
        try:
            try:
                params = step.params.model_validate_json(os.environ.get("STEP_PARAMS", "{}"))
            except ValidationError as error:
                raise BadInputError(explain(error)) from error
            step.load()(files, params)
        except BaseException as error:
            explained = as_known_error(error)
            if isinstance(explained, GroundtruthError):
                message = f"error: {' '.join(str(explained).split())}"
                LOG.error("%s", message) if as_json else sys.stderr.write(f"{message}\n")
                return explained.exit_code
            if not as_json:
                raise
            LOG.critical("%s: %s", type(error).__name__, error, exc_info=True)
            return 1
    return 0
