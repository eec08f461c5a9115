"""The model of a pipeline definition, and the two formats in which users write it.

`ListDocument` has a list of containers, each with the containers that it depends on; `LinkedDocument` has containers by
id, each with the containers that follow it. Both become a `Definition` of steps. The published JSON schema is generated
from the documents' models.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from include.core.contracts import DEFAULT_MAX_BYTES, Artifact
from include.core.rules import Relation

DAY_SECONDS = 86_400
PARAMS_OF_RUNS = ("start", "end", "files", "audit", "publish")
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$"
WORKFLOW_NAME = r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,99}$"
KEPT_VARIABLES = ("AIRFLOW", "GROUNDTRUTH_", "DOCKER_", "DATA_DIR", "STEP_", "ENV_FILE_VALUES")
"""Variables that no definition passes on begin with one of these."""
REGISTRY_ADDRESS = r"^(https?://)?[A-Za-z0-9.\[\]:-]+:[0-9]{1,5}$"
EXECUTOR_TIMEOUT_SECONDS = 30
"""Deadline of a call of ContainerExecutor whose container states no `timeout_seconds`."""
SERVICE_URL = r"^https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~/-]*)?$"
IMAGE = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Names of networks, of assets and of Airflow's pools and connections."""
SCHEDULE_NAME = r"^[a-z0-9][a-z0-9_]{0,39}$"
ENGINE_NETWORKS = ("bridge", "host", "none", "default")
"""Networks that every Docker engine has; none of them is internal and shared on request."""
SECRET = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)\.(login|password|host|schema|port|extra\.[A-Za-z0-9_-]+)")
"""A field of an Airflow connection: `crm.password`, `crm.extra.token`."""


def data_path(path: str) -> str:
    """Return the path of a file below `/data` as a relative POSIX path.

    >>> data_path("/data/energy_data.csv")
    'energy_data.csv'

    Raises:
        ValueError: The path lies outside `/data` or is not a usable file name.
    """
    relative = PurePosixPath(path.removeprefix("/data/").lstrip("/"))
    outside = path.startswith("/") and not path.startswith("/data/")
    hidden = any(part.startswith(".") for part in relative.parts)
    long = any(len(part.encode("utf-8", "replace")) > 200 for part in relative.parts)
    faults = {
        "contains a backslash; separate folders with '/'": "\\" in path,
        "is a drive or a URL; name a file below /data": re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path),
        "lies outside /data; write a relative path or one that begins with /data/": outside,
        "leaves /data through '..'; name a file below /data": ".." in relative.parts,
        "does not name a file; name a file below /data": not relative.parts or path.endswith("/"),
        "has a name that begins with a dot, which is reserved for temporary files; rename it": hidden,
        "has a name of more than 200 bytes; shorten it": long,
        "contains a control character; remove it": not path.isprintable(),
    }
    if fault := next((message for message, broken in faults.items() if broken), None):
        raise ValueError(fault)
    return str(relative)


def _plain_name(name: str) -> str:
    if "/" in name or data_path(name) != name:
        raise ValueError("must be a plain file name; containers read it as source/<name>")
    return name


def _schema_file(name: str) -> str:
    path = PurePosixPath(name)
    if not name.isprintable() or path.is_absolute() or ".." in path.parts or "\\" in name or len(path.parts) < 2:
        raise ValueError("must be a file in a folder below that of the definition, as schemas/readings.json")
    return name


def _different(columns: list[str]) -> list[str]:
    if len(set(columns)) < len(columns):
        raise ValueError("names a column more than once; keep one")
    return columns


def _schedule(expression: str) -> str:
    """Accept a preset, or a cron expression of five fields that matches some date, as Airflow parses it."""
    if expression in PRESETS:
        return expression
    from croniter import croniter  # type: ignore[import-untyped]

    hint = f"use five cron fields ('0 3 * * *'), one of {', '.join(PRESETS)}, or null"
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise ValueError(f"is not a schedule; {hint}")
    try:
        croniter(expression).get_next()
    except ValueError:
        raise ValueError(f"matches no date; {hint}") from None
    return expression


def _command(command: object) -> object:
    if isinstance(command, str) and command.strip():
        return ["sh", "-c", command]
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        raise ValueError("must be a command line for sh or a list of strings, and must not be empty")
    if not command[0].strip():
        raise ValueError("begins with an empty program name; name the program")
    return command


