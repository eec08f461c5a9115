"""The commands and their options. Exit codes: 0 success, 1 a step failed, 2 usage, 130 interrupted."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from include.cli.env import env_app
from include.core.errors import BadInputError, GroundtruthError
from include.core.pipeline import Pipeline

USAGE, FAILED = 2, 1
err = Console(stderr=True, highlight=False)
app = typer.Typer(
    help="Run and inspect pipelines whose green runs are proven.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(env_app, name="env")


def fail(message: object, code: int) -> typer.Exit:
    """Print an error in words; raise what it returns."""
    err.print(f"[bold red]error:[/] {_escape(str(message))}", soft_wrap=True)
    return typer.Exit(code)


@app.command()
def run(  # noqa: PLR0913, PLR0917 - one argument for each option of the command
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help="Name of the pipeline; `./pipeline list` shows them.")
    ],
    date: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            metavar="YYYY-MM-DD",
            help="The day to run: 00:00 to 24:00 in --timezone, else UTC. Default: yesterday.",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Start of the interval, inclusive (ISO 8601).")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End of the interval, exclusive (ISO 8601).")] = None,
    csv: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Your own meter file (CSV, also gzip); give it again for more files."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD=COLUMN,…",
            help="What your columns hold: timestamp, household_id (or @NAME for one household) and one of power_kw, "
            "power_mw, energy_kwh; voltage and current if measured.",
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE", help="Zone of stamps without one: Europe/Berlin, or a fixed offset such as +10:00."
        ),
    ] = None,
    stamp: Annotated[
        str | None, typer.Option(metavar="start|end", help="Which end of its interval a stamp marks. Default: start.")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(metavar="local|docker", help="Where steps run. Default: GROUNDTRUTH_RUNTIME, else local."),
    ] = None,
    skip_download: Annotated[
        bool, typer.Option("--skip-download", help="Take the usable dates of the imagery store; no network.")
    ] = False,
    skip_validation: Annotated[
        bool, typer.Option("--skip-validation", help="Only count the dates against min_dates.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="demo|sentinelhub|cdse",
            help="Where imagery comes from. Default: demo, a local stand-in that needs no credentials.",
        ),
    ] = None,
    scenes: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of GeoTIFF scenes that the stand-in serves instead of simulated ones."
        ),
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(metavar="W,S,E,N", help="Bounding box of the area, degrees. Default: Ludhiana.")
    ] = None,
    geojson: Annotated[
        Path | None, typer.Option(metavar="FILE", help="GeoJSON file whose polygon is the area; replaces --bbox.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Parameters from a JSON file, or `demo`: simulated imagery, quick models."
        ),
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Answer yes where the run asks for approval; nobody else can here.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other parameter (docs/reference, a page for each pipeline); repeat it for more.",
        ),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the report's JSON, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Run a pipeline under Airflow, show its progress, and end with its report.

    Progress goes to stderr. The last line on stdout is `report: PATH`.
    """
    from include.cli.interval import interval_params, lookback_params
    from include.cli.profiles import own_files, read_area, read_box, read_profile
    from include.cli.run import Request, run_pipeline

    found = _find(pipeline)
    options: dict[str, Any] = {"start": start, "end": end, "columns": columns, "timezone": timezone, "stamp": stamp}
    options |= {"csv": [str(path) for path in csv] if csv else None, "source": source}
    options |= {"skip_download": skip_download or None, "skip_validation": skip_validation or None}
    if runtime not in (None, "local", "docker"):
        raise fail(f"--runtime: {runtime} is neither local nor docker", USAGE)
    try:
        options |= {"bbox": read_box(bbox) if bbox else None, "geojson": read_area(geojson) if geojson else None}
        params = (read_profile(profile) if profile else {}) | _given(set_ or [], options)
        asked = date, params.pop("start", None), params.pop("end", None), params.get("timezone")
        if "days_back" in found.params:
            params |= lookback_params(*asked)
        elif "start" in found.params or any(asked[:3]):
            params |= interval_params(*asked, params.get("csv"))
        params = found.check_params(params | own_files(params, found.file_params))
        request = Request(found, params, runtime, scenes=_folder(scenes, params), profile=profile, approve=approve)
    except BadInputError as error:
        raise fail(error, USAGE) from None
    code = run_pipeline(request, as_json=json_, console=err)
    raise typer.Exit(code)


