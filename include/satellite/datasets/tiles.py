"""Square tiles on a lattice, and sums over each of them at the cost of one pass over the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tiles:
    """All tiles of one size whose top left pixel lies on a lattice and that fit into the area.

    Args:
        size: Side, pixels.
        tops: First pixel row of each row of tiles.
        lefts: First pixel column of each column of tiles.
    """

    size: int
    tops: Ints
    lefts: Ints

    @classmethod
    def on(cls, height: int, width: int, size: int, stride: int) -> Tiles:
        """Return the tiles over an area of height × width pixels, `stride` pixels apart.

        Raises:
            BadInputError: Not one fits.
        """
        if size > min(height, width):
            raise BadInputError(
                f"a tile of {size} pixels does not fit into the area of {height} × {width} pixels: "
                "take smaller tiles (patch_size, location_size) or a larger area"
            )
        return cls(size, np.arange(0, height - size + 1, stride), np.arange(0, width - size + 1, stride))

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def rows(self) -> Ints:
        """Top pixel row of each tile, shape (P,); tiles run by row from the top left."""
        return np.repeat(self.tops, len(self.lefts))

    @property
    def columns(self) -> Ints:
        """Left pixel column of each tile, shape (P,)."""
        return np.tile(self.lefts, len(self.tops))

    def sums(self, image: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return the sum of the image (H, W) over each tile, shape (P,)."""
        strips = _window_sums(image, self.tops, self.size)
        return _window_sums(strips.T, self.lefts, self.size).T.ravel()


def _window_sums(image: NDArray[np.generic], starts: Ints, size: int) -> NDArray[np.float64]:
    """Return the sums of `size` rows from each start on, shape (starts, columns)."""
    total = np.zeros((image.shape[0] + 1, image.shape[1]))
    np.cumsum(image, axis=0, dtype=np.float64, out=total[1:])
    return np.asarray(total[starts + size] - total[starts])
