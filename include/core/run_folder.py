"""The run folder: one run, one folder, and the records that the orchestrator keeps in it.

```
data/runs/<dag>/<run>/
  run.json                     what the run was asked to do: pipeline, parameters, interval, steps
  artifacts/<sha256>           the sealed artifacts, read-only, named by their content
  files/                       the documented file names, each a link to its sealed artifact
  work/<step>.<g>-<n>/         where one execution of a step works (/data in containers); removed after it
  scratch/<step>.<g>/          what a step keeps from attempt to attempt; removed after its success
  events.jsonl                 what happened, and when, a line an event
  steps/<step>/started.json    the attempt under way
  steps/<step>/result.json     its result; durations and times in reports come from here
  pipeline_report_<time>.json  and .html beside it
```

A step writes into its work folder and its scratch folder alone, so it can change neither a record nor an artifact.
Runs of v0.1.0 have no `artifacts/`: their files lie in `files/` themselves.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from include.core.artifact_store import FolderStore
from include.core.errors import explain
from include.core.files import write_atomically
from include.core.outcome import StepOutcome
from include.core.sink import FileSink, Sink
from include.core.strict_json import MAX_BYTES

M = TypeVar("M", bound=BaseModel)
LOG = logging.getLogger(__name__)
SCHEMA_VERSION = 1
"""Of `run.json`: raised when its keys change meaning. Runs of v0.1.0 have none and are read as version 0."""
PUBLICATION = "publication.json"
"""States in a published folder whose results it holds."""
SOURCE_FOLDER = "source"
"""Below `files/`: the input files that users provided, as staged."""
INTERRUPTED_MARK = "interrupted"
"""In the run's folder: a user stopped the run, so no further step starts."""

TOO_LARGE = "too_large"
"""Type of the validation error of a document that is too large to be read."""

STOPPED = "stopped while it ran: a user marked or cleared its task in Airflow, or its worker was shut down"
"""Why an attempt ended that Airflow stopped."""


Proof = Literal["opaque", "sealed", "format", "schema", "declared", "records", "recomputed", "sampled"]
"""How far an artifact is proven (`proof.WORDS` says what each means); `opaque`: its content was not checked."""


StartedBy = Literal["schedule", "asset", "backfill", "user"]
"""What started a run. A backfill with parameters that the schedule does not have counts as a user's."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileRecord(_Record):
    """A file as it was when it was checked."""

    path: str = Field(description="Below the run's files/ folder.")
    sha256: str
    bytes: int
    records: int | None = Field(None, description="Data records of a table, None for anything else.")
    proof: list[Proof] = Field([], description="How far it is proven; empty where it was not recorded.")


class Records(_Record):
    """Record accounting: read = accepted + rejected + outside."""

    read: int
    accepted: int
    rejected: int = 0
    outside: int = 0
    rejected_by_reason: dict[str, int] = {}

    @property
    def reconciles(self) -> bool:
        """Whether every record that was read is accounted for, once; a negative count accounts for nothing."""
        reasons = self.rejected_by_reason.values()
        return (
            min(self.read, self.accepted, self.rejected, self.outside, *reasons) >= 0
            and self.read == self.accepted + self.rejected + self.outside
            and self.rejected == sum(reasons)
        )


class Failure(_Record):
    """Why a step failed, for users."""

    kind: Literal["bad_input", "contract", "setup", "transient", "interrupted", "timeout", "lost", "error"]
    message: str
    artifact: str | None = None
    rule: str | None = None
    value: str | None = None
    hint: str | None = None


class Started(_Record):
    """An attempt under way; without a result of the same attempt it died."""

    step: str
    started_at: AwareDatetime
    attempt: int = 1
    generation: int = 0
    runtime: str = "local"
    stopped: bool = Field(False, description="Airflow asked the attempt to end before it had a result.")


class Mark(_Record):
    """A user set the state of a task in Airflow (`steps/<step>/mark.json`)."""

    by: str = Field(description="The user's name in Airflow.")
    at: AwareDatetime
    state: Literal["failed"]


class StepResult(Started):
    """The result of an attempt (`steps/<step>/result.json`)."""

    title: str
    description: str
    version: str
    status: Literal["success", "failed"]
    ended_at: AwareDatetime
    duration_seconds: float
    reused: bool = False
    skipped: str | None = Field(None, description="The parameter that reduced the step to its bookkeeping.")
    image: str | None = None
    isolation: str | None = Field(None, description="How the step was kept from records and artifacts, in words.")
    command: str = Field("", description="What ran: a Python function, or the command in the container.")
    params: dict[str, Any] = {}
    inputs: list[FileRecord] = []
    stored: list[FileRecord] = Field([], description="Files of stores that it read; their paths lie below data/.")
    outputs: list[FileRecord] = []
    records: Records | None = None
    audited: bool = Field(False, description="Nothing was left to a sample when it was checked.")
    outcome: StepOutcome = Field(StepOutcome(), alias="summary", description="Metrics by name, findings, tables.")
    error: Failure | None = None
    log_url: str | None = None
    versions: dict[str, str] = {}

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    @classmethod
    def draft(cls, started: Started, **fields: Any) -> StepResult:
        """Return the result of an attempt that has just started; it counts as failed until it has ended well."""
        start = started.started_at
        return cls(**started.model_dump(), status="failed", ended_at=start, duration_seconds=0, **fields)


class StepInfo(_Record):
    """A step as the run's plan names it."""

    id: str
    title: str
    description: str
    parts: list[str] = Field([], description="Ids of its tasks, where it has several; a mapped one stands for all.")


