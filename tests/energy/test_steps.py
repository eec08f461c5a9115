import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.core.errors import ContractError
from include.energy import steps
from include.energy.schemas import Analysis, AnalyzerMetrics, GeneratorMetrics, ReportMetrics
from include.energy.steps import ENERGY_STEPS
from tests.core.test_artifacts import sealed
from tests.energy.analysis import DAY, analyzed, series, varied

ROOT = Path(__file__).parents[2]


def test_each_step_honours_its_contract(done):
    for step in ENERGY_STEPS.values():
        for artifact in step.writes:
            sealed(done, artifact)
        records = step.records(done)
        assert records.reconciles
        assert records.read > 0
        json.dumps(step.read_outcome(done).model_dump(mode="json"), allow_nan=False)


def test_nothing_undeclared_is_left_behind(done):
    declared = {artifact.path for step in ENERGY_STEPS.values() for artifact in step.writes}
    assert {path.name for path in done.iterdir()} - {"source"} == declared


def test_a_file_without_rejected_records_is_right(files):
    analyzed(files, series(varied(48)))
    assert (files / "rejected.csv").read_text() == "file,line,column,raw,reason\n"
    for artifact in ENERGY_STEPS["energy-analyzer"].writes:
        sealed(files, artifact)


def test_the_contracts_are_cheap_to_import():
    code = (
        "import sys, include.energy.steps;"
        "heavy = {'duckdb', 'pandas', 'matplotlib', 'numpy', 'demandlib', 'airflow'} & set(sys.modules);"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_every_parameter_is_described():
    for step in ENERGY_STEPS.values():
        for name, field in step.params.model_fields.items():
            assert field.description, f"{step.id}: {name}"


@pytest.mark.parametrize("step", ["energy-analyzer", "report-generator"])
def test_a_step_runs_as_a_program(done, step):
    written = [done / artifact.path for artifact in ENERGY_STEPS[step].writes]
    before = [path.read_bytes() for path in written if path.suffix != ".png"]
    for path in written:
        path.unlink()
    params = {key: DAY[key].isoformat() for key in DAY if key in ENERGY_STEPS[step].params.model_fields}
    environment = {"DATA_DIR": str(done), "STEP_PARAMS": json.dumps(params), "PATH": "", "HOME": str(done.parent)}
    command = [sys.executable, "-m", "include.energy", step]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    assert [path.read_bytes() for path in written if path.suffix != ".png"] == before


def test_a_step_as_a_program_states_its_fault_in_a_line(files):
    environment = {"DATA_DIR": str(files), "PATH": ""}
    command = [sys.executable, "-m", "include.energy", "energy-analyzer"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 65
    assert done.stderr == "error: energy_data.csv: there is no such file\n"


@pytest.mark.parametrize("megabytes", [300, 600])
def test_a_step_that_may_not_take_enough_memory_ends_soon(done, tmp_path, megabytes):
    """With a little more than libraries need to start, one of them may end the process by a signal, or find enough."""
    for name in ("energy_data.csv", "energy_source.json"):
        shutil.copy(done / name, tmp_path)
    environment = {"DATA_DIR": str(tmp_path), "PATH": ""}
    limited = f"import resource, runpy; resource.setrlimit(resource.RLIMIT_AS, ({megabytes}_000_000,) * 2); "
    command = [sys.executable, "-c", limited + "runpy.run_module('include.energy', run_name='__main__')"]
    command += ["energy-analyzer"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=60)
    written = (tmp_path / "output1.json").exists()
    assert written or ended.returncode != 0
    if megabytes == 300:
        assert not written
        assert "do not suffice" in ended.stderr or "emory" in ended.stderr


# Record accounting and outcomes, read from the artifacts of a run.


def test_the_generators_records_are_all_passed_on(done):
    records = steps.generator_records(done)
    assert records.read == records.accepted == len((done / "energy_data.csv").read_text().splitlines()) - 1


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("", 0),
        ("a\n", 0),
        ("a\n1\n2", 2),
        ("a\n1\n2\n", 2),
        ("\na\n\n1\n \t\n2\n\n", 2),
        ("a\n" + "1\n" * 1_500_000, 1_500_000),
        ("a\n\n" + "1" * 1_500_000 + "\n" + " " * 1_500_000 + "\n2", 2),
    ],
)
def test_blank_lines_are_no_records(files, text, records):
    (files / "energy_data.csv").write_text(text)
    assert steps.generator_records(files).read == records


def test_the_generators_outcome_states_where_the_records_came_from(done):
    outcome = steps.generator_outcome(done)
    records = steps.generator_records(done).read
    assert outcome.metrics == GeneratorMetrics(
        source="generated", records=records, households=20, interval_seconds=900, files=()
    )


def test_a_foreign_generator_that_gives_no_account_has_a_count(done):
    (done / "energy_source.json").unlink()
    records = steps.generator_records(done).read
    assert steps.generator_outcome(done).model_dump(mode="json") == {"records": records}


