"""A domain: everything that the rest of the project needs to know of a package such as `include/energy`.

`include/domains.py` lists the domains, one line each. Core, command line, reports, plugins, Docker proxy and the
generated files read what they need from these objects, so that none of them names a domain. Functions are named as
`module:function` and imported only when they are called: a DAG file that lists the domains imports no heavy library.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from include.core.contracts import Credentials, Step
from include.core.feeds import FeedReader
from include.core.pipeline import Pipeline
from include.core.settings import ROOT
from include.core.windows import IntervalWindow

Status = Literal["ok", "missing", "fault"]
Erasure = Literal["absent", "rewritten", "removed", "kept"]
"""What becomes of an input file: it does not hold the subject, is written again or removed, or can be neither."""


@dataclass(frozen=True)
class Option:
    """An option of `./pipeline run` that a domain adds.

    Args:
        flags: As users type it, the first one being its name: `("--files", "--csv")`.
        help: For `--help` and the reference.
        param: The parameter that it fills.
        metavar: What stands for the value in the help; None for a switch.
        repeated: Whether it may be given several times; its value is a list then.
        parse: `module:function` from the text to the value; raises BadInputError.
    """

    flags: tuple[str, ...]
    help: str
    param: str
    metavar: str | None = None
    repeated: bool = False
    parse: str | None = None

    @property
    def name(self) -> str:
        """The option's name as an identifier (`--skip-download` → `skip_download`)."""
        return self.flags[0].removeprefix("--").replace("-", "_")


@dataclass(frozen=True)
class Page:
    """A page of Airflow's UI.

    Args:
        name: Its place below the project's pages, and its template's name.
        title: In the navigation.
        dag_id: Who may read this DAG's runs sees the page; who may edit the DAG may use the page's forms.
        templates: Folder with `<name>.html.j2` and the icon `<name>.svg`.
        view: `module:function` of `(EnvFile, run folders, latest first)`, which returns variables of the template by
            name. The plugin adds the env file's name and history, trends of the runs, and what rollback forms need, and
            draws `charts` (`include.core.charts`).
        rolls_back: The page offers to roll back the keys that the domain sets in the env file.
    """

    name: str
    title: str
    dag_id: str
    templates: Path
    view: str
    rolls_back: bool = False


@dataclass(frozen=True)
class Pool:
    """A pool of Airflow's that limits how many tasks use a service at once; deferred ones count where it says so."""

    name: str
    slots: int
    description: str
    include_deferred: bool = False


@dataclass(frozen=True)
class StandIn:
    """A local server that stands in for an external service, as a service of the full stack.

    Args:
        service: Its name in the composition.
        module: What `python -m` runs; takes `--host` and `--port`.
        port: On which it listens.
        url_variable: The environment variable by which steps find it.
    """

    service: str
    module: str
    port: int
    url_variable: str


@dataclass(frozen=True)
class EnvKeys:
    """Keys of the deployment's env file that a domain sets.

    Args:
        names: The keys.
        pending: `module:function` of `(data folder) -> PendingChange | None`: what the latest run would change.
        after_rollback: `module:function` of `(EnvFile) -> str | None`: brings other systems in line after a rollback;
            returns a problem in words.
    """

    names: tuple[str, ...]
    pending: str
    after_rollback: str


@dataclass(frozen=True)
class PendingChange:
    """What the latest run that could change the env file decided.

    Args:
        run: Name of the run's folder.
        changes: New values by key; empty where the run decided against a change.
        reasons: Why it decided so.
    """

    run: str
    changes: Mapping[str, str | None]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """What a domain's data are about, and users may ask to forget, such as a meter.

    Args:
        name: The option of `./pipeline forget` (`meter`), and what messages call it.
        help: Of the option.
        results: `module:function` of `(results by name, subject, target folder) -> bool`: whether results of a run hold
            the subject; if so, it writes to the folder those that remain of use without it.
        input: `module:function` of `(file, name, subject, params, target file) -> Erasure`: what becomes of an input
            file; where that is `rewritten`, it writes the target.
    """

    name: str
    help: str
    results: str
    input: str


