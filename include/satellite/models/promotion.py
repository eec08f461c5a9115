"""The last step: stores the models and switches them on in the env file, if every gate (and a person, if asked) agrees.

The env file's replacement is the commit point. Before it the model lies in the store, where nobody uses it; after it
only records follow. Killed anywhere and tried again, the step ends the same.
"""

from __future__ import annotations

import logging
from pathlib import Path

from include.core.contracts import Summary
from include.core.errors import ContractError, GroundtruthError
from include.core.run_folder import read_model, write_json
from include.core.settings import get_settings
from include.env_file import ChangedMeanwhileError, Entry, EnvFile, Reason, current_user
from include.satellite.models import model_store
from include.satellite.models.comparison import read_comparison
from include.satellite.models.documents import ModelKind
from include.satellite.models.results import REAL, Approval, Comparison, Configuration
from include.satellite.params import ConfigureParams

APPROVAL, CONFIGURATION = "approval.json", "configuration.json"
REGISTERED: dict[ModelKind, str] = {"cnn": "crop-health-cnn", "lstm": "ndvi-forecast-lstm"}
LOG = logging.getLogger(__name__)


def configure(files: Path, params: ConfigureParams) -> None:
    """Write `configuration.json`: promoted, or why not. A refusal is an answer, no failure.

    Args:
        files: The run's `files/` folder, with the comparison, both models, and the approval where one is required.
        params: Whether one is required.

    Raises:
        BadInputError: The env file cannot be understood.
        ContractError: A file is missing or damaged.
        SetupError: The store or the env file cannot be written.
        TransientError: Others keep changing the env file.
    """
    comparison, env_file = read_comparison(files), EnvFile(get_settings().env_file)
    refusal = refusals(comparison, read_model(files / APPROVAL, Approval), required=params.require_approval)
    if refusal:
        notes = _follow(files, "challenger", synthetic=comparison.synthetic)
        document = _refused(comparison, env_file, refusal, notes)
    else:
        document = _promote(files, comparison, env_file)
    write_json(files / CONFIGURATION, document)


def refusals(comparison: Comparison, approval: Approval | None, *, required: bool) -> list[str]:
    """Why the models are not promoted; empty: they are.

    Args:
        comparison: With the gates' decision.
        approval: A person's answer.
        required: Whether there must be one.
    """
    reasons = [] if comparison.decision.promote else list(comparison.decision.reasons)
    if required and comparison.decision.promote:
        if approval is None:
            reasons.append("Approval is required, and nobody was asked.")
        elif not approval.approved:
            reasons.append(f"Not approved by {approval.by}: {approval.why}")
    return reasons


def planned(files: Path) -> dict[str, str]:
    """What the env file would be set to, were the models of a run promoted.

    Raises:
        ContractError: A file of the run is missing.
    """
    return model_store.switch(model_store.plan(files, read_comparison(files), _run_of(files)))


def approval_form(files: Path) -> str | None:
    """What a person who is asked for approval is shown (Markdown); None where the gates refuse already."""
    comparison, env_file = read_comparison(files), EnvFile(get_settings().env_file)
    if not comparison.decision.promote:
        return None
    cnn, lstm = comparison.cnn_comparison, comparison.lstm_comparison
    lines = [
        f"The models of run `{_run_of(files)}` passed every gate. If you approve, `{env_file.path}` changes:",
        "```diff\n" + (env_file.diff(planned(files)) or "(it says so already)") + "\n```",
        "| model | measure | value |\n|---|---|---|",
        f"| CNN | accuracy | {cnn.models[REAL].accuracy:.3f} |",
        f"| CNN | balanced accuracy | {cnn.models[REAL].balanced_accuracy:.3f} |",
        f"| CNN | accuracy over the synthetic baseline | {_signed(cnn.accuracy_improvement)} |",
        f"| LSTM | MAE of NDVI | {lstm.models[REAL].mae:.3f} |",
        f"| LSTM | error avoided against the synthetic baseline | {_signed(lstm.mae_improvement)} |",
    ]
    gates = [f"- {gate.sentence}" for gate in comparison.decision.gates]
    notes = [f"- {note}" for note in comparison.notes]
    head, table = "\n\n".join(lines[:2]), "\n".join(lines[2:])
    return "\n\n".join(part for part in (head, table, "\n".join(gates), "\n".join(notes)) if part)