@app.command()
def validate(files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pipeline definitions (JSON).")]) -> None:
    """Check pipeline definitions; print every fault with its JSON path."""
    from include.core.definitions import DefinitionError, load_definition
    from include.registry import KNOWN_STEPS

    faulty = 0
    for file in files:
        try:
            definition = load_definition(file, KNOWN_STEPS)
            order = " → ".join(spec.id for spec in definition.steps)
            err.print(f"[green]✓[/] {file}: {_escape(definition.workflow_name)}: {_escape(order)}", soft_wrap=True)
        except DefinitionError as error:
            faulty += 1
            err.print(f"[red]✗[/] {_escape(str(error))}", soft_wrap=True)
    raise typer.Exit(FAILED if faulty else 0)


@app.command("list")
def list_() -> None:
    """List the pipelines: schedule, steps, last run."""
    from include.cli.view import pipelines_table
    from include.registry import all_pipelines

    pipelines, errors = all_pipelines()
    Console().print(pipelines_table(pipelines))
    for error in errors:
        err.print(f"[red]✗[/] {_escape(str(error))}", soft_wrap=True)
    raise typer.Exit(FAILED if errors else 0)


@app.command()
def report(
    run_name: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Name of a run, or its folder. Default: the latest.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report's JSON on stdout.")] = False,
) -> None:
    """Show the report of a run."""
    from include.cli.view import find_report, show_report

    try:
        path = find_report(run_name)
    except GroundtruthError as error:
        raise fail(error, FAILED) from None
    if json_:
        sys.stdout.write(path.read_text())
        return
    show_report(json.loads(path.read_bytes()), Console())
    sys.stdout.write(f"report: {path}\n")


@app.command()
def doctor() -> None:
    """Say what this machine can and cannot do, and how to mend each."""
    from include.cli.doctor import examine, table

    checks = examine()
    Console().print(table(checks))
    raise typer.Exit(FAILED if any(check.status == "fault" for check in checks) else 0)


def _folder(scenes: Path | None, params: dict[str, Any]) -> Path | None:
    """The folder of scenes, where the run takes its imagery from the stand-in."""
    if scenes is None:
        return None
    if params.get("source") != "demo":
        raise BadInputError("--scenes: only a pipeline with --source demo takes scenes from a folder")
    if not scenes.is_dir():
        raise BadInputError(f"--scenes: no such folder: {scenes}")
    return scenes.resolve()


def _find(name: str) -> Pipeline:
    from include.registry import all_pipelines

    pipelines, errors = all_pipelines()
    for pipeline in pipelines:
        if name in (pipeline.definition.pipeline, pipeline.definition.dag_id, pipeline.definition.workflow_name):
            return pipeline
    for error in errors:
        err.print(f"[yellow]![/] {_escape(str(error))}", soft_wrap=True)
    known = ", ".join(pipeline.definition.pipeline for pipeline in pipelines)
    raise fail(f"no pipeline named {name}; there are: {known}", USAGE)


def _given(assignments: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """The parameters by name, from `--set` and from the options of their own."""
    given = [*map(_assignment, assignments), *((name, value) for name, value in options.items() if value is not None)]
    params = dict(given)
    if len(params) < len(given):
        twice = sorted({name for name, _ in given if [other for other, _ in given].count(name) > 1})
        raise BadInputError(f"{', '.join(twice)}: given more than once")
    return params


def _assignment(text: str) -> tuple[str, Any]:
    """`NAME=VALUE`: JSON where it is JSON (numbers, true, lists), nothing where it is `none`, else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise fail(f"--set: {text!r} must be NAME=VALUE", USAGE)
    if value.lower() == "none":
        return name.strip(), None
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
