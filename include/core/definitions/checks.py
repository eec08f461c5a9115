"""The checks of a definition beyond its format: the graph, and what each step must declare."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import PurePosixPath

from include.core.contracts import Step
from include.core.definitions.document import NAME_RULE, Fault, ParsedFile, suggestion
from include.core.definitions.graph import Node, Registry, check_paths, dependencies, writers
from include.core.definitions.model import ID, LinkedDocument, OutputChecks, ServiceAddress
from include.core.formats import FORMATS, format_of
from include.core.run_folder import PUBLICATION
from include.core.tables import table_format

SOURCE = "source/"
RESERVED_IDS = ("prepare", "publish", "report")


def graph_faults(parsed: ParsedFile, nodes: list[Node]) -> Iterator[Fault]:
    """Yield the faults in how the containers fit together; skip checks of what was removed as invalid."""
    document, files_complete = parsed.document, parsed.is_complete("id", "containers", "input_file", "output_file")
    by_file = writers(nodes)
    if not nodes and parsed.is_complete("containers"):
        yield Fault("$.containers", "has no containers; add one")
    yield from _id_faults(nodes)
    yield from _writer_faults(nodes, by_file)
    yield from _cycle_faults(nodes)
    if isinstance(document, LinkedDocument) or parsed.is_complete("id", "containers"):
        yield from _reference_faults(nodes)
    if files_complete and parsed.is_complete("sources"):
        sources = {SOURCE + name: parsed.path("sources", index) for index, name in enumerate(document.sources)}
        yield from _reader_faults(nodes, by_file, sources)
    if files_complete:
        for index, file in enumerate(document.publish):
            if file not in by_file:
                yield Fault(parsed.path("publish", index), f"no container writes {file}; publish an output file")
            elif file.casefold() == PUBLICATION:
                message = f"{file}: the name is reserved for what states whose results are published; rename the file"
                yield Fault(parsed.path("publish", index), message)
    yield from _service_faults(parsed, nodes)
    if isinstance(document, LinkedDocument):
        yield from _linked_faults(parsed, document, nodes)
    yield from _schedule_faults(parsed)


def _schedule_faults(parsed: ParsedFile) -> Iterator[Fault]:
    """What starts runs is stated once, and nothing is stated that would do nothing."""
    document = parsed.document
    if document.schedule and document.triggers:
        yield Fault(parsed.path("triggers"), "goes with no schedule; remove triggers or schedule")
    if "timezone" in parsed.content and not document.schedule and not document.schedules:
        yield Fault(parsed.path("timezone"), "would do nothing without a schedule; add one, or remove this key")
    names = [schedule.name for schedule in document.schedules]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Fault(
                parsed.path("schedules", index, "name"), f"{name} is the name of an earlier schedule; rename it"
            )


def step_faults(parsed: ParsedFile, nodes: list[Node], registered: Registry) -> Iterator[Fault]:
    """Yield the faults of single containers: against a registered step's contract, or in what others must declare."""
    declared = parsed.document.params
    if declared and nodes and all(node.id in registered for node in nodes):
        yield Fault("$.params", "no container takes them: all are registered steps; remove this key")
    for node in nodes:
        if node.id in registered:
            yield from _registered_faults(parsed, node, registered[node.id])
            for name in sorted(declared.keys() & registered[node.id].params.model_fields.keys()):
                message = f"the step {node.id!r} has a parameter of this name; choose another"
                yield Fault(parsed.path("params", name), message)
        elif node.location not in parsed.removed and (*node.location, "id") not in parsed.removed:
            yield from _unregistered_faults(parsed, node)


def _id_faults(nodes: list[Node]) -> Iterator[Fault]:
    """Ids are unique and not reserved."""
    first: dict[str, Node] = {}
    for node in nodes:
        if node.id in RESERVED_IDS:
            message = f"the id {node.id!r} is reserved for a task that every pipeline has; choose another"
            yield Fault(node.id_path, message)
        twin = first.setdefault(node.id.casefold(), node)
        if twin is not node:
            why = "" if twin.id == node.id else " (some file systems ignore upper and lower case)"
            yield Fault(node.id_path, f"the id {node.id!r} is already used by {twin.path}{why}; choose another")


def _writer_faults(nodes: list[Node], by_file: Mapping[str, Node]) -> Iterator[Fault]:
    """Each file has one writer, which does not read it, and is not also a folder of another file."""
    alike: dict[str, str] = {}
    for node in nodes:
        for file, path in node.writes.items():
            twin = alike.setdefault(unicodedata.normalize("NFC", file).casefold(), file)
            if twin != file:
                why = "some file systems ignore upper and lower case, and how letters are composed"
                yield Fault(path, f"{file} may be the same file as {twin} ({why}); rename one of them")
            if by_file[file] is not node:
                yield Fault(path, f"{file} is already written by {by_file[file].id!r}; rename one of the two files")
            if file in node.reads:
                yield Fault(path, f"{node.id!r} reads its own output {file}; write to another file")
            if file.startswith(SOURCE):
                yield Fault(path, f"{file}: source/ is reserved for the input files of a run; write to another folder")
            for folder in PurePosixPath(file).parents:
                if str(folder) in by_file:
                    yield Fault(path, f"{file} needs a folder where {str(folder)!r} is a file; rename one of them")