class Run(_Record):
    """What a run was asked to do (`run.json`); written before the first step."""

    schema_version: int = Field(0, description="Version of this document; 0 for runs of v0.1.0, which do not state it.")
    pipeline: str = Field(description="Workflow name, as in the definition.")
    dag_id: str
    run_id: str
    runtime: str
    created_at: AwareDatetime
    started_by: StartedBy | None = Field(None, description="What started it; not stated by earlier releases.")
    interval_start: AwareDatetime | None = None
    interval_end: AwareDatetime | None = None
    params: dict[str, Any] = {}
    steps: list[StepInfo]
    sources: list[FileRecord] = Field([], description="The input files, as staged under files/source/.")
    definition: FileRecord | None = None

    @property
    def audited(self) -> bool:
        """Whether nothing is left to a sample when results are checked; runs of v0.1.0 do not state it."""
        return self.params.get("audit") is True


class RunFolder:
    """Paths and records of one run.

    Args:
        path: The run's folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, data_dir: Path, dag_id: str, run_id: str) -> RunFolder:
        """The folder of a run, its name made safe for file systems."""
        return cls(data_dir / "runs" / safe_name(dag_id) / safe_name(run_id))

    @property
    def sink(self) -> Sink:
        """Where the orchestrator states what happens in the run."""
        return FileSink(self.path)

    @property
    def files(self) -> Path:
        """The documented names of all accepted artifacts."""
        return self.path / "files"

    @property
    def artifacts(self) -> FolderStore:
        """The sealed artifacts."""
        return FolderStore(self.path / "artifacts")

    def locate(self, record: FileRecord) -> Path:
        """Return where an accepted artifact lies: sealed, or in `files/` where a run of v0.1.0 left it."""
        sealed = self.artifacts.materialise(record.sha256)
        return sealed if sealed.is_file() else self.files / record.path

    def work(self, started: Started) -> Path:
        """Return the work folder of the execution that an attempt begins; it need not exist yet."""
        return self.path / "work" / f"{safe_name(started.step)}.{started.generation}-{started.attempt}"

    def works(self, step_id: str) -> list[Path]:
        """Return the work folders that executions of a step have left."""
        name = re.compile(rf"{re.escape(safe_name(step_id))}\.\d+-\d+")
        return [folder for folder in (self.path / "work").glob("*") if name.fullmatch(folder.name)]

    def scratch(self, step_id: str, generation: int) -> Path:
        """Return the folder of what a step keeps from attempt to attempt; a cleared step begins with another one."""
        return self.path / "scratch" / f"{safe_name(step_id)}.{generation}"

    def scratches(self, step_id: str) -> list[Path]:
        """Return the folders of what a step has kept, in all generations."""
        name = re.compile(rf"{re.escape(safe_name(step_id))}\.\d+")
        return [folder for folder in (self.path / "scratch").glob("*") if name.fullmatch(folder.name)]

    def step(self, step_id: str) -> Path:
        """Where the orchestrator keeps its records of a step."""
        return self.path / "steps" / safe_name(step_id)

    def keep(self, step_id: str, name: str, document: BaseModel) -> None:
        """Keep a record or the outcome of a step.

        Raises:
            SetupError: The folder cannot be written, or the disk is full.
        """
        self.sink.keep(f"steps/{safe_name(step_id)}/{name}", document)

    def all_tasks(self) -> list[str]:
        """Return the ids of the tasks of all steps in the plan's order; none before the plan was written."""
        run = self.run()
        return [task for info in (run.steps if run else []) for task in self.tasks(info)]

    def accepted_results(self) -> list[StepResult]:
        """Return the results of the tasks that succeeded, in the plan's order."""
        results = map(self.result, self.all_tasks())
        return [result for result in results if result is not None and result.status == "success"]

    def recorded_successes(self) -> list[StepResult]:
        """Return the results of all tasks that succeeded, by folder, whether or not the plan lists them.

        A result that cannot be read, such as one of an older schema, is not a success.
        """
        results: list[StepResult] = []
        for path in sorted(self.path.glob("steps/*/result.json")):
            try:
                result = read_model(path, StepResult)
            except ValidationError as error:
                LOG.warning("%s cannot be read, so it counts as no success: %s", path, explain(error))
                continue
            if result is not None and result.status == "success":
                results.append(result)
        return results

    def tasks(self, info: StepInfo) -> list[str]:
        """Return the ids of a step's tasks in order; those of a mapped step once they have started."""
        tasks: list[str] = []
        for part in info.parts or [info.id]:
            instances = sorted(self.path.glob(f"steps/{safe_name(part)}.[0-9]*"))
            tasks += [folder.name for folder in instances] or [part]
        return tasks

    def run(self) -> Run | None:
        """The run's plan, or None before it was written."""
        return read_model(self.path / "run.json", Run)

    def started(self, step_id: str) -> Started | None:
        """The latest attempt of a step, or None if it never started."""
        return read_model(self.step(step_id) / "started.json", Started)

    def result(self, step_id: str) -> StepResult | None:
        """Return the recorded outcome of a task, or None while there is none."""
        return read_model(self.step(step_id) / "result.json", StepResult)

    def mark(self, step_id: str) -> Mark | None:
        """Return which user set the state of a task last; None where nobody did."""
        return read_model(self.step(step_id) / "mark.json", Mark)

    def step_started(self, info: StepInfo) -> Started | None:
        """Return the attempt under way or, of a step of several tasks, the first of them that started."""
        attempts = filter(None, map(self.started, self.tasks(info)))
        first = min(attempts, key=lambda started: started.started_at, default=None)
        return first.model_copy(update={"step": info.id}) if first else None

    def step_result(self, info: StepInfo) -> StepResult | None:
        """Return the result of a step; of several tasks, None while one has no result and none has failed."""
        if not info.parts:
            return self._latest_result(info.id)
        results = [self._latest_result(task) for task in self.tasks(info)]
        ended = [result for result in results if result is not None]
        failed = [result for result in ended if result.status == "failed"]
        if not failed and (len(ended) < len(results) or not ended):
            return None
        return _combined(info, ended, failed)

    def _latest_result(self, task: str) -> StepResult | None:
        """Return the result of a task's last attempt."""
        started, result = self.started(task), self.result(task)
        outdated = started and result and (started.generation, started.attempt) > (result.generation, result.attempt)
        return None if outdated else result


