"""A small pipeline for tests of the step protocol: `measure` → `analyze`, plain functions over a folder."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, Field

from include.core.contracts import Artifact, Step, StepParams
from include.core.definitions.model import Definition, StepSpec
from include.core.outcome import StepMetrics, StepOutcome
from include.core.pipeline import Pipeline
from include.core.run_folder import FileRecord, Records, Run, RunFolder, StepInfo, StepResult, write_json
from include.core.runner import Attempt, Execute, called, run_step
from include.core.tables import check_table

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Reading(BaseModel):
    timestamp: datetime
    household: str
    power: float = Field(ge=0, lt=1000)
    phases: int = Field(ge=1, le=3)
    status: Literal["normal", "high_usage"]
    exported: bool
    factor: float | None = Field(None, gt=0)
    note: str | None = None


class Rejected(BaseModel):
    line: int
    reason: str


class Totals(BaseModel):
    energy: float
    households: list[str] = Field(min_length=1)


class Params(StepParams):
    factor: float = Field(2.0, gt=0)


GOOD = {
    "timestamp": "2026-01-01T00:00:00Z",
    "household": "home",
    "power": "1.5",
    "phases": "3",
    "status": "normal",
    "exported": "false",
    "factor": "0.98",
    "note": "",
}
TOTALS = '{"energy": 12.5, "households": ["home"]}'


def image(form: str, side: int = 8) -> bytes:
    """A gradient in a format of Pillow's (`PNG`, `JPEG`)."""
    content = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).convert("RGB").save(content, form)
    return content.getvalue()


PNG = image("PNG")


def table(*changes: dict[str, str]) -> str:
    """A CSV of good readings, each with some cells changed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(GOOD)
    writer.writerows((GOOD | change).values() for change in changes)
    return text.getvalue()


READINGS = table({}, {"household": "other"}, {"power": "2"})


def count(files: Path) -> Records:
    """Of `in.csv`, what came to `out.csv` and to `rejected.csv`."""
    read, accepted = (check_table(files / name, name, None) for name in ("in.csv", "out.csv"))
    rejected = check_table(files / "rejected.csv", "rejected.csv", None) if (files / "rejected.csv").exists() else 0
    reasons = {"bad": rejected} if rejected else {}
    return Records(read=read, accepted=accepted, rejected=rejected, rejected_by_reason=reasons)


def total(files: Path) -> StepOutcome:
    return StepOutcome(metrics=StepMetrics(bytes=(files / "out.csv").stat().st_size))


MEASURE = Step("measure", "Measure", "Measures.", "1", Params, "m:f", (), (Artifact("in.csv", Reading),))
ANALYZE = Step(
    "analyze",
    "Analyze",
    "Analyzes.",
    "1",
    Params,
    "m:f",
    (Artifact("in.csv", Reading),),
    (Artifact("out.csv", Reading), Artifact("rejected.csv", Rejected, optional=True, may_be_empty=True)),
    records=count,
    outcome=total,
)
ATTEMPT = Attempt()


def plan(folder: RunFolder, *steps: Step, sources: list[FileRecord] | None = None, **params: Any) -> Run:
    """Write the run's plan."""
    run = Run(
        pipeline="test-pipeline",
        dag_id="test_pipeline",
        run_id="manual__2026-01-01T00:00:00+00:00",
        runtime="local",
        created_at=NOW,
        params=params,
        steps=[StepInfo(id=s.id, title=s.title, description=s.description) for s in steps or (MEASURE, ANALYZE)],
        sources=sources or [],
    )
    write_json(folder.path / "run.json", run)
    return run


def writing(**files: str | bytes) -> Execute:
    """A step that writes these files (`out_csv` is `out.csv`)."""

    def write(folder: Path, params: object = None) -> None:
        for name, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            path = folder / name.replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(raw)

    return called(write)


def tamper(run: RunFolder, name: str, content: str) -> None:
    """Change a sealed file, as nothing but the orchestrator's own user can."""
    sealed = (run.files / name).resolve()
    sealed.chmod(0o644)
    sealed.write_text(content)


def measured(folder: RunFolder) -> StepResult:
    """Plan the run and run its first step well."""
    plan(folder)
    return run_step(MEASURE, folder, ATTEMPT, writing(in_csv=READINGS))


def writes(step: Step, *artifacts: Artifact) -> Step:
    """The same step with other outputs, and no accounting."""
    return replace(step, writes=artifacts, records=None, outcome=None)


def spec(name: str, /, **changes: Any) -> StepSpec:
    """Return a step of a definition; with the id of a registered step it stands for that one."""
    return replace(StepSpec(name, name.title()), **changes)


def pipeline(*specs: StepSpec, known: tuple[Step, ...] = (MEASURE, ANALYZE), **changes: Any) -> Pipeline:
    """A pipeline of `measure` and `analyze`, or of these steps."""
    definition = Definition(
        workflow_name="test-pipeline",
        description="",
        steps=specs or (spec("measure"), spec("analyze")),
        file=Path(__file__),
    )
    return Pipeline(replace(definition, **changes), {step.id: step for step in known})
