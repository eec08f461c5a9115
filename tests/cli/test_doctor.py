"""`./pipeline doctor` names a remedy for whatever is missing."""

import gc

import pytest
from rich.console import Console
from typer.testing import CliRunner

from include.cli import doctor
from include.cli.app import app
from include.cli.doctor import examine, table
from include.core.domain import Check
from include.core.settings import get_settings
from tests.prerequisites import docker_engine


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def bare_shell(monkeypatch):
    """Nothing of the shell that runs the tests, or of other tests, is examined (`test_surroundings.py` does)."""
    monkeypatch.setattr(doctor, "check_surroundings", list)
    monkeypatch.setattr(doctor, "stack_conflict", lambda: None)
    monkeypatch.setattr(doctor, "unreadable_configuration", lambda: None)


@pytest.fixture
def no_docker(monkeypatch):
    monkeypatch.setattr(doctor, "_docker", list)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a socket that docker-py leaves open
def test_doctor_names_a_mend_for_whatever_is_missing(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    result = call("doctor")
    assert result.exit_code == 0
    for text in ("Python", "Airflow", "disk", "data folder", "Docker engine", "none answers", "credentials"):
        assert text in result.stdout
    gc.collect()  # here, where its warning is expected


@pytest.mark.docker
def test_doctor_finds_the_image_of_each_family_of_steps(monkeypatch, data_dir):
    with docker_engine("groundtruth-energy:latest"):
        monkeypatch.setenv("GROUNDTRUTH_SATELLITE_IMAGE", "groundtruth-absent:latest")
        monkeypatch.setenv("COLUMNS", "160")
        get_settings.cache_clear()
        found = " ".join(call("doctor").stdout.split())
    assert "✓ image of the energy steps sha256:" in found
    assert "– image of the satellite steps groundtruth-absent:latest is not there make images" in found


def test_doctor_fails_on_what_every_run_needs(definitions):
    definitions(broken={"workflow_name": "", "containers": []})
    result = call("doctor")
    assert result.exit_code == 1
    assert "1 faulty" in result.stdout


def test_doctor_names_a_stack_of_another_checkout_and_files_that_services_cannot_read(monkeypatch, no_docker):
    monkeypatch.setattr(doctor, "stack_conflict", lambda: "a stack named x exists already; choose another name")
    monkeypatch.setattr(doctor, "unreadable_configuration", lambda: "a.json cannot be read; chmod -R a+rX config")
    found = {check.subject: check for check in examine()}
    assert found["stack"].remedy == "choose another name"
    assert found["definitions in the stack"].remedy == "chmod -R a+rX config"


def checks_by_subject():
    return {check.subject: check for check in examine()}


def test_what_every_run_needs_is_a_fault_with_its_remedy(no_docker, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "NEEDED_DISK_GIB", 1e9)
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    checks = checks_by_subject()
    assert list(checks)[:5] == ["Python", "Airflow", "disk", "data folder", "pipeline definitions"]
    assert (checks["Python"].status, checks["Python"].remedy) == ("ok", "")
    assert (checks["Airflow"].status, checks["Airflow"].remedy) == ("fault", "make setup")
    assert checks["disk"].status == "fault"
    assert checks["disk"].remedy.endswith(f"old runs lie in {data_dir / 'runs'}")
    assert checks["data folder"].status == "fault"
    assert checks["data folder"].found == f"{data_dir} (not writable)"
    assert "set GROUNDTRUTH_DATA_DIR" in checks["data folder"].remedy
    assert (checks["pipeline definitions"].status, checks["pipeline definitions"].remedy) == ("ok", "")


def test_checks_are_a_table_with_a_mark_for_each_status(capsys):
    checks = [
        Check("disk", "fault", "[0] free", "free some"),
        Check("images", "missing", "none"),
        Check("a", "ok", "b"),
    ]
    Console(width=100).print(table(checks))
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert rows[0] == ["subject", "found", "how", "to", "fix", "it"]
    assert rows[2:] == [["✗", "disk", "[0]", "free", "free", "some"], ["–", "images", "none"], ["✓", "a", "b"]]
