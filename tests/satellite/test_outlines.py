"""Outlines from files as users have them: formats, CRS, geometries that are missing or wrong, ids."""

import json
import zipfile

import numpy as np
import pyogrio.raw
import pytest
import shapely
from pyproj import Transformer
from shapely.geometry import box, mapping

from include.core.errors import BadInputError
from include.satellite.outlines import outlines_of, read_document, read_outlines

FIELD = box(4.40, 50.70, 4.41, 50.71)
OTHER = box(4.42, 50.70, 4.43, 50.71)
TO_UTM = Transformer.from_crs("EPSG:4326", "EPSG:32631", always_xy=True)
IN_UTM = shapely.transform(FIELD, lambda points: np.column_stack(TO_UTM.transform(*points.T)))


def feature(geometry, **members):
    return {"type": "Feature", "properties": {}, "geometry": geometry and mapping(geometry), **members}


def collection(*features, **members):
    return {"type": "FeatureCollection", "features": list(features), **members}


def crs(name):
    return {"type": "name", "properties": {"name": name}}


def swapped(geometry):
    return shapely.transform(geometry, lambda points: points[:, ::-1])


def written(path, document, encoding="utf-8"):
    path.write_text(json.dumps(document), encoding=encoding)
    return path


def write(path, geometries, *, crs="EPSG:4326", layer=None, **columns):
    """A vector file of another format, as GDAL writes it."""
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(geometries, dtype=object)), [np.array(values) for values in columns.values()],
        list(columns), layer=layer, crs=crs, geometry_type=geometries[0].geom_type, append=layer is not None,
        driver="KML" if path.suffix == ".kml" else None,
    )  # fmt: skip
    return path


def messages(outlines):
    return [finding.message for finding in outlines.findings]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_changes_nothing(tmp_path, encoding):
    outlines = read_outlines(written(tmp_path / "a.geojson", mapping(FIELD), encoding))
    assert [outline.geometry for outline in outlines.outlines] == [FIELD]
    assert outlines.findings == ()
    assert outlines.bounds == FIELD.bounds


@pytest.mark.parametrize("separator", ["\n{}", "\x1e{}\n"])
def test_text_sequences_hold_a_feature_a_record_and_errors_name_the_record(tmp_path, separator):
    path = tmp_path / "a.geojsonl"
    records = [json.dumps(feature(geometry, id=id_)) for id_, geometry in (("a", FIELD), ("b", OTHER))]
    path.write_text("".join(map(separator.format, records)))
    assert [outline.id for outline in read_outlines(path).outlines] == ["a", "b"]
    path.write_text("".join(map(separator.format, [*records, '{"type": "Fea'])))
    with pytest.raises(BadInputError, match=r"a.geojsonl, (line 4|record 3): cannot be read as JSON"):
        read_outlines(path)


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


def test_features_without_a_geometry_are_skipped_by_name():
    outlines = outlines_of(
        collection(feature(None, id="a"), feature(FIELD, id="b"), feature(shapely.Polygon(), id="c"))
    )
    assert [outline.id for outline in outlines.outlines] == ["b"]
    assert messages(outlines) == ["geojson: features a, c skipped: without a geometry"]
    with pytest.raises(BadInputError, match="2 features, none with a geometry"):
        outlines_of(collection(feature(None), feature(None)))


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


def test_what_encloses_nothing_is_refused_by_name():
    flat = {"type": "Polygon", "coordinates": [[[4, 50], [5, 51], [4, 50], [4, 50]]]}
    with pytest.raises(BadInputError, match="feature 2 encloses no area"):
        outlines_of(collection(feature(FIELD), {"type": "Feature", "properties": {}, "geometry": flat}))


def test_a_geometry_that_cannot_be_read_is_named():
    broken = {"type": "Polygon", "coordinates": [[["x", 50]]]}
    with pytest.raises(BadInputError, match=r"feature 2 \(id 'f9'\): its geometry cannot be read"):
        outlines_of(collection(feature(FIELD), {"type": "Feature", "id": "f9", "properties": {}, "geometry": broken}))


