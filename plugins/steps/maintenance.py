"""Maintenance: removes work whose task has ended, what killed runs left, and what is older than its setting."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException
from pydantic import ValidationError

from include.core.housekeeping import expired, tidy
from include.core.leftovers import sweep_published, sweep_runs, sweep_stores, sweep_work
from include.core.run_folder import RunFolder
from include.core.settings import get_settings
from include.domains import DOMAINS
from plugins.steps.context import plain_errors
from plugins.steps.runtimes import runtime_class

ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
LOG = logging.getLogger(__name__)
DRY_RUN = "dry_run"


def remove_orphans(ti: Any, params: Mapping[str, Any]) -> int:
    """Remove work, such as containers, whose task has ended or is unknown, and return how much was removed.

    Args:
        ti: The task instance that runs this; it asks Airflow about others.
        params: With `dry_run`, the task is skipped.
    """
    skip_dry_run(params)

    def is_ended(dag: str, run: str, task: str, map_index: int) -> bool:
        index = None if map_index < 0 else map_index
        states = ti.get_task_states(dag_id=dag, task_ids=[task], run_ids=[run], map_index=index)
        return all(state in ENDED for state in states.get(run, {}).values())

    with plain_errors(LOG):
        runtimes = dict.fromkeys([get_settings().runtime, "service"])  # definitions name services in every runtime
        return sum(runtime_class(name).remove_orphans(is_ended, LOG) for name in runtimes)


def sweep_leftovers(ti: Any, params: Mapping[str, Any]) -> int:
    """Remove what killed runs and publications left behind, write the reports of such runs, and return how many.

    Args:
        ti: The task instance that runs this; it asks Airflow about runs.
        params: With `dry_run`, the task is skipped.
    """
    skip_dry_run(params)
    from include.reporting.archive import latest_report
    from include.reporting.report import write_report_of_lost_run

    def has_ended(folder: Path) -> bool:
        try:
            run = RunFolder(folder).run()
        except (OSError, ValidationError):
            return False  # its id is not known, so Airflow cannot be asked
        dag_id, run_id = (run.dag_id, run.run_id) if run else (folder.parent.name, folder.name)
        states = ti.get_task_states(dag_id=dag_id, run_ids=[run_id])
        return all(state in ENDED for tasks in states.values() for state in tasks.values())

    data = get_settings().data_dir
    stores = {data / store for domain in DOMAINS for store in domain.stores}
    killed = sweep_runs(data / "runs")
    with plain_errors(LOG):
        for run in killed:
            if latest_report(run) is None:
                LOG.info("%s was killed; its report: %s", run.name, write_report_of_lost_run(RunFolder(run)))
    swept = [
        *killed,
        *sweep_work(data / "runs", has_ended),
        *sweep_published(data / "published"),
        *sweep_stores(stores),
    ]
    for path in swept:
        LOG.info("Removed what was left of %s", path)
    return len(swept)


def remove_expired(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Remove what the settings of housekeeping allow, and return what that was, by subject.

    Args:
        params: With `dry_run`, nothing is removed.
    """
    dry_run = bool(params.get(DRY_RUN))
    logs = Path(conf.get("logging", "base_log_folder"))
    tidied = []
    with plain_errors(LOG):
        for subject in tidy(expired(get_settings(), DOMAINS, datetime.now(UTC), logs=logs), dry_run=dry_run):
            LOG.info("%s %s", "Would remove" if dry_run else "Removed", subject.sentence)
            tidied.append(asdict(subject))
    return tidied


def skip_dry_run(params: Mapping[str, Any]) -> None:
    """Skip a task in a dry run, before it removes anything.

    Raises:
        AirflowSkipException: It is one.
    """
    if params.get(DRY_RUN):
        raise AirflowSkipException("A dry run removes nothing.")
