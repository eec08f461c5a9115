"""The commands and their options. Exit codes: 0 success, 1 a step failed, 2 usage, 130 interrupted."""

from __future__ import annotations

import inspect
import json
import os
import sys
import webbrowser
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from include.cli.before_setup import version
from include.cli.env import env_app
from include.cli.services import services_app
from include.cli.terminal import shown, shown_message
from include.core.contracts import imported
from include.core.domain import Domain
from include.core.errors import BadInputError, GroundtruthError
from include.core.pipeline import Pipeline
from include.core.settings import RUNTIMES
from include.core.text import printable, printable_json
from include.domains import DOMAINS

USAGE, FAILED = 2, 1
err = Console(stderr=True, highlight=False)
app = typer.Typer(
    help="Run and inspect pipelines whose green runs are proven.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def add_domain_commands(target: typer.Typer, domains: Iterable[Domain]) -> None:
    """Add the commands and command groups of domains to an application."""
    for domain in domains:
        for name, place in domain.commands.items():
            command = imported(place)
            if isinstance(command, typer.Typer):
                target.add_typer(command, name=name)
            else:
                target.command(name=name)(command)


def _show_version(*, asked: bool) -> None:
    if asked:
        sys.stdout.write(f"{version()}\n")
        raise typer.Exit


@app.callback()
def _options(
    version_: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda asked: _show_version(asked=asked),
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Run and inspect pipelines whose green runs are proven."""


app.add_typer(env_app, name="env")
app.add_typer(services_app, name="services")
add_domain_commands(app, DOMAINS)


def fail(message: object, code: int) -> typer.Exit:
    """Print an error in words; raise what it returns."""
    err.print(f"[bold red]error:[/] {shown_message(message)}", soft_wrap=True)
    return typer.Exit(code)


def _with_domain_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of all domains to a command that takes them as keyword arguments."""
    signature = inspect.signature(command, eval_str=True)
    parameters = {name: item for name, item in signature.parameters.items() if item.kind is not item.VAR_KEYWORD}
    for owner, option in ((each, option) for each in DOMAINS for option in each.options):
        kind: Any = list[str] | None if option.repeated else str | None if option.metavar else bool
        parameters[option.name] = inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if option.metavar else False,
            annotation=Annotated[
                kind,
                typer.Option(
                    *option.flags,
                    metavar=option.metavar,
                    help=option.help,
                    rich_help_panel=f"Options of {owner.name} pipelines",
                ),
            ],
        )
    command.__signature__ = signature.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    return command


EXAMPLES = "Examples:\n\n" + "\n\n".join(
    f"./pipeline run {example}" for domain in DOMAINS for example in domain.examples
)


@app.command(epilog=EXAMPLES)
@_with_domain_options
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
    runtime: Annotated[
        str | None,
        typer.Option(metavar="|".join(RUNTIMES), help="Where steps run. Default: GROUNDTRUTH_RUNTIME, else local."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Parameters from a JSON file, or the profile `demo`: quick, and without an account.",
        ),
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Answer yes where the run asks for approval; nobody else can here.")
    ] = False,
    audit: Annotated[
        bool,
        typer.Option("--audit", help="Recompute everything that the steps state, not a sample of it; takes longer."),
    ] = False,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish", help="Publish in place of the schedule's results, which are kept. Default: below manual/."
        ),
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
    **domain_options: Any,
) -> None:
    """Run a pipeline under Airflow, show its progress, and end with its report.

    Progress goes to stderr. The last line on stdout is `report: PATH`.
    """
    from include.cli.early import check_early
    from include.cli.params import read_params
    from include.cli.run import missing_set_up, run_environment, run_pipeline
    from include.core.settings import get_settings
    from include.pipelines import domain_of_pipeline

    target = _find(pipeline)
    domain = domain_of_pipeline(target)
    if domain and missing_set_up(domain):
        raise fail(f"the {domain.name} pipelines are not set up yet; run: tools/setup {domain.name}", USAGE)
    if runtime is not None and runtime not in RUNTIMES:
        raise fail(f"--runtime: {runtime} is not one of {', '.join(RUNTIMES)}", USAGE)
    try:
        switches = [name for name, given in (("audit", audit), ("publish", publish)) if given]
        params = read_params(
            target, domain_options, set_ or [], profile, date=date, start=start, end=end, switches=switches
        )
        check_early(target, params, runtime or get_settings().runtime)
        options = {**domain_options, "profile": profile}
        environment = run_environment(target, params, options, runtime=runtime, approve=approve)
        code = run_pipeline(target, params, environment, as_json=json_, console=err)
    except BadInputError as error:
        raise fail(error, USAGE) from None
    raise typer.Exit(code)


