"""Races the Docker proxy: exchanges a mount's path for a link while the engine creates and starts the container.

It runs where a worker runs, with a worker's rights, and needs Python alone:

    docker exec -i WORKER python - '{"engine": "tcp://docker-proxy:2375", …}' < tools/mount_race.py

Each container asks for an input, a scratch folder and a file of a store. Meanwhile another process exchanges one of
their paths, or a folder on the way there, for a link into the bait, as often as it can. The bait is a folder of the
host that no step may see; each file in it holds a marker. The container prints every file that it sees: a start is won
when its log holds the marker. Between create and start the program also tries to exchange and to write what the proxy
prepared, which counts as won where it succeeds.

It prints one line of JSON, the fields of `Result`.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

SHA256 = "5e" * 32
AT_FDCWD, RENAME_EXCHANGE = -100, 2
SHOW = "find /data /stores -type f -exec cat {} + ; find /data /stores"
MEMORY = 64 << 20
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Race:
    """Where to race.

    Args:
        engine: `tcp://HOST:PORT` of the Docker proxy, or `unix://PATH` of an engine without one.
        data: The data folder, as this process sees it.
        host_data: The same folder as the engine's host sees it.
        bait: What `make_bait` made, as the engine's host sees it.
        marker: What `make_bait` returned.
        image: What containers run in; it has `sh` and `find`.
        uid: The user of steps.
        store: A store that steps may see.
        seconds: How long.
    """

    engine: str
    data: str
    host_data: str
    bait: str
    marker: str
    image: str
    uid: int
    store: str
    seconds: float


@dataclass
class Result:
    """What came of it: containers that ran, requests that were refused, and what was won, in words."""

    starts: int = 0
    refused: int = 0
    won: list[str] = field(default_factory=list)


def make_bait(folder: Path) -> str:
    """Create the folder that a worker wants to see, and return the marker that its files hold."""
    marker = secrets.token_hex(16)
    for name in (
        SHA256, "scene", f"artifacts/{SHA256}", "work/race/secret", "scratch/race/secret", "race/scene", "race/secret",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{marker}\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    return marker


def run_race(race: Race) -> Result:
    """Race until the time is over, or something was won."""
    result, end = Result(), time.monotonic() + race.seconds
    run = Path(race.data, "runs", "race", secrets.token_hex(8))
    scenes = Path(race.data, race.store, "race")
    for path in (run / "artifacts" / SHA256, scenes / "scene"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("what the step may see\n")
    for folder in (run / "work" / "race", run / "scratch" / "race"):
        folder.mkdir(parents=True)
    # Each path, and what the link in its place leads to.
    exchanged = {
        run / "artifacts" / SHA256: SHA256,
        run / "artifacts": "artifacts",
        run / "work" / "race": ".",
        run / "work": "work",
        run / "scratch" / "race": ".",
        run / "scratch": "scratch",
        run: ".",
        scenes / "scene": "scene",
        scenes: ".",
    }
    try:
        for path, bait in cycle(exchanged.items()):
            if time.monotonic() > end or result.won:
                return result
            with exchanging(path, Path(race.bait, bait)):
                race_once(race, run, path, result)
    finally:
        for folder in (run, scenes):
            shutil.rmtree(folder, ignore_errors=True)
    return result


def race_once(race: Race, run: Path, exchanged: Path, result: Result) -> None:
    """Create, start and remove one container."""
    status, created = call(race.engine, "POST", "/containers/create", create_request(race, run))
    if status != 201:
        result.refused += 1
        return
    container = f"/containers/{json.loads(created)['Id']}"
    try:
        _, shown = call(race.engine, "GET", f"{container}/json")
        sources = [mount["Source"] for mount in json.loads(shown)["Mounts"]]
        result.won += [f"exchanged {path}" for path in exchangeable(race, sources)]
        status, _ = call(race.engine, "POST", f"{container}/start")
        if status != 204:
            result.refused += 1
            return
        result.starts += 1
        call(race.engine, "POST", f"{container}/wait")
        _, log = call(race.engine, "GET", f"{container}/logs?stdout=1&stderr=1")
        if race.marker.encode() in log:
            result.won.append(f"exchanged {exchanged}, and a container saw the bait")
    finally:
        call(race.engine, "DELETE", f"{container}?v=1&force=1")


def create_request(race: Race, run: Path) -> dict[str, Any]:
    """Return the request for a container of a step that prints what it sees."""
    host_run = f"{race.host_data}/{run.relative_to(race.data)}"
    scene = f"{race.store}/race/scene"
    mounts = [
        ("/data", f"{host_run}/work/race", False),
        ("/data/input", f"{host_run}/artifacts/{SHA256}", True),
        ("/data/scratch", f"{host_run}/scratch/race", False),
        (f"/stores/{scene}", f"{race.host_data}/{scene}", True),
    ]
    return {
        "Image": race.image,
        "User": f"{race.uid}:{race.uid}",
        "WorkingDir": "/data",
        "Cmd": ["sh", "-c", SHOW],
        "Env": [],
        "Labels": {"io.groundtruth": "step", "io.groundtruth.run": "race"},
        "HostConfig": {
            "Memory": MEMORY,
            "MemorySwap": MEMORY,
            "ReadonlyRootfs": True,
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "20m", "max-file": "1"}},
            "Tmpfs": {"/tmp": "size=64m,mode=1777"},  # noqa: S108
            "PidsLimit": 64,
            "Init": True,
            "NanoCpus": 500_000_000,
            "Mounts": [
                {"Type": "bind", "Target": target, "Source": source, "ReadOnly": read_only}
                for target, source, read_only in mounts
            ],
        },
    }


def exchangeable(race: Race, sources: list[str]) -> list[str]:
    """Return what the proxy prepared for a container, and a worker could exchange or write to before it starts.

    Scratch may be written: no mount leads through it, and where workers and steps are one user, it is theirs.
    """
    prepared = Path(race.data, "mounts")
    mounted = [Path(race.data, Path(source).relative_to(race.host_data)) for source in sources]
    paths = {path for source in mounted for path in (source, *source.parents) if path.is_relative_to(prepared)}
    exchanged = []
    for path in sorted(paths):
        with suppress(OSError):
            path.rename(path.with_name("mine"))
            exchanged.append(str(path))
        with suppress(OSError):
            if not path.is_relative_to(prepared / "scratch"):
                (path / "mine").symlink_to("/")
                exchanged.append(str(path / "mine"))
    return exchanged


@contextmanager
def exchanging(path: Path, bait: Path) -> Iterator[None]:
    """Exchange a path and a link to the bait in another process, as often as possible."""
    link = path.with_name(f".{path.name}.link")
    link.unlink(missing_ok=True)
    link.symlink_to(bait)
    child = os.fork()
    if child == 0:
        while True:
            exchange(path, link)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if path.is_symlink():
            exchange(path, link)
        link.unlink()


def exchange(one: Path, other: Path) -> None:
    """Exchange the names of two files in one system call; Linux alone has it."""
    LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)


def call(engine: str, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """Send one request; return status and body of the response."""
    address = urlsplit(engine)
    connection = HTTPConnection(address.hostname or "engine", address.port, timeout=60)
    if address.scheme == "unix":
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(address.path)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


if __name__ == "__main__":
    print(json.dumps(asdict(run_race(Race(**json.loads(sys.argv[1]))))))  # noqa: T201
