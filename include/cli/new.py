"""`./pipeline new NAME`: a pipeline of one's own that runs at once, to be changed from there."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from string import Template

from include.core.errors import BadInputError
from include.core.settings import ROOT
from include.domains import DOMAINS
from include.pipelines import load_pipelines, reserved_names

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 60
IMAGE = DOMAINS[0].image
"""Of a Python function in the runtime docker: `make images` builds it, and it has Python, DuckDB and pandas."""
COMMAND = '{ echo hour,count; i=0; while [ "$i" -lt 24 ]; do echo "$i,$((i * 2))"; i=$((i + 1)); done; } > records.csv'

PYTHON_STEP = Template('''"""The step of the pipeline $name: a function of the run's files and its parameters."""

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any


def write_records(files: Path, params: dict[str, Any]) -> None:
    """Write `records.csv`: a record for each interval of the run, with its hour of the day.

    Args:
        files: The run's files. Read your inputs here, write your outputs here.
        params: The interval (`start`, `end`: ISO 8601) and the parameters that the definition declares.
    """
    moment, end = (datetime.fromisoformat(params[name]) for name in ("start", "end"))
    with (files / "records.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "hour"])
        while moment < end:
            writer.writerow([moment.isoformat(), moment.hour])
            moment += timedelta(minutes=params["minutes"])
''')

PYTHON_TEST = Template('''"""The pipeline $name: what its step writes, and that it keeps its contract."""

import csv

import pytest

from include.cli.runs import find_pipeline
from include.core.errors import BadInputError
from include.core.trial import try_pipeline


def records_of(folder, **params):
    files = try_pipeline(find_pipeline("$pipeline"), folder, params)
    with (files / "records.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_hour_of_the_day_has_a_record(tmp_path):
    records = records_of(tmp_path / "run")
    assert [int(record["hour"]) for record in records] == list(range(24))


def test_the_interval_of_the_records_is_a_parameter(tmp_path):
    assert len(records_of(tmp_path / "run", minutes=15)) == 96


def test_an_impossible_parameter_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="minutes"):
        records_of(tmp_path / "run", minutes=0)
''')

COMMAND_TEST = Template('''"""The pipeline $name: its command keeps its contract, run as a process of this machine."""

import csv

from include.cli.runs import find_pipeline
from include.core.trial import try_pipeline


def test_each_hour_has_a_record(tmp_path):
    files = try_pipeline(find_pipeline("$pipeline"), tmp_path / "run")
    with (files / "records.csv").open(newline="") as file:
        assert [int(record["hour"]) for record in csv.DictReader(file)] == list(range(24))
''')

MANUAL = Template("""### $name

What it is for, where its data come from, and whom to ask.

- **$id** writes `records.csv`. The contract in `$json` states what the file must hold; a run that breaks it fails.
- Published: `records.csv`, below `data/published/$pipeline/`.

Run it: `./pipeline run $pipeline --date 2026-06-01`. How definitions are written: docs/guides/adding-a-pipeline.md.
""")


def scaffold(name: str, folder: Path, image: str | None = None) -> list[Path]:
    """Write a new pipeline: definition, step, test and manual; return the files.

    Args:
        name: Of the pipeline.
        folder: That of the definitions.
        image: The step's container image; None for a step that is a Python function.

    Raises:
        BadInputError: The name cannot be used or is taken, or a file is there already.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise BadInputError(
            f"{name!r} cannot be the name of a pipeline: small letters and digits, words joined by '-', at most "
            f"{LONGEST_NAME} in all, such as meter-totals"
        )
    module, pipeline = name.replace("-", "_"), name.replace("-", "_").removesuffix("_pipeline")
    taken = reserved_names() | {known for one in load_pipelines(folder)[0] for known in one.names}
    if {module, name, pipeline} & taken:
        raise BadInputError(f"there is a pipeline {pipeline} already; choose another name")
    json_file, step_file = folder / f"{name}.json", folder / "steps" / f"{module}.py"
    is_ours = folder.resolve().is_relative_to(ROOT / "include")
    tests = ROOT / "tests" / folder.resolve().relative_to(ROOT / "include") if is_ours else folder / "tests"
    test_file = tests / "steps" / f"test_{module}.py" if image is None else tests / f"test_{module}.py"
    words = {"name": name, "pipeline": pipeline, "id": name, "json": json_file.name}
    contents = {
        json_file: json.dumps(_definition(name, json_file, image), indent=2) + "\n",
        test_file: (PYTHON_TEST if image is None else COMMAND_TEST).substitute(words),
        folder / f"{name}.md": MANUAL.substitute(words),
    }
    if image is None:
        contents[step_file] = PYTHON_STEP.substitute(words)
    if present := [file for file in contents if file.exists()]:
        raise BadInputError(f"{', '.join(map(str, present))}: there already; remove it, or choose another name")
    for file, text in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    return list(contents)


def _definition(name: str, file: Path, image: str | None) -> dict[str, object]:
    schema = ROOT / "docs" / "reference" / "pipeline-definition.schema.json"
    step: dict[str, object] = {
        "id": name,
        "name": "Write records",
        "description": "Writes a record for each interval of the run.",
    }
    if image is None:
        function = f"steps/{name.replace('-', '_')}.py:write_records"
        step |= {"function": function, "image": IMAGE}
        minutes = {
            "type": "integer",
            "default": 60,
            "minimum": 1,
            "maximum": 1440,
            "description": "Minutes from a record to the next.",
        }
        params: dict[str, object] = {"params": {"minutes": minutes}}
        key = "time"
    else:
        step |= {"image": image, "command": COMMAND}
        params, key = {}, "hour"
    step |= {
        "output_file": "records.csv",
        "timeout_seconds": 600,
        "checks": {"records.csv": {"unique": [key], "ranges": {"hour": {"min": 0, "max": 23}}}},
    }
    return {
        "$schema": os.path.relpath(schema, file.parent.resolve()),
        "workflow_name": name,
        "description": "One sentence on what the pipeline is for.",
        "schedule": None,
        **params,
        "publish": ["records.csv"],
        "containers": [step],
    }
