"""The promoted classifier gives each field of a table its crop, and is refused where it does not fit."""

import pytest

from include.core.errors import BadInputError, ContractError
from include.env_file import EnvFile, Reason
from include.satellite.artifacts import CROP_CLASSES, CROP_CLASSIFICATION, CROP_COMPARISON
from include.satellite.crops.classification import (
    classify_crops,
    classify_crops_outcome,
    enabled_classifier,
    recompute_classes,
)
from include.satellite.crops.params import SeriesParams
from include.satellite.crops.schemas import ClassRow
from include.satellite.crops.training import read_ensemble, read_samples
from include.satellite.fields.store import read_table, write_table
from include.satellite.registry import store
from include.satellite.stored import classifier
from tests.satellite.crops.fields_table import rows, write_csv

PARAMS = SeriesParams(series="series.csv")


@pytest.fixture
def promoted(trained, tmp_path, monkeypatch, data_dir):
    """A folder for a classification, where the trained classifier is in use."""
    env_file = EnvFile(tmp_path / "promoted.env")
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(env_file.path))
    model = store.put(trained.files, CROP_COMPARISON.read(trained.files), "dag/run")
    env_file.update(store.crop_env_changes(model), Reason(by="a test", why="a test"))
    trained.files, trained.source = tmp_path / "new", trained.files
    return trained


def test_each_field_gets_the_crop_and_probability_that_the_trees_give(promoted):
    write_csv(promoted.files / "source" / "series.csv", rows())
    classify_crops(promoted.files, PARAMS)
    recompute_classes(promoted.files, PARAMS)
    table = read_table(CROP_CLASSES.at(promoted.files))
    samples = read_samples(promoted.source)[2]
    probabilities = read_ensemble(promoted.source).predict(samples.values)
    assert table["probability"].to_numpy() == pytest.approx(probabilities.max(axis=1))
    assert [samples.crops.index(crop) for crop in table["predicted"]] == probabilities.argmax(axis=1).tolist()
    document = CROP_CLASSIFICATION.read(promoted.files)
    assert (document.fields, document.stated) == (72, 72)
    assert document.agreeing == (table["predicted"] == table["stated"]).sum()
    assert any("learnt from" in finding.message for finding in document.findings)
    assert classify_crops_outcome(promoted.files).published_as == "series/2022-07"
    assert len(list(classifier(promoted.files, PARAMS))) == 4


def test_another_year_and_another_place_are_classified_with_a_warning(promoted):
    table = [row | {"date": row["date"].replace("2022", "2023"), "lat": row["lat"] + 5, "crop": ""} for row in rows(9)]
    write_csv(promoted.files / "source" / "series.csv", table)
    classify_crops(promoted.files, PARAMS)
    warnings = [f.message for f in CROP_CLASSIFICATION.read(promoted.files).findings if f.severity == "warning"]
    assert any("9 of 9 fields lie outside the area of the training" in message for message in warnings)
    assert any("season begins in 2023-04" in message for message in warnings)
    assert read_table(CROP_CLASSES.at(promoted.files))["stated"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row | {"date": row["date"].replace("-07-", "-08-")}, "holds 5 months from April on; .* takes 4"),
        (lambda row: row | {"date": row["date"].replace("-04-", "-08-")}, "holds 4 months from May on"),
        (lambda row: {k: v for k, v in row.items() if k != "B08"}, "lacks B08, ndvi, savi"),
    ],
)
def test_a_table_that_the_classifier_does_not_fit_is_refused(promoted, change, message):
    write_csv(promoted.files / "source" / "series.csv", [change(row) for row in rows(9)])
    with pytest.raises(BadInputError, match=message):
        classify_crops(promoted.files, PARAMS)


def test_without_a_promoted_classifier_the_way_to_one_is_named(trained, tmp_path, monkeypatch, data_dir):
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(tmp_path / "none.env"))
    assert enabled_classifier() is None
    with pytest.raises(BadInputError, match=r"enables no crop classifier.*pipeline run crops"):
        classify_crops(trained.files, PARAMS)


def test_a_crop_that_the_trees_do_not_give_is_refused(promoted):
    write_csv(promoted.files / "source" / "series.csv", rows(9))
    classify_crops(promoted.files, PARAMS)
    table = read_table(CROP_CLASSES.at(promoted.files))
    table.loc[0, "predicted"] = "wheat" if table.loc[0, "predicted"] != "wheat" else "maize"
    write_table(CROP_CLASSES.at(promoted.files), table, ClassRow)
    with pytest.raises(ContractError, match="must state what the classifier gives"):
        recompute_classes(promoted.files, PARAMS)
