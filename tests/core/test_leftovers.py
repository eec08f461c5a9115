"""What killed runs leave is removed; what someone still works with is not, however old it is."""

import fcntl
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from include.core.files import replace_folder
from include.core.leftovers import goes_on, going_on, sweep_published, sweep_runs, sweep_stores, sweep_work

HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held(path: Path):
    """Another process holds the lock of a file until it is killed."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        yield
    finally:
        holder.kill()
        holder.communicate()


def begun(data_dir: Path, name: str = "cli__1") -> Path:
    run = data_dir / "runs" / "energy_pipeline" / name
    run.mkdir(parents=True)
    for file in ("airflow.log", ".airflow.db", ".airflow.db-journal"):
        (run / file).touch()
    return run


def aged(path: Path, seconds: float = 100.0) -> Path:
    moment = time.time() - seconds
    os.utime(path, (moment, moment), follow_symlinks=False)
    return path


def test_the_database_of_a_killed_run_is_removed_and_that_of_one_that_goes_on_stays(tmp_path):
    run = begun(tmp_path)
    with held(run / "airflow.log"):
        assert goes_on(run)
        assert sweep_runs(tmp_path / "runs") == []
        assert (run / ".airflow.db").exists()
    assert not goes_on(run)
    assert sweep_runs(tmp_path / "runs") == [run]
    assert sorted(path.name for path in run.iterdir()) == ["airflow.log"]
    assert sweep_runs(tmp_path / "runs") == []


def test_airflow_that_outlives_the_command_line_holds_the_lock_that_it_inherited(tmp_path):
    run = begun(tmp_path)
    with (run / "airflow.log").open("wb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        airflow = subprocess.Popen(["sleep", "60"], stdout=log)
    assert goes_on(run), "the command line has closed its log"
    airflow.kill()
    airflow.wait()
    assert not goes_on(run)


def test_a_killed_one_off_run_is_swept_and_one_that_goes_on_is_not(tmp_path):
    run = begun(tmp_path, "test__1")
    with held(run):
        assert goes_on(run)
        assert sweep_runs(tmp_path / "runs") == []
    assert not goes_on(run)
    with going_on(run):
        assert goes_on(run)
    assert sweep_runs(tmp_path / "runs") == [run]
    assert sorted(path.name for path in run.iterdir()) == ["airflow.log"]


def test_other_runs_and_links_are_not_touched(tmp_path):
    scheduled = begun(tmp_path, "scheduled__1")
    elsewhere = begun(tmp_path / "elsewhere")
    (tmp_path / "runs" / "energy_pipeline" / "cli__link").symlink_to(elsewhere)
    assert sweep_runs(tmp_path / "runs") == []
    assert (scheduled / ".airflow.db").exists()
    assert (elsewhere / ".airflow.db").exists()
    assert sweep_runs(tmp_path / "none") == []


def publishing(published: Path, name: str) -> Path:
    folder = published / name
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("half")
    return folder


KILLED = ["energy/.2026-01-01.abcd_123", "energy/meters/.2026-01-01.abcd1234", "crop/.a b.01234567"]
GOOD = ["energy/2026-01-01", "energy/.2026-01-01.lock", "energy/.hidden", "energy/x.abcd1234"]


@pytest.mark.parametrize("name", KILLED)
def test_what_a_killed_publication_left_is_removed(tmp_path, name):
    folder = aged(publishing(tmp_path, name))
    with held(folder):
        assert sweep_published(tmp_path) == []
    assert sweep_published(tmp_path) == [folder]
    assert not folder.exists()


def test_a_publication_that_began_a_moment_ago_stays(tmp_path):
    folder = publishing(tmp_path, "energy/.2026-01-01.abcd1234")
    assert sweep_published(tmp_path) == []
    assert folder.exists()


@pytest.mark.parametrize("name", GOOD)
def test_what_is_published_stays(tmp_path, name):
    folder = aged(publishing(tmp_path, name))
    assert sweep_published(tmp_path) == []
    assert (folder / "a.csv").exists()


def test_the_old_folder_gets_its_name_back_where_a_publication_died_between_two_renames(tmp_path):
    folder = aged(publishing(tmp_path, "energy/.2026-01-01.abcd1234.old"))
    sweep_published(tmp_path)
    assert (tmp_path / "energy" / "2026-01-01" / "a.csv").exists()
    other = aged(publishing(tmp_path, "energy/.2026-01-01.abcd1235.old"))
    sweep_published(tmp_path)
    assert not folder.exists()
    assert not other.exists()
    assert (tmp_path / "energy" / "2026-01-01" / "a.csv").exists()


def test_a_publication_holds_its_folder(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("a")
    seen = []

    def copy(source, target):
        folder = aged(Path(target).parent)
        seen.append((sweep_published(tmp_path / "published"), folder.exists()))
        Path(target).write_bytes(Path(source).read_bytes())

    monkeypatch.setattr("include.core.files.shutil.copyfile", copy)
    replace_folder(tmp_path / "published" / "energy" / "2026-01-01", {"a.csv": tmp_path / "a.csv"})
    assert seen == [([], True)]
    assert [path.name for path in (tmp_path / "published" / "energy").iterdir()] == ["2026-01-01"]


def test_stores_lose_temporary_files_that_nobody_has_touched_for_a_day(tmp_path):
    store = tmp_path / "imagery"
    old, young = store / "a" / ".scene.tif.partial", store / "a" / ".other.tif.partial"
    kept = store / ".requests" / "0.lock"
    for path in (old, young, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    aged(old, 90_000)
    aged(kept, 90_000)
    scratch = aged(publishing(store, ".key.abcdefgh"), 90_000)
    assert sorted(sweep_stores([store, tmp_path / "none"])) == sorted([old, scratch])
    assert young.exists()
    assert kept.exists()


LEFT = [
    "work/analyze.0-1", "work/.hidden", "scratch/train_cnn.0", ".view-a1b2c3d4", "artifacts/.sealing-a1b2c3d4",
    ".run.json.a1b2c3d4", "steps/analyze/.result.json.a1b2c3d4",
]  # fmt: skip
RECORDS = [
    "run.json", "files/energy_data.csv", "artifacts/" + "0" * 64, "steps/analyze/result.json", "airflow.log",
    "pipeline_report_20260101_000000.json", "interrupted",
]  # fmt: skip
DAY = 90_000


def attempted(data_dir: Path, name: str = "scheduled__1", age: float = DAY) -> Path:
    """A run whose steps left all that a kill can leave, and its records."""
    run = data_dir / "runs" / "energy_pipeline" / name
    for path in RECORDS:
        (run / path).parent.mkdir(parents=True, exist_ok=True)
        (run / path).write_text("{}")
        aged(run / path, age)
    for path in LEFT:
        (run / path).mkdir(parents=True)
        (run / path / "half.csv").touch()
        aged(run / path, age)
    return run


def names(run: Path) -> list[str]:
    return sorted(name for name in (*LEFT, *RECORDS) if os.path.lexists(run / name))


@pytest.mark.parametrize(
    ("name", "age", "ended", "swept"),
    [
        pytest.param("scheduled__1", DAY, True, True, id="a run that has ended"),
        pytest.param("scheduled__1", DAY, False, False, id="one whose container works for days"),
        pytest.param("scheduled__1", 3600, True, False, id="one that a user may want to look into"),
        pytest.param("cli__1", DAY, False, True, id="a killed run of the command line, which no Airflow knows"),
        pytest.param("test__1", DAY, False, True, id="a killed one-off run"),
    ],
)
def test_the_work_of_runs_that_have_ended_is_removed_and_their_records_stay(tmp_path, name, age, ended, swept):
    run = attempted(tmp_path, name, age)
    asked = []
    removed = sweep_work(tmp_path / "runs", lambda folder: asked.append(folder) or ended)
    assert sorted(removed) == (sorted(run / path for path in LEFT) if swept else [])
    assert names(run) == sorted(RECORDS if swept else [*LEFT, *RECORDS])
    assert asked == ([run] if name == "scheduled__1" and age == DAY else []), "Airflow is asked as rarely as possible"


@pytest.mark.parametrize(("name", "lock"), [("cli__1", "airflow.log"), ("test__1", ".")])
def test_the_work_of_a_run_that_goes_on_without_this_airflow_stays(tmp_path, name, lock):
    run = attempted(tmp_path, name)
    with held(run / lock):
        assert sweep_work(tmp_path / "runs", lambda _: True) == []
    assert names(run) == sorted([*LEFT, *RECORDS])


def test_the_sweep_of_work_follows_no_link(tmp_path):
    kept = tmp_path / "elsewhere" / "work" / "analyze.0-1"
    kept.mkdir(parents=True)
    aged(kept, DAY)
    run = tmp_path / "runs" / "energy_pipeline" / "scheduled__1"
    (run / "scratch").mkdir(parents=True)
    (run / "work").symlink_to(kept.parent)
    link = run / "scratch" / "train_cnn.0"
    link.symlink_to(kept)
    aged(link, DAY)
    (run.parent / "scheduled__2").symlink_to(kept.parents[1])
    assert sweep_work(tmp_path / "runs", lambda _: True) == [link]
    assert kept.is_dir()


def test_a_folder_that_a_step_closed_is_removed_with_what_is_in_it(tmp_path):
    run = tmp_path / "runs" / "energy_pipeline" / "scheduled__1"
    closed = run / "work" / "analyze.0-1" / "closed"
    closed.mkdir(parents=True)
    (closed / "file").touch()
    closed.chmod(0)
    aged(closed.parent, DAY)
    assert sweep_work(tmp_path / "runs", lambda _: True) == [closed.parent]
