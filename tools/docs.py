"""Generates the references in `docs/reference` from the code they describe: `make docs`.

With `--check` nothing is written; the exit code is 1 when a page is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from include.cli.app import app
from include.core.contracts import Step
from include.core.definition import json_schema
from include.core.pipeline import Pipeline
from include.core.settings import ROOT, Settings
from include.registry import load_pipelines

REFERENCE = ROOT / "docs" / "reference"


def pages() -> dict[str, str]:
    """Every generated page, by its name."""
    found = {
        "settings.md": settings_page(),
        "command-line.md": command_line_page(),
        "pipeline-definition.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }
    for pipeline in load_pipelines()[0]:
        found[f"{pipeline.definition.pipeline}-pipeline.md"] = pipeline_page(pipeline)
    return found


def settings_page() -> str:
    """The deployment's settings."""
    lines = [
        "# Settings",
        "",
        "Read from the environment, once a process.",
        "",
        "| variable | meaning | default |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `GROUNDTRUTH_{name.upper()}` | {_cell(field.description or '')} | {_default(field)} |")
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """The commands and their options."""
    command = typer.main.get_command(app)
    lines = ["# Command line", ""]
    context = typer.Context(command, info_name="./pipeline")
    lines += [command.help or "", ""]
    for name, each in sorted(command.commands.items()):  # type: ignore[attr-defined]
        arguments = " ".join(p.make_metavar(context) for p in each.params if p.param_type_name == "argument")
        lines += [f"## `./pipeline {name} {arguments}`".replace(" `", "`").rstrip(), "", (each.help or "").strip(), ""]
        options = [p for p in each.params if p.param_type_name == "option"]
        if options:
            lines += ["| option | meaning |", "|---|---|"]
            lines += [f"| `{', '.join(p.opts)}` | {_cell(p.help or '')} |" for p in options]
            lines.append("")
    return "\n".join(lines)


def pipeline_page(pipeline: Pipeline) -> str:
    """A pipeline's steps, files and parameters."""
    definition = pipeline.definition
    lines = [f"# {definition.workflow_name}", "", definition.description, ""]
    lines += [f"DAG `{definition.dag_id}`, schedule `{definition.schedule or 'on request'}`.", ""]
    for number, each in enumerate(pipeline.steps, 1):
        lines += [f"## Step {number}: {each.step.title} (`{each.step.id}`)", "", each.step.description, ""]
        lines += list(_files(each.step))
    lines += ["## Parameters", "", "| parameter | meaning | default |", "|---|---|---|"]
    lines += [f"| `{n}` | {_cell(f.description or '')} | {_default(f)} |" for n, f in pipeline.params.items()]
    if definition.publish:
        lines += ["", f"Published: {', '.join(f'`{name}`' for name in definition.publish)}."]
    return "\n".join(lines) + "\n"


def _files(step: Step) -> Iterator[str]:
    for verb, artifacts in (("Reads", step.reads), ("Writes", step.writes)):
        for artifact in artifacts:
            note = " (if it is there)" if artifact.optional else ""
            yield f"- {verb} `{artifact.path}`{note}"
            if artifact.schema is not None:
                for name, field in artifact.schema.model_fields.items():
                    if field.description:
                        yield f"  - `{name}`: {_cell(field.description)}"
    yield ""


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined:
        return "see its meaning" if field.default_factory else "none"
    if isinstance(value, Path):
        value = value.relative_to(ROOT).as_posix() if value.is_relative_to(ROOT) else value
    return f"`{value}`" if value not in (None, "", ()) else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Write or check the pages."""
    stale = []
    for name, text in pages().items():
        path = REFERENCE / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        sys.stdout.write(f"{'stale: ' if '--check' in arguments else 'wrote '}docs/reference/{name}\n")
    if stale and "--check" in arguments:
        sys.stdout.write("run `make docs` and commit what it changes\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
