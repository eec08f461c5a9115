"""The simulated world: the same wherever and however it is looked at, and as the documentation states it."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.standins.sentinel_hub import stress
from include.standins.sentinel_hub.grid import Grid
from include.standins.sentinel_hub.land import CROP, survey, world_metres
from include.standins.sentinel_hub.noise import at_points, smooth
from include.standins.sentinel_hub.scenes import UnknownBandError
from include.standins.sentinel_hub.simulator import Simulator
from include.standins.sentinel_hub.tiles import Tile
from tests.standins.sentinel_hub.api import LUDHIANA, SMALL

BANDS = ("B02", "B03", "B04", "B08", "SCL", "REFERENCE")
CLEAR, CLOUD = (4, 5, 6, 7), (8, 9, 10)
SUMMER = date(2024, 7, 28)
WIDE = Grid(32643, (576_000, 3_416_000, 586_000, 3_426_000), 250, 250)
"""10 × 10 km, a pixel every 40 m."""


def read(scenes, grid, day, bands=BANDS, product=None):
    if product is None:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        product = scenes.products(start, start + timedelta(days=1), LUDHIANA)[0]
    return scenes.read(product, grid, bands, "NEAREST").values


def passes(scenes, year, grid_box=LUDHIANA):
    products = scenes.products(datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC), grid_box)
    return {product.datetime.date(): product for product in products}


def test_the_same_world_gives_the_same_bytes_in_any_order(simulator):
    first = read(simulator, SMALL, SUMMER)
    other = Simulator()
    read(other, SMALL, date(2024, 9, 6))
    again = read(other, SMALL, SUMMER)
    assert all(np.array_equal(first[band], again[band]) for band in BANDS)
    assert first["B08"].std() > 0


@pytest.mark.parametrize("other", [Simulator("standard", 1), Simulator("simple", 0)])
def test_another_seed_or_world_is_another_world(simulator, other):
    day = next(iter(passes(other, 2024)))
    near = min(passes(simulator, 2024), key=lambda known: abs(known - day))
    assert not np.array_equal(read(simulator, SMALL, near)["B08"], read(other, SMALL, day)["B08"])
    assert other.name in passes(other, 2024)[day].id


@settings(max_examples=15, deadline=None)
@given(left=st.integers(0, 60), top=st.integers(0, 50), width=st.integers(1, 40), height=st.integers(1, 30))
def test_a_window_is_a_part_of_the_whole(left, top, width, height):
    whole = survey(SMALL, "standard", 5)
    xmin, _, _, ymax = SMALL.bounds
    corner = xmin + 10 * left, ymax - 10 * top
    window = Grid(32643, (corner[0], corner[1] - 10 * height, corner[0] + 10 * width, corner[1]), width, height)
    part, place = survey(window, "standard", 5), (slice(top, top + height), slice(left, left + width))
    assert np.mean(part.cover == whole.cover[place]) > 0.98 or part.cover.size < 60
    assert np.allclose(part.soil, whole.soil[place], atol=0.01)
    same = part.fields.hashes[part.field] == whole.fields.hashes[whole.field[place]]
    assert np.mean(same) > 0.95 or same.size < 60


@pytest.mark.parametrize("crs", [4326, 3035, 3857, 32644])
def test_another_crs_shows_the_same_ground(simulator, crs):
    """The same points, asked for in another CRS: a grid around one pixel is read at its centre."""
    from pyproj import Transformer

    east, north = 576_395.0, 3_420_415.0
    x, y = Transformer.from_crs(32643, crs, always_xy=True).transform(east, north)
    size = 1e-6 if crs == 4326 else 0.1
    one = read(simulator, Grid(crs, (x - size, y - size, x + size, y + size), 1, 1), SUMMER)
    same = read(simulator, SMALL, SUMMER)
    row, column = int((SMALL.bounds[3] - north) // 10), int((east - SMALL.bounds[0]) // 10)
    assert one["REFERENCE"][0, 0] == same["REFERENCE"][row, column]
    assert one["SCL"][0, 0] == same["SCL"][row, column]
    for band in ("B04", "B08"):
        assert float(one[band][0, 0]) == pytest.approx(float(same[band][row, column]), abs=250)


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


@pytest.mark.parametrize("seed", range(4))
def test_every_date_has_all_classes_over_ten_kilometres(seed):
    x, y = np.meshgrid(np.arange(5e5, 5.1e5, 100), np.arange(3.4e6, 3.41e6, 100))
    for day in range(738_000, 738_365, 40):
        classes = stress.classes(x.ravel(), y.ravel(), day, seed)
        assert (np.bincount(classes, minlength=4) / classes.size > 0.1).all()


def test_stress_persists_and_moves_slowly():
    x, y = np.meshgrid(np.arange(5e5, 5.1e5, 100), np.arange(3.4e6, 3.41e6, 100))
    first = stress.classes(x.ravel(), y.ravel(), 738_000, 0)

    def same(days):
        return np.mean(stress.classes(x.ravel(), y.ravel(), 738_000 + days, 0) == first)

    assert same(5) > 0.9
    assert 0.6 < same(30) < 0.9
    assert same(300) < 0.5


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


def test_a_year_has_enough_usable_dates_and_cloudy_ones(simulator):
    clouds, tiles = [], []
    for day, product in passes(simulator, 2024).items():
        clouds.append(np.isin(read(simulator, WIDE, day, ("SCL",), product)["SCL"], CLOUD).mean() * 100)
        tiles.append(product.cloud)
    clouds, tiles = np.array(clouds), np.array(tiles)
    assert 25 <= (clouds <= 20).sum() <= 60
    assert (clouds > 80).sum() >= 8
    assert np.abs(clouds - tiles).max() > 20  # the tile's cloud is not the area's …
    assert np.corrcoef(clouds, tiles)[0, 1] > 0.5  # … but says something about it


def test_a_pass_every_five_days_at_half_past_ten_local_time(simulator):
    days = sorted(passes(simulator, 2024))
    assert {(b - a).days for a, b in pairwise(days)} == {5}
    for box, hour in ((LUDHIANA, 5.3), ((-100.1, 40, -100, 40.1), 17.3), ((147, -35.2, 147.1, -35.1), 0.7)):
        moment = next(iter(passes(simulator, 2024, box).values())).datetime
        assert moment.hour + moment.minute / 60 == pytest.approx(hour, abs=1.2)


def test_scenes_have_no_end_and_no_clock(simulator):
    assert passes(simulator, 2049)
    assert read(simulator, SMALL, next(iter(passes(simulator, 2049))))["B08"].any()


def test_tiles_have_their_real_names_and_places(simulator):
    """39TWK is the tile of the service's own example; 43REQ covers Ludhiana."""
    tile = Tile(39, south=False, column=5, row=49)
    assert tile.name == "39TWK"
    assert tile.bounds == (499_980, 4_890_240, 609_780, 5_000_040)
    assert tile.corners[0] == pytest.approx((50.99976, 45.15382), abs=2e-3)
    assert {product.id.split("_")[5] for product in passes(simulator, 2024).values()} == {"T43REQ"}


