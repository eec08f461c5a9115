"""Reports say how far each artifact is proven, and what is not checked comes first."""

from typing import get_args

import pytest

from include.core.contracts import Artifact
from include.core.proof import WORDS, proof_of, unchecked_first
from include.core.rules import OutputRules
from include.core.run_folder import FileRecord, Proof
from tests.core.small_pipeline import Reading


def test_every_proof_has_its_words():
    assert set(WORDS) == set(get_args(Proof))
    assert WORDS["opaque"] == "not checked"


@pytest.mark.parametrize(
    ("artifact", "more", "proof"),
    [
        (Artifact("a.csv"), (), ["format"]),
        (
            Artifact("a.csv", Reading),
            ("sampled", "recomputed", "sealed"),
            ["sealed", "format", "schema", "recomputed", "sampled"],
        ),
        (Artifact("a.json", rules=OutputRules(schema="{}")), (), ["format", "schema"]),
        (Artifact("a.csv", rules=OutputRules(unique=("n",))), ("records",), ["format", "declared", "records"]),
        (Artifact("a.bin", opaque=True), ("sealed",), ["opaque", "sealed"]),
    ],
    ids=["format", "schema", "JSON schema", "declared", "opaque"],
)
def test_an_artifact_is_proven_as_far_as_it_was_checked(artifact, more, proof):
    assert proof_of(artifact, *more) == proof


def test_what_nobody_checked_is_listed_first():
    names = {"a": ["sealed", "format"], "b": ["opaque", "sealed"], "c": []}
    records = [FileRecord(path=name, sha256="0", bytes=1, proof=proof) for name, proof in names.items()]
    assert [record.path for record in unchecked_first(records)] == ["b", "a", "c"]
