"""Airflow as a child process in a session of its own: it logs to a file, and only we decide when it is interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from include.core.errors import SetupError
from include.core.run_folder import INTERRUPTED_MARK
from include.core.settings import ROOT, get_settings

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 60
AIRFLOW_HOME = ROOT / ".airflow"


def run_airflow(
    dag_id: str, params: dict[str, Any], folder: Path, environment: Mapping[str, str], watch: Callable[[], None]
) -> tuple[int, bool]:
    """Run one DAG to its end with `airflow dags test`, on a database of its own.

    Args:
        dag_id: What to run.
        params: The run's params.
        folder: The run folder; Airflow's log goes to `airflow.log` in it.
        environment: More settings of the run.
        watch: Called ten times a second while it runs.

    Returns:
        Its exit code, and whether it was interrupted.

    Raises:
        SetupError: The run folder cannot be written.
    """
    database = folder / ".airflow.db"
    try:
        folder.mkdir(parents=True)
        shutil.copyfile(AIRFLOW_HOME / "template.db", database)
        log = (folder / "airflow.log").open("wb")
    except OSError as error:
        raise SetupError(f"{folder}: cannot be written: {error.strerror}") from error
    command = [str(Path(sys.executable).with_name("airflow")), "dags", "test", dag_id, "--conf", json.dumps(params)]
    try:
        with log, _Signals() as signals:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter's airflow
                command,
                cwd=ROOT,
                env=_environment(database, folder) | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = _wait(process, folder, signals, watch)
            except BaseException:  # nobody watches any longer: a closed terminal, an output that cannot be written
                signals.received = True
                _wait(process, folder, signals, lambda: None)
                raise
        return code, signals.received
    finally:
        for leftover in folder.glob(".airflow.db*"):
            leftover.unlink()


def _environment(database: Path, folder: Path) -> dict[str, str]:
    return os.environ | {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "GROUNDTRUTH_RUN_FOLDER": str(folder),
        "GROUNDTRUTH_DATA_DIR": str(get_settings().data_dir.resolve()),
        "GROUNDTRUTH_DEFINITIONS_DIR": str(get_settings().definitions_dir.resolve()),
        "GROUNDTRUTH_INPUT_DIRS": "/",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "NO_COLOR": "1",
    }


class _Signals:
    """Notes SIGINT, SIGTERM and, unless `nohup` ignores it, SIGHUP instead of dying of them."""

    def __init__(self) -> None:
        self.received = False

    def __enter__(self) -> _Signals:
        stopping = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            stopping.append(signal.SIGHUP)
        self._before = {number: signal.signal(number, self._note) for number in stopping}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True


def _wait(process: subprocess.Popen[bytes], folder: Path, signals: _Signals, watch: Callable[[], None]) -> int:
    patience = PATIENCE_SECONDS / POLL_SECONDS
    told = False
    while True:
        try:
            return process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            watch()
        if signals.received and not told:
            with suppress(OSError):  # somebody removed the run's folder
                (folder / INTERRUPTED_MARK).touch()
            process.send_signal(signal.SIGINT)
            told = True
        if told:
            patience -= 1
            if patience == 0:
                os.killpg(process.pid, signal.SIGKILL)
