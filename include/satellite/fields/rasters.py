"""Index rasters of passes: cloud-optimised GeoTIFFs with one band an index, and their STAC items (1.1.0).

Values are ten-thousandths; pixels that are not clear, or whose index is undefined or out of range, are nodata.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Any

from include.core.errors import ContractError
from include.satellite.artifacts import INDEX_RASTER
from include.satellite.fields.measurement import (
    DEFECTIVE,
    DILATION_M,
    MASKED,
    STRIP_ROWS,
    dilated,
    indices_of,
)
from include.satellite.fields.recomputation import clear_pixels, np_random
from include.satellite.imagery.store import scene_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from include.satellite.imagery.schemas import Acquisition, Imagery

SCALE, NODATA = 1e-4, -32768
"""An index of 1 is 10,000."""
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
DRAWN_WINDOWS, WINDOW = 4, 64
AT_ONCE, AT_ONCE_BYTES = 2, 256 * 1024**2
"""Rasters that are made at once, and the size of one, unpacked, above which each is made alone."""


def raster_bytes(imagery: Imagery) -> int:
    """Return the size of an index raster, unpacked."""
    return 2 * len(indices_of(imagery.sensor, imagery.bands)) * imagery.grid.width * imagery.grid.height


def index_rasters(acquisitions: Sequence[Acquisition], imagery: Imagery) -> Generator[bytes]:
    """Yield the index raster of each pass; one is written while the next one is read, unless they are large."""
    at_once = AT_ONCE if raster_bytes(imagery) <= AT_ONCE_BYTES else 1
    left = iter(acquisitions)
    with ThreadPoolExecutor(at_once) as pool:
        under_way = [pool.submit(index_raster, item, imagery) for item in islice(left, at_once)]
        while under_way:
            raster = under_way.pop(0).result()
            under_way += [pool.submit(index_raster, item, imagery) for item in islice(left, 1)]
            yield raster


def index_raster(acquisition: Acquisition, imagery: Imagery) -> bytes:
    """Return a cloud-optimised GeoTIFF with one band an index, in ten-thousandths; not clear pixels are nodata."""
    import numpy as np
    from rasterio.windows import Window

    from include.satellite.imagery.scenes import cloud_optimised, open_scene

    grid, sensor = imagery.grid, imagery.sensor
    indices = indices_of(sensor, imagery.bands)
    layers = np.full((len(indices), grid.height, grid.width), NODATA, np.int16)
    names = list(dict.fromkeys(sensor.name_of(band) for index in indices for band in index.bands))
    numbers = [imagery.bands.index(name) + 1 for name in (*names, sensor.classes.band)]
    halo = int(DILATION_M // grid.resolution)
    with open_scene(scene_path(acquisition)) as dataset:
        for top in range(0, grid.height, STRIP_ROWS):
            bottom = min(top + STRIP_ROWS, grid.height)
            first, last = max(0, top - halo), min(grid.height, bottom + halo)
            *strip, seen = dataset.read(numbers, window=Window(0, first, grid.width, last - first))
            hidden = dilated(sensor.classes.mask(seen, MASKED), DILATION_M / grid.resolution)
            hidden |= sensor.classes.mask(seen, DEFECTIVE)
            own = slice(top - first, bottom - first)
            clear = ~hidden[own]
            bands = {name: band[own][clear] for name, band in zip(names, strip, strict=True)}
            reflectances = {name: band * sensor.scale for name, band in bands.items()}
            for layer, index in zip(layers, indices, strict=True):
                used = [sensor.name_of(band) for band in index.bands]
                values = index(*(reflectances[name] for name in used))
                right = index.in_range(values) & np.all([bands[name] > 0 for name in used], axis=0)
                scaled = np.full(values.shape, NODATA, np.int16)
                scaled[right] = np.round(values[right] / SCALE).astype(np.int16)
                layer[top:bottom][clear] = scaled
    tags = {"DATETIME": acquisition.datetime.isoformat(), "SYNTHETIC": "YES" if acquisition.synthetic else "NO"}
    # noise hardly shrinks further than at level 1
    options = {"nodata": NODATA, "predictor": "YES", "level": 1}
    return cloud_optimised(layers, grid, {index.name: SCALE for index in indices}, tags, **options)


def pass_item(acquisition: Acquisition, imagery: Imagery) -> dict[str, Any]:
    """Return the STAC item of a pass, whose index raster lies beside it."""
    from shapely.geometry import shape

    grid = imagery.grid
    bands = [
        {"name": index.name, "data_type": "int16", "nodata": NODATA, "raster:scale": SCALE}
        for index in indices_of(imagery.sensor, imagery.bands)
    ]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
            "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
        ],
        "id": f"fields_{acquisition.date}_{str(acquisition.sha256)[:8]}",
        "geometry": imagery.geometry,
        "bbox": [round(value, 6) for value in shape(imagery.geometry).bounds],
        "properties": {
            "datetime": acquisition.datetime.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "title": f"Fields on {acquisition.date}",
            "constellation": "sentinel-2",
            "proj:code": grid.crs,
            "proj:shape": [grid.height, grid.width],
            "proj:bbox": list(grid.bounds),
            "groundtruth:products": acquisition.product_ids,
            "groundtruth:synthetic": acquisition.synthetic,
        },
        "links": [],
        "assets": {
            "indices": {
                "href": f"./{INDEX_RASTER.path}",
                "title": "Indices of the pass",
                "type": COG,
                "roles": ["data"],
                "gsd": grid.resolution,
                "bands": bands,
            }
        },
    }


def check_raster(
    raster: Any, acquisition: Acquisition, imagery: Imagery, artifact: str, *, audit: bool
) -> list[tuple[int, int]]:
    """Check an open index raster: its form, and its values in drawn windows, without the code that wrote it.

    Args:
        raster: The raster.
        acquisition: Its pass.
        imagery: The passes, with their grid.
        artifact: Its file, for errors.
        audit: Check all values.

    Returns:
        Row and column of the upper left corner of each window.

    Raises:
        ContractError: It states something else than the pass gives.
    """
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    from include.satellite.imagery.scenes import form_faults

    grid, random = imagery.grid, np_random()
    names = [index.name for index in indices_of(imagery.sensor, imagery.bands)]
    faults = form_faults(raster, names, grid, "int16", NODATA)
    if raster.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") != "COG":
        faults.append("no cloud-optimised layout")
    if faults or set(raster.scales) != {SCALE}:
        raise ContractError(artifact, "must have the grid of the imagery", "; ".join(faults) or "scales")
    corners = [
        (int(random.integers(max(1, grid.height - WINDOW))), int(random.integers(max(1, grid.width - WINDOW))))
        for _ in range(DRAWN_WINDOWS)
    ]
    if audit:
        corners = [(row, 0) for row in range(0, grid.height, WINDOW)]
    with rasterio.open(scene_path(acquisition)) as scene:
        for row, column in corners:
            side = grid.width if audit else WINDOW
            window = Window(column, row, min(side, grid.width - column), min(WINDOW, grid.height - row))
            stated, own = raster.read(window=window), _window_of(scene, imagery, window)
            if not np.array_equal(stated, own):
                rule = f"must hold the indices of {acquisition.date} in rows {row} and columns {column} onward"
                raise ContractError(artifact, rule, f"{int((stated != own).sum())} other values")
    return corners


def _window_of(scene: Any, imagery: Imagery, window: Any) -> NDArray[np.int16]:
    """Return the scaled indices of a window, NODATA where a pixel is not clear, without the step's code."""
    import numpy as np

    bands, clear = clear_pixels(scene, imagery, window)
    layers = []
    for index in indices_of(imagery.sensor, imagery.bands):
        numbers = [bands[imagery.sensor.name_of(band)] for band in index.bands]
        values = index(*(band * imagery.sensor.scale for band in numbers))
        has_data = np.min(numbers, axis=0) > 0
        right = clear & has_data & np.isfinite(values) & (np.abs(values) <= index.limit + 0.01)
        layers.append(np.where(right, np.round(np.nan_to_num(values) / SCALE), NODATA).astype(np.int16))
    return np.stack(layers)
