"""All pipelines of this deployment: every definition, bound to the steps of the domains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from include.core.contracts import Step
from include.core.definitions.document import DefinitionError, Fault
from include.core.definitions.load import load_definitions
from include.core.domain import Domain
from include.core.inbox import INBOX
from include.core.pipeline import Pipeline
from include.core.settings import get_settings
from include.core.windows import IntervalWindow
from include.domains import DOMAINS

MAINTENANCE = "maintenance"
"""The DAG that removes old runs and leftovers."""


def registered_steps() -> Mapping[str, Step]:
    """Return the steps that a definition may name: those of every domain that no DAG file wires."""
    wired = {name for domain in DOMAINS for pipeline in domain.pipelines for name in pipeline.contracts}
    return {name: step for domain in DOMAINS for name, step in domain.steps.items() if name not in wired}


def domain_of(step: Step) -> Domain:
    """Return the domain of one of our own steps."""
    return next(domain for domain in DOMAINS if domain.name == step.domain)


def domain_of_pipeline(pipeline: Pipeline) -> Domain | None:
    """Return the domain of a pipeline: that of its first own step; None for a pipeline of foreign steps alone."""
    own = [item.step for item in pipeline.steps if item.step.id in pipeline.contracts]
    return next((domain for domain in DOMAINS for step in own[:1] if step.id in domain.steps), None)


def param_aliases() -> dict[str, str]:
    """Return former names of parameters, and what they are called now."""
    return {former: name for domain in DOMAINS for former, name in domain.param_aliases.items()}


def reserved_names() -> set[str]:
    """Return the names of DAGs and pipelines that no definition may take: those that are wired in `dags/`."""
    wired = [pipeline for domain in DOMAINS for pipeline in domain.pipelines]
    return {MAINTENANCE, INBOX, *(name for pipeline in wired for name in pipeline.names)}


def load_pipelines(folder: Path | None = None) -> tuple[list[Pipeline], list[DefinitionError]]:
    """Return every pipeline whose definition is valid, and the faults of the others.

    Args:
        folder: Where the definitions lie; default `GROUNDTRUTH_DEFINITIONS_DIR`.
    """
    steps = registered_steps()
    definitions, errors = load_definitions(folder or get_settings().definitions_dir, steps)
    pipelines = []
    for definition in definitions:
        if taken := sorted({definition.pipeline, definition.dag_id} & reserved_names()):
            message = f"{definition.workflow_name!r} is called as a pipeline of this project ({taken[0]})"
            fault = Fault("$.workflow_name", f"{message}, so it would publish in its place; choose another name")
            errors.append(DefinitionError(definition.file, [fault]))
            continue
        own = [steps[spec.id] for spec in definition.steps if spec.id in steps]
        domain = domain_of(own[0]) if own else None
        pipelines.append(
            Pipeline(
                definition,
                steps,
                window=domain.window if domain else IntervalWindow(),
                aliases=param_aliases(),
                complete=domain.complete if domain else None,
                check_files=domain.check_files if domain else None,
                feed_reader=domain.feed_reader if domain else None,
            )
        )
    return pipelines, errors


def all_pipelines() -> tuple[list[Pipeline], list[DefinitionError]]:
    """Return every pipeline of this deployment, and the faults of definitions that cannot be used."""
    defined, errors = load_pipelines()
    return [*defined, *(pipeline for domain in DOMAINS for pipeline in domain.pipelines)], errors


def manual_of(pipeline: Pipeline) -> str:
    """Return what the UI shows of a pipeline: the Markdown file beside its definition, else the definition in words."""
    definition = pipeline.definition
    written = definition.file.with_suffix(".md")
    if written.is_file():
        return written.read_text(encoding="utf-8")
    steps = "\n".join(
        f"{number}. **{item.step.title}**: {item.step.description}" for number, item in enumerate(pipeline.steps, 1)
    )
    return f"### {definition.workflow_name}\n\n{definition.description}\n\n{steps}\n"
