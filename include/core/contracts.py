"""What a step declares: the artifacts it reads and writes, the schema of each, and its record accounting.

A step is a typed function over a folder (`files`) that shows its inputs and takes its outputs. Its contract is checked
from outside, on the artifacts themselves, so it holds for our own functions and for any container image alike.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Generic, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import TypeVar

from include.core.errors import ContractError, explain
from include.core.outcome import Proof, StepOutcome
from include.core.rules import OutputRules
from include.core.run_folder import SOURCE_FOLDER, Records, read_model, write_json

D = TypeVar("D", bound=BaseModel, default=BaseModel)
DEFAULT_MAX_BYTES = 16 * 1024**3
"""How large an artifact may be where its contract states nothing else."""
FIRST_YEAR, LAST_YEAR = 1900, 2199


class StepParams(BaseModel):
    """Base of every step's parameters; a step sees only those that its model declares."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunParams(StepParams):
    """Parameters of every run, whatever its steps are; the orchestrator reads them from the plan."""

    audit: bool = Field(
        False, description="Recompute everything when results are checked, also what is otherwise checked on a sample."
    )
    publish: bool = Field(
        False,
        description="Publish the results of a run that you start in place of the schedule's, which are kept. Default: "
        "below manual/, beside them.",
    )


class Window(StepParams):
    """The data interval [start, end) of a run; both may be open for input files."""

    start: AwareDatetime | None = Field(None, description="First instant of the data, inclusive (ISO 8601 with zone).")
    end: AwareDatetime | None = Field(None, description="End of the data, exclusive (ISO 8601 with zone).")

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if (self.start is None) != (self.end is None):
            raise ValueError("start and end go together: give both or neither")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"start {self.start.isoformat()} must be before end {self.end.isoformat()}")
        for moment in (self.start, self.end):
            if moment is not None and not FIRST_YEAR <= moment.year <= LAST_YEAR:
                raise ValueError(f"there is no data of the year {moment.year}; years are {FIRST_YEAR} to {LAST_YEAR}")
        return self


@dataclass(frozen=True)
class Artifact(Generic[D]):
    """A file that a step reads or writes, named once: `VALIDATED = Artifact("validated.json", Imagery)`.

    Args:
        path: Below the run's `files/` folder, POSIX, never leaving it.
        schema: For CSV the model of one record (its fields are the leading columns, in order), for JSON the model of
            the document. None checks only that the file reads to its end in the format that its suffix names.
        optional: May be absent. An optional file that exists is checked like any other.
        may_be_empty: A CSV may hold its header alone (a list of rejected records, for one).
        max_bytes: How large it may be, both in apparent and in allocated size.
        opaque: Its content is not checked, because no check knows the format that its suffix names; reports say so.
        rewritten: Its step's `recompute` writes it again from the inputs and compares all bytes, which proves more than
            a check of its format; it checks the format of a file of other bytes, and counts the records.
        rules: What its records or its document must fulfil beyond format and schema.
    """

    path: str
    schema: type[D] | None = None
    optional: bool = False
    may_be_empty: bool = False
    max_bytes: int = DEFAULT_MAX_BYTES
    opaque: bool = False
    rewritten: bool = False
    rules: OutputRules | None = None

    @property
    def format(self) -> str:
        """`csv`, `json`, `png`, …: the suffix, which names the format."""
        return PurePosixPath(self.path).suffix.lstrip(".").lower()

    def at(self, files: Path) -> Path:
        """Return where the file lies in a run's `files/` folder."""
        return files / self.path

    def read(self, files: Path) -> D:
        """Read the JSON document of a run.

        Args:
            files: The run's `files/` folder.

        Raises:
            ContractError: The file is missing, or is not the document that its schema describes.
        """
        document = self.find(files)
        if document is None:
            raise ContractError(self.path, "must exist", "no such file")
        return document

    def find(self, files: Path) -> D | None:
        """Read the JSON document of a run, or None where there is none.

        Raises:
            ContractError: The file is not the document that its schema describes.
        """
        if self.schema is None:
            raise TypeError(f"{self.path}: an artifact without a schema is not read as a document")
        try:
            return read_model(self.at(files), self.schema)
        except ValidationError as error:
            raise ContractError(self.path, "must keep to its schema", explain(error)) from error

    def write(self, files: Path, document: D) -> None:
        """Write the JSON document of a run, complete or not at all.

        Raises:
            SetupError: The folder cannot be written, or the disk is full.
        """
        write_json(self.at(files), document)

    def instance(self, index: int) -> Artifact[D]:
        """Return the artifact of one task of a mapped step."""
        return replace(self, path=self.path.format(index=f"{index:03d}"))


