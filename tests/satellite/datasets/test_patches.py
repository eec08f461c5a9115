"""The CNN's dataset: no leak, everything counted, and batches that hold what the cube holds."""

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from include.core.contracts import Artifact
from include.core.errors import BadInputError, ContractError
from include.satellite.datasets.patches import (
    PatchDataset,
    PrepareCnnMetrics,
    load_patches,
    prepare_cnn,
    prepare_cnn_outcome,
)
from include.satellite.datasets.sampling import OVER_CAP
from include.satellite.datasets.schemas import CLASSES, SPLITS, PatchInfo, PatchRow
from include.satellite.imagery.schemas import Imagery
from include.satellite.params import CnnDataParams
from include.satellite.sensors.sentinel2 import SENTINEL2
from tests.core.test_artifacts import sealed
from tests.satellite.imagery_store import ImageryMaker, days_from, grid_of, layers_of, make_fields

PATCH, STRIDE = 8, 4
CLEAR = (4, 5, 6, 7)
SMALL = {"patch_size": PATCH, "stride": STRIDE}


@pytest.fixture
def imagery(data_dir: Path, files: Path) -> Imagery:
    """Ten dates of fields under clouds, with a class raster a date."""
    return make_fields(data_dir, files, 80, 96, 10, reference=True)


def prepared(files: Path, **params: Any) -> PatchDataset:
    prepare_cnn(files, CnnDataParams(**{**SMALL, **params}))
    return load_patches(files)


def window_of(dataset: PatchDataset, sample: int) -> tuple[int, slice, slice]:
    """Where a sample lies in the cube."""
    row, col = int(dataset.row[sample]), int(dataset.col[sample])
    return int(dataset.date[sample]), slice(row, row + PATCH), slice(col, col + PATCH)


