"""The imagery store: a scene that one run fetched and that is intact is not fetched again by any other.

```
data/imagery/<collection>/<source>-<hash of grid and bands>/
  2025-01-03_1a2b3c4d.json           the acquisition: product ids and versions, times, shares, checksum, its file
  2025-01-03_1a2b3c4d_5e6f7a8b.tif   its scene, named by what it holds
  looks/<hash of the area>/…         the previews
```

The store has no locks. A file is written completely and renamed into place; a scene's name holds its own checksum, so
two processes that fetch the same date at once write the same file or two files, never a mixture; the acquisition is
renamed last and names one of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.core.files import path_inside, write_atomically
from include.core.run_folder import read_model, write_json
from include.core.settings import get_settings
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.scenes import Layers, NotDataError, Scene, encode, read_layers
from include.satellite.imagery.schemas import Acquisition, CloudSource, Day, Preview, Scope

STALE_SECONDS = 3600
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
FOLDER_NAME = re.compile(rf"{_NAME}/{_NAME}")
SCENE_NAME = re.compile(rf"({_NAME}/){{0,2}}{_NAME}\.tif")
"""What an acquisition may state as its `file`: nothing hidden, nothing above the store."""


class ImageryStore:
    """The part of the store that holds one area's scenes from one source.

    Args:
        scope: The area with its grid, bands and source; its window does not matter.

    Raises:
        BadInputError: The area holds no pixel's centre.
    """

    def __init__(self, scope: Scope) -> None:
        self.grid, self.bands, self.geometry, self.sensor = scope.grid, scope.bands, scope.geometry, scope.sensor
        self.inside = inside_mask(self.geometry, self.grid)
        self.root = store_root()
        key = _hash(scope.recipe, 12)
        name = f"{scope.collection}/{scope.source}-{key}"
        self.folder = path_inside(self.root, name, FOLDER_NAME, stated_by="search.json: collection and source")
        self._previews = self.folder / "looks" / _hash(self.geometry, 8)

    def find(self, candidate: Day) -> Acquisition | None:
        """Return a date's acquisition if it is there and intact, with what the catalog now states of its cloud."""
        return self._intact(self.folder / f"{_stem(candidate)}.json", candidate.fields_of(CloudSource))

    def put(self, acquisition: Acquisition, layers: Layers) -> Acquisition:
        """Keep a scene.

        Args:
            acquisition: Its description; file, checksum and shares are added.
            layers: (bands, height, width), in the order of the store's bands.

        Returns:
            The acquisition as kept.

        Raises:
            SetupError: The folder cannot be written, or the disk is full.
        """
        stem = _stem(acquisition)
        tags = {
            "DATETIME": acquisition.datetime.isoformat(),
            "PRODUCT_IDS": ",".join(acquisition.product_ids),
            "SOURCE": acquisition.source,
            "SYNTHETIC": "YES" if acquisition.synthetic else "NO",
        }
        scene = self.scene(layers)
        content = encode(scene, self.grid, tags)
        checksum = hashlib.sha256(content).hexdigest()
        path = self.folder / f"{stem}_{checksum[:8]}.tif"
        write_atomically(path, content)
        kept = acquisition.model_copy(
            update={
                "file": path.relative_to(self.root).as_posix(),
                "sha256": checksum,
                "bytes": len(content),
                **acquisition.over_area(scene.shares(self.inside)).model_dump(),
            }
        )
        write_json(self.folder / f"{stem}.json", kept)
        return kept

    def scene(self, layers: Layers) -> Scene:
        """Return layers in the order of the store's bands as a scene."""
        return Scene(self.sensor, self.bands, layers)

    def between(self, start: datetime, end: datetime) -> list[Acquisition]:
        """Return the intact acquisitions of a window, ascending: products in their last version, clearest of a day."""
        last: dict[tuple[date, tuple[str, ...]], Acquisition] = {}
        for path in sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
            acquisition = self._intact(path)
            if acquisition is not None and start <= acquisition.datetime < end:
                last[acquisition.date, tuple(sorted(acquisition.product_ids))] = acquisition
        clearest = {acquisition.date: acquisition for acquisition in sorted(last.values(), key=attrgetter("clear"))}
        return [clearest[day] for day in sorted(clearest)]

    def find_preview(self, day: Day) -> Preview | None:
        """Return an earlier preview of a day."""
        try:
            return read_model(self._preview_path(day), Preview)
        except ValidationError:
            return None

    def keep_preview(self, preview: Preview) -> None:
        """Keep the preview of a day."""
        write_json(self._preview_path(preview), preview)

    def _preview_path(self, day: Day | Preview) -> Path:
        return self._previews / f"{_stem(day)}.json"

    def sweep(self) -> None:
        """Remove half-written files of processes that were killed; a file that is being written is younger."""
        for path in self.folder.rglob(".*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def _intact(self, path: Path, cloud: Mapping[str, Any] | None = None) -> Acquisition | None:
        """Return an acquisition whose file is intact, its shares taken over this area: another may share the grid."""
        try:
            acquisition = read_model(path, Acquisition)
            if acquisition is None or acquisition.file is None or acquisition.bands != self.bands:
                return None
            acquisition = acquisition.model_copy(update=cloud or {})
            file = scene_path(acquisition)
            if sha256(file) != acquisition.sha256:
                return None
            shares = acquisition.over_area(self.scene(read_layers(file)).shares(self.inside))
        except (OSError, ValidationError, NotDataError, ContractError):
            return None
        return acquisition.model_copy(update={"fetched": False, "units_spent": 0.0, **shares.model_dump()})


def store_root() -> Path:
    """Return the folder below which an acquisition's `file` lies."""
    return get_settings().data_dir / "imagery"


def scene_path(acquisition: Acquisition) -> Path:
    """Return the path of a usable acquisition's scene, and mark it as used now: housekeeping removes unused ones.

    Raises:
        ContractError: The acquisition names a file outside the store.
    """
    if acquisition.file is None:
        raise ValueError(f"{acquisition.date} has no scene: {acquisition.reason}")
    path = path_inside(
        store_root(), acquisition.file, SCENE_NAME, stated_by=f"file of the acquisition of {acquisition.date}"
    )
    with suppress(OSError):  # in a container the store is read-only; the orchestrator has asked before
        os.utime(path)
    return path


def _stem(day: Day | Preview) -> str:
    return f"{day.date.isoformat()}_{_hash([*sorted(day.product_ids), *day.versions], 8)}"


def _hash(document: Any, length: int) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:length]
