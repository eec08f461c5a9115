"""The events of a run: what happened in it, and when, as users watch it.

An event states nothing that the run's records and its report do not hold too. It carries no parameter and no content
of an artifact; its texts are those of the log, of results and of notices, cut to a bounded length.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from include.core.text import duration

LONGEST_TEXT = 500
Text = Annotated[str, BeforeValidator(lambda text: str(text)[:LONGEST_TEXT])]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    at: AwareDatetime = Field(
        default_factory=lambda: datetime.now(UTC), description="When the orchestrator recorded it."
    )


class _OfStep(_Event):
    step: str = Field(description="Id of the task; that of a mapped step ends in its number (`collect.3`).")


class _OfAttempt(_OfStep):
    attempt: int = Field(1, description="Counts from 1.")


class RunStarted(_Event):
    """The run was planned."""

    kind: Literal["run_started"] = "run_started"
    pipeline: str
    steps: int = Field(description="How many steps its plan has.")

    @property
    def words(self) -> str:
        """The event in words."""
        return f"run of {self.pipeline} started: {self.steps} step{'s' * (self.steps != 1)}"


class StepStarted(_OfAttempt):
    """An attempt of a step, of the preparation or of the publication began."""

    kind: Literal["step_started"] = "step_started"
    runtime: str = "local"

    @property
    def words(self) -> str:
        """The event in words."""
        return f"started (attempt {self.attempt})" if self.attempt > 1 else "started"


class Progress(_OfStep):
    """A step that lasts reported what it has done."""

    kind: Literal["progress"] = "progress"
    text: Text = Field(description="In words, for users.")
    done: float | None = None
    total: float | None = None
    unit: str | None = None
    per_second: float | None = None
    seconds_left: float | None = None

    @property
    def words(self) -> str:
        """The event in words."""
        return self.text


class Deferred(_OfAttempt):
    """The work of a step goes on elsewhere, and its task waits without a worker slot."""

    kind: Literal["deferred"] = "deferred"

    @property
    def words(self) -> str:
        """The event in words."""
        return "deferred: waits without a worker slot"


class Resumed(_OfAttempt):
    """A task took up the work of its step: after a wait, or after the death of a worker."""

    kind: Literal["resumed"] = "resumed"

    @property
    def words(self) -> str:
        """The event in words."""
        return "resumed"


class Proven(_OfAttempt):
    """An attempt succeeded: its outputs are sealed and checked, and what it states was recomputed."""

    kind: Literal["proven"] = "proven"
    seconds: float
    artifacts: int = Field(0, description="How many files were accepted.")
    records: int | None = Field(None, description="Records read, where the step accounts for records.")
    reused: bool = Field(False, description="An earlier result still holds, so the step did not run again.")

    @property
    def words(self) -> str:
        """The event in words."""
        if self.reused:
            return "reused: an earlier result still holds"
        parts = [f"{self.artifacts:,} artifact{'s' * (self.artifacts != 1)}"] if self.artifacts else []
        parts += [f"{self.records:,} records read"] if self.records is not None else []
        return f"proven in {_time(self.seconds)}: {', '.join(parts)}" if parts else f"done in {_time(self.seconds)}"


class Failed(_OfAttempt):
    """An attempt failed, or a user marked its task as failed."""

    kind: Literal["failed"] = "failed"
    cause: str = Field(description="Class of the fault, as in reports; `marked` where a user ended it.")
    message: Text

    @property
    def words(self) -> str:
        """The event in words."""
        return f"{'met a fault that may pass' if self.cause == 'transient' else 'failed'}: {self.message}"


class Escalated(_OfStep):
    """A reviewer is asked to decide."""

    kind: Literal["escalated"] = "escalated"

    @property
    def words(self) -> str:
        """The event in words."""
        return "a reviewer is asked to approve; see the required actions of the run"


class Notified(_Event):
    """A notice was sent."""

    kind: Literal["notified"] = "notified"
    subject: Text

    @property
    def words(self) -> str:
        """The event in words."""
        return f"notice sent: {self.subject}"


class RunEnded(_Event):
    """The report of the run was written; a run that is cleared afterwards goes on."""

    kind: Literal["run_ended"] = "run_ended"
    status: str = Field(description="`success` or `failed`, as in the report.")
    seconds: float
    message: Text | None = Field(None, description="Why it failed.")

    @property
    def words(self) -> str:
        """The event in words."""
        why = f": {self.message}" if self.message else ""
        return f"run ended after {_time(self.seconds)}: {self.status}{why}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


Event = RunStarted | StepStarted | Progress | Deferred | Resumed | Proven | Failed | Escalated | Notified | RunEnded
KINDS: tuple[type[_Event], ...] = get_args(Event)
EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def ending(events: list[Event]) -> Event | None:
    """Return the event that ended a run; None where it goes on, or goes on again after a clear.

    Args:
        events: All events of the run; what is sent after its end is none of its own.
    """
    own = [event for event in events if event.kind != "notified"]
    return own[-1] if own and own[-1].kind == "run_ended" else None


def under_way(events: Iterable[Event]) -> list[tuple[Event, Event]]:
    """Return the steps that have begun and not ended: the event with which each began, and its latest.

    Args:
        events: All events of a run, oldest first.
    """
    steps: dict[str, tuple[Event, Event]] = {}
    for event in events:
        match event:
            case Proven() | Failed():
                steps.pop(event.step, None)
            case RunEnded():
                steps.clear()
            case StepStarted() | Escalated():
                steps[event.step] = event, event
            case Progress() | Deferred() | Resumed():
                steps[event.step] = steps.get(event.step, (event, event))[0], event
    return list(steps.values())
