"""The pixels of the simulated world: crops, stress and sky as the documentation states them."""

from datetime import date

import numpy as np
import pytest

from include.standins.sentinel_hub.land import CROP, survey
from include.standins.sentinel_hub.rendering import BANDS as ALL_BANDS
from include.standins.sentinel_hub.rendering import SOIL_SPECTRUM, Scene, cirrus_opacity, cloud_opacity, shadow_offset
from include.standins.sentinel_hub.scenes import Grid
from include.standins.sentinel_hub.simulator import Simulator
from tests.standins.sentinel_hub.api import LUDHIANA, SMALL
from tests.standins.sentinel_hub.world import BANDS, CLEAR, CLOUD, SUMMER, WIDE, passes, read


def test_the_cheap_look_sees_what_the_download_gets(simulator):
    full = Grid(32643, (576_000, 3_416_000, 586_000, 3_426_000), 1000, 1000)
    coarse = Grid(32643, full.bounds, 167, 167)
    differences = []
    for day, product in list(passes(simulator, 2024).items())[::8]:
        fine, look = (read(simulator, grid, day, ("SCL",), product)["SCL"] for grid in (full, coarse))
        differences.append(abs(np.isin(fine, CLOUD).mean() - np.isin(look, CLOUD).mean()))
    assert max(differences) < 0.02


def test_stress_is_in_four_classes_of_at_least_a_tenth_each(simulator):
    counts = np.zeros(5)
    for day, product in list(passes(simulator, 2024).items())[::5]:
        values = read(simulator, WIDE, day, ("SCL", "REFERENCE"), product)
        counts += np.bincount(values["REFERENCE"][np.isin(values["SCL"], CLEAR)], minlength=5)
    shares = counts[1:] / counts[1:].sum()
    assert (shares > 0.15).all()


def test_a_field_has_one_class_and_a_patch_mostly_one(simulator):
    values = read(simulator, Grid(32643, (576_000, 3_416_000, 586_000, 3_426_000), 1000, 1000), SUMMER)["REFERENCE"]
    land = survey(SMALL, simulator.world, simulator.seed)
    small = read(simulator, SMALL, SUMMER)["REFERENCE"]
    for field in np.unique(land.field):
        inside = small[(land.field == field) & (land.cover == CROP)]
        assert len(np.unique(inside)) <= 1
    dominant = []
    for row in range(0, 960, 32):
        for column in range(0, 960, 32):
            votes = np.bincount(values[row : row + 32, column : column + 32].ravel(), minlength=5)[1:]
            if votes.sum() > 512:
                dominant.append(votes.max() / votes.sum())
    assert np.mean(np.array(dominant) > 0.6) > 0.85


def test_only_standing_crops_have_a_class(simulator, ndvi):
    values = read(simulator, WIDE, SUMMER)
    clear = np.isin(values["SCL"], CLEAR)
    index, truth = ndvi(values), values["REFERENCE"]
    assert np.mean(index[clear & (truth > 0)]) > np.mean(index[clear & (truth == 0)]) + 0.2
    assert not truth[values["SCL"] == 6].any()


def test_the_mean_ndvi_does_not_tell_the_class(simulator, ndvi):
    """Between-field variation swamps what stress does to the mean."""
    index, truth = [], []
    for day, product in list(passes(simulator, 2024).items())[::6]:
        values = read(simulator, WIDE, day, BANDS, product)
        kept = np.isin(values["SCL"], CLEAR) & (values["REFERENCE"] > 0)
        index.append(ndvi(values)[kept])
        truth.append(values["REFERENCE"][kept])
    index, truth = np.concatenate(index), np.concatenate(truth)
    means = [index[truth == value].mean() for value in range(1, 5)]
    assert max(means) - min(means) < 0.75 * index.std()


def test_stress_shows_as_texture_within_fields(simulator):
    grid = Grid(32643, (576_000, 3_416_000, 582_000, 3_422_000), 600, 600)
    values, land = read(simulator, grid, SUMMER), survey(grid, simulator.world, simulator.seed)
    spread = {value: [] for value in range(1, 5)}
    for field in np.unique(land.field):
        inside = (land.field == field) & (land.stand > 0.99) & (values["REFERENCE"] > 0) & (values["SCL"] == 4)
        if inside.sum() > 60:
            red, truth = values["B04"][inside], values["REFERENCE"][inside][0]
            spread[truth].append(red.std())
    medians = [np.median(spread[value]) for value in range(1, 5)]
    assert medians == sorted(medians)
    assert medians[3] > 2 * medians[0]


