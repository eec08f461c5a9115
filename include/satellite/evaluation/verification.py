"""The step `verify`: runs the sealed weights again on held-out samples that are drawn now.

The draw is made after training and comparison have ended and their artifacts are sealed, so neither can know it. The
step's own predictions are artifacts; the orchestrator compares them with the stated ones (`recompute_verification`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from include.core.outcome import Finding, StepMetrics, StepOutcome
from include.satellite.artifacts import CNN, COMPARISON, LSTM, NEXT_VERIFIED, VERIFICATION
from include.satellite.evaluation.predictions import (
    REGRESSION,
    TOLERANCE,
    Predictions,
    check_same,
    draw,
    read_predictions,
)
from include.satellite.evaluation.schemas import Verification
from include.satellite.params import VerifyParams
from include.satellite.registry import store
from include.satellite.schemas import CHAMPION, REAL, SYNTHETIC

if TYPE_CHECKING:
    from include.satellite.training.networks import ModelBundle


class VerifyMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `verify`."""

    patches_verified: int
    sequences_verified: int
    largest_difference: float


def verify(files: Path, params: VerifyParams) -> None:
    """Write `verification.json`, and the predictions of all trained models on the drawn samples.

    Forecasts that calibrate the interval are repeated too, and the fitted classes of the next date where there are any.

    Args:
        files: The run's `files/` folder, with both datasets, both models, and the comparison.
        params: Of the run; in an audit all held-out samples are drawn.

    Raises:
        ContractError: A stored model is missing or damaged, or a stated prediction is not what the weights predict.
        SetupError: The folder cannot be written.
    """
    from include.satellite.datasets.patches import load_patches
    from include.satellite.datasets.sequences import load_sequences
    from include.satellite.evaluation.baselines import patch_baselines, sequence_regressions
    from include.satellite.evaluation.decision import check_boosting, check_calibration
    from include.satellite.evaluation.metrics import gate_rows
    from include.satellite.evaluation.next_classes import BOOSTING, next_boosting, next_rows, next_truth
    from include.satellite.evaluation.predictions import write_predictions
    from include.satellite.training.networks import predict_patches, predict_sequences

    patches, sequences = load_patches(files), load_sequences(files)
    cnn, lstm = _models(files)
    rows = gate_rows(patches)
    rows = rows if params.audit else draw(rows)
    values = {name: predict_patches(bundle, patches, rows) for name, bundle in cnn.items()}
    naive = {REGRESSION: patch_baselines(patches, rows)[REGRESSION]}
    classes = Predictions(rows, patches.label[rows], {**values, **naive})
    rows = sequences.rows("validation")
    rows = rows if params.audit else draw(rows)
    values = {name: predict_sequences(bundle, sequences, rows) for name, bundle in lstm.items()}
    forecasts = Predictions(rows, sequences.y[rows], {**values, **sequence_regressions(sequences, rows)})
    if params.label_source == "next_ndvi":
        rows = next_rows(sequences)
        rows = rows if params.audit else draw(rows)
        boosting = {BOOSTING: next_boosting(sequences, rows)}
        write_predictions(NEXT_VERIFIED.at(files), Predictions(rows, next_truth(sequences)[rows], boosting))
    rows = sequences.calibration_rows()
    rows = rows if params.audit or not len(rows) else draw(rows)
    if len(rows):
        again = {REAL: predict_sequences(lstm[REAL], sequences, rows)}
        write_predictions(LSTM.recalibrated.at(files), Predictions(rows, sequences.y[rows], again))
    write_predictions(CNN.verified.at(files), classes)
    write_predictions(LSTM.verified.at(files), forecasts)
    differences: dict[str, float] = {}
    weights: dict[str, str] = {}
    for model, own, bundles in ((CNN, classes, cnn), (LSTM, forecasts, lstm)):
        found = check_same(model.compared.path, read_predictions(model.compared, files), own)
        differences |= {f"{model.kind} {name}": value for name, value in found.items()}
        weights |= {f"{model.kind} {name}": bundle.card.weights_sha256 for name, bundle in bundles.items()}
    differences |= check_calibration(files, sequences, len(rows), audit=params.audit)
    differences |= check_boosting(files, sequences, params, audit=params.audit)
    document = Verification(
        patches=len(classes.sample),
        sequences=len(forecasts.sample),
        calibrating=len(rows),
        tolerance=TOLERANCE,
        largest_difference=differences,
        weights_sha256=weights,
    )
    VERIFICATION.write(files, document)


def verify_outcome(files: Path) -> StepOutcome:
    """Read the outcome of the step `verify` from `verification.json`."""
    document = VERIFICATION.read(files)
    return StepOutcome(
        metrics=VerifyMetrics(
            patches_verified=document.patches,
            sequences_verified=document.sequences,
            largest_difference=max(document.largest_difference.values()),
        ),
        findings=(verified(document),),
    )


def verified(document: Verification) -> Finding:
    """Return the statement of a verification for the report."""
    largest = max(document.largest_difference.values())
    calibrating = f", and {document.calibrating:,} that calibrate the interval," if document.calibrating else ""
    message = (
        f"The weights gave the stated predictions again, on {document.patches:,} patches and {document.sequences:,} "
        f"sequences{calibrating} drawn after the comparison (largest difference {largest:.2g}, at most "
        f"{document.tolerance:g})."
    )
    return Finding(severity="info", message=message)


def _models(files: Path) -> tuple[dict[str, ModelBundle], dict[str, ModelBundle]]:
    """Return the trained models of the comparison: this run's, the baseline's and, where there are some, champions."""
    from include.satellite.evaluation.synthetic_baseline import read_baseline
    from include.satellite.training.networks import load_bundle

    baseline, champions = read_baseline(files), COMPARISON.read(files).champions
    cnn = {REAL: load_bundle(files, CNN), SYNTHETIC: baseline.cnn}
    lstm = {REAL: load_bundle(files, LSTM), SYNTHETIC: baseline.lstm}
    for model, bundles in ((CNN, cnn), (LSTM, lstm)):
        if model.kind in champions:
            bundles[CHAMPION] = load_bundle(store.find(champions[model.kind]).folder, model)
    return cnn, lstm
