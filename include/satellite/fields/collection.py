"""The STAC collection of a file of fields: an item with an index raster (COG) for every pass.

```
data/published/field_monitoring/<file>/passes/
  collection.json            a STAC collection (1.1.0), which links the items
  2026-11-25/item.json       the item of a pass
  2026-11-25/indices.tif     its index raster
```

A run makes what is new, in `passes.zip`: passes that no run mapped before, or whose scene was corrected. After its
checks the orchestrator exchanges the folder of each for the new one. What was mapped is kept in the store of fields, by
date and checksum of the scene, so a repeated run makes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from include.core.errors import ContractError
from include.core.files import atomic_file, locked, replace_folder, write_atomically
from include.core.progress import counted
from include.core.settings import get_settings
from include.satellite.artifacts import FIELDS, FIELDS_ITEM, INDEX_RASTER, PASSES, VALIDATED
from include.satellite.fields.params import MapParams
from include.satellite.fields.rasters import check_raster, index_rasters, pass_item, raster_bytes
from include.satellite.fields.recomputation import np_random
from include.satellite.fields.schemas import FieldSet, MappedPass
from include.satellite.fields.store import read_table, store_file, write_table

if TYPE_CHECKING:
    from include.satellite.imagery.schemas import Acquisition, Imagery

PUBLISHED = "published/field_monitoring"
"""Below the data folder."""
COLLECTION = "collection.json"
MOST_BYTES = 8 * 1024**3
"""Of the rasters that a run makes, unpacked; the next runs make the others, the latest ones first."""
DRAWN_PASSES = 3


def key_of(file: str) -> str:
    """Return the name of a file as a folder's name."""
    stem = file.partition(".")[0]
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "-" for sign in stem) or "fields"


def mapped_path(fields: FieldSet, imagery: Imagery) -> str:
    """Return the path of the list of the passes that were mapped before, below the data folder."""
    return store_file(imagery).removesuffix(".parquet") + f"-passes-{key_of(fields.file)}.parquet"


