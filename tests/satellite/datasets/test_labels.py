"""The label of a square, and why it has none."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.datasets import labels
from include.satellite.datasets.cube import Scene, scenes
from include.satellite.datasets.labels import assess, classes_of, label_patches, reference_classes
from include.satellite.datasets.squares import Squares
from include.satellite.imagery.model import REFERENCE
from include.satellite.params import CnnDataParams
from tests.satellite.imagery_store import BANDS, ImageryMaker, days_from, grid_of, layers_of

SIZE = 10
SQUARE = Squares.on(SIZE, SIZE, SIZE, SIZE)


def scene_of(scl: NDArray[np.uint8], ndvi: NDArray[np.floating] | float = 0.6) -> Scene:
    layers = layers_of(np.broadcast_to(np.asarray(ndvi, float), scl.shape), scl)
    return Scene(dn=layers[:4].transpose(1, 2, 0), scl=scl, reference=None, masked=0)


def scl_of(**counts: int) -> NDArray[np.uint8]:
    """One square whose pixels have so many of each class, as `c4=80, c9=20`."""
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
def test_a_square_must_be_clear_and_land(scl: NDArray[np.uint8], reason: str) -> None:
    found = assess(scene_of(scl), SQUARE, None)
    assert labels.REASONS[found.reason[0]] == reason
    assert np.isnan(found.ndvi[0]) == bool(reason)


def test_vegetation_and_soil_decide_not_water_unclassified_or_cloud() -> None:
    scl = scl_of(c4=30, c5=30, c6=10, c7=15, c9=15)
    ndvi = np.select([scl == 4, scl == 5, scl == 6], [0.8, 0.2, -0.5], 0.9)
    assert assess(scene_of(scl, ndvi), SQUARE, None).ndvi[0] == pytest.approx(0.5, abs=2e-4)


@pytest.mark.parametrize(("share", "reason"), [(50, ""), (49, labels.NOT_CROP), (0, labels.NOT_CROP)])
def test_the_crop_mask_decides_where_half_of_the_land_lies_in_it(share: int, reason: str) -> None:
    crop = np.zeros(SIZE * SIZE, bool)
    crop[:share] = True
    crop = crop.reshape(SIZE, SIZE)
    found = assess(scene_of(scl_of(c4=100), np.where(crop, 0.8, 0.1)), SQUARE, crop)
    assert labels.REASONS[found.reason[0]] == reason
    if not reason:
        assert found.ndvi[0] == pytest.approx(0.8, abs=2e-4)


def test_each_class_begins_where_the_rule_says() -> None:
    ndvi = np.array([0.9, 0.700001, 0.7, 0.500001, 0.5, 0.300001, 0.3, -0.4, np.nan])
    assert classes_of(ndvi).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, -1]


def test_a_uniform_square_on_a_threshold_is_not_moved_by_rounding() -> None:
    """NDVI is exactly 0.3 or 0.7 in each pixel: not above the threshold, however many are added up."""
    squares = Squares.on(40, 70, 16, 3)
    for red, nir, expected in ((3500, 6500, 3), (1500, 8500, 1), (2500, 7500, 2)):
        dn = np.empty((40, 70, 4), np.uint16)
        dn[...] = [500, 700, red, nir]
        scene = Scene(dn=dn, scl=np.full((40, 70), 4, np.uint8), reference=None, masked=0)
        assert set(classes_of(assess(scene, squares, None).ndvi)) == {expected}


def test_the_reference_class_is_the_most_frequent_where_half_have_one() -> None:
    raster = np.zeros((SIZE, 3 * SIZE), np.uint8)
    raster[:5, :SIZE] = 4
    raster[:4, SIZE : 2 * SIZE] = 1
    raster[:, 2 * SIZE :] = 2
    raster[:6, 2 * SIZE :] = 3
    squares = Squares.on(SIZE, 3 * SIZE, SIZE, SIZE)
    assert reference_classes(raster, squares, None).tolist() == [3, -1, 2]
    crop = np.ones(raster.shape, bool)
    crop[:6, 2 * SIZE :] = False
    assert reference_classes(raster, squares, crop).tolist() == [3, -1, -1]


@pytest.fixture
def three_dates(data_dir: Path, files: Path) -> ImageryMaker:
    """Two squares over three dates: the right one is clouded on the second date, and water on the third."""
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
    from include.satellite.datasets.cube import load_imagery

    imagery, squares = load_imagery(files), Squares.on(SIZE, 2 * SIZE, SIZE, SIZE)
    params = CnnDataParams(label_source=label_source, patch_size=8)
    found = label_patches(files, params, imagery, scenes(imagery), squares)
    assert found.label.tolist() == expected
    assert found.left_out == left_out


def test_reference_labels_without_a_class_raster_are_an_error_in_words(data_dir: Path, files: Path) -> None:
    maker = ImageryMaker(data_dir, grid_of(SIZE, SIZE))
    scene = maker.scene(date(2024, 5, 1), layers_of(np.full((SIZE, SIZE), 0.5), np.full((SIZE, SIZE), 4)))
    imagery = maker.manifest(files, [scene])
    params = CnnDataParams(label_source="reference", patch_size=8)
    with pytest.raises(BadInputError, match=r"needs a class raster: none is given .* 2024-05-01 has no band REFERENCE"):
        label_patches(files, params, imagery, scenes(imagery), SQUARE)
