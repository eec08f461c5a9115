"""People's rasters, brought to the grid."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform

from include.core.errors import BadInputError
from include.satellite.datasets.rasters import class_raster, crop_mask
from tests.satellite.imagery_store import CRS, SOUTH, WEST, grid_of

GRID = grid_of(20, 30)
TOP = SOUTH + 200


def write(
    files: Path, name: str, values: NDArray[Any], *, crs: str | None = CRS, step: float = 10, **more: Any
) -> None:
    path = files / "source" / name
    path.parent.mkdir(exist_ok=True)
    west, top = more.pop("origin", (WEST, TOP))
    height, width = values.shape
    profile = {"driver": "GTiff", "count": 1, "height": height, "width": width, "dtype": values.dtype}
    place = rasterio.Affine(step, 0, west, 0, -step, top)
    with rasterio.open(path, "w", **profile, crs=crs, transform=place, **more) as file:
        file.write(values, 1)


def test_a_class_raster_of_the_same_grid_is_taken_as_it_is(files: Path) -> None:
    values = np.random.default_rng(0).integers(0, 5, (20, 30)).astype(np.uint8)
    write(files, "classes.tif", values)
    assert np.array_equal(class_raster(files, "classes.tif", GRID), values)


def test_coarser_classes_are_repeated_never_mixed(files: Path) -> None:
    write(files, "coarse.tif", np.array([[1, 4, 1], [3, 1, 2]], np.uint8), step=100)
    expected = np.repeat(np.repeat([[1, 4, 1], [3, 1, 2]], 10, axis=0), 10, axis=1)
    assert np.array_equal(class_raster(files, "coarse.tif", GRID), expected)


def test_a_raster_in_degrees_is_reprojected(files: Path) -> None:
    """East of a meridian through the middle of the area there is crop."""
    (middle,), (north,) = transform(CRS, "EPSG:4326", [WEST + 150], [SOUTH + 100])
    values = np.zeros((200, 200), np.int16)
    values[:, 100:] = 7
    write(files, "crop.tif", values, crs="EPSG:4326", step=1e-4, origin=(middle - 0.01, north + 0.01))
    mask = crop_mask(files, "crop.tif", GRID)
    assert not mask[:, :14].any()
    assert mask[:, 16:].all()


def test_nodata_is_no_class_and_no_crop(files: Path) -> None:
    values = np.full((20, 30), 255, np.uint8)
    values[:5] = 2
    write(files, "classes.tif", values, nodata=255)
    assert np.array_equal(class_raster(files, "classes.tif", GRID) > 0, values == 2)
    assert np.array_equal(crop_mask(files, "classes.tif", GRID), values == 2)


def test_what_the_raster_does_not_cover_has_no_class(files: Path) -> None:
    write(files, "part.tif", np.full((20, 10), 3, np.uint8))
    found = class_raster(files, "part.tif", GRID)
    assert (found[:, :10] == 3).all()
    assert (found[:, 10:] == 0).all()


@pytest.mark.parametrize(
    ("values", "more", "said"),
    [
        (np.full((20, 30), 9, np.uint8), {}, "holds 1 to 4, and 0 for none; found 9"),
        (np.full((20, 30), 1.5, np.float32), {}, "found 1.5"),
        (np.full((20, 30), 1, np.uint8), {"crs": None}, "has no coordinate reference system"),
        (np.full((20, 30), 1, np.uint8), {"origin": (WEST + 10_000, TOP)}, "no pixel of the area has a class"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_that_is_no_class_raster_is_refused_by_name(
    files: Path, values: NDArray[Any], more: dict[str, Any], said: str
) -> None:
    write(files, "odd.tif", values, **more)
    with pytest.raises(BadInputError, match=f"odd.tif: .*{said}"):
        class_raster(files, "odd.tif", GRID)


def test_a_file_that_is_no_raster_is_refused_by_name(files: Path) -> None:
    (files / "source").mkdir()
    (files / "source" / "crop.tif").write_text("not a raster")
    with pytest.raises(BadInputError, match=r"crop.tif: cannot be read as a GeoTIFF"):
        crop_mask(files, "crop.tif", GRID)
    write(files, "none.tif", np.zeros((20, 30), np.uint8))
    with pytest.raises(BadInputError, match=r"none.tif: no pixel of the area is cropland"):
        crop_mask(files, "none.tif", GRID)


def test_finer_classes_are_sampled_never_averaged(files: Path) -> None:
    values = np.where(np.indices((100, 150)).sum(axis=0) % 2, 1, 4).astype(np.uint8)
    write(files, "fine.tif", values, step=2)
    assert set(np.unique(class_raster(files, "fine.tif", GRID)).tolist()) <= {1, 4}
