"""How far each artifact of a run is proven, for results and reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from include.core.contracts import Artifact
from include.core.run_folder import FileRecord, Proof

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


def unchecked_first(records: Iterable[FileRecord]) -> list[FileRecord]:
    """Return records with those first whose content nobody checked, otherwise in the given order."""
    return sorted(records, key=lambda record: "opaque" not in record.proof)
