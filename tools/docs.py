"""Generates the references in `docs/reference` from the code they describe: `make docs`.

With `--check` nothing is written; the exit code is 1 when a page is stale.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from include.cli.app import app
from include.cli.fields import bare_type, field_default, field_value
from include.control.server import openapi
from include.core.contracts import Artifact, imported
from include.core.definitions.load import json_schema
from include.core.definitions.model import LinkedDocument, ListDocument
from include.core.events import KINDS
from include.core.pipeline import Pipeline
from include.core.settings import ROOT, Settings
from include.domains import DOMAINS
from include.pipelines import stated_pipelines
from include.reporting.model import PipelineReport

REFERENCE = ROOT / "docs" / "reference"
KEYS = {"checks": "file", "ranges": "column", "params": "name"}
"""What the keys of an object stand for, by its name; those of others are ids."""
EXIT_CODES = (
    ("0", "success"),
    ("1", "a step failed, a definition is faulty, a report is missing, or `doctor` found a fault"),
    ("2", "usage: an unknown option, pipeline or parameter, or an impossible value; Airflow was not started"),
    ("130", "interrupted (Ctrl+C or SIGTERM); the report is written all the same"),
)


def pages() -> dict[str, str]:
    """Every generated page, by its name."""
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    texts = {
        "settings.md": settings_page(),
        "command-line.md": command_line_page(),
        "run-report.md": run_report_page(),
        "events.md": events_page(),
        "pipeline-definition.md": definition_page(),
        "pipeline-definition.schema.json": f"{schema}\n",
        "control-protocol.openapi.json": json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n",
    }
    stated = stated_pipelines()
    return texts | {f"{pipeline.definition.workflow_name}.md": pipeline_page(pipeline) for pipeline in stated}


def settings_page() -> str:
    """The deployment's settings."""
    domain_settings = [imported(domain.settings) for domain in DOMAINS if domain.settings]
    rows = [
        (f"`GROUNDTRUTH_{name.upper()}`", _cell(field.description or ""), field_default(field))
        for model in (Settings, *domain_settings)
        for name, field in model.model_fields.items()
    ]
    for domain in DOMAINS:
        meaning = f"Image of the {domain.name} steps (`make images`)."
        rows.append((f"`GROUNDTRUTH_{domain.name.upper()}_IMAGE`", meaning, f"`{domain.image}`"))
    table = _table(("variable", "meaning", "default"), rows)
    return "\n".join(["# Settings", "", "Read from the environment, once a process.", "", *table])


def command_line_page() -> str:
    """The commands and their options."""
    group: Any = typer.main.get_command(app)
    lines = ["# Command line", "", group.help or "", ""]
    for name, command in _commands(group):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        usage = ["./pipeline", name, *map(_metavar, arguments), *(["[OPTIONS]"] if options else [])]
        lines += [f"## `{' '.join(usage)}`", "", (command.help or "").strip(), ""]
        rows = [(f"`{_cell(_metavar(p))}`", _cell(p.help or "")) for p in (*arguments, *options)]
        lines += _table(("argument or option", "meaning"), rows) if rows else []
    return "\n".join([*lines, "## Exit codes", "", *_table(("code", "meaning"), EXIT_CODES)])


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with the words that name it, those of a group after each other."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _metavar(parameter: Any) -> str:
    """A parameter as users type it: `RUN`, `--csv FILE`."""
    if parameter.param_type_name == "argument":
        shown = (parameter.metavar or parameter.name).upper() + ("…" if parameter.nargs == -1 else "")
        return shown if parameter.required else f"[{shown}]"
    if parameter.is_flag:
        return str(parameter.opts[0])
    return f"{parameter.opts[0]} {parameter.metavar or parameter.name.upper()}"


def run_report_page() -> str:
    """The keys of a run's report."""
    place = "`pipeline_report_<YYYYMMDD_HHMMSS>.json` in the run's folder."
    return "\n".join(["# The run report", "", place, "", *_fields_table(PipelineReport, "key")])


