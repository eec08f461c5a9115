"""The decision on a crop classifier, recomputed from predictions on held-out fields."""

from datetime import UTC, datetime

import numpy as np
import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import CROP_COMPARISON, CROP_DATA, CROP_PLOT, CROP_PREDICTIONS
from include.satellite.crops.comparison import compare_crops_outcome, judged, plot, recompute_crop_comparison
from include.satellite.crops.models import of_regression
from include.satellite.crops.params import CropCompareParams
from include.satellite.crops.schemas import CropPrediction
from include.satellite.crops.training import read_samples
from include.satellite.evaluation.predictions import Predictions
from include.satellite.fields.store import read_table, write_table

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def judge(trained, own, month, data=None, **params):
    """Judge models that are right on some shares of the fields, spread evenly."""
    _, document, samples = read_samples(trained.files)
    count = len(samples.crop)

    def predicted(share):
        wrong = np.arange(count) % 20 >= round(20 * share)
        return np.eye(3)[np.where(wrong, (samples.crop + 1) % 3, samples.crop)]

    values = {"real": predicted(own), "gradient_boosting": predicted(own), "logistic_regression": predicted(own)}
    values |= {"majority": np.tile(np.eye(3)[0], (count, 1)), **{name: predicted(month) for name in samples.months}}
    values |= {of_regression(name): predicted(own) for name in samples.months}
    predictions = Predictions(np.arange(count), samples.crop, values)
    return judged(samples, predictions, data or document, CropCompareParams(**params), NOW, {})


def test_a_classifier_that_beats_the_best_month_by_its_interval_is_promoted(trained):
    comparison = judge(trained, 0.9, 0.5)
    assert comparison.decision.promote
    gates = {gate.name: gate for gate in comparison.decision.gates}
    assert gates["crops_single_month"].passed
    assert gates["crops_majority"].passed
    assert not gates["crops_logistic_regression"].required
    notes = " ".join(comparison.notes)
    assert "Not shown to be better than logistic regression on the series: +0.000" in notes
    assert "Not shown to be better than logistic regression on 2022-04 alone" in notes
    assert any("One season" in note for note in comparison.notes)


def test_one_that_a_single_month_equals_is_not_promoted_and_the_reason_says_so(trained):
    comparison = judge(trained, 0.6, 0.6)
    assert not comparison.decision.promote
    [reason] = comparison.decision.reasons
    assert "against the best single month, 2022-04 +0.000" in reason


def test_simulated_series_are_promoted_only_where_that_is_allowed(trained):
    data = CROP_DATA.read(trained.files).model_copy(update={"synthetic": True})
    assert not judge(trained, 0.9, 0.5, data).decision.promote
    assert judge(trained, 0.9, 0.5, data, allow_synthetic=True).decision.promote


def test_what_a_run_states_follows_from_its_predictions(trained):
    comparison = recompute_crop_comparison(trained.files, trained.params)
    table = read_table(CROP_PREDICTIONS.at(trained.files))
    own = table[table["model"] == "real"]
    predicted = own[["p_grass", "p_maize", "p_wheat"]].idxmax(axis=1).str.removeprefix("p_")
    recall = {crop: (predicted[own["crop"] == crop] == crop).mean() for crop in comparison.crops}
    assert comparison.models["real"].recall == pytest.approx(recall)
    assert comparison.models["real"].balanced_accuracy == pytest.approx(np.mean(list(recall.values())))
    assert sum(map(sum, comparison.confusion)) == 72
    assert comparison.decision.promote == compare_crops_outcome(trained.files).metrics.model_dump()["promote"]


def test_the_report_shows_confusion_recall_months_and_intervals(trained):
    titles = [table.title for table in compare_crops_outcome(trained.files).tables]
    assert titles[0].startswith("Classifiers (72 held-out fields in")
    assert titles[1:] == [
        "Crops",
        "Fields by crop (rows) and prediction (columns)",
        "The same kind of model on one month",
        "Gates of the promotion",
    ]


def test_a_better_score_than_the_predictions_give_is_refused(trained):
    stated = CROP_COMPARISON.read(trained.files)
    scores = stated.models["real"].model_copy(update={"balanced_accuracy": 0.999})
    better = stated.model_copy(update={"models": stated.models | {"real": scores}})
    CROP_COMPARISON.write(trained.files, better)
    with pytest.raises(ContractError, match=r"balanced_accuracy"):
        recompute_crop_comparison(trained.files, trained.params)


def test_a_model_that_is_left_out_of_the_predictions_is_missed(trained):
    table = read_table(CROP_PREDICTIONS.at(trained.files))
    write_table(CROP_PREDICTIONS.at(trained.files), table[table["model"] != "month 2022-06"], CropPrediction)
    with pytest.raises(ContractError, match="must hold the models of the run"):
        recompute_crop_comparison(trained.files, trained.params)


def test_the_plot_is_drawn(trained):
    CROP_PLOT.at(trained.files).unlink()
    plot(CROP_PLOT.at(trained.files), CROP_COMPARISON.read(trained.files))
    assert CROP_PLOT.at(trained.files).read_bytes().startswith(b"\x89PNG")
