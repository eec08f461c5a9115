"""The plots of the validation: drawn for whatever there is, with the same brightness for all dates."""

import numpy as np
import pytest
from matplotlib.image import imread

from include.satellite.imagery.plots import NOTHING, thumbnail
from include.satellite.imagery.scenes import Scene
from include.satellite.imagery.validation import validate
from include.satellite.params import ValidateParams
from include.satellite.sensors.sentinel2 import SENTINEL2

BANDS = ["B02", "B03", "B04", "B08", "SCL"]


def drawn(world, name):
    picture = imread(world.files / name)
    assert picture.std() > 0.01
    return picture


def test_every_date_has_its_place_whatever_became_of_it(world):
    """One accepted, one cloudy, one damaged, one that was never data: as many cells as dates."""
    world.add()
    world.add(lambda scene: scene[4, :40].fill(9))
    world.add()
    world.path(world.acquisitions[-1]).write_bytes(b"rotten")
    world.unusable.append(world.draft(3, usable=False, reason="never data: its 9 bytes are no readable GeoTIFF"))
    world.write()
    validate(world.files, ValidateParams(min_dates=1))
    sheet = drawn(world, "plot_contact_sheet.png")
    green, vermillion = np.array([0, 158, 115]) / 255, np.array([213, 94, 0]) / 255
    frames = [(np.abs(sheet[..., :3] - colour).max(axis=-1) < 0.02).sum() for colour in (green, vermillion)]
    assert frames[1] == pytest.approx(3 * frames[0], rel=0.25)
    drawn(world, "plot_ndvi.png")


@pytest.mark.parametrize("dates", [1, 2, 7])
def test_any_number_of_dates_is_drawn(world, dates):
    for _ in range(dates):
        world.add()
    world.write()
    validate(world.files, ValidateParams(min_dates=1))
    drawn(world, "plot_contact_sheet.png")
    drawn(world, "plot_ndvi.png")


def test_no_scene_at_all_is_drawn_too(world):
    world.add()
    world.path(world.acquisitions[0]).write_bytes(b"II*\x00")
    world.write()
    validate(world.files, ValidateParams(min_dates=1, skip_validation=True))
    drawn(world, "plot_contact_sheet.png")
    assert (world.files / "plot_ndvi.png").read_bytes().startswith(b"\x89PNG")


def test_a_thumbnail_shows_true_colour_nodata_and_the_area():
    scene = np.zeros((5, 10, 10), np.uint16)
    for band, level in zip(scene, (100, 700, 3000, 3000, 4), strict=True):
        band[:, 2:] = level  # red is bright, blue is dark
    inside = np.ones((10, 10), bool)
    inside[8:] = False
    picture = thumbnail(Scene(SENTINEL2, BANDS, scene), inside)
    assert picture.shape == (10, 10, 3)
    assert picture[0, 0].tolist() == [NOTHING] * 3
    red, green, blue = picture[0, 5].tolist()
    assert red == 255
    assert red > green > blue
    assert (picture[9, 5] >= picture[0, 5]).all()
    assert picture[9, 5, 2] > picture[0, 5, 2]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 700), (513, 300), (256, 256)])
def test_thumbnails_are_small_whatever_the_size(height, width):
    scene = Scene(SENTINEL2, BANDS, np.full((5, height, width), 900, np.uint16))
    picture = thumbnail(scene, np.ones((height, width), bool))
    assert max(picture.shape) <= 256
    assert (picture == picture[0, 0]).all()
