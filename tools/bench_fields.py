"""Measures the measurement of fields: part of `make bench`; prints three tables.

Fields are squares of 310 m, 9.6 ha, spread evenly over the area; five bands and the scene classification are stored as
the imagery store has them, cloud-optimised GeoTIFFs at 10 m. Nothing was measured before, and the page cache holds none
of the scenes. Each line is a process of its own, whose start counts; its peak memory is the kernel's. The first table
has an area of 20 × 20 km, the second one a full tile (10,980 × 10,980 pixels). `--dates` and `--fields` set the largest
numbers, `--tile-dates 0` leaves the second table out. The third table is the index raster (COG) of each pass, which a
run of `./pipeline run fields` makes once; `--rasters 0` leaves it out.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from include.satellite.fields.observations import observe
from include.satellite.fields.pixels import outline_key
from include.satellite.fields.rasters import index_rasters
from include.satellite.fields.schemas import CropField
from include.satellite.imagery.scenes import Scene, encode
from include.satellite.imagery.schemas import Acquisition, Grid, Imagery
from include.satellite.sensors.sentinel2 import SENTINEL2
from tools.bench import measure
from tools.stack import say

BANDS = ["B02", "B04", "B05", "B08", "B8A", "B11", "SCL"]
"""Five indices need these six reflectances; without NDRE and NDMI three are enough."""
AREA_PIXELS, TILE_PIXELS = 2000, 10_980
DISTINCT = 3
"""Scenes that are made; the others are copies under other names, as cold as these."""
SIDE_M = 310
FIRST = date(2026, 1, 3)


def main() -> None:
    """Make the scenes, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", type=int, default=70, help="passes over 20 × 20 km")
    parser.add_argument("--tile-dates", type=int, default=3, help="passes over the full tile")
    parser.add_argument("--fields", type=int, default=1000, help="fields")
    parser.add_argument("--rasters", type=int, default=10, help="passes over 20 × 20 km whose index rasters are made")
    arguments = parser.parse_args()
    say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    dates, fields = arguments.dates, arguments.fields
    cases = [(fields, dates), (fields, dates // 2), (fields // 2, dates), (fields // 4, dates)]
    _table("20 × 20 km", AREA_PIXELS, dates, cases)
    if arguments.tile_dates:
        _table("full tile", TILE_PIXELS, arguments.tile_dates, [(fields, arguments.tile_dates), (fields, 1)])
    if arguments.rasters:
        _raster_table(arguments.rasters)


def _raster_table(passes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GROUNDTRUTH_DATA_DIR"] = folder
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            process.submit(make_scenes, Path(folder), AREA_PIXELS, passes).result()
        say("20 × 20 km: an index raster of five indices for each pass")
        say(f"{'passes':>7} {'seconds':>9} {'processor s':>12} {'peak MiB':>9} {'ms a pass':>10}")
        for count in (passes, max(1, passes // 2)):
            forget(Path(folder))
            used = measure(map_all, Path(folder), AREA_PIXELS, count)
            each = 1000 * used.seconds / count
            say(f"{count:7} {used.seconds:9.1f} {used.processor:12.1f} {used.mebibytes:9.0f} {each:10.0f}")


def _table(title: str, pixels: int, dates: int, cases: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GROUNDTRUTH_DATA_DIR"] = folder
        with ProcessPoolExecutor(
            1, get_context("spawn")
        ) as process:  # else its memory would count as that of the lines
            size = process.submit(make_scenes, Path(folder), pixels, dates).result()
        say(f"{title}: {size / 1e6:,.0f} MB a pass on the disk")
        say(f"{'fields':>7} {'passes':>7} {'seconds':>9} {'processor s':>12} {'peak MiB':>9} {'ms a pass':>10}")
        for fields, passes in cases:
            forget(Path(folder))
            used = measure(measure_all, Path(folder), pixels, fields, passes)
            each = 1000 * used.seconds / passes
            say(f"{fields:7} {passes:7} {used.seconds:9.1f} {used.processor:12.1f} {used.mebibytes:9.0f} {each:10.0f}")


def measure_all(folder: Path, pixels: int, fields: int, passes: int) -> None:
    """Measure fields on passes, none of which was measured before."""
    os.environ["GROUNDTRUTH_DATA_DIR"] = str(folder)
    imagery = _imagery(pixels, passes)
    observations = observe(squares(imagery.grid, fields), imagery, None)
    if len(observations) != fields * passes or (observations["status"] == "ok").mean() < 0.5:
        raise SystemExit(f"{len(observations)} observations of {fields} fields on {passes} passes")


def map_all(folder: Path, pixels: int, passes: int) -> None:
    """Make the index raster of each pass, and keep none."""
    os.environ["GROUNDTRUTH_DATA_DIR"] = str(folder)
    imagery = _imagery(pixels, passes)
    if sum(1 for raster in index_rasters(imagery.acquisitions, imagery) if raster) != passes:
        raise SystemExit("an index raster is missing")


def squares(grid: Grid, count: int) -> list[CropField]:
    """Return squares that are spread evenly over a grid."""
    from pyproj import Transformer

    back = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    west, south, east, north = grid.bounds
    side = int(np.ceil(np.sqrt(count)))
    xs = np.linspace(west + 100, east - 100 - SIDE_M, side)
    ys = np.linspace(south + 100, north - 100 - SIDE_M, side)
    fields = []
    for number in range(count):
        x, y = xs[number % side], ys[number // side]
        corners = ((x, y), (x + SIDE_M, y), (x + SIDE_M, y + SIDE_M), (x, y + SIDE_M), (x, y))
        geometry = {"type": "Polygon", "coordinates": [[back.transform(*corner) for corner in corners]]}
        outline, area_ha = outline_key(geometry), SIDE_M**2 / 10_000
        fields.append(
            CropField(
                field_id=f"F{number:05d}",
                crop="wheat",
                valid_from=None,
                valid_to=None,
                geometry=geometry,
                outline=outline,
                area_ha=area_ha,
            )
        )
    return fields


def make_scenes(folder: Path, pixels: int, count: int) -> int:
    """Write scenes of noisy reflectances with cloud over a fifth of the area; return the bytes of one."""
    grid, random = _imagery(pixels, 1).grid, np.random.default_rng(0)
    place = folder / "imagery" / "bench"
    place.mkdir(parents=True)
    for number in range(min(count, DISTINCT if pixels == AREA_PIXELS else 1)):
        layers = np.empty((len(BANDS), pixels, pixels), np.uint16)
        for layer, level in zip(layers, (400, 500, 1100, 3000, 3200, 1800, 4), strict=True):
            layer[:] = level if level == 4 else random.normal(level, level / 20, (pixels, pixels))
        layers[-1, number : number + pixels // 5] = 9
        content = encode(Scene(SENTINEL2, BANDS, layers), grid, {})
        for name in range(number, count, DISTINCT if pixels == AREA_PIXELS else 1):
            (place / f"{name:03d}.tif").write_bytes(content)
    return len(content)


def forget(folder: Path) -> None:
    """Drop the scenes from the page cache."""
    os.sync()
    for path in folder.rglob("*.tif"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _imagery(pixels: int, count: int) -> Imagery:
    west, south = 600_000, 3_400_000
    bounds = (west, south, west + 10 * pixels, south + 10 * pixels)
    acquisitions = []
    for number in range(count):
        day = FIRST + timedelta(days=5 * number)
        acquisitions.append(
            Acquisition(
                date=day,
                datetime=datetime(day.year, day.month, day.day, 5, 30, tzinfo=UTC),
                product_ids=[f"S2_{day:%Y%m%d}"],
                source="demo",
                synthetic=True,
                usable=True,
                file=f"bench/{number:03d}.tif",
                sha256=f"{number:064d}",
                bands=BANDS,
            )
        )
    return Imagery(
        collection="sentinel-2-l2a",
        source="demo",
        synthetic=True,
        grid=Grid(crs="EPSG:32643", resolution=10, bounds=bounds, width=pixels, height=pixels),
        geometry={"type": "Polygon", "coordinates": []},
        bands=BANDS,
        start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2027, 6, 1, tzinfo=UTC),
        acquisitions=acquisitions,
        unusable=[],
        units_spent=0,
        units_estimated=0,
    )


if __name__ == "__main__":
    main()
