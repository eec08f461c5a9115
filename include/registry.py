"""All pipelines of this deployment: every definition, bound to the contracts of our own steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from include.core.contracts import Step
from include.core.definitions import DefinitionError, load_definitions
from include.core.pipeline import Pipeline
from include.core.settings import get_settings
from include.energy.steps import ENERGY_STEPS
from include.satellite.pipeline import CROP_HEALTH_MAP, SATELLITE

WIRED = (SATELLITE, CROP_HEALTH_MAP)
"""Pipelines whose DAG files wire them by hand, because they map, branch or ask; all others are JSON definitions."""
KNOWN_STEPS: Mapping[str, Step] = {**ENERGY_STEPS}


def load_pipelines(folder: Path | None = None) -> tuple[list[Pipeline], list[DefinitionError]]:
    """Every pipeline whose definition is valid, and the faults of the others.

    Args:
        folder: Where the definitions lie; default `GROUNDTRUTH_DEFINITIONS_DIR`.
    """
    definitions, errors = load_definitions(folder or get_settings().definitions_dir, KNOWN_STEPS)
    return [Pipeline(definition, KNOWN_STEPS) for definition in definitions], errors


def all_pipelines() -> tuple[list[Pipeline], list[DefinitionError]]:
    """Every pipeline of this deployment, and the faults of definitions that are none."""
    defined, errors = load_pipelines()
    return [*defined, *WIRED], errors


def manual_of(pipeline: Pipeline) -> str:
    """What the UI says of a pipeline: the Markdown file beside its definition, else what the definition says."""
    definition = pipeline.definition
    written = definition.file.with_suffix(".md")
    if written.is_file():
        return written.read_text(encoding="utf-8")
    steps = "\n".join(
        f"{n}. **{each.step.title}**: {each.step.description}" for n, each in enumerate(pipeline.steps, 1)
    )
    return f"### {definition.workflow_name}\n\n{definition.description}\n\n{steps}\n"
