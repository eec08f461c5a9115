"""A pipeline definition as the rest of the project sees it, whichever shape it was written in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RecordFiles:
    """CSV files whose data records the orchestrator counts: read = accepted + rejected.

    Args:
        read: One of the container's inputs.
        accepted: One of its outputs.
        rejected: One of its outputs; None if nothing may be rejected.
    """

    read: str
    accepted: str
    rejected: str | None = None


@dataclass(frozen=True)
class StepSpec:
    """One step of a pipeline.

    Args:
        id: Also the Airflow task id.
        name: Shown to people.
        description: One sentence on what it does; may be empty.
        image: None: the project's own image, with a registered step in it.
        command: Program and arguments; None: the registered step's own.
        inputs: Files that it reads, relative to `/data`.
        outputs: Files that it must write, relative to `/data`.
        depends_on: Ids of the steps before it: declared, implied by files, or by sequential execution; in the
            pipeline's order.
        timeout_seconds: It is stopped after this time.
        memory_mb: Memory limit, MiB.
        cpus: CPU limit.
        records: Record accounting of a step that is not registered; a registered one brings its own.
    """

    id: str
    name: str
    description: str
    image: str | None
    command: tuple[str, ...] | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    depends_on: tuple[str, ...]
    timeout_seconds: int = 3600
    memory_mb: int = 2048
    cpus: float = 2.0
    records: RecordFiles | None = None


@dataclass(frozen=True)
class Definition:
    """A pipeline: a validated graph of steps.

    Args:
        workflow_name: As people call it (`energy-pipeline`).
        description: One sentence or more; may be empty.
        schedule: Preset or cron expression of five fields; None: runs only when asked.
        execution_mode: `parallel` or `sequential`.
        sources: Names of the files that a run hands in, below `source/`.
        publish: Outputs that are promoted when every step has succeeded.
        file: Where it was read from; two definitions that say the same are equal, wherever they lie.
        steps: In an order in which each comes after those it depends on; ties in the order of the file.
        deadline_minutes: People are told when a run has not ended so long after it was queued.
    """

    workflow_name: str
    description: str
    schedule: str | None
    execution_mode: str
    sources: tuple[str, ...]
    publish: tuple[str, ...]
    steps: tuple[StepSpec, ...]
    file: Path = field(compare=False)
    deadline_minutes: float | None = None

    @property
    def dag_id(self) -> str:
        """`energy-pipeline` → `energy_pipeline`."""
        return self.workflow_name.replace("-", "_").replace(" ", "_").lower()

    @property
    def pipeline(self) -> str:
        """`energy_pipeline` → `energy`: what people type, and the folder that results are published in."""
        return self.dag_id.removesuffix("_pipeline")
