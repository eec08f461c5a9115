"""Every new pass of Sentinel-2 over your fields, every day: indices of each field, without training anything.

Reads the outlines of the fields (`fields`, or `GROUNDTRUTH_FIELDS`), searches the catalog for every pass of the window,
fetches those that the imagery store does not hold, checks all, and measures each field on each pass.

- A run is idempotent. It takes all passes of the last `days_back` days, so a missed day is caught up by the next run,
  and a repeated run fetches and measures nothing: what was measured before on the same scene and of the same outline
  is taken from the store of measurements. A corrected scene or a changed outline is measured again.
- What earlier runs measured before the window stays in the observations.
- **measure_fields** gives no value for a field of fewer than 8 pixels, and none where less than 70 % is clear.
- **analyse_fields** states alerts, each with its evidence. New ones update the asset `field_alerts`, and are sent to
  the users whom the deployment notifies.

The source `demo` needs no credentials and no file: it has fields of its own. Guide: docs/guides/fields.md; parameters:
docs/reference/field-monitoring.md.
"""

from airflow.sdk import Asset

from include.pipelines import scheduled
from include.satellite.pipeline import ALERT_ASSET, FIELD_ASSET, FIELD_MONITORING
from plugins.steps.factory import new_dag, outer_tasks, step_task

for pipeline in scheduled(FIELD_MONITORING):
    with new_dag(pipeline, doc_md=__doc__):
        prepare, publish = outer_tasks(pipeline, asset=Asset(FIELD_ASSET))
        tasks = [prepare]
        for item in pipeline.steps:
            options = {"pool": "sentinel_hub"} if item.step.credentials else {}
            if item.step.id == "analyse_fields":
                options = {"outlet": Asset(ALERT_ASSET), "outlet_when": "has_new_alerts"}
            tasks.append(step_task(pipeline, item, **options))
            tasks[-2] >> tasks[-1]
        tasks[-1] >> publish
