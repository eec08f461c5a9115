"""What people are told of a run: a subject, a sentence, and where to look."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from include.core.run_folder import StepResult
from include.core.settings import get_settings
from include.env_file import Entry
from include.reporting.model import FailurePoint, PipelineReport

SENTENCE = 500
"""Longer sentences are cut: the report has them whole."""


@dataclass(frozen=True)
class Notice:
    """A message.

    Args:
        subject: Short.
        sentence: What happened.
        facts: What is known besides, by name.
    """

    subject: str
    sentence: str
    facts: dict[str, str]

    @property
    def html(self) -> str:
        """The body; addresses stand in it as text, so that they survive where a channel takes text alone."""
        lines = [f"{escape(name)}: {_linked(value)}" for name, value in self.facts.items() if value]
        return f"<p>{escape(_cut(self.sentence))}</p><p>{'<br>'.join(lines)}</p>"


def failure_notice(report: PipelineReport, *, run_url: str | None, instead: FailurePoint | None = None) -> Notice:
    """A run failed.

    Args:
        report: What is known of the run.
        run_url: Where Airflow shows it, if that is known.
        instead: Why it failed, where no step is to blame.
    """
    point = instead or report.failure_point
    point = point or FailurePoint(
        step=None, task=None, kind="error", message="The run failed; no task left a reason. Its logs say why."
    )
    task = point.task or ""
    return Notice(
        subject=f"{report.dag_id} failed" + (f": {task}" if task else ""),
        sentence=point.message,
        facts={
            "Pipeline": report.pipeline_name,
            "Run": report.run_id,
            "Step": f"{point.step} ({task})" if point.step else task,
            "Kind of fault": point.kind,
            "What to do": point.hint or "",
            "Runbook": runbook(point.kind),
            "In Airflow": run_url or "",
        },
    )


def deadline_notice(report: PipelineReport, *, state: str, minutes: float, run_url: str | None) -> Notice:
    """A run has missed its deadline, and goes on."""
    under_way = ", ".join(step.name for step in report.steps if step.status == "running")
    return Notice(
        subject=f"{report.dag_id} is late",
        sentence=f"The run has not ended {minutes:g} minutes after it was queued. It goes on.",
        facts={
            "Pipeline": report.pipeline_name,
            "Run": report.run_id,
            "State": state,
            "Under way": under_way,
            "Runbook": runbook("missed_deadline"),
            "In Airflow": run_url or "",
        },
    )


def promotion_notice(result: StepResult, *, dag_id: str, run_id: str, run_url: str | None) -> Notice:
    """A run has switched its models on."""
    version, env_file = (str(result.outcome.scalars().get(name, "")) for name in ("model_version", "env_file"))
    return Notice(
        subject=f"{dag_id} promoted model {version}",
        sentence=f"{env_file} now uses model {version}.",
        facts={
            "Run": run_id,
            "Trained on": "simulated imagery" if result.outcome.synthetic else "real imagery",
            "The way back": "the page Models in Airflow, or ./pipeline env rollback",
            "In Airflow": run_url or "",
        },
    )


def rollback_notice(made: Entry, env_file: Path) -> Notice:
    """Somebody took an env file back."""
    return Notice(
        subject=f"{env_file.name} was rolled back",
        sentence=f"{made.by} rolled {env_file} back: {made.why}",
        facts={"Model now": made.version or "as before", "Entry of the history": made.id},
    )


def runbook(kind: str) -> str:
    """Where the runbook's page on a kind of fault is: its address, or its name in the project."""
    base = get_settings().runbook_url or "docs/runbook"
    return f"{base.rstrip('/')}/{kind.replace('_', '-')}.md"


def _cut(text: str) -> str:
    return text if len(text) <= SENTENCE else f"{text[:SENTENCE]} …"


def _linked(value: str) -> str:
    safe = escape(_cut(value))
    return f'<a href="{safe}">{safe}</a>' if value.startswith(("https://", "http://")) else safe
