"""Scenes of a folder, with and without SCL, cloud mask, index and class raster."""

import json
from datetime import UTC, date, datetime

import numpy as np
import pytest
import rasterio

from include.standins.sentinel_hub.folder import SceneFolder
from include.standins.sentinel_hub.scenes import Grid
from tests.standins.sentinel_hub.api import BANDS

GRID = Grid(32643, (576_000, 3_420_000, 576_060, 3_420_040), 6, 4)
AREA = (75.79, 30.90, 75.80, 30.92)
NAMES = ("B02", "B03", "B04", "B08")


def write(path, bands, names=NAMES, nodata=0, grid=GRID, dtype="uint16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(bands),
        height=grid.height,
        width=grid.width,
        dtype=dtype,
        crs=f"EPSG:{grid.crs}",
        transform=grid.transform,
        nodata=nodata,
    ) as file:
        file.write(np.asarray(bands, dtype))
        file.descriptions = names


def scene(*columns):
    """A scene whose columns of pixels have the given B02, B03, B04, B08."""
    return np.repeat(np.array(columns).T[:, None, :], 4, axis=1)


GREEN, BARE, LAKE, NOTHING = (300, 600, 400, 4000), (900, 1100, 1500, 2400), (600, 500, 300, 200), (0, 0, 0, 0)
COLUMNS = scene(GREEN, BARE, LAKE, NOTHING, GREEN, GREEN)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "scenes" / "S2_20240103.tif", COLUMNS)
    return tmp_path


def read(folder, bands=("SCL",), grid=GRID, resampling="NEAREST"):
    scenes = SceneFolder(folder)
    [product] = scenes.products(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), AREA)
    return scenes.read(product, grid, bands, resampling)


def test_without_an_index_the_name_tells_the_date_and_cloud_is_unknown(folder, serve):
    api = serve(SceneFolder(folder))
    [feature] = api.search(bbox=AREA, filter="eo:cloud_cover < 1")
    assert feature["properties"]["datetime"] == "2024-01-03T00:00:00Z"
    assert feature["properties"]["cloud_unknown"] is True
    assert "eo:cloud_cover" not in feature["properties"]
    assert "synthetic" not in feature["properties"]


def test_pixels_come_as_they_are(folder, serve):
    pixels = serve(SceneFolder(folder)).pixels(grid=GRID, day=date(2024, 1, 3))
    assert np.array_equal(np.moveaxis(pixels[..., :4], -1, 0), COLUMNS)
    assert pixels[0, :, 5].tolist() == [1, 1, 1, 0, 1, 1]


def test_scl_is_derived_where_there_is_none(folder):
    assert read(folder).values["SCL"][0].tolist() == [4, 5, 6, 0, 4, 4]


def test_scl_is_not_served_where_it_cannot_be_derived(tmp_path):
    write(tmp_path / "scenes" / "S2_20240103.tif", COLUMNS, ("B02", "B05", "B04", "B08"))
    scenes = SceneFolder(tmp_path)
    [product] = scenes.products(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), AREA)
    assert scenes.bands(product) == ["B02", "B04", "B05", "B08"]


def test_the_cloud_mask_makes_cloud(folder):
    mask = np.zeros((2, 4, 6))
    mask[1, :, 0] = 1
    names = ("2024-01-02T00:00:00", "2024-01-03T00:00:00")
    write(folder / "stack" / "CLOUD_MASK_2.tif", mask, names, nodata=255, dtype="uint8")
    assert read(folder).values["SCL"][0].tolist() == [9, 5, 6, 0, 4, 4]


def test_the_folders_own_scl_is_served(folder):
    write(folder / "scl" / "SCL_20240103.tif", np.full((1, 4, 6), 8), ("SCL",), dtype="uint8")
    assert (read(folder).values["SCL"] == 8).all()


def test_a_class_raster_is_served_as_reference(folder, serve):
    classes = np.tile([1, 2, 3, 4, 255, 1], (1, 4, 1))
    write(folder / "labels" / "reference.tif", classes, ("class",), nodata=255, dtype="uint8")
    assert read(folder, ("REFERENCE",)).values["REFERENCE"][0].tolist() == [1, 2, 3, 4, 0, 1]
    scenes = SceneFolder(folder)
    [product] = scenes.products(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), AREA)
    assert scenes.bands(product) == [*NAMES, "SCL", "REFERENCE"]
    (folder / "labels" / "reference.tif").unlink()
    assert scenes.bands(product) == [*NAMES, "SCL"]
    answer = serve(SceneFolder(folder)).post("/process/v1", _body(BANDS.replace("B02", "REFERENCE")))
    assert answer.status_code == 400
    assert "Requested band 'REFERENCE' is not present" in answer.json()["error"]["message"]


