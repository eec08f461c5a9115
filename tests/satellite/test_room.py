"""An area without room for training data is refused before anything is fetched."""

from typing import Any

import pytest

from include.core.errors import BadInputError
from include.satellite.pipeline import SATELLITE

SMALL = [75.80, 30.90, 75.806, 30.905]
"""59 × 57 pixels of 10 m."""


def test_the_default_area_has_room() -> None:
    assert SATELLITE.check_params({})["patch_size"] == 64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bbox": SMALL}, "a square of 64 pixels does not fit into the area of 57 × 59 pixels"),
        ({"bbox": SMALL, "patch_size": 32}, "squares of 32 pixels, 32 apart .* into fewer than 3 blocks"),
        ({"bbox": SMALL, "patch_size": 8, "stride": 8}, "squares of 32 pixels, 32 apart .* into fewer than 3 blocks"),
        ({"bbox": [75.8, 30.9, 75.80001, 30.90001]}, "does not fit"),
    ],
)
def test_squares_that_do_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        SATELLITE.check_params(given)


def test_smaller_squares_fit() -> None:
    SATELLITE.check_params({"bbox": SMALL, "patch_size": 8, "stride": 8, "location_size": 8})
