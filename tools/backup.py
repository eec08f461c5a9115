"""Back up and restore what a deployment keeps: `python -m tools.backup [stack-]create|[stack-]restore [FILE]`.

A backup is one archive (`backups/<time>.tar.gz`, for its owner alone, for it holds secrets) with a list of its files
and their checksums. A restore checks all of them before it changes anything, moves what is there aside, and puts the
backup's files in its place; then `tools/setup` (or the stack's service `init`) migrates Airflow's database.

| member | what |
|---|---|
| `airflow/` | Airflow's database, the key of its connections, the passwords of `make ui` |
| `data/` | runs, published results, the inbox with its feeds, imagery, models |
| `env/` | the env file that promotions change, its history and backups |
| `stack/` | the full stack's secrets, configuration and data; its database as `postgres.dump` |
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MANIFEST, DUMP = "backup.json", "postgres.dump"
DATABASE = "airflow.db"
AIRFLOW_FILES = ("fernet.key", "passwords.json")
READY_SECONDS = 120
PROFILES = ("demo", "mlflow", "monitoring")
LEFT_OUT = ("mounts",)
"""Of the data folder: what the Docker proxy makes anew."""


class BackupError(Exception):
    """A backup cannot be made, or is not what it should be."""


def places(root: Path) -> dict[str, Path]:
    """Return what a checkout keeps, by the name of its member: Airflow's home, data folder, folder of the env file."""
    data = Path(os.environ.get("GROUNDTRUTH_DATA_DIR") or root / "data")
    return {"airflow": root / ".airflow", "data": data, "env": env_file_of(root).parent}


def env_file_of(root: Path) -> Path:
    """Return the env file that promotions change."""
    return Path(os.environ.get("GROUNDTRUTH_ENV_FILE") or root / ".env")


def create(root: Path, target: Path) -> Path:
    """Back up a checkout, also while Airflow runs, and return the archive.

    Raises:
        BackupError: There is nothing to back up, or the disk is full; no archive is left.
    """
    home, data, env_file = places(root)["airflow"], places(root)["data"], env_file_of(root)
    if not data.is_dir() and not (home / DATABASE).exists():
        raise BackupError(f"{root}: has neither data nor .airflow: there is nothing to back up")
    with _archive(target, "checkout") as add, tempfile.TemporaryDirectory() as scratch:
        if (home / DATABASE).exists():
            with closing(sqlite3.connect(home / DATABASE)) as source, closing(sqlite3.connect(f"{scratch}/db")) as copy:
                source.backup(copy)  # consistent, whatever writes to it meanwhile
            add(Path(scratch, "db"), f"airflow/{DATABASE}")
        for name in AIRFLOW_FILES:
            if (home / name).exists():
                add(home / name, f"airflow/{name}")
        for path in _kept(data):
            add(path, f"data/{path.relative_to(data).as_posix()}")
        for path in sorted(env_file.parent.glob(f"{env_file.name}*")):
            for inner in [path, *sorted(path.rglob("*"))]:
                add(inner, f"env/{inner.relative_to(env_file.parent).as_posix()}")
    return target


def create_stack(root: Path, target: Path) -> Path:
    """Back up the full stack, whose service postgres runs, and return the archive.

    Raises:
        BackupError: A file cannot be read (begin with sudo), or postgres does not answer; no archive is left.
    """
    dump = [*compose(), "exec", "-T", "postgres", "pg_dump", "-U", "airflow", "-Fc", "airflow"]
    with _archive(target, "stack") as add, tempfile.NamedTemporaryFile() as file:
        done = subprocess.run(dump, cwd=root, stdout=file, stderr=subprocess.PIPE, check=False)  # noqa: S603 - our own
        if done.returncode:
            raise BackupError(f"postgres cannot be dumped: {done.stderr.decode().strip()}: begin with make up")
        add(Path(file.name), f"stack/{DUMP}")
        for path in _kept(root / "stack"):
            add(path, f"stack/{path.relative_to(root / 'stack').as_posix()}")
    return target


