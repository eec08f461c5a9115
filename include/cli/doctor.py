"""What this machine can and cannot do, and how to mend each."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.markup import escape
from rich.table import Table

from include.core.settings import ROOT, get_settings
from include.registry import load_pipelines

GIB = 1024**3
NEEDED_DISK_GIB = 2
Status = Literal["ok", "missing", "fault"]
MARKS = {"ok": "[green]✓[/]", "missing": "[yellow]–[/]", "fault": "[red]✗[/]"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        what: Its name.
        status: `ok`; `missing` for what only some runs need; `fault` for what every run needs.
        found: What is there.
        mend: How to mend it, empty when it is ok.
    """

    what: str
    status: Status
    found: str
    mend: str = ""


def examine() -> list[Check]:
    """Look at everything that runs need; the essentials first."""
    return [_python(), _airflow(), _disk(), _data_folder(), _definitions(), *_docker(), _torch(), _credentials()]


def table(checks: list[Check]) -> Table:
    """The checks for a terminal."""
    shown = Table(box=box.SIMPLE_HEAD)
    for column in ("", "what", "found", "how to mend it"):
        shown.add_column(column, overflow="fold")
    for check in checks:
        shown.add_row(MARKS[check.status], check.what, escape(check.found), escape(check.mend))
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
    mend = "" if enough else f"free at least {NEEDED_DISK_GIB} GiB; old runs lie in {folder / 'runs'}"
    return Check("disk", "ok" if enough else "fault", f"{free:.1f} GiB free for {folder}", mend)


def _data_folder() -> Check:
    folder = get_settings().data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    good = os.access(existing, os.W_OK)
    mend = "" if good else f"make it writable for {os.geteuid()}, or set GROUNDTRUTH_DATA_DIR"
    return Check("data folder", "ok" if good else "fault", str(folder) + ("" if good else " (not writable)"), mend)


def _definitions() -> Check:
    pipelines, errors = load_pipelines()
    found = f"{len(pipelines)} good" + (f", {len(errors)} faulty" if errors else "")
    mend = "./pipeline validate " + " ".join(str(error.file) for error in errors) if errors else ""
    return Check("pipeline definitions", "fault" if errors else "ok", found, mend)


def _docker() -> list[Check]:
    import docker
    from docker.errors import DockerException, ImageNotFound

    needed: Status = "fault" if get_settings().runtime == "docker" else "missing"
    try:
        client = docker.from_env(timeout=5)
        version = client.version()["Version"]
    except DockerException as error:
        denied = "Permission denied" in str(error)
        mend = "add yourself to the group `docker`" if denied else "start Docker; only --runtime docker needs it"
        return [Check("Docker engine", needed, "no permission" if denied else "none answers", mend)]
    checks = [Check("Docker engine", "ok", version)]
    with closing(client):
        for family, image in get_settings().step_images.items():
            what = f"image of the {family} steps"
            try:
                checks.append(Check(what, "ok", str(client.images.get(image).short_id)))
            except ImageNotFound:
                checks.append(Check(what, needed, f"{image} is not there", "make images"))
    return checks


def _torch() -> Check:
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Check("PyTorch", "missing", "not there; the satellite pipeline trains with it", "make setup")
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "on the processor"
    return Check("PyTorch", "ok", f"{version}, {device}")


def _credentials() -> Check:
    if os.environ.get("SH_CLIENT_ID") and os.environ.get("SH_CLIENT_SECRET"):
        return Check("imagery credentials", "ok", "SH_CLIENT_ID and SH_CLIENT_SECRET are set")
    mend = "the demo needs none; for real imagery set SH_CLIENT_ID and SH_CLIENT_SECRET, or the connection sentinel_hub"
    return Check("imagery credentials", "missing", "not in the environment", mend)
