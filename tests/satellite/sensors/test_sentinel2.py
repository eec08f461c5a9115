"""Sentinel-2 as ESA documents it."""

from include.satellite.sensors.sentinel2 import SENTINEL2


def test_bands_lie_in_the_order_of_the_stores_files_within_their_part_of_the_spectrum():
    assert [band.name for band in SENTINEL2.bands if not band.optional] == ["B02", "B03", "B04", "B08"]
    assert {band.name: band.resolution_m for band in SENTINEL2.bands} == {
        "B02": 10, "B03": 10, "B04": 10, "B08": 10, "B05": 20, "B8A": 20, "B11": 20,
    }  # fmt: skip
    assert all(450 < band.wavelength_nm < 2500 for band in SENTINEL2.bands)


def test_classes_are_the_twelve_of_the_scene_classification():
    assert sorted(SENTINEL2.classes.values.values()) == list(range(12))


def test_every_service_holds_the_collection():
    assert set(SENTINEL2.collections) == {"demo", "sentinelhub", "cdse", "stac"}