def _combined(info: StepInfo, results: Sequence[StepResult], failed: Sequence[StepResult]) -> StepResult:
    """Combine the results of a step's tasks: first start to last end, files and proofs of all, outcome of the last."""
    last = min(failed, key=lambda result: result.ended_at) if failed else results[-1]
    start, end = min(result.started_at for result in results), max(result.ended_at for result in results)
    outputs = {record.path: record for result in results for record in result.outputs}
    stored = {record.path: record for result in results for record in result.stored}
    proofs = tuple(proof for result in results for proof in result.outcome.proofs)
    isolation = dict.fromkeys(result.isolation for result in results if result.isolation)
    return last.model_copy(
        update={
            "step": info.id,
            "title": info.title,
            "description": info.description,
            "started_at": start,
            "ended_at": end,
            "duration_seconds": seconds_between(start, end),
            "reused": all(result.reused for result in results),
            "outputs": list(outputs.values()),
            "stored": list(stored.values()),
            "isolation": "; ".join(isolation) or None,
            "outcome": last.outcome.model_copy(update={"proofs": proofs}),
            "params": {name: value for result in results for name, value in result.params.items()},
        }
    )


def safe_name(name: str) -> str:
    """A run id or step id as a folder name (`manual__2026-01-01T00:00:00+00:00` holds colons and a plus).

    >>> safe_name("scheduled__2026-01-01T00:00:00+00:00")
    'scheduled__2026-01-01T00-00-00+00-00'
    """
    cleaned = re.sub(r"[^\w.+=@-]", "-", name)
    return cleaned if cleaned.strip(".") else f"run-{len(name)}"


def write_json(path: Path, document: BaseModel) -> None:
    """Write a JSON file; a reader sees the old document or the new one, complete.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    write_atomically(path, document.model_dump_json(indent=2).encode() + b"\n")


def read_model(path: Path, model: type[M]) -> M | None:
    """Return a JSON document that is a file, or None where there is none.

    Raises:
        ValidationError: It is not what the model describes, or is larger than 64 MiB, in which case it is not read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise _too_large(model, size)
            return model.model_validate_json(file.read(size + 1))  # one that grows meanwhile is not read to its end
    except FileNotFoundError:
        return None


def damage_of(path: Path, error: ValidationError) -> str:
    """Return the sentence about a record that `read_model` could not read."""
    fault = error.errors(include_url=False, include_input=False)[0]
    if fault["type"] == TOO_LARGE:
        return f"{path} {fault['msg']}, and was not read."
    return f"{path} is damaged and cannot be read."


def _too_large(model: type[M], size: int) -> ValidationError:
    sentence = "has {megabytes} MB, more than the {most} MB allowed"
    context = {"megabytes": f"{size / 1e6:,.0f}", "most": f"{MAX_BYTES / 1e6:,.0f}"}
    fault = InitErrorDetails(type=PydanticCustomError(TOO_LARGE, sentence, context), input=None)
    return ValidationError.from_exception_data(model.__name__, [fault])


def seconds_between(start: datetime, end: datetime) -> float:
    """Duration in seconds, to the millisecond."""
    return round((end - start).total_seconds(), 3)
