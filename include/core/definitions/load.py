"""From definition files to definitions."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from include.core.contracts import Step
from include.core.definitions import graph
from include.core.definitions.checks import container_faults, graph_faults
from include.core.definitions.document import DefinitionError, Fault, read_document
from include.core.definitions.form import read_form
from include.core.definitions.graph import Node
from include.core.definitions.model import Definition, RecordFiles, StepSpec
from include.core.definitions.shapes import LinkedShape, ListShape
from include.core.definitions.specs import Known, Spec, nodes_of, specs_of


def load_definition(path: Path, known: Known) -> Definition:
    """Read a pipeline definition.

    Args:
        path: A JSON file of either shape.
        known: The registered steps by id.

    Raises:
        DefinitionError: With every fault in the file.
    """
    document, faults = read_document(path)
    form = read_form(document)
    specs = list(specs_of(form.shape))
    nodes = nodes_of(document, specs, known)
    faults += [*form.faults, *graph_faults(document, form, nodes), *container_faults(document, form, specs, known)]
    if faults:
        raise DefinitionError(path, list(dict.fromkeys(faults)))
    return _definition(path, form.shape, specs, nodes, known)


def load_definitions(folder: Path, known: Known) -> tuple[list[Definition], list[DefinitionError]]:
    """Read every `*.json` of a folder, by name; a bad file never takes a good one down.

    Args:
        folder: With pipeline definitions.
        known: The registered steps by id.

    Returns:
        The good ones, and one error for each bad file.
    """
    if not folder.is_dir():
        return [], [DefinitionError(folder, [Fault("$", "there is no such folder")])]
    good: dict[str, tuple[Path, Definition]] = {}
    bad: list[DefinitionError] = []
    for path in sorted(folder.glob("*.json")):
        try:
            definition = load_definition(path, known)
        except DefinitionError as error:
            bad.append(error)
            continue
        other, _ = good.setdefault(definition.pipeline, (path, definition))
        if other != path:
            message = f"{definition.workflow_name!r} makes the same pipeline ({definition.pipeline}) as {other.name}"
            bad.append(DefinitionError(path, [Fault("$.workflow_name", f"{message}; choose another name")]))
    return [definition for _, definition in good.values()], bad


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a definition file, for editors."""
    schema = TypeAdapter(ListShape | LinkedShape).json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Groundtruth pipeline definition",
        "description": "A pipeline of containers that work on one folder, /data. One file makes one DAG.",
        **schema,
    }


def _definition(
    path: Path, shape: ListShape | LinkedShape, specs: list[Spec], nodes: list[Node], known: Known
) -> Definition:
    before = {identity: set(reasons) for identity, reasons in graph.edges(nodes).items()}
    ordered = graph.order(nodes, before)
    if shape.execution_mode == "sequential":
        for first, second in pairwise(ordered):
            before[second].add(first)
    by_id = {spec.id: (spec, node) for spec, node in zip(specs, nodes, strict=True)}
    steps = [
        _spec(*by_id[identity], tuple(other for other in ordered if other in before[identity]), known.get(identity))
        for identity in ordered
    ]
    return Definition(
        workflow_name=shape.workflow_name,
        description=shape.description,
        schedule=shape.schedule,
        execution_mode=shape.execution_mode,
        sources=tuple(dict.fromkeys(shape.sources)),
        publish=tuple(dict.fromkeys(shape.publish)),
        steps=tuple(steps),
        file=path,
        deadline_minutes=shape.deadline_minutes,
    )


def _spec(spec: Spec, node: Node, depends_on: tuple[str, ...], step: Step | None) -> StepSpec:
    shape, service = spec.shape, spec.service
    return StepSpec(
        id=spec.id,
        name=shape.name or (step.title if step else spec.id),
        description=shape.description or (step.description if step else ""),
        image=service.image if service else None,
        command=tuple(service.command) if service and service.command else None,
        inputs=tuple(node.reads),
        outputs=tuple(node.writes),
        depends_on=depends_on,
        timeout_seconds=shape.timeout_seconds,
        memory_mb=shape.memory_mb,
        cpus=shape.cpus,
        records=RecordFiles(**shape.records.model_dump()) if shape.records else None,
    )
