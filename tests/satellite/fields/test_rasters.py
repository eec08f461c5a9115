"""Index rasters of passes: what they hold, and that a wrong one is found."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from stac_pydantic import Item

from include.core.errors import ContractError
from include.satellite.artifacts import VALIDATED
from include.satellite.fields import rasters
from include.satellite.fields.rasters import check_raster, index_raster, index_rasters, pass_item, raster_bytes
from include.satellite.imagery.store import scene_path
from tests.satellite.fields.squares import make_imagery


@pytest.fixture
def imagery(data_dir, tmp_path):
    make_imagery(data_dir, tmp_path, dates=1)
    return VALIDATED.read(tmp_path)


def test_the_raster_holds_every_index_and_nothing_where_it_is_not_clear(imagery):
    [acquisition] = imagery.acquisitions
    with (
        MemoryFile(index_raster(acquisition, imagery)) as file,
        file.open() as raster,
        rasterio.open(scene_path(acquisition)) as scene,
    ):
        assert raster.descriptions == ("ndvi", "ndre", "ndmi", "savi", "evi")
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.transform == scene.transform
        ndvi, bands = raster.read(1, masked=True) * raster.scales[0], scene.read().astype(float)
    red, nir, classes = bands[2], bands[3], bands[-1]
    with np.errstate(invalid="ignore"):
        expected = (nir - red) / (nir + red)
    assert ndvi.count() > 1000
    assert np.abs(ndvi - expected)[~ndvi.mask].max() <= 0.5e-4 + 1e-9
    assert ndvi.mask[np.isin(classes, (0, 1, 3, 8, 9, 10, 11))].all()


@pytest.mark.parametrize("limit", [0, 2**40], ids=["one after the other", "two at once"])
def test_rasters_of_several_passes_come_in_their_order(data_dir, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(rasters, "AT_ONCE_BYTES", limit)
    make_imagery(data_dir, tmp_path, dates=3)
    imagery = VALIDATED.read(tmp_path)
    assert raster_bytes(imagery) == 2 * 5 * imagery.grid.width * imagery.grid.height
    made = list(index_rasters(imagery.acquisitions, imagery))
    assert made == [index_raster(acquisition, imagery) for acquisition in imagery.acquisitions]
    assert len(set(made)) == 3
    assert list(index_rasters([], imagery)) == []


def test_a_raster_of_other_values_or_without_its_layout_is_refused(imagery):
    [acquisition] = imagery.acquisitions
    with MemoryFile(index_raster(acquisition, imagery)) as file, file.open() as raster:
        assert len(check_raster(raster, acquisition, imagery, "a.tif", audit=False)) == 4
        check_raster(raster, acquisition, imagery, "a.tif", audit=True)
        values, profile, names = raster.read(), raster.profile, raster.descriptions
    values[2, 30, 30] += 1
    for driver, rule in (("COG", "must hold the indices"), ("GTiff", "no cloud-optimised layout")):
        with MemoryFile(ext=".tif") as file:
            kept = {name: value for name, value in profile.items() if name not in ("tiled", "blockxsize", "blockysize")}
            with file.open(**kept | {"driver": driver, "interleave": "pixel"}) as raster:
                raster.write(values)
                raster.descriptions, raster.scales = names, [1e-4] * len(names)
            with file.open() as raster, pytest.raises(ContractError, match=rule) as error:
                check_raster(raster, acquisition, imagery, "a.tif", audit=True)
            assert error.value.artifact == "a.tif"


def test_the_item_is_stac_and_describes_the_raster_beside_it(imagery):
    [acquisition] = imagery.acquisitions
    document = json.loads(json.dumps(pass_item(acquisition, imagery)))
    item = Item.model_validate(document)
    assert item.stac_version == "1.1.0"
    assert [band["name"] for band in document["assets"]["indices"]["bands"]] == ["ndvi", "ndre", "ndmi", "savi", "evi"]
    assert item.assets["indices"].href == "./indices.tif"
    assert document["properties"]["proj:code"] == imagery.grid.crs
