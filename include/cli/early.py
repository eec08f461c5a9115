"""Checks before Airflow starts: what the first steps would refuse after half a minute is refused at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from include.control.addresses import service_faults
from include.core.contracts import imported
from include.core.errors import BadInputError
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.preparation import staged_names
from include.pipelines import image_fault, registered_steps


def check_early(pipeline: Pipeline, params: Mapping[str, Any], runtime: str) -> None:
    """Refuse a run that could not succeed, as far as that shows without running a step.

    Args:
        pipeline: What shall run.
        params: The checked parameters; input files with absolute paths.
        runtime: Where steps run.

    Raises:
        BadInputError: An account, a secret, an image or a service is missing, or an input file cannot be what is
            stated of it.
    """
    if runtime == "docker" and (fault := image_fault(pipeline.definition, registered_steps())):
        raise BadInputError(fault.message)
    if faults := list(service_faults(pipeline.steps, runtime)):
        raise BadInputError("; ".join(faults))
    if "AIRFLOW__SECRETS__BACKEND" not in os.environ and (missing := list(_missing_accounts(pipeline, params))):
        raise BadInputError("; ".join(dict.fromkeys(missing)))
    hooks = [hook for hook in (pipeline.check_files, pipeline.check_inputs) if hook]
    files = params.get(INPUT_FILES) or []
    single = {name: params[name] for name in pipeline.file_params if params.get(name)}
    paths = [*files, *single.values()]
    if not hooks or not paths or not all(Path(path).is_file() for path in paths):
        return  # what names a run instead of a file is found by the run's preparation
    with TemporaryDirectory(prefix="groundtruth-") as temporary:
        names, folder = staged_names(paths), Path(temporary) / "source"
        folder.mkdir()
        for name, path in zip(names, paths, strict=True):
            (folder / name).symlink_to(path)
        staged: dict[str, Any] = {INPUT_FILES: names[: len(files)]} if files else {}
        staged |= dict(zip(single, names[len(files) :], strict=True))
        for hook in hooks:
            imported(hook)(folder, {**params, **staged})


def _missing_accounts(pipeline: Pipeline, params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the accounts that steps need and that the environment does not hold."""
    for item in pipeline.steps:
        account, skipped = item.step.credentials, item.step.skip_param and params.get(item.step.skip_param)
        if account is not None and params.get("source") in account.sources and not skipped:
            names = (account.login, account.password)
            if not _has_connection(account.connection) and not all(map(os.environ.get, names)):
                where = f"{' and '.join(names)}, or {_variable(account.connection)}"
                yield f"source {params['source']}: needs an account; set {where}"
        for variable, place in item.spec.secrets.items():
            connection = place.partition(".extra.")[0] if ".extra." in place else place.rpartition(".")[0]
            if not _has_connection(connection):
                yield f"{variable} of {item.step.id}: there is no connection {connection}; set {_variable(connection)}"


def _has_connection(name: str) -> bool:
    return bool(os.environ.get(_variable(name)))


def _variable(connection: str) -> str:
    return f"AIRFLOW_CONN_{connection.upper()}"
