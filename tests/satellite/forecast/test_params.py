"""Parameters of the forecast: the previews are searched as in the training of the forecaster."""

import pytest
from pydantic import ValidationError

from include.satellite.forecast.params import ForecastParams, PreviewParams
from tests.satellite.imagery_store import geometry_of, grid_of


def test_previews_are_searched_over_the_fields_by_the_limits_of_the_training():
    area = geometry_of(grid_of(30, 30))
    params = PreviewParams(source="stac", stac_url="planetary-computer", end="2026-10-01T00:00:00Z")
    wanted = params.for_search(area)
    assert (wanted.geojson, wanted.source, wanted.stac_url) == (area, "stac", "planetary-computer")
    assert (wanted.days_back, wanted.history_days) == (1825, 0)
    assert (wanted.max_cloud_cover, wanted.min_clear) == (20, 70)
    assert wanted.window == params.window


@pytest.mark.parametrize(
    ("model", "values"), [(PreviewParams, {"days_back": 729}), (ForecastParams, {"forecast_days": 0})]
)
def test_what_no_forecast_can_be_made_of_is_refused(model, values):
    with pytest.raises(ValidationError):
        model(**values)