def test_the_analyzers_outcome_has_the_keys_that_others_read(done):
    outcome = steps.analyzer_outcome(done)
    flat = outcome.model_dump(mode="json")
    assert list(flat)[:17] == list(AnalyzerMetrics.model_fields)
    assert (outcome.data_start, outcome.data_end) == (DAY["start"], DAY["end"])
    assert (flat["data_start"], flat["data_end"]) == ("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z")
    assert outcome.findings[0].message == "The readings are synthetic: produced by the generator, not measured."


def test_the_analyzers_records_are_counted_from_the_files(done):
    records = steps.analyzer_records(done)
    analysis = Analysis.model_validate_json((done / "output1.json").read_bytes())
    assert records.reconciles
    assert (records.read, records.accepted) == (analysis.records_in, analysis.records_out)
    assert records.rejected_by_reason == analysis.rejected_by_reason != {}


def test_the_reports_outcome_holds_its_key_figures_and_tables(done):
    outcome, records = steps.report_outcome(done), steps.report_records(done)
    document = json.loads((done / "output2.json").read_text())
    assert isinstance(outcome.metrics, ReportMetrics)
    assert outcome.metrics.model_dump(mode="json") == document["key_figures"]
    assert [table.title for table in outcome.tables] == [table["title"] for table in document["tables"]]
    assert records.read == records.accepted == document["records"]


@pytest.mark.parametrize("key", ["records_in", "records_out", "records_rejected", "rejected_by_reason"])
def test_an_analysis_that_says_other_numbers_than_its_files_is_refused(done, key):
    path = done / "output1.json"
    document = json.loads(path.read_text())
    document[key] = {"negative_power": 99} if key == "rejected_by_reason" else document[key] + 1
    path.write_text(json.dumps(document))
    with pytest.raises(ContractError, match=f"output1.json: {key} must be"):
        steps.analyzer_records(done)


def test_a_report_that_lost_a_row_is_found_out(done):
    rows = (done / "energy_report.csv").read_text().splitlines(keepends=True)
    (done / "energy_report.csv").write_text("".join(rows[:-1]))
    with pytest.raises(ContractError, match=r"output2.json: records must be"):
        steps.report_records(done)


def messages(analysis):
    return [(finding.severity, finding.message) for finding in steps.analysis_findings(analysis)]


def test_findings_weigh_rejections_gaps_and_anomalies(files):
    lines = [*series(varied(10)), *series([*varied(37), 9.5], start=20), "soon,A,1,230,5"]
    lines += series([0] * 60, home="B")
    findings = messages(analyzed(files, lines).document)
    assert findings[0] == (
        "info",
        "1 of 109 records (0.92 %) were rejected: 1 unparsable_timestamp; rejected.csv shows each one.",
    )
    assert any(
        message.startswith(
            "10 of 118 intervals (8.5 %) have no valid record; the longest gap: A, 10 intervals from "
            "2026-01-05 05:00 to 2026-01-05 10:00 UTC."
        )
        for _, message in findings
    )
    assert any("1 runs of zeros of a day or more, 30 h in all" in message for _, message in findings)
    assert ("warning", "1 record (0.93 %): far above what is usual at that hour (outlier).") in findings
    assert findings[-1] == ("info", "No EN 50160 figure. EN 50160 judges 10-minute means; the readings are coarser.")


def test_suspect_readings_are_a_warning_with_both_totals(files):
    found = messages(analyzed(files, series([*varied(4), 99.0]), limit_kw=50.0).document)
    assert found[0] == (
        "warning",
        "1 reading is above the limit of the connection, and suspect: kept in energy_report.csv, and left out of all "
        "totals. Energy without suspect readings: 0.63 kWh, with them: 50.13 kWh.",
    )


def test_estimates_are_a_remark_with_both_totals_and_rows_of_the_report(files):
    made = analyzed(files, series([1.0] * 11 + [None, None] + [1.0] * 11), estimate=True)
    assert messages(made.document)[0] == (
        "info",
        "2 of 2 missing intervals were estimated (2 linear). Energy with estimates: 12.00 kWh, without: 11.00 kWh.",
    )
    records = steps.analyzer_records(files)
    assert (records.read, records.accepted, records.rejected) == (22, 22, 0)


def test_estimates_that_the_records_do_not_hold_are_refused(files):
    analyzed(files, series([*varied(20), None, None, *varied(20)]), estimate=True)
    path = files / "output1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"estimated": 3}))
    with pytest.raises(ContractError, match=r"output1.json: estimated must be 2"):
        steps.analyzer_records(files)


def test_a_complete_analysis_of_measured_data_has_little_to_report(files):
    assert [severity for severity, _ in messages(analyzed(files, series(varied(336))).document)] == ["info"]


def test_homes_that_miss_en_50160_are_a_warning(files):
    week = [line.replace(",230.0,", ",200.0,") for line in series(varied(7 * 144), minutes=10)]
    severity, message = messages(analyzed(files, week).document)[-1]
    assert severity == "warning"
    assert message.startswith("EN 50160: 0 of 1 households keep 95 %")
