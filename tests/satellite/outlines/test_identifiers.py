"""Ids of features: the file's own, a named property, numbers."""

import pytest

from include.core.errors import BadInputError
from include.satellite.outlines.reading import outlines_of, read_outlines
from tests.satellite.outlines.two_fields import FIELD, OTHER, collection, feature, written


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
