"""A definition's graph: who reads what whom wrote, what is wrong with it, and the order that follows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import PurePosixPath

from include.core.definitions.document import Fault

SOURCE = "source/"
RESERVED = ("prepare", "publish", "report")


@dataclass
class Node:
    """A container with what it touches; every value is the JSON path of where that is said.

    Args:
        id: The container's id.
        path: Of the container itself.
        id_path: Of its id.
        reads: By file.
        writes: By file.
        after: By id of a container that must come before.
        accepts: Files that it reads if they are there, as patterns (of a registered step's contract).
    """

    id: str
    path: str
    id_path: str
    reads: dict[str, str] = field(default_factory=dict)
    writes: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    accepts: tuple[str, ...] = ()


def writers(nodes: Iterable[Node]) -> dict[str, Node]:
    """Who writes each file; the first, where two do."""
    found: dict[str, Node] = {}
    for node in nodes:
        for file in node.writes:
            found.setdefault(file, node)
    return found


def edges(nodes: list[Node]) -> dict[str, dict[str, str]]:
    """For each id the ids that come before it, each with the reason in words."""
    ids, by_file = {node.id for node in nodes}, writers(nodes)
    before: dict[str, dict[str, str]] = {}
    for node in nodes:
        reasons = {other: f"{node.id} is to follow {other}" for other in node.after if other in ids}
        for file in node.reads:
            writer = by_file.get(file)
            if writer is not None and writer.id != node.id:
                reasons.setdefault(writer.id, f"{node.id} reads {file} of {writer.id}")
        before[node.id] = reasons
    return before


def order(nodes: list[Node], before: Mapping[str, Iterable[str]]) -> list[str]:
    """Ids so that each comes after those before it, otherwise as in the file.

    Args:
        nodes: Without a cycle.
        before: For each id the ids before it.
    """
    waiting, ordered = [node.id for node in nodes], list[str]()
    while waiting:
        ready = next(identity for identity in waiting if set(before[identity]) <= set(ordered))
        waiting.remove(ready)
        ordered.append(ready)
    return ordered


def check_ids(nodes: list[Node]) -> Iterator[Fault]:
    """Ids are one's own."""
    first: dict[str, Node] = {}
    for node in nodes:
        if node.id in RESERVED:
            yield Fault(node.id_path, f"the id {node.id!r} is taken by a task that every pipeline has; choose another")
        twin = first.setdefault(node.id.casefold(), node)
        if twin is not node:
            also = "" if twin.id == node.id else " (upper and lower case name the same folder on some machines)"
            yield Fault(node.id_path, f"the id {node.id!r} is already that of {twin.path}{also}; choose another")


def check_references(nodes: list[Node]) -> Iterator[Fault]:
    """Whoever is named exists."""
    ids = [node.id for node in nodes]
    for node in nodes:
        for other, path in node.after.items():
            if other not in ids:
                yield unknown_id(path, other, ids)


def unknown_id(path: str, name: str, ids: Iterable[str]) -> Fault:
    """A reference to a container that does not exist."""
    near = difflib.get_close_matches(name, ids := list(ids), n=1)
    mend = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(ids) or 'none'}"
    return Fault(path, f"no container has the id {name!r}; {mend}")


def check_writers(nodes: list[Node]) -> Iterator[Fault]:
    """Each file has one writer, who does not read it, and is no folder of another file."""
    by_file = writers(nodes)
    for node in nodes:
        for file, path in node.writes.items():
            writer = by_file[file]
            if writer is not node:
                yield Fault(path, f"{file} is already written by {writer.id!r}; give one of them another name")
            if file in node.reads:
                yield Fault(path, f"{node.id!r} reads its own output {file}; write to another file")
            if file.startswith(SOURCE):
                yield Fault(path, f"{file}: source/ is for what a run hands in; write to another folder")
            for folder in PurePosixPath(file).parents:
                if str(folder) in by_file:
                    yield Fault(path, f"{file} needs a folder where {str(folder)!r} is a file; rename one of them")


def check_readers(nodes: list[Node], sources: Mapping[str, str]) -> Iterator[Fault]:
    """Each input has a provider, and each source a reader.

    Args:
        nodes: The containers.
        sources: Names of the files that a run hands in, with the JSON path of each.
    """
    by_file = writers(nodes)
    handed_in = {SOURCE + name for name in sources}
    for node in nodes:
        for file, path in node.reads.items():
            if file in by_file or file in handed_in:
                continue
            if file.startswith(SOURCE):
                mend = f"add {file.removeprefix(SOURCE)!r} to $.sources"
            else:
                near = difflib.get_close_matches(file, by_file, n=1)
                mend = f"did you mean {near[0]!r}?" if near else "let a container write it, or hand it in as a source"
            yield Fault(path, f"no container writes {file} and no source provides it; {mend}")
    for name, path in sources.items():
        file = SOURCE + name
        if not any(file in node.reads or any(fnmatchcase(file, glob) for glob in node.accepts) for node in nodes):
            yield Fault(path, f"no container reads {file}; read it or take it out")


def check_cycles(nodes: list[Node]) -> Iterator[Fault]:
    """No container waits for itself; each cycle is reported once, with what makes it."""
    before = edges(nodes)
    for node in nodes:
        if node.id in node.after:
            yield Fault(node.after[node.id], f"{node.id!r} is to follow itself; take it out")
            before[node.id].pop(node.id, None)
    while True:
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]
            start = min((node for node in nodes if node.id in cycle), key=nodes.index)
            turn = cycle.index(start.id)
            cycle = [*cycle[turn:-1], *cycle[:turn], start.id]
            why = "; ".join(before[after][first] for first, after in pairwise(cycle))
            yield Fault(
                start.path, f"the containers wait for each other: {' → '.join(cycle)} ({why}); remove one of these"
            )
            for first, after in pairwise(cycle):
                before[after].pop(first)
        else:
            return


def check_reachable(nodes: list[Node], start: str, path: str) -> Iterator[Fault]:
    """From `start` every container is reached, by what comes next or by who reads whose files."""
    if start not in {node.id for node in nodes}:
        yield unknown_id(path, start, [node.id for node in nodes])
        return
    before, reached = edges(nodes), {start}
    while more := {identity for identity, others in before.items() if reached & set(others)} - reached:
        reached |= more
    for node in nodes:
        if node.id not in reached:
            yield Fault(node.path, f"is not reached from start_node {start!r}; name it in some next_node, or remove it")