@pytest.mark.parametrize("document", [{"rings": []}, {"type": "Topology"}, [], collection() | {"features": 1}])
def test_json_of_another_kind_is_refused(document):
    with pytest.raises(BadInputError, match=r"not GeoJSON|no list"):
        outlines_of(document if isinstance(document, dict) else {"type": document})


def test_ids_are_the_property_id_else_the_features_own_else_numbers():
    def ids(*features):
        return [outline.id for outline in outlines_of(collection(*features)).outlines]

    assert ids(feature(FIELD, id="x", properties={"ID": 12.0}), feature(OTHER, properties={"ID": 13})) == ["12", "13"]
    assert ids(feature(FIELD, id="x", properties={"id": 1}), feature(OTHER, id="y", properties={"id": 1})) == ["x", "y"]
    assert ids(feature(FIELD), feature(OTHER)) == ["1", "2"]


def test_a_named_id_field_must_be_there_filled_and_unique(tmp_path):
    def path(*names):
        features = [feature(FIELD, properties={"parcel": name, "crop": "wheat"}) for name in names]
        return written(tmp_path / "a.geojson", collection(*features))

    outlines = read_outlines(path("p1", "p2"), id_field="parcel").outlines
    assert [(outline.id, outline.properties["crop"]) for outline in outlines] == [("p1", "wheat"), ("p2", "wheat")]
    with pytest.raises(BadInputError, match="they have: crop, parcel"):
        read_outlines(path("p1"), id_field="name")
    with pytest.raises(BadInputError, match="'parcel' is empty for: feature 2"):
        read_outlines(path("p1", None), id_field="parcel")
    with pytest.raises(BadInputError, match="repeated for: feature p1"):
        read_outlines(path("p1", "p1"), id_field="parcel")


def test_geopackages_are_read_by_layer(tmp_path):
    path = tmp_path / "farm.gpkg"
    write(path, [IN_UTM], crs="EPSG:32631", layer="fields", crop=["wheat"], sown=np.array(["2026-03-01"], "M8[D]"))
    (outline,) = read_outlines(path).outlines
    assert shapely.equals_exact(outline.geometry, FIELD, 1e-9)
    assert (outline.id, outline.properties) == ("1", {"crop": "wheat", "sown": "2026-03-01"})
    write(path, [OTHER], layer="wells", crop=["none"])
    with pytest.raises(BadInputError, match=r"farm.gpkg: has several layers.*Its layers: fields, wells"):
        read_outlines(path)
    with pytest.raises(BadInputError, match="has no layer 'x'"):
        read_outlines(path, layer="x")
    assert read_outlines(path, layer="wells").outlines[0].geometry == OTHER


def test_shapefiles_are_read_zipped_in_a_folder_and_need_a_crs(tmp_path):
    path = write(tmp_path / "fields.shp", [FIELD, OTHER], name=["a", "b"])
    assert len(read_outlines(path).outlines) == 2
    archive = tmp_path / "fields.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for part in tmp_path.glob("fields.???"):
            if part != archive:
                packed.write(part, f"export/{part.name}")
    assert [outline.properties["name"] for outline in read_outlines(archive).outlines] == ["a", "b"]
    (tmp_path / "fields.prj").unlink()
    with pytest.raises(BadInputError, match=r"states no CRS.*\.prj.*ogr2ogr -a_srs"):
        read_outlines(path)


