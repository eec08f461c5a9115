"""The steps `approve_crops` and `configure_crops`: the crop classifier is stored and enabled, if every gate agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.core.settings import get_settings
from include.env_file import EnvFile
from include.satellite.artifacts import (
    APPROVAL,
    CONFIGURATION,
    CROP_DECIDES,
)
from include.satellite.crops.comparison import recompute_crop_comparison
from include.satellite.crops.params import CropConfigureParams, CropVerifyParams
from include.satellite.crops.schemas import CropComparison
from include.satellite.crops.verification import recompute_crop_verification
from include.satellite.registry import store
from include.satellite.registry.promotion import (
    evidence_of,
    promote,
    refusals,
    set_crop_alias,
)
from include.satellite.registry.tries import crop_tries_note, run_of
from include.satellite.schemas import REAL, Configuration, title_of


def configure_crops(files: Path, params: CropConfigureParams) -> None:
    """Write `configuration.json`: promoted, or why not. A refusal is a result, not a failure.

    Args:
        files: The run's `files/` folder, with all that the decision is derived from, and the approval where one is
            required.
        params: Of the run.

    Raises:
        BadInputError: The env file cannot be parsed.
        ContractError: A file is missing or damaged, or states something else than follows from the others.
        SetupError: The store or the env file cannot be written.
        TransientError: Other processes keep changing the env file.
    """
    comparison, env_file = decided_crops(files, params), EnvFile(get_settings().env_file)
    approval = APPROVAL.find(files) if params.require_approval else None
    reasons = refusals(comparison, approval, crop_evidence(files) if params.require_approval else None)
    result: dict[str, Any] = {"promoted": False, "reasons": reasons}
    if reasons:
        result["notes"] = set_crop_alias(files, "challenger", synthetic=comparison.synthetic)
    else:
        model = store.put(files, comparison, run_of(files))
        changes, why = store.crop_env_changes(model), "crops: every gate passed"
        result = promote(model, env_file, changes, comparison.env_file, step="configure_crops", why=why)
        if result["promoted"]:
            notes = set_crop_alias(files, "champion", synthetic=comparison.synthetic)
            result |= {"reasons": comparison.decision.reasons, "notes": [*notes, *result["notes"]]}
    if (note := crop_tries_note(files)) is not None:
        result["notes"] = [*result.get("notes", []), note]
    CONFIGURATION.write(files, Configuration(env_file=str(env_file.path), synthetic=comparison.synthetic, **result))


def decided_crops(files: Path, params: CropConfigureParams) -> CropComparison:
    """Return the comparison with its decision, recomputed from predictions that were trained again.

    Raises:
        ContractError: One states something else than follows from the others.
    """
    verify = CropVerifyParams(**params.model_dump(include=set(CropVerifyParams.model_fields)))
    recompute_crop_verification(files, verify)
    return recompute_crop_comparison(files, params)


def crop_evidence(files: Path) -> str:
    """Return the SHA-256 of all that the question to a reviewer rests on."""
    return evidence_of(files, CROP_DECIDES)


def crop_approval_form(files: Path, params: CropConfigureParams) -> str | None:
    """Return the question that a reviewer is asked (Markdown); None if the gates, computed again, refuse already."""
    comparison, env_file = decided_crops(files, params), EnvFile(get_settings().env_file)
    if not comparison.decision.promote:
        return None
    changes = store.crop_env_changes(store.plan(files, comparison, run_of(files)))
    diff = env_file.diff(changes) or "(nothing: it has these values already)"
    own = comparison.models[REAL]
    parts = (
        f"The crop classifier of run `{run_of(files)}` passed every gate. If you approve, `{env_file.path}` changes:",
        f"```diff\n{diff}\n```",
        f"{title_of(comparison.model).capitalize()}, {len(comparison.crops)} crops, {comparison.fields:,} held-out "
        f"fields: balanced accuracy {own.balanced_accuracy:.3f}.",
        "\n".join(f"- {gate.sentence}" for gate in comparison.decision.gates),
        "\n".join(f"- {note}" for note in (*comparison.notes, crop_tries_note(files)) if note),
    )
    return "\n\n".join(parts)
