"""A sensor's description: bands by either name, classes by what they count as."""

from dataclasses import replace

import numpy as np
import pytest

from include.satellite.sensors.sensor import Band
from include.satellite.sensors.sentinel2 import SENTINEL2

CLASSES = SENTINEL2.classes
VALUES = np.arange(12, dtype=np.uint8)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (CLASSES.clear, [4, 5, 6, 7]),
        (CLASSES.cloud, [8, 9, 10]),
        (CLASSES.shadow, [3]),
        (CLASSES.land, [4, 5]),
        (CLASSES.water, [6]),
        (("no_data", "snow"), [0, 11]),
        ((), []),
    ],
)
def test_classes_count_as_what_their_group_says(names, values):
    assert np.flatnonzero(CLASSES.mask(VALUES, names)).tolist() == values


def test_a_mask_keeps_the_shape_of_the_scene():
    assert CLASSES.mask(VALUES.reshape(3, 4), CLASSES.clear).shape == (3, 4)


@pytest.mark.parametrize(
    ("spellings", "band"),
    [
        (("b02", "B2", "blue", "Blue", "FRE_B2", "SRE_B2", "B02_10m", "B02 ", "B2, central wavelength 490 nm"), "B02"),
        (("b8a", "FRE_B8A", "nir08", "B8A_20m"), "B8A"),
        (("B8", "nir", "SRE_B08"), "B08"),
        (("B5", "rededge1", "rededge071"), "B05"),
        (("scl", "SCL_20m"), "SCL"),
        (("quality", "", "1", "band 1", "blue-jp2", "B1", "TCI_10m"), None),
    ],
)
def test_a_band_is_found_by_the_usual_spellings(spellings, band):
    assert {SENTINEL2.band_spelt(text) for text in spellings} == {band}


def test_a_band_is_found_by_its_name_and_by_its_common_name():
    assert SENTINEL2.name_of("red") == SENTINEL2.name_of("B04") == "B04"
    with pytest.raises(KeyError, match="Sentinel-2 L2A has no band B99"):
        SENTINEL2.name_of("B99")


def test_bands_hold_reflectances_or_classes():
    assert SENTINEL2.reflectances(["B02", "B11", "SCL", "REFERENCE"]) == ["B02", "B11"]
    assert [SENTINEL2.is_class_band(band) for band in ("B02", "SCL", "REFERENCE")] == [False, True, True]


def test_every_run_fetches_the_base_bands_and_may_ask_for_the_others():
    assert SENTINEL2.base_bands == ("B02", "B03", "B04", "B08")
    assert SENTINEL2.extra_bands[:3] == ("B05", "B8A", "B11")


def test_one_entry_adds_a_band():
    sensor = replace(SENTINEL2, bands=(*SENTINEL2.bands, Band("B99", "thermal", 10_000, 60, optional=True)))
    assert sensor.extra_bands == (*SENTINEL2.extra_bands, "B99")
    assert sensor.name_of("thermal") == "B99"


def test_an_index_is_computed_where_all_its_bands_are_there():
    assert [index.name for index in SENTINEL2.indices_of(["B02", "B03", "B04", "B08", "SCL"])] == [
        "ndvi", "savi", "evi", "ndwi",
    ]  # fmt: skip
    assert [index.name for index in SENTINEL2.indices_of(["B04", "B08"])] == ["ndvi", "savi"]
