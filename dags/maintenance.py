"""Housekeeping: keeps the deployment tidy, every hour.

`remove_orphans` removes containers whose task has ended or was removed: a worker that dies in the last attempt can
leave one behind. `sweep_leftovers` removes temporary files that killed runs and publications left, writes the reports
of such runs, and removes work folders that nobody has touched for a day in runs that have ended. `remove_expired`
removes runs, logs, published results that others replaced, and scenes of the imagery store, each by its setting
`GROUNDTRUTH_KEEP_…`; its result states how many, and how much they held. Published results and models are never
touched. To see what it would remove, trigger it with `dry_run`. It is switched on from the start. Guide:
docs/guides/operating.md.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Param

from plugins.steps.context import TASK_DEFAULTS
from plugins.steps.maintenance import DRY_RUN, remove_expired, remove_orphans, sweep_leftovers

with DAG(
    "maintenance",
    description="Removes containers whose task has ended, what killed runs left, and old runs, logs and scenes.",
    doc_md=__doc__,
    schedule="@hourly",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["maintenance", "groundtruth"],
    params={DRY_RUN: Param(False, type="boolean", description="State what would be removed, and remove nothing.")},
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
        task_id="remove_expired",
        python_callable=remove_expired,
        doc_md="Runs, logs, replaced publications and scenes that are older than their settings allow.",
    )
