"""The satellite pipelines: which steps, in which order, with which limits."""

from __future__ import annotations

from pathlib import Path

from include.core.contracts import Step
from include.core.definition import Container, Definition
from include.core.pipeline import Pipeline
from include.satellite.steps import SATELLITE_STEPS

HOUR = 3600
AFTER: dict[str, tuple[str, ...]] = {
    "search": (),
    "download": ("search",),
    "collect": ("download",),
    "validate": ("collect",),
    "prepare_cnn": ("validate",),
    "prepare_lstm": ("validate",),
    "train_cnn": ("prepare_cnn",),
    "train_lstm": ("prepare_lstm",),
    "compare": ("train_cnn", "train_lstm"),
    "approve": ("compare",),
    "configure": ("approve",),
}
HOURS = {"train_cnn": 6, "train_lstm": 6, "compare": 3, "collect": 2}
PUBLISHED = ("validated.json", "validation_report.json", "comparison.json", "configuration.json")


def _container(step: Step) -> Container:
    return Container(
        id=step.id,
        name=step.title,
        description=step.description,
        image=None,
        command=None,
        inputs=tuple(artifact.path for artifact in step.reads),
        outputs=tuple(artifact.path for artifact in step.writes),
        depends_on=AFTER[step.id],
        timeout_seconds=HOURS.get(step.id, 1) * HOUR,
    )


SATELLITE = Pipeline(
    Definition(
        workflow_name="satellite-pipeline",
        description="Sentinel-2 imagery to crop-health models that earn their promotion, or are told why not.",
        schedule="@monthly",
        execution_mode="parallel",
        sources=(),
        publish=PUBLISHED,
        containers=tuple(_container(SATELLITE_STEPS[name]) for name in AFTER),
        file=Path(__file__),
    ),
    SATELLITE_STEPS,
)
