"""Asks about the promotion of models: shows a run's diff and gates, and keeps the answer as a proven step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from include.core.runner import run_step
from include.satellite.pipeline import SATELLITE
from plugins.env_file.approval import Answer
from plugins.steps.context import attempt_of, folder_of

if TYPE_CHECKING:
    from airflow.sdk import Context


def promotion_question(files: Path) -> str | None:
    """What a person is shown; None where the gates refuse already."""
    from include.satellite.registry.promotion import approval_form

    return approval_form(files)


def record_approval(context: Context, answer: Answer) -> None:
    """Write `approval.json` under the contract of the step `approve`."""
    from include.satellite.registry.promotion import write_approval

    folder, each = folder_of(context), SATELLITE["approve"]
    run_step(
        each.step,
        folder,
        attempt_of(context, SATELLITE, each),
        lambda params: write_approval(folder.files, approved=answer.approved, by=answer.by, why=answer.why),
    )
