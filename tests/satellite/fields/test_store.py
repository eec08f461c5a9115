"""What was measured is kept by scene and outline, and a corrected scene replaces it."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from include.core.settings import get_settings
from include.core.tables import check_table
from include.satellite.fields.observations import observe
from include.satellite.fields.schemas import SeasonRow
from include.satellite.fields.store import (
    keep_measurements,
    kind_of,
    read_measurements,
    read_table,
    store_file,
    write_table,
)
from tests.satellite.fields.squares import make_imagery, three_fields


@pytest.fixture
def imagery(data_dir, tmp_path):
    return make_imagery(data_dir, tmp_path, dates=1)


def test_measurements_are_kept_without_what_belongs_to_the_run(imagery):
    observations = observe(three_fields(imagery.grid), imagery, None)
    assert read_measurements(imagery) is None
    keep_measurements(imagery, observations)
    kept = read_measurements(imagery)
    assert len(kept) == len(observations) == 3
    assert not {"field_id", "crop", "is_new"} & set(kept.columns)
    own = observations.drop(columns=["field_id", "crop", "is_new"]).sort_values("outline", ignore_index=True)
    pd.testing.assert_frame_equal(kept[own.columns], own, check_dtype=False)


def test_a_corrected_scene_replaces_what_was_measured_of_the_same_outline_and_date(imagery):
    observations = observe(three_fields(imagery.grid), imagery, None)
    keep_measurements(imagery, observations)
    corrected = observations.assign(scene_sha256="b" * 64, ndvi_mean=0.5).head(2)
    keep_measurements(imagery, corrected)
    kept = read_measurements(imagery)
    assert len(kept) == 3
    assert sorted(kept["scene_sha256"].eq("b" * 64)) == [False, True, True]


def test_nothing_new_changes_nothing(imagery):
    observations = observe(three_fields(imagery.grid), imagery, None)
    keep_measurements(imagery, observations)
    before = (get_settings().data_dir / store_file(imagery)).read_bytes()
    keep_measurements(imagery, observations.assign(is_new=False, ndvi_mean=0.0))
    assert (get_settings().data_dir / store_file(imagery)).read_bytes() == before


def test_another_grid_or_other_bands_have_measurements_of_their_own(imagery):
    other = imagery.grid.model_copy(update={"resolution": 20})
    scopes = [imagery, imagery.model_copy(update={"grid": other}), imagery.model_copy(update={"bands": ["B04"]})]
    assert len({store_file(scope) for scope in scopes}) == 3


def test_tables_keep_their_types_also_where_everything_is_missing(tmp_path):
    row = {"field_id": "A", "crop": None, "season_from": date(2026, 1, 1), "season_to": date(2026, 7, 1), "passes": 4}
    row |= {"start": None, "peak": date(2026, 5, 1), "end": None, "peak_value": 0.75, "amplitude": np.nan, "reason": ""}
    for rows in ([row] * 1500, []):
        write_table(tmp_path / "table.parquet", pd.DataFrame(rows, columns=list(row)), SeasonRow)
        table = read_table(tmp_path / "table.parquet")
        assert check_table(tmp_path / "table.parquet", "table.parquet", SeasonRow) == len(table) == len(rows)
    write_table(tmp_path / "table.parquet", pd.DataFrame([row]), SeasonRow)
    [back] = read_table(tmp_path / "table.parquet").astype(object).to_dict("records")
    assert {name: None if pd.isna(value) else value for name, value in back.items()} == row | {
        "amplitude": None,
        "reason": None,
    }
    assert kind_of(SeasonRow, "start") == "DATE"
