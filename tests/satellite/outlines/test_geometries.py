"""Geometries: CRS, axes, rings and holes, the antimeridian."""

import pytest
import shapely
from shapely.geometry import box, mapping

from include.core.errors import BadInputError
from include.satellite.outlines.reading import outlines_of, read_outlines
from tests.satellite.outlines.two_fields import FIELD, IN_UTM, OTHER, collection, crs, feature, messages, swapped


def test_the_crs_member_is_heeded_and_said():
    outlines = outlines_of(collection(feature(IN_UTM), crs=crs("urn:ogc:def:crs:EPSG::32631")))
    assert shapely.equals_exact(outlines.outlines[0].geometry, FIELD, 1e-9)
    assert messages(outlines) == [
        "geojson: transformed from WGS 84 / UTM zone 31N (urn:ogc:def:crs:EPSG::32631) to WGS 84"
    ]
    for name in ("urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326", "EPSG:4326"):
        assert outlines_of(collection(feature(FIELD), crs=crs(name))).findings == ()


@pytest.mark.parametrize("member", [crs("EPSG:99999999"), {"type": "link", "properties": {"href": "http://a/b"}}])
def test_a_crs_that_is_not_known_is_refused_with_the_remedy(member):
    with pytest.raises(BadInputError, match="ogr2ogr -t_srs EPSG:4326"):
        outlines_of(collection(feature(FIELD), crs=member))


def test_projected_coordinates_without_crs_are_refused_with_the_remedy():
    with pytest.raises(BadInputError, match=r"feature 1 lies between \(59.*not degrees.*ogr2ogr -s_srs"):
        outlines_of(mapping(IN_UTM))


def test_degrees_under_a_projected_crs_are_refused():
    with pytest.raises(
        BadInputError, match=r"states WGS 84 / UTM zone 31N .*coordinates are degrees .*correct its CRS"
    ):
        outlines_of(
            {"type": "Polygon", "coordinates": [[[4.4, 50.7], [4.5, 50.7], [4.5, 50.8], [4.4, 50.7]]]}
            | {"crs": {"type": "name", "properties": {"name": "EPSG:32631"}}}
        )


def test_points_and_lines_are_refused_by_name():
    with pytest.raises(BadInputError, match="must hold polygons; features line, point: LineString, Point"):
        outlines_of(
            collection(
                feature(FIELD, id="field"),
                feature(shapely.LineString([(4, 50), (5, 51)]), id="line"),
                feature(shapely.Point(4, 50), id="point"),
            )
        )


def test_swapped_axes_are_told_by_the_numbers():
    with pytest.raises(BadInputError, match=r"feature 7 .*latitude stands before longitude.*ST_SwapCoordinates"):
        outlines_of(feature(box(30.9, 175.8, 31.0, 175.9), id=7))


def test_swapped_axes_are_told_by_the_extent_of_the_imagery():
    extent = (4.0, 50.0, 5.0, 51.0)
    assert outlines_of(mapping(FIELD), extent=extent).outlines[0].geometry == FIELD
    with pytest.raises(BadInputError, match=r"latitude stands before longitude.*between \(4, 50\) and \(5, 51\)"):
        outlines_of(mapping(swapped(FIELD)), extent=extent)
    with pytest.raises(BadInputError, match=r"outside the imagery, which lies between \(4, 50\) and \(5, 51\)"):
        outlines_of(mapping(box(10, 10, 11, 11)), extent=extent)


@pytest.mark.parametrize(
    "geometry",
    [
        box(179.9, -17.2, 180.1, -17.0),
        box(-179.9, -17.2, 179.9, -17.0),
        shapely.MultiPolygon([box(179.9, -17.2, 180, -17.0), box(-180, -17.2, -179.9, -17.0)]),
    ],
)
def test_an_outline_across_the_antimeridian_is_refused_with_a_sentence(geometry):
    with pytest.raises(BadInputError, match=r"feature f lies .* crosses the antimeridian"):
        outlines_of(feature(geometry, id="f"))


def test_holes_and_parts_are_kept_and_heights_are_dropped():
    holed = FIELD.difference(box(4.402, 50.702, 4.404, 50.704))
    both = shapely.MultiPolygon([holed, OTHER])
    outlines = outlines_of(mapping(shapely.force_3d(both, 80.0)))
    assert outlines.outlines[0].geometry == both
    nested = {"type": "GeometryCollection", "geometries": [mapping(FIELD), mapping(OTHER)]}
    assert outlines_of(nested).outlines[0].geometry == shapely.MultiPolygon([FIELD, OTHER])


def test_a_ring_that_crosses_itself_is_repaired_and_said():
    bow_tie = {"type": "Polygon", "coordinates": [[[4, 50], [5, 51], [5, 50], [4, 51], [4, 50]]]}
    outlines = outlines_of({"type": "Feature", "id": 3, "properties": {}, "geometry": bow_tie})
    assert outlines.outlines[0].geometry.area == pytest.approx(0.5)
    assert "feature 3 was repaired (Self-intersection" in messages(outlines)[0]
    assert outlines.findings[0].severity == "warning"


def test_a_hole_outside_its_polygon_adds_nothing_and_one_as_large_leaves_nothing():
    square, beside = ([[x, 0], [x + 1, 0], [x + 1, 1], [x, 1], [x, 0]] for x in (0, 5))
    read = outlines_of({"type": "Polygon", "coordinates": [square, beside]})
    assert read.outlines[0].geometry.area == 1
    assert "was repaired (Hole lies outside shell" in read.findings[0].message
    with pytest.raises(BadInputError, match="encloses no area"):
        outlines_of({"type": "Polygon", "coordinates": [square, square]})


def test_what_encloses_nothing_is_refused_by_name():
    flat = {"type": "Polygon", "coordinates": [[[4, 50], [5, 51], [4, 50], [4, 50]]]}
    with pytest.raises(BadInputError, match="feature 2 encloses no area"):
        outlines_of(collection(feature(FIELD), {"type": "Feature", "properties": {}, "geometry": flat}))


def test_a_vertex_that_is_no_number_is_named(tmp_path):
    path = tmp_path / "field.geojson"
    path.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 0], [1, 1], [0, 0]]]}')
    with pytest.raises(BadInputError, match="a coordinate is not a finite number; feature 1"):
        read_outlines(path)
