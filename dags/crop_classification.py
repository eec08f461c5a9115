"""The crop of each field from its series of a season, learnt from your own labels.

Reads a table of field, date, bands or indices, and crop (`series`): a CSV or Parquet file of yours, or the
`observations.parquet` that field monitoring publishes. Crops may also come from the outlines of the fields (`fields`).

- **read_series** makes months of the dates, and divides the fields into blocks and folds; crops with too few fields are
  listed and left out.
- **train_crops** predicts each field by models that saw neither its block nor a neighbour, and trains the model.
- **compare_crops** compares it with the best single month and the majority, with intervals clustered by block.
- **verify_crops** trains again without a fold that it draws then.

Guide: docs/guides/crops.md; parameters: docs/reference/crop-classification.md.
"""

from airflow.sdk import Asset

from include.pipelines import scheduled
from include.satellite.pipeline import CROP_CLASSIFICATION
from plugins.steps.factory import build_dag

for pipeline in scheduled(CROP_CLASSIFICATION):
    build_dag(pipeline, doc_md=__doc__, asset=Asset("crop_classifier"))
