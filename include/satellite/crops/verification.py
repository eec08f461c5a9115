"""The step `verify_crops`: trains again without a fold that is drawn now, and predicts its fields.

The draw is made after the comparison has ended and its artifacts are sealed. The orchestrator, whose image has no
scikit-learn, compares the step's predictions with the stated ones.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np

from include.core.errors import ContractError
from include.core.outcome import Finding, StepMetrics, StepOutcome
from include.satellite.artifacts import (
    CROP_COMPARISON,
    CROP_PREDICTIONS,
    CROP_VERIFICATION,
    CROP_VERIFIED,
    CROP_WEIGHTS,
)
from include.satellite.crops.models import fit, predict_held_out, rivals
from include.satellite.crops.params import CropVerifyParams
from include.satellite.crops.schemas import CropVerification
from include.satellite.crops.training import read_crop_predictions, read_ensemble, read_samples, write_crop_predictions
from include.satellite.crops.trees import ensemble_of
from include.satellite.evaluation.predictions import check_same
from include.satellite.evaluation.statements import check_stated

TOLERANCE = 1e-6
"""Of a probability that the same library computes again; sums in another order differ by far less."""


class VerifyCropsMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `verify_crops`."""

    fields_verified: int
    models_verified: int
    largest_difference: float


def verify_crops(files: Path, params: CropVerifyParams) -> None:
    """Write the predictions of models that are trained again, and how far they are the stated ones.

    Args:
        files: The run's `files/` folder.
        params: Of the run; in an audit all folds are drawn.

    Raises:
        ContractError: A stated prediction, or the model itself, is not what the training gives.
        SetupError: The folder cannot be written.
    """
    _, _, samples = read_samples(files)
    folds = samples.folds if params.audit else [secrets.choice(samples.folds)]
    rows, values = predict_held_out(samples, folds, params.crop_model, params.seed)
    write_crop_predictions(CROP_VERIFIED.at(files), samples, rows, values)
    own = ensemble_of(fit(params.crop_model, samples.values, samples.crop, params.seed), params.crop_model)
    apart = np.abs(own.predict(samples.values) - read_ensemble(files).predict(samples.values)).max()
    if not apart <= TOLERANCE:
        raise ContractError(CROP_WEIGHTS.path, "must be what the training on all fields gives", f"apart by {apart:.2g}")
    CROP_VERIFICATION.write(files, _document(files, folds))


def _document(files: Path, folds: list[int]) -> CropVerification:
    """Return the verification that follows from both tables of predictions.

    Raises:
        ContractError: They differ.
    """
    _, _, samples = read_samples(files)
    again = read_crop_predictions(CROP_VERIFIED, files, samples)
    rows = np.sort(np.concatenate([samples.held_out(fold) for fold in folds]))
    if not np.array_equal(again.sample, rows):
        raise ContractError(CROP_VERIFIED.path, f"must hold the {len(rows)} fields of the drawn folds", "others")
    kind = CROP_COMPARISON.read(files).model
    if list(again.values) != rivals(samples, kind):
        raise ContractError(CROP_VERIFIED.path, "must hold every model of the run", ", ".join(again.values))
    stated = read_crop_predictions(CROP_PREDICTIONS, files, samples)
    found = check_same(CROP_PREDICTIONS.path, stated, again, TOLERANCE)
    return CropVerification(
        folds=folds,
        fields=len(rows),
        models=list(found),
        largest_difference=max(found.values()),
        tolerance=TOLERANCE,
    )


def recompute_crop_verification(files: Path, params: CropVerifyParams, *, audit: bool = False) -> tuple[str, ...]:
    """Check that the predictions of the drawn folds are the stated ones, and return the drawn folds.

    Raises:
        ContractError: They are not, or in an audit a fold is missing.
    """
    stated = CROP_VERIFICATION.read(files)
    folds = read_samples(files)[2].folds
    if not stated.folds or not set(stated.folds) <= set(folds) or (audit and stated.folds != folds):
        raise ContractError(CROP_VERIFICATION.path, f"must be of folds among {folds}", stated.folds)
    check_stated(CROP_VERIFICATION.path, stated, _document(files, stated.folds))
    return tuple(f"fold {fold}" for fold in stated.folds)


def verify_crops_outcome(files: Path) -> StepOutcome:
    """Return how many predictions the training gave again."""
    document = CROP_VERIFICATION.read(files)
    return StepOutcome(
        metrics=VerifyCropsMetrics(
            fields_verified=document.fields,
            models_verified=len(document.models),
            largest_difference=document.largest_difference,
        ),
        findings=(verified_crops(document),),
    )


def verified_crops(document: CropVerification) -> Finding:
    """Return the statement of a verification for the report."""
    folds = "all folds" if len(document.folds) > 1 else "a fold"
    message = (
        f"Trained again without {folds} drawn after the comparison, {len(document.models)} models gave the stated "
        f"predictions of its {document.fields:,} fields (largest difference {document.largest_difference:.2g}, at most "
        f"{document.tolerance:g})."
    )
    return Finding(severity="info", message=message)
