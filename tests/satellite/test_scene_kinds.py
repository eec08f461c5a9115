"""Folders of our own with known NDVI: kinds of clouds, masks, damage and corrections, through all steps."""

import json
import os
from datetime import date

import numpy as np
import pytest
import rasterio

from include.core.errors import BadInputError, ContractError
from include.core.settings import get_settings
from include.standins.sentinel_hub.folder import SceneFolder
from tests.satellite.scene_folders import (
    BANDS,
    DATES,
    NDVI,
    NORTH,
    SIDE,
    WEST,
    area,
    read_folder,
    reflectances,
    write_classes,
    write_raster,
    write_scenes,
)

FIRST, SECOND, THIRD = DATES


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "scenes"


@pytest.fixture
def read(data_dir, tmp_path, folder):
    """Read the folder as the next run would."""

    def read(scenes=folder, **params):
        runs = len(list(tmp_path.glob("run*")))
        return read_folder(tmp_path / f"run{runs}", scenes, **params)

    return read


def approximately(ndvi):
    return {day: pytest.approx(mean, abs=1e-3) for day, mean in ndvi.items()}


def test_a_control_gives_its_ndvi(folder, read):
    assert read(write_scenes(folder)).ndvi == approximately(NDVI)


def test_a_corrected_file_is_fetched_again_and_the_others_are_not(folder, read):
    write_scenes(folder, dict(NDVI) | {SECOND: 0.3})
    assert read().ndvi[SECOND] == pytest.approx(0.3, abs=1e-3)
    one = folder / "scenes" / f"S2_{SECOND:%Y%m%d}.tif"
    before = one.stat()
    write_raster(one, reflectances(NDVI[SECOND], 1).round().astype("uint16"), names=BANDS)
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = read()
    assert again.ndvi == approximately(NDVI)
    assert [day.date for day in again.imagery.acquisitions if day.fetched] == [SECOND]


def test_another_folder_of_the_same_name_is_fetched_again(tmp_path, read):
    first = write_scenes(tmp_path / "a" / "in", dict.fromkeys(DATES, 0.3))
    assert read(first).ndvi == approximately(dict.fromkeys(DATES, 0.3))
    assert read(write_scenes(tmp_path / "b" / "in")).ndvi == approximately(NDVI)


def test_without_a_download_the_last_version_counts(folder, read):
    read(write_scenes(folder, dict.fromkeys(DATES, 0.4)))
    read(write_scenes(folder))
    assert read(skip_download=True).ndvi == approximately(NDVI)


@pytest.mark.parametrize("stated", [{"mask_type": "fmask"}, {"scale": 5e-5}, {"offset": -0.01}])
def test_without_a_download_only_what_was_read_in_the_same_way_counts(folder, read, stated):
    write_scenes(folder, classes=0 if "mask_type" in stated else 4)
    read(**stated)
    assert len(read(**stated, skip_download=True).accepted) == 3
    with pytest.raises(BadInputError, match=r"holds 0 acquisitions .*state the folder of scenes, scale, offset, bands"):
        read(skip_download=True)


@pytest.mark.parametrize("name", ["masks/Fmask_{:%Y-%m-%d}.tif", "clouds/{:%Y%m%d}.tif"])
def test_a_declared_mask_is_found_by_date_whatever_its_name(folder, read, name):
    write_scenes(folder, classes=None)
    for day in DATES:
        write_classes(folder / name.format(day), 4 if day == SECOND else 0, names=())
    with pytest.raises(ValueError, match="--mask-type"):
        read()
    result = read(mask_type="fmask", min_dates=2)
    assert result.ndvi == approximately({FIRST: NDVI[FIRST], THIRD: NDVI[THIRD]})
    assert "cloud over 100.0 %" in result.unusable[SECOND]
    assert "cloud from masks on 3 of 3 dates" in result.messages