def _cycle_faults(nodes: list[Node]) -> Iterator[Fault]:
    """No container depends on itself; each cycle is reported once, with its reasons."""
    before = dependencies(nodes)
    for node in nodes:
        if node.id in node.after:
            yield Fault(node.after[node.id], f"{node.id!r} depends on itself; remove this reference")
            before[node.id].pop(node.id, None)
    while True:
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]
            start = next(node for node in nodes if node.id in cycle)
            turn = cycle.index(start.id)
            cycle = [*cycle[turn:-1], *cycle[:turn], start.id]
            reasons = "; ".join(before[after][first] for first, after in pairwise(cycle))
            message = f"the containers form a cycle: {' → '.join(cycle)} ({reasons}); remove one of these dependencies"
            yield Fault(start.path, message)
            for first, after in pairwise(cycle):
                before[after].pop(first)
        else:
            return


def _reference_faults(nodes: list[Node]) -> Iterator[Fault]:
    """Every container that is referred to exists."""
    ids = [node.id for node in nodes]
    for node in nodes:
        for other, path in node.references.items():
            if other not in ids:
                yield _unknown_id(path, other, ids)


def _unknown_id(path: str, name: str, ids: list[str]) -> Fault:
    remedy = suggestion(name, ids, f"the ids are {', '.join(ids) or 'missing'}")
    return Fault(path, f"no container has the id {name!r}; {remedy}")


def _reader_faults(nodes: list[Node], by_file: Mapping[str, Node], sources: Mapping[str, str]) -> Iterator[Fault]:
    """Each input has a provider, and each source (a file, with its JSON path) has a reader."""
    for node in nodes:
        for file, path in node.reads.items():
            if file in by_file or file in sources:
                continue
            remedy = suggestion(file, by_file, "add a container that writes it, or provide it as a source")
            if file.startswith(SOURCE):
                remedy = f"add {file.removeprefix(SOURCE)!r} to $.sources"
            yield Fault(path, f"no container writes {file} and no source provides it; {remedy}")
    for file, path in sources.items():
        if not any(file in node.reads or any(fnmatchcase(file, glob) for glob in node.optional) for node in nodes):
            yield Fault(path, f"no container reads {file}; read it, or remove it from the sources")


def _service_faults(parsed: ParsedFile, nodes: list[Node]) -> Iterator[Fault]:
    """Each service that a container names is declared, and each that is declared is named."""
    document, complete = parsed.document, all(at[0] != "services" for at in parsed.removed)
    services = document.services
    if isinstance(document, LinkedDocument):
        yield from _registry_faults(parsed, document, nodes)
    for node in nodes:
        declared, path = node.declared, parsed.path(*node.location, "service")
        served = document.service_of(node.id, declared)
        yield from _executor_faults(parsed, node, served[1] if served else None)
        if document.execution_mode == "grpc":
            continue
        if declared.service is None:
            for key in ("priority", "parameters"):
                if key in declared.model_fields_set:
                    message = f"means nothing for {node.id!r}, whose work no service does; remove it, or add a service"
                    yield Fault(parsed.path(*node.location, key), message)
            continue
        if declared.service not in services and complete:
            remedy = suggestion(declared.service, services, "declare it in $.services")
            yield Fault(path, f"no service has the name {declared.service!r}; {remedy}")
        for key in ("image", "command", "function"):
            if getattr(node.service, key, None) is not None:
                message = f"{node.id!r} is done by the service {declared.service!r}; remove {key!r}, or the service"
                yield Fault(parsed.path(*node.service_location, key), message)
        yield from _own_faults(parsed, node)
    if parsed.is_complete("service", "containers"):
        for name in services:
            if all(node.declared.service != name for node in nodes):
                message = f"no container names the service {name!r}; remove it, or let one do"
                yield Fault(parsed.path("services", name), message)


def _own_faults(parsed: ParsedFile, node: Node) -> Iterator[Fault]:
    """What a service has of its own cannot be given to it."""
    for key in ("environment", "secrets", "network"):
        if getattr(node.declared, key):
            message = f"does nothing for {node.id!r}: a service has its own; remove this key"
            yield Fault(parsed.path(*node.location, key), message)


