"""What the engine mounts: folders and links to files that only the policy server can exchange.

The engine follows the path of a mount as root, and follows links, at the moment when a container starts. A check before
that is a race. So the engine gets only paths below a folder that belongs to the policy server:

```
<data folder>/mounts/            the policy server's; others may pass through and change nothing
  <token>/                       of one container; closed to all others until the step has ended
    work/                        the step's; given to the worker after the step has ended
    inputs/<number>              another name of a sealed file
    stores/<store>/<path>        another name of a file of a store
  scratch/<dag>/<run>/<hash>/    the step's; removed with the container of the step that succeeded
```

A file that a worker named is opened part by part without following links, and what was opened gets another name (a hard
link) here. What happens afterwards to the name that the worker used changes nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from include.docker_proxy.mounts import DATA, STORES, Role, StepMount
from include.docker_proxy.requests import RefusedError
from include.docker_proxy.settings import MOUNTS, RUNS, ProxySettings

FOLDER = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
FILE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
CLOSED, OPEN = 0o700, 0o711
TOKEN = re.compile(r"[0-9a-f]{32}")
WORK, SCRATCH = "work", "scratch"
GRACE_S = 600
"""A create request may reach the engine this long after its folder was prepared."""


class StagingError(Exception):
    """The policy server cannot do its part; the response is 500, and the sentence says why."""


class Staging:
    """The folder `mounts` of a deployment.

    Args:
        settings: The settings name the data folder and the users of workers and steps.
    """

    def __init__(self, settings: ProxySettings) -> None:
        self.settings = settings
        self.folder = settings.data_dir / MOUNTS

    def faults(self) -> list[str]:
        """Create the folder; return a sentence for each way in which a worker or a step could change it."""
        others, own, data = {self.settings.worker_uid, self.settings.step_uid}, os.geteuid(), self.settings.data_dir
        if own in others:
            return [f"user {own}: is the workers' or the steps'; run this service as a user of its own"]
        try:
            self.folder.mkdir(OPEN, exist_ok=True)
            if self.folder.lstat().st_uid == own:
                self.folder.chmod(OPEN)
        except OSError as error:
            return [f"{self.folder}: cannot be created: {error.strerror}"]
        faults, status = [], self.folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != own:
            faults.append(f"{self.folder}: must be a folder of the user {own}; remove what lies there")
        status = data.stat()
        if status.st_uid in others:
            faults.append(f"{data}: belongs to the workers or the steps; give it to root (chown 0)")
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            faults.append(f"{data}: others may exchange folders in it; set its sticky bit (chmod +t)")
        return faults

    def prepare(self, mounts: Sequence[StepMount]) -> list[dict[str, Any]]:
        """Create the folder of a new container, and return the mounts for the engine.

        Args:
            mounts: What the request asks for, the work folder first.

        Raises:
            RefusedError: A file is missing, is not a regular file, or is reached through a link.
            StagingError: A folder cannot be written.
        """
        token = secrets.token_hex(16)
        try:
            return self._prepare(token, mounts)
        except RefusedError:
            self.discard(token)
            raise
        except OSError as error:
            self.discard(token)
            raise StagingError(f"{error.filename or self.folder}: cannot be prepared: {error.strerror}") from error

    def _prepare(self, token: str, mounts: Sequence[StepMount]) -> list[dict[str, Any]]:
        folder = self.folder / token
        folder.mkdir(CLOSED)
        work, inputs, stores = (folder / name for name in (WORK, "inputs", "stores"))
        work.mkdir()
        binds = [self._bind(DATA, work)]
        for number, mount in enumerate(mounts):
            place = work / mount.target.removeprefix(f"{DATA}/")
            if mount.role is Role.INPUT:
                self._link(mount.source, inputs / str(number))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
                binds.append(self._bind(mount.target, inputs / str(number), read_only=True))
            elif mount.role is Role.SCRATCH:
                place.mkdir(parents=True)
                binds.append(self._bind(mount.target, self._scratch(mount.source)))
            elif mount.role is Role.STORE:
                self._link(mount.source, stores.joinpath(*mount.source))
        if stores.is_dir():
            binds.append(self._bind(STORES, stores, read_only=True))
        give(work, self.settings.step_uid)
        return binds

    def _bind(self, target: str, source: Path, *, read_only: bool = False) -> dict[str, Any]:
        parts = source.relative_to(self.settings.data_dir).parts
        return {"Type": "bind", "Target": target, "Source": self.settings.on_host(*parts), "ReadOnly": read_only}

    def _link(self, source: Sequence[str], target: Path) -> None:
        """Give a file that a worker named another name; it stays the file that was opened, whatever happens there."""
        path = self.settings.on_host(*source)
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened(source, self.settings, FILE) as file, opened_folder(target.parent) as parent:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise RefusedError("folder", f"{path}: must be a regular file")
            try:
                # With `dst_dir_fd`, Python calls linkat(2), which follows the link in /proc to the open file.
                os.link(f"/proc/self/fd/{file}", target.name, dst_dir_fd=parent)
            except FileNotFoundError:
                raise RefusedError("folder", f"bind source path does not exist: {path}") from None
            except OSError as error:
                if error.errno == errno.EXDEV:
                    raise RefusedError(
                        "folder", f"{path}: must lie on the file system of {self.settings.on_host(MOUNTS)}"
                    ) from None
                raise

    def _scratch(self, source: Sequence[str]) -> Path:
        """Return a scratch folder, created if necessary.

        Its name is one part, so that no scratch folder lies within another one, whose step could exchange it.
        """
        _, dag, run, _, *names = source
        folder = self.folder.joinpath(SCRATCH, dag, run, hashlib.sha256("/".join(names).encode()).hexdigest()[:32])
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, self.settings.step_uid, self.settings.step_uid)
        return folder

    def hand_over(self, token: str) -> None:
        """Give the work folder of a container that has ended to the worker.

        Until now only the step could reach it, so nothing in it was exchanged meanwhile.

        Raises:
            StagingError: It cannot be given away.
        """
        folder = self.folder / token
        try:
            if stat.S_IMODE(folder.stat().st_mode) != OPEN:
                give(folder / WORK, self.settings.worker_uid)
                folder.chmod(OPEN)
        except FileNotFoundError:
            raise StagingError(f"{self.settings.on_host(MOUNTS, token)}: was removed") from None

    def discard(self, token: str) -> None:
        """Remove the folder of a container that does not exist any more."""
        with suppress(FileNotFoundError):
            (self.folder / token).chmod(CLOSED)
        remove(self.folder / token)

    def discard_scratch(self, sources: Collection[str]) -> None:
        """Remove the scratch folders among the mounts of a container whose step succeeded."""
        for parts in map(self.settings.below_data, sources):
            if parts[:2] == [MOUNTS, SCRATCH] and len(parts) == 5:
                remove(self.settings.data_dir.joinpath(*parts))

    def sweep(self, sources: Collection[str]) -> None:
        """Remove what no container mounts: folders of containers that are gone, and scratch of runs that are gone.

        Args:
            sources: What all containers of steps mount, on the host.
        """
        used = {tuple(self.settings.below_data(source)) for source in sources}
        tokens = {parts[1] for parts in used if parts[:1] == (MOUNTS,) and len(parts) > 1}
        for folder in self.folder.iterdir():
            old = time.time() - folder.stat().st_mtime > GRACE_S
            if TOKEN.fullmatch(folder.name) and folder.name not in tokens and old:
                self.discard(folder.name)
        for folder in self.folder.glob(f"{SCRATCH}/*/*"):
            run = folder.relative_to(self.folder / SCRATCH).parts
            mounted = any(parts[:4] == (MOUNTS, SCRATCH, *run) for parts in used)
            if not mounted and not self.settings.data_dir.joinpath(RUNS, *run).is_dir():
                remove(folder)


def token_of(sources: Iterable[Any], settings: ProxySettings) -> str:
    """Return the token of the container that mounts these paths; an empty string where it has no work folder."""
    for parts in map(settings.below_data, sources):
        if len(parts) == 3 and (parts[0], parts[2]) == (MOUNTS, WORK) and TOKEN.fullmatch(parts[1]):
            return parts[1]
    return ""


def give(folder: Path, uid: int) -> None:
    """Give a folder and all that is in it to a user, without following links.

    Raises:
        StagingError: The process may not do that.
    """
    _call("chown", "--recursive", "-P", "--no-dereference", f"{uid}:{uid}", str(folder))


def remove(folder: Path) -> None:
    """Remove a folder and all that is in it, however deep, without following links.

    Raises:
        StagingError: The process may not do that, or others still write there.
    """
    _call("rm", "--recursive", "--force", "--one-file-system", str(folder))


def _call(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own
    if done.returncode:
        raise StagingError(done.stderr.strip().rpartition("\n")[2])


@contextmanager
def opened(parts: Sequence[str], settings: ProxySettings, flags: int = FOLDER) -> Iterator[int]:
    """Open a path below the data folder part by part, without following links.

    Args:
        parts: The path's parts.
        settings: The settings name the data folder.
        flags: How the last part is opened, `FOLDER` or `FILE`.

    Yields:
        A descriptor of what was opened (`O_PATH`).

    Raises:
        RefusedError: The path does not exist, or has a link or a file on the way.
    """
    handle = os.open(settings.data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for position, part in enumerate(parts, 1):
            handle, parent = _open(handle, part, flags if position == len(parts) else FOLDER, parts, settings), handle
            os.close(parent)
        yield handle
    finally:
        os.close(handle)


def _open(parent: int, part: str, flags: int, parts: Sequence[str], settings: ProxySettings) -> int:
    try:
        return os.open(part, flags, dir_fd=parent)
    except OSError as error:
        path = settings.on_host(*parts)
        if error.errno == errno.ENOENT:
            raise RefusedError("folder", f"bind source path does not exist: {path}") from None
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise RefusedError("folder", f"{path}: `{part}` must be a folder, not a link or a file") from None
        raise RefusedError("folder", f"{path}: `{part}` cannot be opened: {error.strerror}") from None


@contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """Open a folder of the policy server's own."""
    handle = os.open(folder, FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)