def test_masks_in_a_folder_that_is_a_link_count(folder, read, tmp_path):
    write_scenes(folder, classes=None)
    write_classes(tmp_path / "elsewhere" / f"SCL_{SECOND:%Y%m%d}.tif", 9)
    (folder / "scl").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(folder)
    assert "cloud over 100.0 %" in read(min_dates=2).unusable[SECOND]


def test_a_cloud_mask_under_the_name_of_scl_is_refused(folder, read):
    write_scenes(folder, classes=0)
    with pytest.raises(BadInputError, match=r"scl/SCL_\d+\.tif: is 0 on 100 % .*--mask-type"):
        read()


def test_scl_beyond_eleven_is_refused(folder, read):
    write_scenes(folder, classes=98)
    with pytest.raises(BadInputError, match=r"scl/SCL_\d+\.tif: holds 98, .*--mask-type"):
        read()


def test_a_mask_that_fits_no_scene_is_refused(folder, read):
    write_scenes(folder)
    stray = write_classes(folder / "scl" / "SCL_20240601.tif", 4)
    with pytest.raises(
        ValueError, match=r"scl/SCL_20240601\.tif \(2024-06-01, between .*\): no scene of that date lies"
    ):
        read()
    stray.unlink()
    place = rasterio.Affine(10, 0, WEST + 5000, 0, -10, NORTH)
    write_classes(folder / "scl" / f"SCL_{FIRST:%Y%m%d}.tif", 4, transform=place)
    with pytest.raises(
        ValueError,
        match=r"SCL_20240510\.tif \(2024-05-10, between \(4\.48\d\d, .*; the scene of that date lies elsewhere\): .*"
        r"the scenes lie between \(4\.41\d\d, 50\.71\d\d\) and .*or its georeference, or move it out of the folder",
    ):
        read()


def test_a_mask_type_that_the_source_does_not_read_is_refused(folder, read, monkeypatch):
    write_scenes(folder)
    make = SceneFolder.__init__
    monkeypatch.setattr(SceneFolder, "__init__", lambda self, path, mask_type: make(self, path))
    with pytest.raises(BadInputError, match=r"mask_type: clm is stated of a folder of scenes .*--mask-type"):
        read(mask_type="clm")


def test_cloud_that_nothing_states_is_said_to_be_unknown(folder, read):
    write_scenes(folder, classes=None)
    write_classes(folder / "scl" / f"SCL_{FIRST:%Y%m%d}.tif", 4)
    result = read()
    assert "cloud unknown on 2 of 3 dates" in result.messages
    assert {day: report.cloud for day, report in result.accepted.items()} == {FIRST: 0, SECOND: None, THIRD: None}


def test_the_cloud_of_an_index_counts_where_no_classification_does(folder, read):
    write_scenes(folder, classes=None)
    rows = [f"{day},{cloud}" for day, cloud in zip(DATES, (5, 60, 12.5), strict=True)]
    (folder / "index.csv").write_text("\n".join(["date,cloud_pct", *rows]), encoding="utf-8")
    result = read(min_dates=2)
    assert {day: report.cloud for day, report in result.accepted.items()} == {FIRST: 5, THIRD: 12.5}
    assert "cloud over 60.0 %" in result.unusable[SECOND]
    assert "cloud unknown" not in result.messages


def test_a_changed_index_changes_the_cloud_of_stored_scenes(folder, read):
    write_scenes(folder, classes=None)
    items = [{"date": str(day), "file": f"scenes/S2_{day:%Y%m%d}.tif", "cloud_pct": 0} for day in DATES]
    (folder / "index.json").write_text(json.dumps({"items": items}))
    assert len(read().accepted) == 3
    items[1]["cloud_pct"] = 70
    (folder / "index.json").write_text(json.dumps({"items": items}))
    assert "cloud over 70.0 %" in read(min_dates=2).unusable[SECOND]


