"""What a person sees while a run goes on, read from the run's folder."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from include.core.parts import result_of, started_of
from include.core.pipeline import Pipeline
from include.core.runs import RunFolder


class Progress:
    """Prints each step as it starts and ends.

    Args:
        pipeline: What runs.
        folder: The run's folder.
        console: Where to print.
    """

    def __init__(self, pipeline: Pipeline, folder: RunFolder, console: Console) -> None:
        self._pipeline, self._folder, self._console = pipeline, folder, console
        self._announced: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()
        self._ended: set[str] = set()

    def begin(self, params: dict[str, Any]) -> None:
        """Say what will run."""
        window = f"{params['start']} to {params['end']}" if params.get("start") else "the whole of the files"
        name = self._pipeline.definition.workflow_name
        self._console.print(f"[bold]{escape(name)}[/] for {window}", soft_wrap=True)

    def update(self) -> None:
        """Print what is new since the last call."""
        plan = self._pipeline.plan
        total = len(plan)
        for number, step in enumerate(plan, 1):
            if step.id in self._ended:
                continue
            started, result = started_of(self._folder, step), result_of(self._folder, step)
            if started and (step.id, started.attempt) not in self._announced:
                self._announced.add((step.id, started.attempt))
                again = f" (attempt {started.attempt})" if started.attempt > 1 else ""
                self._console.print(f"Step {number}/{total}: [bold]{escape(step.title)}[/]{again} …", soft_wrap=True)
                self._console.print(f"  [dim]{escape(step.description)}[/]", soft_wrap=True)
            if result and result.status == "success":
                self._ended.add(step.id)
                took = f"{result.duration_seconds:.1f}s"
                if result.skipped:
                    self._console.print(
                        f"[yellow]–[/] Step {number} skipped: {result.skipped} ({took})", soft_wrap=True
                    )
                else:
                    self._console.print(f"[green]✓[/] Step {number} completed successfully ({took})", soft_wrap=True)
            elif result and result.error and (step.id, result.attempt) not in self._failed:
                self._failed.add((step.id, result.attempt))
                how = "met a fault that may pass" if result.error.kind == "transient" else "failed"
                message = escape(result.error.message)
                self._console.print(f"[red]✗[/] Step {number} {how}: {message}", soft_wrap=True)
