"""Training data of the LSTM: the NDVI of locations over time, to be forecast.

Writes `lstm_series.npy` (locations, T; float32), `lstm_index.parquet` and `lstm_dataset.json`.

A location is a tile of `location_size` pixels a side. Its NDVI counts on dates when it passes the rules of patch labels
(80 % clear, land). A sequence is the location's last `sequence_length` such dates before a target date. Validation
targets are the latest max(3, 20 %) target dates, in the validation blocks; the targets of training and tuning lie
before the first of them, in other blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.core.files import atomic_file
from include.core.outcome import StepMetrics, StepOutcome, Table
from include.satellite.artifacts import SEQUENCE_INDEX, SEQUENCE_INFO, SERIES, VALIDATED
from include.satellite.datasets.cube import scenes
from include.satellite.datasets.labels import assess, count_reasons, crop_finding, crop_mask, crop_shares, stack
from include.satellite.datasets.sampling import LEAST_VALIDATION, cap, tally
from include.satellite.datasets.schemas import SPLITS, VALIDATION, SequenceInfo
from include.satellite.datasets.splits import NOWHERE, Places, Tiles, block_findings, latest_targets, place, plan_blocks
from include.satellite.datasets.storage import (
    Columns,
    Floats,
    Ints,
    SplitSamples,
    export_splits,
    read_index,
    write_index,
)
from include.satellite.imagery.schemas import Imagery
from include.satellite.params import LstmDataParams

EXPORT_FOLDER = "lstm_npy"
LEAST_TARGETS = 8
FEATURES = ("ndvi", "sin_day_of_year", "cos_day_of_year", "days_since_last_date")
"""A step holds the NDVI of a date and, of the date that follows, the day of the year (on a circle) and the days since,
in months of 30 days; so the last step says for which day the forecast is."""
DAYS_A_YEAR, DAYS_A_MONTH = 365.25, 30
TOO_FEW = "fewer than sequence_length earlier dates"
HELD_PLACE = "in a validation block, before the validation targets"
HELD_TARGET = "a validation target's date, not in a validation block"
OVER_CAP = "over locations_per_window"


class PrepareLstmMetrics(StepMetrics, extra="forbid"):
    """Metrics of the LSTM's training data."""

    samples: dict[str, int]
    left_out: int
    dropped: int
    locations: int
    blocks: int


@dataclass(frozen=True)
class SequenceDataset(SplitSamples):
    """Sequences of NDVI with the value that followed; the N samples share one order.

    Args:
        x: (N, L, F) float32, features in the order of `FEATURES`.
        y: (N,) float32, NDVI at the target date.
        times: (N, L) positions of the input dates.
        target: (N,) position of the target date.
        location: (N,) row of the series.
        block: (N,) block of the plan.
        series: (locations, T) float32, NDVI, NaN where it does not count.
        days: (T,) dates as days since 1970.
        info: Its description.
    """

    x: Floats
    y: Floats
    times: Ints
    target: Ints
    location: Ints
    block: Ints
    series: Floats
    days: Ints
    info: SequenceInfo


def load_sequences(files: Path) -> SequenceDataset:
    """Return the LSTM's dataset of a run's `files/`.

    Raises:
        ContractError: There is none.
    """
    info = SEQUENCE_INFO.read(files)
    index, series = read_index(SEQUENCE_INDEX.at(files)), np.load(SERIES.at(files))
    location, target = index["location"], index["target"]
    days = np.array(info.dates, "datetime64[D]").astype(np.int64)
    times = _input_dates(series, location, target, info.sequence_length)
    return SequenceDataset(
        x=_features(series, days, location, times, target),
        y=series[location, target],
        times=times,
        series=series,
        days=days,
        info=info,
        **index,
    )


def _input_dates(series: Floats, location: Ints, target: Ints, length: int) -> Ints:
    """Return the positions of each sample's last `length` dates with NDVI before its target, (N, L)."""
    counts = ~np.isnan(series)
    in_order = np.argsort(~counts, axis=1, kind="stable")
    before = np.cumsum(counts, axis=1) - counts
    last = before[location, target][:, None] + np.arange(-length, 0)
    return np.take_along_axis(in_order[location], last, axis=1).astype(np.int64)


def _features(series: Floats, days: Ints, location: Ints, times: Ints, target: Ints) -> Floats:
    following = np.concatenate([times[:, 1:], target[:, None]], axis=1)
    first_days = days.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    angle = 2 * np.pi * (days - first_days)[following] / DAYS_A_YEAR
    since = (days[following] - days[times]) / DAYS_A_MONTH
    return np.stack([series[location[:, None], times], np.sin(angle), np.cos(angle), since], axis=-1).astype(np.float32)


