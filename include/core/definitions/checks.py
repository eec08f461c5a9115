"""Every check of a definition that needs more than its form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from include.core.contracts import Step
from include.core.definitions import graph
from include.core.definitions.document import Fault, json_path
from include.core.definitions.form import NAME_RULE, Form
from include.core.definitions.graph import Node
from include.core.definitions.shapes import ID, LinkedShape
from include.core.definitions.specs import Known, Spec


def graph_faults(document: Mapping[str, Any], form: Form, nodes: list[Node]) -> Iterator[Fault]:
    """What is wrong with how the containers fit together."""
    shape, files_known = form.shape, not form.lacks("id", "containers", "input_file", "output_file")
    if not nodes and not form.lacks("containers"):
        yield Fault("$.containers", "holds no container; add one")
    yield from graph.check_ids(nodes)
    yield from graph.check_writers(nodes)
    yield from graph.check_cycles(nodes)
    if not form.lacks("id", "containers"):
        yield from graph.check_references(nodes)
    if files_known and not form.lacks("sources"):
        sources = {name: json_path(document, ("sources", index)) for index, name in enumerate(shape.sources)}
        yield from graph.check_readers(nodes, sources)
    if files_known:
        for index, file in enumerate(shape.publish):
            if file not in graph.writers(nodes):
                yield Fault(json_path(document, ("publish", index)), f"no container writes {file}; publish an output")
    if isinstance(shape, LinkedShape):
        yield from _linked_faults(document, form, shape, nodes)


def _linked_faults(document: Mapping[str, Any], form: Form, shape: LinkedShape, nodes: list[Node]) -> Iterator[Fault]:
    """What only the linked shape can get wrong: ids as keys, what follows, and what runs each."""
    ids = list(shape.containers)
    for identity, container in shape.containers.items():
        if not re.fullmatch(ID, identity):
            yield Fault(json_path(document, ("containers", identity)), f"the id {NAME_RULE}")
        for index, other in enumerate(container.next_node):
            if other not in ids:
                yield graph.unknown_id(json_path(document, ("containers", identity, "next_node", index)), other, ids)
    for identity in shape.service_registry:
        if identity not in ids:
            yield graph.unknown_id(json_path(document, ("service_registry", identity)), identity, ids)
    if nodes and not form.lacks("containers", "start_node", "next_node", "input_file", "output_file"):
        yield from graph.check_reachable(nodes, shape.start_node, "$.start_node")


def container_faults(document: Mapping[str, Any], form: Form, specs: list[Spec], known: Known) -> Iterator[Fault]:
    """What is wrong with a single container."""
    for spec in specs:
        if spec.id in known:
            yield from _registered_faults(document, spec, known[spec.id])
        elif spec.loc not in form.lost and (*spec.loc, "id") not in form.lost:
            yield from _foreign_faults(document, form, spec)


def _registered_faults(document: Mapping[str, Any], spec: Spec, step: Step) -> Iterator[Fault]:
    """A registered step's files stand in its contract; declaring other ones would mean nothing."""
    contract = {"input_file": [artifact.path for artifact in step.reads], "output_file": [a.path for a in step.writes]}
    for field, files in contract.items():
        for index, file in enumerate(getattr(spec.shape, field)):
            if not any(fnmatchcase(file, pattern) for pattern in files):
                there = f"that names {', '.join(files)}" if files else "that names none"
                path = json_path(document, (*spec.loc, field, index))
                yield Fault(path, f"{file} is not in the contract of the step {spec.id!r}, {there}; leave this key out")
    if spec.shape.records:
        path = json_path(document, (*spec.loc, "records"))
        yield Fault(path, f"the step {spec.id!r} brings its own record accounting; leave this key out")


def _foreign_faults(document: Mapping[str, Any], form: Form, spec: Spec) -> Iterator[Fault]:
    """A container that is no registered step says what runs it, and writes something that can be checked."""
    lost = {loc[-1] for loc in form.lost if loc[:-1] == spec.loc} | {loc[0] for loc in form.lost}
    if lost.isdisjoint({"image", "command", "service_registry"}):
        for field in ("image", "command"):
            if getattr(spec.service, field, None) is None:
                path = json_path(document, spec.service_loc)
                yield Fault(path, f"{spec.id!r} is no registered step, so it needs {_AN[field]}; add {field!r}")
    if not spec.shape.output_file and "output_file" not in lost:
        path = json_path(document, spec.loc)
        yield Fault(path, f"{spec.id!r} declares no output_file, so its work could not be checked; add one")
    if spec.shape.records and lost.isdisjoint({"input_file", "output_file"}):
        rules = (("read", spec.shape.input_file), ("accepted", spec.shape.output_file))
        for field, files in (*rules, ("rejected", spec.shape.output_file)):
            file = getattr(spec.shape.records, field)
            path = json_path(document, (*spec.loc, "records", field))
            if file is not None and file not in files:
                yield Fault(path, f"{file} is not among its {_FILES[field]}; count a file that it declares there")
            if file is not None and not file.lower().endswith(".csv"):
                yield Fault(path, f"{file} is no .csv file, and only the records of those can be counted")


_AN = {"image": "an image", "command": "a command"}
_FILES = {"read": "input_file", "accepted": "output_file", "rejected": "output_file"}
