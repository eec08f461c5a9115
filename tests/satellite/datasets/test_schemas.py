"""Documents of the datasets."""

from datetime import date

import numpy as np
import pytest
from pydantic import ValidationError

from include.satellite.datasets.schemas import BlockPlan, PatchRow, SequenceInfo
from include.satellite.params import LstmDataParams
from tests.satellite.imagery_store import ImageryMaker, grid_of, layers_of


def test_a_plan_counts_its_blocks():
    assert BlockPlan(row_edges=[0, 10, 20], column_edges=[0, 5, 10, 15], tune=[1], validation=[2]).count == 6


def test_a_description_takes_over_what_imagery_and_parameters_state(tmp_path):
    maker = ImageryMaker(tmp_path, grid_of(8, 8), synthetic=True)
    layers = layers_of(np.full((8, 8), 0.5), np.full((8, 8), 4))
    imagery = maker.manifest(tmp_path, [maker.scene(date(2025, 1, 5), layers)])
    params = LstmDataParams(seed=3, sequence_length=4, location_size=8, locations_per_window=7)
    values = {
        "features": ["ndvi"], "locations": 1, "locations_across": 1, "training_targets": [], "validation_targets": [],
        "counts": {}, "left_out": {}, "dropped": {}, "masked_pixels": 0,
        "blocks": BlockPlan(row_edges=[0, 8], column_edges=[0, 8], tune=[], validation=[]),
    }  # fmt: skip
    info = SequenceInfo.of(imagery, params, **values)
    assert (info.grid, info.dates, info.synthetic) == (imagery.grid, [date(2025, 1, 5)], True)
    assert (info.seed, info.sequence_length, info.location_size, info.locations_per_window) == (3, 4, 8, 7)
    assert SequenceInfo.of(imagery, params, **values, seed=4).seed == 4


@pytest.mark.parametrize(("field", "value"), [("label", "Thriving"), ("split", "test"), ("repeat", 6), ("ndvi", 1.5)])
def test_a_row_of_the_index_outside_its_range_is_refused(field, value):
    row = {"date": 0, "row": 0, "column": 0, "label": "Healthy", "split": "train", "block": 0, "repeat": 1, "ndvi": 0.5}
    assert PatchRow(**row).ndvi == 0.5
    with pytest.raises(ValidationError, match=field):
        PatchRow(**row | {field: value})
