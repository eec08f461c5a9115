"""Parameters of field monitoring: indices decide about bands, and every pass is taken."""

import pytest
from shapely.geometry import box, mapping

from include.core.errors import BadInputError
from include.satellite.fields.params import FieldsParams, PassParams
from include.satellite.pipeline import FIELD_MONITORING

AREA = dict(mapping(box(75.8, 30.9, 75.81, 30.91)))


@pytest.mark.parametrize(
    ("indices", "bands"),
    [
        (("ndvi", "savi", "evi"), ()),
        (("ndvi", "ndre"), ("B05", "B8A")),
        (("ndmi",), ("B8A", "B11")),
        (("ndvi", "ndre", "ndmi"), ("B05", "B8A", "B11")),
    ],
)
def test_more_bands_are_fetched_only_for_the_indices_that_need_them(indices, bands):
    params = PassParams(indices=indices, source="demo")
    assert params.extra_bands == bands
    assert params.for_search(AREA).bands == ("B02", "B03", "B04", "B08", *bands, "SCL")


def test_a_search_takes_every_pass_that_is_not_all_cloud_and_a_validation_needs_none():
    params = PassParams(source="cdse", days_back=40, max_cloud_cover=80, resolution=20, max_processing_units=7)
    search, validation = params.for_search(AREA), params.for_validation(AREA)
    assert search.target_count > 1000
    assert validation.min_dates == 0
    for derived in (search, validation):
        assert (derived.max_cloud_cover, derived.min_clear, derived.resolution) == (80, 0, 20)
        assert (derived.source, derived.days_back, derived.max_processing_units) == ("cdse", 40, 7)
        assert derived.geojson == AREA


def test_the_file_of_the_fields_may_be_a_setting_of_the_deployment(monkeypatch):
    assert FieldsParams().fields is None
    monkeypatch.setenv("GROUNDTRUTH_FIELDS", "farm.gpkg")
    assert FieldsParams().fields == "farm.gpkg"
    assert FIELD_MONITORING.file_params == ["fields"]


def test_an_index_that_is_not_measured_is_refused():
    with pytest.raises(BadInputError, match="indices"):
        FIELD_MONITORING.check_params({"indices": ["ndwi"]})
