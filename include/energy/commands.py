"""`./pipeline inspect`: what meter files are, what shows it, what is open, and the command that runs them."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from include.core.errors import BadInputError, GroundtruthError
from include.core.run_folder import SOURCE_FOLDER
from include.core.text import printable, printable_json
from include.energy.params import GeneratorParams
from include.energy.presets import Preset, complete_params, find_presets, own_folder, preset_of

if TYPE_CHECKING:
    from include.energy.inspection.plan import Question, Statement
    from include.energy.readers.base import Sample
    from include.energy.schemas import EnergySource, SourceFile
    from include.energy.unpack import Text

FAILED, OPEN = 1, 3


@dataclass(frozen=True)
class Inspected:
    """What is understood of an input file, or of a member of an archive.

    Args:
        name: What messages call it.
        format: The reader's name.
        statements: What holds, with the evidence.
        questions: What is open.
        mapping: The `--columns` that states what was understood, "" where the format states it.
        where: The `--where` options that state which rows were chosen.
    """

    name: str
    format: str
    statements: tuple[Statement, ...]
    questions: tuple[Question, ...]
    mapping: str = ""
    where: tuple[str, ...] = ()


def inspect(  # noqa: PLR0913, PLR0917 - one argument for each option of the command
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…", help="Meter files: delimited text, NEM12, Green Button XML, workbooks, JSON, ZIP."
        ),
    ],
    columns: Annotated[
        str | None, typer.Option(metavar="FIELD=COLUMN,…", help="As of `run`: what columns hold.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="Zone of stamps without one.")] = None,
    stamp: Annotated[
        str | None, typer.Option(metavar="start|end", help="Which end of its interval a stamp marks.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="Unit of the values: kWh, Wh, MWh, kW, W, MW.")
    ] = None,
    date_order: Annotated[str | None, typer.Option(metavar="dmy|mdy", help="Order of day and month in dates.")] = None,
    decimal: Annotated[str | None, typer.Option(metavar=".|,", help="Decimal mark.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="COLUMN=TEXT", help="Rows to read.")] = None,
    resample: Annotated[
        str | None, typer.Option(metavar="INTERVAL", help="Interval to which registers are interpolated: 1h.")
    ] = None,
    register_digits: Annotated[
        int | None, typer.Option(metavar="N", help="Digits of a register before the decimal mark.")
    ] = None,
    zeros_omitted: Annotated[
        bool, typer.Option("--zeros-omitted", help="Intervals that files leave out used nothing.")
    ] = False,
    meters: Annotated[Path | None, typer.Option(metavar="FILE", help="Describes the connection points (TOML).")] = None,
    preset: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="Preset that states what the files hold.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """Show what meter files are, what shows it, what is open, and the command that runs them.

    Exit codes: 0 the files can be run with the command that is shown, 1 they cannot be read, 3 a question is open.
    """
    stated = {
        "columns": columns, "timezone": timezone, "stamp": stamp, "unit": unit, "date_order": date_order,
        "decimal": decimal, "where": tuple(where or ()), "resample": resample, "register_digits": register_digits,
        "meters": meters and meters.name,
        "zeros_omitted": zeros_omitted,
        "format": preset,
    }  # fmt: skip
    try:
        completed = complete_params({k: v for k, v in stated.items() if v} | {"accept_untried": True})
        params = GeneratorParams(files=tuple(path.name for path in files), **completed)
    except ValueError as error:
        raise _failed(_first_error(error), as_json=as_json) from None
    except GroundtruthError as error:
        raise _failed(str(error), as_json=as_json) from None
    try:
        inspected, source, refused = examine(files, params, meters)
    except GroundtruthError as error:
        raise _failed(str(error), as_json=as_json) from None
    command = None if source is None else _command(files, params, inspected, source, stated | {"meters": meters})
    document = {
        "files": [asdict(file) for file in inspected],
        "records": None if source is None else json.loads(source.model_dump_json(exclude={"files", "findings"})),
        "findings": [] if source is None else [finding.model_dump() for finding in source.findings],
        "refused": refused,
        "command": command,
    }
    if as_json:
        typer.echo(printable_json(json.dumps(document, indent=2, ensure_ascii=False, default=str)))
    else:
        _print(inspected, source, refused, command)
    if any(file.questions for file in inspected):
        raise typer.Exit(OPEN)
    if refused:
        raise typer.Exit(FAILED)


def _first_error(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in error.errors())


def _failed(message: str, *, as_json: bool) -> typer.Exit:
    if as_json:
        typer.echo(printable_json(json.dumps({"refused": message}, ensure_ascii=False)))
    else:
        typer.secho(f"error: {printable(message)}", fg="red", err=True)
    return typer.Exit(FAILED)


def examine(
    files: Sequence[Path], params: GeneratorParams, meters: Path | None = None
) -> tuple[list[Inspected], EnergySource | None, str | None]:
    """Understand files, and convert them in a temporary folder where nothing is open.

    Args:
        files: The files.
        params: What the user states of them; `files` holds their names.
        meters: The file that describes the connection points.

    Returns:
        What each file is; the account of their readings; why they cannot be run, which is what `run` would say.

    Raises:
        BadInputError: A file cannot be read at all.
        SetupError: The temporary folder cannot be written.
    """
    from include.energy.conversion import convert
    from include.energy.db import connect
    from include.energy.params import answers_of
    from include.energy.readers.base import candidates, choose, take_samples
    from include.energy.readers.delimited import DelimitedReader, inspect_text
    from include.energy.unpack import unpack

    readers, inspected = candidates(params), []
    with tempfile.TemporaryDirectory(prefix="groundtruth-inspect-") as scratch:
        folder = Path(scratch)
        (folder / SOURCE_FOLDER).mkdir()
        for path in (*files, *([meters] if meters else ())):
            if not path.is_file():
                raise BadInputError(f"{path}: there is no such file")
            (folder / SOURCE_FOLDER / path.name).symlink_to(path.resolve())
        try:
            for path in files:
                texts = unpack(folder / SOURCE_FOLDER / path.name, path.name, folder)
                for text, sample in zip(texts, take_samples(texts), strict=True):
                    reader = choose(sample, params, readers)
                    statements = tuple(_container(text))
                    if isinstance(reader, DelimitedReader):
                        with connect(folder) as db:
                            found, _ = inspect_text(sample, answers_of(params), db)
                            alike = _fitting(sample, params)
                        file = Inspected(
                            sample.name,
                            reader.name,
                            (*statements, *alike, *found.statements),
                            found.questions,
                            found.mapping,
                            found.where,
                        )
                    else:
                        file = Inspected(sample.name, reader.name, statements, ())
                    inspected.append(file)
            if any(file.questions for file in inspected):
                return inspected, None, None
            source = convert(folder, params)
            return [_with_stated(file, read) for file, read in zip(inspected, source.files, strict=True)], source, None
        except BadInputError as error:
            return inspected, None, str(error)


def _with_stated(file: Inspected, read: SourceFile) -> Inspected:
    """Return a file with what its reader states of it, where the format states it."""
    from include.energy.inspection.plan import Statement

    if file.mapping:
        return file
    return replace(file, statements=(*file.statements, *(Statement(**item.model_dump()) for item in read.understood)))


def _container(text: Text) -> Iterator[Statement]:
    from include.energy.inspection.plan import Statement

    if text.containers:
        yield Statement("container", ", ".join(text.containers))
    yield Statement("encoding", text.encoding)
    if text.locator != "line":
        yield Statement("line numbers", f"count {text.locator}s")


def _fitting(sample: Sample, params: GeneratorParams) -> Iterator[Statement]:
    """Yield which presets have the columns that a file has, where none is stated."""
    from include.energy.inspection.layout import find_table
    from include.energy.inspection.plan import Statement

    header = find_table(sample.path, sample.name).file.columns
    names = [preset.name for preset, _ in find_presets() if params.format is None and preset.fits(header)]
    if names:
        yield Statement("format", f"perhaps {' or '.join(names)}", "it has these columns; --format states the rest")


def _command(
    files: Sequence[Path],
    params: GeneratorParams,
    inspected: Sequence[Inspected],
    source: EnergySource,
    stated: Mapping[str, Any],
) -> str:
    """Return the command that runs the files as they were understood."""
    words = ["./pipeline", "run", "energy"]
    for path in files:
        words += ["--files", str(path)]
    if params.format:
        words += [
            word
            for name, value in stated.items()
            for text in (value if isinstance(value, tuple) else (value,))
            if text
            for word in (f"--{name.replace('_', '-')}", str(text))
        ]
        return shlex.join([*words, *(() if preset_of(params.format).is_tried else ("--accept-untried",))])
    mappings = {file.mapping for file in inspected}
    columns = mappings.pop() if len(mappings) == 1 else params.columns
    options: dict[str, Any] = {"columns": columns, "timezone": params.timezone}
    ends = {file.stamp for file in source.files}
    if len(ends) == 1 and mappings == set() and columns:
        options["stamp"] = ends.pop()
    elif params.stamp:
        options["stamp"] = params.stamp
    options |= {"date-order": params.date_order, "decimal": params.decimal}
    options |= {"resample": params.resample, "register-digits": params.register_digits, "meters": stated["meters"]}
    options["unit"] = None if columns else params.unit
    for name, value in options.items():
        words += [f"--{name}", str(value)] if value else []
    chosen = {file.where for file in inspected}
    words += ["--zeros-omitted"] * params.zeros_omitted
    for condition in chosen.pop() if len(chosen) == 1 else params.where:
        words += ["--where", condition]
    return shlex.join(words)


def _print(
    inspected: Sequence[Inspected], source: EnergySource | None, refused: str | None, command: str | None
) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)

    def shown(text: str) -> str:
        return escape(printable(text))

    for file in inspected:
        table = Table(box=box.SIMPLE, title=f"[bold]{shown(file.name)}[/]: {file.format}", title_justify="left")
        table.add_column("", style="bold", no_wrap=True)
        table.add_column("what it is", overflow="fold")
        table.add_column("what shows it", overflow="fold", style="dim")
        for statement in file.statements:
            value = shown(statement.value) + (" [yellow](assumed)[/]" if statement.assumed else "")
            table.add_row(statement.topic, value, shown(statement.evidence))
        console.print(table)
        for question in file.questions:
            console.print(f"[bold yellow]?[/] {shown(question.text)}. Say which:", soft_wrap=True)
            for option in question.options:
                console.print(f"    {shown(option)}", soft_wrap=True)
    if source is not None:
        console.print(_summary(source), soft_wrap=True)
        for finding in source.findings:
            console.print(f"  {shown(finding.message)}", soft_wrap=True)
    if refused:
        console.print(f"[bold red]This cannot be run:[/] {shown(refused)}", soft_wrap=True)
    if command:
        console.print("\n[bold]Run it:[/]")
        console.print(f"  {shown(command)}", soft_wrap=True)


def _summary(source: EnergySource) -> str:
    """Return how many readings there are, of which interval and span."""
    seconds = {source.interval_seconds} if source.interval_seconds else set(source.intervals_by_household.values())
    intervals = [_duration(value) for value in sorted(filter(None, seconds))]
    changing = [
        f"{name}: " * (source.households > 1) + ", then ".join(_duration(part.interval_seconds) for part in parts[:4])
        for name, parts in list(source.stretches.items())[:3]
    ]
    first = min((file.first for file in source.files if file.first), default=None)
    last = max((file.last for file in source.files if file.last), default=None)
    span = f", {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC" if first and last else ""
    homes = f"{source.households:,} household{'s' * (source.households != 1)}"
    return f"{source.records_written:,} readings of {homes}, every {' or '.join([*intervals, *changing])}{span}."


def _duration(seconds: int) -> str:
    """Return an interval in the unit that people use for it.

    >>> [_duration(seconds) for seconds in (30, 900, 3600, 86400, 82800)]
    ['30 s', '15 min', '1 h', '1 day', '23 h']
    """
    if seconds % 86400 == 0:
        return f"{seconds // 86400} day{'s' * (seconds != 86400)}"
    if seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def formats(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show all that this preset states.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """List the presets that state what the files of a supplier or grid operator hold, for `--format NAME`.

    Exit codes: 0 listed, 1 there is no such preset, or one of your own cannot be read.
    """
    try:
        presets = {preset.name: (preset, path) for preset, path in find_presets()}
        if name is not None and name not in presets:
            preset_of(name)
    except GroundtruthError as error:
        raise _failed(str(error), as_json=as_json) from None
    shown = [presets[name]] if name else list(presets.values())
    if as_json:
        documents = [preset.model_dump(mode="json") | {"is_tried": preset.is_tried, "file": str(path)}
                     for preset, path in shown]  # fmt: skip
        typer.echo(printable_json(json.dumps(documents[0] if name else documents, indent=2, ensure_ascii=False)))
    elif name:
        _print_preset(*shown[0])
    else:
        _print_presets([preset for preset, _ in shown])


def _print_presets(presets: Sequence[Preset]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for column in ("name", "what it is", "region", ""):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for preset in presets:
        texts = (preset.name, preset.title, preset.region, "tried" if preset.is_tried else "untried")
        table.add_row(*(escape(printable(text)) for text in texts))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"  Your own presets lie in {escape(str(own_folder()))}; ./pipeline formats NAME shows one.")


def _print_preset(preset: Preset, path: Path) -> None:
    typer.echo(printable(f"{preset.name}: {preset.title} ({preset.region})\n\n{preset.about.strip()}\n", keep="\n"))
    for source in preset.sources:
        typer.echo(f"  described at   {printable(source)}")
    if not preset.is_tried:
        typer.echo("  untried: no public description is named; a run asks for --accept-untried")
    typer.echo(f"  file to copy   {printable(str(path))}\n")
    typer.echo("\n".join(printable(line) for line in path.read_text(encoding="utf-8").splitlines()))
