"""Several products of one place and time in a folder of scenes."""

from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio

from include.standins.sentinel_hub.duplicates import one_of_each_place
from include.standins.sentinel_hub.folder import SceneFolder
from tests.satellite.scene_folders import BANDS, NORTH, WEST, reflectances, write_raster

OLD, NEW = (f"S2A_MSIL2A_20240510T105619_N{baseline}_R094_T31UES_20240510T153000" for baseline in ("0400", "0510"))
LAYERS, OTHER = (reflectances(mean).round().astype("uint16") for mean in (0.5, 0.3))
EAST = LAYERS[:, :, 30:]


def products(folder, **layers):
    for name, values in layers.items():
        west = WEST + 10 * (60 - values.shape[2])
        place = rasterio.Affine(10, 0, west, 0, -10, NORTH)
        write_raster(folder / "scenes" / f"{name}.tif", values, names=BANDS, transform=place)
    read = SceneFolder(folder).products(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC), (0, 0, 9, 60)
    )
    assert one_of_each_place(read) == read, "what is listed is settled"
    return {product.source.name: product.properties.get("unreadable") for product in read}


def test_of_one_place_the_newest_baseline_counts(tmp_path):
    assert products(tmp_path, **{NEW: LAYERS, OLD: OTHER}) == {f"scenes/{NEW}.tif": None}


def test_versions_that_differ_are_refused_if_nothing_says_which_is_newer(tmp_path):
    reasons = products(tmp_path, **{"a/S2_20240510": LAYERS, "b/S2_20240510": OTHER})
    assert len(reasons) == 2
    for reason in reasons.values():
        assert "a/S2_20240510.tif and scenes/b/S2_20240510.tif: are two versions of one scene" in reason
    assert "keep one" in reason


@pytest.mark.parametrize("second", [LAYERS, np.where(np.arange(60) < 30, LAYERS, 0).astype("uint16"), EAST])
def test_copies_halves_of_a_tile_and_other_tiles_stay(tmp_path, second):
    reasons = products(tmp_path, S2_20240510_a=LAYERS, S2_20240510_b=second)
    assert [*reasons.values()] == [None, None]
