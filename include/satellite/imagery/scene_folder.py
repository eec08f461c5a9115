"""A folder of scenes as the source of a run: where it lies, what the user states of it, and whether that was heeded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from include.core.errors import BadInputError
from include.core.settings import get_settings
from include.satellite.imagery.demo import DEMO
from include.satellite.imagery.schemas import FolderSource
from include.satellite.params import SourceParams


def folder_of(params: SourceParams) -> FolderSource | None:
    """Return the folder of scenes that a run names or describes; None where it does neither.

    Raises:
        BadInputError: The imagery comes from elsewhere, or the folder is not below those that runs may read.
    """
    folder = stated_folder(dict(params))
    if folder is None or folder.path is None:
        return folder
    return folder.model_copy(update={"path": _resolved(folder.path)})


def stated_folder(params: Mapping[str, Any]) -> FolderSource | None:
    """Return the folder of scenes that parameters state, its path as it stands there; None where they state none.

    Raises:
        BadInputError: The imagery comes from elsewhere.
    """
    values = {name: params.get(name) for name in FolderSource.model_fields if params.get(name) is not None}
    folder = FolderSource(path=params.get("scenes"), **values)
    named = [*["scenes"] * (folder.path is not None), *folder.statements]
    if not named:
        return None
    if params.get("source") != DEMO:
        raise BadInputError(
            f"{', '.join(named)}: only the source {DEMO} reads a folder of scenes; the source is {params.get('source')}"
        )
    return folder


def check_heeded(features: Iterable[Mapping[str, Any]], folder: FolderSource | None) -> None:
    """Check that the scenes that a service lists are read as the user states.

    Args:
        features: STAC features; those of a folder state what they were read by.
        folder: The folder; None where the user states nothing.

    Raises:
        BadInputError: They are not: the service reads no folder, or reads it in another way.
    """
    for name, stated in ({} if folder is None else folder.statements).items():
        value = [*stated] if isinstance(stated, tuple) else stated
        if any(feature["properties"].get(name) != value for feature in features):
            raise BadInputError(
                f"{name}: {value} is stated of a folder of scenes (scenes), and the service reads no folder in that "
                f"way; leave {name} out, name the folder, or start the stand-in with --{name.replace('_', '-')}"
            )


def _resolved(path: str) -> str:
    allowed = get_settings().allowed_inputs
    for folder in allowed:
        candidate = (folder / path).resolve()
        if candidate.is_relative_to(folder) and candidate.is_dir():
            return str(candidate)
    listed = ", ".join(map(str, allowed))
    raise BadInputError(
        f"scenes: {path}: no such folder below those that runs may read ({listed}); see GROUNDTRUTH_INPUT_DIRS"
    )
