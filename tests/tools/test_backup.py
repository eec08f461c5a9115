"""A backup holds all that a checkout keeps; a restore puts it back whole or changes nothing."""

import json
import lzma
import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from include.env_file.transaction import EnvFile
from include.reporting.archive import run_entries
from include.reporting.listing import RunQuery, list_runs
from tests.upgrade.test_v0_1_0 import FIXTURES, STATES, unpack
from tools import backup
from tools.backup import BackupError, create, env_file_of, main, places, restore


@pytest.fixture(autouse=True)
def own_places(monkeypatch):
    for name in ("GROUNDTRUTH_DATA_DIR", "GROUNDTRUTH_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    """A checkout with all that v0.1.0 kept: runs, published results, imagery, models, the env file, the database."""
    root = tmp_path_factory.mktemp("old")
    for name in ("runs", "imagery", "models", "env"):
        unpack(name, root)
    for path in sorted((root / "config").iterdir()):
        path.rename(root / path.name)
    (root / ".airflow").mkdir()
    (root / ".airflow/airflow.db").write_bytes(lzma.decompress((FIXTURES / "airflow.db.xz").read_bytes()))
    (root / ".airflow/fernet.key").write_text("key")
    (root / "data/mounts/1").mkdir(parents=True)
    return root


@pytest.fixture
def small(tmp_path) -> Path:
    """A checkout with one file."""
    root = tmp_path / "checkout"
    (root / "data").mkdir(parents=True)
    (root / "data/result.csv").write_text("1")
    (root / ".env").write_text("A=1\n")
    return root


def content(root: Path) -> dict[str, str | bytes]:
    """Files and links below the places that a backup holds."""
    kept = {}
    for name in ("data", ".env", ".env.history.jsonl", ".env.backups"):
        for path in [root / name, *(root / name).rglob("*")]:
            relative = path.relative_to(root).as_posix()
            if relative.startswith("data/mounts") or (path.is_dir() and not path.is_symlink()):
                continue
            kept[relative] = str(path.readlink()) if path.is_symlink() else path.read_bytes()
    return kept


def runs_of(database: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT dag_id, run_id, state FROM dag_run ORDER BY run_id").fetchall()


def test_what_v0_1_0_kept_goes_through_a_backup_without_loss(old, tmp_path):
    archive = create(old, tmp_path / "backups" / "1.tar.gz")
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    new = tmp_path / "new"
    new.mkdir()
    restore(new, archive)
    before = content(old)
    assert content(new) == before
    assert len(before) > 300
    assert runs_of(new / ".airflow/airflow.db") == runs_of(old / ".airflow/airflow.db") != []
    assert (new / ".airflow/fernet.key").read_text() == "key"
    rows = list_runs(run_entries(new / "data/runs"), (), RunQuery()).matches
    assert {f"{row.entry.dag_id}/{row.entry.folder}": row.state for row in rows} == STATES
    assert EnvFile(new / ".env").history() == EnvFile(old / ".env").history() != []
    times = {name: (root / "data" / "runs").stat().st_mtime for name, root in (("old", old), ("new", new))}
    assert times["old"] == pytest.approx(times["new"], abs=1), "retention goes by it"


def test_links_lead_to_the_restored_files_and_those_that_lead_out_are_named(small, tmp_path, capsys):
    work = small / "data/runs/d/r/work"
    work.mkdir(parents=True)
    (work / "input.csv").symlink_to(small / "data/result.csv")
    (work / "near.csv").symlink_to("input.csv")
    (work / "passwd").symlink_to("/etc/passwd")
    archive = create(small, tmp_path / "b.tar.gz")
    assert capsys.readouterr().err == f"backup: {work}/passwd: leads out of {small}/data, so it is left out\n"
    other = tmp_path / "other"
    restore(other, archive)
    assert {path.name: path.read_text() for path in (other / "data/runs/d/r/work").iterdir()} == {
        "input.csv": "1",
        "near.csv": "1",
    }
    assert (other / "data/runs/d/r/work/input.csv").resolve() == other / "data/result.csv"


def test_what_was_there_is_moved_aside(small, tmp_path):
    archive = create(small, tmp_path / "1.tar.gz")
    (small / "data/result.csv").write_text("2")
    (small / "data/later.csv").write_text("3")
    (small / ".env").write_text("A=2\n")
    aside = restore(small, archive)
    assert ((small / "data/result.csv").read_text(), (small / ".env").read_text()) == ("1", "A=1\n")
    assert not (small / "data/later.csv").exists()
    assert ((aside / "data/data/later.csv").read_text(), (aside / "env/.env").read_text()) == ("3", "A=2\n")


def test_the_configuration_goes_so_that_the_set_up_writes_it_anew_and_migrates(small, tmp_path):
    home = small / ".airflow"
    home.mkdir()
    for name in ("airflow.cfg", "template.db", "passwords.json"):
        (home / name).write_text(name)
    sqlite3.connect(home / "airflow.db").close()
    aside = restore(small, create(small, tmp_path / "1.tar.gz"))
    assert sorted(path.name for path in home.iterdir()) == ["airflow.db", "passwords.json", "template.db"]
    assert (aside / "airflow/airflow.cfg").exists()


def test_the_database_is_copied_as_it_was_committed(small, tmp_path):
    (small / ".airflow").mkdir()
    with closing(sqlite3.connect(small / ".airflow/airflow.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE dag_run (dag_id, run_id, state)")
        connection.execute("INSERT INTO dag_run VALUES ('a', 'b', 'c')")
        connection.commit()
        connection.execute("INSERT INTO dag_run VALUES ('uncommitted', 'x', 'y')")
        archive = create(small, tmp_path / "1.tar.gz")
        with pytest.raises(BackupError, match=f"Airflow runs here \\(process {os.getpid()}\\): stop make ui first"):
            restore(small, archive)
    restore(tmp_path / "checkout", archive)
    assert runs_of(small / ".airflow/airflow.db") == [("a", "b", "c")]


def spoil(archive: Path) -> None:
    """Exchange the content of a file, so that the archive can be read and its list of checksums is wrong."""
    folder = archive.parent / "spoilt"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (folder / "data/result.csv").write_text("9")
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)


def cut(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("damage", "message"), [(spoil, r"data/result\.csv is damaged; nothing was changed"), (cut, "cannot be restored")]
)
def test_a_damaged_archive_changes_nothing(small, tmp_path, damage, message):
    archive = create(small, tmp_path / "1.tar.gz")
    (small / "data/result.csv").write_text("2")
    damage(archive)
    with pytest.raises(BackupError, match=message):
        restore(small, archive)
    assert (small / "data/result.csv").read_text() == "2"
    assert not list(tmp_path.glob("before-restore-*"))


def test_a_backup_of_the_stack_is_not_restored_into_a_checkout(small, tmp_path):
    with backup._archive(tmp_path / "1.tar.gz", "stack") as add:
        add(small / ".env", "stack/config/pipeline.env")
    with pytest.raises(BackupError, match="is a backup of a stack, not of a checkout"):
        restore(small, tmp_path / "1.tar.gz")


def test_the_data_folder_and_the_env_file_lie_where_the_settings_say(small, tmp_path, monkeypatch):
    archive = create(small, tmp_path / "1.tar.gz")
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(tmp_path / "config/.env"))
    assert places(small)["data"] == tmp_path / "elsewhere"
    assert env_file_of(small) == tmp_path / "config/.env"
    restore(small, archive)
    assert (tmp_path / "elsewhere/result.csv").read_text() == "1"
    assert (tmp_path / "config/.env").read_text() == "A=1\n"


def test_what_was_forgotten_since_the_backup_is_named_and_its_record_stays(small, tmp_path, capsys):
    archive = create(small, tmp_path / "1.tar.gz")
    (small / "data/forgotten").mkdir()
    record = {"subject": "meter", "sha256": "abc", "at": "2027-01-01T00:00:00Z"}
    (small / "data/forgotten/1.json").write_text(json.dumps(record))
    restore(small, archive)
    assert "a meter was forgotten on 2027-01-01, after this backup" in capsys.readouterr().out
    assert json.loads((small / "data/forgotten/1.json").read_text()) == record


def test_mistakes_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(backup, "ROOT", tmp_path)
    assert main(["create"]) == 1
    assert "there is nothing to back up" in capsys.readouterr().out
    assert main(["restore"]) == 1
    assert "make restore BACKUP=backups/FILE.tar.gz" in capsys.readouterr().out
    assert main(["restore", str(tmp_path / "none.tar.gz")]) == 1
    assert "none.tar.gz: cannot be restored" in capsys.readouterr().out
    assert not list(tmp_path.glob("backups/.*"))


def test_it_needs_no_set_up(small):
    command = [sys.executable, "-I", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import tools.backup"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([*command, str(root)], cwd=small, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
