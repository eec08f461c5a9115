"""What a definition declares of single outputs, as artifacts; the JSON schemas that it names are read with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from include.core.contracts import Artifact
from include.core.definitions.document import Fault, ParsedFile
from include.core.definitions.graph import Node, check_paths
from include.core.definitions.model import ContainerFields, OutputChecks
from include.core.rules import OutputRules, Range, RowRelation, schema_validator

MAX_SCHEMA_BYTES = 1024**2


def read_schemas(folder: Path, parsed: ParsedFile, nodes: Iterable[Node]) -> tuple[dict[str, str], list[Fault]]:
    """Read the JSON schemas that a definition names.

    Args:
        folder: That of the definition.
        parsed: The definition, as far as it is valid.
        nodes: Its containers.

    Returns:
        The text of each schema by the name of its file, and a fault for each that cannot be used.
    """
    schemas: dict[str, str] = {}
    faults = []
    for node in nodes:
        for file, path in check_paths(parsed, node):
            name = node.declared.checks[file].schema_
            if name is None:
                continue
            try:
                schemas[name] = _read_schema(folder / name)
            except ValueError as error:
                faults.append(Fault(f"{path}.schema", f"{name}: {error}"))
    return schemas, faults


def _read_schema(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_SCHEMA_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}; put the schema there") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if len(content) > MAX_SCHEMA_BYTES:
        raise ValueError(f"has more than {MAX_SCHEMA_BYTES:,} bytes; shorten it")
    schema_validator(text)
    return text


def declared_outputs(container: ContainerFields, schemas: Mapping[str, str]) -> tuple[Artifact, ...]:
    """Return the outputs of which a container declares more than their path.

    Args:
        container: As it is written in the definition.
        schemas: The text of each schema by the name of its file.
    """
    return tuple(
        Artifact(file, max_bytes=checks.max_bytes, opaque=checks.opaque, rules=_rules(checks, schemas))
        for file, checks in container.checks.items()
    )


def _rules(checks: OutputChecks, schemas: Mapping[str, str]) -> OutputRules | None:
    rows = checks.rows
    rules = OutputRules(
        schema=schemas[checks.schema_] if checks.schema_ else None,
        keys=tuple(checks.keys),
        unique=tuple(checks.unique),
        ranges=tuple(Range(column, bounds.min, bounds.max) for column, bounds in checks.ranges.items()),
        rows=RowRelation(rows.of, rows.relation, tuple(rows.key)) if rows else None,
    )
    return rules if rules != OutputRules() else None
