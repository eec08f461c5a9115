"""A Docker engine of the tests' own, which may be stopped and killed as the machine's may not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.prerequisites import need

START_SECONDS, STOP_SECONDS = 60, 30


class OwnEngine:
    """An engine without networks, whose data lie in a folder.

    It has a network namespace of its own: without a bridge, an engine removes the one that it finds.

    Args:
        folder: For all that it has; a short path, for its socket lies there too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"unix://{folder}/engine.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        places = {"--data-root": "data", "--exec-root": "exec", "--pidfile": "pid"}
        where = [part for option, name in places.items() for part in (option, str(self.folder / name))]
        without = ("--bridge=none", "--iptables=false", "--ip-masq=false")
        with (self.folder / "log.txt").open("ab") as log:
            command = ["unshare", "--net", "dockerd", *where, "-H", self.url, *without, *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.docker("version", check=False) is not None:
                return
            time.sleep(0.1)
        raise AssertionError(f"the engine did not start: {(self.folder / 'log.txt').read_text()[-2000:]}")

    def docker(self, *arguments: str, check: bool = True) -> str | None:
        """Output of a docker command; None where it fails and need not succeed."""
        command = ["docker", "-H", self.url, *arguments]
        done = subprocess.run(command, check=check, capture_output=True, text=True, timeout=START_SECONDS)
        return None if done.returncode else done.stdout

    def containers(self) -> dict[str, str] | None:
        """State of each container by its id; None where it does not answer."""
        found = self.docker("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}", check=False)
        return None if found is None else dict(line.split() for line in found.splitlines())

    def stop(self) -> None:
        """End it as a service manager does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(STOP_SECONDS)
            self.process = None

    def lose_power(self) -> None:
        """Kill it with all that it started, and forget what a restarted machine forgets."""
        assert self.process is not None
        marks = (str(self.folder / "exec"), *(self.containers() or {}))
        engine = psutil.Process(self.process.pid)
        shims = [each for each in psutil.process_iter(["cmdline"]) if set(marks) & set(each.info["cmdline"] or [])]
        for each in (engine, *engine.children(), *(child for shim in shims for child in shim.children()), *shims):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(STOP_SECONDS)
        self.process = None
        self._forget()

    def remove(self) -> None:
        """Stop it, and remove what it had."""
        self.stop()
        self._forget()
        shutil.rmtree(self.folder)

    def _forget(self) -> None:
        for mounted in sorted(self._mounts(), reverse=True):
            subprocess.run(["umount", "-l", mounted], check=False)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)
        (self.folder / "pid").unlink(missing_ok=True)

    def _mounts(self) -> list[str]:
        found = (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
        return [mounted for mounted in found if mounted.startswith(f"{self.folder}/")]


@contextmanager
def own_engine(image: str) -> Iterator[OwnEngine]:
    """A started engine that has an image of the machine's own; removed at the end.

    It needs root and `dockerd`.
    """
    possible = os.geteuid() == 0 and shutil.which("dockerd")
    need(possible, "an engine of the tests' own", "run the tests as root, with dockerd installed")
    engine = OwnEngine(Path(tempfile.mkdtemp(prefix="gt-engine-", dir="/var/tmp")))  # a real disk
    try:
        engine.start()
        saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
        load = ["docker", "-H", engine.url, "load", "-q"]
        subprocess.run(load, stdin=saved.stdout, check=True, capture_output=True)
        assert saved.wait() == 0
        assert saved.stdout is not None
        saved.stdout.close()
        yield engine
    finally:
        engine.remove()