SOURCES: Artifact[Any] = Artifact(f"{SOURCE_FOLDER}/*", optional=True)
"""The input files that users provided, for steps that read them."""


@dataclass(frozen=True)
class Group:
    """Several tasks that users know as one step ("Download real satellite data": search, fetch, collect)."""

    id: str
    title: str
    description: str


@dataclass(frozen=True)
class Credentials:
    """What a step needs to know of an account, and never writes down.

    Args:
        connection: The Airflow connection that holds it.
        login: Environment variable that its login fills.
        password: Environment variable that its password fills.
        sources: Values of the parameter `source` for which it is needed.
    """

    connection: str
    login: str
    password: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Approval:
    """A step that asks a user, and records the answer.

    Args:
        param: The run's parameter that makes it ask; without it the step approves.
        question: `module:function` of `(files, params) -> str | None`: what the user is shown (Markdown); None where
            there is nothing to approve, which rejects.
        evidence: `module:function` of `(files) -> str`: the SHA-256 of all that the question rests on. An answer counts
            for this evidence alone.
        record: `module:function` of `(files, approved, by, why, evidence)` that writes the step's outputs.
    """

    param: str
    question: str
    evidence: str
    record: str


@dataclass(frozen=True)
class Notice:
    """A message to the users whom the deployment notifies.

    Args:
        subject: Short.
        sentence: What happened.
        facts: Details by name; a value that is a URL becomes a link.
    """

    subject: str
    sentence: str
    facts: Mapping[str, str]


class StoredFile(NamedTuple):
    """A file of a store that a step reads.

    Args:
        path: Below the data folder (`imagery/sentinel-2-l2a/…`).
        sha256: What it must be; None where the step itself judges what it finds, or whether it is there.
        left_by: Who stated that, for users.
    """

    path: str
    sha256: str | None = None
    left_by: str = ""


