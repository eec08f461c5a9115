"""Containers as both shapes say them, and as the graph needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from include.core.contracts import Step
from include.core.definitions import graph
from include.core.definitions.document import json_path
from include.core.definitions.form import Loc
from include.core.definitions.graph import Node
from include.core.definitions.shapes import LinkedContainer, LinkedShape, ListContainer, ListShape, Service

Known = Mapping[str, Step]


@dataclass(frozen=True)
class Spec:
    """A container of either shape, with its place in the document and where its image and command are said."""

    id: str
    loc: Loc
    shape: ListContainer | LinkedContainer
    service: ListContainer | Service | None
    service_loc: Loc


def specs_of(shape: ListShape | LinkedShape) -> Iterator[Spec]:
    """The containers in the order of the file."""
    if isinstance(shape, ListShape):
        for index, container in enumerate(shape.containers):
            loc: Loc = ("containers", index)
            yield Spec(container.id, loc, container, container, loc)
    else:
        for identity, linked in shape.containers.items():
            service = shape.service_registry.get(identity)
            yield Spec(identity, ("containers", identity), linked, service, ("service_registry", identity))


def nodes_of(document: Mapping[str, Any], specs: list[Spec], known: Known) -> list[Node]:
    """The graph's nodes, in the order of the file."""
    nodes = [_node(document, spec, known.get(spec.id)) for spec in specs]
    by_id = {node.id: node for node in nodes}
    for spec, node in zip(specs, nodes, strict=True):
        if isinstance(spec.shape, ListContainer):
            for index, other in enumerate(spec.shape.depends_on):
                node.after.setdefault(other, json_path(document, (*spec.loc, "depends_on", index)))
        else:
            for index, other in enumerate(spec.shape.next_node):
                if other in by_id:
                    by_id[other].after.setdefault(spec.id, json_path(document, (*spec.loc, "next_node", index)))
    written = graph.writers(nodes)
    for node in nodes:
        node.reads |= {file: node.path for file in node.accepts if file in written and file not in node.reads}
    return nodes


def _node(document: Mapping[str, Any], spec: Spec, step: Step | None) -> Node:
    """A container's files: those of the contract if it is a registered step, otherwise those that it declares."""
    path = json_path(document, spec.loc)
    node = Node(spec.id, path, f"{path}.id" if isinstance(spec.shape, ListContainer) else path)
    if step is not None:
        node.reads = {artifact.path: node.path for artifact in step.reads if not artifact.optional}
        node.accepts = tuple(artifact.path for artifact in step.reads if artifact.optional)
        node.writes = {artifact.path: node.path for artifact in step.writes}
        return node
    for index, file in enumerate(spec.shape.input_file):
        node.reads.setdefault(file, json_path(document, (*spec.loc, "input_file", index)))
    for index, file in enumerate(spec.shape.output_file):
        node.writes.setdefault(file, json_path(document, (*spec.loc, "output_file", index)))
    return node
