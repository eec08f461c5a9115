"""Honest analyses are proven, whatever their data; what is drawn is recorded."""

import json
import shutil

import pytest

from include.core.errors import ContractError
from include.energy.analyzer import analyze
from include.energy.audit import analysis
from include.energy.audit.analysis import prove_analyzer
from include.energy.audit.readings import prove_generator
from include.energy.audit.rows import prove_report
from include.energy.generator import generate
from include.energy.params import AnalyzerParams, GeneratorParams, ReportParams
from include.energy.report import write_report
from tests.energy.analysis import DAY, analyzed, series, varied
from tests.energy.test_rules_reference import CASES, Data


def test_the_draw_is_recorded(done):
    proofs = {proof.artifact: proof for proof in prove_analyzer(done, AnalyzerParams(**DAY))}
    assert list(proofs) == ["output1.json", "energy_records.parquet", "rejected.csv", "energy_data.csv"]
    households = proofs["energy_records.parquet"].draw
    assert len(households) == 5
    assert set(households) <= {f"H{number:04}" for number in range(1, 21)}
    assert 150 < len(proofs["energy_data.csv"].draw) <= 200
    assert not any(proof.finding for proof in proofs.values())


def test_an_audit_leaves_no_household_and_no_record_out(done, monkeypatch):
    households = []
    judge = analysis._judge_series_twice
    monkeypatch.setattr(analysis, "RECORDS_AT_ONCE", 1000)
    monkeypatch.setattr(
        analysis,
        "_judge_series_twice",
        lambda series, params, name, rest: households.append(judge(series, params, name, rest) or name),
    )
    proofs = {proof.artifact: proof for proof in prove_analyzer(done, AnalyzerParams(**DAY), audit=True)}
    assert households == [f"H{number:04}" for number in range(1, 21)]
    assert "all anomalies of 1,9" in proofs["energy_records.parquet"].recomputed
    assert "records judged by plain rules" in proofs["energy_data.csv"].recomputed
    assert not any(proof.sampled or proof.draw for proof in proofs.values())


def test_an_audit_judges_every_record_by_the_plain_rules(done, monkeypatch):
    """A fault of the analyzer's own rules in a single record, which a sample of 200 would hardly ever hold."""
    honest = analysis.judge_record
    (_, *records) = (done / "energy_data.csv").read_text().splitlines()
    monkeypatch.setattr(
        analysis,
        "judge_record",
        lambda text, *rest: analysis.Judgement("odd") if text == records[1234] else honest(text, *rest),
    )
    with pytest.raises(ContractError, match="line 1236 must be judged as the rules say: odd"):
        prove_analyzer(done, AnalyzerParams(**DAY), audit=True)


@pytest.mark.parametrize("case", CASES)
def test_honest_analyses_of_random_data_are_proven(files, case):
    data = Data(*CASES[case])
    params = {"timezone": str(data.zone), **dict(zip(("start", "end"), data.window or (), strict=False))}
    analyzed(files, data.lines, **params)
    prove_analyzer(files, AnalyzerParams(**params), audit=True)


@pytest.mark.parametrize("case", ["spring forward", "half-hour zone"])
def test_honest_analyses_with_suspect_readings_are_proven(files, case):
    data = Data(*CASES[case])
    params = {"limit_kw": 5.0, **dict(zip(("start", "end"), data.window or (), strict=False))}
    document = analyzed(files, data.lines, **params).document
    assert document.suspect >= 3
    prove_analyzer(files, AnalyzerParams(**params), audit=True)


def test_a_household_without_an_accepted_record_is_accounted_for(files):
    analyzed(files, [*series(varied(60)), *series([-1, -2], home="B")])
    prove_analyzer(files, AnalyzerParams(), audit=True)


def test_weeks_of_fine_readings_have_their_voltage_recomputed(files):
    lines = [*series(varied(8 * 144), minutes=10), *series(varied(8 * 144), home="B", minutes=10)]
    document = analyzed(files, lines).document
    assert document.en_50160.compliant_weeks == 2
    prove_analyzer(files, AnalyzerParams(), audit=True)
    plain = json.loads((files / "output1.json").read_text())
    plain["en_50160"]["compliant_weeks"] = 1
    (files / "output1.json").write_text(json.dumps(plain))
    with pytest.raises(ContractError, match=r"en_50160.compliant_weeks must be 2"):
        prove_analyzer(files, AnalyzerParams())


def test_a_fault_in_the_analyzers_own_rules_is_found_by_the_plain_ones(done, monkeypatch):
    monkeypatch.setattr(analysis, "judge_record", lambda *arguments: analysis.Judgement("odd"))
    with pytest.raises(ContractError, match="must be judged as the rules say: odd"):
        prove_analyzer(done, AnalyzerParams(**DAY))


def test_a_fault_in_the_analyzers_own_anomalies_is_found_by_the_plain_ones(done, monkeypatch):
    monkeypatch.setattr(
        analysis, "judge_series", lambda series, *rest: ((start, {"outlier", "flat_line"}) for start, _ in series)
    )
    with pytest.raises(ContractError, match="as the rules say"):
        prove_analyzer(done, AnalyzerParams(**DAY))


HOME = {
    "columns": "timestamp=reading_datetime,household_id=customer_id,energy_kwh=general_supply_kwh",
    "timezone": "+10:00",
}
PJM = {
    "columns": "timestamp=Datetime,household_id=@AEP,power_mw=AEP_MW",
    "timezone": "America/New_York",
    "stamp": "end",
}
VICTORIA = {"columns": "timestamp=Time,household_id=@VIC,power_mw=Demand", "timezone": "Australia/Melbourne"}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "read"),
    [("household_au_10006414.csv", HOME), ("grid_pjm_AEP_hourly.csv", PJM), ("grid_vic_30min.csv", VICTORIA)],
)
def test_honest_runs_of_measured_data_are_proven(real_data, files, name, read):
    shutil.copy(real_data / name, files / "source" / name)
    generator = GeneratorParams(files=(name,), **read)
    analyzer = AnalyzerParams(timezone=read["timezone"], high_usage_kw=None)
    generate(files, generator)
    analyze(files, analyzer)
    write_report(files, ReportParams())
    proofs = (
        *prove_generator(files, generator),
        *prove_analyzer(files, analyzer, audit=True),
        *prove_report(files, ReportParams()),
    )
    assert not [proof.finding for proof in proofs if proof.finding]