def test_archives_name_their_layers_or_what_they_may_hold(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("north.geojson", json.dumps(mapping(FIELD)))
        packed.writestr("south.geojson", json.dumps(mapping(OTHER)))
    with pytest.raises(BadInputError, match="Its layers: north, south"):
        read_outlines(archive)
    assert read_outlines(archive, layer="south").outlines[0].geometry == OTHER
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("readme.txt", "none")
    with pytest.raises(BadInputError, match="holds no vector file"):
        read_outlines(archive)


def test_kml_is_read(tmp_path):
    path = write(tmp_path / "a.kml", [shapely.force_3d(FIELD, 5.0)], Name=["Home field"])
    (outline,) = read_outlines(path).outlines
    assert shapely.equals_exact(outline.geometry, FIELD, 1e-9)
    archive = tmp_path / "a.kmz"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(path, "doc.kml")
    assert read_outlines(archive).outlines[0].geometry == outline.geometry


def test_what_is_no_vector_file_is_refused_by_name(tmp_path):
    path = tmp_path / "a.gpkg"
    with pytest.raises(BadInputError, match=r"a.gpkg: no such file"):
        read_outlines(path)
    path.write_bytes(b"")
    with pytest.raises(BadInputError, match="is empty"):
        read_outlines(path)
    path.write_bytes(b"neither of them")
    with pytest.raises(BadInputError, match=r"cannot be read as a vector file.*readable are GeoJSON"):
        read_outlines(path)
    path.write_bytes(b"{ no json")
    with pytest.raises(BadInputError, match="cannot be read as JSON"):
        read_outlines(path)


def test_a_document_of_a_file_gives_the_same_outlines_and_findings(tmp_path):
    ring = [[IN_UTM.bounds[0], IN_UTM.bounds[1]], [IN_UTM.bounds[2], IN_UTM.bounds[3]]]
    ring = [*ring, [ring[1][0], ring[0][1]], [ring[0][0], ring[1][1]], ring[0]]
    bow_tie = {"type": "Feature", "id": "tie", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = written(
        tmp_path / "a.geojson", collection(feature(None), feature(IN_UTM, id="b"), bow_tie, crs=crs("EPSG:32631"))
    )
    read, again = read_outlines(path), outlines_of(read_document(path))
    assert [(outline.id, outline.geometry) for outline in read.outlines] == [
        (outline.id, outline.geometry) for outline in again.outlines
    ]
    assert read.findings == again.findings
    assert len(read.findings) == 3


def test_degrees_under_a_projected_crs_are_refused():
    with pytest.raises(
        BadInputError, match=r"states WGS 84 / UTM zone 31N .*coordinates are degrees .*correct its CRS"
    ):
        outlines_of(
            {"type": "Polygon", "coordinates": [[[4.4, 50.7], [4.5, 50.7], [4.5, 50.8], [4.4, 50.7]]]}
            | {"crs": {"type": "name", "properties": {"name": "EPSG:32631"}}}
        )


def test_a_vertex_that_is_no_number_is_named(tmp_path):
    path = tmp_path / "field.geojson"
    path.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 0], [1, 1], [0, 0]]]}')
    with pytest.raises(BadInputError, match="a coordinate is not a finite number; feature 1"):
        read_outlines(path)


def test_a_hole_outside_its_polygon_adds_nothing_and_one_as_large_leaves_nothing():
    square, beside = ([[x, 0], [x + 1, 0], [x + 1, 1], [x, 1], [x, 0]] for x in (0, 5))
    read = outlines_of({"type": "Polygon", "coordinates": [square, beside]})
    assert read.outlines[0].geometry.area == 1
    assert "was repaired (Hole lies outside shell" in read.findings[0].message
    with pytest.raises(BadInputError, match="encloses no area"):
        outlines_of({"type": "Polygon", "coordinates": [square, square]})


@pytest.mark.parametrize("ids", [(1, 1), (1, None)])
def test_ids_that_occur_twice_or_are_missing_are_replaced_and_said(ids):
    ring = [[0, 0], [1, 0], [1, 1], [0, 0]]
    features = [
        {"type": "Feature", "id": id_, "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for id_ in ids
    ]
    read = outlines_of({"type": "FeatureCollection", "features": features})
    assert [outline.id for outline in read.outlines] == ["1", "2"]
    assert "ids are missing or occur twice, so features are numbered from 1" in read.findings[0].message
