"""The crop-health map of the latest usable date.

Runs when new imagery was validated or a model was promoted. With `USE_AI_MODELS=true` in the `.env` file the promoted
CNN draws the map, otherwise the NDVI rule does; the map says which. It is a cloud-optimised GeoTIFF (class and
confidence), a picture with its legend, and hectares by class. Guide: docs/guides/satellite.md.
"""

from airflow.sdk import Asset

from include.pipelines import scheduled
from include.satellite.pipeline import CROP_HEALTH_MAP, IMAGERY_ASSET, MODEL_ASSET
from plugins.steps.factory import build_dag

for pipeline in scheduled(CROP_HEALTH_MAP):
    build_dag(
        pipeline,
        doc_md=__doc__,
        asset=Asset("crop_health_map"),
        schedule=Asset(IMAGERY_ASSET) | Asset(MODEL_ASSET) if pipeline.triggers else None,
    )