@dataclass(frozen=True)
class Step:
    """A step of a pipeline and its contract.

    Args:
        id: Also the Airflow task id.
        title: Shown to users ("Analyze meter data").
        description: One sentence on what it does.
        version: Raised when the same inputs would give another output; part of what decides about reuse.
        params: Model of the parameters it takes.
        function: `module:name` of `(files: Path, params) -> None`; imported only when the step runs.
        reads: What must be there before it runs.
        writes: What must be there, and right, after it.
        records: Counts the records of the artifacts themselves (`files` → accounting); None for no record data.
        outcome: Reads metrics, findings and tables from the checked artifacts (`files` → `StepOutcome`); a
            `module:name` is imported only after the step has run.
        recompute: `module:function` of `(files, params, *, audit) -> tuple[Proof, ...]`: derives from the inputs what
            the outputs state, and raises a `ContractError` where they differ. With `audit`, nothing is left to a
            sample. It is imported only after the step has run.
        group: The step that users know it as a part of.
        mapped: One task for each of several things, numbered from 0; `{index}` in `writes` stands for the number, and
            the function takes it as a third argument.
        index: Which of them this is.
        fans_out: `module:name` of what names the things that a mapped step after it is for (`files` → list of names).
        scratch: Folders below `files/` that survive from attempt to attempt (checkpoints); removed after its success.
        skip_param: The parameter that reduces the step to its bookkeeping; reports then call it skipped.
        credentials: The account that it needs.
        libraries: Distributions whose versions belong to its provenance.
        in_worker: It talks to a service, or changes what lies beyond its run: it runs in the Airflow worker in every
            runtime, for containers have no network.
        stored: `module:function` of `(files, params)` that yields the files of stores that it reads (`StoredFile`).
        keep: `module:function` of `(files, params)` that adds accepted outputs to a store; the orchestrator calls it.
        env_keys: Keys of the env file that it reads; of the others a container learns nothing.
        approval: How it asks a user; such a step has no function.
        notice: `module:function` of the step's outcome that returns the notice to send after its success, or None.
    """

    id: str
    title: str
    description: str
    version: str
    params: type[StepParams]
    function: str
    reads: tuple[Artifact[Any], ...]
    writes: tuple[Artifact[Any], ...]
    records: Callable[[Path], Records] | None = None
    outcome: Callable[[Path], StepOutcome] | str | None = None
    recompute: str | None = None
    group: Group | None = None
    mapped: bool = False
    index: int | None = None
    fans_out: str | None = None
    scratch: tuple[str, ...] = ()
    skip_param: str | None = None
    credentials: Credentials | None = None
    libraries: tuple[str, ...] = ("duckdb", "pandas")
    in_worker: bool = False
    stored: str | None = None
    keep: str | None = None
    env_keys: tuple[str, ...] = ()
    approval: Approval | None = None
    notice: str | None = None

    def instance(self, index: int) -> Step:
        """One of the tasks of a mapped step, as a step of its own.

        >>> Step("download", "Download", "", "1", StepParams, "m:f", (), (), mapped=True).instance(7).id
        'download.007'
        """
        writes = tuple(artifact.instance(index) for artifact in self.writes)
        return replace(self, id=f"{self.id}.{index:03d}", writes=writes, mapped=False, index=index)

    @property
    def domain(self) -> str:
        """The package that it belongs to; its steps share an image."""
        return self.function.split(".")[1]

    @property
    def program(self) -> tuple[str, ...]:
        """The same step as a program, for its container."""
        task = (self.id,) if self.index is None else (self.id.rpartition(".")[0], str(self.index))
        return ("python", "-m", f"include.{self.domain}", *task)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Paths of the files that it reads; each may be a pattern."""
        return tuple(artifact.path for artifact in self.reads)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths of the files that it writes; each may hold `{index}`."""
        return tuple(artifact.path for artifact in self.writes)

    def load(self) -> Callable[[Path, Any], None]:
        """The step's function, imported now: parsing a DAG file never pays for it."""
        function: Callable[..., None] = imported(self.function)
        return function if self.index is None else partial(function, index=self.index)

    def things(self, files: Path) -> list[str]:
        """Names of the things that the mapped step after this one is for."""
        return list(imported(self.fans_out)(files)) if self.fans_out else []

    def read_outcome(self, files: Path) -> StepOutcome:
        """Read the outcome from the checked artifacts; it is empty for a step that declares none."""
        outcome = imported(self.outcome) if isinstance(self.outcome, str) else self.outcome
        return StepOutcome.model_validate(outcome(files)) if outcome else StepOutcome()

    def prove(self, files: Path, params: StepParams, *, audit: bool = False) -> tuple[Proof, ...]:
        """Recompute what the outputs state; nothing is proven of a step that declares no `recompute`.

        Args:
            files: A folder that shows the inputs and outputs of the step at their documented names.
            params: The parameters that the step ran with.
            audit: Recompute everything, also what is otherwise recomputed for a sample.

        Raises:
            ContractError: An output states something else than its inputs give.
        """
        return tuple(imported(self.recompute)(files, params, audit=audit)) if self.recompute else ()


def imported(name: str) -> Any:
    """What `module:name` stands for, imported now."""
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)
