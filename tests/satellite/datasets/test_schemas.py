"""Documents of the datasets."""

import pytest
from pydantic import ValidationError

from include.satellite.datasets.schemas import BlockPlan, PatchRow


def test_a_plan_counts_its_blocks():
    assert BlockPlan(row_edges=[0, 10, 20], column_edges=[0, 5, 10, 15], tune=[1], validation=[2]).count == 6


@pytest.mark.parametrize(("field", "value"), [("label", "Thriving"), ("split", "test"), ("repeat", 6), ("ndvi", 1.5)])
def test_a_row_of_the_index_outside_its_range_is_refused(field, value):
    row = {"date": 0, "row": 0, "column": 0, "label": "Healthy", "split": "train", "block": 0, "repeat": 1, "ndvi": 0.5}
    assert PatchRow(**row).ndvi == 0.5
    with pytest.raises(ValidationError, match=field):
        PatchRow(**row | {field: value})