@pytest.mark.parametrize("name", ["scenes/S2_{:%Y%m%d}.tif", "scl/SCL_{:%Y%m%d}.tif"])
@pytest.mark.parametrize(
    "damage", [lambda path: path[:200], lambda path: path[:-300], lambda _: b"<html>Sign in</html>"]
)
def test_a_damaged_file_excludes_its_date_alone(folder, read, name, damage):
    write_scenes(folder)
    path = folder / name.format(SECOND)
    path.write_bytes(damage(path.read_bytes()))
    excludes_second(read(min_dates=2), path.name)


@pytest.mark.parametrize(
    ("change", "profile", "words"),
    [
        (lambda layers: layers, {"crs": None}, "has no CRS"),
        (lambda layers: layers, {"transform": rasterio.Affine.identity()}, "has no geotransform"),
        (lambda layers: layers[:3], {"names": BANDS[:3]}, "has no band B08; its bands: B02, B03, B04"),
        (lambda layers: layers, {"names": ()}, "no band has a known name"),
        (lambda layers: layers[:, :30], {}, "only 50.0 % of the area is clear"),
        (lambda layers: (layers / 20).astype("uint8"), {}, "holds uint8 without a tag for its scale"),
        (lambda layers: layers.astype("complex64"), {}, "holds complex64, which is no reflectance"),
        (lambda layers: layers * 0, {}, "every pixel of the area is nodata"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_scene_of_another_form_excludes_its_date_alone(folder, read, change, profile, words):
    write_scenes(folder)
    path = folder / "scenes" / f"S2_{SECOND:%Y%m%d}.tif"
    write_raster(path, change(reflectances(NDVI[SECOND], 1).round().astype("uint16")), **({"names": BANDS} | profile))
    excludes_second(read(min_dates=2), words)


def test_a_link_to_nowhere_excludes_its_date_alone(folder, read):
    write_scenes(folder)
    path = folder / "scenes" / f"S2_{SECOND:%Y%m%d}.tif"
    path.unlink()
    path.symlink_to("/nowhere.tif")
    excludes_second(read(min_dates=2), path.name)


def excludes_second(result, words):
    assert result.ndvi == approximately({FIRST: NDVI[FIRST], THIRD: NDVI[THIRD]})
    assert words in result.unusable[SECOND]


def test_a_folder_without_any_scene_of_the_right_form_is_refused(folder, read):
    with pytest.raises(ValueError, match=r"S2_20240510\.tif: holds uint8 .*cannot be read either: 2"):
        read(write_scenes(folder, scale=1 / 255, dtype="uint8"))


def test_scenes_in_folders_of_their_own_are_read(folder, read):
    write_scenes(folder)
    for day in DATES:
        (folder / "scenes" / str(day)).mkdir()
        (folder / "scenes" / f"S2_{day:%Y%m%d}.tif").rename(folder / "scenes" / str(day) / f"S2_{day}.tif")
    assert read().ndvi == approximately(NDVI)


def test_255_in_an_scl_is_no_data(folder, read):
    write_scenes(folder)
    classes = np.full((SIDE, SIDE), 4)
    classes[:15] = 255
    for day in DATES:
        write_classes(folder / "scl" / f"SCL_{day:%Y%m%d}.tif", classes, nodata=None)
    assert {report.clear for report in read().accepted.values()} == {75}


def test_an_scl_band_counts_before_files_beside_it(folder, read):
    for number, day in enumerate(DATES):
        classes = np.full((1, SIDE, SIDE), 9 if day == SECOND else 4)
        layers = np.concatenate([reflectances(NDVI[day], number).round(), classes]).astype("uint16")
        write_raster(folder / "scenes" / f"S2_{day:%Y%m%d}.tif", layers, names=(*BANDS, "scl"))
    assert set(read(min_dates=2).unusable) == {date(2024, 6, 9)}


@pytest.mark.parametrize("names", [("blue", "FRE_B3", "b04", "B8"), ("SRE_B2", "Green", "B4, 665 nm", "nir")])
def test_the_usual_spellings_of_band_names_are_known(folder, read, names):
    result = read(write_scenes(folder, names=names))
    assert result.ndvi == approximately(NDVI)
    assert f"bands B02, B03, B04, B08 from the descriptions {', '.join(names)}" in result.messages


def test_bands_that_the_user_names_are_fetched_again_when_the_names_change(folder, read):
    write_scenes(folder, names=())
    with pytest.raises(ContractError, match="are interchanged"):
        read(band_names=("B03", "B02", "B04", "B08"))
    result = read(band_names=("B02", "green", "B4", "B08"))
    assert [day.date for day in result.imagery.acquisitions if day.fetched] == [*DATES]
    assert result.ndvi == approximately(NDVI)
    assert "bands B02, B03, B04, B08, as the user names them" in result.messages


@pytest.mark.parametrize("pattern", ["T31UES_{:%Y%m%d}T105619_{}_10m.jp2", "S2_{:%Y%m%d}_FRE_{}.tif"])
def test_one_band_a_file_is_a_scene_and_a_damaged_file_excludes_its_date_alone(folder, read, pattern):
    lossless = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"} if pattern.endswith("jp2") else {}
    for number, day in enumerate(DATES):
        for name, layer in zip(BANDS, reflectances(NDVI[day], number).round().astype("uint16"), strict=True):
            write_raster(folder / "scenes" / pattern.format(day, name), layer[None], **lossless)
        write_raster(folder / "scenes" / pattern.format(day, "TCI"), np.ones((3, SIDE, SIDE), "uint8"), **lossless)
        write_classes(folder / "scl" / f"SCL_{day:%Y%m%d}.tif", 4)
    result = read()
    assert result.ndvi == approximately(NDVI)
    assert "a file each for B02, B03, B04, B08" in result.messages
    path = folder / "scenes" / pattern.format(SECOND, "B08")
    path.write_bytes(path.read_bytes()[:200])
    result = read(min_dates=2)
    assert result.ndvi == approximately({FIRST: NDVI[FIRST], THIRD: NDVI[THIRD]})
    assert path.name in result.unusable[SECOND]


def test_two_files_of_one_band_are_refused(folder, read):
    for size in (10, 20):
        write_raster(folder / "scenes" / f"S2_20240510_B04_{size}m.tif", np.full((1, SIDE, SIDE), 600, "uint16"))
    with pytest.raises(
        ValueError, match=r"B04_20m\.tif: holds B04, as S2_20240510_B04_10m\.tif does; keep one of them"
    ):
        read()


@pytest.mark.parametrize("classes", [4, None])
def test_bands_whose_names_are_interchanged_are_refused(folder, read, classes):
    write_scenes(folder, classes=classes, names=("B02", "B03", "B08", "B04"))
    with pytest.raises(ContractError, match=r"reflect 0\.15 more visible light than near infrared.*--band-names"):
        read()
    assert read(band_names=BANDS).ndvi == approximately(NDVI)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("B04", "B03", "B02", "B08"), r"bare soil is bluer than red .*blue and red are interchanged; --band-names"),
        (
            ("B02", "B04", "B03", "B08"),
            r"a lush canopy is redder than green .*green and red .or blue. are interchanged",
        ),
        (("B03", "B04", "B02", "B08"), r"green and red .or blue. are interchanged"),
    ],
)
def test_visible_bands_whose_names_are_interchanged_are_refused(folder, read, names, words):
    write_scenes(folder, names=names)
    with pytest.raises(ContractError, match=words):
        read()
    assert read(band_names=BANDS).ndvi == approximately(NDVI)