def _registry_faults(parsed: ParsedFile, document: LinkedDocument, nodes: list[Node]) -> Iterator[Fault]:
    """With execution_mode grpc each container has the address of a service; without, none has."""
    if document.execution_mode != "grpc":
        for name, unused in document.service_registry.items():
            for key in ("address", "connection"):
                if getattr(unused, key) is not None:
                    message = 'does nothing unless execution_mode is "grpc"; set that, or state image and command'
                    yield Fault(parsed.path("service_registry", name, key), message)
        return
    for node in nodes:
        entry, known = document.service_registry.get(node.id), node.id in parsed.content.get("service_registry", {})
        if entry is None and not known and parsed.is_complete("service_registry"):
            message = f'execution_mode grpc: {node.id!r} has no service here; add {json.dumps(node.id)}: "host:port"'
            yield Fault(parsed.path("service_registry"), message)
        if entry is not None and entry.address is None:
            message = f"execution_mode grpc: {node.id!r} needs the address of its service; add 'address': \"host:port\""
            yield Fault(parsed.path("service_registry", node.id), message)
        for key in ("image", "command", "function"):
            if getattr(entry, key, None) is not None:
                message = f"execution_mode grpc: a service does the work of {node.id!r}; remove this key"
                yield Fault(parsed.path("service_registry", node.id, key), message)
        if node.declared.service is not None:
            message = f"execution_mode grpc: the service of {node.id!r} is the one of service_registry; remove this key"
            yield Fault(parsed.path(*node.location, "service"), message)
        yield from _own_faults(parsed, node)


def _executor_faults(parsed: ParsedFile, node: Node, address: ServiceAddress | None) -> Iterator[Fault]:
    """A service of ContainerExecutor knows no priority."""
    is_executor = address is not None and address.protocol == "container-executor"
    if is_executor and "priority" in node.declared.model_fields_set:
        message = f"the service of {node.id!r} has no queue with priorities (ContainerExecutor); remove this key"
        yield Fault(parsed.path(*node.location, "priority"), message)


def _linked_faults(parsed: ParsedFile, document: LinkedDocument, nodes: list[Node]) -> Iterator[Fault]:
    """The faults that only the linked format can have: in ids as keys, in the registry, and in the start."""
    ids = [node.id for node in nodes]
    for node in nodes:
        if not re.fullmatch(ID, node.id):
            yield Fault(node.path, f"the id {NAME_RULE}")
    for name in document.service_registry:
        if name not in ids:
            yield _unknown_id(parsed.path("service_registry", name), name, ids)
    if not nodes or not parsed.is_complete("containers", "start_node", "next_node", "input_file", "output_file"):
        return
    start = document.start_node
    if start not in ids:
        yield _unknown_id("$.start_node", start, ids)
        return
    before, reached = dependencies(nodes), {start}
    while more := {name for name, others in before.items() if reached & set(others)} - reached:
        reached |= more
    for node in nodes:
        if node.id not in reached:
            message = f"cannot be reached from start_node {start!r}; add it to a next_node, or remove it"
            yield Fault(node.path, message)


def _registered_faults(parsed: ParsedFile, node: Node, step: Step) -> Iterator[Fault]:
    """A registered step's files and accounting are those of its contract; a container cannot declare others."""
    for key, patterns in (("input_file", step.inputs), ("output_file", step.outputs)):
        for index, file in enumerate(getattr(node.declared, key)):
            if not any(fnmatchcase(file, pattern) for pattern in patterns):
                message = f"{file} is not in the contract of the step {node.id!r}, which names "
                message += f"{', '.join(patterns) or 'no files'}; remove this key"
                yield Fault(parsed.path(*node.location, key, index), message)
    _, address = parsed.document.service_of(node.id, node.declared) or (None, None)
    removed = {at[-1] for at in parsed.removed if at[:-1] == node.location}
    is_executor = address is not None and address.protocol == "container-executor"
    if is_executor and not node.declared.output_file and "output_file" not in removed:
        message = f"the service of {node.id!r} is given the path of an output (ContainerExecutor); add output_file"
        yield Fault(node.path, message)
    if node.declared.records:
        message = f"the step {node.id!r} has its own record accounting; remove this key"
        yield Fault(parsed.path(*node.location, "records"), message)
    if node.declared.checks:
        message = f"the outputs of the step {node.id!r} are checked by its contract; remove this key"
        yield Fault(parsed.path(*node.location, "checks"), message)
    if getattr(node.service, "command", None) is None:
        for key in ("environment", "secrets", "network"):
            if getattr(node.declared, key):
                message = f"the step {node.id!r} runs its own function, whose contract names what it needs"
                yield Fault(parsed.path(*node.location, key), f"{message}; remove this key")
    if getattr(node.service, "function", None):
        message = f"the step {node.id!r} has a function of its own; give the container another id, or a command"
        yield Fault(parsed.path(*node.service_location, "function"), message)
    if node.declared.parameters:
        message = f"the parameters of the step {node.id!r} are those of the run; remove this key"
        yield Fault(parsed.path(*node.location, "parameters"), message)
    if step.in_worker and node.declared.service:
        message = f"the step {node.id!r} runs in the Airflow worker in every runtime; remove this key"
        yield Fault(parsed.path(*node.location, "service"), message)


