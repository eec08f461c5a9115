"""`./pipeline doctor`: what this machine lacks, and how to fix it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from contextlib import closing

from rich import box
from rich.markup import escape
from rich.table import Table

from include.core.contracts import imported
from include.core.domain import Check, Status
from include.core.settings import ROOT, get_settings
from include.domains import DOMAINS
from include.pipelines import load_pipelines

GIB = 1024**3
NEEDED_DISK_GIB = 2
MARKS = {"ok": "[green]✓[/]", "missing": "[yellow]–[/]", "fault": "[red]✗[/]"}


def examine() -> list[Check]:
    """Check everything that runs need, the essentials first."""
    general = [_python(), _airflow(), _disk(), _data_folder(), _definitions(), *_docker()]
    return [*general, *(check for domain in DOMAINS if domain.checks for check in imported(domain.checks)())]


def table(checks: list[Check]) -> Table:
    """Return the checks as a table for a terminal."""
    shown = Table(box=box.SIMPLE_HEAD)
    for column in ("", "subject", "found", "how to fix it"):
        shown.add_column(column, overflow="fold")
    for check in checks:
        shown.add_row(MARKS[check.status], check.subject, escape(check.found), escape(check.remedy))
    return shown


def _python() -> Check:
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Check(
        "Python", "ok" if good else "fault", platform.python_version(), "" if good else "use Python 3.11 or 3.12"
    )


def _airflow() -> Check:
    ready = (ROOT / ".airflow" / "template.db").exists()
    version = importlib.metadata.version("apache-airflow")
    return Check("Airflow", "ok" if ready else "fault", version, "" if ready else "make setup")


def _disk() -> Check:
    folder = get_settings().data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / GIB
    enough = free >= NEEDED_DISK_GIB
    remedy = "" if enough else f"free at least {NEEDED_DISK_GIB} GiB; old runs lie in {folder / 'runs'}"
    return Check("disk", "ok" if enough else "fault", f"{free:.1f} GiB free for {folder}", remedy)


def _data_folder() -> Check:
    folder = get_settings().data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    good = os.access(existing, os.W_OK)
    remedy = "" if good else f"make it writable for {os.geteuid()}, or set GROUNDTRUTH_DATA_DIR"
    return Check("data folder", "ok" if good else "fault", str(folder) + ("" if good else " (not writable)"), remedy)


def _definitions() -> Check:
    pipelines, errors = load_pipelines()
    found = f"{len(pipelines)} good" + (f", {len(errors)} faulty" if errors else "")
    remedy = "./pipeline validate " + " ".join(str(error.file) for error in errors) if errors else ""
    return Check("pipeline definitions", "fault" if errors else "ok", found, remedy)


def _docker() -> list[Check]:
    import docker
    from docker.errors import DockerException, ImageNotFound

    needed: Status = "fault" if get_settings().runtime == "docker" else "missing"
    try:
        client = docker.from_env(timeout=5)
        version = client.version()["Version"]
    except DockerException as error:
        denied = "Permission denied" in str(error)
        remedy = "add yourself to the group `docker`" if denied else "start Docker; only --runtime docker needs it"
        return [Check("Docker engine", needed, "no permission" if denied else "none answers", remedy)]
    checks = [Check("Docker engine", "ok", version)]
    with closing(client):
        for domain in DOMAINS:
            subject = f"image of the {domain.name} steps"
            try:
                checks.append(Check(subject, "ok", str(client.images.get(domain.step_image).short_id)))
            except ImageNotFound:
                checks.append(Check(subject, needed, f"{domain.step_image} is not there", "make images"))
    return checks
