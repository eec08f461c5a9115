"""What a shell brings along that would lead this checkout's Airflow elsewhere: another Airflow, a proxy."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from include.core.domain import Check
from include.core.settings import ROOT

HOME = ROOT / ".airflow"
LOOPBACK = ("127.0.0.1", "localhost")
_PREFIX, _SOURCES = "AIRFLOW__", ("", "_CMD", "_SECRET")


def own_environment(environment: Mapping[str, str] = os.environ, home: Path = HOME) -> dict[str, str]:
    """Return the environment of this checkout's Airflow.

    Without the variables that would replace what `airflow.cfg` sets (another database, other DAGs); other settings of
    Airflow stay. Loopback addresses go through no proxy.

    Args:
        environment: That of this process.
        home: Airflow's home.
    """
    foreign = set(foreign_settings(environment, home))
    own = {name: value for name, value in environment.items() if name not in foreign}
    if _proxies(environment):
        bypassed = ",".join(dict.fromkeys((*_bypassed(environment), *LOOPBACK)))
        own |= {"NO_PROXY": bypassed, "no_proxy": bypassed}
    return own


def foreign_settings(environment: Mapping[str, str], home: Path = HOME) -> list[str]:
    """Return the variables that would replace what `airflow.cfg` sets, sorted."""
    config = configparser.RawConfigParser()
    config.read(home / "airflow.cfg", encoding="utf-8")
    own = {
        f"{_PREFIX}{section}__{key}{source}".upper()
        for section in config.sections()
        for key in config[section]
        for source in _SOURCES
    }
    return sorted(own & environment.keys())


def check_surroundings(environment: Mapping[str, str] = os.environ, home: Path = HOME) -> Iterator[Check]:
    """Yield what the shell brings along, and what becomes of it."""
    if (other := environment.get("AIRFLOW_HOME")) and Path(other).resolve() != home.resolve():
        yield Check(
            "environment",
            "missing",
            f"AIRFLOW_HOME={other}",
            f"unset it; ./pipeline and make ui use {home} all the same",
        )
    if foreign := foreign_settings(environment, home):
        remedy = f"unset them; ./pipeline and make ui take these settings from {home / 'airflow.cfg'} all the same"
        yield Check("environment", "missing", ", ".join(foreign), remedy)
    if path := environment.get("PYTHONPATH"):
        others = [folder for folder in path.split(os.pathsep) if folder and Path(folder).resolve() != ROOT]
        hiding = [f"{folder} ({', '.join(names)})" for folder in others if (names := _hidden_by(Path(folder)))]
        if hiding:
            yield Check(
                "environment", "fault", f"PYTHONPATH: {'; '.join(hiding)}", "unset PYTHONPATH: it hides modules"
            )
    proxies = _proxies(environment)
    if proxies and not set(LOOPBACK) <= set(_bypassed(environment)):
        remedy = f"export NO_PROXY={','.join(LOOPBACK)}; ./pipeline adds it for its runs"
        yield Check("environment", "missing", f"{', '.join(proxies)} without NO_PROXY for loopback", remedy)


def _hidden_by(folder: Path) -> list[str]:
    """Return the packages of ours, and Airflow, that a folder of PYTHONPATH has too."""
    return [name for name in ("airflow", "include", "plugins", "dags") if (folder / name / "__init__.py").exists()]


def _proxies(environment: Mapping[str, str]) -> list[str]:
    names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    return [name for name in names if environment.get(name)]


def _bypassed(environment: Mapping[str, str]) -> list[str]:
    stated = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    return [host.strip() for host in stated.split(",") if host.strip()]
