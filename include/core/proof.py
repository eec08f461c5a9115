"""How far each artifact of a run is proven, for results and reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from include.core import outcome
from include.core.contracts import Artifact
from include.core.run_folder import FileRecord, Proof, Records

R = TypeVar("R", bound=FileRecord)
WORDS: Mapping[Proof, str] = MappingProxyType(
    {
        "opaque": "not checked",
        "sealed": "sealed",
        "format": "read to the end in its format",
        "schema": "schema",
        "declared": "declared rules",
        "records": "records counted",
        "recomputed": "recomputed from sealed inputs",
        "sampled": "values sampled",
    }
)
"""Each proof as reports name it, in the order of reports: "not checked" first, then from weak to strong."""

MEANINGS: Mapping[Proof, str] = MappingProxyType(
    {
        "opaque": "Nobody looked into the file: no check knows its format, and the definition says so.",
        "sealed": "The bytes are those that were checked, shown and published. Nobody changed them afterwards.",
        "format": "A reader of the format opened the file and read all of it, within limits.",
        "schema": "The document, or every record, keeps to the schema of its contract or definition.",
        "declared": "Columns, unique keys, ranges and row relations of the definition hold for every record.",
        "records": "The orchestrator counted the records of inputs and outputs itself, and they reconcile.",
        "recomputed": "The orchestrator computed the content, or what is reported of it, again from sealed files.",
        "sampled": "Values that are expensive to compute were recomputed for a sample drawn after sealing.",
    }
)
"""What each proof means; `docs/guides/what-is-proven.md` has the same table."""


def proof_of(artifact: Artifact[Any], *more: Proof) -> list[Proof]:
    """Return how far an artifact that passed its checks is proven.

    >>> proof_of(Artifact("plot.png"), "sealed")
    ['sealed', 'format']
    >>> proof_of(Artifact("model.bin", opaque=True), "sealed")
    ['opaque', 'sealed']

    Args:
        artifact: What was declared of it.
        more: What the step protocol proved beside format, schema and declared rules.
    """
    proven: set[Proof] = {*more, "opaque" if artifact.opaque else "format"}
    if artifact.schema is not None or (artifact.rules is not None and artifact.rules.schema is not None):
        proven.add("schema")
    if artifact.rules is not None and artifact.rules.columns:
        proven.add("declared")
    return [proof for proof in WORDS if proof in proven]


def proof_in_run(record: FileRecord, proofs: Iterable[outcome.Proof], accounting: Records | None) -> list[Proof]:
    """Return how far an artifact is proven once its run is over; nothing where its own checks were not recorded.

    Args:
        record: The artifact, with what its own checks proved.
        proofs: What was recomputed of it, by the step that wrote it and by those that read it.
        accounting: The record accounting of the step that wrote it, which reconciles; it counts a table that has as
            many records as it states for accepted or rejected ones.
    """
    if not record.proof:
        return []
    proofs = list(proofs)
    proven: set[Proof] = set(record.proof)
    if accounting and record.records in {accounting.accepted, accounting.rejected}:
        proven.add("records")
    if any(proof.recomputed for proof in proofs):
        proven.add("recomputed")
    if any(proof.sampled for proof in proofs):
        proven.add("sampled")
    return [proof for proof in WORDS if proof in proven]


def unchecked_first(records: Iterable[R]) -> list[R]:
    """Return records with those first whose content nobody checked, otherwise in the given order."""
    return sorted(records, key=lambda record: "opaque" not in record.proof)
