"""Notices of failed, late and rolled-back runs, and the HTML of every notice."""

from __future__ import annotations

from html import escape
from pathlib import Path

from include.core.contracts import Notice
from include.core.inbox import FeedFinding
from include.core.settings import get_settings
from include.env_file import Entry
from include.reporting.model import FailurePoint, PipelineReport

SENTENCE = 500
"""Longer sentences are cut: the report has them in full."""


def notice_html(notice: Notice) -> str:
    """Return the body of a message; URLs appear as text, so that they survive where a channel accepts text only."""
    lines = [f"{escape(name)}: {_linked(value)}" for name, value in notice.facts.items() if value]
    return f"<p>{escape(_cut(notice.sentence))}</p><p>{'<br>'.join(lines)}</p>"


def failure_notice(report: PipelineReport, point: FailurePoint, *, run_url: str | None) -> Notice:
    """Return the notice of a failed run.

    Args:
        report: The run's report.
        point: Why it failed.
        run_url: Where Airflow shows it, if that is known.
    """
    task = point.task or ""
    facts = {
        "Step": f"{point.step} ({task})" if point.step else task,
        "Kind of fault": point.kind,
        "What to do": point.hint or "",
    }
    subject = f"failed: {task}" if task else "failed"
    return _run_notice(report, point.kind, run_url, subject=subject, sentence=point.message, facts=facts)


def deadline_notice(report: PipelineReport, *, state: str, minutes: float, run_url: str | None) -> Notice:
    """Return the notice of a run that has missed its deadline and continues."""
    under_way = ", ".join(step.name for step in report.steps if step.status == "running")
    sentence = f"The run has not ended {minutes:g} minutes after it was queued. It goes on."
    facts = {"State": state, "Under way": under_way}
    return _run_notice(report, "missed_deadline", run_url, subject="is late", sentence=sentence, facts=facts)


def _run_notice(
    report: PipelineReport, kind: str, run_url: str | None, *, subject: str, sentence: str, facts: dict[str, str]
) -> Notice:
    own = {"Pipeline": report.pipeline_name, "Run": report.run_id}
    places = {"Runbook": runbook(kind), "In Airflow": run_url or ""}
    return Notice(subject=f"{report.dag_id} {subject}", sentence=sentence, facts=own | facts | places)


def feed_notice(finding: FeedFinding) -> Notice:
    """Return the notice of a feed that is silent, cannot be read, or has a rejected file."""
    return Notice(
        subject=f"feed {finding.feed} {finding.subject}",
        sentence=finding.message,
        facts={"Feed": finding.feed, "More": f"./pipeline inbox {finding.feed}"},
    )


def rollback_notice(entry: Entry, env_file: Path) -> Notice:
    """Return the notice of an env file that a user rolled back."""
    return Notice(
        subject=f"{env_file.name} was rolled back",
        sentence=f"{entry.by} rolled {env_file} back: {entry.why}",
        facts={"Version now": entry.version or "as before", "Entry of the history": entry.id},
    )


def runbook(kind: str) -> str:
    """Return where the runbook's page on a kind of fault is: its URL, or its path in the project."""
    base = get_settings().runbook_url or "docs/runbook"
    return f"{base.rstrip('/')}/{kind.replace('_', '-')}.md"


def _cut(text: str) -> str:
    return text if len(text) <= SENTENCE else f"{text[:SENTENCE]} …"


def _linked(value: str) -> str:
    safe = escape(_cut(value))
    return f'<a href="{safe}">{safe}</a>' if value.startswith(("https://", "http://")) else safe
