"""The imagery as one cube: scenes are read from the store one date at a time, so memory does not grow with dates."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from include.core.artifacts import sha256
from include.core.errors import ContractError, SetupError
from include.core.run_folder import read_model
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.indices import valid_mask
from include.satellite.imagery.model import CLEAR, NODATA, REFERENCE, SCL, Acquisition, Imagery
from include.satellite.imagery.raster import NotDataError
from include.satellite.imagery.raster import read_scene as read_file
from include.satellite.imagery.store import scene_path

VALIDATED, CUBE, CUBE_SCL = "validated.json", "cube.npy", "scl.npy"
CLEAR_CLASSES = np.isin(np.arange(256), CLEAR)


@dataclass(frozen=True)
class Scene:
    """One date over the area.

    Args:
        dn: (H, W, C) uint16, reflectance × 10,000 by band, 0 where there is no data.
        scl: (H, W) uint8, scene classification; 0 outside the area, where a band has no data, and where an index is
            out of its range or undefined.
        reference: (H, W) uint8, class + 1, 0 for none; None where the imagery brings no classes.
        masked: Clear pixels of the area whose indices are no good.
    """

    dn: NDArray[np.uint16]
    scl: NDArray[np.uint8]
    reference: NDArray[np.uint8] | None
    masked: int


def load_imagery(files: Path) -> Imagery:
    """The accepted imagery of a run (`validated.json`).

    Raises:
        ContractError: There is none.
    """
    imagery = read_model(files / VALIDATED, Imagery)
    if imagery is None:
        raise ContractError(VALIDATED, "must exist", "no such file")
    return imagery


def cube_bands(imagery: Imagery) -> list[str]:
    """The bands of the cube: the reflectances, in the order of the files."""
    return [band for band in imagery.bands if band not in (SCL, REFERENCE)]


def scenes(imagery: Imagery) -> Iterator[Scene]:
    """The scenes of a manifest, in its order, one in memory at a time.

    Raises:
        ContractError: A file of the store is not what was validated.
    """
    inside = inside_mask(imagery.geometry, imagery.grid)
    for acquisition in imagery.acquisitions:
        yield read_scene(acquisition, imagery, inside)


def read_scene(acquisition: Acquisition, imagery: Imagery, inside: NDArray[np.bool_]) -> Scene:
    """Read one file of the imagery store, pixel by pixel (H, W, C).

    Args:
        acquisition: Which.
        imagery: Whose.
        inside: (H, W) pixels of the area; what lies outside gets scene classification 0.

    Raises:
        ContractError: It is gone, changed since it was validated, or has another size or other bands.
    """
    path, name = scene_path(acquisition), f"imagery/{acquisition.file}"
    if not path.is_file():
        raise ContractError(name, "must be in the imagery store, as validated", "no such file")
    if acquisition.sha256 is not None and sha256(path) != acquisition.sha256:
        raise ContractError(name, "must be as it was validated (its checksum was recorded)", "other content")
    try:
        array = read_file(path)
    except NotDataError as error:
        raise ContractError(name, "must open as GeoTIFF", str(error)) from error
    expected = (len(acquisition.bands), imagery.grid.height, imagery.grid.width)
    if array.shape != expected:
        raise ContractError(name, f"must have (bands, rows, columns) {expected}", array.shape)
    layers = dict(zip(acquisition.bands, array, strict=True))
    dn = np.stack([layers[band] for band in cube_bands(imagery)], axis=-1)
    classes = layers[SCL].astype(np.uint8)
    data = inside & np.logical_and.reduce([layers[band] != NODATA for band in cube_bands(imagery)])
    wrong = data & CLEAR_CLASSES[classes] & ~valid_mask(dn, classes)
    scl = np.where(data & ~wrong, classes, np.uint8(0))
    reference = layers.get(REFERENCE)
    return Scene(
        dn=dn,
        scl=scl,
        reference=None if reference is None else reference.astype(np.uint8),
        masked=int(wrong.sum()),
    )


def store(files: Path, imagery: Imagery) -> Generator[Scene, None, None]:
    """The scenes of a manifest, each written to the cube (T, H, W, C) and its scene classification (T, H, W) first.

    The two files appear under their names when all scenes were taken. Plain writes: what has been written is the page
    cache's, not this process's memory.

    Raises:
        ContractError: A file of the imagery store is not what was validated.
        SetupError: The folder cannot be written, or the disk is full.
    """
    shape = (len(imagery.acquisitions), imagery.grid.height, imagery.grid.width)
    targets = [files / CUBE, files / CUBE_SCL]
    partials = [target.with_name(f".{target.name}.partial") for target in targets]
    try:
        with partials[0].open("wb") as cube, partials[1].open("wb") as scl:
            _begin(cube, np.uint16, (*shape, len(cube_bands(imagery))))
            _begin(scl, np.uint8, shape)
            for scene in scenes(imagery):
                cube.write(scene.dn.data)
                scl.write(scene.scl.data)
                yield scene
        for partial, target in zip(partials, targets, strict=True):
            partial.replace(target)
    except OSError as error:
        raise SetupError(f"{files}: cannot be written: {error.strerror or error}") from error
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


def _begin(file: IO[bytes], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    description: dict[str, Any] = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, description)


def load_cube(files: Path) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """The cube (T, H, W, C) and its scene classification (T, H, W), memory-mapped, read-only."""
    return np.load(files / CUBE, mmap_mode="r"), np.load(files / CUBE_SCL, mmap_mode="r")
