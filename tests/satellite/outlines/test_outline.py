"""Outlines and their names in messages."""

import pytest
import shapely

from include.core.errors import BadInputError
from include.satellite.outlines.outline import named
from include.satellite.outlines.reading import outlines_of
from tests.satellite.outlines.two_fields import FIELD, collection, feature, messages


def test_features_without_a_geometry_are_skipped_by_name():
    outlines = outlines_of(
        collection(feature(None, id="a"), feature(FIELD, id="b"), feature(shapely.Polygon(), id="c"))
    )
    assert [outline.id for outline in outlines.outlines] == ["b"]
    assert messages(outlines) == ["geojson: features a, c skipped: without a geometry"]
    with pytest.raises(BadInputError, match="2 features, none with a geometry"):
        outlines_of(collection(feature(None), feature(None)))


def test_five_features_are_named_and_the_others_counted():
    assert named(["7"]) == "feature 7"
    assert named([str(number) for number in range(8)]) == "features 0, 1, 2, 3, 4 and 3 more"
