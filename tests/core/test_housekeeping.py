"""Housekeeping: a dry run states what the next one removes, and nothing that is young or needed goes."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.core.errors import SetupError
from include.core.housekeeping import Expired, Tidied, expired, size_of, tidy
from include.core.settings import Settings
from include.domains import DOMAINS
from tests.core.test_publications import published

NOW = datetime(2026, 6, 30, tzinfo=UTC)


def aged(path: Path, days: float) -> Path:
    """Let a file, or a folder with all that is in it, have changed so many days ago."""
    then = (NOW - timedelta(days=days)).timestamp()
    for inner in (*path.rglob("*"), path):
        os.utime(inner, (then, then))
    return path


def write(path: Path, days: float, size: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return aged(path, days)


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    """Runs, replaced publications and logs, of 1, 40 and 400 days ago."""
    for days in (1, 40, 400):
        write(tmp_path / f"data/runs/energy_pipeline/{days}/run.json", days)
        aged(tmp_path / f"data/runs/energy_pipeline/{days}", days)
        aged(published(tmp_path / f"data/published/.replaced/energy/2026-01-01/{days}", day="1"), days)
        write(tmp_path / f"logs/dag_id=energy_pipeline/run_id={days}/task_id=report/attempt=1.log", days)
    aged(published(tmp_path / "data/published/energy/2026-01-01", day="1"), 400)
    return tmp_path


def removed(root: Path, *, dry_run: bool, **settings: int) -> dict[str, Tidied]:
    found = expired(Settings(data_dir=root / "data", **settings), (), NOW, logs=root / "logs")
    return {row.subject: row for row in tidy(found, dry_run=dry_run)}


def left(root: Path) -> list[str]:
    places = [*root.glob("data/runs/*/*"), *root.glob("data/published/.replaced/*/*/*"), *root.glob("logs/*/*")]
    return sorted(path.name for path in places)


def test_by_default_what_is_older_than_90_days_goes_and_published_results_stay(deployment):
    rows = removed(deployment, dry_run=False)
    assert {name: row.count for name, row in rows.items()} == {"runs": 1, "replaced publications": 1, "logs": 1}
    assert left(deployment) == ["1", "1", "40", "40", "run_id=1", "run_id=40"]
    assert (deployment / "data/published/energy/2026-01-01/day").exists()
    assert {row.count for row in removed(deployment, dry_run=False).values()} == {0}


def test_a_dry_run_removes_nothing_and_states_what_the_next_one_does(deployment):
    before = left(deployment)
    dry = removed(deployment, dry_run=True, keep_runs_days=30, keep_logs_days=30, keep_replaced_days=30)
    assert left(deployment) == before
    assert dry == removed(deployment, dry_run=False, keep_runs_days=30, keep_logs_days=30, keep_replaced_days=30)
    assert dry["logs"].sentence == "logs: 2 (0.0 MB), GROUNDTRUTH_KEEP_LOGS_DAYS=30"
    assert dry["logs"].bytes == 200
    assert left(deployment) == ["1", "1", "run_id=1"]


def test_with_0_days_all_stays(deployment):
    before = left(deployment)
    removed(deployment, dry_run=False, keep_runs_days=0, keep_logs_days=0, keep_replaced_days=0)
    assert left(deployment) == before


def test_what_a_domain_adds_is_removed_too(tmp_path):
    domain = replace(DOMAINS[0], housekeeping="tests.core.test_housekeeping:of_domain")
    [*_, row] = tidy(expired(Settings(data_dir=tmp_path), (domain,), NOW), dry_run=False)
    assert (row.subject, row.count) == ("things", 0)


def of_domain(data: Path, now: datetime) -> list[Expired]:
    assert now == NOW
    return [Expired("things", "GROUNDTRUTH_KEEP_THINGS_DAYS=1", (data / "vanished",))]


def test_what_cannot_be_removed_stops_nothing_and_is_an_error_at_the_end(tmp_path):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    good = write(tmp_path / "good", 1)
    subjects = [Expired("bad", "S=1", (tmp_path / "a", tmp_path / "b"), refuse), Expired("good", "S=1", (good,))]
    with pytest.raises(SetupError, match="a: cannot be removed: Permission denied; and 1 more"):
        list(tidy(subjects, dry_run=False))
    assert not good.exists()


def test_the_size_of_a_folder_is_that_of_its_files_and_a_vanished_one_has_none(tmp_path):
    write(tmp_path / "a/b", 1, size=70)
    assert size_of(tmp_path / "a/b") == 70
    assert size_of(tmp_path / "a") == 70
    assert size_of(tmp_path / "gone") == 0
    assert Expired("a", "S=1", (tmp_path / "a",)).bytes == 70