def restore(root: Path, archive: Path) -> Path:
    """Restore a checkout, and return where what was there lies now.

    Raises:
        BackupError: Airflow runs, or the archive is damaged or of the stack; nothing was changed.
    """
    if users := _users_of(root / ".airflow" / DATABASE):
        raise BackupError(f"Airflow runs here (process {users[0]}): stop make ui first")
    now = datetime.now(UTC)
    aside = archive.resolve().parent / f"before-restore-{now:%Y%m%dT%H%M%SZ}"
    with _checked(archive, "checkout") as (content, created):
        env_file = env_file_of(root)
        for name, place in places(root).items():
            if not (content / name).is_dir():
                continue
            old = _glob(place, f"{env_file.name}*") if name == "env" else [place] if place.exists() else []
            if name == "airflow":  # the environment's own files stay; tools/setup writes the configuration anew
                old = [place / file for file in (DATABASE, "airflow.cfg", *AIRFLOW_FILES) if (place / file).exists()]
            for path in old:
                _move(path, aside / name / path.name)
            place.mkdir(parents=True, exist_ok=True)
            if name == "data":
                place.rmdir()
                _move(content / name, place)
                _keep_forgotten(aside / name / place.name, place, created)
                continue
            for path in (content / name).iterdir():
                _move(path, place / path.name)
    return aside


def restore_stack(root: Path, archive: Path) -> Path:
    """Restore the full stack's files and its database, and return where what was there lies now.

    Raises:
        BackupError: The archive is damaged or of a checkout; nothing was changed.
    """
    aside = archive.resolve().parent / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with _checked(archive, "stack") as (content, created):
        _run(root, "down")
        stack = root / "stack"
        if stack.exists():
            _move(stack, aside / "stack")
        _move(content / "stack", stack)
        _keep_forgotten(aside / "stack" / "data", stack / "data", created)
    _run(root, "up", "-d", "postgres")
    _wait_for_postgres(root)
    # The volume has the password of the secrets that were there before; that of the backup takes its place.
    password = (stack / "secrets" / "database" / "postgres_password").read_text().strip()
    for sql in (
        f"ALTER USER airflow PASSWORD '{password}'",
        "DROP DATABASE IF EXISTS airflow WITH (FORCE)",
        "CREATE DATABASE airflow OWNER airflow",
    ):
        _run(root, "exec", "-T", "postgres", "psql", "-q", "-U", "airflow", "-d", "postgres", "-c", sql)
    with (stack / DUMP).open("rb") as dump:
        _run(root, "exec", "-T", "postgres", "pg_restore", "-U", "airflow", "-d", "airflow", "--no-owner", stdin=dump)
    (stack / DUMP).unlink()
    return aside


def _wait_for_postgres(root: Path) -> None:
    ready = [*compose(), "exec", "-T", "postgres", "pg_isready", "-q", "-U", "airflow"]
    for _ in range(READY_SECONDS):
        if subprocess.run(ready, cwd=root, capture_output=True, check=False).returncode == 0:  # noqa: S603 - our own
            return
        time.sleep(1)
    raise BackupError(f"postgres was not ready after {READY_SECONDS} s: docker compose logs postgres says why")


def compose() -> list[str]:
    """Return the command of Compose that this machine has."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)  # noqa: S607
    command = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
    profiles = [argument for name in PROFILES for argument in ("--profile", name)]
    return [*command, "--env-file", "stack/stack.env", *profiles]


def _run(root: Path, *arguments: str, stdin: Any = None) -> None:
    done = subprocess.run([*compose(), *arguments], cwd=root, stdin=stdin, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise BackupError(f"docker compose {' '.join(arguments[:3])} failed; what it printed stands above")


def _add_link(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a link, relative, so that it leads to the same file wherever it is restored; leave out one that leads out."""
    info = tar.gettarinfo(path, name)
    place, target = path.parents[len(Path(name).parts) - 2], os.path.normpath(path.parent / info.linkname)
    if not Path(target).is_relative_to(place):
        sys.stderr.write(f"backup: {path}: leads out of {place}, so it is left out\n")
        return
    info.linkname = os.path.relpath(target, path.parent)
    tar.addfile(info)


