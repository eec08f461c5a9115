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

from airflow.sdk import Asset

from include.satellite.pipeline import SATELLITE
from plugins.reports.operator import PipelineReportOperator
from plugins.steps.factory import new_dag, step_task, task_arguments
from plugins.steps.operators import LocalStepOperator, PrepareOperator, PublishOperator

IMAGERY = Asset("satellite_imagery")

with new_dag(SATELLITE, doc_md=__doc__) as dag:
    task = {each.step.id: each for each in SATELLITE.steps}

    def step(name: str, **options: object) -> LocalStepOperator:
        """The task of one step."""
        return step_task(SATELLITE, task[name], **options)

    prepare = PrepareOperator(task_id="prepare", pipeline=SATELLITE, runtime="local")
    search = step("search", pool="sentinel_hub")
    download = LocalStepOperator.partial(
        **task_arguments(SATELLITE, task["download"]),
        pool="sentinel_hub",
        map_index_template="{{ task.thing }}",
    ).expand(thing=search.output)
    collect = step("collect", pool="sentinel_hub")
    validate = step("validate", outlet=IMAGERY)
    compare, approve, configure = step("compare"), step("approve"), step("configure")
    publish = PublishOperator(task_id="publish", pipeline=SATELLITE, asset=None)
    report = PipelineReportOperator(task_id="report")

    prepare >> search >> download >> collect >> validate
    validate >> step("prepare_cnn") >> step("train_cnn") >> compare
    validate >> step("prepare_lstm") >> step("train_lstm") >> compare
    compare >> approve >> configure >> publish >> report.as_teardown(on_failure_fail_dagrun=True)