def _variable(name: str) -> str:
    """Accept the name of a variable that a definition may pass on: not one of Airflow's or of the deployment's."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("is not the name of an environment variable (letters, digits and _)")
    if name.upper().startswith(KEPT_VARIABLES):
        raise ValueError(
            f"cannot be passed on: names that begin with {', '.join(KEPT_VARIABLES)} belong to the deployment"
        )
    return name


def _variables(value: object) -> object:
    """Accept names alone, for variables of the worker, or an object of names and values."""
    if isinstance(value, dict):
        return value
    names = _list_of_strings(value)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be names of variables, or an object of names and values")
    return dict.fromkeys(names)


def _secret(place: str) -> str:
    if not SECRET.fullmatch(place):
        raise ValueError(
            "must name a field of an Airflow connection: CONNECTION.password, .login, .host, .port, .schema or "
            ".extra.NAME"
        )
    return place


def _network(name: str) -> str:
    if name in ENGINE_NETWORKS:
        raise ValueError("is a network of the engine itself; name an internal network that an operator made")
    return name


def _zone(name: str) -> str:
    from zoneinfo import ZoneInfo, available_timezones

    if name not in available_timezones() or name in ("localtime", "posixrules"):
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Berlin")
    return str(ZoneInfo(name))


def _scalar(value: object) -> object:
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError("must be a string, a number, true, false or null")  # noqa: TRY004  (pydantic wants a ValueError)
    return value


def _param_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or keyword.iskeyword(name):
        raise ValueError("must be small letters, digits and _, beginning with a letter")
    if name in PARAMS_OF_RUNS:
        raise ValueError(f"is taken: every run has the parameters {', '.join(PARAMS_OF_RUNS)}")
    return name


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
_STRING_OR_LIST = WithJsonSchema({"anyOf": [_STRING, _STRINGS, {"type": "null"}]})
DataPath = Annotated[str, AfterValidator(data_path)]
Paths = Annotated[list[DataPath], BeforeValidator(_list_of_strings), _STRING_OR_LIST]
Ids = Annotated[list[str], BeforeValidator(_list_of_strings), _STRING_OR_LIST]
Command = Annotated[
    list[str], BeforeValidator(_command), WithJsonSchema({"anyOf": [_STRING, {**_STRINGS, "minItems": 1}]})
]
Image = Annotated[str, Field(pattern=IMAGE, description="Image; pull or build it first, because runs never do.")]
FUNCTION_MEANING = (
    "Instead of a command, a Python function of (files, params) in a file in a folder beside the definition: "
    "steps/totals.py:write_totals. It imports what its image, or this environment, has."
)
Function = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*/[A-Za-z_]\w*\.py:[A-Za-z_]\w*$",
    ),
]


Column = Annotated[str, Field(min_length=1)]
Columns = Annotated[list[Column], AfterValidator(_different)]


class _Schema(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RecordFiles(_Schema):
    """CSV files whose records the orchestrator counts: read = accepted + rejected."""

    read: DataPath
    accepted: DataPath
    rejected: DataPath | None = Field(None, description="None: every record that was read must be accepted.")


class ColumnRange(_Schema):
    """The bounds of a column of numbers."""

    min: float | None = Field(None, allow_inf_nan=False, description="Smallest allowed value.")
    max: float | None = Field(None, allow_inf_nan=False, description="Largest allowed value.")

    @model_validator(mode="after")
    def _bounded(self) -> ColumnRange:
        if self.min is None and self.max is None:
            raise ValueError("has no bound; add min, max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no number lies between min {self.min:g} and max {self.max:g}; exchange them")
        return self


class RowsRelation(_Schema):
    """How the records of an output relate to those of an input."""

    of: DataPath = Field(description="The input: CSV, Parquet or JSON Lines.")
    relation: Relation = Field(
        description="same: each key as often as in the input; fewer: at most as often; per-key: each key of the input "
        "once, and no other."
    )
    key: Columns = Field(min_length=1, description="Columns that identify a record, in the input and in the output.")


class OutputChecks(_Schema):
    """What an output must fulfil beyond its format, and how large it may be."""

    schema_: Annotated[str, AfterValidator(_schema_file)] | None = Field(
        None,
        alias="schema",
        description="File with a JSON Schema, in a folder beside the definition: of a JSON document, or of each line "
        "of JSON Lines.",
    )
    keys: Columns = Field([], description="Columns that it must have (of JSON Lines: a value in every record).")
    unique: Columns = Field([], description="Columns that together identify a record: none empty, no record twice.")
    ranges: dict[Column, ColumnRange] = Field({}, description="Columns that hold a number in every record, by name.")
    rows: RowsRelation | None = Field(None, description="How its records relate to those of an input.")
    max_bytes: int = Field(
        DEFAULT_MAX_BYTES, ge=1, le=2**50, description=f"How large it may be (bytes); default {DEFAULT_MAX_BYTES:,}."
    )
    opaque: bool = Field(False, description="true: its format cannot be checked, so reports call it not checked.")


Scalar = Annotated[
    Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "integer", "number", "boolean", "null"]})
]


class ParamSpec(_Schema):
    """A parameter of the runs: in the form, for `--set`, and in `$STEP_PARAMS` of each command."""

    type: Literal["string", "integer", "number", "boolean"]
    default: Scalar = Field(
        description="Value of runs that state none; null: none, which commands must be able to take."
    )
    description: str = Field("", description="What it means, for the form and for `./pipeline params`.")
    minimum: float | None = Field(None, allow_inf_nan=False, description="Smallest value of a number.")
    maximum: float | None = Field(None, allow_inf_nan=False, description="Largest value of a number.")
    enum: list[Annotated[str, Field(min_length=1)]] = Field([], description="All values that a string may have.")

    @property
    def annotation(self) -> Any:
        """Return the Python type of its values, with their bounds."""
        if self.enum:
            plain: Any = Literal[tuple(self.enum)]
        else:
            plain = {"string": str, "integer": int, "number": float, "boolean": bool}[self.type]
        if self.type in ("integer", "number"):
            plain = Annotated[plain, Field(ge=self.minimum, le=self.maximum)]
        return plain if self.default is not None else plain | None

    @model_validator(mode="after")
    def _possible(self) -> ParamSpec:
        if self.type not in ("integer", "number") and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"a {self.type} has no minimum and maximum; remove them")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"no number lies between {self.minimum:g} and {self.maximum:g}; exchange them")
        if self.enum and self.type != "string":
            raise ValueError("enum lists strings; set type to string, or remove it")
        if self.default is not None:
            try:
                TypeAdapter(self.annotation).validate_python(self.default, strict=True)
            except ValueError:
                raise ValueError(f"its default {self.default!r} is not a possible value of this parameter") from None
        return self


class ScheduleSpec(_Schema):
    """A schedule of a pipeline, with the parameters of its runs."""

    name: str = Field(
        pattern=SCHEDULE_NAME, description="north makes the DAG <pipeline>_north, which publishes for itself."
    )
    schedule: Annotated[str, AfterValidator(_schedule)] | None = Field(
        None, description="As the pipeline's own; omitted or null: its runs start on request alone."
    )
    timezone: Annotated[str, AfterValidator(_zone)] | None = Field(
        None, description="Zone of this schedule; default: the pipeline's."
    )
    enabled: bool = Field(True, description="false: nothing starts a run but a user.")
    params: dict[str, JsonValue] = Field({}, description="Parameters of its runs, by name.")


class Service(_Schema):
    """What does the work of a container in the linked format: image and command, or the address of a service."""

    image: Image | None = None
    command: Command | None = None
    function: Function | None = Field(None, description=FUNCTION_MEANING)
    address: str | None = Field(
        None,
        pattern=REGISTRY_ADDRESS,
        description="With execution_mode grpc: `host:port`, or `https://host:port` for TLS.",
    )
    connection: str | None = Field(
        None, pattern=ID, description="With an address: Airflow connection whose password is the bearer token."
    )


Protocol = Literal["http", "grpc", "container-executor"]


class ServiceAddress(_Schema):
    """Where a service is that does the work of steps."""

    url: str = Field(pattern=SERVICE_URL, description="Its base URL: `http://host:port` or `https://…`.")
    connection: str | None = Field(
        None,
        pattern=ID,
        description="Airflow connection whose password is the bearer token; its extra field may name a `ca_file`.",
    )
    protocol: Protocol = Field(
        "http",
        description="What it speaks; `container-executor`: the dialect that passes paths of a shared folder. With the "
        "last two, `https` means TLS.",
    )
    slots: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="How many of its tasks may be under way at once, in all runs: slots of the Airflow pool "
        "`service_<id>`, which `./pipeline services up`, `make setup` and the stack create; default: no limit here.",
    )


def service_pool(service: str) -> str:
    """Return the name of the Airflow pool that limits the tasks of a service."""
    return f"service_{service}"


class ContainerFields(_Schema):
    """The keys that containers of both formats have in common."""

    name: str | None = Field(None, description="Display name; default: the step's own title, or the id.")
    description: str | None = Field(None, description="One sentence on what the step does.")
    input_file: Paths = Field([], description="Files below /data that it reads (`source/<name>`: a file in `sources`).")
    output_file: Paths = Field([], description="Files below /data that it must write; none may be empty.")
    timeout_seconds: int = Field(
        3600, ge=1, le=7 * DAY_SECONDS, description="Time limit, after which it is stopped (s)."
    )
    memory_mb: int = Field(2048, ge=64, le=1_048_576, description="Memory limit of the container (MiB).")
    cpus: float = Field(2.0, ge=0.01, le=64, allow_inf_nan=False, description="CPU limit of the container.")
    environment: Annotated[
        dict[Annotated[str, AfterValidator(_variable)], str | None],
        BeforeValidator(_variables),
        WithJsonSchema(
            {"anyOf": [_STRING, _STRINGS, {"type": "object", "additionalProperties": {"type": ["string", "null"]}}]}
        ),
    ] = Field(
        {},
        description="Variables of the command, by name; null passes on the Airflow worker's. A list of names passes on "
        "all of them.",
    )
    secrets: dict[Annotated[str, AfterValidator(_variable)], Annotated[str, AfterValidator(_secret)]] = Field(
        {},
        description="Variables that fields of Airflow connections fill (`crm.password`); written down nowhere, and "
        "hidden in the log.",
    )
    network: Annotated[str, Field(pattern=NAME), AfterValidator(_network)] | None = Field(
        None,
        description="Name of the Docker network that the container joins, where the deployment allows it; default: no "
        "network.",
    )
    retries: int = Field(3, ge=0, le=20, description="How often a fault that may pass is tried again (2, 4, 8, … s).")
    pool: Annotated[str, Field(pattern=NAME)] | None = Field(
        None, description="Airflow pool whose slots limit how many of its tasks run at once."
    )
    service: str | None = Field(None, pattern=ID, description="The service that does its work, one of `services`.")
    priority: int = Field(5, ge=1, le=10, description="Place in the service's own queue; 10 runs first.")
    parameters: dict[str, Any] = Field({}, description="Of the service's operation, for a step that is not registered.")
    records: RecordFiles | None = None
    checks: dict[DataPath, OutputChecks] = Field({}, description="What single output files must fulfil, by file.")


class ListContainer(ContainerFields):
    """A container of the list format."""

    id: str = Field(pattern=ID, description="Also the Airflow task id; a registered step's id stands for that step.")
    image: Image | None = None
    command: Command | None = Field(None, description="A line for `sh -c`, or a list: program and arguments.")
    function: Function | None = Field(None, description=FUNCTION_MEANING)
    depends_on: list[str] = Field([], description="Ids that must succeed first, besides those whose files it reads.")


class LinkedContainer(ContainerFields):
    """A container of the linked format, by its id."""

    next_node: Ids = Field([], description="Ids that follow, besides those that read its files.")


class PipelineDocument(_Schema):
    """The keys that both formats have in common."""

    schema_: str | None = Field(None, alias="$schema", description="Only for editors.")
    workflow_name: str = Field(pattern=WORKFLOW_NAME, description="sensor-pipeline becomes the DAG sensor_pipeline.")
    description: str = ""
    schedule: Annotated[str, AfterValidator(_schedule)] | None = Field(
        None, description=f"Cron expression of five fields, or one of {', '.join(PRESETS)}; omitted or null: none."
    )
    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        "UTC", description="Zone of the schedule, and so of the days that its runs cover: Europe/Berlin."
    )
    triggers: list[Annotated[str, Field(pattern=NAME)]] = Field(
        [], description="Assets, instead of a schedule: an update of one of them starts a run (energy_results)."
    )
    enabled: bool = Field(True, description="false: nothing starts a run but a user.")
    params: dict[Annotated[str, AfterValidator(_param_name)], ParamSpec] = Field(
        {}, description="Parameters of the runs, by name."
    )
    schedules: list[ScheduleSpec] = Field(
        [], description="Further schedules, each with a name and the parameters of its runs."
    )
    deadline_minutes: float | None = Field(
        None,
        gt=0,
        le=7 * DAY_SECONDS / 60,
        allow_inf_nan=False,
        description="Users are notified when a run has not ended this long after it was queued; the run continues.",
    )
    execution_mode: Literal["parallel", "sequential", "grpc"] = Field(
        "parallel",
        description="sequential: one container at a time, even where they are independent. grpc: services of "
        "service_registry do the work (ContainerExecutor).",
    )
    services: dict[str, ServiceAddress] = Field(
        {},
        json_schema_extra={"propertyNames": {"pattern": ID}},
        description="Services that do the work of steps, by the name that steps use.",
    )
    sources: list[Annotated[str, AfterValidator(_plain_name)]] = Field(
        [], description="Names of the input files of a run; containers read them as source/<name>."
    )
    publish: list[DataPath] = Field([], description="Output files that are published when every step has succeeded.")

    def service_of(self, name: str, container: ContainerFields) -> tuple[str, ServiceAddress | None] | None:
        """Return the service that does the work of a container, with its address if that is known; None for none."""
        return (container.service, self.services.get(container.service)) if container.service else None


class ListDocument(PipelineDocument):
    """A list of containers, each with the ids of those that it depends on."""

    execution_mode: Literal["parallel", "sequential"] = Field(
        "parallel", description="sequential: one container at a time, even where they are independent."
    )
    containers: list[ListContainer] = Field(json_schema_extra={"minItems": 1})


def _addressed(entry: Any) -> Any:
    if isinstance(entry, str):
        return {"address": entry}
    if isinstance(entry, Mapping) and {"host", "port"} <= entry.keys():
        rest = {name: value for name, value in entry.items() if name not in ("host", "port")}
        return {"address": f"{entry['host']}:{entry['port']}", **rest}
    return entry


class LinkedDocument(PipelineDocument):
    """Containers by id, each with the ids of those that follow it."""

    containers: dict[str, LinkedContainer] = Field(
        json_schema_extra={"minProperties": 1, "propertyNames": {"pattern": ID}}
    )
    start_node: str = Field(description="The container from which all others are reached.")
    service_registry: dict[
        str, Annotated[Service, BeforeValidator(lambda value: {"image": value} if isinstance(value, str) else value)]
    ] = Field(
        {},
        description="Image, or image and command, of each container that is not a registered step; with execution_mode "
        "grpc the address of each container's service (`host:port`).",
    )

    def service_of(self, name: str, container: ContainerFields) -> tuple[str, ServiceAddress | None] | None:
        """Return the service that does the work of a container: with execution_mode grpc that of the registry."""
        if self.execution_mode != "grpc":
            return super().service_of(name, container)
        entry = self.service_registry.get(name)
        if entry is None or entry.address is None:
            return name, None
        url = entry.address if "://" in entry.address else f"http://{entry.address}"
        return name, ServiceAddress(url=url, connection=entry.connection, protocol="container-executor")

    @model_validator(mode="before")
    @classmethod
    def _addresses(cls, content: Any) -> Any:
        """Take the texts of a registry for addresses where the mode is grpc, and host with port for one, too."""
        registry = content.get("service_registry") if isinstance(content, Mapping) else None
        if not isinstance(registry, Mapping) or content.get("execution_mode") != "grpc":
            return content
        return {**content, "service_registry": {name: _addressed(entry) for name, entry in registry.items()}}


_PROGRAM = """\
import json, os, pathlib, sys
place, name, source = sys.argv[1:]
module = {"__name__": "step", "__file__": place}
exec(compile(source, place, "exec"), module)
module[name](pathlib.Path(os.environ["DATA_DIR"]), json.loads(os.environ["STEP_PARAMS"]))
"""


def function_command(python: str, place: str, source: str) -> tuple[str, ...]:
    """Return the command that calls a function: program and arguments.

    Args:
        python: The interpreter.
        place: The function, `file:name`.
        source: The text of its file.
    """
    file, _, name = place.partition(":")
    return python, "-c", _PROGRAM, file, name, source


@dataclass(frozen=True)
class StepSpec:
    """How a definition runs a step.

    Args:
        id: Also the Airflow task id.
        name: Display name.
        description: One sentence on what the step does; may be empty.
        image: None for a registered step, which runs in the project's own image.
        command: Program and arguments; None for a registered step, which runs its own function.
        inputs: Files that it reads, relative to `/data`.
        outputs: Files that it must write, relative to `/data`.
        depends_on: Ids of the steps before it (declared, implied by files, or by sequential execution), in the
            pipeline's order.
        timeout_seconds: The step is stopped when it exceeds this time.
        memory_mb: Memory limit, MiB.
        cpus: CPU limit.
        function: Of a Python function instead of a command, `file:name` as the definition states it.
        source: The text of that file.
        environment: Variables that its command gets, by name; None passes on the worker's.
        secrets: Variables that fields of Airflow connections fill, by name.
        network: The Docker network of its container; None for none.
        retries: How often a fault that may pass is tried again.
        pool: Airflow's pool that it takes a slot of.
        params: Parameters of the pipeline that its definition declares.
        service: The service that does its work; None where its runtime does.
        address: Where that is.
        priority: Its place in the service's queue; 10 runs first.
        passed: The input (None for none) and the output whose paths a service of ContainerExecutor is given.
        parameters: Of the service's operation, for a step that is not registered.
        records: Record accounting of a step that is not registered; the contract of a registered one has its own.
        declared: The outputs of which more is declared than their path.
    """

    id: str
    name: str
    description: str = ""
    image: str | None = None
    command: tuple[str, ...] | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    timeout_seconds: int = 3600
    memory_mb: int = 2048
    cpus: float = 2.0
    function: str | None = None
    source: str = ""
    environment: Mapping[str, str | None] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    network: str | None = None
    retries: int = 3
    pool: str | None = None
    params: Mapping[str, ParamSpec] = field(default_factory=dict)
    service: str | None = None
    address: ServiceAddress | None = None
    priority: int = 5
    passed: tuple[str | None, str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    records: RecordFiles | None = None
    declared: tuple[Artifact, ...] = ()

    def program(self, python: str) -> tuple[str, ...] | None:
        """Return what runs, program and arguments: its command, or its function; None for a registered step's own.

        Args:
            python: The interpreter of a function.
        """
        return self.command if self.function is None else function_command(python, self.function, self.source)


@dataclass(frozen=True)
class Definition:
    """A pipeline: a validated graph of steps.

    Args:
        workflow_name: Display name (`energy-pipeline`).
        description: One sentence or more; may be empty.
        steps: In an order in which each comes after those it depends on; ties in the order of the file.
        file: The file that it was read from; equality ignores it.
        schedule: Preset or cron expression of five fields; None: runs only on request.
        timezone: IANA zone of the schedule.
        triggers: Names of the assets whose updates start a run.
        schedules: Further schedules, each of which makes a pipeline of its own.
        variant: Name of the further schedule that this is the pipeline of; empty for the pipeline itself.
        execution_mode: `parallel` or `sequential`.
        sources: Names of the input files of a run, below `source/`.
        publish: Outputs that are published when every step has succeeded.
        deadline_minutes: Users are notified when a run has not ended this long after it was queued.
    """

    workflow_name: str
    description: str
    steps: tuple[StepSpec, ...]
    file: Path = field(compare=False)
    schedule: str | None = None
    timezone: str = "UTC"
    triggers: tuple[str, ...] = ()
    schedules: tuple[ScheduleSpec, ...] = ()
    variant: str = ""
    execution_mode: str = "parallel"
    sources: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    deadline_minutes: float | None = None

    @property
    def dag_id(self) -> str:
        """The DAG's id: `energy-pipeline` → `energy_pipeline`."""
        return self.workflow_name.replace("-", "_").replace(" ", "_").lower()

    @property
    def pipeline(self) -> str:
        """The short name for the command line and the published folder: `energy_pipeline` → `energy`."""
        if not self.variant:
            return self.dag_id.removesuffix("_pipeline")
        of = self.dag_id.removesuffix(f"_{self.variant}").removesuffix("_pipeline")
        return f"{of}_{self.variant}"
