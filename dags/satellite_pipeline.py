"""From Sentinel-2 imagery to crop-health models that earn their promotion.

Search and download, validate, prepare patches and series, train a CNN and an LSTM, compare them with baselines and the
current champion, and switch them on in the `.env` file if every gate agrees. A promotion that is refused is an answer:
the run is green and says why.

- **download** runs once an acquisition, in the pool `sentinel_hub`; its map index shows the date. A scene without
  usable data is assessed as such (`usable: false`), and **collect** puts the next best date in its place. Imagery is
  kept in the imagery store: what is there and intact is not fetched again.
- The **CNN** and **LSTM** branches run side by side; after one fails the other may finish, and nothing after them runs.
- **verify** runs the weights again on held-out samples that it draws then.
- **approve** asks a reviewer, with the diff, where `require_approval` is set; without an answer in time the promotion
  is rejected.
- **report** writes the run's report, whatever happened.

The window ends where the run's data interval ends, so a backfill gives historical windows. The source `demo` needs no
credentials; `sentinelhub` and `cdse` take them from the connection `sentinel_hub` or from `SH_CLIENT_ID` and
`SH_CLIENT_SECRET`. Guide: docs/guides/satellite.md; parameters: docs/reference/satellite-pipeline.md.
"""

from airflow.sdk import Asset, BaseOperator

from include.core.pipeline import Pipeline
from include.pipelines import scheduled
from include.satellite.pipeline import IMAGERY_ASSET, MODEL_ASSET, SATELLITE
from plugins.steps.factory import new_dag, outer_tasks, step_task

IMAGERY, MODEL = Asset(IMAGERY_ASSET), Asset(MODEL_ASSET)


def build(pipeline: Pipeline) -> None:
    """Wire the DAG of a pipeline."""
    with new_dag(pipeline, doc_md=__doc__):

        def step(name: str, **options: object) -> BaseOperator:
            """Return the task of one step."""
            return step_task(pipeline, pipeline[name], **options)

        prepare, publish = outer_tasks(pipeline)
        search = step("search", pool="sentinel_hub")
        download = step("download", names=search.output, pool="sentinel_hub")
        collect = step("collect", pool="sentinel_hub")
        validate = step("validate", outlet=IMAGERY)
        compare = step("compare")
        verify = step("verify")
        approve = step("approve")
        configure = step("configure", outlet=MODEL, outlet_when="promoted")

        prepare >> search >> download >> collect >> validate
        validate >> step("prepare_cnn") >> step("train_cnn") >> compare
        validate >> step("prepare_lstm") >> step("train_lstm") >> compare
        compare >> verify >> approve >> configure >> publish


for pipeline in scheduled(SATELLITE):
    build(pipeline)
