"""The list of runs, on a terminal and in a pipe, and a run found by what a person knows of it."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from include.cli import app as command_line
from include.cli.app import app
from include.cli.runs import ListedRun, find_pipeline, find_runs, listed, params_rows, params_table, run_of, runs_table
from include.core.errors import BadInputError
from include.reporting.report import build_report, write_report
from tests.reporting.runs import NOW, good_run

RUN = "manual__2026-03-01"


def call(*arguments):
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def two_runs(data_dir):
    """A run with a report, and one that began later and has none."""
    folder = good_run(data_dir)
    write_report(folder, build_report(folder, now=NOW))
    (data_dir / "runs" / "energy_pipeline" / "manual__lost").mkdir()


def test_runs_are_listed_the_latest_first_with_interval_status_and_report(two_runs):
    lost, good = listed(find_runs())
    assert (lost.run, lost.status, lost.report) == ("manual__lost", "running or lost", "")
    assert (good.run, good.status) == (RUN, "success")
    assert good.report.endswith(".html")


def test_a_pipe_gets_a_line_a_run_with_all_that_a_terminal_has_no_room_for(two_runs):
    head, *rows = [line.split("\t") for line in call("runs").stdout.splitlines()]
    assert tuple(head) == ListedRun._fields
    assert [row[0] for row in rows] == ["manual__lost", RUN]
    assert rows[1][-1].endswith(".html")
    assert [run["run"] for run in json.loads(call("runs", "--json", "--latest", "1").stdout)] == ["manual__lost"]


def test_a_terminal_gets_a_table_in_which_a_day_is_its_date():
    day = ListedRun("manual__1", "energy", "2026-01-01 00:00", "2026-01-02 00:00", "success", "1.0", "r.html")
    hour = day._replace(run="manual__2", end="2026-01-01 01:00", status="failed")
    printed = io.StringIO()
    Console(file=printed, width=100).print(runs_table([day, hour, day._replace(start="", end="", status="odd")]))
    _, first, second, third = [line.strip() for line in printed.getvalue().splitlines() if "  " in line.strip()]
    assert first.split() == ["energy", "2026-01-01", "✓", "success", "1.0", "manual__1"]
    assert "2026-01-01 00:00 – 2026-01-01 01:00" in second
    assert third.split() == ["energy", "odd", "1.0", "manual__1"]


def test_a_report_is_found_by_run_pipeline_or_day(two_runs):
    found = {call("report", name).stdout.splitlines()[-1] for name in (RUN, "energy", "2026-02-28")}
    assert len(found) == 1
    assert RUN in found.pop()
    assert run_of("no-such-name") is None
    with pytest.raises(BadInputError, match=r"there is no report of 1999-01-01 .*; ./pipeline runs lists the runs"):
        run_of("1999-01-01")


def test_open_starts_the_browser_with_the_page(two_runs, monkeypatch):
    opened = []
    monkeypatch.setattr(command_line.webbrowser, "open", lambda uri: opened.append(uri) or len(opened) == 1)
    assert call("open", "energy").exit_code == 0
    assert opened[0].startswith("file:///")
    assert opened[0].endswith(".html")
    assert "no browser could be started here" in call("open").stderr


def test_the_parameters_of_a_pipeline_are_listed_with_bounds_default_and_meaning():
    energy = find_pipeline("energy")
    rows = {name: rest for name, *rest in params_rows(energy)}
    assert rows["households"] == ["whole number ≥ 1, ≤ 1,000", "20", "How many households to generate."]
    assert list(rows) == list(energy.params)
    assert params_table(energy).row_count == len(rows)
    assert call("params", "energy").stdout.splitlines()[0].split("\t")[0] == next(iter(rows))


def test_an_unknown_pipeline_is_refused_with_those_that_there_are(data_dir):
    done = call("runs", "gas")
    assert (done.exit_code, done.stderr.startswith("error: no pipeline named gas; there are: energy,")) == (2, True)


def test_without_runs_an_empty_list_is_the_header_alone(data_dir):
    assert call("runs").stdout == "\t".join(ListedRun._fields) + "\n"
