"""The simulator: products in tiles and passes, the same world wherever and however it is read."""

from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pytest

from include.standins.sentinel_hub.scenes import Grid
from include.standins.sentinel_hub.simulator import Simulator, Tile, is_reprocessed, taken, tiles_over
from include.standins.sentinel_hub.simulator import passes as tile_passes
from tests.standins.sentinel_hub.api import LUDHIANA, SMALL
from tests.standins.sentinel_hub.world import BANDS, CLOUD, SUMMER, WIDE, passes, read


def test_where_tiles_overlap_a_day_has_a_product_of_each(api):
    overlap = api.search(bbox=(76.10, 30.9, 76.12, 30.92))  # 43REQ ends at 609 780 m, 43RFQ begins at 599 980 m
    tiles = {}
    for one in overlap:
        tiles.setdefault(one["properties"]["datetime"][:10], set()).add(one["id"].split("_")[5])
    assert all(names == {"T43REQ", "T43RFQ"} for names in tiles.values())


def test_some_tiles_are_published_twice(api):
    passes = [(one["properties"]["datetime"], one["id"].split("_")[5]) for one in api.search()]
    assert 70 <= len(set(passes)) <= 74
    assert len(set(passes)) < len(passes) < 1.4 * len(set(passes))


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
    bands = simulator.bands(next(iter(passes(simulator, 2024).values())))
    assert {*values, "SCL", "REFERENCE"} < {*bands}
    assert "B10" not in bands


def test_tiles_over_a_box_are_those_that_may_touch_it():
    assert [tile.name for tile in tiles_over(LUDHIANA)] == ["43REQ"]
    assert {tile.name for tile in tiles_over((76.10, 30.9, 76.12, 30.92))} == {"43REQ", "43RFQ"}
    assert {(tile.zone, tile.south) for tile in tiles_over((-0.1, -0.1, 0.1, 0.1))} == {
        (30, False),
        (30, True),
        (31, False),
        (31, True),
    }


def test_points_are_spread_over_the_tile():
    tile = Tile(43, south=False, column=5, row=34)
    longitude, latitude = tile.points(3)
    assert longitude.shape == latitude.shape == (3, 3)
    assert (longitude[0, 0], latitude[0, 0]) == pytest.approx((75.192423, 31.469557), abs=1e-6)
    assert (longitude[2, 2], latitude[2, 2]) == pytest.approx((75.956308, 30.805706), abs=1e-6)


def test_the_satellites_take_turns():
    start, end = datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 12, tzinfo=UTC)
    assert list(tile_passes(43, start, end, 3)) == [(date(2024, 7, 4), "B"), (date(2024, 7, 9), "A")]


def test_a_tile_is_taken_at_its_own_second():
    tile = Tile(43, south=False, column=5, row=34)
    assert taken(tile, SUMMER) == datetime(2024, 7, 28, 5, 22, 4, tzinfo=UTC)


def test_one_pass_in_eight_is_reprocessed():
    tile = Tile(43, south=False, column=5, row=34)
    share = np.mean([is_reprocessed(tile, date.fromordinal(738_000 + day), 0) for day in range(800)])
    assert share == pytest.approx(1 / 8, abs=0.02)
