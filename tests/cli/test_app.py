"""The command line: what is refused before Airflow starts, and the commands that need no run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from include.cli import run
from include.cli.app import add_domain_commands, app
from include.cli.before_setup import version
from include.core.domain import Domain

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no pipeline named nothing; there are: energy"),
        (["energy", "--set", "housholds=3"], "housholds: no such parameter; did you mean households?"),
        (["energy", "--set", "households=many"], "households: Input should be a valid integer"),
        (["energy", "--set", "households=0", "--set", "seed=-1"], "seed: Input should be greater than or equal to 0"),
        (["energy", "--set", "households"], "--set: 'households' must be NAME=VALUE"),
        (["energy", "--date", "2026-01-01", "--start", "2026-01-01", "--end", "2026-01-02"], "--date is a whole day"),
        (["energy", "--start", "2026-01-01"], "--start and --end go together"),
        (["energy", "--start", "2026-01-02", "--end", "2026-01-01"], "must be before end"),
        (["energy", "--start", "soon", "--end", "2026-01-01"], "--start: 'soon' is not an ISO 8601 time"),
        (
            ["energy", "--date", "0001-01-01", "--timezone", "Asia/Tokyo"],
            "--date: there is no data of the year 1",
        ),
        (["energy", "--date", "9999-12-31"], "--date: there is no data of the year 9999"),
        (
            ["energy", "--start", "2026-01-01", "--end", "9999-12-31T23:00-05:00"],
            "--end: there is no data of the year",
        ),
        (["energy", "--set", "start=2026-01-01"], "--start and --end go together"),
        (["energy", "--date", "2026-01-01", "--set", "start=1", "--set", "end=2"], "--date is a whole day"),
        (["energy", "--timezone", "UTC", "--set", "timezone=Z", "--set", "seed=1"], "timezone: given more than once"),
        (["energy", "--set", "timezone=5"], "timezone '5' is neither"),
        (["energy", "--set", "high_usage_kw=Infinity"], "high_usage_kw: Input should be a finite number"),
        (["energy", "--set", 'csv=["nowhere.csv"]'], "--files: no such file: nowhere.csv"),
        (["energy", "--set", "csv=meter.csv"], "files: must be a list of files"),
        (["energy", "--timezone", "Mars/Olympus"], "neither an IANA zone"),
        (["energy", "--runtime", "cloud"], "--runtime: cloud is not one of local, docker"),
        (["energy", "--csv", "nowhere.csv"], "--files: no such file: nowhere.csv"),
        (["satellite", "--set", "reference=nowhere.tif"], "reference: no such file: nowhere.tif"),
        (
            ["satellite", "--bbox", "1,31,1.006,31.005", "--source", "demo"],
            "a tile of 64 pixels does not fit into the area",
        ),
        (["energy", "--csv", __file__, "--columns", "timestamp"], "is not FIELD=COLUMN"),
        (["energy", "--csv", __file__, "--stamp", "middle"], "stamp: Input should be 'start' or 'end'"),
    ],
)
def test_usage_errors_are_sentences_and_start_nothing(arguments, message, data_dir):
    result = call("run", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("name", "value"), [("RUNTIME", "podman"), ("STEP_UID", "0"), ("STEP_UID", "root"), ("RUNTIME", "")]
)
def test_an_impossible_setting_is_named_by_every_command(name, value):
    environment = os.environ | {f"GROUNDTRUTH_{name}": value}
    done = subprocess.run(
        [sys.executable, "-m", "include.cli", "list"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: GROUNDTRUTH_{name}: ")
    assert f"(got '{value}')" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["two\nlines.csv", b"latin-\xe4.csv".decode(errors="surrogateescape")])
def test_a_file_whose_name_cannot_be_printed_is_refused(tmp_path, name):
    (tmp_path / name).write_text("a,b\n1,2\n")
    result = call("run", "energy", "--csv", tmp_path / name)
    assert result.exit_code == 2
    assert "rename the file; its name cannot be printed" in result.stderr


def test_every_impossible_value_is_named_at_once():
    result = call("run", "energy", "--set", "households=0", "--set", "seed=-1", "--set", "interval_minutes=7")
    assert result.exit_code == 2
    for name in ("households", "seed", "interval_minutes"):
        assert name in result.stderr


def test_validate_prints_every_fault_with_its_path(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"workflow_name": "x", "containers": [{"id": "a b"}, {"id": "c", "comand": "true"}]}')
    good = ROOT / "include/config/energy-pipeline.json"
    result = call("validate", good, bad)
    assert result.exit_code == 1
    assert f"{good}: energy-pipeline: energy-generator → energy-analyzer → report-generator" in result.stderr
    assert "$.containers[0].id" in result.stderr
    assert "$.containers[1].comand" in result.stderr
    assert call("validate", good).exit_code == 0


def test_validate_finds_two_definitions_of_one_name(tmp_path, definitions):
    document = {"containers": [{"id": "a", "command": "true", "output_file": "a.csv"}]}
    definitions(known=document | {"workflow_name": "meters"})
    one, two, again = (tmp_path / f"{name}.json" for name in ("one", "two", "again"))
    for file, name in {one: "sensors", two: "Sensors-Pipeline", again: "meters"}.items():
        file.write_text(json.dumps(document | {"workflow_name": name}))
    assert call("validate", one).exit_code == 0
    result = call("validate", one, two, again)
    assert result.exit_code == 1
    assert f"makes the same pipeline (sensors) as {one}" in result.stderr
    assert "makes the same pipeline (meters) as" in result.stderr
    project = tmp_path / "project.json"
    project.write_text(json.dumps(document | {"workflow_name": "maintenance"}))
    assert "as a pipeline of this project" in call("validate", project).stderr


def test_list_names_pipelines_steps_and_schedule():
    result = call("list")
    assert result.exit_code == 0
    for text in (
        "energy",
        "@daily",
        "energy-generator → energy-analyzer → report-generator",
        "none yet",
        "after satellite_imagery or crop_health_model",
    ):
        assert text in result.stdout


def test_list_shows_the_faults_of_broken_definitions_too(definitions):
    definitions(broken={"workflow_name": "", "containers": []})
    result = call("list")
    assert result.exit_code == 1
    assert "broken.json" in result.stderr


def test_the_version_is_that_of_the_project():
    assert call("--version").stdout == f"{version()}\n"


def test_a_domain_that_is_not_set_up_names_the_command_that_does_it(monkeypatch):
    monkeypatch.setattr(run, "missing_set_up", lambda domain: domain.name == "satellite")
    refused = call("run", "satellite", "--profile", "demo")
    assert refused.exit_code == 2
    assert refused.stderr == "error: the satellite pipelines are not set up yet; run: tools/setup satellite\n"


def test_report_says_what_to_do_while_there_is_none():
    result = call("report")
    assert result.exit_code == 1
    assert "there is no report yet; begin with ./pipeline run energy" in result.stderr


def test_help_names_every_option():
    text = call("run", "--help").stdout
    options = (
        "--date --start --files --csv --columns --timezone --stamp --scenes --bbox --runtime --audit --publish --set "
        "--json"
    )
    for option in options.split():
        assert option in text


def test_the_definition_given_to_editors_is_valid_json():
    json.loads((ROOT / "docs/reference/pipeline-definition.schema.json").read_text())


toys = typer.Typer()


@toys.callback()
def toy_commands():
    """Commands for toys."""


@toys.command()
def count():
    typer.echo("3 toys")


def test_the_command_group_of_a_domain_is_added_under_its_name():
    target = typer.Typer()
    domain = Domain(name="toy", title="Toys", steps={}, image="toy:1", commands={"toys": "tests.cli.test_app:toys"})
    add_domain_commands(target, [domain])
    target.add_typer(typer.Typer(), name="other")
    assert CliRunner().invoke(target, ["toys", "count"]).stdout == "3 toys\n"


@pytest.mark.parametrize("content", ["{", "[]", '{"steps": 3}', ""])
def test_a_damaged_report_is_a_sentence_with_its_name(data_dir, content):
    path = data_dir / "runs" / "energy_pipeline" / "manual__1" / "pipeline_report_20260101_000000.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    for arguments in (("report",), ("report", "manual__1", "--json")):
        result = call(*arguments)
        assert result.exit_code == 1
        assert f"{path}: is damaged" in result.stderr.replace("\n", "")
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
