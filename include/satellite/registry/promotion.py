"""The step `configure`: stores the models and enables them in the env file, if every gate (and a reviewer) agrees.

The env file's replacement is the commit point. Before it the model lies in the store, where nothing uses it; after it
only records follow. Killed anywhere and tried again, the step ends the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.artifacts import sha256
from include.core.contracts import Artifact, Notice
from include.core.domain import PendingChange
from include.core.errors import ContractError, GroundtruthError
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.run_folder import RunFolder
from include.core.settings import get_settings
from include.env_file import ChangedMeanwhileError, EnvFile, Reason, current_user
from include.satellite.artifacts import (
    APPROVAL,
    CNN,
    COMPARISON,
    CONFIGURATION,
    CROP_VERIFICATION,
    DECIDES,
    LSTM,
    NEXT_COMPARED,
    NEXT_VERIFIED,
    VERIFICATION,
)
from include.satellite.crops.schemas import CropComparison
from include.satellite.evaluation.decision import recompute_comparison, recompute_verification
from include.satellite.evaluation.verification import verified
from include.satellite.params import CompareParams, ConfigureParams
from include.satellite.registry import store
from include.satellite.registry.tries import run_folder, run_of, tries_note
from include.satellite.schemas import REAL, Approval, Comparison, Configuration, ModelName

if TYPE_CHECKING:
    from include.satellite.registry.tracking import Training

REGISTERED = (("crop-health-cnn", CNN), ("ndvi-forecast-lstm", LSTM))
"""Names of the models in MLflow."""
CROPS_REGISTERED = "crop-classifier"
LOG = logging.getLogger(__name__)


class ConfigureMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `configure`."""

    promoted: bool
    env_file: str


class PromotionMetrics(ConfigureMetrics):
    """Metrics of the step `configure` where it promoted the models."""

    model_version: str


def configure(files: Path, params: ConfigureParams) -> None:
    """Write `configuration.json`: promoted, or why not. A refusal is a result, not a failure.

    Args:
        files: The run's `files/` folder, with all that the decision is derived from, and the approval where one is
            required.
        params: Of the run: what the gates take, and whether an approval is required.

    Raises:
        BadInputError: The env file cannot be parsed.
        ContractError: A file is missing or damaged, or states something else than follows from the others.
        SetupError: The store or the env file cannot be written.
        TransientError: Other processes keep changing the env file.
    """
    comparison, env_file = decided(files, params), EnvFile(get_settings().env_file)
    approval = APPROVAL.find(files) if params.require_approval else None
    reasons = refusals(comparison, approval, evidence(files) if params.require_approval else None)
    if reasons:
        notes = _set_aliases(files, dict.fromkeys(store.PATHS, "challenger"), synthetic=comparison.synthetic)
        result: dict[str, Any] = {"promoted": False, "reasons": reasons, "notes": notes}
    else:
        result = _promote(files, comparison, env_file)
    if (note := tries_note(files)) is not None:
        result["notes"] = [*result.get("notes", []), note]
    document = Configuration(env_file=str(env_file.path), synthetic=comparison.synthetic, **result)
    CONFIGURATION.write(files, document)


def decided(files: Path, params: CompareParams) -> Comparison:
    """Return the comparison of a run with the decision, recomputed from predictions and verified weights.

    Args:
        files: A folder with the artifacts that the decision is derived from (`DECIDES`).
        params: Of the run.

    Raises:
        ContractError: A prediction is not what the weights gave, or `comparison.json` states something else than
            follows from the predictions.
    """
    recompute_verification(files, params)
    return recompute_comparison(files, params)


def refusals(comparison: Comparison | CropComparison, approval: Approval | None, required: str | None) -> list[str]:
    """Return why the models are not promoted; empty if they are.

    Args:
        comparison: With the gates' decision, recomputed.
        approval: A reviewer's answer.
        required: The evidence that a reviewer must have approved; None where no approval is required.
    """
    if not comparison.decision.promote:
        return list(comparison.decision.reasons)
    if required is None:
        return []
    if approval is None:
        return ["Approval is required, and no reviewer was asked."]
    if not approval.approved:
        return [f"Not approved by {approval.by}: {approval.why}"]
    if approval.evidence != required:
        return [
            f"The approval by {approval.by} is about other evidence: models, predictions or comparison have changed "
            "since. Clear the task approve, and answer again."
        ]
    return []


