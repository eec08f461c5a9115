"""Leaves plots empty, for drawing them takes half of a small run; the domains' tests look at what they show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch


@contextmanager
def empty_plots(content: bytes) -> Iterator[None]:
    """Write an empty plot wherever this process saves one."""
    from matplotlib.figure import Figure

    with patch.object(Figure, "savefig", lambda _, path, **options: Path(path).write_bytes(content)):
        yield
