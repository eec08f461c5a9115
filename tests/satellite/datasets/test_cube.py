"""The cube: what the store holds, date by date, and nothing else."""

import tracemalloc
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from include.core.errors import ContractError, SetupError
from include.satellite.artifacts import CUBE, CUBE_CLASSES
from include.satellite.datasets.cube import CubeScene, cube_bands, load_cube, scenes, training_normalisation, write_cube
from include.satellite.imagery.schemas import Imagery
from include.satellite.sensors.sentinel2 import SENTINEL2
from tests.satellite.imagery_store import ImageryMaker, days_from, geometry_of, grid_of, layers_of, make_fields

HEIGHT, WIDTH = 24, 30


@pytest.fixture
def imagery(data_dir: Path, files: Path) -> Imagery:
    """Three dates of fields under clouds."""
    return make_fields(data_dir, files, HEIGHT, WIDTH, 3)


def test_the_cube_holds_the_stores_numbers_pixel_first(imagery: Imagery, data_dir: Path, files: Path) -> None:
    import rasterio

    for _ in write_cube(files, imagery):
        pass
    cube, scl = load_cube(files)
    assert (cube.shape, cube.dtype, scl.shape, scl.dtype) == (
        (3, HEIGHT, WIDTH, 4),
        np.uint16,
        (3, HEIGHT, WIDTH),
        np.uint8,
    )
    for date_cube, date_scl, acquisition in zip(cube, scl, imagery.acquisitions, strict=True):
        with rasterio.open(data_dir / "imagery" / str(acquisition.file)) as file:
            layers = file.read()
        assert np.array_equal(date_cube, layers[:4].transpose(1, 2, 0))
        assert np.array_equal(date_scl, layers[4])
    assert not list(files.glob(".*"))


def test_pixels_that_cannot_be_right_are_masked_and_counted(data_dir: Path, files: Path) -> None:
    layers = layers_of(np.full((HEIGHT, WIDTH), 0.5), np.full((HEIGHT, WIDTH), 4))
    layers[:4, 0, 0] = [3000, 900, 900, 5000]  # EVI −8.9: its denominator is small and negative
    layers[2, 0, 1] = 0  # no data in one band
    layers[:4, 0, 2] = [3000, 900, 900, 5000]
    layers[4, 0, 2] = 9  # cloud, which is not counted
    maker = ImageryMaker(data_dir, grid_of(HEIGHT, WIDTH))
    found = maker.manifest(files, [maker.scene(date(2024, 5, 1), layers)])
    (scene,) = scenes(found)
    assert scene.masked == 1
    assert scene.scl[0, :4].tolist() == [0, 0, 9, 4]
    assert (scene.scl == 0).sum() == 2


def test_pixels_outside_a_polygon_are_no_part_of_the_area(data_dir: Path, files: Path) -> None:
    grid = grid_of(HEIGHT, WIDTH)
    west = grid.model_copy(update={"bounds": (*grid.bounds[:2], grid.bounds[0] + 100, grid.bounds[3])})
    maker = ImageryMaker(data_dir, grid, geometry=geometry_of(west))
    layers = layers_of(np.full((HEIGHT, WIDTH), 0.5), np.full((HEIGHT, WIDTH), 4))
    found = maker.manifest(files, [maker.scene(date(2024, 5, 1), layers)])
    (scene,) = scenes(found)
    assert (scene.scl[:, :10] == 4).all()
    assert (scene.scl[:, 10:] == 0).all()
    assert scene.masked == 0


def test_a_file_that_changed_since_it_was_validated_is_refused(imagery: Imagery, data_dir: Path, files: Path) -> None:
    path = data_dir / "imagery" / str(imagery.acquisitions[1].file)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ContractError, match="must be as it was validated"):
        list(write_cube(files, imagery))
    path.unlink()
    with pytest.raises(ContractError, match="no such file"):
        list(write_cube(files, imagery))
    assert sorted(path.name for path in files.iterdir()) == ["validated.json"]


def test_a_file_of_another_size_is_refused(imagery: Imagery, files: Path) -> None:
    other = imagery.model_copy(update={"grid": grid_of(HEIGHT, WIDTH + 1)})
    with pytest.raises(ContractError, match=r"must have \(bands, rows, columns\) \(5, 24, 31\); found \(5, 24, 30\)"):
        list(write_cube(files, other))


def test_an_interrupted_step_leaves_no_cube(imagery: Imagery, files: Path) -> None:
    passing = write_cube(files, imagery)
    next(passing)
    passing.close()
    assert not CUBE.at(files).exists()
    assert not CUBE_CLASSES.at(files).exists()
    assert not list(files.glob(".*"))


def test_a_folder_that_cannot_be_written_is_an_error_in_words(imagery: Imagery, files: Path) -> None:
    (files / "file").touch()
    with pytest.raises(SetupError, match=r"cube.npy: cannot be written: File exists"):
        list(write_cube(files / "file", imagery))


def test_memory_does_not_grow_with_the_dates(data_dir: Path, files: Path) -> None:
    maker = ImageryMaker(data_dir, grid_of(100, 100))
    layers = layers_of(np.full((100, 100), 0.5), np.full((100, 100), 4))
    found = [maker.scene(day, layers) for day in days_from(date(2024, 1, 1), 40, apart=3)]
    peaks = []
    for count in (4, 4, 40):  # once to warm up
        imagery = maker.manifest(files, found[:count])
        tracemalloc.start()
        for _ in write_cube(files, imagery):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]


def test_a_scene_knows_its_bands_by_either_name_and_its_classes_by_what_they_count_as() -> None:
    dn = np.arange(4, dtype=np.uint16).reshape(1, 1, 4).repeat(4, axis=1)
    scene = CubeScene(SENTINEL2, SENTINEL2.base_bands, dn, np.array([[4, 5, 6, 9]], np.uint8))
    assert (scene.band("red") == 2).all()
    assert (scene.band("B08") == 3).all()
    assert scene.clear.tolist() == [[True, True, True, False]]
    assert scene.land.tolist() == [[True, True, False, False]]
    assert scene.water.tolist() == [[False, False, True, False]]


def test_the_bands_of_the_cube_are_the_reflectances(imagery: Imagery) -> None:
    other = imagery.model_copy(update={"bands": ["B02", "B03", "B04", "B08", "B11", "SCL", "REFERENCE"]})
    assert cube_bands(other) == ["B02", "B03", "B04", "B08", "B11"]


def test_normalisation_counts_each_clear_pixel_of_the_patches_once_a_date(imagery: Imagery, files: Path) -> None:
    for _ in write_cube(files, imagery):
        pass
    cube, scl = load_cube(files)
    dates, starts = np.array([1, 1]), np.array([2, 4])
    found = training_normalisation(files, imagery, dates, starts, starts, 8)
    seen = np.zeros((HEIGHT, WIDTH), bool)
    seen[2:10, 2:10] = seen[4:12, 4:12] = True
    pixels = cube[1][seen & np.isin(scl[1], (4, 5, 6, 7))] * 1e-4
    assert found.bands == ["B02", "B03", "B04", "B08"]
    assert found.mean == pytest.approx(pixels.mean(axis=0))
    assert found.std[:3] == pytest.approx(pixels.std(axis=0)[:3])
