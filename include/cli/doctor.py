"""`./pipeline doctor`: what this machine lacks, and how to fix it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing

from rich import box
from rich.table import Table

from include.cli.deployments import own_home, stack_conflict, take_ui, unreadable_configuration
from include.cli.surroundings import check_surroundings
from include.cli.terminal import shown
from include.core.contracts import imported
from include.core.domain import Check, Status
from include.core.settings import ROOT, get_settings
from include.domains import DOMAINS
from include.pipelines import load_pipelines

GIB = 1024**3
NEEDED_DISK_GIB = 2
MARKS = {"ok": "[green]✓[/]", "missing": "[yellow]–[/]", "fault": "[red]✗[/]"}


def examine() -> list[Check]:
    """Return the checks of everything that runs need, the essentials first."""
    surroundings = [*check_surroundings(), *_deployments()]
    general = [_python(), _airflow(), *surroundings, *_data_folder(), _definitions(), *_docker()]
    return [*general, *(check for domain in DOMAINS if domain.checks for check in imported(domain.checks)())]


def _deployments() -> Iterator[Check]:
    """Yield what already runs of this checkout or in its place, for the doctor."""
    home = own_home()
    if home.is_dir():
        try:
            os.close(take_ui(home))
        except BlockingIOError as error:
            yield Check("UI", "ok", str(error))
        except OSError as error:
            yield Check("UI", "fault", f"{home}: {error.strerror}", f"make it writable for {os.geteuid()}")
    if conflict := stack_conflict():
        yield Check("stack", "missing", conflict.rpartition("; ")[0], conflict.rpartition("; ")[2])
    if closed := unreadable_configuration():
        yield Check("definitions in the stack", "missing", closed.rpartition("; ")[0], closed.rpartition("; ")[2])
    umask = os.umask(0o077)
    os.umask(umask)
    if umask & 0o005:
        found = f"umask {umask:03o}: new files are for their owner alone"
        yield Check("umask", "ok", f"{found}; runs work, and images are made readable when they are built")


def table(checks: list[Check]) -> Table:
    """Return the checks as a table for a terminal."""
    grid = Table(box=box.SIMPLE_HEAD)
    for column in ("", "subject", "found", "how to fix it"):
        grid.add_column(column, overflow="fold")
    for check in checks:
        grid.add_row(MARKS[check.status], *map(shown, (check.subject, check.found, check.remedy)))
    return grid


def _check(subject: str, found: str, remedy: str, *, good: bool) -> Check:
    """Return the outcome of a check that every run needs; a good one needs no remedy."""
    return Check(subject, "ok", found) if good else Check(subject, "fault", found, remedy)


def _python() -> Check:
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    return _check("Python", platform.python_version(), "use Python 3.11 or 3.12", good=good)


def _airflow() -> Check:
    ready = (ROOT / ".airflow" / "template.db").exists()
    return _check("Airflow", importlib.metadata.version("apache-airflow"), "make setup", good=ready)


def _data_folder() -> Iterator[Check]:
    folder = get_settings().data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / GIB
    remedy = f"free at least {NEEDED_DISK_GIB} GiB; old runs lie in {folder / 'runs'}"
    yield _check("disk", f"{free:.1f} GiB free for {folder}", remedy, good=free >= NEEDED_DISK_GIB)
    writable = os.access(existing, os.W_OK)
    remedy = f"make it writable for {os.geteuid()}, or set GROUNDTRUTH_DATA_DIR"
    yield _check("data folder", f"{folder}{'' if writable else ' (not writable)'}", remedy, good=writable)


def _definitions() -> Check:
    pipelines, errors = load_pipelines()
    counts = f"{len(pipelines)} good" + (f", {len(errors)} faulty" if errors else "")
    remedy = "./pipeline validate " + " ".join(str(error.file) for error in errors)
    return _check("pipeline definitions", counts, remedy, good=not errors)


def _docker() -> Iterator[Check]:
    import docker
    from docker.errors import DockerException, ImageNotFound

    needed: Status = "fault" if get_settings().runtime == "docker" else "missing"
    try:
        client = docker.from_env(timeout=5)
        version = client.version()["Version"]
    except DockerException as error:
        denied = "Permission denied" in str(error)
        remedy = "add yourself to the group `docker`" if denied else "start Docker; only --runtime docker needs it"
        yield Check("Docker engine", needed, "no permission" if denied else "none answers", remedy)
        return
    yield Check("Docker engine", "ok", version)
    with closing(client):
        for domain in DOMAINS:
            subject = f"image of the {domain.name} steps"
            try:
                yield Check(subject, "ok", str(client.images.get(domain.step_image).short_id))
            except ImageNotFound:
                yield Check(subject, needed, f"{domain.step_image} is not there", "make images")
