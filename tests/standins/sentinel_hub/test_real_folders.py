"""Measured scenes through the official client: what is there is what comes."""

import csv
from datetime import date

import numpy as np
import pytest
import rasterio
from sentinelhub.exceptions import DownloadFailedException

from include.standins.sentinel_hub.folder import SceneFolder
from include.standins.sentinel_hub.scenes import Grid
from tests.standins.sentinel_hub.api import BANDS

pytestmark = pytest.mark.real_data


def native(path):
    """The grid of a file as it lies, and its pixels."""
    with rasterio.open(path) as file:
        grid = Grid(file.crs.to_epsg(), tuple(file.bounds), file.width, file.height)
        return grid, file.read(), file.descriptions


def around(folder):
    with (folder / "index.csv").open() as file:
        return tuple(float(edge) for edge in next(csv.DictReader(file))["bbox_wgs84"].split())


def test_romania_has_its_own_scene_classification(real_data, serve):
    folder = real_data / "satellite" / "romania_s2l2a_west"
    api = serve(SceneFolder(folder))
    with (folder / "index.csv").open() as file:
        rows = {row["date"]: row for row in csv.DictReader(file)}
    found = api.search(bbox=around(folder), start="2015-01-01", end="2021-12-31", limit=100)
    assert {one["properties"]["datetime"][:10]: one["properties"]["eo:cloud_cover"] for one in found} == {
        day: float(row["cloud_pct"]) for day, row in rows.items()
    }
    clear = api.search(bbox=around(folder), start="2015-01-01", end="2021-12-31", filter="eo:cloud_cover <= 20")
    assert len(clear) == sum(float(row["cloud_pct"]) <= 20 for row in rows.values())
    for day in ("2018-07-01", "2016-05-27"):
        name = day.replace("-", "")
        grid, pixels, names = native(folder / "scenes" / f"S2_{name}.tif")
        served = api.pixels(grid=grid, day=date.fromisoformat(day))
        for band, wanted in enumerate(("B02", "B03", "B04", "B08")):
            assert np.array_equal(served[..., band], pixels[names.index(wanted)])
        assert np.array_equal(served[..., 4], native(folder / "scl" / f"SCL_{name}.tif")[1][0])
        cloud = np.isin(served[..., 4], (8, 9, 10)).mean() * 100
        assert cloud == pytest.approx(float(rows[day]["cloud_pct"]), abs=0.01)


def test_romania_in_utm_keeps_its_cloud_share(real_data, serve):
    folder = real_data / "satellite" / "romania_s2l2a_west"
    api = serve(SceneFolder(folder))
    utm = Grid(32634, (590_000, 5_006_000, 590_400, 5_006_700), 40, 70)
    pixels = api.pixels(grid=utm, day=date(2016, 5, 27))
    assert pixels[..., 5].mean() > 0.9
    assert np.isin(pixels[..., 4], (8, 9, 10)).mean() < 0.1
    assert not api.pixels(script=BANDS, grid=utm, day=date(2016, 5, 28)).any()


def test_romania_has_no_red_edge(real_data, serve):
    folder = real_data / "satellite" / "romania_s2l2a_west"
    grid, _, _ = native(folder / "scenes" / "S2_20180701.tif")
    with pytest.raises(DownloadFailedException, match="Requested band 'B05' is not present"):
        serve(SceneFolder(folder)).pixels(script=BANDS.replace("B02", "B05"), grid=grid, day=date(2018, 7, 1))


def test_slovenia_has_a_cloud_mask_instead(real_data, serve):
    folder = real_data / "satellite" / "slovenia_s2l1c"
    api = serve(SceneFolder(folder))
    found = api.search(bbox=around(folder), start="2015-01-01", end="2017-12-31")
    clouds = {one["properties"]["datetime"]: one["properties"]["eo:cloud_cover"] for one in found}
    assert clouds == {
        "2015-07-11T10:00:08Z": 0.0,
        "2015-07-31T10:00:09Z": 99.85,
        "2015-08-20T10:07:28Z": 100.0,
        "2015-08-30T10:05:47Z": 0.0,
        "2015-09-09T10:00:17Z": 0.0,
    }
    assert {one["properties"]["level"] for one in found} == {"L1C"}
    _, ndvi, _ = native(folder / "stack" / "NDVI_68.tif")
    for day, cloud, number in (
        (date(2015, 7, 11), 0.0, 0),
        (date(2015, 7, 31), 0.9985, 1),
        (date(2015, 8, 20), 1.0, 2),
    ):
        grid, _, _ = native(folder / "scenes" / f"S2L1C_{day:%Y%m%d}.tif")
        served = api.pixels(grid=grid, day=day).astype(float)
        assert (served[..., 4] == 9).mean() == pytest.approx(cloud, abs=1e-4)
        assert np.allclose(
            (served[..., 3] - served[..., 2]) / (served[..., 3] + served[..., 2]), ndvi[number], atol=1e-3
        )
    clear = api.pixels(grid=grid, day=date(2015, 8, 30))
    assert set(np.unique(clear[..., 4])) <= {4, 5, 6}


def test_belgium_knows_nothing_of_clouds_and_has_two_empty_months(real_data, serve):
    folder = real_data / "satellite" / "belgium_hesbaye_monthly"
    api = serve(SceneFolder(folder))
    found = api.search(bbox=around(folder), start="2020-01-01", end="2021-12-31", filter="eo:cloud_cover <= 5")
    assert len(found) == 12
    assert all(one["properties"]["cloud_unknown"] for one in found)
    grid, pixels, names = native(folder / "scenes" / "S2_20210601.tif")
    served = api.pixels(grid=grid, day=date(2021, 6, 1))
    assert np.array_equal(served[..., 3], pixels[names.index("B08")])
    assert set(np.unique(served[..., 4])) <= {4, 5, 6}
    assert served[..., 5].all()
    for empty in (date(2020, 12, 1), date(2021, 1, 1)):
        assert not api.pixels(grid=grid, day=empty).any()
