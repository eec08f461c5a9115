"""Run a local command so that it writes to its own folders alone, and so that nothing of it runs on after it.

Two parts of the Linux kernel do this: Landlock (since 6.2 in the version that is needed), which forbids the command and
all that it starts to write elsewhere, or to signal other processes; and a reaper, the parent that inherits whatever the
command leaves in the background, and ends it. This file is also the reaper's program: it imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

TRUNCATE_ABI, SIGNAL_ABI = 3, 6
"""The versions of Landlock that first forbid to truncate files, and to signal processes outside."""
END_ALL = signal.SIGUSR1
"""The signal on which the reaper ends the command with all that it started."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _SCOPE_ABSTRACT_SOCKET, _SCOPE_SIGNAL = 1, 1, 1, 2
_DEVICES = (
    *(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx")),
    "/dev/pts",
    "/dev/shm",  # noqa: S108 - semaphores of multiprocessing
)
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_ALL_WRITES = _WRITE_FILE | sum(1 << bit for bit in range(4, 15))  # remove, make, refer, truncate
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 1, 36, 38
_POLL_SECONDS = 0.005


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


def landlock_abi() -> int:
    """Return the version of Landlock that the kernel offers; 0 for none."""
    try:
        version: int = ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION)
    except (AttributeError, OSError):  # not Linux
        return 0
    return max(version, 0)


def can_confine() -> bool:
    """Return whether a command can be kept from writing outside its folders."""
    return sys.platform == "linux" and landlock_abi() >= TRUNCATE_ABI


def reaper_command(command: Sequence[str], writable: Sequence[Path] | None, status: int) -> list[str]:
    """Return the command that runs another one below the reaper.

    Args:
        command: Program and arguments.
        writable: The folders that it may write to; None for no restriction.
        status: An inherited file descriptor. The error number is written to it if the program cannot be started, and it
            is closed when it has started.
    """
    folders = None if writable is None else [str(folder) for folder in writable]
    return [sys.executable, "-I", "-S", __file__, json.dumps([list(command), folders, status])]


def restrict_writes(writable: Sequence[str]) -> None:
    """Forbid this process, for ever, to write outside some folders.

    Args:
        writable: The folders; of `/dev`, terminals, shared memory and devices without content may be written too.

    Raises:
        OSError: The kernel does not do that.
    """
    abi = landlock_abi()
    ruleset = _Ruleset(_ALL_WRITES, 0, _SCOPE_SIGNAL | _SCOPE_ABSTRACT_SOCKET if abi >= SIGNAL_ABI else 0)
    size = ctypes.sizeof(_Ruleset) if abi >= SIGNAL_ABI else 8
    rules = _call(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    for place in (*writable, *filter(os.path.exists, _DEVICES)):
        access = _ALL_WRITES if Path(place).is_dir() else _WRITE_FILE | _TRUNCATE
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
        _call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(_PathBeneath(access, handle)), 0)
        os.close(handle)
    ctypes.CDLL(None).prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _call(number: int, *arguments: object) -> int:
    kernel = ctypes.CDLL(None, use_errno=True)
    returned: int = kernel.syscall(number, *arguments)
    if returned < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return returned


def main(command: list[str], writable: list[str] | None, status: int) -> int:
    """Run a command below this process, end whatever it leaves, and return its exit code."""
    kernel = ctypes.CDLL(None)
    kernel.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    kernel.prctl(_SET_PDEATHSIG, END_ALL, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _execute(command, writable, status)
    os.close(status)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the command gets it too, and may end in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_all(_number: int, _frame: FrameType | None) -> None:
        os.kill(child, signal.SIGKILL)

    signal.signal(END_ALL, end_all)
    _, ended = os.waitpid(child, 0)
    signal.signal(END_ALL, signal.SIG_IGN)
    _end_rest()
    code = os.waitstatus_to_exitcode(ended)
    if code < 0:  # end as the command did, so that the exit code says so
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    return code


def _execute(command: list[str], writable: list[str] | None, status: int) -> None:
    os.set_inheritable(status, False)
    try:
        if writable is not None:
            restrict_writes(writable)
        os.execvp(command[0], command)  # noqa: S606 - what the definition says is what shall run
    except OSError as error:
        os.write(status, str(error.errno).encode())
    os._exit(127)


def _end_rest() -> None:
    """End all children: what the command left in the background became a child of this process, its reaper."""
    while True:
        for process in _children():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(_POLL_SECONDS)
        except ChildProcessError:
            return


def _children() -> list[int]:
    children = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == os.getpid():
            children.append(int(process.name))
    return children


if __name__ == "__main__":
    sys.exit(main(*json.loads(sys.argv[1])))
