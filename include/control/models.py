"""The messages of the control protocol, version 1.

Requests forbid unknown keys, answers ignore them. Times are durations in seconds, so that no clock is compared with
another.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, Field, model_validator

from include.core.definitions.model import data_path

PROTOCOL_VERSION = "1"
State = Literal["queued", "running", "complete", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"complete", "failed", "cancelled"})
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TaskId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="Computed by the orchestrator (task_ids.py).")]
Path_ = Annotated[str, AfterValidator(data_path), Field(description="Where the step sees the file, below `/data`.")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
INLINE_BYTES = 64 * 1024
"""A larger file is never sent inside a message."""


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Reference(_Request):
    path: Path_
    format: str = Field(pattern=r"^[a-z0-9]{0,20}$", description="Suffix that names the format (`csv`).")
    bytes: int = Field(ge=0, description="Size of the file.")
    sha256: Sha256 = Field(description="Checksum of the file; whoever receives it checks it.")


class InlineData(_Reference):
    """A small file inside the message."""

    protocol: Literal["inline"] = "inline"
    content: Base64Bytes = Field(max_length=INLINE_BYTES, description="The file, base64.")


class HttpData(_Reference):
    """A file of the service's own content: an input that was pushed to it, or an output that is pulled from it."""

    protocol: Literal["http"] = "http"
    uri: str = Field(description="`/data/<sha256>`, or the same as a URL on the service's own origin.")


def file_reference(path: str, checksum: str, length: int) -> HttpData:
    """Return the reference to a file that was pushed."""
    suffix = PurePosixPath(path).suffix.lstrip(".").lower()
    return HttpData(path=path, format=suffix, bytes=length, sha256=checksum, uri=f"/data/{checksum}")


class FileData(_Reference):
    """A file below a folder that the service has mounted under a name (`--mount NAME=FOLDER`)."""

    protocol: Literal["file"] = "file"
    mount: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")
    uri: Path_


DataReference = Annotated[InlineData | HttpData | FileData, Field(discriminator="protocol")]


class Fault(_Answer):
    """Why something failed or was refused."""

    kind: Literal["bad_input", "contract", "setup", "transient", "interrupted", "timeout", "error"] = "error"
    message: str = Field(min_length=1, max_length=4000)


class TaskKeys(_Request):
    """What a task is for. Two tasks that differ in the generation alone are the same task before and after a clear."""

    deployment: str = Field(max_length=200, description="Which orchestrator asks; two never share their tasks.")
    dag: str = Field(max_length=250)
    run: str = Field(max_length=250)
    step: str = Field(max_length=250)
    map_index: int = Field(-1, ge=-1, description="-1 for a step that is not mapped.")
    generation: int = Field(0, ge=0, description="How often users have cleared the task.")


class Operation(_Answer):
    """A step as a service offers it."""

    name: str
    title: str = ""
    description: str = ""
    version: str = Field(description="Version of the step; a task for another one is refused.")
    parameters: dict[str, Any] = Field(description="JSON schema of its parameters.")
    reads: list[str] = []
    writes: list[str] = []


class Health(_Answer):
    """What a service is, what it can do and how busy it is."""

    status: Literal["healthy", "unhealthy"]
    protocol: str = PROTOCOL_VERSION
    service: str = Field(min_length=1, max_length=200)
    version: str = Field(min_length=1, max_length=200, description="Changes whenever results may; decides about reuse.")
    operations: list[Operation]
    running: int = Field(ge=0)
    queued: int = Field(0, ge=0)
    capacity: int = Field(ge=1, description="How many tasks run at once.")


class Execute(_Request):
    """A request for a task. Repeated, it changes nothing; with a higher attempt it starts a failed task again."""

    task: TaskId
    operation: str
    version: str = Field(description="Version of the step that the orchestrator expects.")
    keys: TaskKeys
    attempt: int = Field(1, ge=1)
    inputs: list[DataReference] = []
    stored: list[DataReference] = Field([], description="Files of stores, by path below the data folder.")
    parameters: dict[str, Any] = {}
    priority: int = Field(5, ge=1, le=10, description="10 runs first.")
    timeout_seconds: float = Field(3600, gt=0, le=7 * 86_400, description="Counted from its start, not while queued.")
    memory_mb: int = Field(2048, ge=64, description="Memory limit of each of its processes (MiB).")


class Status(_Answer):
    """How a task is doing. `complete` is a claim that the orchestrator proves; `progress` is for users alone."""

    task: TaskId
    operation: str
    state: State
    keys: TaskKeys
    attempt: int = Field(1, ge=1)
    progress: float | None = Field(None, ge=0, le=1)
    queued_seconds: Seconds = 0
    running_seconds: Seconds = 0
    error: Fault | None = None
    service: str
    version: str

    @model_validator(mode="after")
    def _explained(self) -> Status:
        if self.state == "failed" and self.error is None:
            raise ValueError("a failed task must state its error")
        return self


class Output(_Answer):
    """The files that a complete task left."""

    task: TaskId
    keys: TaskKeys
    outputs: list[DataReference]
    service: str
    version: str


class Tasks(_Answer):
    """Tasks of a deployment that have not ended."""

    tasks: list[Status]