def test_bands_in_an_order_that_only_the_top_of_the_atmosphere_shows_are_named(folder, read):
    """Soil that is greener than red tells no more; soil as it usually is has the order refused (test_radiometry.py)."""
    write_scenes(folder, names=("B04", "B02", "B03", "B08"))
    assert "a lush canopy is bluer than green and red on 100 % of the pixels (median of 3 dates)" in read().messages
    assert "a lush canopy is bluer" not in read(band_names=BANDS).messages


def test_numbers_of_a_wrong_scale_are_called_so(folder, read):
    with pytest.raises(ContractError, match=r"dense vegetation reflects 1\.\d+ .* the scale is wrong; --scale"):
        read(write_scenes(folder, scale=5e-5))
    result = read(scale=5e-5)
    assert result.ndvi == approximately(NDVI)
    assert "the scale is tested to a factor only: clear land reflects 0." in result.messages


@pytest.mark.parametrize(
    "items",
    [{"scale_factor": "0.0001", "add_offset": "-0.1"}, {"BOA_ADD_OFFSET": "-1000", "QUANTIFICATION_VALUE": "10000"}],
)
def test_scale_and_offset_that_metadata_state_as_text_are_applied(folder, read, items):
    write_scenes(folder, offset=-0.1)
    for path in (folder / "scenes").glob("*.tif"):
        with rasterio.open(path, "r+") as file:
            file.update_tags(**items)
    result = read()
    assert result.ndvi == approximately(NDVI)
    assert "scale 0.0001, offset -0.1: the file's metadata" in result.messages


