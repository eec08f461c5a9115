"""What a person sees while a run goes on, read from the run's folder."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape

from include.core.pipeline import Pipeline
from include.core.run_folder import RunFolder, StepInfo


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

    def _arguments(self, info: StepInfo) -> str:
        """Those of a step's parameters that are not as they are by default."""
        run = self._folder.run()
        fields = {
            name: field
            for item in self._pipeline.steps
            if item.step.id in (info.parts or [info.id])
            for name, field in item.step.params.model_fields.items()
        }
        params = run.params if run else {}
        ways = TypeAdapter(dict[str, Any])
        defaults = ways.dump_python(
            {name: field.get_default(call_default_factory=True) for name, field in fields.items()}, mode="json"
        )
        changed = {name: params[name] for name in fields if name in params and params[name] != defaults[name]}
        return " ".join(f"{name}={value}" for name, value in changed.items())

    def begin(self, params: dict[str, Any]) -> None:
        """Say what will run."""
        window = self._pipeline.window.describe(params)
        name = self._pipeline.definition.workflow_name
        self._console.print(f"[bold]{escape(name)}[/] for {window}", soft_wrap=True)

    def update(self) -> None:
        """Print what is new since the last call."""
        plan = self._pipeline.plan
        total = len(plan)
        for number, step in enumerate(plan, 1):
            if step.id in self._ended:
                continue
            started, result = self._folder.step_started(step), self._folder.step_result(step)
            if started and (step.id, started.attempt) not in self._announced:
                self._announced.add((step.id, started.attempt))
                again = f" (attempt {started.attempt})" if started.attempt > 1 else ""
                self._console.print(f"Step {number}/{total}: [bold]{escape(step.title)}[/]{again} …", soft_wrap=True)
                self._console.print(f"  [dim]{escape(step.description)}[/]", soft_wrap=True)
                if arguments := self._arguments(step):
                    self._console.print(f"  [dim]{escape(arguments)}[/]", soft_wrap=True)
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
