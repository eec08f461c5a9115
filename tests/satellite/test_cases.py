"""Folders of scenes and areas as users have them, with what is right about each.

A case is a folder with its inputs, the command that a user would try (`command.txt`) and what is right
(`expected.md`). What a user tries is right or refused with a remedy, and never wrong.
"""

import os
import re
import shlex
import shutil
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
import rasterio

from include.core.errors import GroundtruthError
from include.satellite.command_line import read_area
from include.satellite.datasets.labels import crop_mask
from include.satellite.imagery.schemas import Grid
from include.satellite.params import LabelParams
from tests.satellite.scene_folders import DATES, read_folder

CONTROL = "F01-control"
FIELD_NDVI = (0.80, 0.78, 0.76)
"""Of the field of 400 pixels in the areas."""
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")


@dataclass(frozen=True)
class Case:
    """What is right.

    Args:
        ndvi: Mean NDVI of the three dates; None for one that is not usable.
        pixels: Pixels of the area.
        nodata: Nodata share of the area on each date, percent.
        reasons: What the reason of a date that is not usable says.
        refused: Pattern of the error that is right too; without it, the command must give the right figures.
        answer: Parameters that give the right figures where the command is refused.
        wrong: Why the case is not right yet.
    """

    ndvi: tuple[float | None, ...] = (0.50, 0.48, 0.46)
    pixels: int = 3600
    nodata: float = 0.0
    reasons: dict[date, str] = field(default_factory=dict)
    refused: str | None = None
    answer: dict[str, object] | None = None
    wrong: str | None = None


CASES = {
    "A04-crs-member-utm": Case(FIELD_NDVI, 400),
    "A06-null-geometry": Case(FIELD_NDVI, 400),
    "A18-smaller-than-patch-defaults": Case(FIELD_NDVI, 200),
    "A20-bom": Case(FIELD_NDVI, 400),
    "F01-control": Case(),
    "F03-no-descriptions": Case(
        refused=r"S2_20240510\.tif: no band has a known name \(the descriptions are: none, .*--band-names B02,B03",
        answer={"band_names": ("B02", "B03", "B04", "B08")},
    ),
    "F05-float-0-1": Case(),
    "F22-pb0400-offset-left-in": Case(refused=r"offset.*\+?1000", answer={"offset": -0.1}),
    "G01-corrected-folder-same-names": Case(),
    "G06-lush-evi-above-1": Case((0.5348, 0.5197, 0.5048)),
    "G10-partial-band-nodata": Case((0.45, 0.43, 0.41), nodata=33.333),
    "H01-scl-as-band-in-file": Case(ndvi=(0.50, None, 0.46), reasons={DATES[1]: r"cloud over 100\.0 %"}),
    "S06-http-proxy": Case(),
}
"""All but those with a test of their own."""
OWN_TESTS = {"R04-cropmask-worldcover"}


@pytest.fixture(scope="session")
def cases():
    """The folder of the cases, or a skip that says how to get it; `CASES_DIR` names that of energy beside it."""
    default = Path(__file__).parents[3] / "shared" / "cases" / "energy"
    folder = Path(os.environ.get("CASES_DIR", default)).parent / "satellite"
    if not folder.is_dir():
        pytest.skip(f"no cases in {folder}: set CASES_DIR to the folder `energy` beside a folder `satellite` of cases")
    return folder


def tried(case):
    """Return the parameters of the command of a case."""
    line = next(line for line in (case / "command.txt").read_text().splitlines() if "./pipeline" in line)
    words = shlex.split(line.rpartition("./pipeline")[2])
    return dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "--set")


def measured(case, data_dir, scenes, **params):
    """Run the steps on a case's area and scenes."""
    control = case.parent / CONTROL
    geojson = case / "area.geojson" if (case / "area.geojson").is_file() else control / "area.geojson"
    return read_folder(data_dir.parent / "files", scenes, geojson=read_area(str(geojson)), **params)


def require_right(case, read):
    ndvi = dict(zip(DATES, case.ndvi, strict=True))
    assert read.pixels == case.pixels
    assert read.ndvi == {day: pytest.approx(mean, abs=1e-3) for day, mean in ndvi.items() if mean is not None}
    for report in read.accepted.values():
        assert report.nodata == pytest.approx(case.nodata, abs=1e-3)
        assert report.clear == pytest.approx(100 - case.nodata, abs=1e-3)
    assert read.unusable.keys() == {day for day, mean in ndvi.items() if mean is None}
    for day, pattern in case.reasons.items():
        assert re.search(pattern, read.unusable[day])


def wrong(case):
    return [pytest.mark.xfail(strict=True, reason=case.wrong)] if case.wrong else []


@pytest.fixture
def folder_of(cases, data_dir, monkeypatch):
    """Return a function that puts a case's scenes and environment into place."""

    def prepare(name):
        own = cases / name / "in"
        scenes = data_dir.parent / "in"
        shutil.copytree(own if own.is_dir() else cases / CONTROL / "in", scenes)
        if name == "S06-http-proxy":
            for variable in PROXIES:
                monkeypatch.setenv(variable, "http://127.0.0.1:9")
            for variable in ("NO_PROXY", "no_proxy"):
                monkeypatch.delenv(variable, raising=False)
        return scenes

    return prepare


@pytest.mark.parametrize("name", [pytest.param(name, marks=wrong(case)) for name, case in CASES.items()])
def test_what_a_user_tries_is_right_or_refused(cases, folder_of, data_dir, name):
    case, scenes = CASES[name], folder_of(name)
    if name.startswith("G01"):
        with pytest.raises(GroundtruthError, match=r"offset of \+1000"):
            measured(cases / name, data_dir, _replaced(scenes, cases / name / "in_wrong"), **tried(cases / name))
        _replaced(scenes, cases / name / "in_right")
    try:
        read = measured(cases / name, data_dir, scenes, **tried(cases / name))
    except (GroundtruthError, ValueError) as error:
        if case.refused is None or not re.search(case.refused, str(error), re.DOTALL):
            raise
    else:
        require_right(case, read)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.answer])
def test_the_answer_gives_the_right_figures(cases, folder_of, data_dir, name):
    case = CASES[name]
    require_right(case, measured(cases / name, data_dir, folder_of(name), **tried(cases / name), **case.answer))


def test_a_land_cover_map_is_no_crop_mask_without_its_codes(cases, tmp_path):
    name = "r.tif"
    (tmp_path / "source").mkdir()
    shutil.copyfile(cases / "R04-cropmask-worldcover" / name, tmp_path / "source" / name)
    with rasterio.open(tmp_path / "source" / name) as file:
        grid = Grid(crs="EPSG:32631", resolution=10, bounds=tuple(file.bounds), width=file.width, height=file.height)
    with pytest.raises(GroundtruthError, match=r"10 \(25\.0 %\), 40 \(50\.0 %\), 50 \(25\.0 %\).*crop_mask_codes"):
        crop_mask(tmp_path, LabelParams(crop_mask=name), grid)
    assert crop_mask(tmp_path, LabelParams(crop_mask=name, crop_mask_codes=(40,)), grid).mean() == 0.5


def test_every_case_is_tested(cases):
    assert {path.name for path in cases.iterdir() if path.is_dir()} == {*CASES, *OWN_TESTS}


def _replaced(scenes, source):
    return shutil.copytree(source, scenes, dirs_exist_ok=True)