def test_too_few_dates_for_a_test_of_haze_are_said(folder, read):
    result = read(write_scenes(folder, {FIRST: 0.5, SECOND: 0.48}), min_dates=2)
    assert "haze not tested: 2 of 2 dates show clear land, and a series to compare them with needs 3" in result.messages
    assert "haze not tested" not in read(write_scenes(folder)).messages


def test_a_date_that_cannot_tell_an_offset_that_others_have_is_said(folder, read):
    write_scenes(folder)
    write_scenes(folder, {SECOND: 0.48}, offset=-0.1)
    bare = np.array([1100, 1300, 1700, 2300])[:, None, None] + np.arange(60) * np.ones((4, 60, 60))
    write_raster(folder / "scenes" / f"S2_{THIRD:%Y%m%d}.tif", bare.astype("uint16"), names=BANDS)
    result = read(min_dates=2)
    assert f"{THIRD}: an offset that was left in cannot be told (no dense vegetation, 0.113 in blue)" in result.messages


def test_an_area_beside_the_scenes_is_told_where_and_when_the_folder_has_some(folder, read, monkeypatch, tmp_path):
    write_scenes(folder)
    monkeypatch.setenv("GROUNDTRUTH_INPUT_DIRS", str(tmp_path))
    get_settings.cache_clear()
    place = area()
    moved = [[x + 20, y] for x, y in place["coordinates"][0]]
    feature = {"type": "Feature", "id": "F7", "geometry": {"type": "Polygon", "coordinates": [moved]}, "properties": {}}
    with pytest.raises(
        BadInputError,
        match=r"the scenes of the folder lie between \(4\.4\d+, 50\.7\d+\) and .* 2024-05-10 to 2024-07-04, and "
        "hold B02, B03, B04, B08; "
        "the area is feature F7 of its file",
    ):
        read(geojson=feature, stated_path=str(folder))


def test_two_versions_of_every_scene_are_refused_with_their_names(folder, read):
    write_scenes(folder)
    for day in DATES:
        layers = reflectances(0.3).round().astype("uint16")
        write_raster(folder / "scenes" / "again" / f"S2_{day:%Y%m%d}.tif", layers, names=BANDS)
    with pytest.raises(BadInputError, match=r"S2_20240510\.tif and scenes/.*: are two versions of one scene.*keep one"):
        read()


def test_times_of_an_index_may_be_of_any_zone(folder, read):
    write_scenes(folder)
    items = [{"datetime": f"{day}T23:30:00-08:00", "file": f"scenes/S2_{day:%Y%m%d}.tif"} for day in DATES]
    (folder / "index.json").write_text(json.dumps({"items": items}))
    assert [*read().ndvi] == [date(2024, 5, 11), date(2024, 6, 10), date(2024, 7, 5)]
