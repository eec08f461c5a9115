"""Which scenes of the imagery store may be removed: those that were not used for long, and what exceeds its size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from include.core.housekeeping import Expired
from include.core.run_folder import read_model
from include.core.settings import read_settings
from include.satellite.imagery.schemas import Acquisition
from include.satellite.params import SatelliteSettings

IN_USE = timedelta(days=1)
"""A scene that was used later may belong to a run that goes on."""


def expired_scenes(data: Path, now: datetime) -> Iterator[Expired]:
    """Yield the scenes that may be removed; a run that needs one again fetches it again.

    Previews stay: they are small, and the history of a place is made of them.

    Args:
        data: The data folder.
        now: The present.
    """
    settings = read_settings(SatelliteSettings)
    days, limit = settings.keep_imagery_days, settings.keep_imagery_gb * 1e9
    scenes = sorted((status.st_mtime, status.st_size, path) for path, status in _scenes(data / "imagery"))
    unused_since = (now - max(timedelta(days=days), IN_USE)).timestamp() if days else 0.0
    unused = [scene for scene in scenes if scene[0] < unused_since]
    yield Expired("scenes", f"GROUNDTRUTH_KEEP_IMAGERY_DAYS={days}", tuple(path for *_, path in unused), remove_scene)
    excess, most = [], sum(size for _, size, _ in scenes[len(unused) :])
    for used, size, path in scenes[len(unused) :]:
        if not limit or most <= limit or used > (now - IN_USE).timestamp():
            break
        excess.append(path)
        most -= size
    stated = f"GROUNDTRUTH_KEEP_IMAGERY_GB={settings.keep_imagery_gb:g}"
    yield Expired("scenes beyond the limit", stated, tuple(excess), remove_scene)


def remove_scene(path: Path) -> None:
    """Remove a scene, and before it the acquisition that names it."""
    acquisition = path.with_name(f"{path.stem.rpartition('_')[0]}.json")
    with suppress(ValidationError):
        stated = read_model(acquisition, Acquisition)
        if stated is not None and stated.file is not None and Path(stated.file).name == path.name:
            acquisition.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _scenes(store: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in store.glob("*/*/*.tif"):
        with suppress(FileNotFoundError):
            if not path.name.startswith("."):
                yield path, path.stat()
