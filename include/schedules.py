"""Schedules with parameters: what starts the runs of a pipeline, and with which parameters.

A definition may have `schedules` of its own. The file `schedules.json` in the folder of definitions gives any pipeline
its schedules, those that DAG files wire too. A schedule with a name makes a pipeline of its own, of the same steps:
its DAG, its runs, its publications. A schedule without one is the pipeline's own.

While the file has a fault, nothing is started: runs without their parameters would be runs on other data.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from include.core.definitions.document import DefinitionError, Fault, json_path, read_object, sentence, suggestion
from include.core.definitions.load import SCHEDULES_FILE
from include.core.definitions.model import SCHEDULE_NAME, ScheduleSpec
from include.core.errors import BadInputError
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.settings import get_settings


class StatedSchedule(ScheduleSpec):
    """A schedule in `schedules.json`; without a name it is the pipeline's own."""

    name: Annotated[str, Field(pattern=SCHEDULE_NAME)] | None = None  # type: ignore[assignment]


Stated = dict[str, list[StatedSchedule]]


def with_schedules(pipelines: Sequence[Pipeline], folder: Path) -> tuple[list[list[Pipeline]], list[DefinitionError]]:
    """Return each pipeline with its schedule, followed by those of its further schedules.

    Args:
        pipelines: As their definitions or DAG files state them.
        folder: Where `schedules.json` lies, if there is one.

    Returns:
        A list for each pipeline, and an error for each file with a schedule that cannot be used; the pipelines that it
        concerns have none.
    """
    file = folder / SCHEDULES_FILE
    faults: dict[Path, list[Fault]] = {}
    try:
        stated = _read(file)
    except DefinitionError as error:
        stated, faults[file] = {}, list(error.faults)
    names = {name for pipeline in pipelines for name in pipeline.names}
    for name in stated:
        if name not in names:
            message = f"there is no pipeline {name!r}; {suggestion(name, names, './pipeline list shows them')}"
            faults.setdefault(file, []).append(Fault(json_path(stated, (name,)), message))
    scheduled, taken = list[list[Pipeline]](), {pipeline.definition.pipeline for pipeline in pipelines}
    for pipeline in pipelines:
        own, further = pipeline, list[Pipeline]()
        defined = pipeline.definition
        entries: list[tuple[Path, str, ScheduleSpec]] = [
            (defined.file, f"$.schedules[{index}]", spec) for index, spec in enumerate(defined.schedules)
        ]
        for name in sorted(pipeline.names & stated.keys()):
            entries += [(file, f"{json_path(stated, (name,))}[{i}]", spec) for i, spec in enumerate(stated[name])]
        for source, place, spec in entries:
            try:
                made = _scheduled(pipeline, spec, folder, taken)
            except BadInputError as error:
                faults.setdefault(source, []).append(Fault(place, str(error)))
                continue
            if spec.name:
                further.append(made)
                taken.add(made.definition.pipeline)
            else:
                own = made
        scheduled.append([own, *further])
    if faults:
        faulty = [file in faults or group[0].definition.file in faults for group in scheduled]
        scheduled = [
            list(map(unscheduled, group)) if is_faulty else group
            for group, is_faulty in zip(scheduled, faulty, strict=True)
        ]
    return scheduled, [DefinitionError(source, found) for source, found in faults.items()]


def unscheduled(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline whose runs start on request alone."""
    return replace(pipeline, definition=replace(pipeline.definition, schedule=None, triggers=()))


def _scheduled(pipeline: Pipeline, spec: ScheduleSpec, folder: Path, taken: Container[str]) -> Pipeline:
    """Return the pipeline of a schedule.

    Raises:
        BadInputError: Its runs could not have these parameters, or its name is taken.
    """
    definition, stated = pipeline.definition, spec.model_fields_set
    changes: dict[str, Any] = {}
    if spec.name:
        name = f"{definition.workflow_name}-{spec.name}"
        changes = {"workflow_name": name, "variant": spec.name, "schedules": (), "triggers": ()}
    if spec.name or "schedule" in stated:
        changes["schedule"] = spec.schedule
    if spec.timezone:
        changes["timezone"] = spec.timezone
    changed = replace(definition, **changes)
    if spec.timezone and not changed.schedule:
        raise BadInputError("timezone: would do nothing without a schedule; add one, or remove it")
    params = {name: _value(pipeline, name, value, folder) for name, value in spec.params.items()}
    made = replace(
        pipeline,
        definition=changed,
        defaults=dict(pipeline.rename_params(params)),
        triggers=() if spec.name else pipeline.triggers,
        short_name=f"{pipeline.short_name}_{spec.name}" if pipeline.short_name and spec.name else pipeline.short_name,
    )
    if spec.name and made.definition.pipeline in taken:
        raise BadInputError(f"there is a pipeline {made.definition.pipeline} already; choose another name")
    made.check_values({})
    return made if spec.enabled else unscheduled(made)


def _value(pipeline: Pipeline, name: str, value: Any, folder: Path) -> Any:
    """Return a parameter's value: paths of input files absolute, an object that is named as a file read from it.

    Raises:
        BadInputError: The file of an object cannot be read.
    """
    if name == INPUT_FILES and isinstance(value, list):
        return [_input(file) if isinstance(file, str) else file for file in value]
    if name in pipeline.file_params and isinstance(value, str) and name not in pipeline.producers:
        return _input(value)
    field = pipeline.params.get(name)
    if field is None or not isinstance(value, str) or "dict[" not in str(field.annotation):
        return value
    try:
        return json.loads((folder / value).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(
            f"{name}: {value}: cannot be read: {error.strerror or error}; put it into {folder}"
        ) from error
    except ValueError as error:
        raise BadInputError(f"{name}: {value}: is not JSON: {error}") from error


def _input(file: str) -> str:
    """Return the path of an input file: below the first folder of input files that has it."""
    folders = get_settings().allowed_inputs
    return str(next((folder / file for folder in folders if (folder / file).exists()), folders[0] / file))


def _read(file: Path) -> Stated:
    """Return the stated schedules by the name of their pipeline; none where there is no file.

    Raises:
        DefinitionError: Names every fault of the format.
    """
    if not file.exists():
        return {}
    content = read_object(file)
    try:
        stated = TypeAdapter(Stated).validate_python(content)
    except ValidationError as error:
        raise DefinitionError(file, list(_faults(content, error))) from error
    repeated = [
        Fault(f"{json_path(content, (name,))}[{index}].name", "is that of an earlier schedule; give each its own")
        for name, specs in stated.items()
        for index, spec in enumerate(specs)
        if spec.name in [earlier.name for earlier in specs[:index]]
    ]
    if repeated:
        raise DefinitionError(file, repeated)
    return stated


def _faults(content: Mapping[str, Any], error: ValidationError) -> Iterable[Fault]:
    for fault in error.errors(include_url=False):
        yield Fault(json_path(content, fault["loc"]), sentence(fault, StatedSchedule))
