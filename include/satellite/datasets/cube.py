"""The cube: the scenes of a run pixel by pixel, read one date at a time, so memory does not grow with dates."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.core.files import atomic_file
from include.core.progress import counted
from include.satellite.artifacts import CUBE, CUBE_CLASSES
from include.satellite.datasets.schemas import Normalisation
from include.satellite.datasets.storage import Ints, begin_array
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.scenes import Mask, NotDataError, Scene, read_layers
from include.satellite.imagery.schemas import Acquisition, Imagery
from include.satellite.imagery.store import scene_path
from include.satellite.sensors.sensor import NODATA, REFERENCE, Sensor


@dataclass(frozen=True)
class CubeScene:
    """One date over the area, its clear pixels checked.

    Args:
        sensor: The sensor that took it.
        bands: Names of the bands of `dn`.
        dn: (H, W, C) uint16, digital numbers by band, 0 where there is no data.
        scl: (H, W) uint8, scene classification; 0 outside the area, where a band has no data, and where an index is
            out of its range or undefined.
        reference: (H, W) uint8, class + 1, 0 for none; None where the imagery brings no classes.
        masked: Number of clear pixels of the area whose indices are out of range or undefined.
    """

    sensor: Sensor
    bands: Sequence[str]
    dn: NDArray[np.uint16]
    scl: NDArray[np.uint8]
    reference: NDArray[np.uint8] | None = None
    masked: int = 0

    def band(self, name: str) -> NDArray[np.uint16]:
        """Return the digital numbers (H, W) of a band by its name or its common name."""
        return np.asarray(self.dn[..., list(self.bands).index(self.sensor.name_of(name))])

    @property
    def clear(self) -> Mask:
        """Clear pixels, (H, W)."""
        return self.sensor.classes.mask(self.scl, self.sensor.classes.clear)

    @property
    def land(self) -> Mask:
        """Pixels of vegetation and soil, (H, W)."""
        return self.sensor.classes.mask(self.scl, self.sensor.classes.land)

    @property
    def water(self) -> Mask:
        """Pixels of water, (H, W)."""
        return self.sensor.classes.mask(self.scl, self.sensor.classes.water)


def cube_bands(imagery: Imagery) -> list[str]:
    """Return the bands of the cube: the reflectances, in the order of the files."""
    return imagery.sensor.reflectances(imagery.bands)


def scenes(imagery: Imagery) -> Iterator[CubeScene]:
    """Yield the scenes of a manifest, in its order, one in memory at a time.

    Raises:
        ContractError: A file of the store is not what was validated.
    """
    inside = inside_mask(imagery.geometry, imagery.grid)
    for acquisition in counted(imagery.acquisitions, "reading scenes", "dates"):
        yield read_scene(acquisition, imagery, inside)


def read_scene(acquisition: Acquisition, imagery: Imagery, inside: Mask) -> CubeScene:
    """Read one file of the imagery store, pixel by pixel (H, W, C).

    Args:
        acquisition: The date.
        imagery: The manifest that it belongs to.
        inside: (H, W) pixels of the area; what lies outside gets scene classification 0.

    Raises:
        ContractError: It is missing, changed since it was validated, or has another size or other bands.
    """
    path, name = scene_path(acquisition), f"imagery/{acquisition.file}"
    if not path.is_file():
        raise ContractError(name, "must be in the imagery store, as validated", "no such file")
    if acquisition.sha256 is not None and sha256(path) != acquisition.sha256:
        raise ContractError(name, "must be as it was validated (its checksum was recorded)", "other content")
    try:
        scene = Scene(imagery.sensor, acquisition.bands, read_layers(path))
    except NotDataError as error:
        raise ContractError(name, "must open as GeoTIFF", str(error)) from error
    expected = (len(acquisition.bands), imagery.grid.height, imagery.grid.width)
    if scene.layers.shape != expected:
        raise ContractError(name, f"must have (bands, rows, columns) {expected}", scene.layers.shape)
    bands, classes = cube_bands(imagery), scene.classes
    dn = np.stack([scene.band(band) for band in bands], axis=-1)
    data = inside & np.logical_and.reduce([scene.band(band) != NODATA for band in bands])
    wrong = data & scene.sensor.classes.mask(classes, scene.sensor.classes.clear) & ~scene.valid
    return CubeScene(
        sensor=scene.sensor,
        bands=bands,
        dn=dn,
        scl=np.where(data & ~wrong, classes, np.uint8(0)),
        reference=scene.band(REFERENCE).astype(np.uint8) if REFERENCE in scene.bands else None,
        masked=int(wrong.sum()),
    )


def write_cube(files: Path, imagery: Imagery) -> Generator[CubeScene, None, None]:
    """Yield the scenes of a manifest, each written first: cube (T, H, W, C) and scene classification (T, H, W).

    The two files appear under their names when all scenes were taken. Plain writes: what has been written is the page
    cache's, not this process's memory.

    Raises:
        ContractError: A file of the imagery store is not what was validated.
        SetupError: The folder cannot be written, or the disk is full.
    """
    shape = (len(imagery.acquisitions), imagery.grid.height, imagery.grid.width)
    with (
        atomic_file(CUBE.at(files)) as cube_path,
        atomic_file(CUBE_CLASSES.at(files)) as classes_path,
        cube_path.open("wb") as cube,
        classes_path.open("wb") as classes,
    ):
        begin_array(cube, np.uint16, (*shape, len(cube_bands(imagery))))
        begin_array(classes, np.uint8, shape)
        for scene in scenes(imagery):
            cube.write(scene.dn.data)
            classes.write(scene.scl.data)
            yield scene


def load_cube(files: Path) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return the cube (T, H, W, C) and its scene classification (T, H, W), memory-mapped, read-only."""
    return np.load(CUBE.at(files), mmap_mode="r"), np.load(CUBE_CLASSES.at(files), mmap_mode="r")


def training_normalisation(
    files: Path, imagery: Imagery, date: Ints, top: Ints, left: Ints, size: int
) -> Normalisation:
    """Return mean and standard deviation of the clear pixels of training patches, each pixel counted once a date.

    Args:
        files: The folder of the cube.
        imagery: The manifest that the cube was made from.
        date: (N,) of each training patch.
        top: (N,) first pixel row.
        left: (N,) first pixel column.
        size: Side of the patches, pixels.

    Returns:
        A band that does not vary has a standard deviation of 1.
    """
    bands, sensor = cube_bands(imagery), imagery.sensor
    count, total, squares = 0, np.zeros(len(bands)), np.zeros(len(bands))
    for day in np.unique(date):
        own = date == day
        dn, scl = (np.array(part[day]) for part in load_cube(files))  # no map is kept: its pages would stay in memory
        clear = sensor.classes.mask(scl, sensor.classes.clear)
        taken = dn[clear & _covered(scl.shape, top[own], left[own], size)].astype(np.float64)
        count += len(taken)
        total += taken.sum(axis=0)
        squares += np.einsum("nc,nc->c", taken, taken)
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return Normalisation(
        bands=bands,
        mean=(mean * sensor.scale).tolist(),
        std=[float(value * sensor.scale) if value > 0.01 else 1.0 for value in std],
    )


def _covered(shape: tuple[int, ...], top: Ints, left: Ints, size: int) -> NDArray[np.bool_]:
    """Return the pixels that at least one tile covers: the running sum of its corners."""
    corners = np.zeros((shape[0] + 1, shape[1] + 1), np.int32)
    for row, column, sign in ((0, 0, 1), (0, size, -1), (size, 0, -1), (size, size, 1)):
        np.add.at(corners, (top + row, left + column), sign)
    return np.asarray(corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0)
