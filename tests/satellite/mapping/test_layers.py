"""Classes of pixels by the rule and by a model that is slid over the scene, and the files that show them."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from include.core.errors import BadInputError
from include.satellite.datasets.cube import CubeScene
from include.satellite.imagery.schemas import Grid
from include.satellite.mapping import layers
from include.satellite.mapping.layers import Layers, classify_by_rule, plot_map, write_raster
from include.satellite.schemas import HealthMap
from include.satellite.sensors.sentinel2 import SENTINEL2
from include.satellite.training.networks import ModelBundle

GRID = Grid(crs="EPSG:32643", resolution=10, bounds=(0, 0, 30, 20), width=3, height=2)
DOCUMENT = HealthMap(
    date=date(2026, 6, 1), place="here", drawn_by="model", why="", model_version="v1", label_source="reference",
    synthetic=True, notes=[], env_file=".env", crs="EPSG:32643", resolution=10, not_assessed=0.01, outside=0.01,
    hectares={"Healthy": 0.01, "Moderate": 0.01, "Stressed": 0.01, "Critical": 0.01}, mean_confidence=0.6,
)  # fmt: skip
CLASSES = np.array([[0, 1, 2], [3, -1, -1]], np.int8)
INSIDE = np.array([[True, True, True], [True, True, False]])
CONFIDENCE = np.array([[0.5, 0.6, 0.7], [0.8, np.nan, np.nan]], np.float32)


def test_the_rule_classifies_vegetation_and_soil_alone():
    ndvi = np.array([[0.8, 0.6, 0.4], [0.1, 0.8, 0.8]])
    dn = np.zeros((2, 3, 4), np.uint16)
    dn[..., 2], dn[..., 3] = 5000 * (1 - ndvi), 5000 * (1 + ndvi)
    classes = classify_by_rule(
        CubeScene(SENTINEL2, SENTINEL2.base_bands, dn, np.array([[4, 5, 4], [5, 6, 9]], np.uint8))
    )
    assert classes.tolist() == [[0, 1, 2], [3, -1, -1]]


def test_the_raster_holds_classes_and_confidence_in_percent(tmp_path):
    write_raster(tmp_path / "map.tif", Layers(CLASSES, CONFIDENCE, INSIDE), GRID, DOCUMENT)
    with rasterio.open(tmp_path / "map.tif") as raster:
        classes, confidence = raster.read()
        assert (raster.nodata, raster.crs.to_epsg(), raster.scales) == (255, 32643, (1.0, 0.01))
        assert raster.tags()["DRAWN_BY"] == "v1"
        assert raster.tags()["SYNTHETIC"] == "YES"
    assert classes.tolist() == [[1, 2, 3], [4, 0, 255]]
    assert confidence.tolist() == [[50, 60, 70], [80, 255, 255]]


def test_the_plot_has_a_panel_for_the_confidence_of_a_model(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    panels, save = [], Figure.savefig

    def capture(figure, *arguments, **options):
        panels.append([axes.get_title(loc="left") for axes in figure.axes if axes.get_xlabel() == "km"])
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", capture)
    plot_map(tmp_path / "map.png", Layers(CLASSES, CONFIDENCE, INSIDE), DOCUMENT)
    plot_map(tmp_path / "rule.png", Layers(CLASSES, None, INSIDE), DOCUMENT.model_copy(update={"model_version": None}))
    assert panels == [["Class", "Probability of the class"], [""]]


def bundle(size=8, classes=4, inputs=("B02", "B03", "B04", "B08"), resolution=10):
    card = SimpleNamespace(
        size=size, inputs=list(inputs), classes=["a"] * classes,
        data=SimpleNamespace(grid=SimpleNamespace(resolution=resolution)),
    )  # fmt: skip
    return ModelBundle(card, {})


def imagery(resolution=10, bands=("B02", "B03", "B04", "B08", "SCL")):
    return SimpleNamespace(bands=list(bands), grid=SimpleNamespace(resolution=resolution), sensor=SENTINEL2)


def scene(height=20, width=27, seed=0):
    draw = np.random.default_rng(seed)
    scl = np.full((height, width), 4, np.uint8)
    scl[:9, :9], scl[3, 15], scl[15:, 20:] = 9, 8, 6
    return CubeScene(SENTINEL2, SENTINEL2.base_bands, draw.integers(1, 9000, (height, width, 4)).astype(np.uint16), scl)


def test_a_pixel_takes_the_mean_over_all_patches_that_hold_it(monkeypatch):
    def guess(_, patches, rows):
        first = patches.cube[0, patches.row[rows], patches.col[rows], 0] / 9000
        return np.stack([first, 1 - first, np.zeros(len(rows)), np.zeros(len(rows))], axis=1)

    monkeypatch.setattr(layers, "predict_patches", guess)
    one = scene()
    classes, confidence = layers.classify_by_model(bundle(), one, imagery())
    total, seen = np.zeros((20, 27)), np.zeros((20, 27), int)
    for top in range(0, 13, 2):
        for left in [*range(0, 20, 2), 19]:
            window = one.scl[top : top + 8, left : left + 8]
            clear, land = np.isin(window, (4, 5, 6, 7)).sum(), np.isin(window, (4, 5)).sum()
            if clear >= 0.8 * 64 and land >= 0.5 * clear:
                total[top : top + 8, left : left + 8] += one.dn[top, left, 0] / 9000
                seen[top : top + 8, left : left + 8] += 1
    assessed = (seen > 0) & np.isin(one.scl, (4, 5))
    mean = total[assessed] / seen[assessed]
    assert 0.5 < assessed.mean() < 0.9
    assert seen.max() >= 16
    assert np.array_equal(classes >= 0, assessed)
    assert np.array_equal(~np.isnan(confidence), assessed)
    assert np.allclose(confidence[assessed], np.maximum(mean, 1 - mean), atol=1e-5)
    assert np.array_equal(classes[assessed], (mean < 0.5).astype(int))


def test_bands_that_the_model_does_not_take_are_left_out(monkeypatch):
    cubes = []
    monkeypatch.setattr(
        layers, "predict_patches", lambda _, patches, rows: cubes.append(patches.cube) or np.ones((len(rows), 4))
    )
    layers.classify_by_model(bundle(inputs=("B08", "B04")), scene(), imagery())
    assert np.array_equal(cubes[0][0], scene().dn[..., [3, 2]])


def test_a_scene_without_a_clear_patch_is_not_assessed():
    cloudy = CubeScene(SENTINEL2, SENTINEL2.base_bands, np.ones((16, 16, 4), np.uint16), np.full((16, 16), 9, np.uint8))
    classes, confidence = layers.classify_by_model(bundle(), cloudy, imagery())
    assert (classes == -1).all()
    assert np.isnan(confidence).all()


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (bundle(inputs=("B04", "B11")), "needs the bands B11"),
        (bundle(resolution=20), "was trained on pixels of 20 m, not of 10 m"),
        (bundle(size=64), "a tile of 64 pixels does not fit into the area of 20 × 27 pixels"),
    ],
)
def test_a_model_that_takes_other_data_is_refused(model, fault):
    with pytest.raises(BadInputError, match=fault):
        layers.classify_by_model(model, scene(), imagery())
