"""Splits, held-out truth and pixels are derived again from the imagery; a dataset that states others is named."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import (
    CUBE,
    CUBE_CLASSES,
    PATCH_INDEX,
    PATCH_INFO,
    SEQUENCE_INDEX,
    SEQUENCE_INFO,
    SERIES,
)
from include.satellite.datasets import recomputation
from include.satellite.datasets.patches import prepare_cnn
from include.satellite.datasets.recomputation import recompute_patches, recompute_sequences
from include.satellite.datasets.sampling import ACROSS, count_samples
from include.satellite.datasets.sequences import CALIBRATES, prepare_lstm
from include.satellite.datasets.storage import read_index, write_index
from include.satellite.params import CnnDataParams, LstmDataParams
from tests.satellite.imagery_store import ImageryMaker, days_from, grid_of, layers_of, make_fields, make_history

PATCHES = CnnDataParams(patch_size=8, stride=4, samples_per_class=60)
SEQUENCES = LstmDataParams(location_size=8, sequence_length=3, locations_per_window=14)


@pytest.fixture
def imagery(data_dir, files):
    """Twelve dates of fields under clouds, with a class raster a date."""
    return make_fields(data_dir, files, 80, 96, 12, reference=True)


@pytest.fixture
def patches(imagery, files):
    prepare_cnn(files, PATCHES)
    return files


@pytest.fixture
def sequences(imagery, files):
    prepare_lstm(files, SEQUENCES)
    return files


@pytest.fixture
def all_dates(monkeypatch):
    """Let the draw take every date, so that a lie about one of them is found each time."""
    monkeypatch.setattr(recomputation, "DRAWN_DATES", 99)


def edit(artifact, files, change):
    """Change the columns of an index."""
    columns = read_index(artifact.at(files))
    write_index(artifact.at(files), change(columns))


def state(artifact, files, **changes):
    """Change fields of a JSON artifact."""
    document = json.loads(artifact.at(files).read_bytes())
    artifact.at(files).write_text(json.dumps(document | changes))


def restate(files):
    """Let the description of the patches agree with the index, as a liar would."""
    columns, info = read_index(PATCH_INDEX.at(files)), PATCH_INFO.read(files)
    training = columns["split"] == 0
    drawn = np.bincount(columns["label"][training], columns["repeat"][training], 4).astype(int).tolist()
    counts = count_samples(columns)
    samples = {"counts": counts, "drawn": dict(zip(info.classes, drawn, strict=True))}
    PATCH_INFO.write(files, info.model_copy(update=samples))


def first(columns, split):
    return int(np.flatnonzero(columns["split"] == split)[0])


def with_value(column, value, split=2):
    """A change of one sample of a split."""

    def change(columns):
        changed = columns[column].copy()
        row = first(columns, split)
        changed[row] = value(changed[row]) if callable(value) else value
        return {**columns, column: changed}

    return change


def without_first(split):
    def change(columns):
        kept = np.arange(len(columns["split"])) != first(columns, split)
        return {name: values[kept] for name, values in columns.items()}

    return change


def without_class(label):
    """Leave out the training samples of a class."""

    def change(columns):
        kept = (columns["split"] != 0) | (columns["label"] != label)
        return {name: values[kept] for name, values in columns.items()}

    return change


# the CNN's dataset


@pytest.mark.parametrize("source", ["ndvi_rule", "next_ndvi", "reference"])
def test_an_honest_dataset_of_patches_is_confirmed(imagery, files, all_dates, source):
    params = PATCHES.model_copy(update={"label_source": source})
    prepare_cnn(files, params)
    recompute_patches(files, params)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (with_value("label", lambda label: (label + 1) % 4), "must state the label that the imagery of .* gives"),
        (with_value("ndvi", 0.123), "must state the label that the imagery of .* gives"),
        (with_value("split", 0), "must hold each patch in the split of its block and date"),
        (with_value("split", 2, split=0), "must hold each patch in the split of its block and date"),
        (with_value("split", 1, split=0), "must hold each patch in the split of its block and date"),
        (with_value("block", lambda block: block + 1), "must state the block of each patch"),
        (with_value("repeat", 3), "must repeat training patches alone"),
        (with_value("row", lambda row: row + 1), "must hold patches of the grid on dates of the imagery"),
        (with_value("date", 99), "must hold patches of the grid on dates of the imagery"),
        (without_first(2), "must account for"),
    ],
)
def test_a_sample_that_the_imagery_does_not_give_is_named(patches, all_dates, change, rule):
    edit(PATCH_INDEX, patches, change)
    restate(patches)
    with pytest.raises(ContractError, match=rf"cnn_(index\.parquet|dataset\.json): {rule}") as refused:
        recompute_patches(patches, PATCHES)
    assert refused.value.value is not None


def test_a_held_out_sample_that_is_dropped_with_its_count_is_missed(patches):
    edit(PATCH_INDEX, patches, without_first(2))
    restate(patches)
    info = PATCH_INFO.read(patches)
    PATCH_INFO.write(patches, info.model_copy(update={"dropped": info.dropped | {ACROSS: info.dropped[ACROSS] + 1}}))
    with pytest.raises(ContractError, match=r"must hold all .* patches of .* in the validation part"):
        recompute_patches(patches, PATCHES)


def test_a_class_that_is_left_out_of_the_training_is_missed(imagery, files):
    """Unless their number is samples_per_class, all patches of a class count."""
    params = PATCHES.model_copy(update={"samples_per_class": 10_000})
    prepare_cnn(files, params)
    edit(PATCH_INDEX, files, without_class(1))
    lost = PATCH_INFO.read(files).counts["train"]["Moderate"]
    restate(files)
    info = PATCH_INFO.read(files)
    classes = [name for name in info.gate_classes if name != "Moderate"]
    PATCH_INFO.write(
        files,
        info.model_copy(
            update={"dropped": info.dropped | {ACROSS: info.dropped[ACROSS] + lost}, "gate_classes": classes}
        ),
    )
    with pytest.raises(ContractError, match=r"must hold all \d+ patches of .* in the train part"):
        recompute_patches(files, params, audit=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"synthetic": False},
        {"gate_classes": ["Healthy"]},
        {"validation_dates": [str(date(2024, 3, 1))]},
        {"blocks": {"row_edges": [0, 80], "column_edges": [0, 96], "tune": [], "validation": []}},
        {"label_source": "reference"},
        {"seed": 5},
        {"drawn": {"Healthy": 1, "Moderate": 1, "Stressed": 1, "Critical": 1}},
        {"left_out": {}},
        {"left_out": {"a person agreed": 9}},
        {"patch_size": 16},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_description_that_does_not_follow_from_imagery_and_parameters_is_refused(patches, changes):
    state(PATCH_INFO, patches, **changes)
    with pytest.raises(ContractError, match=r"cnn_dataset\.json: must (state|name|account for|leave tiles out)"):
        recompute_patches(patches, PATCHES)


@pytest.mark.parametrize("artifact", [CUBE, CUBE_CLASSES])
def test_pixels_of_a_held_out_date_that_are_not_the_scenes_are_refused(patches, artifact):
    info = PATCH_INFO.read(patches)
    day = info.dates.index(info.validation_dates[0])
    pixels = np.load(artifact.at(patches))
    pixels[day, 3, 3] += 1
    np.save(artifact.at(patches), pixels)
    with pytest.raises(
        ContractError, match=rf"{artifact.path}: must hold the pixels of the scene of {info.dates[day]}"
    ):
        recompute_patches(patches, PATCHES)


def test_other_dates_are_drawn_each_time(patches):
    held_out = np.array([2, 3])
    draws = {tuple(recomputation._draw(held_out, 12, audit=False)) for _ in range(20)}
    assert len(draws) > 1
    assert all(not {2, 3} & set(drawn) and len(drawn) == recomputation.DRAWN_DATES for drawn in draws)


def test_an_audit_draws_all_other_dates():
    assert recomputation._draw(np.array([2, 3]), 6, audit=True) == [0, 1, 4, 5]


def test_an_audit_finds_pixels_of_a_training_date_that_are_not_the_scenes(patches, monkeypatch):
    monkeypatch.setattr(recomputation, "DRAWN_DATES", 0)
    info = PATCH_INFO.read(patches)
    day = info.dates.index(info.training_dates[0])
    pixels = np.load(CUBE.at(patches))
    pixels[day, 3, 3] += 1
    np.save(CUBE.at(patches), pixels)
    assert recompute_patches(patches, PATCHES) == (), "the sample does not hold that date"
    with pytest.raises(ContractError, match=f"must hold the pixels of the scene of {info.dates[day]}"):
        recompute_patches(patches, PATCHES, audit=True)


# the LSTM's dataset


def test_an_honest_dataset_of_sequences_is_confirmed(sequences, all_dates):
    drawn = recompute_sequences(sequences, SEQUENCES)
    assert drawn == recompute_sequences(sequences, SEQUENCES, audit=True)
    assert drawn[0] == str(SEQUENCE_INFO.read(sequences).dates[0])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (with_value("split", 0), "must (state counts|hold the sequences)"),
        (with_value("location", lambda location: location + 1), "must hold the sequences that follow"),
        (with_value("target", lambda target: target - 1), "must hold the sequences that follow"),
        (with_value("block", lambda block: block + 1), "must hold the sequences that follow"),
        (without_first(2), "must (state counts|hold the sequences)"),
    ],
)
def test_a_sequence_that_does_not_follow_from_the_series_is_refused(sequences, change, rule):
    edit(SEQUENCE_INDEX, sequences, change)
    with pytest.raises(ContractError, match=rf"lstm_(index\.parquet|dataset\.json): {rule}"):
        recompute_sequences(sequences, SEQUENCES)


def test_a_held_out_value_that_is_not_the_scenes_is_refused(sequences):
    series = np.load(SERIES.at(sequences))
    series[np.flatnonzero(~np.isnan(series[:, -1]))[0], -1] += 0.2
    np.save(SERIES.at(sequences), series)
    with pytest.raises(ContractError, match=r"lstm_series\.npy: must hold the NDVI of the scene of"):
        recompute_sequences(sequences, SEQUENCES)


@pytest.mark.parametrize(
    "changes", [{"synthetic": False}, {"features": []}, {"validation_targets": []}, {"left_out": {"x": 1}}]
)
def test_a_description_of_sequences_that_does_not_follow_is_refused(sequences, changes):
    state(SEQUENCE_INFO, sequences, **changes)
    with pytest.raises(ContractError, match=r"lstm_dataset\.json: must (state|name|account for|leave tiles out)"):
        recompute_sequences(sequences, SEQUENCES)


def test_a_series_of_another_shape_is_refused(sequences):
    np.save(SERIES.at(sequences), np.vstack([np.load(SERIES.at(sequences)), np.full((1, 12), np.nan, np.float32)]))
    with pytest.raises(ContractError, match=r"lstm_series\.npy: must hold .* locations × 12 dates"):
        recompute_sequences(sequences, SEQUENCES)


# exported arrays


def _other_inputs(array):
    array[0] += 1


def _other_targets(array):
    array[:] = array[::-1].copy()


EXPORTS = {
    "CNN": (prepare_cnn, recompute_patches, PATCHES.model_copy(update={"export_npy": True}), "cnn_npy"),
    "LSTM": (prepare_lstm, recompute_sequences, SEQUENCES.model_copy(update={"export_npy": True}), "lstm_npy"),
}
EXPORT_LIES = {
    "pixels of another sample": ("X_val", _other_inputs, "must hold the values of sample"),
    "the truth of other samples": ("y_train", _other_targets, "must hold the values of sample"),
    "a sample left out": ("X_tune", lambda array: array[1:], "must hold .*, one entry a sample"),
    "numbers of another type": ("y_val", lambda array: array.astype(np.float64), "must hold .* of the shape"),
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_honest_export_is_confirmed(imagery, files, kind):
    prepare, recompute, params, _ = EXPORTS[kind]
    prepare(files, params)
    recompute(files, params)


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("lie", EXPORT_LIES)
def test_exported_arrays_of_another_dataset_are_refused(imagery, files, kind, lie):
    prepare, recompute, params, folder = EXPORTS[kind]
    name, change, rule = EXPORT_LIES[lie]
    prepare(files, params)
    path = files / folder / f"{name}.npy"
    array = np.load(path)
    changed = change(array)
    np.save(path, array if changed is None else changed)
    with pytest.raises(ContractError, match=rf"{folder}/{name}\.npy: {rule}"):
        recompute(files, params)


@pytest.mark.parametrize("kind", EXPORTS)
def test_arrays_are_exported_when_the_run_requests_them_and_only_then(imagery, files, kind):
    prepare, recompute, params, folder = EXPORTS[kind]
    prepare(files, params)
    with pytest.raises(ContractError, match=rf"{folder}/: must not be written unless export_npy is set"):
        recompute(files, params.model_copy(update={"export_npy": False}))
    (files / folder / "X_val.npy").unlink()
    with pytest.raises(ContractError, match=rf"{folder}/X_val\.npy: must exist, as export_npy requests"):
        recompute(files, params)


def test_series_of_previews_are_measured_again_on_every_date(data_dir: Path, files: Path) -> None:
    make_history(data_dir, files, make_fields(data_dir, files, 80, 96, 14))
    params = LstmDataParams(sequence_length=4, location_size=8)
    prepare_lstm(files, params)
    drawn = recompute_sequences(files, params)
    assert len(drawn) == 28 - 5
    series = np.load(files / "lstm_series.npy")
    series[3, 1] += 0.2
    np.save(files / "lstm_series.npy", series)
    with pytest.raises(ContractError, match=r"lstm_series.npy: must hold the NDVI of the scene of 2023-01-13"):
        recompute_sequences(files, params)


def test_sequences_that_training_leaves_to_the_calibration_are_accounted_for(data_dir: Path, files: Path) -> None:
    """In two years, no split takes the sequences of training blocks on the dates that calibrate the intervals."""
    maker, params = ImageryMaker(data_dir, grid_of(80, 96)), LstmDataParams(sequence_length=4, location_size=8)
    layers = layers_of(np.full((80, 96), 0.5), np.full((80, 96), 4))
    maker.manifest(files, [maker.scene(day, layers) for day in days_from(date(2023, 1, 1), 26, 30)])
    prepare_lstm(files, params)
    assert SEQUENCE_INFO.read(files).dropped[CALIBRATES] > 0
    recompute_sequences(files, params)