def sequence_scaling(dataset: SequenceDataset) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation by feature over the training part; 1 for a feature that does not vary."""
    steps = dataset.x[dataset.rows("train")].reshape(-1, dataset.x.shape[2]).astype(np.float64)
    std = steps.std(axis=0)
    return steps.mean(axis=0).tolist(), np.where(std > 0, std, 1.0).tolist()


def prepare_lstm(files: Path, params: LstmDataParams) -> None:
    """Write the NDVI of the locations over time, and the index of the sequences with splits.

    Args:
        files: The run's `files/` folder.
        params: Locations, sequences and seed.

    Raises:
        BadInputError: Too few dates for the sequence length, or too few sequences are left; names the numbers.
        ContractError: A file of the imagery store is not what was validated.
        SetupError: The folder cannot be written, or the disk is full.
    """
    imagery = VALIDATED.read(files)
    grid, dates, size = imagery.grid, len(imagery.acquisitions), params.location_size
    _check_length(params, dates)
    tiles = Tiles.on(grid.height, grid.width, size, size)
    plan = plan_blocks(grid.height, grid.width, size, size, params.seed)
    crop = crop_mask(files, params, grid)
    assessed = stack(assess(scene, tiles, crop) for scene in scenes(imagery))
    series = np.ascontiguousarray(assessed.ndvi.T, np.float32)
    places, first = place(tiles, plan), latest_targets(dates, params.sequence_length)
    columns, left_out, dropped = select_sequences(series, assessed.reason.T, places, first, params)
    counts = dict(zip(SPLITS, np.bincount(columns["split"], minlength=len(SPLITS)).tolist(), strict=True))
    _check_enough(counts, params, imagery)
    with atomic_file(SERIES.at(files)) as partial, partial.open("wb") as file:
        np.save(file, series)
    write_index(SEQUENCE_INDEX.at(files), columns)
    days = [acquisition.date for acquisition in imagery.acquisitions]
    info = SequenceInfo.of(
        imagery,
        params,
        features=list(FEATURES),
        locations=len(tiles),
        locations_across=len(tiles.lefts),
        blocks=plan,
        training_targets=days[params.sequence_length : first],
        validation_targets=days[first:],
        counts=counts,
        left_out=left_out,
        dropped=dropped,
        masked_pixels=assessed.masked,
        **crop_shares(files, params, imagery),
    )
    SEQUENCE_INFO.write(files, info)
    if params.export_npy:
        data = load_sequences(files)
        export_splits(files / EXPORT_FOLDER, data, data.x.__getitem__, data.y)


def _check_length(params: LstmDataParams, dates: int) -> None:
    most = dates - LEAST_TARGETS
    if params.sequence_length > most:
        fits = f"at most {most}" if most >= 2 else "too few for any sequence (10 is the least)"
        raise BadInputError(
            f"sequence_length {params.sequence_length} is too long for {dates} usable dates: {fits}, since "
            f"{LEAST_TARGETS} dates are kept as targets"
        )


def select_sequences(
    series: Floats, reason: NDArray[np.int8], places: Places, first: int, params: LstmDataParams
) -> tuple[Columns, dict[str, int], dict[str, int]]:
    """Assign each sequence to a split, or count why it has none; then cap the locations of each target date.

    Returns:
        The columns of the index; how many pairs of a location and a target date are no sequence, by reason; and how
        many sequences no split takes, by reason.
    """
    length = params.sequence_length
    seen = ~np.isnan(series)
    before = (np.cumsum(seen, axis=1) - seen)[:, length:]
    why = reason[:, length:]
    usable = (why == 0) & (before >= length)
    left_out = count_reasons(why) | {TOO_FEW: int(((why == 0) & (before < length)).sum())}
    location, target = np.nonzero(usable)
    target += length
    space, late = places.part[location], target >= first
    part = np.where((space == VALIDATION) == late, space, NOWHERE).astype(np.int8)
    why_not = np.where(late, HELD_TARGET, HELD_PLACE)
    random = np.random.default_rng([params.seed, 2])
    taken = np.flatnonzero(part != NOWHERE)
    over = taken[~cap(target[taken] * len(SPLITS) + part[taken], params.locations_per_window, random)]
    part[over], why_not[over] = NOWHERE, OVER_CAP
    stays = part != NOWHERE
    columns: Columns = {"location": location, "target": target, "split": part, "block": places.block[location]}
    return (
        {name: values[stays] for name, values in columns.items()},
        {name: count for name, count in left_out.items() if count},
        tally(why_not[~stays]),
    )


def _check_enough(counts: dict[str, int], params: LstmDataParams, imagery: Imagery) -> None:
    if counts["validation"] < LEAST_VALIDATION or not counts["train"] or not counts["tune"]:
        raise BadInputError(
            f"location_size {params.location_size} and sequence_length {params.sequence_length} leave, of the area of "
            f"{imagery.grid.height} × {imagery.grid.width} pixels and {len(imagery.acquisitions)} dates, "
            f"{counts['train']} training, {counts['tune']} tuning and {counts['validation']} validation sequences; "
            f"at least 1, 1 and {LEAST_VALIDATION} are needed. Take smaller locations, shorter sequences, a larger "
            "area or more dates"
        )


def prepare_lstm_outcome(files: Path) -> StepOutcome:
    """Return the metrics and findings of the LSTM's training data."""
    info = SEQUENCE_INFO.read(files)
    reasons = tuple((info.left_out | info.dropped).items())
    title = "Locations × target dates that are no sequences"
    return StepOutcome(
        metrics=PrepareLstmMetrics(
            samples=info.counts,
            left_out=sum(info.left_out.values()),
            dropped=sum(info.dropped.values()),
            locations=info.locations,
            blocks=info.blocks.count,
        ),
        findings=(*block_findings(info.blocks, info.location_size, "locations"), *crop_finding(info)),
        tables=(Table(title=title, columns=("reason", "count"), rows=reasons),),
        synthetic=info.synthetic,
    )
