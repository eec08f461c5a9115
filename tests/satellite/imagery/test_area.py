"""The area: what is accepted, its UTM grid, its mask."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from include.core.errors import BadInputError
from include.satellite.imagery.area import (
    affine_of,
    area_findings,
    area_geometry,
    inside_mask,
    make_grid,
    request_grids,
    utm_zone,
)
from include.satellite.imagery.schemas import Grid
from include.satellite.params import AreaParams


def polygon(*points):
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


def geometry_of(**params):
    return area_geometry(AreaParams(**params))


def test_the_default_area_is_ludhiana_in_zone_43_north():
    grid = make_grid(geometry_of(), 10)
    # the envelope measured with PROJ is 576374.02 … 586010.67, 3418793.62 … 3429949.51
    assert grid.crs == "EPSG:32643"
    assert grid.bounds == (576370, 3418790, 586020, 3429950)
    assert (grid.width, grid.height) == (965, 1116)


@pytest.mark.parametrize(
    ("bbox", "crs"),
    [
        ((5.31, 50.62, 5.33, 50.63), "EPSG:32631"),
        ((22.14, 45.20, 22.15, 45.21), "EPSG:32634"),
        ((-65.1, -30.1, -65.0, -30.0), "EPSG:32720"),
        ((179.5, -17.2, 180.0, -17.0), "EPSG:32760"),
        ((-180.0, 66.0, -179.9, 66.1), "EPSG:32601"),
    ],
)
def test_the_zone_is_that_of_the_middle(bbox, crs):
    assert utm_zone(geometry_of(bbox=bbox)) == crs


@given(
    west=st.floats(-179, 178), south=st.floats(-75, 80), width=st.floats(0.001, 0.8), height=st.floats(0.001, 0.8),
    resolution=st.integers(10, 60),
)  # fmt: skip
def test_the_grid_covers_the_area_in_whole_pixels(west, south, width, height, resolution):
    bbox = (west, south, west + width, south + height)
    grid = make_grid(geometry_of(bbox=bbox), resolution)
    xmin, ymin, xmax, ymax = grid.bounds
    assert all(bound % resolution == 0 for bound in grid.bounds)
    assert (grid.width, grid.height) == ((xmax - xmin) / resolution, (ymax - ymin) / resolution)
    project = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    for x, y in itertools.starmap(project.transform, itertools.product(bbox[::2], bbox[1::2])):
        assert xmin - resolution / 1000 <= x <= xmax + resolution / 1000
        assert ymin - resolution / 1000 <= y <= ymax + resolution / 1000


def test_a_bound_on_a_multiple_is_not_snapped_further():
    back = Transformer.from_crs("EPSG:32643", "EPSG:4326", always_xy=True)
    ring = [back.transform(x, y) for x, y in ((500_000, 3_400_000), (500_600, 3_400_000), (500_600, 3_400_600))]
    grid = make_grid(polygon(*ring), 10)
    assert grid.bounds == (500_000, 3_400_000, 500_600, 3_400_600)


def test_only_pixels_whose_centre_lies_inside_belong_to_the_area():
    back = Transformer.from_crs("EPSG:32643", "EPSG:4326", always_xy=True)
    # a triangle: below the diagonal of a square of 10 × 10 pixels
    ring = [back.transform(x, y) for x, y in ((500_000, 3_400_000), (500_100, 3_400_000), (500_000, 3_400_100))]
    geometry = polygon(*ring)
    inside = inside_mask(geometry, make_grid(geometry, 10))
    rows, columns = np.indices((10, 10)) + 0.5
    expected = columns + (10 - rows) < 10
    undecided = columns + (10 - rows) == 10  # their centre lies on the edge
    assert (inside == expected)[~undecided].all()


def test_features_and_multipolygons_are_one_area():
    one = polygon((75.80, 30.90), (75.81, 30.90), (75.81, 30.91), (75.80, 30.91))
    other = polygon((75.83, 30.90), (75.84, 30.90), (75.84, 30.91), (75.83, 30.91))
    features = [{"type": "Feature", "properties": {}, "geometry": each} for each in (one, other)]
    joined = geometry_of(geojson={"type": "FeatureCollection", "features": features})
    assert joined["type"] == "MultiPolygon"
    assert make_grid(joined, 10) == make_grid(geometry_of(bbox=(75.80, 30.90, 75.84, 30.91)), 10)
    assert inside_mask(joined, make_grid(joined, 10)).mean() == pytest.approx(0.5, abs=0.02)


def test_what_was_done_to_the_area_is_a_finding():
    field = {"type": "Feature", "properties": {}, "geometry": polygon((75.8, 30.9), (75.9, 30.9), (75.85, 31.0))}
    nothing = {"type": "Feature", "id": "n", "properties": {}, "geometry": None}
    params = AreaParams(geojson={"type": "FeatureCollection", "features": [field, nothing]})
    assert [finding.message for finding in area_findings(params)] == [
        "geojson: ids are missing or occur twice, so features are numbered from 1 in the order of the file",
        "geojson: feature 2 skipped: without a geometry",
    ]
    assert area_findings(AreaParams()) == ()


@pytest.mark.parametrize(
    "geojson",
    [
        {"type": "Point", "coordinates": [75.8, 30.9]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[75.8, 30.9], [75.9, 30.9]]]},
        {"type": "Polygon", "coordinates": "everywhere"},
        {"type": "Feature", "properties": {}, "geometry": None},
        {"type": "FeatureCollection", "features": []},
        {"type": "FeatureCollection"},
        {"type": "Circle", "centre": [75.8, 30.9]},
        {},
        polygon((75.8, 30.9), (75.9, 30.9), (75.85, 30.9)),
        polygon((30.9, 175.8), (31.0, 175.8), (31.0, 175.9), (30.9, 175.9)),  # latitude first
        polygon((70.0, 30.0), (76.0, 30.0), (76.0, 31.0), (70.0, 31.0)),  # wider than a zone's grid can hold
        polygon((float("nan"), 30.0), (76.0, 30.0), (76.0, 31.0), (70.0, 31.0)),
    ],
)
def test_what_is_no_area_is_refused_by_name(geojson):
    with pytest.raises(BadInputError, match=r"^geojson: "):
        geometry_of(geojson=geojson)


def test_an_area_between_the_pixel_centres_is_too_small():
    back = Transformer.from_crs("EPSG:32643", "EPSG:4326", always_xy=True)
    ring = [back.transform(x, y) for x, y in ((500_001, 3_400_001), (500_003, 3_400_001), (500_003, 3_400_003))]
    geometry = polygon(*ring)
    with pytest.raises(BadInputError, match="too small"):
        inside_mask(geometry, make_grid(geometry, 10))


@given(width=st.integers(1, 300), height=st.integers(1, 300), largest=st.integers(7, 100))
@settings(deadline=None)
def test_requests_cover_every_pixel_once_where_it_lies(width, height, largest):
    grid = Grid(crs="EPSG:32643", resolution=10, bounds=(0, 0, width * 10, height * 10), width=width, height=height)
    seen = np.zeros((height, width), int)
    for part, (rows, columns) in request_grids(grid, largest):
        seen[rows, columns] += 1
        assert part.width <= largest
        assert part.height <= largest
        assert (part.height, part.width) == (rows.stop - rows.start, columns.stop - columns.start)
        assert part.bounds[0] == columns.start * 10
        assert part.bounds[3] == (height - rows.start) * 10
    assert (seen == 1).all()


def test_pixels_lie_from_the_upper_left_corner_on():
    grid = Grid(crs="EPSG:32643", resolution=10, bounds=(500, 600, 520, 640), width=2, height=4)
    assert affine_of(grid) @ (0, 0) == (500, 640)
    assert affine_of(grid) @ (2, 4) == (520, 600)
