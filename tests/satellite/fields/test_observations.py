"""Every pass over every field is measured once."""

from datetime import date

import numpy as np
import pytest

from include.core.errors import BadInputError
from include.core.settings import get_settings
from include.satellite.artifacts import FIELDS, OBSERVATIONS, VALIDATED
from include.satellite.fields import observations as module
from include.satellite.fields.observations import (
    keep_observations,
    measure_fields,
    measure_fields_outcome,
    observe,
    unmeasured,
)
from include.satellite.fields.params import MeasureParams
from include.satellite.fields.schemas import FieldSet, ObservationRow
from include.satellite.fields.store import read_table, store_file, write_table
from tests.satellite.fields.squares import field, layers, make_imagery, outline, three_fields
from tests.satellite.imagery_store import ImageryMaker

PARAMS = MeasureParams()


class Monitoring:
    """Runs of the step over small imagery, and how often they measured what."""

    def __init__(self, data_dir, files, monkeypatch):
        self.files, self.data_dir = files, data_dir
        self.imagery = make_imagery(data_dir, files)
        self.fields = three_fields(self.imagery.grid)
        self.measured = []
        original = module.measure_scene

        def counted(path, sensor, bands, grid, pixels):
            self.measured.append((path.name, len(np.unique(pixels.field))))
            return original(path, sensor, bands, grid, pixels)

        monkeypatch.setattr(module, "measure_scene", counted)

    def run(self):
        """One run; returns what it measured, as scene and number of fields, and its observations."""
        self.measured.clear()
        FIELDS.write(self.files, FieldSet(file="fields.gpkg", fields=self.fields, findings=[]))
        VALIDATED.write(self.files, self.imagery)
        measure_fields(self.files, PARAMS)
        table = read_table(OBSERVATIONS.at(self.files))
        keep_observations(self.files, PARAMS)
        return sorted(self.measured), table


@pytest.fixture
def monitoring(data_dir, tmp_path, monkeypatch):
    return Monitoring(data_dir, tmp_path, monkeypatch)


def test_a_repeated_run_measures_nothing_and_states_the_same(monitoring):
    measured, first = monitoring.run()
    assert [fields for _, fields in measured] == [3, 3, 3]
    assert first["is_new"].all()
    store = monitoring.data_dir / store_file(monitoring.imagery)
    kept = store.read_bytes()
    measured, again = monitoring.run()
    assert measured == []
    assert not again["is_new"].any()
    assert first.drop(columns="is_new").equals(again.drop(columns="is_new"))
    assert store.read_bytes() == kept
    assert measure_fields_outcome(monitoring.files).metrics.observations_new == 0


def test_a_new_pass_alone_is_measured(monitoring):
    acquisitions = monitoring.imagery.acquisitions
    monitoring.imagery = monitoring.imagery.model_copy(update={"acquisitions": acquisitions[:2]})
    monitoring.run()
    monitoring.imagery = monitoring.imagery.model_copy(update={"acquisitions": acquisitions})
    assert unmeasured(monitoring.fields, monitoring.imagery) == acquisitions[2:]
    measured, table = monitoring.run()
    assert measured == [("2026-04-21.tif", 3)]
    assert table[table["is_new"]]["date"].unique().tolist() == [date(2026, 4, 21)]


def test_a_corrected_scene_is_measured_again(monitoring):
    _, before = monitoring.run()
    maker = ImageryMaker(monitoring.data_dir, monitoring.imagery.grid, monitoring.imagery.bands, synthetic=True)
    corrected = maker.scene(date(2026, 4, 11), layers(9))
    first, _, last = monitoring.imagery.acquisitions
    monitoring.imagery = monitoring.imagery.model_copy(update={"acquisitions": [first, corrected, last]})
    measured, after = monitoring.run()
    assert measured == [("2026-04-11.tif", 3)]
    assert len(after) == len(before) == 9
    changed = after["date"] == date(2026, 4, 11)
    assert (after["scene_sha256"] != before["scene_sha256"]).tolist() == changed.tolist()