def write_approval(files: Path, *, approved: bool, by: str, why: str) -> None:
    """Write a person's answer where `configure` reads it.

    Raises:
        SetupError: The folder cannot be written.
    """
    write_json(files / APPROVAL, Approval(approved=approved, by=by, why=why))


def configure_summary(files: Path) -> Summary:
    """What became of the env file."""
    document = read_model(files / CONFIGURATION, Configuration)
    if document is None:
        raise ContractError(CONFIGURATION, "must exist", "no such file")
    first, more = document.reasons[0], len(document.reasons) - 1
    said = f"Models not promoted: {first}" + (f" And {more} more reasons, under Compare models." if more else "")
    findings = [{"severity": "info", "message": said}]
    findings += [{"severity": "warning", "message": note} for note in document.notes]
    summary: Summary = {"promoted": document.promoted, "env_file": document.env_file}
    if document.promoted:
        findings[0] = {"severity": "info", "message": f"{document.env_file} now uses model {document.version}"}
        summary |= {"model_version": document.version, "synthetic": document.synthetic}
    changed = [[key, value] for key, value in document.changes.items()]
    tables = [{"title": f"Set in {document.env_file}", "columns": ["key", "value"], "rows": changed}] if changed else []
    return summary | {"findings": findings, "tables": tables}


def follow_env_file(env_file: EnvFile) -> str | None:
    """Let MLflow's `champion` name what an env file names, after a rollback.

    Returns:
        Why it does not, if so.
    """
    values = env_file.read()
    if not model_store.switched_on(values):
        return None
    try:
        model = model_store.find(values.get(model_store.VERSION, ""))
    except GroundtruthError as error:
        return str(error)
    return next(iter(_follow(model.folder, "champion", synthetic=model.synthetic)), None)


def _promote(files: Path, comparison: Comparison, env_file: EnvFile) -> Configuration:
    run = _run_of(files)
    model = model_store.put(files, comparison, run)
    model_store.remember(env_file)
    changes = model_store.switch(model)
    reason = Reason(by=f"{current_user()}, step configure", why="every gate passed", run=run, version=model.version)
    try:
        entry = env_file.update(changes, reason, comparison.env_file) or _entry_of(env_file, model.version)
    except ChangedMeanwhileError as error:
        return _refused(comparison, env_file, [f"The gates were passed against another state: {error}."], [])
    notes = _follow(files, "champion", synthetic=comparison.synthetic)
    try:
        model_store.prune()
    except GroundtruthError as error:
        notes.append(f"No old model was removed: {error}")
    return Configuration(
        promoted=True,
        reasons=comparison.decision.reasons,
        version=model.version,
        env_file=str(env_file.path),
        changes=changes,
        diff=entry.diff if entry else "",
        backup=entry.backup if entry else None,
        entry=entry.id if entry else None,
        synthetic=comparison.synthetic,
        notes=notes,
    )


def _refused(comparison: Comparison, env_file: EnvFile, reasons: list[str], notes: list[str]) -> Configuration:
    return Configuration(
        promoted=False,
        reasons=reasons,
        version=None,
        env_file=str(env_file.path),
        changes={},
        diff="",
        backup=None,
        entry=None,
        synthetic=comparison.synthetic,
        notes=notes,
    )


def _entry_of(env_file: EnvFile, version: str) -> Entry | None:
    """The entry of an earlier attempt, which was killed after it."""
    return next((entry for entry in reversed(env_file.history()) if entry.version == version), None)


def _follow(folder: Path, alias: str, *, synthetic: bool) -> list[str]:
    """Let an alias in MLflow name these models. MLflow is a record and no gate: what it cannot do is a note."""
    from include.satellite.models.tracking import register, set_alias

    notes = []
    for kind, name in REGISTERED.items():
        registered = f"{name}-simulated" if synthetic else name
        try:
            set_alias(registered, alias, register(registered, folder, kind))
        except GroundtruthError as error:
            LOG.warning("%s", error)
            notes.append(f"MLflow's alias {alias} of {registered} does not follow: {error}")
    return notes


def _run_of(files: Path) -> str:
    """`<dag>/<run>` of a run's `files/` folder."""
    run = files.resolve().parent
    return f"{run.parent.name}/{run.name}"


def _signed(percent: float | None) -> str:
    return "unknown" if percent is None else f"{percent:+.1f} %"
