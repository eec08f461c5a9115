"""The graph of a definition: its steps, the files between them, and the order that follows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import reduce
from graphlib import TopologicalSorter
from operator import getitem
from types import MappingProxyType
from typing import Any

from include.core.contracts import Step
from include.core.definitions.document import Location, ParsedFile
from include.core.definitions.model import LinkedContainer, ListContainer, ListDocument, Service, StepSpec, data_path

Registry = Mapping[str, Step]
"""The contracts of the registered steps, by id."""


@dataclass
class Node:
    """A container of a definition file, in the same form for both formats.

    Args:
        id: The container's id.
        location: Where it stands in the file.
        declared: The container as it is written there.
        service: What holds its image and command, if anything does.
        service_location: Where that stands, or would stand, in the file.
        path: JSON path of the container.
        references: JSON path of each reference to another container, by that one's id.
        reads: JSON path of each file that it reads, by file.
        writes: JSON path of each file that it writes, by file.
        after: JSON path of each statement that it comes after another container, by that one's id.
        optional: Files that the contract of a registered step allows to be missing; may be patterns.
    """

    id: str
    location: Location
    declared: ListContainer | LinkedContainer
    service: ListContainer | Service | None
    service_location: Location
    path: str = ""
    references: dict[str, str] = field(default_factory=dict)
    reads: dict[str, str] = field(default_factory=dict)
    writes: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    @property
    def id_path(self) -> str:
        """The JSON path of the id: a key of the list format, the container's own key in the linked format."""
        return f"{self.path}.id" if isinstance(self.declared, ListContainer) else self.path


def build_nodes(parsed: ParsedFile, registered: Registry) -> list[Node]:
    """Return the containers of a file in its order; a registered step has the files of its contract."""
    document = parsed.document
    if isinstance(document, ListDocument):
        key = "depends_on"
        nodes = [
            Node(container.id, ("containers", index), container, container, ("containers", index))
            for index, container in enumerate(document.containers)
        ]
    else:
        key = "next_node"
        nodes = [
            Node(name, ("containers", name), linked, document.service_registry.get(name), ("service_registry", name))
            for name, linked in document.containers.items()
        ]
    for node in nodes:
        node.path = parsed.path(*node.location)
        node.references = _paths(parsed, node, key)
        step = registered.get(node.id)
        if step is None:
            node.reads, node.writes = _paths(parsed, node, "input_file"), _paths(parsed, node, "output_file")
        else:
            node.reads = {artifact.path: node.path for artifact in step.reads if not artifact.optional}
            node.writes = dict.fromkeys(step.outputs, node.path)
            node.optional = tuple(artifact.path for artifact in step.reads if artifact.optional)
    by_id, by_file = {node.id: node for node in nodes}, writers(nodes)
    for node in nodes:
        node.reads |= {file: node.path for file in node.optional if file in by_file}
        for other, path in node.references.items():
            if key == "depends_on":
                node.after[other] = path
            elif other in by_id:
                by_id[other].after.setdefault(node.id, path)
    return nodes


def _paths(parsed: ParsedFile, node: Node, key: str) -> dict[str, str]:
    """The JSON path of each item of a container's list, by item; the first one of equal items."""
    paths: dict[str, str] = {}
    for index, item in enumerate(getattr(node.declared, key)):
        paths.setdefault(item, parsed.path(*node.location, key, index))
    return paths


def check_paths(parsed: ParsedFile, node: Node) -> list[tuple[str, str]]:
    """Return each file for which a container states checks, with the JSON path of these, in the order of the file."""
    if not node.declared.checks:
        return []
    stated: Mapping[str, Any] = reduce(getitem, (*node.location, "checks"), parsed.content)  # type: ignore[arg-type]
    return [(data_path(key), parsed.path(*node.location, "checks", key)) for key in stated]


def writers(nodes: Sequence[Node]) -> dict[str, Node]:
    """Return the node that writes each file; the first one, where several do."""
    return {file: node for node in reversed(nodes) for file in node.writes}


def dependencies(nodes: list[Node]) -> dict[str, dict[str, str]]:
    """Return, for each id, the ids that come before it, each with the reason in words."""
    ids, by_file = {node.id for node in nodes}, writers(nodes)
    before: dict[str, dict[str, str]] = {}
    for node in nodes:
        reasons = {other: f"{node.id} depends on {other}" for other in node.after if other in ids}
        for file in node.reads:
            writer = by_file.get(file)
            if writer is not None and writer.id != node.id:
                reasons.setdefault(writer.id, f"{node.id} reads {file}, which {writer.id} writes")
        before[node.id] = reasons
    return before


def topological_order(before: Mapping[str, Collection[str]]) -> list[str]:
    """Return ids so that each comes after those before it, otherwise in the given order.

    >>> topological_order({"c": {"b"}, "a": set(), "b": set()})
    ['a', 'b', 'c']

    Args:
        before: The ids before each id.

    Raises:
        graphlib.CycleError: There is no such order.
    """
    sorter, positions = TopologicalSorter(before), {identity: position for position, identity in enumerate(before)}
    sorter.prepare()
    ready, ordered = list[str](), list[str]()
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=positions.__getitem__)
        ordered.append(ready.pop(0))
        sorter.done(ordered[-1])
    return ordered


def specs_of(steps: Iterable[Step], *, timeouts_s: Mapping[str, int] = MappingProxyType({})) -> tuple[StepSpec, ...]:
    """Return the specs of registered steps in the order that follows from their contracts.

    A step depends on the steps that write what it reads; a path with `{index}` stands for one file of each task, and a
    pattern (`folder/*`) for all files that match. Dependencies that others imply are left out.

    Args:
        steps: The contracts of one pipeline; the ids are unique.
        timeouts_s: Time limits by step id, seconds; default: that of `StepSpec`.

    Raises:
        graphlib.CycleError: Steps read each other's files.
    """
    contracts = {step.id: step for step in steps}
    before = {
        reader.id: [writer.id for writer in contracts.values() if writer is not reader and _provides(writer, reader)]
        for reader in contracts.values()
    }
    ordered = topological_order(before)
    ancestors: dict[str, set[str]] = {}
    for identity in ordered:
        ancestors[identity] = set(before[identity]).union(*(ancestors[other] for other in before[identity]))
    specs: list[StepSpec] = []
    for step in map(contracts.__getitem__, ordered):
        implied = set[str]().union(*(ancestors[other] for other in before[step.id]))
        specs.append(
            StepSpec(
                id=step.id,
                name=step.title,
                description=step.description,
                inputs=step.inputs,
                outputs=step.outputs,
                depends_on=tuple(other for other in ordered if other in before[step.id] and other not in implied),
                timeout_seconds=timeouts_s.get(step.id, StepSpec.timeout_seconds),
            )
        )
    return tuple(specs)


def _provides(writer: Step, reader: Step) -> bool:
    """Whether a step writes a file that another reads."""
    files = [path.replace("{index}", "000") for path in writer.outputs]
    patterns = [path.replace("{index}", "000") for path in reader.inputs]
    return any(fnmatchcase(file, pattern) for file in files for pattern in patterns)
