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
    monkeypatch.setattr(proofs, "imported", lambda name: lambda *given, **options: called.append((name, *given)))
    proven = step.prove(tmp_path, "params")
    [(name, files, params)] = called
    assert (files, params) == (tmp_path, "params")
    assert callable(imported(name))
    assert {proof.artifact for proof in proven} <= {artifact.path for artifact in (*step.reads, *step.writes)}
    assert all(proof.recomputed or proof.sampled for proof in proven)


DRAWN = ("validate", "prepare_cnn", "prepare_lstm", "check_passes", "measure_fields", "map_fields")
SAMPLED = dict.fromkeys((*DRAWN, "forecast_fields"), ("2026-05-01",)) | {"verify": (), "verify_crops": ("fold 3",)}


@pytest.mark.parametrize("step", PROVEN.values(), ids=PROVEN)
def test_an_audit_leaves_nothing_to_a_sample_and_else_the_draw_is_recorded(step, monkeypatch, tmp_path):
    audits = []

    def recompute(files, params, **options):
        audits.extend(options.values())
        return SAMPLED.get(step.id)

    monkeypatch.setattr(proofs, "imported", lambda name: recompute)
    for proof in step.prove(tmp_path, "params"):
        assert bool(proof.sampled) is (step.id in SAMPLED)
        assert proof.draw == SAMPLED.get(step.id, ())
    for proof in step.prove(tmp_path, "params", audit=True):
        assert proof.recomputed
        assert not proof.sampled
        assert not proof.draw
    assert audits == ([False, True] if step.id in SAMPLED else [])


def test_what_the_recomputation_finds_fails_the_step(monkeypatch):
    def lie(files: Path, params: object) -> None:
        raise ContractError("comparison.json", "must follow from the predictions", "others")

    monkeypatch.setattr(proofs, "imported", lambda name: lie)
    with pytest.raises(ContractError, match=r"comparison\.json: must follow"):
        SATELLITE_STEPS["compare"].prove(Path(), None)


def test_steps_without_a_proof_are_those_that_only_search_fetch_ask_or_configure():
    others = {"search", "download", "collect", "fetch_passes"}
    others |= {"approve", "configure", "approve_crops", "configure_crops"}
    assert SATELLITE_STEPS.keys() - PROVEN.keys() == others