def test_a_changed_outline_alone_is_measured_again_and_another_crop_is_not(monitoring):
    monitoring.run()
    one, _, three = monitoring.fields
    larger = outline(monitoring.imagery.grid, 25, 6, 22, 34)
    monitoring.fields = [one.model_copy(update={"crop": "maize"}), field("B", larger), three]
    measured, table = monitoring.run()
    assert [fields for _, fields in measured] == [1, 1, 1]
    assert table[table["is_new"]]["field_id"].unique().tolist() == ["B"]
    assert set(table.loc[table["field_id"] == "A", "crop"]) == {"maize"}


def test_what_was_measured_before_the_window_stays_in_the_observations(monitoring):
    monitoring.run()
    acquisitions = monitoring.imagery.acquisitions
    window = {"start": acquisitions[1].datetime, "acquisitions": acquisitions[1:]}
    monitoring.imagery = monitoring.imagery.model_copy(update=window)
    measured, table = monitoring.run()
    assert measured == []
    assert sorted(table["date"].unique()) == [date(2026, 4, 1), date(2026, 4, 11), date(2026, 4, 21)]
    assert measure_fields_outcome(monitoring.files).metrics.passes == 2


def test_a_field_is_observed_on_the_days_on_which_it_is_valid_with_its_crop_of_the_day(monitoring):
    geometry = monitoring.fields[0].geometry
    monitoring.fields = [
        field("A", geometry, crop="wheat", valid_to=date(2026, 4, 11)),
        field("A", geometry, crop="maize", valid_from=date(2026, 4, 12), valid_to=date(2026, 12, 1)),
    ]
    _, table = monitoring.run()
    assert list(zip(table["date"], table["crop"], strict=True)) == [
        (date(2026, 4, 1), "wheat"),
        (date(2026, 4, 11), "wheat"),
        (date(2026, 4, 21), "maize"),
    ]
    monitoring.fields = [field("A", geometry, valid_from=date(2027, 1, 1))]
    with pytest.raises(BadInputError, match="no field is valid on any of the 3 accepted passes"):
        monitoring.run()


def test_fields_that_are_too_small_or_never_clear_are_named(monitoring):
    monitoring.run()
    outcome = measure_fields_outcome(monitoring.files)
    assert outcome.metrics.fields_too_small == 1
    assert "1 field (tiny) too small: fewer than 8 pixels" in outcome.findings[0].message
    _, table = monitoring.run()
    assert set(table.loc[table["field_id"] == "tiny", "status"]) == {"too small"}
    assert table.loc[table["field_id"] == "tiny", "ndvi_mean"].isna().all()


def test_a_field_where_no_scene_holds_data_is_named_with_its_place(monitoring):
    monitoring.run()
    table = read_table(OBSERVATIONS.at(monitoring.files))
    hidden = table["field_id"] == "A"
    write_table(
        OBSERVATIONS.at(monitoring.files), table.assign(status=table["status"].mask(hidden, "no data")), ObservationRow
    )
    messages = [finding.message for finding in measure_fields_outcome(monitoring.files).findings]
    [message] = [message for message in messages if "holds data" in message]
    assert message.startswith("fields.gpkg: field A, between (")
    assert not any("without a clear pass" in message for message in messages)


def test_fields_with_the_same_outline_are_measured_once(data_dir, tmp_path):
    imagery = make_imagery(data_dir, tmp_path, dates=1)
    geometry = outline(imagery.grid, 5, 5, 12, 14)
    table = observe([field("A", geometry), field("B", geometry, crop="rye")], imagery, None)
    assert table["field_id"].tolist() == ["A", "B"]
    assert table["ndvi_mean"].nunique(dropna=False) == 1
    assert get_settings().data_dir == data_dir
