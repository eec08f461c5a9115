"""The label of a tile, and why it has none; rasters among the input files, brought to the grid."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform

from include.core.errors import BadInputError
from include.satellite.artifacts import VALIDATED
from include.satellite.datasets import labels
from include.satellite.datasets.cube import CubeScene, scenes
from include.satellite.datasets.labels import (
    assess,
    class_raster,
    classes_of,
    count_reasons,
    crop_finding,
    crop_mask,
    crop_shares,
    label_patches,
    reference_classes,
    stack,
)
from include.satellite.datasets.splits import Tiles
from include.satellite.params import CnnDataParams, LabelParams
from include.satellite.sensors.sensor import REFERENCE
from include.satellite.sensors.sentinel2 import SENTINEL2
from tests.satellite.imagery_store import (
    BANDS,
    CRS,
    SOUTH,
    WEST,
    ImageryMaker,
    days_from,
    geometry_of,
    grid_of,
    layers_of,
)

SIZE = 10
GRID = grid_of(20, 30)
TOP = SOUTH + 200
TILE = Tiles.on(SIZE, SIZE, SIZE, SIZE)


def scene_of(scl: NDArray[np.uint8], ndvi: NDArray[np.floating] | float = 0.6) -> CubeScene:
    layers = layers_of(np.broadcast_to(np.asarray(ndvi, float), scl.shape), scl)
    return CubeScene(SENTINEL2, SENTINEL2.base_bands, layers[:4].transpose(1, 2, 0), scl)


def scl_of(**counts: int) -> NDArray[np.uint8]:
    """One tile whose pixels have so many of each class, as `c4=80, c9=20`."""
    values = np.concatenate([np.full(count, int(name[1:]), np.uint8) for name, count in counts.items()])
    return values.reshape(SIZE, SIZE)


@pytest.mark.parametrize(
    ("scl", "reason"),
    [
        (scl_of(c4=80, c9=20), ""),
        (scl_of(c4=79, c9=21), labels.NOT_CLEAR),
        (scl_of(c4=79, c0=21), labels.NOT_CLEAR),
        (scl_of(c5=40, c6=40, c3=20), ""),
        (scl_of(c5=39, c6=41, c3=20), labels.NOT_LAND),
        (scl_of(c6=100), labels.NOT_LAND),
        (scl_of(c4=30, c6=10, c7=60), labels.UNCLASSIFIED),
        (scl_of(c7=100), labels.UNCLASSIFIED),
        (scl_of(c4=50, c7=50), ""),
    ],
)
def test_a_tile_must_be_clear_and_land(scl: NDArray[np.uint8], reason: str) -> None:
    found = assess(scene_of(scl), TILE, None)
    assert labels.REASONS[found.reason[0]] == reason
    assert np.isnan(found.ndvi[0]) == bool(reason)


def test_vegetation_and_soil_decide_not_water_unclassified_or_cloud() -> None:
    scl = scl_of(c4=30, c5=30, c6=10, c7=15, c9=15)
    ndvi = np.select([scl == 4, scl == 5, scl == 6], [0.8, 0.2, -0.5], 0.9)
    assert assess(scene_of(scl, ndvi), TILE, None).ndvi[0] == pytest.approx(0.5, abs=2e-4)


@pytest.mark.parametrize(("share", "reason"), [(50, ""), (49, labels.NOT_CROP), (0, labels.NOT_CROP)])
def test_the_crop_mask_decides_where_half_of_the_land_lies_in_it(share: int, reason: str) -> None:
    crop = np.zeros(SIZE * SIZE, bool)
    crop[:share] = True
    crop = crop.reshape(SIZE, SIZE)
    found = assess(scene_of(scl_of(c4=100), np.where(crop, 0.8, 0.1)), TILE, crop)
    assert labels.REASONS[found.reason[0]] == reason
    if not reason:
        assert found.ndvi[0] == pytest.approx(0.8, abs=2e-4)


def test_assessments_of_dates_are_stacked_and_their_reasons_counted() -> None:
    clear, cloudy = scene_of(scl_of(c4=100)), replace(scene_of(scl_of(c9=100)), masked=3)
    assessed = stack([assess(clear, TILE, None), assess(cloudy, TILE, None)])
    assert assessed.ndvi.shape == assessed.reason.shape == (2, 1)
    assert np.isnan(assessed.ndvi[:, 0]).tolist() == [False, True]
    assert assessed.masked == 3
    reasons = count_reasons(assessed.reason)
    assert (reasons.pop(labels.NOT_CLEAR), set(reasons.values())) == (1, {0})


def test_each_class_begins_where_the_rule_says() -> None:
    ndvi = np.array([0.9, 0.700001, 0.7, 0.500001, 0.5, 0.300001, 0.3, -0.4, np.nan])
    assert classes_of(ndvi).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, -1]


def test_a_uniform_tile_on_a_threshold_is_not_moved_by_rounding() -> None:
    """NDVI is exactly 0.3 or 0.7 in each pixel: not above the threshold, however many are added up."""
    tiles = Tiles.on(40, 70, 16, 3)
    for red, nir, expected in ((3500, 6500, 3), (1500, 8500, 1), (2500, 7500, 2)):
        dn = np.empty((40, 70, 4), np.uint16)
        dn[...] = [500, 700, red, nir]
        scene = CubeScene(SENTINEL2, SENTINEL2.base_bands, dn, np.full((40, 70), 4, np.uint8))
        assert set(classes_of(assess(scene, tiles, None).ndvi)) == {expected}


def test_the_reference_class_is_the_most_frequent_where_half_have_one() -> None:
    raster = np.zeros((SIZE, 3 * SIZE), np.uint8)
    raster[:5, :SIZE] = 4
    raster[:4, SIZE : 2 * SIZE] = 1
    raster[:, 2 * SIZE :] = 2
    raster[:6, 2 * SIZE :] = 3
    tiles = Tiles.on(SIZE, 3 * SIZE, SIZE, SIZE)
    assert reference_classes(raster, tiles, None).tolist() == [3, -1, 2]
    crop = np.ones(raster.shape, bool)
    crop[:6, 2 * SIZE :] = False
    assert reference_classes(raster, tiles, crop).tolist() == [3, -1, -1]


@pytest.fixture
def three_dates(data_dir: Path, files: Path) -> ImageryMaker:
    """Two tiles over three dates: the right one is clouded on the second date, and water on the third."""
    maker = ImageryMaker(data_dir, grid_of(SIZE, 2 * SIZE), [*BANDS, REFERENCE])
    found = []
    for number, day in enumerate(days_from(date(2024, 5, 1), 3)):
        ndvi, scl = np.full((SIZE, 2 * SIZE), 0.8 - 0.2 * number), np.full((SIZE, 2 * SIZE), 4)
        scl[:, SIZE:] = (4, 9, 6)[number]
        truth = np.full(scl.shape, (1, 4, 0)[number])
        found.append(maker.scene(day, layers_of(ndvi, scl, truth)))
    maker.manifest(files, found)
    return maker


@pytest.mark.parametrize(
    ("label_source", "expected", "left_out"),
    [
        ("ndvi_rule", [[0, 0], [1, -1], [2, -1]], {labels.NOT_CLEAR: 1, labels.NOT_LAND: 1}),
        (
            "next_ndvi",
            [[1, -1], [2, -1], [-1, -1]],
            {labels.NOT_CLEAR: 1, labels.NOT_LAND: 1, f"next date: {labels.NOT_CLEAR}": 1, labels.NO_NEXT: 1},
        ),
        ("reference", [[0, 0], [3, -1], [-1, -1]], {labels.NOT_CLEAR: 1, labels.NOT_LAND: 1, labels.NO_REFERENCE: 1}),
    ],
)
def test_labels_by_their_source(
    three_dates: ImageryMaker, files: Path, label_source: str, expected: list[list[int]], left_out: dict[str, int]
) -> None:
    imagery, tiles = VALIDATED.read(files), Tiles.on(SIZE, 2 * SIZE, SIZE, SIZE)
    params = CnnDataParams(label_source=label_source, patch_size=8)
    found = label_patches(files, params, imagery, scenes(imagery), tiles)
    assert found.label.tolist() == expected
    assert found.left_out == left_out


def test_reference_labels_without_a_class_raster_are_an_error_in_words(data_dir: Path, files: Path) -> None:
    maker = ImageryMaker(data_dir, grid_of(SIZE, SIZE))
    scene = maker.scene(date(2024, 5, 1), layers_of(np.full((SIZE, SIZE), 0.5), np.full((SIZE, SIZE), 4)))
    imagery = maker.manifest(files, [scene])
    params = CnnDataParams(label_source="reference", patch_size=8)
    with pytest.raises(BadInputError, match=r"needs a class raster: none is named .* 2024-05-01 has no band REFERENCE"):
        label_patches(files, params, imagery, scenes(imagery), TILE)


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
    values[:, 100:] = 1
    write(files, "crop.tif", values, crs="EPSG:4326", step=1e-4, origin=(middle - 0.01, north + 0.01))
    mask = crop_mask(files, LabelParams(crop_mask="crop.tif"), GRID)
    assert not mask[:, :14].any()
    assert mask[:, 16:].all()


def test_nodata_is_no_class_and_no_crop(files: Path) -> None:
    values = np.full((20, 30), 255, np.uint8)
    values[:5] = 2
    write(files, "classes.tif", values, nodata=255)
    assert np.array_equal(class_raster(files, "classes.tif", GRID) > 0, values == 2)
    params = LabelParams(crop_mask="classes.tif", crop_mask_codes=(2,))
    assert np.array_equal(crop_mask(files, params, GRID), values == 2)


def test_what_the_raster_does_not_cover_has_no_class(files: Path) -> None:
    write(files, "part.tif", np.full((20, 10), 3, np.uint8))
    found = class_raster(files, "part.tif", GRID)
    assert (found[:, :10] == 3).all()
    assert (found[:, 10:] == 0).all()


@pytest.mark.parametrize(
    ("values", "more", "words"),
    [
        (np.full((20, 30), 9, np.uint8), {}, "holds 1 to 4, and 0 for none; found 9"),
        (np.full((20, 30), 1.5, np.float32), {}, "found 1.5"),
        (np.full((20, 30), 1, np.uint8), {"crs": None}, "has no coordinate reference system"),
        (np.full((20, 30), 1, np.uint8), {"origin": (WEST + 10_000, TOP)}, "no pixel of the area has a class"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_that_is_no_class_raster_is_refused_by_name(
    files: Path, values: NDArray[Any], more: dict[str, Any], words: str
) -> None:
    write(files, "odd.tif", values, **more)
    with pytest.raises(BadInputError, match=f"odd.tif: .*{words}"):
        class_raster(files, "odd.tif", GRID)


def test_a_file_that_is_no_raster_is_refused_by_name(files: Path) -> None:
    (files / "source").mkdir()
    (files / "source" / "crop.tif").write_text("not a raster")
    with pytest.raises(BadInputError, match=r"crop.tif: cannot be read as a GeoTIFF"):
        crop_mask(files, LabelParams(crop_mask="crop.tif"), GRID)
    write(files, "none.tif", np.zeros((20, 30), np.uint8))
    with pytest.raises(BadInputError, match=r"none.tif: no pixel of the area is cropland"):
        crop_mask(files, LabelParams(crop_mask="none.tif"), GRID)


@pytest.mark.parametrize("values", [[[0, 10], [40, 50]], [[0, 0], [40, 40]], [[0, 1], [1, 2]]])
def test_a_land_cover_map_needs_the_codes_that_are_cropland(files: Path, values: list[list[int]]) -> None:
    raster = np.kron(values, np.ones((10, 15))).astype(np.uint8)
    write(files, "map.tif", raster)
    code = int(raster.max())
    with pytest.raises(BadInputError, match=rf"map\.tif: is a land-cover map.*{code} \(\d+\.0 %\).*crop_mask_codes"):
        crop_mask(files, LabelParams(crop_mask="map.tif"), GRID)
    mask = crop_mask(files, LabelParams(crop_mask="map.tif", crop_mask_codes=(code,)), GRID)
    assert np.array_equal(mask, raster == code)
    with pytest.raises(BadInputError, match=rf"no pixel .* codes 41; it holds .*{code} \("):
        crop_mask(files, LabelParams(crop_mask="map.tif", crop_mask_codes=(41,)), GRID)


def test_codes_outside_of_the_area_tell_a_land_cover_map_too(files: Path) -> None:
    wide = np.full((20, 60), 1, np.uint8)
    wide[:, 40:] = 4
    write(files, "map.tif", wide)
    with pytest.raises(BadInputError, match=r"is a land-cover map.*1 \(100\.0 %\), 4 \(0\.0 %\)"):
        crop_mask(files, LabelParams(crop_mask="map.tif"), GRID)


@pytest.mark.parametrize("crop", [1, 100, 255])
def test_a_mask_is_0_and_one_value_of_cropland(files: Path, crop: int) -> None:
    values = np.full((20, 30), crop, np.uint8)
    values[:5] = 0
    write(files, "mask.tif", values)
    assert np.array_equal(crop_mask(files, LabelParams(crop_mask="mask.tif"), GRID), values == crop)


def test_the_share_of_cropland_is_reported_with_those_of_all_codes(files: Path) -> None:
    values = np.full((20, 30), 10, np.uint8)
    values[:15] = 40
    write(files, "map.tif", values)
    imagery = SimpleNamespace(grid=GRID, geometry=geometry_of(GRID))
    shares = crop_shares(files, LabelParams(crop_mask="map.tif", crop_mask_codes=(40,)), imagery)
    assert shares == {"crop_share": 75.0, "crop_codes": {"10": 25.0, "40": 75.0}}
    assert crop_shares(files, LabelParams(), imagery) == {}
    [finding] = crop_finding(SimpleNamespace(**shares))
    assert finding.message == "cropland on 75.0 % of the area; its mask holds 10 (25.0 %), 40 (75.0 %)"


def test_finer_classes_are_sampled_never_averaged(files: Path) -> None:
    values = np.where(np.indices((100, 150)).sum(axis=0) % 2, 1, 4).astype(np.uint8)
    write(files, "fine.tif", values, step=2)
    assert set(np.unique(class_raster(files, "fine.tif", GRID)).tolist()) <= {1, 4}
