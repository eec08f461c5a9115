"""The pixels of fields: those whose centre lies inside the outline shrunk by 10 m.

A pixel on the edge of a field shows its neighbour too. Fields may overlap; a pixel then belongs to each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from include.satellite.imagery.schemas import Grid

SHRINK_M = 10.0
FEWEST_PIXELS = 8


@dataclass(frozen=True)
class FieldPixels:
    """The pixels of n fields on a grid.

    Args:
        positions: (P,) row · width + column, by field.
        field: (P,) which field each belongs to, ascending.
        count: Number of fields, with those that have no pixel.
    """

    positions: NDArray[np.int64]
    field: NDArray[np.int64]
    count: int

    def per_field(self, mask: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the number of pixels of each field, (n,); with a mask (P,), of those that it holds."""
        import numpy as np

        return np.bincount(self.field if mask is None else self.field[mask], minlength=self.count)

    def of(self, fields: NDArray[np.bool_]) -> FieldPixels:
        """Return the pixels of some fields alone, whose numbers stay."""
        kept = fields[self.field]
        return self if kept.all() else FieldPixels(self.positions[kept], self.field[kept], self.count)


def field_pixels(geometries: Sequence[dict[str, Any]], grid: Grid) -> FieldPixels:
    """Return the pixels of fields.

    Args:
        geometries: Outlines, GeoJSON in WGS 84.
        grid: The pixels; parts of fields beyond it have none.
    """
    import numpy as np
    from shapely import contains_xy, prepare

    positions, field = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    left, _, _, top = grid.bounds
    size = grid.resolution
    for number, shrunk in enumerate(shrunk_outlines(geometries, grid.crs)):
        if shrunk.is_empty:
            continue
        xmin, ymin, xmax, ymax = shrunk.bounds
        columns = np.arange(max(0, int((xmin - left) // size)), min(grid.width, int((xmax - left) // size) + 1))
        rows = np.arange(max(0, int((top - ymax) // size)), min(grid.height, int((top - ymin) // size) + 1))
        if not len(rows) or not len(columns):
            continue
        prepare(shrunk)
        x, y = left + (columns + 0.5) * size, top - (rows[:, None] + 0.5) * size
        inside = contains_xy(shrunk, *np.broadcast_arrays(x, y))
        own = (rows[:, None] * grid.width + columns)[inside]
        positions.append(own)
        field.append(np.full(len(own), number))
    return FieldPixels(np.concatenate(positions), np.concatenate(field), len(geometries))


def shrunk_outlines(geometries: Iterable[dict[str, Any]], crs: str) -> NDArray[np.object_]:
    """Return outlines in a projected CRS, shrunk by `SHRINK_M`; an outline of which nothing is left is empty."""
    import numpy as np
    from shapely import buffer

    return np.asarray(buffer(projected(geometries, crs), -SHRINK_M))


def projected(geometries: Iterable[dict[str, Any]], crs: str) -> NDArray[np.object_]:
    """Return GeoJSON geometries in WGS 84 as shapes in another CRS."""
    import numpy as np
    from pyproj import Transformer
    from shapely import transform
    from shapely.geometry import shape

    project = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    shapes = np.array([shape(geometry) for geometry in geometries], object)
    return np.asarray(transform(shapes, project.transform, interleaved=False))


def outline_key(geometry: dict[str, Any]) -> str:
    """Return the start of the SHA-256 of an outline, the same wherever its rings begin and however they turn."""
    from shapely import normalize, to_wkb
    from shapely.geometry import shape

    return hashlib.sha256(to_wkb(normalize(shape(geometry)))).hexdigest()[:16]
