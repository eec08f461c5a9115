"""Keeps the deployment tidy, every hour.

`remove_orphans` removes containers whose task has ended or was removed: a worker that dies in the last attempt can
leave one behind. `sweep_leftovers` removes temporary files that killed runs and publications left, writes the reports
of such runs, and removes work folders that nobody has touched for a day in runs that have ended. `prune_runs` removes
the folders of runs older than `GROUNDTRUTH_KEEP_RUNS_DAYS` days (not set: all stay); the newest run of each pipeline
stays, and the newest in which each step succeeded. Published results, imagery and models are never touched. It is
switched on from the start. Guide: docs/guides/operating.md.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

from plugins.steps.context import TASK_DEFAULTS
from plugins.steps.maintenance import prune_runs, remove_orphans, sweep_leftovers

with DAG(
    "maintenance",
    description="Removes containers whose task has ended, what killed runs left, and runs that are too old.",
    doc_md=__doc__,
    schedule="@hourly",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["maintenance", "groundtruth"],
    # Not `dagrun_timeout`: beside a scheduler, `airflow dags test` of a past date would end green with no task run.
    default_args={"owner": "groundtruth", "execution_timeout": timedelta(hours=1), **TASK_DEFAULTS},
) as dag:
    PythonOperator(
        task_id="remove_orphans",
        python_callable=remove_orphans,
        doc_md="Containers whose task has ended or was removed.",
    )
    PythonOperator(
        task_id="sweep_leftovers",
        python_callable=sweep_leftovers,
        doc_md="Temporary files of killed runs and publications, and work folders of runs that have ended.",
    )
    PythonOperator(
        task_id="prune_runs", python_callable=prune_runs, doc_md="Runs older than `GROUNDTRUTH_KEEP_RUNS_DAYS` days."
    )
