"""Loading definitions from files, and the JSON schema of such a file."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from include.core.definitions.checks import graph_faults, step_faults
from include.core.definitions.document import DefinitionError, Fault, read_file
from include.core.definitions.functions import read_functions
from include.core.definitions.graph import Node, Registry, build_nodes, dependencies, topological_order
from include.core.definitions.model import (
    EXECUTOR_TIMEOUT_SECONDS,
    Definition,
    LinkedDocument,
    ListDocument,
    PipelineDocument,
    StepSpec,
    service_pool,
)
from include.core.definitions.outputs import declared_outputs, read_schemas

SCHEDULES_FILE = "schedules.json"
"""A file of this name is no definition: it gives pipelines their schedules (`include.core.definitions.schedules`)."""


def load_definition(path: Path, registered: Registry) -> Definition:
    """Load a pipeline definition.

    Args:
        path: A JSON file of either format.
        registered: The contracts of the registered steps, by id.

    Raises:
        DefinitionError: Names every fault in the file.
    """
    parsed = read_file(path)
    nodes = build_nodes(parsed, registered)
    schemas, unusable = read_schemas(path.parent, parsed, nodes)
    sources, missing = read_functions(path.parent, parsed, nodes)
    faults = [
        *parsed.faults,
        *graph_faults(parsed, nodes),
        *step_faults(parsed, nodes, registered),
        *unusable,
        *missing,
    ]
    if faults:
        raise DefinitionError(path, list(dict.fromkeys(faults)))
    document = parsed.document
    return Definition(
        workflow_name=document.workflow_name,
        description=document.description,
        steps=_specs(nodes, registered, document, schemas, sources),
        file=path,
        schedule=document.schedule if document.enabled else None,
        timezone=document.timezone,
        triggers=tuple(dict.fromkeys(document.triggers)) if document.enabled else (),
        schedules=tuple(document.schedules),
        execution_mode=document.execution_mode,
        sources=tuple(dict.fromkeys(document.sources)),
        publish=tuple(dict.fromkeys(document.publish)),
        deadline_minutes=document.deadline_minutes,
    )


def load_definitions(folder: Path, registered: Registry) -> tuple[list[Definition], list[DefinitionError]]:
    """Load every `*.json` of a folder, by name; a faulty file never affects a valid one.

    Of two that make the same pipeline, the one whose file is named as the pipeline counts.

    Args:
        folder: The folder with the definition files.
        registered: The contracts of the registered steps, by id.

    Returns:
        The valid definitions, and one error for each faulty file.
    """
    if not folder.is_dir():
        return [], [DefinitionError(folder, [Fault("$", "there is no such folder")])]
    valid: list[Definition] = []
    errors: list[DefinitionError] = []
    for path in sorted(folder.glob("*.json")):
        if path.name == SCHEDULES_FILE:
            continue
        try:
            valid.append(load_definition(path, registered))
        except DefinitionError as error:
            errors.append(error)
    loaded: dict[str, Definition] = {}
    for definition in sorted(valid, key=lambda one: one.file.stem.replace("-", "_") != one.dag_id):
        other = loaded.setdefault(definition.pipeline, definition)
        if other is not definition:
            message = (
                f"{definition.workflow_name!r} makes the same pipeline ({definition.pipeline}) as {other.file.name}"
            )
            fault = Fault("$.workflow_name", f"{message}; choose another name")
            errors.append(DefinitionError(definition.file, [fault]))
    return sorted(loaded.values(), key=lambda one: one.file), errors


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a definition file, for editors."""
    schema = TypeAdapter(ListDocument | LinkedDocument).json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Groundtruth pipeline definition",
        "description": "A pipeline of containers that work on one folder, /data. One file makes one DAG.",
        **schema,
    }


def _specs(
    nodes: list[Node],
    registered: Registry,
    document: PipelineDocument,
    schemas: Mapping[str, str],
    sources: Mapping[str, str],
) -> tuple[StepSpec, ...]:
    """Return the steps in topological order; in sequential execution, each depends on the previous one too."""
    before = {name: set(reasons) for name, reasons in dependencies(nodes).items()}
    ordered = topological_order(before)
    if document.execution_mode == "sequential":
        for first, second in pairwise(ordered):
            before[second].add(first)
    specs = []
    for node in sorted(nodes, key=lambda node: ordered.index(node.id)):
        declared, service, step = node.declared, node.service, registered.get(node.id)
        function = service.function if service else None
        served, address = document.service_of(node.id, declared) or (None, None)
        executor = address is not None and address.protocol == "container-executor"
        timeout = declared.timeout_seconds
        if executor and "timeout_seconds" not in declared.model_fields_set:
            timeout = EXECUTOR_TIMEOUT_SECONDS
        specs.append(
            StepSpec(
                id=node.id,
                name=declared.name or (step.title if step else node.id),
                description=declared.description or (step.description if step else ""),
                image=service.image if service else None,
                command=tuple(service.command) if service and service.command else None,
                inputs=tuple(node.reads),
                outputs=tuple(node.writes),
                depends_on=tuple(other for other in ordered if other in before[node.id]),
                timeout_seconds=timeout,
                memory_mb=declared.memory_mb,
                cpus=declared.cpus,
                function=function,
                source=sources.get(function or "", ""),
                environment=declared.environment,
                secrets=declared.secrets,
                network=declared.network,
                retries=declared.retries,
                pool=declared.pool or (service_pool(served) if served and address and address.slots else None),
                params=document.params,
                service=served,
                address=address,
                priority=declared.priority,
                passed=(next(iter(declared.input_file), None), declared.output_file[0]) if executor else None,
                parameters=declared.parameters,
                records=declared.records,
                declared=declared_outputs(declared, schemas),
            )
        )
    return tuple(specs)