def _unregistered_faults(parsed: ParsedFile, node: Node) -> Iterator[Fault]:
    """A container that is not a registered step declares what it runs, and writes something that can be checked."""
    declared = node.declared
    removed = {at[-1] for at in parsed.removed if at[:-1] == node.location} | {at[0] for at in parsed.removed}
    served = parsed.document.service_of(node.id, declared)
    if served is None and removed.isdisjoint({"command", "function", "service_registry", "service"}):
        command, function = (getattr(node.service, key, None) for key in ("command", "function"))
        if command is None and function is None:
            message = f"{node.id!r} is not a registered step, so it needs a command; add 'command', or 'function'"
            yield Fault(parsed.path(*node.service_location), message)
        elif command is not None and function is not None:
            message = f"{node.id!r} has a command and a function; remove one of them"
            yield Fault(parsed.path(*node.service_location, "function"), message)
    twice = declared.environment.keys() & declared.secrets.keys()
    for name in sorted(twice):
        yield Fault(parsed.path(*node.location, "secrets", name), f"{name} is also in environment; keep one of them")
    if not declared.output_file and "output_file" not in removed:
        message = f"{node.id!r} declares no output_file, so its work cannot be checked; add one"
        yield Fault(node.path, message)
    if declared.records and removed.isdisjoint({"input_file", "output_file"}):
        for key, field in (("read", "input_file"), ("accepted", "output_file"), ("rejected", "output_file")):
            file, path = getattr(declared.records, key), parsed.path(*node.location, "records", key)
            if file is not None and file not in getattr(declared, field):
                yield Fault(path, f"{file} is not listed in {field}; name a file that is listed there")
            if file is not None and not file.lower().endswith(".csv"):
                yield Fault(path, f"{file} is not a .csv file, and only records of those can be counted")
    if removed.isdisjoint({"input_file", "output_file", "checks"}):
        yield from _check_faults(parsed, node)


def _check_faults(parsed: ParsedFile, node: Node) -> Iterator[Fault]:
    """Each output can be checked or is opaque, and each declared check fits the format of its file."""
    declared = node.declared
    first: dict[str, str] = {}
    for file, path in check_paths(parsed, node):
        if first.setdefault(file, path) != path:
            yield Fault(path, f"{file} already has checks at {first[file]}; put them together")
        if file not in declared.output_file:
            yield Fault(path, f"{file} is not listed in output_file; name a file that is listed there")
        yield from _misfits(file, path, declared.checks[file], declared.input_file)
    for file, path in node.writes.items():
        if format_of(file) is None and not (file in declared.checks and declared.checks[file].opaque):
            remedy = f'or declare that nobody checks it: "checks": {{{json.dumps(file)}: {{"opaque": true}}}}'
            message = f"{file} has no format that can be checked; write one of {', '.join(FORMATS)}, {remedy}"
            yield Fault(path, message)


def _misfits(file: str, path: str, checks: OutputChecks, inputs: list[str]) -> Iterator[Fault]:
    """Yield the checks that the format of a file, or of the input that it is compared with, does not allow."""
    form, is_table = format_of(file), table_format(file) is not None
    tabular = [key for key in ("keys", "unique", "ranges", "rows") if getattr(checks, key)]
    if checks.opaque and form is not None:
        yield Fault(f"{path}.opaque", f"{file} can be checked as {form}; remove opaque, or give it another suffix")
    for key in [*(["schema"] if checks.schema_ else []), *tabular]:
        if checks.opaque:
            yield Fault(f"{path}.{key}", f"{file} is opaque, so nothing in it is checked; remove {key} or opaque")
        elif key == "schema" and not (form or "").startswith(("json", "ndjson")):
            yield Fault(f"{path}.schema", f"{file} is not JSON, which a JSON schema describes; use keys and ranges")
        elif key != "schema" and not is_table:
            yield Fault(f"{path}.{key}", f"{file} is not a table (CSV, Parquet or JSON Lines); remove {key}")
    if checks.rows is not None:
        source = checks.rows.of
        if source not in inputs:
            yield Fault(f"{path}.rows.of", f"{source} is not listed in input_file; name a file that is listed there")
        elif table_format(source) is None:
            yield Fault(f"{path}.rows.of", f"{source} is not a table (CSV, Parquet or JSON Lines); name one that is")