def new_passes(files: Path, params: MapParams) -> list[Acquisition]:
    """Return the passes that a run maps, by date: those that were not mapped before."""
    imagery = VALIDATED.read(files)
    return _unmapped(files)[-max(1, MOST_BYTES // raster_bytes(imagery)) :] if params.map_every_pass else []


def _unmapped(files: Path) -> list[Acquisition]:
    known = _mapped_before(files)
    new = [item for item in VALIDATED.read(files).acquisitions if known.get(item.date) != item.sha256]
    return sorted(new, key=lambda item: item.datetime)


def _mapped_before(files: Path) -> dict[date, str]:
    path = get_settings().data_dir / mapped_path(FIELDS.read(files), VALIDATED.read(files))
    if not path.is_file():
        return {}
    table = read_table(path)
    return dict(zip(table["date"], table["scene_sha256"], strict=True))


def write_passes(files: Path, params: MapParams, rasters: Mapping[date, bytes]) -> None:
    """Write `passes.zip`: item and index raster of each new pass; none where no pass is new.

    Args:
        files: The run's `files/` folder.
        params: Whether passes are mapped at all.
        rasters: Index rasters that were made already.
    """
    imagery, new = VALIDATED.read(files), new_passes(files, params)
    if not new:
        return
    made = index_rasters([item for item in new if item.date not in rasters], imagery)
    with atomic_file(PASSES.at(files)) as partial, ZipFile(partial, "w", ZIP_STORED) as archive, closing(made):
        for acquisition in counted(new, "mapping passes", "dates"):
            item = as_json(_item(acquisition, imagery, FIELDS.read(files)))
            archive.writestr(ZipInfo(f"{acquisition.date}/{FIELDS_ITEM.path}"), item)
            raster = rasters.get(acquisition.date) or next(made)
            archive.writestr(ZipInfo(f"{acquisition.date}/{INDEX_RASTER.path}"), raster)


def _item(acquisition: Acquisition, imagery: Imagery, fields: FieldSet) -> dict[str, Any]:
    item = pass_item(acquisition, imagery)
    link = {"href": f"../{COLLECTION}", "type": "application/json"}
    return item | {
        "collection": f"fields-{key_of(fields.file)}",
        "links": [{"rel": rel, **link} for rel in ("root", "parent", "collection")],
    }


def as_json(document: dict[str, Any]) -> bytes:
    """Return a document as the bytes of its file."""
    return json.dumps(document, indent=2).encode() + b"\n"


def mapped_passes(files: Path) -> list[date]:
    """Return the dates in `passes.zip`."""
    if not PASSES.at(files).is_file():
        return []
    with ZipFile(PASSES.at(files)) as archive:
        return sorted({date.fromisoformat(name.partition("/")[0]) for name in archive.namelist()})


def waiting(files: Path) -> int:
    """Return how many passes a run that mapped some left to the next ones."""
    mapped = len(mapped_passes(files))
    return len(_unmapped(files)) - mapped if mapped else 0


def recompute_passes(files: Path, params: MapParams, *, audit: bool = False) -> list[date]:
    """Check `passes.zip`: every new pass is in it, with its item, and the rasters of drawn ones hold their indices.

    Returns:
        The dates that were drawn; all with `audit`.

    Raises:
        ContractError: A pass is missing, or something else is stated.
    """
    from rasterio.io import MemoryFile

    imagery, fields, new = VALIDATED.read(files), FIELDS.read(files), new_passes(files, params)
    if not new:
        if PASSES.at(files).is_file():
            raise ContractError(PASSES.path, "must not exist where no pass is new", "a file")
        return []
    drawn = set(np_random().permutation(len(new))[: len(new) if audit else DRAWN_PASSES].tolist())
    with ZipFile(PASSES.at(files)) as archive:
        expected = [f"{item.date}/{name}" for item in new for name in (FIELDS_ITEM.path, INDEX_RASTER.path)]
        if archive.namelist() != expected:
            found = f"{len(archive.namelist())} files, not {len(expected)}"
            raise ContractError(PASSES.path, "must hold item and raster of each new pass", found)
        for number, acquisition in enumerate(new):
            name = f"{acquisition.date}/{FIELDS_ITEM.path}"
            if archive.read(name) != as_json(_item(acquisition, imagery, fields)):
                raise ContractError(f"{PASSES.path}/{name}", "must describe its pass", "another item")
            if number in drawn:
                name = f"{acquisition.date}/{INDEX_RASTER.path}"
                with MemoryFile(archive.read(name)) as file, file.open() as raster:
                    check_raster(raster, acquisition, imagery, f"{PASSES.path}/{name}", audit=audit)
    return [acquisition.date for number, acquisition in enumerate(new) if number in drawn]


def keep_passes(files: Path, params: MapParams) -> None:
    """Publish the new passes and the collection, and add them to the list of those that were mapped.

    Raises:
        SetupError: A folder cannot be written; what was published before stays.
    """
    import pandas as pd

    fields, imagery, data = FIELDS.read(files), VALIDATED.read(files), get_settings().data_dir
    folder, listed = data / PUBLISHED / key_of(fields.file) / "passes", data / mapped_path(fields, imagery)
    checksums = {acquisition.date: str(acquisition.sha256) for acquisition in imagery.acquisitions}
    new = mapped_passes(files)
    with locked(folder.with_name(f".{folder.name}.lock"), timeout_s=None):
        for day in new:
            with ZipFile(PASSES.at(files)) as archive:
                parts = {name: archive.read(f"{day}/{name}") for name in (FIELDS_ITEM.path, INDEX_RASTER.path)}
            replace_folder(folder / str(day), parts)
        if new:
            write_atomically(folder / COLLECTION, as_json(collection_of(folder, fields)))
        known = _mapped_before(files)
        mapped = known | {day: checksums[day] for day in new}
        mapped = {day: mapped[day] for day in sorted(mapped) if (folder / str(day) / FIELDS_ITEM.path).is_file()}
        if mapped != known:  # a folder that was removed is made again by the next run
            table = pd.DataFrame({"date": list(mapped), "scene_sha256": list(mapped.values())})
            write_table(listed, table, MappedPass)


def collection_of(folder: Path, fields: FieldSet) -> dict[str, Any]:
    """Return the STAC collection of the passes in a folder, at least one."""
    items = dict(_items(folder))
    times = sorted(item["properties"]["datetime"] for item in items.values())
    boxes = [item["bbox"] for item in items.values()]
    box = [*(min(box[at] for box in boxes) for at in (0, 1)), *(max(box[at] for box in boxes) for at in (2, 3))]
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": f"fields-{key_of(fields.file)}",
        "title": f"Fields of {fields.file}",
        "description": f"Vegetation indices of every pass of Sentinel-2 over the fields of {fields.file}.",
        "license": "other",
        "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [[times[0], times[-1]]]}},
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
            *({"rel": "item", "href": f"./{day}/{FIELDS_ITEM.path}", "type": "application/geo+json"} for day in items),
        ],
    }


def _items(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.glob(f"[0-9]*/{FIELDS_ITEM.path}")):
        yield path.parent.name, json.loads(path.read_bytes())
