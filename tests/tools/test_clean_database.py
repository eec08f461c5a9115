"""Old runs leave Airflow's database, and a DAG that was not parsed for long does not."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tools.clean_database import TABLES, clean, counted

ROOT = Path(__file__).resolve().parents[2]


def test_the_rows_that_airflow_reports_are_counted_by_table():
    text = "Checking table job\nFound 3 rows meeting deletion criteria.\nFound 9 rows\nChecking table log\nFound 0 rows"
    assert counted(text) == {"job": 9, "log": 0}
    assert "dag" not in TABLES


def test_with_0_days_nothing_is_asked_of_airflow(monkeypatch, capsys):
    from include.core.settings import get_settings

    monkeypatch.setenv("GROUNDTRUTH_KEEP_DATABASE_DAYS", "0")
    get_settings.cache_clear()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("Airflow was started"))
    assert clean(dry_run=False) == 0
    assert "all runs stay" in capsys.readouterr().out


@pytest.mark.airflow
def test_old_rows_go_and_a_dry_run_says_which(tmp_path):
    database = tmp_path / "airflow.db"
    shutil.copy(ROOT / ".airflow" / "template.db", database)
    insert = "INSERT INTO log (dttm, event) VALUES ('2020-01-01 00:00:00.000000', 'old'), (datetime('now'), 'new')"
    with sqlite3.connect(database) as connection:
        connection.execute(insert)
    environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}"}

    def run(*options: str) -> str:
        command = [sys.executable, "-m", "tools.clean_database", *options]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    def events() -> set[str]:
        with sqlite3.connect(database) as connection:
            return {event for (event,) in connection.execute("SELECT event FROM log WHERE event IN ('old', 'new')")}

    assert "database: would remove log 1 (rows older than 90 days)" in run("--dry-run")
    assert events() == {"old", "new"}
    assert "database: removed log 1" in run()
    assert events() == {"new"}
