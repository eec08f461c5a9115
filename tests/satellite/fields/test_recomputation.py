"""A stated observation that is not what a scene shows is refused, and so is one that is missing or too many."""

import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import FIELDS, OBSERVATIONS, VALIDATED
from include.satellite.fields.observations import keep_observations, measure_fields
from include.satellite.fields.params import MeasureParams
from include.satellite.fields.recomputation import recompute_observations
from include.satellite.fields.schemas import FieldSet, ObservationRow
from include.satellite.fields.store import read_table, write_table
from tests.satellite.fields.squares import make_imagery, three_fields

PARAMS = MeasureParams()


@pytest.fixture
def files(data_dir, tmp_path):
    imagery = make_imagery(data_dir, tmp_path)
    FIELDS.write(tmp_path, FieldSet(file="fields.gpkg", fields=three_fields(imagery.grid), findings=[]))
    measure_fields(tmp_path, PARAMS)
    return tmp_path


def spoil(files, change):
    table = read_table(OBSERVATIONS.at(files))
    write_table(OBSERVATIONS.at(files), change(table), ObservationRow)


def set_value(name, value):
    def change(table):
        row = table.index[table["status"] == "ok"][0]
        table.loc[row, name] = value(table.loc[row, name])
        return table

    return change


def test_what_the_step_measured_holds_on_all_passes_and_on_drawn_ones(files):
    drawn = recompute_observations(files, PARAMS)
    assert set(drawn) == {"2026-04-01", "2026-04-11", "2026-04-21", "A", "B", "tiny"}
    recompute_observations(files, PARAMS, audit=True)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (set_value("ndvi_mean", lambda value: value + 1e-5), "must state the ndvi_mean of field"),
        (set_value("ndmi_p90", lambda value: None), "must state the ndmi_p90 of field"),
        (set_value("pixels", lambda value: value + 1), "must state the pixels of field"),
        (set_value("clear_share", lambda value: value - 0.01), "must state the clear_share of field"),
        (set_value("status", lambda value: "cloudy"), "must state the status of field"),
        (set_value("crop", lambda value: "maize"), "must hold each field once"),
        (set_value("scene_sha256", lambda value: "0" * 64), "must hold each field once"),
        (lambda table: table.head(-1), "must hold each field once"),
        (lambda table: table.iloc[[0, *range(len(table))]], "must hold each field once"),
    ],
)
def test_an_observation_that_states_something_else_is_refused(files, change, rule):
    spoil(files, change)
    with pytest.raises(ContractError, match=rule):
        recompute_observations(files, PARAMS, audit=True)


def test_observations_before_the_window_are_those_of_the_store(files):
    keep_observations(files, PARAMS)
    imagery = VALIDATED.read(files)
    window = {"start": imagery.acquisitions[1].datetime, "acquisitions": imagery.acquisitions[1:]}
    VALIDATED.write(files, imagery.model_copy(update=window))
    measure_fields(files, PARAMS)
    recompute_observations(files, PARAMS, audit=True)
    spoil(files, set_value("ndvi_mean", lambda value: 0.9))
    with pytest.raises(ContractError, match="must hold before the window what earlier runs measured"):
        recompute_observations(files, PARAMS)
