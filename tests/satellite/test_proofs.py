"""Each satellite step is proven by the recomputation of its own module, and says so by artifact."""

from pathlib import Path

import pytest

from include.core.contracts import imported
from include.core.errors import ContractError
from include.satellite import proofs
from include.satellite.steps import SATELLITE_STEPS

PROVEN = {step.id: step for step in SATELLITE_STEPS.values() if step.recompute}


@pytest.mark.parametrize("step", PROVEN.values(), ids=PROVEN)
def test_a_proof_names_artifacts_that_the_step_reads_or_writes(step, monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(proofs, "imported", lambda name: lambda files, params: called.append((name, files, params)))
    proven = step.prove(tmp_path, "params")
    [(name, files, params)] = called
    assert (files, params) == (tmp_path, "params")
    assert callable(imported(name))
    assert {proof.artifact for proof in proven} <= {artifact.path for artifact in (*step.reads, *step.writes)}
    assert all(proof.recomputed or proof.sampled for proof in proven)


def test_what_the_recomputation_finds_fails_the_step(monkeypatch):
    def lie(files: Path, params: object) -> None:
        raise ContractError("comparison.json", "must follow from the predictions", "others")

    monkeypatch.setattr(proofs, "imported", lambda name: lie)
    with pytest.raises(ContractError, match=r"comparison\.json: must follow"):
        SATELLITE_STEPS["compare"].prove(Path(), None)


def test_steps_without_a_proof_are_those_that_only_search_fetch_ask_or_configure():
    assert SATELLITE_STEPS.keys() - PROVEN.keys() == {"search", "download", "collect", "approve", "configure"}
