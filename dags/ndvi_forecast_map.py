"""The NDVI of each field in the days to come, and early warnings, by the promoted forecaster.

Runs after field monitoring has new observations, after a promotion, and on request. It reads the outlines of the fields
(`fields`, or `GROUNDTRUTH_FIELDS`), fetches the previews of the last five years over them that the imagery store lacks,
and forecasts by the LSTM that the `.env` file enables (`USE_AI_MODELS`, `AI_LSTM_MODEL_PATH`). Without one it fails
before it fetches anything, and says how to get one: switch the DAG on once a forecaster is promoted. Nothing else draws
a forecast.

Each field gets a forecast with its 90 % interval, what its own earlier years say, and a warning where the last
observation or the forecast lies below what was expected, which field monitoring shows too.
Guide: docs/guides/forecast.md; parameters: docs/reference/ndvi-forecast-map.md.
"""

from airflow.sdk import Asset

from include.satellite.pipeline import FIELD_ASSET, MODEL_ASSET, NDVI_FORECAST_MAP
from plugins.steps.factory import new_dag, outer_tasks, step_task

with new_dag(NDVI_FORECAST_MAP, doc_md=__doc__, schedule=Asset(FIELD_ASSET) | Asset(MODEL_ASSET)) as dag:
    prepare, publish = outer_tasks(NDVI_FORECAST_MAP, asset=Asset("ndvi_forecast_map"))
    tasks = [prepare]
    for item in NDVI_FORECAST_MAP.steps:
        options = {"pool": "sentinel_hub"} if item.step.credentials else {}
        tasks.append(step_task(NDVI_FORECAST_MAP, item, **options))
        tasks[-2] >> tasks[-1]
    tasks[-1] >> publish
