"""Options and checks that the satellite domain adds to the command line."""

import json
import zipfile

import pytest

from include.core.errors import BadInputError
from include.satellite.command_line import checks, read_area, read_box, read_folder, run_environment
from include.satellite.imagery.demo import SCENES_URL_VARIABLE, URL_VARIABLE
from tests.satellite.scene_folders import write_scenes


def test_a_box_is_four_numbers():
    assert read_box("75.8,30.9,75.9,31.0") == [75.8, 30.9, 75.9, 31.0]
    for text in ("1,2,3", "1,2,3,x", ""):
        with pytest.raises(BadInputError, match="west,south,east,north"):
            read_box(text)


def test_an_area_is_read_from_its_file_and_layer(tmp_path):
    ring = [[75.8, 30.9], [75.9, 30.9], [75.9, 31.0], [75.8, 30.9]]
    polygon = json.dumps({"type": "Polygon", "coordinates": [ring]})
    (tmp_path / "field.geojson").write_text(polygon)
    (feature,) = read_area(str(tmp_path / "field.geojson"))["features"]
    assert feature["geometry"]["coordinates"] == [ring]
    with zipfile.ZipFile(tmp_path / "farm.zip", "w") as archive:
        archive.writestr("north.geojson", polygon)
        archive.writestr("south.geojson", polygon)
    assert read_area(f"{tmp_path / 'farm.zip'}:south")["features"] == [feature]
    for name in ("farm.zip:east", "none.geojson"):
        with pytest.raises(BadInputError, match=r"no layer 'east'|no such file"):
            read_area(str(tmp_path / name))


def test_a_folder_of_scenes_is_read_where_it_lies(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_folder("in") == str(tmp_path / "in")
    with pytest.raises(BadInputError, match="--scenes: no such folder: none"):
        read_folder("none")


def test_a_run_of_a_folder_has_a_stand_in_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:4711")
    params = {"source": "demo", "scenes": str(write_scenes(tmp_path / "in")), "offset": -0.1}
    with run_environment(params, {}, tmp_path) as environment:
        assert [*environment] == [SCENES_URL_VARIABLE]
    with run_environment({"source": "demo", "offset": -0.1}, {}, tmp_path) as environment:
        assert environment == {}, "a stand-in that runs already may serve it"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"source": "demo", "offset": -0.1, "band_names": ["B02"]}, r"offset, band_names: only for scenes .*--scenes"),
        ({"source": "cdse", "scenes": "/in"}, "scenes: only the source demo reads a folder of scenes; .* is cdse"),
    ],
)
def test_what_is_stated_of_scenes_needs_a_folder_of_them(tmp_path, monkeypatch, params, words):
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with pytest.raises(BadInputError, match=words), run_environment(params, {}, tmp_path):
        pass


def test_the_demo_profile_has_an_env_file_of_its_own(tmp_path):
    with run_environment({"source": "cdse"}, {"profile": "demo"}, tmp_path) as environment:
        assert environment == {"GROUNDTRUTH_ENV_FILE": str(tmp_path / "demo" / ".env")}
    with run_environment({"source": "demo", "skip_download": True}, {}, tmp_path) as environment:
        assert environment == {}


def test_the_doctor_checks_credentials(monkeypatch):
    monkeypatch.setenv("SH_CLIENT_ID", "id")
    monkeypatch.setenv("SH_CLIENT_SECRET", "secret")
    assert {check.subject: check.status for check in checks()}["imagery credentials"] == "ok"
    monkeypatch.delenv("SH_CLIENT_ID")
    assert {check.subject: check.status for check in checks()}["imagery credentials"] == "missing"
