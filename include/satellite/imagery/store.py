"""The imagery store: what was fetched once, intact, is not fetched again, by whatever run.

```
data/imagery/<collection>/<source>-<hash of grid and bands>/
  2025-01-03_1a2b3c4d.json           the acquisition: product ids, times, shares, units, checksum, and its file
  2025-01-03_1a2b3c4d_5e6f7a8b.tif   its scene, named by what it holds
  looks/<hash of the area>/…         what the cheap looks saw
```

Nobody locks anything. A file is written whole and renamed into place; a scene's name holds its own checksum, so two
processes that fetch the same date at once write the same file or two files, never a mixture; the acquisition is
renamed last and names one of them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from include.core.artifacts import sha256
from include.core.run_folder import read_model, write_atomically, write_json
from include.core.settings import get_settings
from include.satellite.imagery.model import SCL, Acquisition, Candidate, Grid, SearchResult
from include.satellite.imagery.quality import Shares, shares
from include.satellite.imagery.raster import NotDataError, Scene, data_mask, encode, read_scene

STALE_SECONDS = 3600


class Look(BaseModel):
    """What the cheap look at a day saw over the area."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: date
    product_ids: list[str]
    clear: float
    cloud: float


class ImageryStore:
    """The part of the store that holds one area's scenes from one source.

    Args:
        collection: Of the API.
        source: Where they come from.
        grid: Their pixels.
        bands: Their bands, in order.
        geometry: The area, GeoJSON, WGS 84.
        inside: Which pixels belong to it.
    """

    def __init__(
        self,
        *,
        collection: str,
        source: str,
        grid: Grid,
        bands: Sequence[str],
        geometry: dict[str, Any],
        inside: NDArray[np.bool_],
    ) -> None:
        self.grid, self.bands, self.geometry, self.inside = grid, list(bands), geometry, inside
        self.root = store_root()
        key = _hash({"grid": grid.model_dump(mode="json"), "bands": self.bands}, 12)
        self.folder = self.root / collection / f"{source}-{key}"
        self._looks = self.folder / "looks" / _hash(geometry, 8)

    @classmethod
    def of(cls, search: SearchResult, inside: NDArray[np.bool_]) -> ImageryStore:
        """The part that a search is about."""
        return cls(
            collection=search.collection,
            source=search.source,
            grid=search.grid,
            bands=search.bands,
            geometry=search.geometry,
            inside=inside,
        )

    def find(self, candidate: Candidate) -> Acquisition | None:
        """A date's acquisition if it is there and intact."""
        return self._intact(self.folder / f"{_stem(candidate.date, candidate.product_ids)}.json")

    def put(self, acquisition: Acquisition, array: Scene) -> Acquisition:
        """Keep a scene.

        Args:
            acquisition: What is known of it; file, checksum and shares are added.
            array: (bands, height, width).

        Returns:
            The acquisition as kept.

        Raises:
            SetupError: The folder cannot be written, or the disk is full.
        """
        stem = _stem(acquisition.date, acquisition.product_ids)
        tags = {
            "DATETIME": acquisition.datetime.isoformat(),
            "PRODUCT_IDS": ",".join(acquisition.product_ids),
            "SOURCE": acquisition.source,
            "SYNTHETIC": "YES" if acquisition.synthetic else "NO",
        }
        content = encode(array, self.bands, self.grid, tags)
        checksum = hashlib.sha256(content).hexdigest()
        path = self.folder / f"{stem}_{checksum[:8]}.tif"
        write_atomically(path, content)
        kept = acquisition.model_copy(
            update={
                "file": path.relative_to(self.root).as_posix(),
                "sha256": checksum,
                "bytes": len(content),
                **vars(self.judge(array)),
            }
        )
        write_json(self.folder / f"{stem}.json", kept)
        return kept

    def between(self, start: datetime, end: datetime) -> list[Acquisition]:
        """Every intact acquisition of a window, the clearest of each date, ascending."""
        best: dict[date, Acquisition] = {}
        for path in sorted(self.folder.glob("*.json")):
            found = self._intact(path)
            if found is None or not start <= found.datetime < end:
                continue
            if found.date not in best or found.clear > best[found.date].clear:
                best[found.date] = found
        return [best[day] for day in sorted(best)]

    def judge(self, array: Scene) -> Shares:
        """The shares of a scene over the area."""
        return shares(array[self.bands.index(SCL)].astype(np.uint8), data_mask(array), self.inside)

    def look(self, day: date, product_ids: Iterable[str]) -> Look | None:
        """What an earlier look at a day saw."""
        try:
            return read_model(self._looks / f"{_stem(day, product_ids)}.json", Look)
        except ValidationError:
            return None

    def keep_look(self, look: Look) -> None:
        """Keep what a look saw."""
        write_json(self._looks / f"{_stem(look.date, look.product_ids)}.json", look)

    def sweep(self) -> None:
        """Remove what processes that were killed left half-written; a file that is being written is younger."""
        for path in self.folder.rglob(".*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def _intact(self, path: Path) -> Acquisition | None:
        """An acquisition whose file is whole, its shares taken over this area: another one may have the same grid."""
        try:
            found = read_model(path, Acquisition)
            if found is None or found.file is None or found.bands != self.bands:
                return None
            scene = scene_path(found)
            if sha256(scene) != found.sha256:
                return None
            return found.model_copy(
                update={"fetched": False, "units_spent": 0.0, **vars(self.judge(read_scene(scene)))}
            )
        except (OSError, ValidationError, NotDataError):
            return None


def store_root() -> Path:
    """The folder below which an acquisition's `file` lies."""
    return get_settings().data_dir / "imagery"


def scene_path(acquisition: Acquisition) -> Path:
    """Where a usable acquisition's scene lies."""
    if acquisition.file is None:
        raise ValueError(f"{acquisition.date} has no scene: {acquisition.reason}")
    return store_root() / acquisition.file


def _stem(day: date, product_ids: Iterable[str]) -> str:
    return f"{day.isoformat()}_{_hash(sorted(product_ids), 8)}"


def _hash(document: Any, length: int) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:length]
