"""Documents of crop classification: what a difference of two classifiers shows."""

import pytest
from pydantic import ValidationError

from include.satellite.crops.schemas import CropDifference, SampleRow


@pytest.mark.parametrize(
    ("low", "high", "interval", "is_shown"),
    [
        (0.023, 0.189, "+0.023 to +0.189", True),
        (-0.004, 0.161, "-0.004 to +0.161", False),
        (None, None, "no interval", False),
    ],
)
def test_a_difference_is_shown_by_an_interval_above_zero(low, high, interval, is_shown):
    found = CropDifference(against="month 2022-05", difference=0.1, low=low, high=high)
    assert (found.interval, found.is_shown) == (interval, is_shown)


def test_a_sample_has_its_place_and_a_usable_month():
    row = {"field_id": "a", "crop": "maize", "longitude": 2.0, "latitude": 48.0, "block": 0, "fold": 0, "months": 1}
    assert SampleRow.model_validate(row).crop == "maize"
    for wrong in ({"latitude": 91}, {"months": 0}, {"fold": -1}):
        with pytest.raises(ValidationError):
            SampleRow.model_validate(row | wrong)
