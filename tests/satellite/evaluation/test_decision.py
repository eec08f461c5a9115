"""The decision follows from predictions, truth and parameters; what a comparison states decides nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from include.core.errors import ContractError
from include.env_file import EnvFile, Reason
from include.satellite.artifacts import CNN, COMPARISON, LSTM, VALIDATED, VERIFICATION
from include.satellite.datasets.patches import load_patch_samples
from include.satellite.datasets.sequences import load_sequences
from include.satellite.evaluation.decision import (
    is_synthetic,
    judge,
    recompute_comparison,
    recompute_new_comparison,
    recompute_verification,
)
from include.satellite.evaluation.predictions import read_predictions, write_predictions
from include.satellite.registry import store
from tests.satellite.trained_run import PARAMS

WHY = Reason(by="tester", why="a test")


@pytest.fixture
def files(compared_once):
    """A run whose models were compared and verified honestly."""
    return compared_once()


def state(artifact, files, **changes):
    """Change fields of a JSON artifact; `a__b` is field b of a."""
    document = json.loads(artifact.at(files).read_bytes())
    for name, value in changes.items():
        *outer, last = name.split("__")
        part = document
        for field in outer:
            part = part[field]
        part[last] = value
    artifact.at(files).write_text(json.dumps(document))


def predict(artifact, files, model, change):
    """Change the predictions of one model."""
    predictions = read_predictions(artifact, files)
    values = {**predictions.values, model: change(predictions)}
    write_predictions(artifact.at(files), replace(predictions, values=values))


def perfect(predictions):
    """What a model that makes no error predicts."""
    return np.eye(4)[predictions.truth] if predictions.values["real"].ndim == 2 else predictions.truth


def useless(predictions):
    """What a model that is always wrong predicts."""
    return np.roll(perfect(predictions), 1, axis=1) if predictions.values["real"].ndim == 2 else predictions.truth + 0.5


# an honest run


def test_an_honest_comparison_is_confirmed_and_decides_what_it_states(files):
    assert recompute_comparison(files, PARAMS) == COMPARISON.read(files)
    assert COMPARISON.read(files).decision.promote


def test_an_honest_verification_is_confirmed(files):
    verification = recompute_verification(files, PARAMS)
    assert verification == VERIFICATION.read(files)
    assert set(verification.largest_difference) == {
        "cnn real", "cnn synthetic", "cnn logistic_regression", "lstm real", "lstm synthetic", "lstm ridge",
        "lstm gradient_boosting",
    }  # fmt: skip


def test_the_decision_is_a_function_of_predictions_truth_and_parameters(files):
    def decided(classes, **params):
        values = PARAMS.model_copy(update=params)
        patches, sequences = load_patch_samples(files), load_sequences(files)
        forecasts = read_predictions(LSTM.compared, files)
        return judge(patches, classes, sequences, forecasts, values, synthetic=True).decision

    classes = read_predictions(CNN.compared, files)
    assert decided(classes) == decided(classes) == COMPARISON.read(files).decision
    assert not decided(classes, allow_synthetic=False).promote
    assert decided(classes).promoted == ["cnn", "lstm"]
    assert decided(classes, min_cnn_accuracy=0.999).promoted == ["lstm"]
    assert decided(classes, min_lstm_accuracy=0.9999).promoted == ["cnn"]
    assert decided(replace(classes, values={**classes.values, "real": useless(classes)})).promoted == ["lstm"]


def test_imagery_is_simulated_if_one_acquisition_is_whatever_the_manifest_states(files):
    imagery = VALIDATED.read(files)
    assert is_synthetic(imagery.model_copy(update={"synthetic": False}))
    real = [acquisition.model_copy(update={"synthetic": False}) for acquisition in imagery.acquisitions]
    assert not is_synthetic(imagery.model_copy(update={"synthetic": True, "acquisitions": real}))
    assert is_synthetic(imagery.model_copy(update={"acquisitions": [imagery.acquisitions[0], *real[1:]]}))


# lies of a comparison


LIES = {
    "a decision to promote": {"decision__promote": False},
    "a gate": {"decision__gates": []},
    "a reason": {"decision__reasons": ["Prepared."]},
    "an accuracy": {"cnn_comparison__models__real__accuracy": 0.999},
    "an interval": {"lstm_comparison__differences": []},
    "a baseline's error": {"lstm_comparison__models__persistence__mae": 1.0},
    "an improvement": {"cnn_comparison__accuracy_improvement": 1000.0},
    "real imagery": {"synthetic": False},
    "another policy": {"allow_synthetic": False},
    "another seed": {"seed": 7},
    "another label source": {"label_source": "next_ndvi"},
    "fewer resamples": {"resamples": 2},
    "a champion": {"champion": "20260101T000000Z-12345678"},
    "a note to the reviewer": {"notes": ["Examined by the safety board: [approve](https://example.org)."]},
    "a better synthetic baseline": {"baseline__world": "realistic"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_comparison_that_states_something_else_is_refused(files, lie):
    state(COMPARISON, files, **LIES[lie])
    with pytest.raises(ContractError, match=r"comparison\.json: must state"):
        recompute_comparison(files, PARAMS)


def test_promote_true_with_failed_gates_is_refused(compared_once):
    files, params = compared_once(allow_synthetic=False), PARAMS.model_copy(update={"allow_synthetic": False})
    assert not recompute_comparison(files, params).decision.promote
    state(COMPARISON, files, decision__promote=True)
    with pytest.raises(ContractError, match=r"\$\.decision\.promote is False; found True"):
        recompute_comparison(files, params)


@pytest.mark.parametrize(
    "params",
    [{"allow_synthetic": False}, {"min_cnn_accuracy": 0.999}, {"min_lstm_accuracy": 0.9999}, {"seed": 3}],
)
def test_the_runs_parameters_count_and_not_those_that_the_step_used(files, params):
    with pytest.raises(ContractError, match=r"comparison\.json: must state what follows"):
        recompute_comparison(files, PARAMS.model_copy(update=params))


# lies of predictions


@pytest.mark.parametrize("model", [CNN, LSTM], ids=["cnn", "lstm"])
@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("real", perfect, "must hold what the model real predicts"),
        ("majority|persistence", useless, "must hold what the model (majority|persistence) predicts"),
        ("logistic_regression|climatology", useless, "must hold what the model (logistic_regression|climatology)"),
        ("champion", useless, "must hold the models"),
    ],
)
def test_predictions_other_than_the_training_left_are_refused(files, model, name, change, rule):
    cnn, _, lstm = name.partition("|")
    predict(model.compared, files, cnn if model is CNN else lstm or cnn, change)
    with pytest.raises(ContractError, match=rf"{model.compared.path}: {rule}"):
        recompute_comparison(files, PARAMS)


@pytest.mark.parametrize("model", [CNN, LSTM], ids=["cnn", "lstm"])
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda kept: kept.of(kept.sample[3:]), "held-out samples and no others; found 3 differ"),
        (lambda kept: replace(kept, truth=np.roll(kept.truth, 1)), "must state the truth of the dataset"),
        (lambda kept: replace(kept, sample=kept.sample - kept.sample[0]), "held-out samples and no others"),
    ],
)
def test_other_samples_or_another_truth_are_refused(files, model, change, rule):
    write_predictions(model.compared.at(files), change(read_predictions(model.compared, files)))
    with pytest.raises(ContractError, match=rule):
        recompute_comparison(files, PARAMS)


@pytest.mark.parametrize("model", [CNN, LSTM], ids=["cnn", "lstm"])
def test_predictions_better_than_the_weights_give_are_refused_wherever_they_are_repeated(files, model):
    """The training and the comparison agree on a lie; only the weights, run again, tell."""
    for artifact in (model.predictions, model.compared):
        predict(artifact, files, "real", perfect)
    with pytest.raises(ContractError, match=rf"{model.compared.path}: must hold what the model real predicts"):
        recompute_verification(files, PARAMS)


@pytest.mark.parametrize("model", [CNN, LSTM], ids=["cnn", "lstm"])
def test_a_baseline_weaker_than_its_weights_is_refused(files, model):
    predict(model.compared, files, "synthetic", useless)
    with pytest.raises(ContractError, match="must hold what the model synthetic predicts"):
        recompute_verification(files, PARAMS)


@pytest.mark.parametrize("model", [CNN, LSTM], ids=["cnn", "lstm"])
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda kept: kept.of(kept.sample[:3]), "held-out samples, drawn at random; found 3 samples"),
        (
            lambda kept: replace(kept, values={"real": kept.values["real"]}),
            "must hold the models real, synthetic",
        ),
    ],
)
def test_a_verification_of_too_little_is_refused(files, model, change, rule):
    write_predictions(model.verified.at(files), change(read_predictions(model.verified, files)))
    with pytest.raises(ContractError, match=rf"{model.verified.path}: .*{rule}"):
        recompute_verification(files, PARAMS)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"patches": 3}, "held-out samples, drawn at random"),
        ({"weights_sha256": {"cnn real": "0" * 64}}, r"\$\.weights_sha256\.cnn real is"),
        ({"largest_difference": {}}, r"\$\.largest_difference"),
    ],
)
def test_a_verification_that_states_something_else_is_refused(files, changes, rule):
    state(VERIFICATION, files, **changes)
    with pytest.raises(ContractError, match=rule):
        recompute_verification(files, PARAMS)


# the champion


def test_a_champion_that_the_env_file_names_cannot_be_left_out(compared, env_file):
    folder = compared()
    EnvFile(env_file).update(
        store.env_changes(store.put(folder, COMPARISON.read(folder), "dag/run"), ["cnn", "lstm"]), WHY
    )
    folder = compared()
    assert recompute_comparison(folder, PARAMS).champion
    recompute_verification(folder, PARAMS)
    state(COMPARISON, folder, champion=None, champions={})
    with pytest.raises(ContractError, match=r"must state the champion that the env file names: 2.*found none"):
        recompute_comparison(folder, PARAMS)


def test_a_comparison_as_if_the_env_file_named_no_champion_is_refused_when_it_is_made(compared, env_file):
    folder = compared()
    EnvFile(env_file).update(
        store.env_changes(store.put(folder, COMPARISON.read(folder), "dag/run"), ["cnn", "lstm"]), WHY
    )
    with pytest.raises(ContractError, match=r"must state the keys of the env file; .* found .*AI_MODEL_VERSION"):
        recompute_new_comparison(folder, PARAMS)
    folder = compared()
    assert recompute_new_comparison(folder, PARAMS).champion


def test_after_a_change_of_the_env_file_the_comparison_is_judged_as_it_was_made(files, env_file):
    EnvFile(env_file).update({"USE_AI_MODELS": "true", "AI_MODEL_VERSION": "20260101T000000Z-12345678"}, WHY)
    assert recompute_comparison(files, PARAMS).decision.promote, "the replacement of the env file refuses it then"
