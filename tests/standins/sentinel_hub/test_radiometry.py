"""What the numbers of a file mean: stated, tagged, recognised by their type and size, or refused."""

import numpy as np
import pytest
import rasterio

from include.standins.sentinel_hub.radiometry import Stated, has_data, radiometry_of, served

BANDS = ("B04", "B08")


@pytest.fixture
def read(tmp_path):
    """Return a function that writes numbers with their tags and says what they are taken for."""

    def read(values, dtype="uint16", scales=None, offsets=None, scale=None, offset=None):
        path = tmp_path / "S2_20240103.tif"
        layers = np.broadcast_to(np.array(values, dtype), (2, 300, 300))
        size = {"driver": "GTiff", "count": 2, "height": 300, "width": 300, "dtype": dtype, "crs": "EPSG:32643"}
        with rasterio.open(path, "w", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **size) as file:
            file.write(layers)
            file.descriptions = BANDS
            if scales or offsets:
                file.scales, file.offsets = scales or (1, 1), offsets or (0, 0)
        with rasterio.open(path) as file:
            return radiometry_of(file, {"B04": 1, "B08": 2}, Stated(scale, offset))

    return read


@pytest.mark.parametrize(
    ("values", "dtype", "pair", "words"),
    [
        (1200, "uint16", (1e-4, 0), "uint16 without tags is taken as reflectance × 10000"),
        (1200, "int16", (1e-4, 0), "int16 without tags is taken as reflectance × 10000"),
        (0.12, "float32", (1, 0), "float32 up to 2 without tags is reflectance"),
        (1200, "float32", (1e-4, 0), "float32 from 150 on without tags is reflectance × 10000"),
        (np.nan, "float64", (1, 0), "float64 without data without tags is reflectance"),
    ],
)
def test_numbers_without_tags_are_known_by_type_and_size(read, values, dtype, pair, words):
    found = read(values, dtype)
    assert set(found.bands.values()) == {pair}
    assert str(found) == f"scale {pair[0]:g}, offset 0: {words}"


def test_tags_are_applied_and_what_the_user_states_replaces_them(read):
    tags = {"scales": (1e-4, 1e-4), "offsets": (-0.1, -0.1)}
    assert str(read(2200, **tags)) == "scale 0.0001, offset -0.1: the file's tags"
    assert read(2200, **tags, offset=0).bands == dict.fromkeys(BANDS, (1e-4, 0))
    assert read(2200, offset=-0.1).bands == dict.fromkeys(BANDS, (1e-4, -0.1))
    assert str(read(60, "uint8", scale=0.004)) == "scale 0.004, offset 0: as the user states"


@pytest.mark.parametrize(
    ("values", "dtype", "tags", "words"),
    [
        (120, "uint8", {}, "holds uint8 without a tag for its scale, an export for display"),
        (42, "float32", {}, "holds float32 up to 42 without a tag for its scale: too large for reflectance"),
        (2200, "uint16", {"scales": (1e-4, 1)}, "only some of its bands have tags"),
        (2200, "uint16", {"scales": (10_000, 10_000)}, "scale 10000 and offset 0, make no reflectance of uint16"),
        (2200, "uint16", {"offsets": (-1000, -1000)}, "scale 1 and offset -1000, make no reflectance"),
    ],
)
def test_what_may_mean_anything_is_refused_with_the_options_that_resolve_it(read, values, dtype, tags, words):
    with pytest.raises(ValueError, match=r"S2_20240103\.tif: .*--scale and --offset") as refused:
        read(values, dtype, **tags)
    assert words in str(refused.value)


def test_reflectance_is_number_times_scale_plus_offset_clamped():
    raw = np.array([[[0, 500, 2200, 65_535]]], np.uint16)
    values, data = served(raw, 0, [(1e-4, -0.1)])
    assert values.tolist() == [[[0, 0, 1200, 0]]]
    assert data.tolist() == [[[False, True, True, False]]]
    values, data = served(np.array([[[-9999, 0.12, 7.1, np.nan, np.inf]]], np.float32), np.nan, [(1, 0)])
    assert values.tolist() == [[[0, 1200, 65_535, 0, 0]]]
    assert data.tolist() == [[[False, True, True, False, False]]]


def test_values_that_no_reflectance_has_are_no_data_whatever_the_tag_says():
    assert has_data(np.array([0, 1, 65_534, 65_535], np.uint16), 0).tolist() == [False, True, True, False]
    assert has_data(np.array([-32_768, -10_000, -9999, -5, 0], np.int16), 0).tolist() == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert has_data(np.array([65_535, 0, 255], np.int32), 255).tolist() == [False, True, False]
    assert has_data(np.array([255, 0], np.uint8), 0).tolist() == [True, False]
