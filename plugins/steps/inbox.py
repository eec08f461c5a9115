"""The inbox as Airflow runs it: take files, name the runs of days that are due, notify users of findings."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.core.errors import BadInputError
from include.core.inbox import Inbox
from include.core.settings import get_settings
from include.pipelines import all_pipelines
from plugins.notifications.sending import claim, give_up, send
from plugins.steps.context import plain_errors
from plugins.steps.maintenance import ENDED

LOG = logging.getLogger(__name__)


def take_files(ti: Any) -> list[dict[str, Any]]:
    """Take the files of all feeds, and return the runs to start: arguments of `TriggerDagRunOperator`, one for each.

    A feed whose declaration cannot be read stops no other; `report_findings` reports it.

    Args:
        ti: The task instance that runs this; it asks Airflow about runs.
    """
    inbox, runs = _inbox(ti), []
    with plain_errors(LOG):
        for feed in inbox.feeds():
            try:
                for sentence in inbox.take(feed, datetime.now(UTC)):
                    LOG.info("%s: %s", feed.name, sentence)
                days = inbox.due(feed)
            except BadInputError:
                continue
            for day in days:
                LOG.info("%s: %s is due", feed.name, day.day)
                runs.append(
                    {
                        "trigger_dag_id": day.pipeline.definition.dag_id,
                        "trigger_run_id": day.run_name,
                        "conf": dict(day.params),
                    }
                )
    return runs


def report_findings(ti: Any) -> list[str]:
    """Log what an operator should know of each feed, notify users of it once, and return it in sentences.

    Args:
        ti: The task instance that runs this; it asks Airflow about runs.
    """
    from include.reporting.notices import feed_notice

    inbox, sentences = _inbox(ti), []
    for feed in inbox.feeds():
        status = inbox.look(feed, datetime.now(UTC))
        connection = status.declaration.notify if status.declaration else None
        for finding in status.findings:
            sentences.append(f"{finding.feed} {finding.subject}: {finding.message}")
            LOG.warning("%s", sentences[-1])
            mark = feed.folder / ".notices" / finding.mark
            if finding.notify and claim(mark, connection) and not send(feed_notice(finding), connection):
                give_up(mark)
    return sentences


def _inbox(ti: Any) -> Inbox:
    """Return the inbox, which asks Airflow whether runs have ended."""

    def has_ended(folder: Path) -> bool:
        states = ti.get_task_states(dag_id=folder.parent.name, run_ids=[folder.name]).get(folder.name, {})
        return bool(states) and all(state in ENDED for state in states.values())

    return Inbox(get_settings().data_dir, all_pipelines()[0], has_ended)
