"""All pipelines of this deployment: every definition, bound to the steps of the domains."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from pathlib import Path

from include.core.contracts import Step
from include.core.definitions.document import DefinitionError, Fault
from include.core.definitions.load import load_definitions
from include.core.definitions.model import Definition, service_pool
from include.core.domain import Domain, Pool
from include.core.inbox import INBOX
from include.core.pipeline import Pipeline
from include.core.settings import get_settings
from include.core.windows import IntervalWindow
from include.domains import DOMAINS
from include.schedules import with_schedules

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


def pools() -> list[Pool]:
    """Return the Airflow pools of the deployment: those of the domains, and of services whose tasks are limited."""
    slots: dict[str, int] = {}
    for item in (item for pipeline in _defined()[0] for item in pipeline.steps):
        name, address = item.spec.service, item.spec.address
        if name and address and address.slots:
            slots[name] = min(address.slots, slots.get(name, address.slots))
    limits = [Pool(service_pool(name), count, f"Tasks of the service {name}", True) for name, count in slots.items()]
    return [*(pool for domain in DOMAINS for pool in domain.pools), *limits]


def param_aliases() -> dict[str, str]:
    """Return former names of parameters, and what they are called now."""
    return {former: name for domain in DOMAINS for former, name in domain.param_aliases.items()}


def reserved_names() -> set[str]:
    """Return the names of DAGs and pipelines that no definition may take: those that are wired in `dags/`."""
    wired = [pipeline for domain in DOMAINS for pipeline in domain.pipelines]
    return {MAINTENANCE, INBOX, *(name for pipeline in wired for name in pipeline.names)}


def names_in_use(apart_from: Collection[Path] = ()) -> dict[str, str]:
    """Return the names that a definition may no longer take, and what has each.

    Args:
        apart_from: Definitions, resolved, whose names count as free.
    """
    names = dict.fromkeys(reserved_names(), "a pipeline of this project")
    for pipeline in _defined()[0]:
        definition = pipeline.definition
        if definition.file.resolve() not in apart_from:
            names |= dict.fromkeys((definition.pipeline, definition.dag_id), str(definition.file))
    return names


def take_names(definition: Definition, names: dict[str, str]) -> None:
    """Add the names of a definition to those that are in use.

    Args:
        definition: The one that needs them.
        names: Those in use, each with what has it.

    Raises:
        DefinitionError: One of them is in use.
    """
    own = (definition.pipeline, definition.dag_id)
    if other := next((names[name] for name in own if name in names), None):
        message = f"{definition.workflow_name!r} makes the same pipeline ({definition.pipeline}) as {other}"
        raise DefinitionError(definition.file, [Fault("$.workflow_name", f"{message}; choose another name")])
    names |= dict.fromkeys(own, str(definition.file))


def load_pipelines(folder: Path | None = None) -> tuple[list[Pipeline], list[DefinitionError]]:
    """Return every pipeline whose definition is valid, with those of its schedules, and the faults of the others.

    Args:
        folder: Where the definitions lie; default `GROUNDTRUTH_DEFINITIONS_DIR`.
    """
    groups, errors = _scheduled(folder)
    return [one for group in groups if group[0].definition.file.suffix == ".json" for one in group], errors


def scheduled(pipeline: Pipeline) -> list[Pipeline]:
    """Return a pipeline that a DAG file wires as its schedules state it, and those of its further schedules."""
    return next(group for group in _scheduled()[0] if group[0].definition.dag_id == pipeline.definition.dag_id)


def all_pipelines() -> tuple[list[Pipeline], list[DefinitionError]]:
    """Return every pipeline of this deployment, and the faults of definitions and schedules that cannot be used."""
    groups, errors = _scheduled()
    return [pipeline for group in groups for pipeline in group], errors


def stated_pipelines() -> list[Pipeline]:
    """Return the pipelines as definitions and DAG files state them, without what a deployment schedules."""
    return [*_defined()[0], *_wired()]


def _scheduled(folder: Path | None = None) -> tuple[list[list[Pipeline]], list[DefinitionError]]:
    defined, errors = _defined(folder)
    groups, faults = with_schedules([*defined, *_wired()], folder or get_settings().definitions_dir)
    return groups, [*errors, *faults]


def _wired() -> list[Pipeline]:
    return [pipeline for domain in DOMAINS for pipeline in domain.pipelines]


def _defined(folder: Path | None = None) -> tuple[list[Pipeline], list[DefinitionError]]:
    steps, runtime = registered_steps(), get_settings().runtime
    definitions, errors = load_definitions(folder or get_settings().definitions_dir, steps)
    pipelines = []
    for definition in definitions:
        if runtime == "docker" and (fault := image_fault(definition, steps)):
            errors.append(DefinitionError(definition.file, [fault]))
            continue
        if taken := sorted({definition.pipeline, definition.dag_id} & reserved_names()):
            message = f"{definition.workflow_name!r} is called as a pipeline of this project ({taken[0]})"
            fault = Fault("$.workflow_name", f"{message}, so it would publish in its place; choose another name")
            errors.append(DefinitionError(definition.file, [fault]))
            continue
        own = [steps[spec.id] for spec in definition.steps if spec.id in steps]
        domain = domain_of(own[0]) if own else None
        replaced = any(spec.command for spec in definition.steps if spec.id in steps)
        pipelines.append(
            Pipeline(
                definition,
                steps,
                window=domain.window if domain else IntervalWindow(),
                aliases=param_aliases(),
                complete=domain.complete if domain else None,
                check_files=domain.check_files if domain else None,
                check_inputs=domain.check_inputs if domain and not replaced else None,
                feed_reader=domain.feed_reader if domain else None,
                invents=domain.invents if domain and not replaced else None,
            )
        )
    return pipelines, errors


def image_fault(definition: Definition, steps: Container[str]) -> Fault | None:
    """Return what keeps a definition from running in containers: a step that is none of ours and names no image.

    Args:
        definition: What shall run.
        steps: Ids of our own steps.
    """
    missing = [spec.id for spec in definition.steps if spec.image is None and spec.id not in steps]
    message = f"{', '.join(missing)}: has no image, which the runtime docker needs; add one, or use the runtime local"
    return Fault("$.containers", message) if missing else None


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
