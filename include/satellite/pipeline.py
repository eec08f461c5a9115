"""The satellite pipelines: their windows, steps, time limits, schedules and published files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.core.contracts import Window
from include.core.definitions.graph import specs_of
from include.core.definitions.model import Definition
from include.core.errors import BadInputError
from include.core.exchange import Producer
from include.core.pipeline import Pipeline
from include.core.windows import Interval, IntervalWindow, read_instant, read_zone
from include.satellite.artifacts import VALIDATED
from include.satellite.steps import CLASSIFY_CROPS, CROP_STEPS, FIELD_STEPS, FORECAST_STEPS, MODEL_STEPS

HOUR_S = 3600
IMAGERY_ASSET, MODEL_ASSET = "satellite_imagery", "crop_health_model"
FIELD_ASSET, ALERT_ASSET = "fields", "field_alerts"
TIMEOUTS_S = {
    "collect": 2 * HOUR_S,
    "fetch_passes": 6 * HOUR_S,
    "preview_fields": 6 * HOUR_S,
    "train_cnn": 6 * HOUR_S,
    "train_lstm": 6 * HOUR_S,
    "compare": 3 * HOUR_S,
    "train_crops": 3 * HOUR_S,
    "verify_crops": 3 * HOUR_S,
}
INVENTS = "include.satellite.params:invented"
DRAW_MAP = MODEL_STEPS["draw_map"]
PUBLISHED = ("validated.json", "validation_report.json", "comparison.json", "configuration.json")
FIELDS_PUBLISHED = (
    *(
        "fields.json",
        "observations.parquet",
        "series.parquet",
        "seasons.parquet",
        "anomalies.parquet",
        "events.parquet",
    ),
    *("alerts.parquet", "fields.parquet", "fields.gpkg", "indices.tif", "item.json"),
)
CROPS_PUBLISHED = ("crop_comparison.json", "crop_model.json", "crop_predictions.parquet", "configuration.json")
CROP_CLASSES_PUBLISHED = ("crop_classes.parquet", "crop_classes.json")
MAP_PUBLISHED = ("health_map.tif", "plot_health_map.png", "health_map.json")

FORECAST_PUBLISHED = (
    *("forecast.json", "forecasts.parquet", "forecast_series.parquet"),
    *("forecast.parquet", "forecast.gpkg", "plot_forecast.png"),
)


class LookbackWindow(IntervalWindow):
    """A window of `days_back` days up to `end`, whatever the length of the run's data interval."""

    def from_options(
        self, date: datetime | None, start: str | None, end: str | None, zone: str | None, *, has_files: bool
    ) -> dict[str, Any]:
        """Return `end` in UTC and, where a start is given, `days_back`."""
        if start and not end:
            raise BadInputError("--start needs --end: the window ends there")
        if end and not start and date is None:
            return {"end": read_instant("--end", end, read_zone(zone))}
        interval = super().from_options(date, start, end, zone, has_files=False)
        if not start:
            return {"end": interval["end"]}
        first, last = (datetime.fromisoformat(interval[name]) for name in ("start", "end"))
        days, rest = divmod(last - first, timedelta(days=1))
        if days < 1 or rest:
            raise BadInputError(f"--start {start} and --end {end} must be whole days apart, at least one")
        return {"end": interval["end"], "days_back": days}

    def of_run(self, params: Mapping[str, Any], interval: Interval | None, *, has_files: bool) -> Window:
        """Return the days before `end`, or before the end of the data interval; open where there is neither."""
        end = params.get("end")
        last = datetime.fromisoformat(end) if end else interval[1].astimezone(UTC) if interval else None
        return Window(start=last - timedelta(days=params["days_back"]), end=last) if last else Window()

    def describe(self, params: Mapping[str, Any]) -> str:
        """Return the days and the end."""
        return f"the {params['days_back']} days to {params['end']}"


SATELLITE = Pipeline(
    Definition(
        workflow_name="satellite-pipeline",
        description="Sentinel-2 imagery to crop-health models that earn their promotion, or show why they do not.",
        steps=specs_of((step for step in MODEL_STEPS.values() if step is not DRAW_MAP), timeouts_s=TIMEOUTS_S),
        file=Path(__file__),
        schedule="@monthly",
        publish=PUBLISHED,
        deadline_minutes=6 * 60,
    ),
    MODEL_STEPS,
    window=LookbackWindow(),
    invents=INVENTS,
    check="include.satellite.datasets.splits:check_capacity",
    check_stated="include.satellite.params:check_source",
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
    MODEL_STEPS,
    producers={"imagery": Producer(SATELLITE.definition.dag_id, "validate", VALIDATED.path)},
    triggers=(IMAGERY_ASSET, MODEL_ASSET),
)

FIELD_MONITORING = Pipeline(
    Definition(
        workflow_name="field-monitoring",
        description="Every new pass of Sentinel-2 over your fields: indices of each field, without training anything.",
        steps=specs_of(FIELD_STEPS.values(), timeouts_s=TIMEOUTS_S),
        file=Path(__file__),
        schedule="@daily",
        publish=FIELDS_PUBLISHED,
        deadline_minutes=6 * 60,
    ),
    FIELD_STEPS,
    window=LookbackWindow(),
    invents=INVENTS,
    check_inputs="include.satellite.fields.reading:check_fields",
    check_stated="include.satellite.params:check_fields_source",
    short_name="fields",
)

CROP_CLASSIFICATION = Pipeline(
    Definition(
        workflow_name="crop-classification",
        description="The crop of each field from its series of a season, learnt from your own labels.",
        steps=specs_of(CROP_STEPS.values(), timeouts_s=TIMEOUTS_S),
        file=Path(__file__),
        publish=CROPS_PUBLISHED,
        deadline_minutes=6 * 60,
    ),
    CROP_STEPS,
    short_name="crops",
)

CROP_MAP = Pipeline(
    Definition(
        workflow_name="crop-map",
        description="The crop of each field of a table, by the promoted crop classifier.",
        steps=specs_of([CLASSIFY_CROPS]),
        file=Path(__file__),
        publish=CROP_CLASSES_PUBLISHED,
        deadline_minutes=60,
    ),
    {CLASSIFY_CROPS.id: CLASSIFY_CROPS},
)

NDVI_FORECAST_MAP = Pipeline(
    Definition(
        workflow_name="ndvi-forecast-map",
        description="NDVI of each field in the days to come, and early warnings, by the promoted forecaster.",
        steps=specs_of(FORECAST_STEPS.values(), timeouts_s=TIMEOUTS_S),
        file=Path(__file__),
        publish=FORECAST_PUBLISHED,
        deadline_minutes=6 * 60,
    ),
    FORECAST_STEPS,
    window=LookbackWindow(),
    invents=INVENTS,
    check_inputs="include.satellite.fields.reading:check_fields",
    check_stated="include.satellite.params:check_fields_source",
    triggers=(FIELD_ASSET, MODEL_ASSET),
    short_name="forecast",
)