@app.command(
    epilog="Examples:\n\n./pipeline new meter-totals\n\n./pipeline new meter-totals --image my/tool:1\n\n"
    "GROUNDTRUTH_DEFINITIONS_DIR=~/pipelines ./pipeline new meter-totals"
)
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the pipeline: meter-totals becomes the DAG meter_totals.")
    ],
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="IMAGE", help="The step is a command in this image, not a Python function."),
    ] = None,
) -> None:
    """Write a new pipeline that runs at once: its definition, a step with its contract, a test, a page for the UI."""
    from include.cli.new import scaffold
    from include.core.settings import get_settings

    try:
        files = scaffold(name, get_settings().definitions_dir, image)
    except BadInputError as error:
        raise fail(error, USAGE) from None
    for file in files:
        sys.stdout.write(f"{printable(os.path.relpath(file))}\n")
    test = os.path.relpath(next(file for file in files if file.name.startswith("test_")))
    pipeline = name.replace("-", "_")
    err.print(
        f"run it:   ./pipeline run {pipeline}\nwith Airflow: source env.sh && airflow dags test {pipeline}\n"
        f"test it:  make setup-dev && .venv/bin/python -m pytest {shown(test)}\nreference: make docs",
        soft_wrap=True,
    )


@app.command()
def validate(files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pipeline definitions (JSON).")]) -> None:
    """Check pipeline definitions; print every fault with its JSON path."""
    from include.core.definitions.document import DefinitionError
    from include.core.definitions.load import load_definition
    from include.pipelines import names_in_use, registered_steps, take_names

    faulty, steps, names = 0, registered_steps(), names_in_use([file.resolve() for file in files])
    for file in files:
        try:
            definition = load_definition(file, steps)
            take_names(definition, names)
            order = " → ".join(spec.id for spec in definition.steps)
            err.print(f"[green]✓[/] {shown(f'{file}: {definition.workflow_name}: {order}')}", soft_wrap=True)
        except DefinitionError as error:
            faulty += 1
            err.print(f"[red]✗[/] {shown_message(error)}", soft_wrap=True)
    raise typer.Exit(FAILED if faulty else 0)


@app.command("list")
def list_() -> None:
    """List the pipelines: schedule, steps, last run."""
    from include.cli.view import pipelines_table
    from include.pipelines import all_pipelines

    pipelines, errors = all_pipelines()
    Console().print(pipelines_table(pipelines))
    for error in errors:
        err.print(f"[red]✗[/] {shown_message(error)}", soft_wrap=True)
    raise typer.Exit(FAILED if errors else 0)


@app.command()
def report(
    run_name: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run, its folder, a pipeline or a day (YYYY-MM-DD). Default: the latest run."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report's JSON on stdout.")] = False,
) -> None:
    """Show the report of a run."""
    from include.cli.view import find_report, read_report, show_report

    try:
        path = find_report(run_name)
        document = read_report(path)
    except GroundtruthError as error:
        raise fail(error, FAILED) from None
    if json_:
        sys.stdout.write(printable_json(path.read_text(encoding="utf-8")))
        return
    show_report(document, Console())
    sys.stdout.write(f"report: {printable(str(path))}\n")


@app.command("open")
def open_(
    run_name: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run, its folder, a pipeline or a day (YYYY-MM-DD). Default: the latest run."
        ),
    ] = None,
) -> None:
    """Open the report of a run in the browser; prints its path, too."""
    from include.cli.view import find_report

    try:
        page = find_report(run_name).with_suffix(".html").resolve()
    except GroundtruthError as error:
        raise fail(error, FAILED) from None
    sys.stdout.write(f"report: {printable(str(page))}\n")
    if not webbrowser.open(page.as_uri()):
        err.print("[yellow]![/] no browser could be started here", soft_wrap=True)


