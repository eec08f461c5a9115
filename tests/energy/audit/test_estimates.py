"""Estimates recomputed twice: what is compared, and of which households."""

import json

import pytest

from include.core.errors import ContractError
from include.energy.audit import estimates
from include.energy.audit.analysis import prove_analyzer
from include.energy.params import AnalyzerParams
from tests.energy.analysis import analyzed, series, varied
from tests.energy.test_rules_reference import CASES, Data

GAPPED = [*varied(20), None, None, *varied(20)]


@pytest.mark.parametrize("case", ["spring forward", "fall back", "half-hour zone", "a window wider than the data"])
def test_honest_estimates_of_random_data_are_proven(files, case):
    data = Data(*CASES[case])
    window = dict(zip(("start", "end"), data.window or (), strict=False))
    params = {"timezone": str(data.zone), "estimate": True, "limit_kw": 8.0, **window}
    document = analyzed(files, data.lines, **params).document
    assert document.estimated > 10
    prove_analyzer(files, AnalyzerParams(**params), audit=True)


def test_the_proof_counts_estimates_and_the_households_that_were_computed_twice(files):
    analyzed(files, [*series(GAPPED), *series(GAPPED, home="B")], estimate=True)
    proofs = {proof.artifact: proof for proof in prove_analyzer(files, AnalyzerParams(estimate=True))}
    assert proofs["energy_records.parquet"].recomputed.endswith(
        "84 records, and 4 estimates, those of 2 households by plain rules too".replace("84", "80")
    )


def test_each_value_is_compared_to_the_milliwatt(files, monkeypatch):
    honest = estimates.estimate_plainly
    analyzed(files, series(GAPPED), estimate=True)
    for shift, is_found in ((0.9e-6, False), (2.1e-6, True)):

        def shifted(*arguments, shift=shift):
            return {start: e._replace(power=e.power + shift) for start, e in honest(*arguments).items()}

        monkeypatch.setattr(estimates, "estimate_plainly", shifted)
        if is_found:
            with pytest.raises(ContractError, match="as the rules say"):
                prove_analyzer(files, AnalyzerParams(estimate=True))
        else:
            prove_analyzer(files, AnalyzerParams(estimate=True))
    assert json.loads((files / "output1.json").read_text())["estimated"] == 2
