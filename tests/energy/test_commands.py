"""`./pipeline inspect`: what it prints, its exit codes, and that its command does what it says."""

import json
import shlex

import pytest
import typer
from typer.testing import CliRunner

from include.energy.commands import FAILED, OPEN, examine, formats, inspect
from include.energy.generator import generate
from include.energy.params import GeneratorParams
from include.energy.schemas import SOURCE

HOURS = [f"2026-01-05 {hour:02}:00" for hour in range(24)]
APP = typer.Typer()
APP.command()(inspect)
FORMATS = typer.Typer()
FORMATS.command()(formats)


@pytest.fixture
def file(tmp_path):
    def file(*rows, header="Time;T1 kWh;T2 kWh", name="home.csv"):
        path = tmp_path / name
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return file


def call(*arguments):
    return CliRunner().invoke(APP, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


ROWS = [f"{t};0,{n % 7};1,{n % 5}" for n, t in enumerate(HOURS)]


def test_it_shows_what_a_file_is_and_the_command(file):
    ended = call(file(*ROWS), "--timezone", "Europe/Berlin")
    assert ended.exit_code == 0
    assert "24 readings of 1 household, every 1 h, 2026-01-04 23:00 to 2026-01-05 22:00 UTC." in ended.stdout
    assert "tariffs or phases of one meter" in ended.stdout
    assert "./pipeline run energy --files" in ended.stdout


def test_an_interval_that_changes_is_shown_without_the_name_of_the_only_household(file):
    rows = [f"2026-01-{day:02} {hour:02}:00,{hour % 5}" for day in range(5, 12) for hour in range(24)]
    rows += [f"2026-01-{day} {q // 4:02}:{q % 4 * 15:02},{q % 5}" for day in range(12, 19) for q in range(96)]
    ended = call(file(*rows, header="t,kWh"), "--timezone", "UTC")
    assert "840 readings of 1 household, every 1 h, then 15 min, 2026-01-05 00:00 to" in ended.stdout


def test_the_command_gives_the_same_readings(file, files):
    path = file(*ROWS)
    document = json.loads(call(path, "--timezone", "Europe/Berlin", "--json").stdout)
    words = shlex.split(document["command"])
    assert words[:5] == ["./pipeline", "run", "energy", "--files", str(path)]
    options = {words[i].removeprefix("--"): words[i + 1] for i in range(5, len(words), 2)}
    (files / "source" / path.name).write_bytes(path.read_bytes())
    generate(files, GeneratorParams(files=(path.name,), **options))
    again = SOURCE.read(files)
    assert (again.records_written, again.stamp) == (24, document["records"]["stamp"])
    _, source, _ = examine([path], GeneratorParams(files=(path.name,), timezone="Europe/Berlin"))
    assert again.model_dump(exclude={"files", "findings"}) == source.model_dump(exclude={"files", "findings"})


def test_an_open_question_is_shown_with_its_options(file):
    ended = call(file(*ROWS), "--json")
    assert ended.exit_code == OPEN
    document = json.loads(ended.stdout)
    assert (document["command"], document["files"][0]["questions"][0]["options"]) == (
        None, ["--timezone Europe/Berlin", "--timezone +10:00"],
    )  # fmt: skip
    assert "Say which:" in call(file(*ROWS)).stdout


def test_a_file_that_cannot_be_run_says_why(file, tmp_path):
    ended = call(file(*(f"{t};1;x" for t in HOURS[:1]), header="Time;kWh;x"), "--timezone", "UTC")
    assert ended.exit_code == FAILED
    assert "This cannot be run: home.csv: the interval between readings cannot be told" in ended.stdout
    assert call(tmp_path / "none.csv").exit_code == FAILED
    ended = call(file(*ROWS), "--unit", "m3", "--json")
    assert (ended.exit_code, "unit: Input should be 'kW'" in json.loads(ended.stdout)["refused"]) == (FAILED, True)


def test_names_cannot_steer_the_terminal(file):
    ended = call(file(*ROWS, header="Time;T1 [red]kWh;T2 \x1b[2JkWh"), "--timezone", "UTC")
    assert "\x1b[2J" not in ended.stdout
    assert "[red]" in ended.stdout


LONG = [f"{t},{kind},1" for t in HOURS for kind in ("Offtake", "Injection")]


def options_of(command):
    words = shlex.split(command)
    return [(words[i], words[i + 1]) for i in range(3, len(words) - 1, 2)]


def test_the_command_states_the_rows_that_were_chosen(file):
    path = file(*LONG, header="t,Register,kWh")
    document = json.loads(call(path, "--timezone", "UTC", "--where", "Register=Offtake", "--json").stdout)
    assert ("--where", "Register=Offtake") in options_of(document["command"])
    assert document["records"]["records_written"] == len(HOURS)


def test_the_command_reads_the_registers_that_rows_name(file):
    path = file(*LONG, header="t,Register,kWh")
    document = json.loads(call(path, "--timezone", "UTC", "--json").stdout)
    options = dict(options_of(document["command"]))
    assert options["--columns"].endswith("register=Register,import=Offtake,export=Injection")
    assert "--where" not in options
    again = json.loads(call(path, "--timezone", "UTC", "--columns", options["--columns"], "--json").stdout)
    assert again["records"]["records_written"] == document["records"]["records_written"] == len(HOURS)


def test_a_file_with_the_columns_of_a_preset_is_told_so(file):
    rows = [f"SA1,2025/01/01 {hour:02}:00:00,{1000 + hour},1,TRADE" for hour in range(1, 24)]
    path = file(*rows, header="REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE")
    ended = call(path, "--json")
    assert ended.exit_code == OPEN
    assert {"topic": "format", "value": "perhaps aemo", "assumed": False}.items() <= next(
        statement for statement in json.loads(ended.stdout)["files"][0]["statements"] if statement["topic"] == "format"
    ).items()
    document = json.loads(call(path, "--format", "aemo", "--json").stdout)
    assert document["command"] == f"./pipeline run energy --files {path} --format aemo"
    assert document["records"]["unit"] == "MW"
    assert call(path, "--format", "aemu").exit_code == FAILED


def test_presets_are_listed_and_shown():
    listed = CliRunner().invoke(FORMATS, [], env={"COLUMNS": "160"})
    assert listed.exit_code == 0
    lines = listed.stdout.splitlines()
    assert any("fluvius" in line and "Flanders" in line and line.rstrip().endswith(" tried") for line in lines)
    assert any("e-distribucion" in line and line.rstrip().endswith("untried") for line in lines)
    shown = CliRunner().invoke(FORMATS, ["fluvius"]).stdout
    assert "leave_out = [" in shown
    assert "formats/fluvius.toml" in shown
    assert "untried: no public description is named" in CliRunner().invoke(FORMATS, ["e-distribucion"]).stdout
    documents = json.loads(CliRunner().invoke(FORMATS, ["--json"]).stdout)
    assert {document["name"]: document["is_tried"] for document in documents}["e-distribucion"] is False
    assert json.loads(CliRunner().invoke(FORMATS, ["smard", "--json"]).stdout)["timezone"] == "Europe/Berlin"
    refused = CliRunner().invoke(FORMATS, ["smart"])
    assert (refused.exit_code, "there is no preset named 'smart'" in refused.stderr) == (FAILED, True)


def test_an_untried_preset_is_confirmed_in_the_command(file):
    header = "CUPS;Fecha;Hora;AE_kWh;AS_KWh;AE_AUTOCONS_kWh;REAL/ESTIMADO"
    path = file(*(f"ES1;01/05/2026;{hour};0,{hour};0,1;0,0;R" for hour in range(1, 25)), header=header)
    document = json.loads(call(path, "--format", "e-distribucion", "--json").stdout)
    assert document["command"].endswith(" --format e-distribucion --accept-untried")