@app.command()
def runs(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="PIPELINE", help="Only runs of this pipeline. Default: of all.")
    ] = None,
    latest: Annotated[
        int | None,
        typer.Option("--latest", "-n", min=1, metavar="N", help="So many. Default: 20 on a terminal, else all."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """List the runs, the latest first: pipeline, interval (UTC), status, report.

    Into a pipe or a file it writes one line a run, its fields separated by tabs, the path of the report last.
    """
    from include.cli.runs import ListedRun, find_runs, listed, runs_table

    is_terminal = sys.stdout.isatty()
    try:
        entries = find_runs(pipeline)
    except BadInputError as error:
        raise fail(error, USAGE) from None
    shown_runs = listed(entries[: latest or (20 if is_terminal and not json_ else None)])
    if json_:
        documents = [run._asdict() for run in shown_runs]
        sys.stdout.write(printable_json(json.dumps(documents, indent=2, ensure_ascii=False)) + "\n")
    elif not is_terminal:
        for row in (ListedRun._fields, *shown_runs):
            sys.stdout.write("\t".join(row) + "\n")
    elif entries:
        Console().print(runs_table(shown_runs))
    else:
        of = "" if pipeline is None else f" of {shown(pipeline)}"
        err.print(f"there are no runs{of} yet; begin with ./pipeline run", soft_wrap=True)


@app.command(
    epilog="Examples:\n\n./pipeline watch\n\n./pipeline watch scheduled__2026-06-01\n\n"
    "./pipeline watch --json | jq -r 'select(.kind == \"failed\") | .message'"
)
def watch(
    run_name: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run, the beginning of its id, its folder, or a pipeline. Default: the latest run."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
) -> None:
    """Show the events of a run as they happen, those of the past first, until it ends.

    The exit code is that of the run: 0 where it succeeded, 1 where it failed or was killed. Ctrl+C ends watching, not
    the run.
    """
    from include.cli.run import INTERRUPTED_CODE
    from include.cli.watch import find_run
    from include.cli.watch import watch as watch_run

    try:
        code = watch_run(find_run(run_name), as_json=json_, out=Console(highlight=False), err=err)
    except BadInputError as error:
        raise fail(error, USAGE) from None
    except KeyboardInterrupt:
        code = INTERRUPTED_CODE
    raise typer.Exit(code)


@app.command()
def params(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Name of the pipeline.")],
) -> None:
    """List the parameters of a pipeline: what each holds with its bounds, its default and its meaning.

    `./pipeline run PIPELINE --set NAME=VALUE` sets one.
    """
    from include.cli.runs import params_rows, params_table

    target = _find(pipeline)
    if sys.stdout.isatty():
        Console().print(params_table(target))
    else:
        for row in params_rows(target):
            sys.stdout.write("\t".join(row) + "\n")


@app.command()
def inbox(
    feed: Annotated[str | None, typer.Argument(metavar="FEED", help="Name of a feed. Default: all.")] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Take the files that are complete and run their days now, without a scheduler."),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="With --once: run days again whose run failed with the same files.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """Show the feeds of data/inbox: files that wait, were taken or rejected, published days, silence.

    Exit codes: 0, or 1 if a feed is silent, cannot be read, or has a rejected file or a day that failed.
    """
    from include.cli.inbox import run_inbox

    if retry and not once:
        raise fail("--retry goes with --once", USAGE)
    try:
        code = run_inbox(feed, once=once, retry=retry, as_json=json_, console=err)
    except BadInputError as error:
        raise fail(error, USAGE) from None
    except GroundtruthError as error:
        raise fail(error, FAILED) from None
    raise typer.Exit(code)


SUBJECTS = {domain.subject.name: domain for domain in DOMAINS if domain.subject}


def _with_subjects(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for the subject of each domain to a command that takes them as keyword arguments."""
    signature = inspect.signature(command, eval_str=True)
    parameters = [item for item in signature.parameters.values() if item.kind is not item.VAR_KEYWORD]
    for name, domain in SUBJECTS.items():
        option = typer.Option(f"--{name}", metavar="ID", help=domain.subject.help if domain.subject else "")
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, kind, default=None, annotation=Annotated[str | None, option]))
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


@app.command()
@_with_subjects
def forget(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="State what would be done, and change nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the record as JSON on stdout.")] = False,
    **subjects: str | None,
) -> None:
    """Remove a subject of the data, such as a meter, from published results, runs, the inbox, feeds and reports.

    It cannot be undone: begin with --dry-run. Exit codes: 0, or 1 if something still holds the subject.
    """
    from include.cli.forget import run_forget

    named = {name: value for name, value in subjects.items() if value}
    if len(named) != 1:
        raise fail(f"name one subject: {', '.join(f'--{name} ID' for name in SUBJECTS)}", USAGE)
    [(name, value)] = named.items()
    try:
        code = run_forget(SUBJECTS[name], value, dry_run=dry_run, as_json=json_, console=err)
    except GroundtruthError as error:
        raise fail(error, FAILED) from None
    raise typer.Exit(code)


@app.command()
def housekeeping(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="State what would be removed, and remove nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """Remove what is older than the settings GROUNDTRUTH_KEEP_… allow: runs, logs, replaced results, unused scenes.

    The DAG `maintenance` does the same every hour.
    """
    from include.cli.housekeeping import run_housekeeping

    try:
        run_housekeeping(dry_run=dry_run, as_json=json_)
    except GroundtruthError as error:
        raise fail(error, FAILED) from None


@app.command()
def metrics(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, metavar="PORT", help="Serve them at /metrics until Ctrl+C.")
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="With --port: the address to listen on.")] = "127.0.0.1",
) -> None:
    """Print the metrics of this deployment for Prometheus: last runs, deadlines, quotas, disk."""
    from include.cli.metrics import metrics_server, metrics_text

    if port is None:
        sys.stdout.write(metrics_text())
        return
    with metrics_server(host, port) as server:
        err.print(f"http://{host}:{server.server_address[1]}/metrics", soft_wrap=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise typer.Exit from None


@app.command()
def doctor() -> None:
    """Check what this machine lacks, and how to fix it."""
    from include.cli.doctor import examine, table

    checks = examine()
    Console().print(table(checks))
    raise typer.Exit(FAILED if any(check.status == "fault" for check in checks) else 0)


def _find(name: str) -> Pipeline:
    from include.cli.runs import find_pipeline
    from include.pipelines import all_pipelines

    try:
        return find_pipeline(name)
    except BadInputError as missing:
        for error in all_pipelines()[1]:
            err.print(f"[yellow]![/] {shown_message(error)}", soft_wrap=True)
        raise fail(missing, USAGE) from None
