"""The satellite pipelines: their steps, time limits, schedules and published files."""

from __future__ import annotations

from pathlib import Path

from include.core.definitions.graph import specs_of
from include.core.definitions.model import Definition
from include.core.pipeline import Pipeline
from include.satellite.steps import SATELLITE_STEPS
from include.satellite.window import LookbackWindow

HOUR_S = 3600
IMAGERY_ASSET, MODEL_ASSET = "satellite_imagery", "crop_health_model"
TIMEOUTS_S = {"collect": 2 * HOUR_S, "train_cnn": 6 * HOUR_S, "train_lstm": 6 * HOUR_S, "compare": 3 * HOUR_S}
DRAW_MAP = SATELLITE_STEPS["draw_map"]
PUBLISHED = ("validated.json", "validation_report.json", "comparison.json", "configuration.json")
MAP_PUBLISHED = ("health_map.tif", "plot_health_map.png", "health_map.json")

SATELLITE = Pipeline(
    Definition(
        workflow_name="satellite-pipeline",
        description="Sentinel-2 imagery to crop-health models that earn their promotion, or show why they do not.",
        steps=specs_of((step for step in SATELLITE_STEPS.values() if step is not DRAW_MAP), timeouts_s=TIMEOUTS_S),
        file=Path(__file__),
        schedule="@monthly",
        publish=PUBLISHED,
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
        steps=specs_of([DRAW_MAP]),
        file=Path(__file__),
        publish=MAP_PUBLISHED,
        deadline_minutes=60,
    ),
    SATELLITE_STEPS,
    defaults="include.satellite.artifacts:imagery_params",
    triggers=(IMAGERY_ASSET, MODEL_ASSET),
)