def evidence(files: Path) -> str:
    """Return the SHA-256 of all that the question to a reviewer rests on: the artifacts, and the env file's keys.

    Args:
        files: A folder with the artifacts that the decision is derived from; the comparison states the keys.

    Raises:
        ContractError: An artifact is missing.
    """
    return evidence_of(files, DECIDES)


def evidence_of(files: Path, artifacts: Iterable[Artifact[Any]]) -> str:
    """Return the SHA-256 of artifacts with their names.

    Raises:
        ContractError: One is missing.
    """
    parts = {}
    for artifact in artifacts:
        path = artifact.at(files)
        if artifact.optional and not path.exists():
            continue
        if not path.is_file():
            raise ContractError(artifact.path, "must be there to be approved", "no such file")
        parts[artifact.path] = sha256(path)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def planned_changes(files: Path) -> dict[str, str]:
    """Return what the env file would set, were the models of a run promoted.

    Raises:
        ContractError: A file of the run is missing.
    """
    comparison = COMPARISON.read(files)
    return store.env_changes(store.plan(files, comparison, run_of(files)), comparison.decision.models)


def pending_change(data_dir: Path) -> PendingChange | None:
    """Return what the latest comparison of any run would change; None if no run has compared models.

    This is a preview. The comparison of a run that has not verified all its predictions (of an earlier version, or
    still running) is shown as it is reported; it decides nothing.

    Args:
        data_dir: The data folder, with the runs.

    Raises:
        ContractError: A file of that run is missing or damaged, or contradicts the others.
    """
    comparisons = data_dir.glob(f"runs/satellite_pipeline/*/files/{COMPARISON.path}")
    latest = max(comparisons, key=lambda path: path.stat().st_mtime, default=None)
    if latest is None:
        return None
    files = latest.parent
    verified = VERIFICATION.at(files).is_file() and _of_this_version(files)
    decision = (decided(files, _params_of(files)) if verified else COMPARISON.read(files)).decision
    changes = planned_changes(files) if decision.promote else {}
    return PendingChange(run=files.parent.name, changes=changes, reasons=tuple(decision.reasons))


def _of_this_version(files: Path) -> bool:
    """Return whether a verified run has the artifacts that its decision is derived from now."""
    following = COMPARISON.read(files).label_source == "next_ndvi"
    needed = {NEXT_COMPARED, NEXT_VERIFIED} if following else set()
    needed |= {LSTM.recalibrated} if LSTM.calibration.at(files).exists() else set()
    return all(artifact.at(files).is_file() for artifact in needed)


def approval_form(files: Path, params: CompareParams) -> str | None:
    """Return the question that a reviewer is asked (Markdown); None if the gates, computed again, refuse already.

    Args:
        files: A folder with the artifacts that the decision is derived from.
        params: Of the run.

    Raises:
        ContractError: As for `decided`.
    """
    comparison, env_file = decided(files, params), EnvFile(get_settings().env_file)
    if not comparison.decision.promote:
        return None
    cnn, lstm = comparison.cnn_comparison, comparison.lstm_comparison
    names = " and the ".join(kind.upper() for kind in comparison.decision.models)
    question = f"The {names} of run `{run_of(files)}` passed every gate. If you approve, `{env_file.path}` changes:"
    diff = env_file.diff(planned_changes(files)) or "(nothing: it has these values already)"
    table = [
        "| model | metric | value |\n|---|---|---|",
        f"| CNN | accuracy | {cnn.models[REAL].accuracy:.3f} |",
        f"| CNN | balanced accuracy | {cnn.models[REAL].balanced_accuracy:.3f} |",
        f"| CNN | accuracy over the synthetic baseline | {_signed(cnn.accuracy_improvement)} |",
        f"| LSTM | MAE of NDVI | {lstm.models[REAL].mae:.3f} |",
        f"| LSTM | error avoided against the synthetic baseline | {_signed(lstm.mae_improvement)} |",
    ]
    gates = [f"- {gate.sentence}" for gate in comparison.decision.gates]
    notes = [f"- {note}" for note in (*comparison.notes, tries_note(files)) if note]
    parts = (question, f"```diff\n{diff}\n```", "\n".join(table), "\n".join(gates), "\n".join(notes))
    return "\n\n".join(part for part in parts if part)


