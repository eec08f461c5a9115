"""Sensors are found by their module alone, and their imagery is handled by the names of its bands."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from include.core.errors import BadInputError
from include.satellite import sensors
from include.satellite.imagery.client import Rendered
from include.satellite.imagery.fetch import Meter, Order, fetch
from include.satellite.imagery.scenes import Scene, encode, read_layers
from include.satellite.imagery.schemas import Acquisition, Day, Scope
from include.satellite.imagery.store import ImageryStore, scene_path
from include.satellite.sensors.evalscript import download_script, preview_script
from include.satellite.sensors.sentinel2 import SENTINEL2
from tests.satellite.imagery_store import geometry_of, grid_of

TOY = """
from include.satellite.sensors.sensor import Band, SceneClasses, Sensor

TOY = Sensor(
    id="toy",
    title="Toy",
    bands=(Band("R", "red", 650, 5), Band("N", "nir", 850, 5)),
    classes=SceneClasses("QA", {"none": 0, "good": 1, "bad": 2}, ("good",), ("bad",), (), ("good",), ()),
    scale=1e-3,
    collections={"demo": "toy-l2"},
)
"""


def test_a_sensor_is_found_by_each_of_its_collections():
    assert all(sensors.sensor_of(name) == SENTINEL2 for name in SENTINEL2.collections.values())


def test_an_unknown_collection_is_refused_and_the_known_ones_are_named():
    with pytest.raises(BadInputError, match=r"no sensor describes 'landsat'; the collections are: .*sentinel-2-l2a"):
        sensors.sensor_of("landsat")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A sensor that a file of its own adds."""
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "toy_sensor.py").write_text(TOY)
    monkeypatch.setattr(sensors, "__path__", [*sensors.__path__, str(folder)])
    return sensors.sensor_of("toy-l2")


def test_one_file_adds_a_sensor(toy):
    assert (sensors.sensors()["toy"], sensors.sensors()["sentinel2"]) == (toy, SENTINEL2)
    assert [index.name for index in toy.indices_of(toy.base_bands)] == ["ndvi", "savi"]


def test_evalscripts_of_a_new_sensor_name_its_bands_and_use_its_scale(toy):
    assert 'input: ["QA", "dataMask"]' in preview_script(toy)
    script = download_script(toy, ["R", "N", "QA"])
    assert 'input: ["R", "N", "QA", "dataMask"]' in script
    assert "return [Math.max(1, Math.round(1000 * s.R)), Math.max(1, Math.round(1000 * s.N)), s.QA];" in script


class ToyService:
    """A service that renders a scene of the toy sensor, whose script it keeps."""

    def __init__(self, scene):
        self.scene = scene

    def render(self, script, grid, start, end):
        self.script = script
        return Rendered(encode(self.scene, grid, {}), 1.0)


def test_a_scene_of_a_new_sensor_is_fetched_stored_and_measured_by_the_names_of_its_bands(toy, data_dir):
    grid, moment = grid_of(2, 3), datetime(2025, 1, 1, 5, tzinfo=UTC)
    bands = [*toy.base_bands, toy.classes.band]
    red, nir = [[100, 100, 200], [50, 100, 100]], [[300, 100, 200], [150, 0, 400]]
    layers = np.array([red, nir, [[1, 1, 2], [1, 1, 1]]], np.uint16)
    service = ToyService(Scene(toy, bands, layers))
    order = Order(download_script(toy, bands), tuple(bands), "uint16", grid)
    day = Day(date=moment.date(), datetime=moment, product_ids=["T1"], synthetic=True)
    fetched = fetch(service, Meter(10), order, day, (moment, moment), "downloading 2025-01-01")
    assert service.script == order.script

    scope = Scope(
        collection="toy-l2", source="demo", grid=grid, geometry=geometry_of(grid), bands=bands, start=moment, end=moment
    )
    assert scope.sensor == toy
    acquisition = Acquisition(
        date=date(2025, 1, 1), datetime=moment, product_ids=["T1"], source="demo", synthetic=True, usable=True,
        bands=bands,
    )  # fmt: skip
    kept = ImageryStore(scope).put(acquisition, fetched.array)
    assert (kept.clear, kept.cloud, kept.nodata) == pytest.approx((66.667, 16.667, 16.667))
    scene = Scene(scope.sensor, kept.bands, read_layers(scene_path(kept)))
    assert scene.band("nir").tolist() == nir
    assert scene.clear.tolist() == [[True, True, False], [True, False, True]]
    indices = {index.name: values for index, values in scene.indices(scene.clear)}
    assert indices["ndvi"] == pytest.approx([0.5, 0, 0.5, 0.6])
    assert indices["savi"] == pytest.approx([1.5 * 0.2 / 0.9, 0, 1.5 * 0.1 / 0.7, 1.5 * 0.3 / 1.0])
