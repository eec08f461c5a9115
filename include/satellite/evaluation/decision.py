"""The decision on a promotion: a pure function of predictions, truth, dataset and the run's parameters.

`compare` calls it for its report, the orchestrator again from the sealed artifacts, before it asks and before it
changes anything. `comparison.json` decides nothing: it must state what is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.core.settings import get_settings
from include.env_file import read_keys
from include.satellite.artifacts import (
    BASELINE_FOLDER,
    BASELINE_INFO,
    CNN,
    COMPARISON,
    LSTM,
    NEXT_COMPARED,
    NEXT_VERIFIED,
    VALIDATED,
    VERIFICATION,
    ModelArtifacts,
)
from include.satellite.datasets.patches import PatchSamples, load_patch_samples
from include.satellite.datasets.sequences import SequenceDataset, load_sequences
from include.satellite.evaluation.baselines import patch_rules, sequence_baselines
from include.satellite.evaluation.clusters import LEAST_BLOCKS, LEAST_SPELLS, SPELL_DAYS
from include.satellite.evaluation.gates import cnn_gates, decide, lstm_gates, next_gates, synthetic_gate
from include.satellite.evaluation.metrics import gate_rows, score_classes, score_forecasts, score_next_classes
from include.satellite.evaluation.next_classes import BOOSTING, next_rows, next_rules, next_truth
from include.satellite.evaluation.predictions import (
    DRAWN_SAMPLES,
    FORECAST_REGRESSIONS,
    REGRESSION,
    RULE_TOLERANCE,
    TOLERANCE,
    TRAINING_TOLERANCE,
    Predictions,
    Rows,
    check_no_closer,
    check_same,
    check_samples,
    read_predictions,
)
from include.satellite.evaluation.schemas import Verification
from include.satellite.evaluation.statements import check_stated
from include.satellite.imagery.schemas import Imagery
from include.satellite.params import CompareParams, LabelSource
from include.satellite.registry import store
from include.satellite.schemas import (
    CHAMPION,
    REAL,
    SYNTHETIC,
    CnnComparison,
    Comparison,
    Decision,
    LstmComparison,
    ModelName,
    NextComparison,
)


@dataclass(frozen=True)
class Judgement:
    """The scores of all models, and the decision that follows from them."""

    cnn: CnnComparison
    lstm: LstmComparison
    next_classes: NextComparison | None
    decision: Decision


def judge(
    patches: PatchSamples,
    classes: Predictions,
    sequences: SequenceDataset,
    forecasts: Predictions,
    params: CompareParams,
    next_classes: Predictions | None = None,
    *,
    synthetic: bool,
) -> Judgement:
    """Score the models on the held-out samples and decide.

    Args:
        patches: The CNN's dataset, with or without its pixels.
        classes: Of all classifiers on the patches that count in the gates.
        sequences: The LSTM's dataset.
        forecasts: Of all forecasts on the held-out sequences.
        params: Minimum accuracies, label source, and the policy on simulated imagery.
        next_classes: Of the class at the next date on held-out sequences; None unless the label source is next_ndvi.
        synthetic: Whether any of the imagery is simulated.
    """
    cnn = score_classes(patches, classes)
    lstm = score_forecasts(sequences, forecasts)
    following = None if next_classes is None else score_next_classes(sequences, next_classes)
    gates = [
        synthetic_gate(synthetic, params.allow_synthetic),
        *cnn_gates(cnn, params.min_cnn_accuracy, params.label_source),
        *lstm_gates(lstm, params.min_lstm_accuracy),
        *([] if following is None else next_gates(following)),
    ]
    return Judgement(cnn, lstm, following, decide(gates))


def recompute_comparison(files: Path, params: CompareParams) -> Comparison:
    """Decide again from the predictions of a run, and check that its comparison states this.

    Args:
        files: A folder with the manifest, both datasets (the cube is not read), both models, and the comparison.
        params: Of the run.

    Returns:
        The comparison; its scores, gates and decision are those that were recomputed.

    Raises:
        ContractError: The predictions are not those of the held-out samples, a model is missing among them, or
            `comparison.json` states something else; names the file and the field.
    """
    comparison, synthetic = COMPARISON.read(files), is_synthetic(VALIDATED.read(files))
    patches, sequences = load_patch_samples(files), load_sequences(files)
    classes, forecasts = read_predictions(CNN.compared, files), read_predictions(LSTM.compared, files)
    held_out = sequences.rows("validation")
    _check_predictions(CNN, files, classes, gate_rows(patches), patches.rows("validation"), patches.label)
    _check_predictions(LSTM, files, forecasts, held_out, held_out, sequences.y)
    champions, notes = _champions(files, comparison, synthetic, params)
    rivals = {kind: [REAL, SYNTHETIC, *([CHAMPION] if kind in champions else [])] for kind in ("cnn", "lstm")}
    rules, naive = patch_rules(patches, classes.sample), sequence_baselines(sequences, forecasts.sample)
    _check_models(CNN, classes, [*rivals["cnn"], REGRESSION, *rules])
    _check_models(LSTM, forecasts, [*rivals["lstm"], *naive, *FORECAST_REGRESSIONS])
    for model, stated, values in ((CNN, classes, rules), (LSTM, forecasts, naive)):
        again = Predictions(stated.sample, stated.truth, values)
        check_same(model.compared.path, stated, again, RULE_TOLERANCE)
    following = _recomputed_next(files, sequences, forecasts, params)
    judgement = judge(patches, classes, sequences, forecasts, params, following, synthetic=synthetic)
    expected = comparison.model_copy(
        update={
            "synthetic": synthetic,
            "champion": next(iter(champions.values()), None),
            "champions": champions,
            "baseline": BASELINE_INFO.read(files).model_dump(mode="json"),
            "notes": notes_on(judgement, notes),
            "resamples": 0,
            "cnn_comparison": judgement.cnn,
            "lstm_comparison": judgement.lstm,
            "next_comparison": judgement.next_classes,
            "decision": judgement.decision,
            **params.model_dump(include={"label_source", "allow_synthetic", "seed"}),
        }
    )
    check_stated(COMPARISON.path, comparison, expected)
    return expected


def _recomputed_next(
    files: Path, sequences: SequenceDataset, forecasts: Predictions, params: CompareParams
) -> Predictions | None:
    """Return the compared classes of the next date: all but those of gradient boosting follow from the forecasts."""
    stated = NEXT_COMPARED.at(files).exists()
    if params.label_source != "next_ndvi":
        if stated:
            raise ContractError(NEXT_COMPARED.path, "must be written for label_source next_ndvi alone", "predictions")
        return None
    predictions, rules = read_predictions(NEXT_COMPARED, files), next_rules(sequences, forecasts)
    check_samples(NEXT_COMPARED.path, predictions, rules.sample, next_truth(sequences))
    if list(predictions.values) != [*rules.values, BOOSTING]:
        rule = f"must hold the models {', '.join([*rules.values, BOOSTING])}"
        raise ContractError(NEXT_COMPARED.path, rule, ", ".join(predictions.values))
    check_same(NEXT_COMPARED.path, predictions, rules, RULE_TOLERANCE)
    return predictions


def recompute_new_comparison(files: Path, params: CompareParams) -> Comparison:
    """Decide again on a comparison that was made just now: it must be one with the champion of today's env file.

    Args:
        files: As of `recompute_comparison`.
        params: Of the run.

    Raises:
        ContractError: As there, or it states other keys than the env file has.
    """
    keys = read_keys(get_settings().env_file, store.ENV_KEYS)
    stated, now = COMPARISON.read(files).env_file, {key: keys.get(key) for key in store.ENV_KEYS}
    if stated != now:
        rule = "must state the keys of the env file; run the step again if somebody has just changed them"
        raise ContractError(COMPARISON.path, rule, ", ".join(key for key in now if stated.get(key) != now[key]))
    return recompute_comparison(files, params)


def recompute_verification(files: Path, params: CompareParams, *, audit: bool = False) -> Verification:
    """Check that the compared predictions are those that the step `verify` got from the sealed weights.

    Args:
        files: A folder with both datasets (the cube is not read), both models, the comparison and the verification.
        params: Of the run.
        audit: All held-out samples must have been run again.

    Raises:
        ContractError: Too few samples were drawn, other weights were run, or a prediction differs.
    """
    verification = VERIFICATION.read(files)
    patches, sequences = load_patch_samples(files), load_sequences(files)
    rows = {CNN: gate_rows(patches), LSTM: sequences.rows("validation")}
    drawn = {CNN: verification.patches, LSTM: verification.sequences}
    differences: dict[str, float] = {}
    weights: dict[str, str] = {}
    for model in (CNN, LSTM):
        stated, again = read_predictions(model.compared, files), read_predictions(model.verified, files)
        _check_drawn(model.verified.path, again, rows[model], drawn[model], audit=audit)
        trained = [name for name in stated.values if name in (REAL, SYNTHETIC, CHAMPION)]
        regressions = (REGRESSION,) if model is CNN else FORECAST_REGRESSIONS
        _check_models(model, again, [*trained, *regressions], model.verified.path)
        found = check_same(model.compared.path, stated, again)
        differences |= {f"{model.kind} {name}": value for name, value in found.items()}
        own = sha256(model.weights.at(files))
        if model.card.read(files).weights_sha256 != own:
            raise ContractError(model.card.path, f"must be of the weights beside it ({own})", "others")
        weights |= {f"{model.kind} {name}": _weights(name, model, files) for name in trained}
    differences |= check_calibration(files, sequences, verification.calibrating, audit=audit)
    differences |= check_boosting(files, sequences, params, audit=audit)
    expected = {"largest_difference": differences, "tolerance": TOLERANCE, "weights_sha256": weights}
    check_stated(VERIFICATION.path, verification, verification.model_copy(update=expected))
    return verification


def check_calibration(files: Path, sequences: SequenceDataset, drawn: int, *, audit: bool) -> dict[str, float]:
    """Check that forecasts which calibrate the interval are those that the weights gave again on drawn samples.

    Forecasts of the training may be in a GPU's shorter number format; closer to the truth they must not be, for that
    would narrow the interval.
    """
    rows = sequences.calibration_rows()
    if not len(rows):
        return {}
    again = read_predictions(LSTM.recalibrated, files)
    _check_drawn(LSTM.recalibrated.path, again, rows, drawn, audit=audit)
    check_samples(LSTM.recalibrated.path, again, again.sample, sequences.y)
    stated = read_predictions(LSTM.calibration, files).of(again.sample)
    _check_models(LSTM, again, [REAL], LSTM.recalibrated.path)
    found = check_same(LSTM.calibration.path, stated, again, TRAINING_TOLERANCE)
    check_no_closer(LSTM.calibration.path, stated, again)
    return {f"{LSTM.kind} calibration": found[REAL]}


def check_boosting(files: Path, sequences: SequenceDataset, params: CompareParams, *, audit: bool) -> dict[str, float]:
    """Check the classes of the next date by gradient boosting, which was fitted again on drawn samples."""
    if params.label_source != "next_ndvi":
        return {}
    again = read_predictions(NEXT_VERIFIED, files)
    _check_drawn(NEXT_VERIFIED.path, again, next_rows(sequences), len(again.sample), audit=audit)
    _check_models(LSTM, again, [BOOSTING], NEXT_VERIFIED.path)
    found = check_same(NEXT_COMPARED.path, read_predictions(NEXT_COMPARED, files), again)
    return {f"next {BOOSTING}": found[BOOSTING]}


def _check_drawn(name: str, again: Predictions, rows: Rows, drawn: int, *, audit: bool) -> None:
    wanted = len(rows) if audit else min(DRAWN_SAMPLES, len(rows))
    if not len(again.sample) == drawn >= wanted or not np.isin(again.sample, rows).all():
        rule = f"must hold {'all' if audit else 'at least'} {wanted} of the held-out samples, drawn at random"
        raise ContractError(name, rule, f"{len(again.sample)} samples")


def _weights(name: str, model: ModelArtifacts[Any], files: Path) -> str:
    """Return the checksum of a trained model's weights: this run's, the baseline's among its files, the champion's."""
    if name == CHAMPION:
        return store.find(COMPARISON.read(files).champions[model.kind]).files[model.weights.path].sha256
    return sha256(model.weights.at(files / BASELINE_FOLDER if name == SYNTHETIC else files))


def is_synthetic(imagery: Imagery) -> bool:
    """Return whether any acquisition is simulated, whatever the manifest states of them all."""
    return any(acquisition.synthetic for acquisition in imagery.acquisitions)


def _check_predictions(
    model: ModelArtifacts[Any], files: Path, compared: Predictions, rows: Rows, held_out: Rows, truth: NDArray[Any]
) -> None:
    """Check the samples of the comparison, and that its predictions are those that the training left."""
    trained = read_predictions(model.predictions, files)
    check_samples(model.predictions.path, trained, held_out, truth)
    check_samples(model.compared.path, compared, rows, truth)
    trained = trained.of(rows)
    check_same(model.compared.path, compared, trained, TRAINING_TOLERANCE)
    check_no_closer(model.predictions.path, trained, compared)


def _check_models(
    model: ModelArtifacts[Any], predictions: Predictions, expected: list[str], name: str | None = None
) -> None:
    if sorted(predictions.values) != sorted(expected):
        found = ", ".join(predictions.values)
        raise ContractError(name or model.compared.path, f"must hold the models {', '.join(expected)}", found)


def _champions(
    files: Path, comparison: Comparison, synthetic: bool, params: CompareParams
) -> tuple[dict[ModelName, str], list[str]]:
    """Return the versions that there must be champions of among the models, by kind, and the notes on them.

    The env file may have changed since the comparison; then its replacement is refused anyway, and what the comparison
    states of a champion cannot be judged any more.
    """
    keys = read_keys(get_settings().env_file, store.ENV_KEYS)
    if {key: keys.get(key) for key in store.ENV_KEYS} != comparison.env_file:
        about = [note for note in comparison.notes if note.startswith(f"The {CHAMPION} ")]
        return comparison.champions, about
    models, notes = champions_of(files, keys, synthetic=synthetic, label_source=params.label_source)
    versions = {kind: model.version for kind, model in models.items()}
    if comparison.champions != versions:
        named = ", ".join(versions.values()) or "None"
        rule = f"must state the champion that the env file names: {named}"
        raise ContractError(COMPARISON.path, rule, ", ".join(comparison.champions.values()) or "none")
    return versions, notes


def champions_of(
    files: Path, keys: Mapping[str, str], *, synthetic: bool, label_source: LabelSource
) -> tuple[dict[ModelName, store.StoredModel], list[str]]:
    """Return the champions that the models of a run are compared with, by kind, and the notes on them.

    Args:
        files: A folder with the cards of the run's models.
        keys: The env file's keys.
        synthetic: Whether the run's models were trained on simulated imagery.
        label_source: Labels that they were trained on.
    """
    champions: dict[ModelName, store.StoredModel] = {}
    notes: list[str] = []
    for artifacts in (CNN, LSTM):
        model, note = _champion_of(files, keys, artifacts, synthetic=synthetic, label_source=label_source)
        if model is not None:
            champions[artifacts.kind] = model
        if note is not None and note not in notes:
            notes.append(note)
    return champions, notes


def _champion_of(
    files: Path,
    keys: Mapping[str, str],
    artifacts: ModelArtifacts[Any],
    *,
    synthetic: bool,
    label_source: LabelSource,
) -> tuple[store.StoredModel | None, str | None]:
    model, note = store.champion(keys, artifacts, synthetic=synthetic, label_source=label_source)
    if model is None:
        return None, note
    if (note := store.unlike(model, files, artifacts)) is not None:
        return None, note
    rival, card = artifacts.card.read(model.folder), artifacts.card.read(files)
    if (rival.seed, rival.data.grid) != (card.seed, card.data.grid):
        note = (
            f"The champion {model.version} was trained with another seed or area: it may have been trained on what is "
            "held out here, which favours it."
        )
    return model, note


def notes_on(judgement: Judgement, champion: Sequence[str]) -> list[str]:
    """Return what a reader should know of a comparison: the notes on the champions, and what cannot be judged.

    Args:
        judgement: Its scores.
        champion: The notes on the champions.
    """
    notes = list(champion)
    compared = (("CNN", judgement.cnn), ("LSTM", judgement.lstm), ("Class of the next date", judgement.next_classes))
    for model, comparison in compared:
        if comparison is None:
            continue
        counts = f"{comparison.blocks} held-out blocks and {comparison.spells} spells of {SPELL_DAYS} days"
        if any(difference.low is None for difference in comparison.differences):
            notes.append(
                f"{model}: cannot be judged on {counts}; at least {LEAST_BLOCKS} and {LEAST_SPELLS} are needed: take a "
                "larger area, or more and later dates."
            )
        elif effective := [rival.effective_samples for rival in comparison.differences if rival.effective_samples]:
            notes.append(
                f"{model}: {comparison.samples:,} samples in {counts} count as {min(effective):.0f} to "
                f"{max(effective):.0f} independent ones."
            )
    return notes
