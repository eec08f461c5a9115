"""A folder of scenes as the source of a run."""

import re

import pytest

from include.core.errors import BadInputError
from include.satellite.imagery.demo import demo_url
from include.satellite.imagery.scene_folder import check_heeded, folder_of, stated_folder
from include.satellite.imagery.schemas import FolderSource
from include.satellite.params import SourceParams
from tests.satellite.scene_folders import write_scenes


def test_a_folder_lies_below_those_that_runs_may_read(data_dir, tmp_path):
    (data_dir / "inbox" / "farm").mkdir(parents=True)
    folder = folder_of(SourceParams(scenes="farm", offset=-0.1, band_names="B02, B08"))
    assert folder == FolderSource(path=f"{data_dir}/inbox/farm", offset=-0.1, band_names=("B02", "B08"))
    assert folder.options == (f"--scenes={data_dir}/inbox/farm", "--offset=-0.1", "--band-names=B02,B08")
    for outside in (str(tmp_path), "../..", "none"):
        with pytest.raises(BadInputError, match=rf"scenes: {re.escape(outside)}: no such folder below .*INPUT_DIRS"):
            folder_of(SourceParams(scenes=outside))


def test_a_folder_belongs_to_the_source_that_reads_it():
    assert stated_folder({"source": "cdse"}) is None
    assert stated_folder({"source": "demo", "mask_type": "clm"}) == FolderSource(path=None, mask_type="clm")
    with pytest.raises(BadInputError, match="scale: only the source demo reads a folder of scenes; the source is stac"):
        stated_folder({"source": "stac", "scale": 0.1})


def test_what_is_stated_must_be_heeded():
    folder = FolderSource(path=None, scale=1e-4, band_names=("B02",))
    scene = {"properties": {"scale": 1e-4, "band_names": ["B02"]}}
    check_heeded([scene], folder)
    check_heeded([{"properties": {}}], None)
    with pytest.raises(BadInputError, match=r"band_names: \['B02'\] is stated .*start the stand-in with --band-names"):
        check_heeded([scene, {"properties": {"scale": 1e-4}}], folder)


def test_a_folder_in_the_form_of_a_run_is_served_by_a_stand_in_of_its_own(data_dir):
    write_scenes(data_dir / "inbox" / "farm")
    folder = folder_of(SourceParams(scenes="farm", mask_type="scl"))
    assert demo_url(folder) == demo_url(folder) != demo_url()
