"""The two shapes in which people write a pipeline definition.

`ListShape` has containers in a list that name what they depend on; `LinkedShape` has containers by id that name what
comes next. The published JSON schema is made from these models.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

DAY_SECONDS = 86_400
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$"
WORKFLOW_NAME = r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,99}$"
IMAGE = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$"


def data_path(path: str) -> str:
    """A file below `/data`, as a relative POSIX path.

    >>> data_path("/data/energy_data.csv")
    'energy_data.csv'

    Raises:
        ValueError: The path leaves `/data` or is no usable file name.
    """
    if "\\" in path:
        raise ValueError("holds a backslash; write folders with '/'")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path):
        raise ValueError("is a drive or a URL; name a file below /data")
    if path.startswith("/") and not path.startswith("/data/"):
        raise ValueError("leaves /data; write it relative or beginning with /data/")
    relative = PurePosixPath(path.removeprefix("/data/").lstrip("/"))
    if ".." in relative.parts:
        raise ValueError("leaves /data by '..'; name a file below /data")
    if not relative.parts or path.endswith("/"):
        raise ValueError("names no file; give a file below /data")
    if any(part.startswith(".") for part in relative.parts):
        raise ValueError("begins a name with a dot, which is kept for temporary files; rename it")
    if any(len(part.encode("utf-8", "replace")) > 200 for part in relative.parts):
        raise ValueError("has a name of more than 200 bytes; shorten it")
    if not path.isprintable():
        raise ValueError("holds a control character; remove it")
    return str(relative)


def _plain_name(name: str) -> str:
    if "/" in name or data_path(name) != name:
        raise ValueError("must be a plain file name; containers read it as source/<name>")
    return name


def _schedule(expression: str) -> str:
    """A preset or a cron expression of five fields that comes round at all, as Airflow reads it."""
    if expression in PRESETS:
        return expression
    from croniter import croniter  # type: ignore[import-untyped]

    hint = f"give five cron fields ('0 3 * * *'), one of {', '.join(PRESETS)}, or null"
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise ValueError(f"is no schedule; {hint}")
    try:
        croniter(expression).get_next()
    except ValueError:
        raise ValueError(f"never comes round; {hint}") from None
    return expression


def _command(command: object) -> object:
    if isinstance(command, str) and command.strip():
        return ["sh", "-c", command]
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        raise ValueError("must be a command line for sh or a list of strings, and not empty")
    if not command[0].strip():
        raise ValueError("begins with an empty program name; name the program")
    return command


def _list_of_strings(value: object) -> object:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise ValueError("must be a string, a list of strings, or null")  # noqa: TRY004  (pydantic wants a ValueError)
    return value


_STRING = {"type": "string", "minLength": 1}
_STRINGS = {"type": "array", "items": _STRING}
DataPath = Annotated[str, AfterValidator(data_path)]
Paths = Annotated[
    list[DataPath],
    BeforeValidator(_list_of_strings),
    WithJsonSchema({"anyOf": [_STRING, _STRINGS, {"type": "null"}]}),
]
Ids = Annotated[
    list[str], BeforeValidator(_list_of_strings), WithJsonSchema({"anyOf": [_STRING, _STRINGS, {"type": "null"}]})
]
Command = Annotated[
    list[str], BeforeValidator(_command), WithJsonSchema({"anyOf": [_STRING, {**_STRINGS, "minItems": 1}]})
]
Image = Annotated[str, Field(pattern=IMAGE, description="Image; it must be on the machine, it is never pulled.")]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RecordFiles(_Shape):
    """Three CSV files whose records the orchestrator counts: read = accepted + rejected."""

    read: DataPath
    accepted: DataPath
    rejected: DataPath | None = Field(None, description="None: every record that was read must be accepted.")


class Service(_Shape):
    """What runs a container of the linked shape."""

    image: Image
    command: Command | None = None


class ContainerShape(_Shape):
    """What containers of both shapes have in common."""

    name: str | None = Field(None, description="Shown to people; the step's own title, or the id, if left out.")
    description: str | None = Field(None, description="One sentence on what the step does.")
    input_file: Paths = Field([], description="File or files below /data that it reads (`source/<name>`: handed in).")
    output_file: Paths = Field([], description="File or files below /data that it must write, none of them empty.")
    timeout_seconds: int = Field(3600, ge=1, le=7 * DAY_SECONDS, description="It is stopped after this time.")
    memory_mb: int = Field(2048, ge=64, le=1_048_576, description="Memory limit of the container (MiB).")
    cpus: float = Field(2.0, ge=0.01, le=64, allow_inf_nan=False, description="CPU limit of the container.")
    records: RecordFiles | None = None


class ListContainer(ContainerShape):
    """A container of the list shape."""

    id: str = Field(pattern=ID, description="Also the Airflow task id; a registered step's id stands for that step.")
    image: Image | None = None
    command: Command | None = Field(None, description="A line for `sh -c`, or a list: program and arguments.")
    depends_on: list[str] = Field([], description="Ids that must succeed first, beside those whose files it reads.")


class LinkedContainer(ContainerShape):
    """A container of the linked shape, by its id."""

    next_node: Ids = Field([], description="Id or ids that follow, beside those that read its files.")


class PipelineShape(_Shape):
    """What both shapes have in common."""

    schema_: str | None = Field(None, alias="$schema", description="For editors alone.")
    workflow_name: str = Field(pattern=WORKFLOW_NAME, description="energy-pipeline becomes the DAG energy_pipeline.")
    description: str = ""
    schedule: Annotated[str, AfterValidator(_schedule)] | None = Field(
        "@daily", description=f"Cron expression of five fields, one of {', '.join(PRESETS)}, or null for none."
    )
    deadline_minutes: float | None = Field(
        None,
        gt=0,
        le=7 * DAY_SECONDS / 60,
        allow_inf_nan=False,
        description="People are told when a run has not ended so long after it was queued; it goes on.",
    )
    execution_mode: Literal["parallel", "sequential"] = Field(
        "parallel", description="sequential: one container after the other, also where nothing demands it."
    )
    sources: list[Annotated[str, AfterValidator(_plain_name)]] = Field(
        [], description="Files that a run hands in; containers read them as source/<name>."
    )
    publish: list[DataPath] = Field([], description="Output files that are promoted when every step has succeeded.")


class ListShape(PipelineShape):
    """Containers in a list, each naming what it depends on."""

    containers: list[ListContainer] = Field(json_schema_extra={"minItems": 1})


class LinkedShape(PipelineShape):
    """Containers by id, each naming what comes next."""

    containers: dict[str, LinkedContainer] = Field(
        json_schema_extra={"minProperties": 1, "propertyNames": {"pattern": ID}}
    )
    start_node: str = Field(description="The container from which all others are reached.")
    service_registry: dict[
        str, Annotated[Service, BeforeValidator(lambda value: {"image": value} if isinstance(value, str) else value)]
    ] = Field({}, description="Image, or image and command, of each container that is no registered step.")
