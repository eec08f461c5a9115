"""What a report states of an artifact, derived from its proofs."""

import pytest

from include.reporting.model import ArtifactReport, StepProof

CHECKED, DOUBTED = {"recomputed": "all"}, {"recomputed": "most", "not_checked": "it states no seed"}


@pytest.mark.parametrize(
    ("proof", "proofs", "opaque", "doubts"),
    [
        (["sealed", "format"], [], False, []),
        (["sealed", "format"], [CHECKED], False, []),
        (["sealed", "format"], [CHECKED, DOUBTED], False, ["it states no seed"]),
        (["opaque", "sealed"], [], True, []),
        ([], [], False, []),
    ],
    ids=["format", "recomputed", "doubtful", "opaque", "not recorded"],
)
def test_an_artifact_is_opaque_or_doubtful_as_its_proofs_state(proof, proofs, opaque, doubts):
    stated = [StepProof(step="s", artifact="a", **each) for each in proofs]
    artifact = ArtifactReport(step="s", path="a", sha256="0", bytes=1, proof=proof, proofs=stated)
    assert (artifact.opaque, artifact.doubts) == (opaque, doubts)