def write_approval(files: Path, *, approved: bool, by: str, why: str, evidence: str | None = None) -> None:
    """Write a reviewer's answer, which `configure` reads.

    Args:
        files: The run's `files/` folder.
        approved: The answer.
        by: Who answered.
        why: The reason.
        evidence: SHA-256 of what the answer is about; None where no reviewer answered.

    Raises:
        SetupError: The folder cannot be written.
    """
    APPROVAL.write(files, Approval(approved=approved, by=by, why=why, evidence=evidence))


def configure_outcome(files: Path) -> StepOutcome:
    """Read the outcome of the step `configure` from `configuration.json`."""
    return _outcome(CONFIGURATION.read(files), verified(VERIFICATION.read(files)))


def configure_crops_outcome(files: Path) -> StepOutcome:
    """Read the outcome of the step `configure_crops` from `configuration.json`."""
    from include.satellite.crops.verification import verified_crops

    return _outcome(CONFIGURATION.read(files), verified_crops(CROP_VERIFICATION.read(files)))


def _outcome(document: Configuration, verification: Finding) -> StepOutcome:
    metrics = ConfigureMetrics(**document.fields_of(ConfigureMetrics))
    if document.promoted and document.version:
        metrics = PromotionMetrics(**metrics.model_dump(), model_version=document.version)
        message = f"{document.env_file} now uses model {document.version}"
        if len(document.models) == 1:
            message += f": the {document.models[0].upper()} alone, for the other did not pass its gates"
    else:
        more = len(document.reasons) - 1
        message = f"Models not promoted: {document.reasons[0]}"
        message += f" And {more} more reasons, under Compare models." if more else ""
    findings = [Finding(severity="info", message=message), verification]
    findings += [Finding(severity="warning", message=note) for note in document.notes]
    rows = tuple(document.changes.items())
    table = Table(title=f"Set in {document.env_file}", columns=("key", "value"), rows=rows)
    return StepOutcome(
        metrics=metrics,
        findings=tuple(findings),
        tables=(table,) if rows else (),
        synthetic=document.synthetic if document.promoted else None,
    )


def promotion_notice(outcome: StepOutcome) -> Notice | None:
    """Return the message to send after a promotion; None if the models were not promoted."""
    if not outcome.metrics.model_dump()["promoted"]:
        return None
    metrics = outcome.metrics_as(PromotionMetrics)
    return Notice(
        subject=f"promoted model {metrics.model_version}",
        sentence=f"{metrics.env_file} now uses model {metrics.model_version}.",
        facts={
            "Trained on": "simulated imagery" if outcome.synthetic else "real imagery",
            "To undo": "the page Models in Airflow, or ./pipeline env rollback",
        },
    )


def follow_env_file(env_file: EnvFile) -> str | None:
    """Set MLflow's alias `champion` to the version that an env file names, after a rollback.

    Returns:
        Why it could not be set; None if it was, or if no model is enabled.
    """
    keys = env_file.read()
    for kind in store.PATHS:
        version = store.in_use(keys, kind)
        if version is None:
            continue
        try:
            model = store.find(version)
        except GroundtruthError as error:
            return str(error)
        notes = _set_aliases(model.folder, {kind: "champion"}, synthetic=model.synthetic)
        if notes:
            return notes[0]
    version = store.crops_in_use(keys)
    if version is not None:
        try:
            model = store.find(version, store.CROP_FILES)
        except GroundtruthError as error:
            return str(error)
        return next(iter(set_crop_alias(model.folder, "champion", synthetic=model.synthetic)), None)
    return None