def test_the_folders_own_nodata_becomes_the_mask(tmp_path):
    write(tmp_path / "scenes" / "S2_20240103.tif", scene(GREEN, *[(65535,) * 4] * 4, NOTHING), nodata=65535)
    layers = read(tmp_path, NAMES)
    assert layers.mask[0].tolist() == [True, False, False, False, False, True]
    assert read(tmp_path).values["SCL"][0].tolist()[:5] == [4, 0, 0, 0, 0]


def test_there_is_data_only_where_every_requested_band_has_it(tmp_path):
    write(
        tmp_path / "scenes" / "S2_20240103.tif", scene(GREEN, (300, 600, 400, 0), (300, 600, 65535, 4000), *[GREEN] * 3)
    )
    layers = read(tmp_path, NAMES)
    assert layers.mask[0].tolist() == [True, False, False, True, True, True]
    assert read(tmp_path).values["SCL"][0].tolist() == [4, 0, 0, 4, 4, 4]


@pytest.mark.parametrize(
    ("dtype", "factor", "add", "stated"), [("float32", 1e-4, 0, {}), ("uint16", 1, 1000, {"offset": -0.1})]
)
def test_reflectance_is_the_same_however_it_is_written(tmp_path, dtype, factor, add, stated):
    write(tmp_path / "scenes" / "S2_20240103.tif", (scene(*[GREEN, BARE] * 3) + add) * factor, dtype=dtype)
    scenes = SceneFolder(tmp_path, **stated)
    [product] = scenes.products(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), AREA)
    layers = scenes.read(product, GRID, NAMES, "NEAREST")
    assert np.stack([*layers.values.values()])[:, 0, :2].T.tolist() == [[*GREEN], [*BARE]]
    assert product.properties["radiometry"].startswith("scale ")


def test_the_index_names_files_cloud_and_times(folder):
    write(folder / "elsewhere.tif", COLUMNS)
    items = [
        {"datetime": "2024-01-05T10:00:08Z", "file": "elsewhere.tif", "cloud_pct": 12.5},
        {"date": "2024-01-09", "file": ""},
    ]
    (folder / "index.json").write_text(json.dumps({"level": "L1C", "items": items}))
    scenes = SceneFolder(folder)
    [product] = scenes.products(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), AREA)
    assert product.datetime == datetime(2024, 1, 5, 10, 0, 8, tzinfo=UTC)
    assert (product.cloud, product.properties["level"]) == (12.5, "L1C")


def test_pixels_outside_of_the_scene_hold_no_data(folder):
    wide = Grid(32643, (576_000, 3_419_980, 576_080, 3_420_060), 8, 8)
    mask = read(folder, NAMES, wide).mask
    assert not mask[:2].any()
    assert not mask[-2:].any()
    assert not mask[:, 6:].any()
    assert mask[2:6, :3].all()


def test_resampling_is_nearest_unless_asked_otherwise(folder):
    fine = Grid(32643, GRID.bounds, 12, 8)
    nearest, smooth = read(folder, ("B08",), fine), read(folder, ("B08",), fine, "BILINEAR")
    assert np.array_equal(nearest.values["B08"], np.kron(COLUMNS[3], np.ones((2, 2))))
    assert 2400 < smooth.values["B08"][4, 1] < 4000


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("{", "index.json: is not JSON"),
        ("[]", "index.json: must be an object with a list `items`"),
        ('{"items": [{"date": "soon", "file": "scenes/S2_20240103.tif"}]}', "'soon' is not a date"),
        ('{"items": [{"date": "2024-01-03", "file": "gone.tif"}]}', "gone.tif: cannot be read as a raster"),
        ('{"items": []}', "there are no scenes"),
    ],
)
def test_a_folder_that_cannot_be_served_is_named(folder, index, words):
    (folder / "index.json").write_text(index)
    with pytest.raises(ValueError, match=r".") as error:
        SceneFolder(folder)
    assert words in str(error.value)


def test_a_name_without_a_date_is_named(folder):
    (folder / "scenes" / "S2_20240103.tif").rename(folder / "scenes" / "spring.tif")
    with pytest.raises(ValueError, match=r"spring\.tif: the name holds no date"):
        SceneFolder(folder)


def _body(script):
    return {
        "input": {
            "bounds": {
                "bbox": list(GRID.bounds),
                "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32643"},
            },
            "data": [
                {"type": "sentinel-2-l2a", "dataFilter": {"timeRange": {"from": "2024-01-01", "to": "2024-02-01"}}}
            ],
        },
        "evalscript": script,
        "output": {"width": 6, "height": 4},
    }
