"""Options and checks that the satellite domain adds to the command line."""

import json
import zipfile

import pytest

from include.core.errors import BadInputError
from include.satellite.command_line import checks, read_area, read_box, run_environment


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


def test_scenes_are_only_for_the_demo_and_must_be_a_folder(tmp_path):
    with (
        pytest.raises(BadInputError, match="only a pipeline with --source demo"),
        run_environment({"source": "cdse"}, {"scenes": str(tmp_path)}, tmp_path),
    ):
        pass
    with (
        pytest.raises(BadInputError, match="no such folder"),
        run_environment({"source": "demo"}, {"scenes": str(tmp_path / "none")}, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"offset": "-0.1"}, "--offset=-0.1: only for scenes from a folder"),
        ({"band_names": "B02,B04"}, "--band-names=B02,B04: only for scenes from a folder"),
        ({"offset": "-1000", "scenes": "."}, r"--offset: '-1000' must be a number above -1, at most 1"),
        ({"scale": "0", "scenes": "."}, "--scale: '0' must be a number above 0"),
        ({"scale": "x", "scenes": "."}, "--scale: 'x' must be a number"),
    ],
)
def test_scale_and_offset_are_of_scenes_and_must_give_reflectances(tmp_path, options, words):
    with pytest.raises(BadInputError, match=words), run_environment({"source": "demo"}, options, tmp_path):
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