def events_page() -> str:
    """The kinds of events and their keys."""
    place = "`events.jsonl` in the run's folder: a JSON object a line, without the keys that have no value."
    lines = ["# Events of a run", "", place, ""]
    for kind in KINDS:
        lines += [f"## `{kind.model_fields['kind'].default}`", "", inspect.getdoc(kind) or "", ""]
        lines += _fields_table(kind, "key")
    return "\n".join(lines)


def definition_page() -> str:
    """The keys of a pipeline definition, in both formats."""
    formats = "A JSON file in one of two formats. For editors: [the JSON schema](pipeline-definition.schema.json)."
    lines = ["# Pipeline definition", "", formats, ""]
    for title, document in (("List of containers", ListDocument), ("Linked containers", LinkedDocument)):
        lines += [f"## {title}", "", inspect.getdoc(document) or "", "", *_fields_table(document, "key")]
    return "\n".join(lines)


def pipeline_page(pipeline: Pipeline) -> str:
    """A pipeline's steps, parameters and files."""
    definition = pipeline.definition
    lines = [f"# {definition.workflow_name}", "", definition.description, ""]
    lines += [f"DAG `{definition.dag_id}`; runs: `{pipeline.starts}`.", ""]
    if definition.publish:
        lines += [f"Published: {', '.join(f'`{name}`' for name in definition.publish)}.", ""]
    lines += ["## Steps", ""]
    for number, info in enumerate(pipeline.plan, 1):
        lines += [f"{number}. **{info.title}** (`{info.id}`). {info.description}"]
        for step in [pipeline[part].step for part in info.parts or [info.id]]:
            task = f"- `{step.id}`: {step.description} " if info.parts else ""
            reads = f"Reads {_artifacts(step.reads)}. " if step.reads else ""
            lines.append(f"   {task}{reads}Writes {_artifacts(step.writes)}.")
    rows = [(*_row(name, field), field_default(field)) for name, field in pipeline.params.items()]
    lines += ["", "## Parameters", "", *_table(("parameter", "value", "meaning", "default"), rows), "## Files", ""]
    for artifact in {artifact.path: artifact for bound in pipeline.steps for artifact in bound.step.writes}.values():
        if artifact.schema is not None:
            lines += [f"### `{artifact.path}`", "", inspect.getdoc(artifact.schema) or "", ""]
            lines += _fields_table(artifact.schema, "key" if artifact.format == "json" else "column")
    return "\n".join(lines)


def _artifacts(artifacts: tuple[Artifact, ...]) -> str:
    return ", ".join(f"`{file.path}`" + (" (if it is there)" if file.optional else "") for file in artifacts)


def _fields_table(model: type[BaseModel], head: str) -> list[str]:
    return _table((head, "value", "meaning"), [_row(name, field) for name, field in _fields(model)])


def _row(name: str, field: FieldInfo) -> tuple[str, str, str]:
    return f"`{_cell(name)}`", field_value(field), _cell(field.description or "")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, and an empty one."""
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {' | '.join(row)} |" for row in rows), ""]


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a model, those of the models within it as `list[].field` and `object.field`; the id first."""
    for key, field in sorted(model.model_fields.items(), key=lambda item: item[0] != "id"):
        name = prefix + (field.alias or key)
        yield name, field
        inner, marks = bare_type(field.annotation), ""
        while get_origin(inner) in (list, tuple, dict):
            marks += f".<{KEYS.get(key, 'id')}>" if get_origin(inner) is dict else "[]"
            inner = bare_type(get_args(inner)[1 if get_origin(inner) is dict else 0])
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{name}{marks}.")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("None", "null")


def main(arguments: list[str]) -> int:
    """Write or check the pages."""
    is_check = "--check" in arguments
    REFERENCE.mkdir(parents=True, exist_ok=True)
    files = {REFERENCE / name: text for name, text in pages().items()}
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not is_check:
            path.write_text(files[path])
        sys.stdout.write(f"{'stale: ' if is_check else 'wrote '}docs/reference/{path.name}\n")
    if stale and is_check:
        sys.stdout.write("run `make docs` and commit what it changes\n")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
