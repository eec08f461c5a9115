"""The samples and the model of a run, and what the orchestrator finds where one states something else."""

import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import CROP_CARD, CROP_DATA, CROP_PREDICTIONS, CROP_SAMPLES, CROP_WEIGHTS
from include.satellite.crops.schemas import CropPrediction, SampleRow
from include.satellite.crops.training import (
    read_crop_predictions,
    read_ensemble,
    read_samples,
    read_series_outcome,
    recompute_series,
    recompute_training,
    train_crops_outcome,
)
from include.satellite.fields.store import read_table, write_table


def test_a_run_states_its_fields_crops_and_trees(trained):
    outcome = read_series_outcome(trained.files)
    assert outcome.metrics.model_dump() == {
        "fields": 72,
        "crops": 3,
        "crops_left_out": 0,
        "months": 4,
        "blocks": CROP_DATA.read(trained.files).blocks,
        "rows_in": 576,
    }
    assert outcome.synthetic is False
    assert train_crops_outcome(trained.files).metrics.model_dump() == {"fields": 72, "trees": 4, "folds": 5}
    card = CROP_CARD.read(trained.files)
    assert (card.crops, card.first_month, card.months) == (["grass", "maize", "wheat"], 4, 4)


def test_what_the_steps_wrote_is_proven(trained):
    recompute_series(trained.files, trained.data)
    recompute_training(trained.files, trained.params)


@pytest.mark.parametrize(("column", "value"), [("crop", "hops"), ("fold", 4), ("B04 2022-05", 0.3), ("block", 0)])
def test_samples_other_than_those_of_the_table_are_refused(trained, column, value):
    table = read_table(CROP_SAMPLES.at(trained.files))
    row = table.index[table[column] != value][0]
    table.loc[row, column] = value
    write_table(CROP_SAMPLES.at(trained.files), table, SampleRow)
    with pytest.raises(ContractError, match=r"crop_samples.parquet: must hold the samples of the series: field F\d+"):
        recompute_series(trained.files, trained.data)


def test_a_document_that_states_another_count_is_refused(trained):
    data = CROP_DATA.read(trained.files)
    CROP_DATA.write(trained.files, data.model_copy(update={"rows_used": data.rows_used + 1}))
    with pytest.raises(ContractError, match="rows_used"):
        recompute_series(trained.files, trained.data)


def test_weights_that_the_card_was_not_written_for_are_refused(trained):
    content = CROP_WEIGHTS.at(trained.files).read_bytes()
    CROP_WEIGHTS.at(trained.files).write_bytes(content[:-8] + b"\0" * 8)
    with pytest.raises(ContractError, match=r"crop_model.safetensors: must be the weights"):
        read_ensemble(trained.files)
    with pytest.raises(ContractError):
        recompute_training(trained.files, trained.params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(crop="maize"), "must state the crops"),
        (lambda table: table.iloc[1:], "the same fields"),
        (lambda table: table.assign(p_maize=table["p_maize"] + 0.01), "add up to 1"),
        (lambda table: table.rename(columns={"p_maize": "p_hops"}), "must hold the columns"),
    ],
)
def test_predictions_that_are_not_of_the_samples_are_refused(trained, change, message):
    table = change(read_table(CROP_PREDICTIONS.at(trained.files)))
    write_table(CROP_PREDICTIONS.at(trained.files), table, CropPrediction)
    with pytest.raises(ContractError, match=message):
        read_crop_predictions(CROP_PREDICTIONS, trained.files, read_samples(trained.files)[2])
