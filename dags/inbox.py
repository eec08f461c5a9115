"""Takes files that arrive in feeds (`data/inbox/<feed>/`), and runs the days that they touch.

`take_files` takes each complete file once, by its content, moves it to the feed's archive, or to `rejected/` with a
text that says why. `run_day` starts a run for each day that is not published from all its files; the run is one of the
feed's own pipeline, with its report, and publishes a revision of the day only if the readings differ.
`report_findings` logs silent feeds, rejected files and days that failed, and notifies users of each once. Guide:
docs/guides/inbox.md.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

from include.core.inbox import INBOX
from plugins.steps import inbox
from plugins.steps.context import TASK_DEFAULTS

with DAG(
    INBOX,
    description="Takes files that arrive in feeds, and runs the days that they touch.",
    doc_md=__doc__,
    schedule=timedelta(minutes=5),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["inbox", "groundtruth"],
    default_args={"owner": "groundtruth", "execution_timeout": timedelta(hours=1), **TASK_DEFAULTS},
) as dag:
    take_files = PythonOperator(
        task_id="take_files",
        python_callable=inbox.take_files,
        doc_md="Takes complete files of all feeds; returns the days to run.",
    )
    run_day = TriggerDagRunOperator.partial(
        task_id="run_day",
        logical_date=None,
        skip_when_already_exists=True,
        openlineage_inject_parent_info=False,
        map_index_template="{{ task.trigger_run_id }}",
        doc_md="Starts the run of one day of a feed; its own page shows how it ends.",
    ).expand_kwargs(take_files.output)
    report_findings = PythonOperator(
        task_id="report_findings",
        python_callable=inbox.report_findings,
        doc_md="Logs silent feeds, rejected files and days that failed, and notifies users of each once.",
    )
    take_files >> report_findings
