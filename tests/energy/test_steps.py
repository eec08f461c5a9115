import json
import subprocess
import sys
from pathlib import Path

import pytest

from include.core.artifacts import check_artifact
from include.energy.steps import ENERGY_STEPS
from tests.energy.analysis import DAY, analyzed, series, varied

ROOT = Path(__file__).parents[2]


def test_each_step_honours_its_contract(done):
    for step in ENERGY_STEPS.values():
        for artifact in (*step.reads, *step.writes):
            check_artifact(done, artifact)
        records = step.records(done)
        assert records.reconciles
        assert records.read > 0
        json.dumps(step.read_outcome(done).model_dump(mode="json"), allow_nan=False)


def test_nothing_undeclared_is_left_behind(done):
    declared = {artifact.path for step in ENERGY_STEPS.values() for artifact in step.writes}
    assert {path.name for path in done.iterdir()} - {"source"} == declared


def test_a_file_without_rejected_records_is_right(files):
    analyzed(files, series(varied(48)))
    assert (files / "rejected.csv").read_text() == "file,line,raw,reason\n"
    for artifact in ENERGY_STEPS["energy-analyzer"].writes:
        check_artifact(files, artifact)


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
