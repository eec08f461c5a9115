"""Masks: which scene they belong to, what their values mean, and when they are refused."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
import rasterio

from include.standins.sentinel_hub.masks import (
    CLEAR,
    MASK_TYPES,
    Mask,
    MaskError,
    check_no_data,
    is_mask,
    masks_of,
    read_masks,
    scl_of,
)
from tests.standins.sentinel_hub.test_folder import GRID, write

DAY = date(2024, 1, 3)


def mask_file(tmp_path, values, name="scl/SCL_20240103.tif", **options):
    path = tmp_path / name
    write(path, np.broadcast_to(np.asarray(values), (1, 4, 6)), ("mask",), **({"dtype": "uint8"} | options))
    return path


def only(tmp_path, path, declared=None):
    [mask], _ = read_masks([path], tmp_path, declared, {})
    return mask


@pytest.mark.parametrize(
    ("kind", "values", "classes"),
    [
        ("scl", [4, 5, 9, 0], [4, 5, 9, 0]),
        ("clm", [0, 1, 0, 255], [CLEAR, 9, CLEAR, 0]),
        ("clp", [0, 101, 102, 255], [CLEAR, CLEAR, 9, 9]),
        ("cloud_probability", [0, 39, 40, 100], [CLEAR, CLEAR, 9, 9]),
        ("s2cloudless", [0, 0.39, 0.4, 1], [CLEAR, CLEAR, 9, 9]),
        ("fmask", [0, 1, 2, 3, 4, 255], [CLEAR, 6, 3, 11, 9, 0]),
    ],
)
def test_the_values_of_each_type_become_classes(kind, values, classes):
    assert MASK_TYPES[kind].scl(np.array(values, np.float32)).tolist() == classes


def test_nodata_that_is_a_value_of_the_type_stays_one(tmp_path):
    mask = only(tmp_path, mask_file(tmp_path, 0, nodata=0), "clm")
    assert (scl_of([mask], GRID, np.ones(GRID.shape, bool)) == CLEAR).all()


def test_where_no_mask_lies_nothing_is_known(tmp_path):
    half = type(GRID)(GRID.crs, (576_000, 3_420_000, 576_030, 3_420_040), 3, 4)
    path = tmp_path / "scl" / "SCL_20240103.tif"
    write(path, np.full((1, 4, 3), 4), ("SCL",), dtype="uint8", grid=half)
    assert scl_of([only(tmp_path, path)], GRID, np.ones(GRID.shape, bool))[0].tolist() == [4, 4, 4, 0, 0, 0]


def test_a_mask_belongs_to_the_scene_of_its_day_where_it_lies(tmp_path):
    mask = only(tmp_path, mask_file(tmp_path, 4, "masks/any_scl_2024-01-03.tif"))
    _, south, east, north = mask.degrees
    noon = datetime(2024, 1, 3, 12, tzinfo=UTC)
    assert masks_of([mask], noon, mask.degrees) == (mask,)
    assert masks_of([mask], noon.replace(day=4), mask.degrees) == ()
    assert masks_of([mask], noon, (east + 1, south, east + 2, north)) == ()


def test_two_masks_of_one_scene_are_refused(tmp_path):
    masks = [
        only(tmp_path, mask_file(tmp_path, 4, name)) for name in ("scl/SCL_20240103.tif", "scl/SCL_20240103_b.tif")
    ]
    with pytest.raises(MaskError, match="are two masks of one scene"):
        masks_of(masks, datetime(2024, 1, 3, tzinfo=UTC), masks[0].degrees)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scl/a.tif", True),
        ("Masks/b.tif", True),
        ("stack/CLOUD_MASK_3.tif", True),
        ("stack/CLOUD_PROB_3.tif", False),
        ("scenes/S2_20240103.tif", False),
        ("scenes/S2_20240103_SCL.tif", True),
        ("s1/S1_20240103.tif", False),
    ],
)
def test_what_is_a_mask_shows_in_folder_or_name(tmp_path, name, expected):
    assert is_mask(tmp_path / name, tmp_path) is expected


def test_an_undeclared_mask_is_refused_unless_its_name_says_scl(tmp_path):
    path = mask_file(tmp_path, 4, "masks/clouds_20240103.tif")
    with pytest.raises(MaskError, match=r"masks/clouds_20240103\.tif: .*--mask-type \(scl, clm"):
        read_masks([path], tmp_path, None, {})
    assert only(tmp_path, path, "fmask").type == "fmask"


def test_a_mask_without_a_date_is_refused(tmp_path):
    with pytest.raises(MaskError, match=r"scl/SCL\.tif: neither its name nor a tag DATETIME states a date"):
        read_masks([mask_file(tmp_path, 4, "scl/SCL.tif")], tmp_path, None, {})


@pytest.mark.parametrize("fault", ["cannot be read", "has no CRS", "has no geotransform"])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_damaged_mask_is_named_with_its_date(tmp_path, fault):
    path = mask_file(tmp_path, 4, "scl/SCL_20240103.tif")
    if fault == "cannot be read":
        path.write_bytes(b"II*\0broken")
    else:
        gone = {"crs": None} if fault == "has no CRS" else {"transform": rasterio.Affine.identity()}
        with rasterio.open(path) as file:
            profile = file.profile | gone
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.full((1, *file.shape), 4, "uint8"))
    masks, damaged = read_masks([path], tmp_path, None, {})
    assert masks == []
    assert f"scl/SCL_20240103.tif: {fault}" in damaged[DAY]


def test_a_mask_whose_name_holds_several_dates_is_refused(tmp_path):
    with pytest.raises(MaskError, match=r"several dates \(2024-01-03, 2024-02-01\)"):
        read_masks([mask_file(tmp_path, 4, "scl/SCL_20240103_20240201.tif")], tmp_path, None, {})


@pytest.mark.parametrize(("kind", "value"), [("scl", 12), ("scl", 98), ("clm", 4), ("fmask", 64), ("s2cloudless", 40)])
def test_a_value_of_another_type_is_refused(tmp_path, kind, value):
    mask = only(tmp_path, mask_file(tmp_path, value, nodata=254), kind)
    with pytest.raises(MaskError, match=rf"holds {value}, .*--mask-type"):
        mask.read(GRID)


@pytest.mark.parametrize(("zeros", "refused"), [(24, True), (13, True), (12, False)])
def test_an_scl_that_calls_pixels_with_data_no_data_is_another_type_of_mask(zeros, refused):
    values = np.full(GRID.shape, 4, np.float32)
    values.ravel()[:zeros] = 0
    mask = Mask(None, "scl/x.tif", 1, "scl", DAY, None, (0, 0, 1, 1))
    if refused:
        with pytest.raises(MaskError, match="which SCL calls no data; it is another type of mask"):
            check_no_data(values, np.ones(GRID.shape, bool), mask)
    else:
        check_no_data(values, np.ones(GRID.shape, bool), mask)