@contextmanager
def _archive(target: Path, kind: str) -> Iterator[Any]:
    """Yield what adds a file to a new archive; the list of files is its last member."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    checksums: dict[str, str] = {}
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:

                def add(path: Path, name: str) -> None:
                    if path.is_file() and not path.is_symlink():
                        with suppress(FileNotFoundError), path.open("rb") as content:
                            info = tar.gettarinfo(arcname=name, fileobj=content)
                            reader = _Hashing(content, info.size)
                            tar.addfile(info, reader)
                            checksums[name] = reader.digest.hexdigest()
                    elif path.is_symlink():
                        _add_link(tar, path, name)
                    elif path.is_dir():
                        tar.add(path, name, recursive=False)

                yield add
                manifest = {"created": datetime.now(UTC).isoformat(), "kind": kind, "sha256": checksums}
                text = json.dumps(manifest).encode()
                info = tarfile.TarInfo(MANIFEST)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    except OSError as error:
        raise BackupError(f"{error.filename or target}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


class _Hashing:
    """Reads a file for an archive: exactly as many bytes as were announced, with their checksum."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.left, self.digest = file, size, hashlib.sha256()

    def read(self, count: int) -> bytes:
        content: bytes = self.file.read(min(count, self.left))
        content += b"\0" * (min(count, self.left) - len(content))  # a log that was cut meanwhile
        self.left -= len(content)
        self.digest.update(content)
        return content


@contextmanager
def _checked(archive: Path, kind: str) -> Iterator[tuple[Path, datetime]]:
    """Yield the unpacked content of an archive, all of it checked, and when it was made."""
    try:
        with tempfile.TemporaryDirectory(dir=archive.resolve().parent, prefix=".restore-") as scratch:
            content = Path(scratch)
            with tarfile.open(archive) as tar:
                if kind == "stack":  # for root alone: its files belong to several users
                    tar.extractall(content, filter="tar", numeric_owner=True)
                else:
                    tar.extractall(content, filter="data")
            manifest = json.loads((content / MANIFEST).read_text())
            if manifest["kind"] != kind:
                raise BackupError(f"{archive}: is a backup of a {manifest['kind']}, not of a {kind}")
            for name, checksum in manifest["sha256"].items():
                with (content / name).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != checksum:
                        raise BackupError(f"{archive}: {name} is damaged; nothing was changed")
            yield content, datetime.fromisoformat(manifest["created"])
    except (OSError, tarfile.TarError, EOFError, KeyError, ValueError) as error:
        raise BackupError(f"{archive}: cannot be restored: {error}") from error


def _kept(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder, folders before their content; nothing that is being written."""
    for place, folders, names in os.walk(folder):
        top = Path(place) in (folder, folder / "data")
        folders[:] = sorted(name for name in folders if not (top and name in LEFT_OUT))
        for name in sorted((*folders, *names)):
            if not name.endswith(".partial"):
                yield Path(place, name)


def _users_of(file: Path) -> list[int]:
    """Return the processes that have a file open, as far as this user may know (Linux)."""
    users = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink() == file.resolve():
                users.append(int(link.parts[2]))
    return users


def _glob(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)


def _keep_forgotten(before: Path, data: Path, created: datetime) -> None:
    """Keep the records of what was forgotten since a backup was made, and name them: the backup holds it again."""
    for record in _glob(before / "forgotten", "*.json"):
        if not (data / "forgotten" / record.name).exists():
            (data / "forgotten").mkdir(exist_ok=True)
            shutil.copy2(record, data / "forgotten" / record.name)
            stated = json.loads(record.read_text())
            what, on = stated["subject"], stated["at"][:10]
            say(f"! a {what} was forgotten on {on}, after this backup of {created:%Y-%m-%d}: forget it again")
            say(f"  (SHA-256 of its name: {stated['sha256']})")


def main(arguments: list[str]) -> int:
    """Make or restore a backup; 1 where it cannot be done."""
    what, file = (*arguments, "", "")[:2]
    action, of_stack = what.removeprefix("stack-"), what.startswith("stack-")
    if action not in ("create", "restore") or (action == "restore" and not file):
        say("error: name the backup: make restore BACKUP=backups/FILE.tar.gz")
        return 1
    try:
        if action == "create":
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}{'-stack' * of_stack}.tar.gz"
            made = (create_stack if of_stack else create)(ROOT, Path(file or ROOT / "backups" / name))
            say(f"backup: {made} ({made.stat().st_size / 1e6:,.1f} MB); it holds secrets: keep it for yourself")
        else:
            aside = (restore_stack if of_stack else restore)(ROOT, Path(file))
            say(f"restored {file}; what was here before lies in {aside}")
    except BackupError as error:
        say(f"error: {error}")
        return 1
    return 0


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201 - what users see of this program


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