def covered(dataset: PatchDataset, split: str) -> np.ndarray:
    """The pixels that a split's patches show, on whatever date."""
    pixels = np.zeros(dataset.scl.shape[1:], bool)
    size = dataset.info.patch_size
    for sample in dataset.rows(split):
        row, col = dataset.row[sample], dataset.col[sample]
        pixels[row : row + size, col : col + size] = True
    return pixels


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(40, 90),
    width=st.integers(40, 90),
    dates=st.integers(6, 14),
    stride=st.sampled_from([3, 4, 8, 11]),
    seed=st.integers(0, 1000),
    label_source=st.sampled_from(["ndvi_rule", "next_ndvi", "reference"]),
    cap=st.sampled_from([20, 60, 2000]),
)
def test_nothing_of_validation_is_ever_seen_in_training(
    module_data: Path, height: int, width: int, dates: int, stride: int, seed: int, label_source: str, cap: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        make_fields(module_data, files, height, width, dates, seed=seed, reference=True)
        try:
            data = prepared(files, stride=stride, seed=seed, label_source=label_source, samples_per_class=cap)
        except BadInputError:  # too little is left: then there is no dataset that could leak
            assume(False)
        _check_no_leak(data, label_source)
        _check_counts(data, dates)


def _check_no_leak(data: PatchDataset, label_source: str) -> None:
    train, tune, validation = (covered(data, split) for split in SPLITS)
    assert not (train & validation).any()
    assert not (train & tune).any()
    assert not (tune & validation).any()
    learnt, held = np.concatenate([data.rows("train"), data.rows("tune")]), data.rows("validation")
    assert not set(data.date[learnt]) & set(data.date[held])
    if label_source == "next_ndvi":
        assert (data.date[learnt] + 1).max() < data.date[held].min()
    samples = list(zip(data.date, data.row, data.col, strict=True))
    assert len(set(samples)) == len(samples)
    dates = data.info.dates
    assert {dates[day] for day in data.date[learnt]} <= set(data.info.training_dates)
    assert {dates[day] for day in data.date[held]} <= set(data.info.validation_dates)
    assert not set(data.info.training_dates) & set(data.info.validation_dates)
    assert not set(data.block[held]) & set(data.block[data.rows("train")])
    assert set(data.block[held]) <= set(data.info.blocks.validation)
    assert set(data.block[data.rows("tune")]) <= set(data.info.blocks.tune)


def _check_counts(data: PatchDataset, dates: int) -> None:
    info = data.info
    counted = {split: sum(by_class.values()) for split, by_class in info.counts.items()}
    assert counted == {split: len(data.rows(split)) for split in SPLITS}
    assert len(data) + sum(info.left_out.values()) + sum(info.dropped.values()) == info.positions * dates
    size = info.patch_size
    for day, row, col in zip(data.date, data.row, data.col, strict=True):
        clear = np.isin(data.scl[day, row : row + size, col : col + size], CLEAR).mean()
        assert clear >= 0.8
    train = data.rows("train")
    for label, name in enumerate(CLASSES):
        own = train[data.label[train] == label]
        assert info.drawn[name] == data.repeat[own].sum()
        assert (name in info.gate_classes) == (len(own) >= 20)
    assert data.repeat.max() <= 5
    assert (data.repeat[data.split != 0] == 1).all()


def test_labels_are_those_of_each_patch(imagery: Imagery, files: Path) -> None:
    """By the rule, from the cube alone: the mean over the clear pixels, here all vegetation."""
    data = prepared(files)
    for sample in range(0, len(data), 7):
        window = window_of(data, sample)
        dn, clear = data.cube[window].astype(float), np.isin(data.scl[window], CLEAR)
        ndvi = ((dn[..., 3] - dn[..., 2]) / (dn[..., 3] + dn[..., 2]))[clear].mean()
        assert data.ndvi[sample] == pytest.approx(ndvi, abs=1e-5)
        assert data.label[sample] == sum(ndvi <= limit for limit in (0.7, 0.5, 0.3))


def test_a_forecasts_label_is_the_class_at_the_next_date(imagery: Imagery, files: Path) -> None:
    now = prepared(files)
    known = {(day, row, col): label for day, row, col, label in zip(now.date, now.row, now.col, now.label, strict=True)}
    later = prepared(files, label_source="next_ndvi")
    compared = 0
    for day, row, col, label in zip(later.date, later.row, later.col, later.label, strict=True):
        if (day + 1, row, col) in known:
            assert known[day + 1, row, col] == label
            compared += 1
    assert compared > 100


def test_a_batch_is_normalised_and_zero_where_it_is_not_clear(imagery: Imagery, files: Path) -> None:
    data = prepared(files)
    rows = np.array([5, 0, 17])
    batch = data.batch(rows)
    assert (batch.shape, batch.dtype) == ((3, 4, PATCH, PATCH), np.float32)
    assert batch.transpose(0, 2, 3, 1).flags["C_CONTIGUOUS"]  # channels last, as convolutions like it
    hidden = 0
    for patch, sample in zip(batch, rows, strict=True):
        window = window_of(data, sample)
        clear = np.isin(data.scl[window], CLEAR)
        expected = (data.cube[window] * 1e-4 - data.info.normalisation.mean) / data.info.normalisation.std
        assert np.allclose(patch.transpose(1, 2, 0), np.where(clear[..., None], expected, 0), atol=1e-4)
        hidden += (~clear).sum()
    other = data.info.normalisation.model_copy(update={"mean": [0.0] * 4, "std": [1.0] * 4})
    assert data.batch(rows, other).max() == pytest.approx(data.cube.max() * 1e-4, rel=0.2)


def test_clouds_show_in_batches_as_zeros_and_not_in_means(imagery: Imagery, files: Path) -> None:
    data = prepared(files)
    clear_share = np.array([np.isin(data.scl[window_of(data, sample)], CLEAR).mean() for sample in range(len(data))])
    clouded = np.flatnonzero(clear_share < 1)
    assert clouded.size
    batch = data.batch(clouded)
    assert (batch == 0).all(axis=1).mean(axis=(1, 2)) == pytest.approx(1 - clear_share[clouded], abs=1e-6)
    means = data.band_means(clouded)
    for mean, sample in zip(means, clouded, strict=True):
        window = window_of(data, sample)
        expected = data.cube[window][np.isin(data.scl[window], CLEAR)].mean(axis=0) * 1e-4
        assert mean == pytest.approx(expected, rel=1e-5)


def test_normalisation_is_that_of_the_pixels_that_training_sees(imagery: Imagery, files: Path) -> None:
    data = prepared(files, label_source="reference")
    train = data.rows("train")
    seen = np.zeros(data.scl.shape, bool)
    for day, row, col in zip(data.date[train], data.row[train], data.col[train], strict=True):
        seen[day, row : row + PATCH, col : col + PATCH] = True
    pixels = data.cube[seen & np.isin(data.scl, CLEAR)] * 1e-4
    assert data.info.normalisation.mean == pytest.approx(pixels.mean(axis=0), rel=1e-6)
    std = pixels.std(axis=0)
    assert data.info.normalisation.std == pytest.approx(np.where(std > 1e-9, std, 1), rel=1e-4)
    assert not seen[[data.info.dates.index(day) for day in data.info.validation_dates]].any()


def test_the_same_seed_gives_the_same_files_and_another_one_others(imagery: Imagery, files: Path) -> None:
    names = ("cnn_index.parquet", "cnn_dataset.json", "cube.npy", "scl.npy")
    prepared(files, samples_per_class=50)
    first = [(files / name).read_bytes() for name in names]
    prepared(files, samples_per_class=50)
    assert [(files / name).read_bytes() for name in names] == first
    prepared(files, samples_per_class=50, seed=1)
    assert (files / names[0]).read_bytes() != first[0]


def test_the_cap_is_for_training_alone(imagery: Imagery, files: Path) -> None:
    whole, capped = prepared(files), prepared(files, samples_per_class=40)
    assert max(capped.info.counts["train"].values()) == 40
    for split in ("tune", "validation"):
        assert capped.info.counts[split] == whole.info.counts[split]
    assert capped.info.dropped[OVER_CAP] == sum(max(0, count - 40) for count in whole.info.counts["train"].values())


def test_a_rare_class_leaves_the_gate_and_is_named(data_dir: Path, files: Path) -> None:
    maker = ImageryMaker(data_dir, grid_of(64, 64))
    ndvi = np.full((64, 64), 0.6)
    ndvi[:, np.arange(64) % 16 < 8] = 0.4
    found = []
    for number, day in enumerate(days_from(date(2024, 3, 1), 10)):
        one = ndvi.copy()
        if number == 3:
            one[20:32, 8:30] = one[40:52, 34:60] = 0.1
        found.append(maker.scene(day, layers_of(one, np.full(one.shape, 4))))
    maker.manifest(files, found)
    for seed in range(10):
        data = prepared(files, seed=seed)
        rare = data.info.counts["train"]["Critical"]
        if 0 < rare < 20:
            break
    assert data.info.gate_classes == ["Moderate", "Stressed"]
    assert data.info.drawn["Critical"] == 5 * rare
    said = [finding.message for finding in prepare_cnn_outcome(files).findings]
    assert any(f"Healthy (0), Critical ({rare})" in message for message in said)


@pytest.mark.parametrize(
    ("area", "params", "said"),
    [
        (
            (48, 48),
            {"stride": 16},
            r"patch_size 8 and stride 16 leave, of the area of 48 × 48 pixels and 10 dates: \d+ val",
        ),
        ((16, 20), {}, "into fewer than 3 blocks"),
        ((7, 40), {}, "8 pixels does not fit into the area of 7 × 40 pixels"),
    ],
)
def test_too_little_is_refused_with_patch_stride_and_area(
    data_dir: Path, files: Path, area: tuple[int, int], params: dict[str, Any], said: str
) -> None:
    make_fields(data_dir, files, *area, 10)
    with pytest.raises(BadInputError, match=said):
        prepared(files, **params)
    assert not (files / "cnn_dataset.json").exists()


def test_one_class_is_nothing_to_learn(data_dir: Path, files: Path) -> None:
    maker = ImageryMaker(data_dir, grid_of(64, 64))
    layers = layers_of(np.full((64, 64), 0.6), np.full((64, 64), 4))
    maker.manifest(files, [maker.scene(day, layers) for day in days_from(date(2024, 3, 1), 10)])
    with pytest.raises(BadInputError, match=r"Moderate alone among the validation patches, at least 2 .* the train"):
        prepared(files)


def test_a_class_raster_among_the_input_files_is_the_label(imagery: Imagery, files: Path) -> None:
    """Halves of the area, as an input file: it wins over the imagery's own classes."""
    import rasterio

    (files / "source").mkdir()
    grid = imagery.grid
    classes = np.full((grid.height, grid.width), 2, np.uint8)
    classes[:, np.arange(grid.width) % 32 < 16] = 4
    place = rasterio.Affine(10, 0, grid.bounds[0], 0, -10, grid.bounds[3])
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": grid.height, "width": grid.width}
    with rasterio.open(files / "source" / "my.tif", "w", crs=grid.crs, transform=place, **profile) as file:
        file.write(classes, 1)
    data = prepared(files, label_source="reference", reference="my.tif")
    assert (data.label[data.col % 32 <= 16 - PATCH] == 3).all()
    assert (data.label[(data.col % 32 >= 16) & (data.col % 32 <= 32 - PATCH)] == 1).all()


def test_the_export_holds_the_same_samples_under_the_usual_names(imagery: Imagery, files: Path) -> None:
    data = prepared(files, export_npy=True)
    names = {path.name for path in (files / "cnn_npy").iterdir()}
    assert names == {f"{axis}_{split}.npy" for axis in "Xy" for split in ("train", "tune", "val")}
    for split, name in (("train", "train"), ("tune", "tune"), ("validation", "val")):
        rows = data.rows(split)
        assert np.array_equal(np.load(files / "cnn_npy" / f"X_{name}.npy"), data.batch(rows))
        assert np.array_equal(np.load(files / "cnn_npy" / f"y_{name}.npy"), data.label[rows])
    prepared(files)


def test_the_files_keep_to_their_schemas(imagery: Imagery, files: Path) -> None:
    data = prepared(files)
    record = sealed(files, Artifact("cnn_index.parquet", PatchRow))
    assert record is not None
    assert record.records == len(data)
    sealed(files, Artifact("cnn_dataset.json", PatchInfo))
    assert sorted(path.name for path in files.iterdir()) == sorted(
        ["validated.json", "cube.npy", "scl.npy", "cnn_index.parquet", "cnn_dataset.json"]
    )


def test_the_outcome_adds_up(imagery: Imagery, files: Path) -> None:
    data = prepared(files)
    outcome = prepare_cnn_outcome(files)
    metrics = outcome.metrics_as(PrepareCnnMetrics)
    assert metrics.samples == {split: len(data.rows(split)) for split in SPLITS}
    assert sum(metrics.samples.values()) + metrics.left_out + metrics.dropped == data.info.positions * 10
    assert data.info.synthetic
    assert outcome.synthetic
    assert data.sensor == SENTINEL2


def test_findings_say_what_a_reader_must_know(data_dir: Path, files: Path) -> None:
    make_fields(data_dir, files, 60, 60, 10)

    def said(**params: Any) -> str:
        prepared(files, **params)
        return " ".join(finding.message for finding in prepare_cnn_outcome(files).findings)

    by_rule = said()
    assert "imitates a rule" in by_rule
    assert "blocks are only" in by_rule
    assert "a label is the class 12 to 12 days (median 12) later" in said(label_source="next_ndvi", seed=3)


def test_a_failed_preparation_leaves_no_half_files(data_dir: Path, files: Path) -> None:
    make_fields(data_dir, files, 60, 60, 10)
    with pytest.raises(BadInputError, match="needs a class raster"):
        prepared(files, label_source="reference")
    assert [path.name for path in files.iterdir()] == ["validated.json"]


def test_loading_before_preparing_is_an_error_in_words(files: Path) -> None:
    with pytest.raises(ContractError, match=r"cnn_dataset.json: must exist"):
        load_patches(files)
