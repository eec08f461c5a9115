"""The training again, on folds that are drawn after the comparison."""

import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import CROP_PREDICTIONS, CROP_VERIFICATION
from include.satellite.crops.schemas import CropPrediction
from include.satellite.crops.verification import recompute_crop_verification, verify_crops, verify_crops_outcome
from include.satellite.fields.store import read_table, write_table


def test_a_drawn_fold_is_trained_again_and_gives_the_stated_predictions(trained):
    verify_crops(trained.files, trained.params)
    document = CROP_VERIFICATION.read(trained.files)
    assert len(document.folds) == 1
    assert document.largest_difference < 1e-9
    assert recompute_crop_verification(trained.files, trained.params) == (f"fold {document.folds[0]}",)
    [finding] = verify_crops_outcome(trained.files).findings
    assert "12 models gave the stated predictions" in finding.message
    with pytest.raises(ContractError, match=r"must be of folds among \[0, 1, 2, 3, 4\]"):
        recompute_crop_verification(trained.files, trained.params, audit=True)


def test_predictions_that_no_training_gives_are_found_in_an_audit(trained):
    table = read_table(CROP_PREDICTIONS.at(trained.files))
    columns = ["p_grass", "p_maize", "p_wheat"]
    row = table.index[table["model"] == "real"][7]
    table.loc[row, columns] = table.loc[row, columns].to_numpy()[[1, 2, 0]]
    write_table(CROP_PREDICTIONS.at(trained.files), table, CropPrediction)
    with pytest.raises(ContractError, match="must hold what the model real predicts"):
        verify_crops(trained.files, trained.params.model_copy(update={"audit": True}))
