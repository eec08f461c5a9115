"""Reports say how far each artifact is proven, and what is not checked comes first."""

from typing import get_args

import pytest

from include.core import outcome
from include.core.contracts import Artifact
from include.core.proof import MEANINGS, WORDS, proof_in_run, proof_of, unchecked_first
from include.core.rules import OutputRules
from include.core.run_folder import FileRecord, Proof, Records
from include.core.settings import ROOT
from tests.core.small_pipeline import Reading


def test_every_proof_has_its_words():
    assert set(WORDS) == set(MEANINGS) == set(get_args(Proof))
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


TABLE, DOCUMENT = ["sealed", "format", "schema"], ["sealed", "format"]
COUNTS = Records(read=7, accepted=5, rejected=2, rejected_by_reason={"late": 2})
ALL, SOME = {"recomputed": "all records"}, {"sampled": "5 records", "draw": (1, 2)}


@pytest.mark.parametrize(
    ("proof", "records", "proofs", "accounting", "expected"),
    [
        (TABLE, 5, [], COUNTS, [*TABLE, "records"]),
        (TABLE, 2, [], COUNTS, [*TABLE, "records"]),
        (TABLE, 4, [], COUNTS, TABLE),
        (TABLE, 5, [], None, TABLE),
        (DOCUMENT, None, [], COUNTS, DOCUMENT),
        (DOCUMENT, None, [ALL], COUNTS, [*DOCUMENT, "recomputed"]),
        (DOCUMENT, None, [SOME], None, [*DOCUMENT, "sampled"]),
        (TABLE, 5, [SOME, ALL], COUNTS, [*TABLE, "records", "recomputed", "sampled"]),
        (DOCUMENT, None, [{"not_checked": "it states no seed"}], None, DOCUMENT),
        (["opaque", "sealed"], None, [], COUNTS, ["opaque", "sealed"]),
        ([], 5, [ALL], COUNTS, []),
    ],
    ids=[
        "accepted",
        "rejected",
        "another table",
        "no accounting",
        "document",
        "recomputed",
        "sampled",
        "all",
        "doubtful",
        "opaque",
        "v0.1.0",
    ],
)
def test_a_run_proves_more_of_an_artifact_than_its_own_checks(proof, records, proofs, accounting, expected):
    record = FileRecord(path="a.csv", sha256="0", bytes=1, records=records, proof=proof)
    recomputed = [outcome.Proof(artifact="a.csv", **each) for each in proofs]
    assert proof_in_run(record, recomputed, accounting) == expected


def test_the_guide_has_the_words_and_meanings_of_the_report():
    guide = (ROOT / "docs/guides/what-is-proven.md").read_text()
    rows = [f"| {WORDS[proof]} | `{proof}` | {MEANINGS[proof]} |" for proof in WORDS]
    assert "\n".join(rows) in guide


def test_what_nobody_checked_is_listed_first():
    names = {"a": ["sealed", "format"], "b": ["opaque", "sealed"], "c": []}
    records = [FileRecord(path=name, sha256="0", bytes=1, proof=proof) for name, proof in names.items()]
    assert [record.path for record in unchecked_first(records)] == ["b", "a", "c"]
