"""Sensors are found by their module alone."""

import pytest

from include.core.errors import BadInputError
from include.satellite import sensors
from include.satellite.sensors.sentinel2 import SENTINEL2

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
    with pytest.raises(BadInputError, match=r"no sensor describes 'landsat'; the known collections are: sentinel-2-l2"):
        sensors.sensor_of("landsat")


def test_one_file_adds_a_sensor(tmp_path, monkeypatch):
    (tmp_path / "toy_sensor.py").write_text(TOY)
    monkeypatch.setattr(sensors, "__path__", [*sensors.__path__, str(tmp_path)])
    toy = sensors.sensor_of("toy-l2")
    assert sensors.sensors() == {"sentinel2": SENTINEL2, "toy": toy}
    assert [index.name for index in toy.indices_of(toy.base_bands)] == ["ndvi", "savi"]
