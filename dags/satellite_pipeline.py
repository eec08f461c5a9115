"""From Sentinel-2 imagery to crop-health models that earn their promotion.

Search and download, validate, prepare patches and series, train a CNN and an LSTM, compare them with baselines and the
current champion, and switch them on in the `.env` file if every gate agrees. A promotion that is refused is an answer:
the run is green and says why.

- **download** runs once an acquisition, in the pool `sentinel_hub`; its map index shows the date. A scene that is no
  data is a verdict (`usable: false`), and **collect** puts the next best date in its place. Imagery is kept in the
  imagery store: what is there and intact is not fetched again.
- The **CNN** and **LSTM** branches run side by side; after one fails the other may finish, and nothing after them runs.
- **approve** asks a person, with the diff, where `require_approval` is set; no answer means no.
- **report** writes the run's report, whatever happened.

The window ends where the run's data interval ends, so a backfill gives historical windows. The source `demo` needs no
credentials; `sentinelhub` and `cdse` take them from the connection `sentinel_hub` or from `SH_CLIENT_ID` and
`SH_CLIENT_SECRET`. Guide: docs/guides/satellite.md; parameters: docs/reference/satellite-pipeline.md.
"""

from airflow.sdk import Asset, BaseOperator

from include.satellite.pipeline import IMAGERY_ASSET, MODEL_ASSET, SATELLITE
from plugins.reports.operator import PipelineReportOperator
from plugins.steps.factory import mapped_task, new_dag, step_task
from plugins.steps.tasks import PrepareOperator, PublishOperator

IMAGERY, MODEL = Asset(IMAGERY_ASSET), Asset(MODEL_ASSET)

with new_dag(SATELLITE, doc_md=__doc__) as dag:

    def step(name: str, **options: object) -> BaseOperator:
        """Return the task of one step."""
        return step_task(SATELLITE, SATELLITE[name], **options)

    prepare = PrepareOperator(task_id="prepare", pipeline=SATELLITE)
    search = step("search", pool="sentinel_hub")
    download = mapped_task(SATELLITE, SATELLITE["download"], search.output, pool="sentinel_hub")
    collect = step("collect", pool="sentinel_hub")
    validate = step("validate", outlet=IMAGERY)
    compare = step("compare")
    approve = step("approve")
    configure = step("configure", outlet=MODEL, outlet_when="promoted")
    publish = PublishOperator(task_id="publish", pipeline=SATELLITE, asset=None)
    report = PipelineReportOperator(task_id="report")

    prepare >> search >> download >> collect >> validate
    validate >> step("prepare_cnn") >> step("train_cnn") >> compare
    validate >> step("prepare_lstm") >> step("train_lstm") >> compare
    compare >> approve >> configure >> publish >> report.as_teardown(on_failure_fail_dagrun=True)
