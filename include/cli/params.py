"""A run's parameters from the command line: profiles, options of the domains, `--set`, interval, input files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from include.core.contracts import imported
from include.core.errors import BadInputError
from include.core.exchange import NAMED_RUN, refuse_runs
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.settings import get_settings
from include.domains import DOMAINS
from include.pipelines import all_pipelines


def read_params(
    pipeline: Pipeline,
    options: Mapping[str, Any],
    assignments: Iterable[str],
    profile: str | None,
    *,
    date: datetime | None,
    start: str | None,
    end: str | None,
    switches: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the checked parameters of a run.

    Args:
        pipeline: What shall run.
        options: Values of the domains' options by name; None, False or empty where they are not given.
        assignments: Of `--set`.
        profile: Name or file of a profile.
        date: Of `--date`.
        start: Of `--start`.
        end: Of `--end`.
        switches: Parameters that an option of the same name sets, such as `--audit`.

    Raises:
        BadInputError: An option, a parameter or a file cannot be used; names it.
    """
    assigned = [*map(_assignment, assignments), *_option_params(pipeline, options)]
    assigned += [(name, value) for name, value in (("start", start), ("end", end)) if value is not None]
    assigned += [(name, True) for name in switches]
    repeated = sorted(name for name, count in Counter(name for name, _ in assigned).items() if count > 1)
    if repeated:
        raise BadInputError(f"{', '.join(repeated)}: given more than once")
    params = pipeline.complete_params((read_profile(profile) if profile else {}) | dict(assigned))
    if pipeline.check_stated:
        imported(pipeline.check_stated)(params)
    interval = date, params.pop("start", None), params.pop("end", None)
    if "end" in pipeline.params or any(interval):
        zone = params.get("timezone")
        params |= pipeline.window.from_options(*interval, zone, has_files=bool(params.get(INPUT_FILES)))
    absolute = _absolute_files(params, pipeline.file_params, pipeline.producers)
    for name, files in absolute.items():
        refuse_runs(files if name == INPUT_FILES else [files], [Path("/")], get_settings().data_dir / "runs")
    return pipeline.check_params(params | absolute)


def read_profile(name: str) -> dict[str, Any]:
    """Return the parameters of a profile.

    Args:
        name: A profile of a domain (`demo`), or a JSON file with an object of parameters.

    Raises:
        BadInputError: There is no such profile, or it is not a JSON object.
    """
    profiles = {path.stem: path for domain in DOMAINS if domain.profiles for path in domain.profiles.glob("*.json")}
    path = Path(name) if name.endswith(".json") else profiles.get(name)
    missing = f"--profile: no profile named {name}; there are: {', '.join(sorted(profiles))}, or name a .json file"
    if path is None:
        raise BadInputError(missing)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInputError(missing) from error
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadInputError(f"{path}: must hold a JSON object")
    return {key: value for key, value in document.items() if key != "$comment"}


def _option_params(pipeline: Pipeline, options: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield the parameters that options fill.

    Raises:
        BadInputError: The pipeline has no such parameter.
    """
    for domain in DOMAINS:
        for option in domain.options:
            value = options.get(option.name)
            if value in (None, False, []):
                continue
            if option.param not in pipeline.params:
                takers = [other for other in all_pipelines()[0] if option.param in other.params]
                names = ", ".join(other.short_name or other.definition.pipeline for other in takers)
                name = pipeline.definition.pipeline
                raise BadInputError(f"{option.flags[0]}: {name} does not take this option; it is one of: {names}")
            yield option.param, imported(option.parse)(value) if option.parse else value


def _assignment(text: str) -> tuple[str, Any]:
    """Return `NAME=VALUE` in parts; the value is JSON where it is JSON, nothing where it is `none`, else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise BadInputError(f"--set: {text!r} must be NAME=VALUE")
    if value.lower() == "none":
        return name.strip(), None
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _absolute_files(params: Mapping[str, Any], single: Iterable[str], handed: Container[str]) -> dict[str, Any]:
    """Return the parameters that name input files with absolute paths: a run has another working directory.

    Args:
        params: The run's parameters.
        single: Parameters that each name one file. Values that are not file names are left to their own check.
        handed: Those that may name a run instead.

    Raises:
        BadInputError: A file is missing, or has a name that cannot be printed.
    """
    absolute: dict[str, Any] = {}
    for name in (INPUT_FILES, *single):
        files = params.get(name) if name == INPUT_FILES else [params.get(name)]
        if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
            continue
        if name in handed and str(files[0]).startswith(NAMED_RUN):
            continue
        option = f"--{name}" if name == INPUT_FILES else name
        missing = [file for file in files if not Path(file).is_file()]
        if missing:
            raise BadInputError(f"{option}: no such file: {', '.join(missing)}")
        unprintable = [file for file in files if not file.isprintable()]
        if unprintable:
            raise BadInputError(f"{option}: {unprintable[0]!r}: rename the file; its name cannot be printed")
        paths = [str(Path(file).resolve()) for file in files]
        absolute[name] = paths if name == INPUT_FILES else paths[0]
    return absolute
