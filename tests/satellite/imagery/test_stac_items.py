"""STAC items of Sentinel-2: passes and baselines, offsets of four catalogs, names of assets."""

import numpy as np
import pytest

from include.core.errors import BadInputError
from include.satellite.imagery.scenes import NotDataError
from include.satellite.imagery.stac_items import (
    asset_of,
    baseline_of,
    check_offset,
    cloud_of,
    newest_first,
    newest_of_each_pass,
    nodata_of,
    radiometry_of,
    reflectance_numbers,
    understood,
)
from include.satellite.sensors.sentinel2 import SENTINEL2


def item(name="a", time="05:40:00", baseline="05.11", tile="MGRS-43RFQ", **properties):
    stated = {"datetime": f"2025-05-10T{time}Z", "s2:processing_baseline": baseline, "grid:code": tile}
    return {"id": name, "properties": {key: value for key, value in (stated | properties).items() if value is not None}}


def asset(**raster):
    return {"raster:bands": [raster]} if raster else {}


@pytest.mark.parametrize(
    ("stated", "declared", "expected"),
    [
        ({}, {"scale": 1e-4, "offset": -0.1}, (1e-4, -0.1)),  # Earth Search, collection 1
        ({}, {}, (1e-4, -0.1)),  # Planetary Computer
        ({"baseline": "04.00"}, {}, (1e-4, -0.1)),
        ({"baseline": "03.01"}, {}, (1e-4, 0.0)),
        ({}, {"scale": 1e-4, "offset": 0}, (1e-4, 0.0)),  # harmonised, and declared
        ({"baseline": None, "processing:version": "05.09"}, {}, (1e-4, -0.1)),
        ({"baseline": None}, {"scale": 2e-4, "offset": 0.0}, (2e-4, 0.0)),
    ],
)
def test_the_offset_is_the_declared_one_else_that_of_the_baseline(stated, declared, expected):
    assert radiometry_of(item(**stated), asset(**declared)) == expected


def test_version_2_of_the_extension_raster_is_read_too():
    assert radiometry_of(item(), {"raster:scale": 1e-4, "raster:offset": 0.0}) == (1e-4, 0.0)
    assert radiometry_of(item(), {"bands": [{"raster:scale": 1e-4, "raster:offset": 0.0}]}) == (1e-4, 0.0)


def test_offsets_that_cannot_be_told_are_refused():
    with pytest.raises(BadInputError, match="item a: states neither the offset"):
        radiometry_of(item(baseline=None), asset())
    with pytest.raises(BadInputError, match=r"offset of -0.1 and that it is already applied"):
        radiometry_of(item(**{"earthsearch:boa_offset_applied": True}), asset(scale=1e-4, offset=-0.1))


def test_numbers_become_those_of_the_store():
    numbers = np.array([0, 1, 1000, 1001, 11_000, 65_535])
    assert reflectance_numbers(numbers, 1e-4, -0.1, 1e-4).tolist() == [0, 1, 1, 1, 10_000, 64_535]
    assert reflectance_numbers(numbers, 1e-4, 0.0, 1e-4).tolist() == [0, 1, 1000, 1001, 11_000, 65_535]


def test_land_that_an_offset_turns_negative_shows_that_it_was_applied_before():
    check_offset(item(), {"B04": np.array([0, 1300] * 20)}, 1e-4, -0.1)
    with pytest.raises(NotDataError, match="50 % of the clear land is negative in B04"):
        check_offset(item(), {"B04": np.array([300, 1300] * 20)}, 1e-4, -0.1)


def test_of_each_pass_over_a_tile_the_newest_baseline_is_kept_with_both_its_halves():
    items = [
        item("old", baseline="02.14"),
        item("half1"),
        item("half2", time="05:40:20"),
        item("other tile", tile="MGRS-43RGQ", baseline="02.14"),
        item("next orbit", time="07:20:00", baseline="02.14"),
    ]
    kept = {one["id"] for one in newest_of_each_pass(items)}
    assert kept == {"half1", "half2", "other tile", "next orbit"}
    named = [
        item(f"S2A_MSIL2A_20250510T0540_N{n}_R005_T43RFQ_x", baseline=b, tile=None) for n, b in ((1, "5"), (2, "2"))
    ]
    assert [one["properties"]["s2:processing_baseline"] for one in newest_of_each_pass(named)] == ["5"]


def test_the_newest_baseline_comes_first():
    items = [item("b", baseline="05.10"), item("a", time="06:00:00"), item("c")]
    assert [one["id"] for one in sorted(items, key=newest_first)] == ["c", "a", "b"]


def test_an_item_has_a_version_that_changes_when_it_is_processed_again():
    before, after = (understood(item(updated=day))["properties"]["version"] for day in ("2025-05-11", "2025-06-11"))
    assert before != after
    interval = understood(item() | {"properties": {"datetime": None, "start_datetime": "2025-05-10T05:40:00Z"}})
    assert interval["properties"]["datetime"] == "2025-05-10T05:40:00Z"


def test_assets_are_found_by_key_or_by_what_they_describe_the_finest_first():
    def of(band, **assets):
        return asset_of({"id": "a", "assets": assets}, band, SENTINEL2)["href"]

    assert of("B04", red={"href": "red.tif"}, visual={"href": "tci.tif"}) == "red.tif"
    assert of("B04", **{"B04_20m": {"href": "20", "gsd": 20}, "B04_10m": {"href": "10", "gsd": 10}}) == "10"
    assert of("B04", **{"x": {"href": "x", "eo:bands": [{"name": "B04"}]}}) == "x"
    assert of("B04", **{"red-jp2": {"href": "jp2", "type": "image/jp2"}, "red": {"href": "tif"}}) == "tif"
    with pytest.raises(BadInputError, match="no asset for band B04; its assets: visual"):
        of("B04", visual={"href": "tci.tif", "eo:bands": [{"name": "red"}, {"name": "green"}]})


def test_what_is_not_stated_is_none():
    assert (cloud_of(item()), baseline_of(item(baseline=None)), nodata_of({})) == (None, None, None)
    assert (cloud_of(item(**{"eo:cloud_cover": 3})), nodata_of(asset(nodata=0))) == (3.0, 0.0)
