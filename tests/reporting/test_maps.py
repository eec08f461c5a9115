"""Maps on the page: where areas lie in the drawing, and how large it is on the ground."""

import math

import pytest
from pyproj import Geod

from include.core.charts import Area, MapChart
from include.reporting.maps import HEIGHT, MARGIN, WIDTH, drawn_map


def square(label, west, south, side=0.01, state="good", text=""):
    east, north = west + side, south + side
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return Area(label, state, [ring], text)


def drawn(*areas):
    return drawn_map(MapChart("map", "Map", {"bad": "alert", "good": "plain"}, areas))


def test_north_is_up_east_is_right_and_all_fits():
    drawing = drawn(square("south-west", 5.0, 50.0), square("north-east", 5.06, 50.01))
    (west, south), (east, north) = (area.middle for area in drawing.areas)
    assert west < east
    assert south > north
    points = [point.split(",") for area in drawing.areas for point in area.path.strip("MZ").split(" ")]
    xs, ys = [float(x) for x, _ in points], [float(y) for _, y in points]
    assert (min(xs), max(xs)) == pytest.approx((MARGIN, WIDTH - MARGIN), abs=0.1)
    assert min(ys) + max(ys) == pytest.approx(HEIGHT, abs=0.1)
    assert len(points) == 8, "the point that closes a ring is not drawn twice"


@pytest.mark.parametrize("latitude", [-35.0, 0.0, 60.0])
def test_a_unit_is_as_long_as_on_the_ground(latitude):
    drawing = drawn(square("A", 20.0, latitude, side=0.02))
    xs = [float(point.split(",")[0]) for point in drawing.areas[0].path.strip("MZ").split(" ")]
    middle = latitude + 0.01
    _, _, metres = Geod(ellps="WGS84").inv(20.0, middle, 20.02, middle)
    assert (max(xs) - min(xs)) * drawing.unit_km == pytest.approx(metres / 1000, rel=0.004), (
        "a sphere, not the ellipsoid"
    )


def test_tiles_find_their_place():
    """The tile of level 12 that holds a point, by the formula of the OpenStreetMap wiki."""
    drawing = drawn(square("A", 13.4, 52.5))
    latitude, level = math.radians(52.5), 12
    row = (1 - math.asinh(math.tan(latitude)) / math.pi) / 2 * 2**level
    column = (13.4 + 180) / 360 * 2**level
    x, y = drawing.areas[0].path[1:].split(" ")[0].split(",")
    assert (drawing.left + float(x) / drawing.scale) * 2**level == pytest.approx(column, abs=1e-3)
    assert (drawing.top + float(y) / drawing.scale) * 2**level == pytest.approx(row, abs=1e-3)


def test_states_are_counted_and_names_fit_when_they_are_large_enough():
    drawing = drawn(square("A", 5, 50, text="3 ha"), square("B", 5.5, 50.3), square("C", 5.8, 50.6, state="bad"))
    assert drawing.counts == {"bad": 1, "good": 2}
    assert drawing.areas[0].text == "A: good, 3 ha"
    assert drawing.areas[0].fits_at > 1
    assert drawn(square("A", 5, 50)).areas[0].fits_at < 1
    assert drawing.areas[0].name_classes == "name off tight"
    assert drawn(square("A", 5, 50)).areas[0].name_classes == "name"


def test_a_hole_and_a_single_point_of_view_are_drawn():
    outer, inner = square("A", 5, 50).rings[0], square("A", 5.002, 50.002, side=0.002).rings[0]
    [area] = drawn(Area("A", "good", [outer, inner])).areas
    assert area.path.count("M") == area.path.count("Z") == 2
