"""At most two requests at once on this machine, whatever number of tasks and threads there is: the service's limit."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.core.errors import SetupError

AT_ONCE = 2
_POLL_SECONDS = 0.02


@contextmanager
def request_slot(folder: Path) -> Iterator[None]:
    """Wait for one of the slots and hold it; the system frees it when its holder dies.

    Args:
        folder: Where the slots' lock files lie; the same for all that share a limit.

    Raises:
        SetupError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [(folder / f"{number}.lock").open("ab") for number in range(AT_ONCE)]
    except OSError as error:
        raise SetupError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        held = None
        while held is None:
            held = next((file for file in files if _locked(file.fileno())), None)
            if held is None:
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        for file in files:
            file.close()


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
