"""Leaves plots empty, for drawing them takes half of a small run; the domains' tests look at what they show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch


@contextmanager
def empty_plots(content: bytes) -> Iterator[None]:
    """Draw nothing in this process, and write an empty plot wherever it saves one."""
    from matplotlib.figure import Figure

    def save(_: Figure, path: Path, **options: Any) -> None:
        Path(path).write_bytes(content)

    methods = {"savefig": save, "subplots": _blank_axes, "colorbar": MagicMock(), "legend": MagicMock()}
    with patch.multiple(Figure, **methods):
        yield


def _blank_axes(_: Any, rows: int = 1, columns: int = 1, *, squeeze: bool = True, **options: Any) -> Any:
    """Return axes on which nothing is drawn, in the shape in which matplotlib returns them."""
    import numpy as np

    grid = np.empty((rows, columns), dtype=object)
    for place in np.ndindex(grid.shape):
        grid[place] = MagicMock()
    if not squeeze:
        return grid
    return grid.item() if grid.size == 1 else grid.squeeze()
