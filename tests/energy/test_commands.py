"""`./pipeline inspect`: what it prints, its exit codes, and that its command does what it says."""

import json
import shlex

import pytest
import typer
from typer.testing import CliRunner

from include.energy.commands import FAILED, OPEN, examine, inspect
from include.energy.generator import generate
from include.energy.params import GeneratorParams
from include.energy.schemas import SOURCE

HOURS = [f"2026-01-05 {hour:02}:00" for hour in range(24)]
APP = typer.Typer()
APP.command()(inspect)


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
