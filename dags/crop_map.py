"""The crop of each field of a table, by the promoted crop classifier.

Reads a table of field, date, bands or indices (`series`), of the months that the classifier learnt, and writes the crop
and its probability of each field. The `.env` file names the classifier; the DAG `crop_classification` trains one, and
promotes it if every gate agrees. Guide: docs/guides/crops.md; parameters: docs/reference/crop-map.md.
"""

from airflow.sdk import Asset

from include.pipelines import scheduled
from include.satellite.pipeline import CROP_MAP
from plugins.steps.factory import build_dag

for pipeline in scheduled(CROP_MAP):
    build_dag(pipeline, doc_md=__doc__, asset=Asset("crop_map"))
