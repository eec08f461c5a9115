"""Write the run's report, whatever happened: wire the operator as a teardown and no run ends without a report.

```python
report = PipelineReportOperator(task_id="report")
last_task >> report.as_teardown(on_failure_fail_dagrun=True)
```

It runs after a failure too, and a report that cannot be written turns a green run red. Such a teardown decides the
run's state alone (Airflow ignores the tasks before it), so the task fails when its report says that the run failed:
nothing that is red can end green.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from plugins.steps.context import TASK_DEFAULTS, folder_of, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class PipelineReportOperator(BaseOperator):
    """Writes `pipeline_report_<time>.json` and `.html` into the run's folder from what lies there."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**TASK_DEFAULTS, **kwargs)

    def execute(self, context: Context) -> str:
        """Write the report, and return the path of its JSON."""
        from include.reporting.report import build_report, write_report

        folder = folder_of(context)
        with plain_errors(self.log):
            report = build_report(folder, task_states=task_states(context), now=datetime.now(UTC))
            json_path, html_path = write_report(folder, report)
        self.log.info("report: %s and %s", json_path, html_path)
        if report.overall_status != "success":
            failure = report.failure_point
            why = f"{failure.task}: {failure.message}" if failure else "not every step succeeded"
            raise AirflowFailException(f"The report is written. The run failed: {why}")
        return str(json_path)


def task_states(context: Context) -> dict[str, str]:
    """Return how each finished task of the run ended, for a mapped task the worst state of its instances."""
    from include.reporting.task_status import worst_states

    run = context["dag_run"]
    breadcrumbs = getattr(context["ti"], "get_task_breadcrumbs")  # noqa: B009 - the SDK's protocol leaves it out
    crumbs = breadcrumbs(dag_id=run.dag_id, run_id=run.run_id)
    return worst_states((crumb["task_id"], str(crumb["state"])) for crumb in crumbs)
