"""Runs that were killed, by the phase in which that happened."""

from include.core.run_folder import RunFolder
from tests.reporting.runs import ended, plan, started


def prepared(folder: RunFolder) -> None:
    """Killed before its first step."""
    plan(folder)
    ended(folder, "prepare", (0, 0.1))


def first_step_done(folder: RunFolder) -> None:
    """Killed between two steps."""
    prepared(folder)
    ended(folder, "collect", (0.5, 1))


def all_steps_done(folder: RunFolder) -> None:
    """Killed before it published."""
    first_step_done(folder)
    ended(folder, "analyze", (1, 2))
    ended(folder, "describe", (2, 3))


def published(folder: RunFolder) -> None:
    """Killed after it had published."""
    all_steps_done(folder)
    ended(folder, "publish", (3, 4))


def preparing(folder: RunFolder) -> None:
    """Killed while it was prepared."""
    plan(folder)
    started(folder, "prepare", 0)


def in_a_step(folder: RunFolder) -> None:
    """Killed in a step."""
    first_step_done(folder)
    started(folder, "analyze", 1)
