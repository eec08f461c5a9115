"""A test's own step containers, on an engine that other tests and other deployments use at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LABEL = "io.groundtruth"


def own_containers(engine: Any, data: Path, *, running: bool = False, **labels: str) -> list[Any]:
    """The containers of steps whose data folder, or a folder that they see, lies in a test's data folder.

    A run of the command line is a deployment of its own: its label names the run's folder, below the data folder.

    Args:
        engine: A client of the Docker engine.
        data: The test's data folder.
        running: Leave out those that do not run.
        labels: More of their labels by the last part of the name (`run="manual__1"`).
    """
    wanted = [f"{LABEL}=step", *(f"{LABEL}.{name}={value}" for name, value in labels.items())]
    steps = engine.containers.list(all=not running, filters={"label": wanted}, ignore_removed=True)
    return [step for step in steps if any(folder.is_relative_to(data.resolve()) for folder in _folders(step))]


def _folders(step: Any) -> list[Path]:
    sources = (mount.get("Source", "/") for mount in step.attrs["Mounts"])
    return [Path(folder) for folder in (step.labels.get(f"{LABEL}.data", "/"), *sources)]