def test_pixels_outside_of_the_tile_hold_no_data(simulator):
    product = next(iter(passes(simulator, 2024).values()))
    edge = Grid(32643, (609_280, 3_420_000, 610_280, 3_420_500), 100, 50)  # 43REQ ends at 609 780
    mask = simulator.read(product, edge, ("B02",), "NEAREST").mask
    assert mask[:, :50].all()
    assert not mask[:, 51:].any()


def test_bands_beside_the_four(simulator):
    values = read(simulator, SMALL, SUMMER, ("B05", "B8A", "B11", "B12"))
    assert all(0 < band.mean() < 6000 for band in values.values())
    with pytest.raises(UnknownBandError, match="B10"):
        read(simulator, SMALL, SUMMER, ("B10",))


def test_the_simple_world_is_cruder(ndvi):
    simple = Simulator("simple", 0)
    day = max(passes(simple, 2024), key=lambda known: -abs((known - SUMMER).days))
    values = read(simple, WIDE, day)
    assert not np.isin(values["SCL"], (3, 6, 10)).any()
    assert {1, 2, 3, 4} <= set(np.unique(values["REFERENCE"]))
    bare = (values["REFERENCE"] == 0) & np.isin(values["SCL"], CLEAR)
    assert ndvi(values)[bare].max() < 0.45


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40), st.integers(0, 2**32 - 1))
def test_lattice_noise_is_uniform_and_bounded(i, j, seed):
    values = at_points(np.arange(i, i + 40)[:, None], np.arange(j, j + 40)[None], seed)
    assert values.min() >= 0
    assert values.max() < 1
    assert 0.42 < values.mean() < 0.58


def test_smooth_noise_has_mean_0_and_variance_1_and_no_jumps():
    x, y = np.meshgrid(np.arange(0, 20_000, 25.0), np.arange(0, 20_000, 25.0))
    noise = smooth(x, y, 400.0, 7)
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(noise, axis=1)).max() < 0.6


def test_fields_are_one_to_eight_hectares():
    land = survey(Grid(32643, (576_000, 3_420_000, 580_000, 3_424_000), 400, 400), "standard", 3)
    interior = np.unique(land.field[60:-60, 60:-60])
    sizes = np.bincount(land.field.ravel())[interior] * 0.01
    assert 3 < np.median(sizes) < 5
    assert np.mean((sizes > 1) & (sizes < 8)) > 0.95
    assert np.mean(land.cover == CROP) > 0.8


def test_world_metres_hardly_shear():
    longitude, latitude = np.array([75.8, 75.8 + 1e-3, 75.8]), np.array([31.0, 31.0, 31.001])
    x, y = world_metres(longitude, latitude)
    assert x[1] - x[0] == pytest.approx(95.3, abs=0.3)
    assert y[2] - y[0] == pytest.approx(111.2, abs=0.3)
    assert abs(x[2] - x[0]) < 2