@dataclass(frozen=True)
class Check:
    """A check of `./pipeline doctor`.

    Args:
        subject: What was checked.
        status: `ok`; `missing` for what only some runs need; `fault` for what every run needs.
        found: What is there.
        remedy: How to fix it; empty when it is ok.
    """

    subject: str
    status: Status
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Domain:
    """A domain.

    Args:
        name: Name of its package below `include/`.
        title: For users.
        steps: Its steps by id; a pipeline definition may use each of them.
        pipelines: Those that a DAG file of their own wires; all others are JSON definitions.
        image: Image of its steps; the environment variable `GROUNDTRUTH_<NAME>_IMAGE` names another one.
        window: How its pipelines' windows follow from parameters.
        param_aliases: Former names of parameters, and what they are called now.
        complete: `module:function` of a run's parameters as stated that returns them with those that follow from them;
            called again with what it returned.
        check_files: `module:function` of the folder of a run's input files and its parameters: before the first step,
            refuses files that a later one would refuse.
        check_inputs: As `check_files`, but called by the command line alone, before Airflow starts.
        options: Options that it adds to `./pipeline run`.
        examples: Calls of `./pipeline run` that its help shows: the pipeline and its options.
        commands: Functions by the name of their command, or Typer applications by that of their command group, as
            `module:name`.
        profiles: Folder of parameter profiles (`--profile NAME`).
        run_environment: `module:function`, a context manager `(params, options, data folder)` that yields environment
            variables for a run of the command line and may start a stand-in for as long as the run lasts.
        checks: `module:function` that returns its checks for `./pipeline doctor`.
        settings: `module:class` of its settings (pydantic-settings), for the reference.
        stores: Folders below the data folder that its runs share.
        pools: Airflow pools that its tasks use.
        stand_ins: Stand-ins that the full stack offers.
        pages: Its pages in Airflow's UI.
        env_keys: Keys of the env file that it sets.
        units: Suffixes of metric names and the unit that each stands for (`kwh` → kWh).
        labels: Words of metric names, or complete names, that are not written as they stand (`ndvi` → NDVI).
        overview: `module:function` of `(AcceptedFiles) -> Overview | None`: what the report of a run with steps of the
            domain states first; None where the run has not come far enough.
        charts: `module:function` of `(AcceptedFiles) -> Charts`: the charts of that report; none without their files.
        feed_reader: How files of feeds are read, where its pipelines may run days of a feed.
        subject: What its data are about, and users may ask to forget.
        housekeeping: `module:function` of `(data folder, present)` that yields what may be removed from its stores
            (`include.core.housekeeping.Expired`).
        invents: `module:function` of a run's parameters and of those that its schedule states; returns what the run
            would invent instead of reading it, or None.
    """

    name: str
    title: str
    steps: Mapping[str, Step]
    image: str
    pipelines: tuple[Pipeline, ...] = ()
    window: IntervalWindow = field(default_factory=IntervalWindow)
    param_aliases: Mapping[str, str] = field(default_factory=dict)
    complete: str | None = None
    check_files: str | None = None
    check_inputs: str | None = None
    options: tuple[Option, ...] = ()
    examples: tuple[str, ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    profiles: Path | None = None
    run_environment: str | None = None
    checks: str | None = None
    settings: str | None = None
    stores: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = ()
    stand_ins: tuple[StandIn, ...] = ()
    pages: tuple[Page, ...] = ()
    env_keys: EnvKeys | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    overview: str | None = None
    charts: str | None = None
    feed_reader: FeedReader | None = None
    subject: Subject | None = None
    housekeeping: str | None = None
    invents: str | None = None

    @property
    def connections(self) -> tuple[Credentials, ...]:
        """The Airflow connections that its steps use."""
        return tuple(dict.fromkeys(step.credentials for step in self.steps.values() if step.credentials))

    @property
    def folder(self) -> Path:
        """Its package's folder."""
        return ROOT / "include" / self.name

    @property
    def step_image(self) -> str:
        """The image of its steps in this deployment."""
        return os.environ.get(f"GROUNDTRUTH_{self.name.upper()}_IMAGE") or self.image
