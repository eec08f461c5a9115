"""Calls `./pipeline` in the test's own process, Airflow included: as a command it takes many seconds to start."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from typer.testing import CliRunner

from include.cli.app import app
from include.core.settings import get_settings
from tests.airflow_runs import run_dag


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def call_pipeline(*arguments: object) -> Ended:
    """Run `./pipeline` with these arguments under the settings of the environment."""
    get_settings.cache_clear()
    with patch("include.cli.run.run_airflow", run_airflow_here):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return Ended(result.exit_code, result.stdout, result.stderr)


def run_airflow_here(
    dag_id: str,
    params: dict[str, Any],
    folder: Path,
    environment: Mapping[str, str],
    watch: Callable[[], None],
    stopping: Callable[[], None],
) -> tuple[int, bool]:
    """Do what `include.cli.run.run_airflow` does, without a process; Airflow's log is that of the test."""
    folder.mkdir(parents=True)
    settings = {"GROUNDTRUTH_RUN_FOLDER": str(folder), "GROUNDTRUTH_INPUT_DIRS": "/"}
    with (
        patch.dict(os.environ, {**environment, **settings}),
        contextlib.redirect_stdout(sys.__stdout__),
        contextlib.redirect_stderr(sys.__stderr__),
    ):
        outcome = run_dag(dag_id, params)
    get_settings.cache_clear()
    watch()
    return int(outcome.state != "success"), False
