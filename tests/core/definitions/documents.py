"""Definition documents for tests, and the contracts of the steps that they name."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from include.core.contracts import Artifact, Step, StepParams
from include.core.definitions.document import DefinitionError
from include.core.definitions.load import load_definition

ROOT = Path(__file__).parents[3]
FILES = Path(__file__).parent / "files"
VALID = sorted((FILES / "valid").glob("*.json"))


class Anything(BaseModel):
    """A schema, which no definition uses."""


def step(name: str, reads: list[Artifact], writes: list[str], **changes: Any) -> Step:
    """Return a contract of these files."""
    outputs = tuple(map(Artifact, writes))
    return Step(name, f"Title of {name}", "What it does.", "1", StepParams, "m:f", tuple(reads), outputs, **changes)


REGISTERED = {
    contract.id: contract
    for contract in (
        step("energy-generator", [Artifact("source/*", optional=True)], ["energy_data.csv", "energy_source.json"]),
        step(
            "energy-analyzer",
            [Artifact("energy_data.csv", Anything), Artifact("energy_source.json", optional=True)],
            ["output1.json", "energy_records.parquet", "rejected.csv"],
        ),
        step(
            "report-generator",
            [Artifact("output1.json")],
            ["output2.json", "energy_report.csv", "energy_report.parquet", "energy_totals.parquet"],
        ),
    )
}


def container(name: str, /, **fields: Any) -> dict[str, Any]:
    """Return a container of the list format that writes one file."""
    return {"id": name, "image": "debian:stable-slim", "command": "true", "output_file": f"{name}.csv"} | fields


def document(*containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a document of the list format."""
    return {"workflow_name": "test-pipeline", "containers": list(containers)} | fields


def messages_of(file: Path) -> dict[str, str]:
    """Return the messages of a faulty file by JSON path, each of which is a line of the error."""
    with pytest.raises(DefinitionError) as error:
        load_definition(file, REGISTERED)
    assert str(error.value).startswith(f"{file}: ")
    assert all(f"  {fault.path}: " in str(error.value) for fault in error.value.faults)
    return {fault.path: fault.message for fault in error.value.faults}


def assert_messages(file: Path, expected: dict[str, str]) -> None:
    """Check that a file has faults at exactly these JSON paths, with these parts of their messages."""
    messages = messages_of(file)
    assert messages.keys() == expected.keys(), "these places and no others"
    for path, part in expected.items():
        assert part in messages[path]
