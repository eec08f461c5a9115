"""The crop-health map of the latest usable date.

Runs when new imagery was validated or a model was promoted. With `USE_AI_MODELS=true` in the `.env` file the promoted
CNN draws the map, otherwise the NDVI rule does; the map says which. It is a cloud-optimised GeoTIFF (class and
confidence), a picture with its legend, and hectares by class. Guide: docs/guides/satellite.md.
"""

from airflow.sdk import Asset

from include.satellite.pipeline import CROP_HEALTH_MAP, IMAGERY_ASSET, MODEL_ASSET
from plugins.reports.operator import PipelineReportOperator
from plugins.steps.factory import new_dag, step_task
from plugins.steps.tasks import PrepareOperator, PublishOperator

IMAGERY, MODEL, MAP = Asset(IMAGERY_ASSET), Asset(MODEL_ASSET), Asset("crop_health_map")

with new_dag(CROP_HEALTH_MAP, doc_md=__doc__, schedule=(IMAGERY | MODEL)) as dag:
    prepare = PrepareOperator(task_id="prepare", pipeline=CROP_HEALTH_MAP)
    draw_map = step_task(CROP_HEALTH_MAP, CROP_HEALTH_MAP["draw_map"])
    publish = PublishOperator(task_id="publish", pipeline=CROP_HEALTH_MAP, asset=MAP)
    report = PipelineReportOperator(task_id="report")
    prepare >> draw_map >> publish >> report.as_teardown(on_failure_fail_dagrun=True)
