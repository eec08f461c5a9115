"""What already runs of this checkout, or under its name: a UI, a stack of another checkout.

`make up` asks before there is a set-up, so this needs Python's standard library alone.
"""

from __future__ import annotations

import configparser
import fcntl
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".airflow"
UI_LOCK = "ui.lock"
PROJECT_LABEL = "com.docker.compose.project"


def own_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Return Airflow's home: that of the environment, if it belongs to this checkout, else `.airflow`.

    Args:
        environment: Of this process.
    """
    other = environment.get("AIRFLOW_HOME")
    if other:
        config = configparser.RawConfigParser()
        config.read(Path(other) / "airflow.cfg", encoding="utf-8")
        if config.get("core", "plugins_folder", fallback=None) == str(ROOT / "plugins"):
            return Path(other)
    return HOME


def take_ui(home: Path) -> int:
    """Lock the UI of a home for this process and its children; return the descriptor, which children must inherit.

    Args:
        home: Airflow's home.

    Raises:
        BlockingIOError: It runs already; the message says where.
    """
    descriptor = os.open(home / UI_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        address = os.read(descriptor, 200).decode(errors="replace") or "an address that it has not stated yet"
        os.close(descriptor)
        raise BlockingIOError(f"the UI of this checkout runs already, at {address}") from None
    return descriptor


def state_address(descriptor: int, address: str) -> None:
    """Write where the UI is, for those who find it locked."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, address.encode(), 0)


def project_name(root: Path, environment: Mapping[str, str]) -> str:
    """Return the name that Compose gives the stack of a folder.

    >>> project_name(Path("/home/ada/My.Groundtruth"), {})
    'mygroundtruth'
    """
    name = environment.get("COMPOSE_PROJECT_NAME") or root.name
    return "".join(sign for sign in name.lower() if sign.isascii() and (sign.isalnum() or sign in "_-")).lstrip("_-")


def stack_conflict(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return why the stack of this checkout must not start: one of another checkout has its name; None if none has.

    Args:
        root: The checkout.
        environment: May hold `COMPOSE_PROJECT_NAME`.
    """
    name = project_name(root, environment)
    remedy = f"choose another name for this one: export COMPOSE_PROJECT_NAME={name}-2"
    selected = f"label={PROJECT_LABEL}={name}"
    folders = f'{{{{.Label "{PROJECT_LABEL}.working_dir"}}}}'
    for folder in _docker("ps", "--all", "--filter", selected, "--format", folders):
        if folder and Path(folder).resolve() != root.resolve():
            return f"a stack named {name} exists already, of the checkout {folder}; {remedy}"
    if not (root / "stack" / "secrets").is_dir() and _docker("volume", "ls", "--quiet", "--filter", selected):
        kept = root / "stack" / "secrets"
        return f"there are volumes of a stack named {name}, but no secrets in {kept}; restore these, or {remedy}"
    return None


def unreadable_configuration(root: Path = ROOT) -> str | None:
    """Return why services cannot read the definitions: the checkout was made with a umask such as 077; else None."""
    folder = root / "include" / "config"
    closed = [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o004 == 0]
    if not closed:
        return None
    return f"{closed[0]} cannot be read by the services of the stack; chmod -R a+rX {folder}"


def _docker(*arguments: str) -> list[str]:
    """Return the lines that the Docker client prints; none without an engine."""
    try:
        result = subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True, timeout=20)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return []
    return result.stdout.splitlines() if result.returncode == 0 else []
