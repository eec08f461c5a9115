"""Which pixels are a field's: those whose centre lies inside its outline shrunk by 10 m."""

import numpy as np
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom
from shapely.geometry import mapping

from include.satellite.fields.pixels import field_pixels, outline_key, projected, shrunk_outlines
from include.satellite.imagery.area import affine_of
from tests.satellite.fields.squares import outline
from tests.satellite.imagery_store import grid_of

GRID = grid_of(30, 40)


def positions(found, number):
    return set(found.positions[found.field == number].tolist())


def block(row, column, height, width):
    return {(row + down) * GRID.width + column + across for down in range(height) for across in range(width)}


def test_a_field_loses_the_pixels_at_its_edge():
    found = field_pixels([outline(GRID, 4, 6, 7, 9)], GRID)
    assert positions(found, 0) == block(5, 7, 5, 7)
    assert found.per_field().tolist() == [35]


def test_a_field_of_two_pixels_width_has_none_left_and_keeps_its_place_in_the_count():
    found = field_pixels([outline(GRID, 4, 6, 2, 9), outline(GRID, 4, 6, 7, 9)], GRID)
    assert found.per_field().tolist() == [0, 35]


def test_pixels_of_overlapping_fields_belong_to_each():
    found = field_pixels([outline(GRID, 4, 6, 7, 9), outline(GRID, 4, 10, 7, 9)], GRID)
    assert positions(found, 0) & positions(found, 1) == block(5, 11, 5, 3)
    assert found.per_field().tolist() == [35, 35]


def test_parts_beyond_the_grid_have_no_pixels():
    found = field_pixels(
        [outline(GRID, -5, -5, 10, 10), outline(GRID, 25, 35, 20, 20), outline(GRID, 90, 9, 9, 9)], GRID
    )
    assert positions(found, 0) == block(0, 0, 4, 4)
    assert positions(found, 1) == block(26, 36, 4, 4)
    assert positions(found, 2) == set()


def test_pixels_of_some_fields_keep_the_numbers_of_their_fields():
    found = field_pixels([outline(GRID, 4, 6, 7, 9), outline(GRID, 14, 10, 7, 9)], GRID)
    some = found.of(np.array([False, True]))
    assert some.per_field().tolist() == [0, 35]
    assert found.of(np.array([True, True])) is found


def test_pixels_are_those_that_gdal_rasterises_of_the_shrunk_outline():
    grid = grid_of(60, 60)
    ring = [
        (600_013, 3_420_041),
        (600_311, 3_420_102),
        (600_402, 3_420_333),
        (600_057, 3_420_418),
        (600_013, 3_420_041),
    ]
    geometry = transform_geom(grid.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})
    [shrunk] = shrunk_outlines([geometry], grid.crs)
    assert shrunk.within(projected([geometry], grid.crs)[0])
    mask = geometry_mask([mapping(shrunk)], (60, 60), affine_of(grid), invert=True)
    assert mask.sum() > 100
    assert field_pixels([geometry], grid).positions.tolist() == np.flatnonzero(mask).tolist()


def test_an_outline_has_one_key_wherever_its_ring_begins_and_however_it_turns():
    ring = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    turned = [*ring[2:], *ring[1:3]]
    keys = {outline_key({"type": "Polygon", "coordinates": [each]}) for each in (ring, turned, ring[::-1])}
    assert len(keys) == 1
    assert outline_key({"type": "Polygon", "coordinates": [[(0, 0), (1, 0), (1, 1.0001), (0, 1), (0, 0)]]}) not in keys