def test_seasons_follow_the_crops_and_the_hemisphere(simulator, ndvi):
    def mean_ndvi(scenes, box, grid, month):
        """Of all clear pixels of a month."""
        found = []
        for day, product in passes(scenes, 2024, box).items():
            if day.month == month:
                values = read(scenes, grid, day, BANDS, product)
                found.append(ndvi(values)[np.isin(values["SCL"], CLEAR)])
        return np.concatenate(found).mean()

    assert mean_ndvi(simulator, LUDHIANA, WIDE, 8) > mean_ndvi(simulator, LUDHIANA, WIDE, 5) + 0.05
    south_box, south = (147.0, -35.2, 147.1, -35.1), Grid(4326, (147.0, -35.2, 147.1, -35.1), 200, 200)
    assert mean_ndvi(simulator, south_box, south, 2) > mean_ndvi(simulator, south_box, south, 11) + 0.05


def test_some_crop_is_green_at_any_time(simulator):
    for day, product in list(passes(simulator, 2024).items())[::4]:
        truth = read(simulator, WIDE, day, ("REFERENCE",), product)["REFERENCE"]
        assert (truth > 0).mean() > 0.3


def test_the_scene_classification_agrees_with_the_sky(simulator):
    checked = 0
    for day, product in passes(simulator, 2024).items():
        values = read(simulator, WIDE, day, BANDS, product)
        scl, blue, near_infrared = values["SCL"], values["B02"], values["B08"]
        clear = np.isin(scl, (4, 5))
        if min((scl == 9).mean(), clear.mean(), (scl == 3).mean()) < 0.03:
            continue
        checked += 1
        assert blue[scl == 9].min() > np.quantile(blue[clear], 0.99)
        assert blue[scl == 8].mean() > blue[clear].mean() + 300
        assert near_infrared[scl == 3].mean() < 0.9 * near_infrared[clear].mean()
        assert np.mean(blue[clear] > 3000) == 0
    assert checked >= 5


def test_the_simple_world_is_cruder(ndvi):
    simple = Simulator("simple", 0)
    day = max(passes(simple, 2024), key=lambda known: -abs((known - SUMMER).days))
    values = read(simple, WIDE, day)
    assert not np.isin(values["SCL"], (3, 6, 10)).any()
    assert {1, 2, 3, 4} <= set(np.unique(values["REFERENCE"]))
    bare = (values["REFERENCE"] == 0) & np.isin(values["SCL"], CLEAR)
    assert ndvi(values)[bare].max() < 0.45


def test_a_surface_has_a_reflectance_in_every_band():
    assert tuple(SOIL_SPECTRUM) == ALL_BANDS
    assert (SOIL_SPECTRUM["B02"], SOIL_SPECTRUM["B12"]) == pytest.approx((0.09, 0.29))


def test_a_scenes_bands_are_reflectances_or_classes(simulator):
    scene = Scene(survey(SMALL, "standard", simulator.seed), SMALL, "standard", simulator.seed, SUMMER)
    for band in ALL_BANDS:
        assert (scene.band(band).dtype, scene.band(band).shape) == (np.uint16, SMALL.shape)
    assert (scene.band("SCL").dtype, scene.band("REFERENCE").dtype) == (np.uint8, np.uint8)
    assert np.array_equal(scene.band("B08"), read(simulator, SMALL, SUMMER)["B08"])


def test_clouds_cover_the_sky_between_not_at_all_and_wholly():
    x, y = (place.ravel() for place in np.meshgrid(np.arange(5e5, 6e5, 1000), np.arange(3.4e6, 3.5e6, 1000)))
    covers = [cloud_opacity(x, y, date(2024, 7, day), 1) for day in range(1, 32)]
    assert all(cover.min() >= 0 and cover.max() <= 1 for cover in covers)
    means = [cover.mean() for cover in covers]
    assert min(means) < 0.1
    assert max(means) > 0.8


def test_cirrus_is_thin_and_seldom():
    x, y = (place.ravel() for place in np.meshgrid(np.arange(5e5, 6e5, 1000), np.arange(3.4e6, 3.5e6, 1000)))
    days = {day: cirrus_opacity(x, y, date(2024, 7, day), 1) for day in range(1, 32)}
    assert [day for day, cirrus in days.items() if cirrus.any()] == [6, 8, 11, 18, 21]
    assert max(cirrus.max() for cirrus in days.values()) <= 0.2001


def test_shadows_fall_away_from_the_morning_sun():
    east, north = shadow_offset(date(2024, 6, 21), False, 1)
    assert (east, north) == pytest.approx((383.276426, -578.398970))  # the sun stands in the south-east …
    assert shadow_offset(date(2024, 6, 21), True, 1)[1] > 0  # … and in the north-east in the south
    assert abs(shadow_offset(date(2024, 12, 21), False, 1)[1]) > 4 * abs(north) * 0.9
