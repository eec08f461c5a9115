"""GeoJSON as users have it: byte order marks, sequences, documents of another kind."""

import json

import pytest
from shapely.geometry import mapping

from include.core.errors import BadInputError
from include.satellite.outlines.reading import outlines_of, read_outlines
from tests.satellite.outlines.two_fields import FIELD, OTHER, collection, feature, written


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


def test_a_geometry_that_cannot_be_read_is_named():
    broken = {"type": "Polygon", "coordinates": [[["x", 50]]]}
    with pytest.raises(BadInputError, match=r"feature 2 \(id 'f9'\): its geometry cannot be read"):
        outlines_of(collection(feature(FIELD), {"type": "Feature", "id": "f9", "properties": {}, "geometry": broken}))


@pytest.mark.parametrize("document", [{"rings": []}, {"type": "Topology"}, [], collection() | {"features": 1}])
def test_json_of_another_kind_is_refused(document):
    with pytest.raises(BadInputError, match=r"not GeoJSON|no list"):
        outlines_of(document if isinstance(document, dict) else {"type": document})
