"""Errors whose message explains to users what to fix.

Each is one sentence (or a list of them) that names the file, the field or record, and the rule. They cross the
boundary of a container by their exit code, so a step reports the same fault wherever it runs.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ValidationError

from include.core.text import message_text, printable


class GroundtruthError(Exception):
    """A fault that a sentence explains; shown without a stack trace.

    Args:
        message: The sentence. What it quotes from outside is made harmless: control characters are escaped, and URLs
            lose their passwords, for the message goes into logs, records, reports and terminals.
    """

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(message_text(str(message)))


class BadInputError(GroundtruthError):
    """What a user provided is not usable; running again would not help."""

    kind = "bad_input"
    exit_code = 65  # EX_DATAERR of sysexits.h


class ContractError(GroundtruthError):
    """An artifact breaks a rule of its contract.

    Args:
        artifact: The path below the run's `files/`, or the step's name where no single file is at fault.
        rule: The rule that was broken, as a sentence fragment ("must not be empty").
        value: The value that breaks it.
        hint: What to do about it, where the step itself cannot fix it.
    """

    kind = "contract"
    exit_code = 66

    def __init__(self, artifact: str, rule: str, value: object = None, *, hint: str | None = None) -> None:
        self.artifact, self.rule, self.value, self.hint = printable(artifact), rule, value, hint
        super().__init__(f"{self.artifact}: {rule}" + ("" if value is None else f"; found {value}"))


class SetupError(GroundtruthError):
    """The machine lacks something: an image, a running engine, a writable folder, space on the disk."""

    kind = "setup"
    exit_code = 78  # EX_CONFIG


class TransientError(GroundtruthError):
    """A fault that may pass without a fix (network, 429, 5xx, engine restart); worth another attempt."""

    kind = "transient"
    exit_code = 75  # EX_TEMPFAIL


class InterruptedStepError(GroundtruthError):
    """A user stopped the step; never retried."""

    kind = "interrupted"
    exit_code = 130


class StoppedStepError(TransientError):
    """Airflow stopped the step; worth another attempt, if Airflow still wants one."""

    kind = "interrupted"


class StepTimeoutError(GroundtruthError):
    """The step took longer than its deadline; not retried, for it would take as long again."""

    kind = "timeout"
    exit_code = 124


class StepSuspendedError(BaseException):
    """The work of a step goes on elsewhere and its task gives up its slot; this is not a failure.

    Args:
        trigger: What wakes the task, as its runtime knows it.
    """

    def __init__(self, trigger: Any) -> None:
        super().__init__("suspended")
        self.trigger = trigger


BY_EXIT_CODE: dict[int, type[GroundtruthError]] = {
    error.exit_code: error
    for error in (BadInputError, SetupError, TransientError, InterruptedStepError, GroundtruthError)
}


def explain(error: ValidationError) -> str:
    """Return a validation error as one text; see `sentences`."""
    return "; ".join(sentences(error))


def sentences(error: ValidationError) -> list[str]:
    """Return each fault of a validation error as a sentence: the parameter, what is wrong, and the value."""
    faults = []
    for fault in error.errors(include_url=False):
        name = ".".join(map(str, fault["loc"])) or "parameters"
        message = fault["msg"].removeprefix("Value error, ").removeprefix(f"{name}: ")
        faults.append(f"{name}: {message}" + (f" (got {fault['input']!r})" if fault["loc"] else ""))
    return faults