def _promote(files: Path, comparison: Comparison, env_file: EnvFile) -> dict[str, Any]:
    """Store the models and change the env file; return the fields of the configuration that this decides."""
    model, promoted = store.put(files, comparison, run_of(files)), comparison.decision.models
    why = f"{' and '.join(promoted)}: every gate passed"
    changes = store.env_changes(model, promoted)
    result = promote(model, env_file, changes, comparison.env_file, step="configure", why=why)
    if not result["promoted"]:
        return result
    aliases = {kind: "champion" if kind in promoted else "challenger" for kind in store.PATHS}
    notes = [*_set_aliases(files, aliases, synthetic=comparison.synthetic), *result["notes"]]
    return result | {"models": promoted, "reasons": comparison.decision.reasons, "notes": notes}


def promote(
    model: store.StoredModel,
    env_file: EnvFile,
    changes: Mapping[str, str],
    expected: Mapping[str, str | None],
    *,
    step: str,
    why: str,
) -> dict[str, Any]:
    """Name a stored version in the env file; return the fields of the configuration that this decides.

    Args:
        model: Of the store.
        env_file: The deployment's.
        changes: What it sets.
        expected: Keys that it must still hold as they were when the gates were passed.
        step: Who promotes it, for the history.
        why: For the history.
    """
    store.remember(env_file)
    reason = Reason(by=f"{current_user()}, step {step}", why=why, run=model.run, version=model.version)
    try:
        entry = env_file.update(changes, reason, expected)
    except ChangedMeanwhileError as error:
        reasons = [f"The gates were passed for another state of the env file: {error}."]
        return {"promoted": False, "reasons": reasons}
    if entry is None:  # an earlier attempt changed the env file and was killed after that
        entry = next((entry for entry in reversed(env_file.history()) if entry.version == model.version), None)
    notes = []
    try:
        store.prune()
    except GroundtruthError as error:
        notes.append(f"No old model was removed: {error}")
    return {
        "promoted": True,
        "version": model.version,
        "changes": dict(changes),
        "diff": entry.diff if entry else "",
        "backup": entry.backup if entry else None,
        "entry": entry.id if entry else None,
        "notes": notes,
    }


def _set_aliases(folder: Path, aliases: Mapping[ModelName, str], *, synthetic: bool) -> list[str]:
    """Set aliases in MLflow by model; a fault of MLflow is a note, for it is a record and not a gate."""
    from include.satellite.registry.tracking import training_of

    notes = []
    for name, model in REGISTERED:
        if (alias := aliases.get(model.kind)) is not None:
            notes += _set_alias(name, partial(training_of, folder, model), alias, synthetic=synthetic)
    return notes


def set_crop_alias(folder: Path, alias: str, *, synthetic: bool) -> list[str]:
    """Set an alias of a crop classifier in MLflow; a fault of MLflow is a note."""
    from include.satellite.registry.tracking import crop_training_of

    return _set_alias(CROPS_REGISTERED, partial(crop_training_of, folder), alias, synthetic=synthetic)


def _set_alias(name: str, training: Callable[[], Training], alias: str, *, synthetic: bool) -> list[str]:
    from include.satellite.registry.tracking import register

    registered = f"{name}-simulated" if synthetic else name
    try:
        register(registered, training(), alias)
    except GroundtruthError as error:
        LOG.warning("%s", error)
        return [f"MLflow's alias {alias} of {registered} does not follow: {error}"]
    return []


def _params_of(files: Path) -> CompareParams:
    """Return the run's parameters of the comparison."""
    run = RunFolder(run_folder(files)).run()
    params = run.params if run else {}
    return CompareParams.model_validate({name: params[name] for name in CompareParams.model_fields if name in params})


def _signed(percent: float | None) -> str:
    return "unknown" if percent is None else f"{percent:+.1f} %"
