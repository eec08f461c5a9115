"""The satellite pipelines: which steps, in which order, with which limits."""

from __future__ import annotations

from pathlib import Path

from include.core.contracts import Step
from include.core.definitions import Definition, StepSpec
from include.core.pipeline import Pipeline
from include.satellite.steps import SATELLITE_STEPS
from include.satellite.window import LookbackWindow

HOUR = 3600
IMAGERY_ASSET, MODEL_ASSET = "satellite_imagery", "crop_health_model"
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
MAP_PUBLISHED = ("health_map.tif", "plot_health_map.png", "health_map.json")
PUBLISHED = ("validated.json", "validation_report.json", "comparison.json", "configuration.json")


def _spec(step: Step, after: tuple[str, ...]) -> StepSpec:
    return StepSpec(
        id=step.id,
        name=step.title,
        description=step.description,
        image=None,
        command=None,
        inputs=tuple(artifact.path for artifact in step.reads),
        outputs=tuple(artifact.path for artifact in step.writes),
        depends_on=after,
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
        steps=tuple(_spec(SATELLITE_STEPS[name], after) for name, after in AFTER.items()),
        file=Path(__file__),
        deadline_minutes=6 * 60,
    ),
    SATELLITE_STEPS,
    window=LookbackWindow(),
    check="include.satellite.datasets.splits:check_capacity",
)

CROP_HEALTH_MAP = Pipeline(
    Definition(
        workflow_name="crop-health-map",
        description="The crop-health map of the latest usable date, by the promoted model or by the NDVI rule.",
        schedule=None,
        execution_mode="parallel",
        sources=(),
        publish=MAP_PUBLISHED,
        steps=(_spec(SATELLITE_STEPS["draw_map"], ()),),
        file=Path(__file__),
        deadline_minutes=60,
    ),
    SATELLITE_STEPS,
    triggers=(IMAGERY_ASSET, MODEL_ASSET),
)
