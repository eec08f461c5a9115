"""Parameters of crop classification."""

import pytest
from pydantic import ValidationError

from include.satellite.crops.params import CropDataParams, CropTrainParams


def test_a_season_does_not_end_before_it_begins():
    with pytest.raises(ValidationError, match="season_start 2022-09-01 must not be after season_end 2022-08-31"):
        CropDataParams(season_start="2022-09-01", season_end="2022-08-31")
    assert CropDataParams(season_start="2022-09-01", season_end="2022-09-01").season_start.month == 9


@pytest.mark.parametrize("bad", [{"min_fields": 4}, {"block_km": 0}, {"reflectance_scale": 0}])
def test_limits_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValidationError):
        CropDataParams(**bad)


def test_only_models_of_trees_can_be_promoted():
    with pytest.raises(ValidationError):
        CropTrainParams(crop_model="logistic_regression")
