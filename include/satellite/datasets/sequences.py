"""Training data of the LSTM: the NDVI of locations over time, to be forecast.

Writes `lstm_series.npy` (locations, T; float32), `lstm_index.parquet` and `lstm_dataset.json`.

A location is a tile of `location_size` pixels a side. Its NDVI counts on dates when it passes the rules of patch labels
(80 % clear, land). A sequence is the location's last `sequence_length` such dates before a target date; one with fewer
dates is padded in front. Validation targets are the latest max(3, 20 %) target dates, in the validation blocks; the
targets of training and tuning lie before the first of them, in other blocks. Where the series hold seasons, training
ends a fifth of the targets earlier, and the tuning blocks on those later dates calibrate the intervals of the forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError, ContractError
from include.core.files import atomic_file
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.satellite.artifacts import SEQUENCE_INDEX, SEQUENCE_INFO, SERIES, VALIDATED
from include.satellite.datasets.labels import count_reasons, crop_finding, crop_shares
from include.satellite.datasets.sampling import LEAST_VALIDATION, cap, tally
from include.satellite.datasets.schemas import SPLITS, TRAIN, TUNE, VALIDATION, SequenceInfo
from include.satellite.datasets.seasons import YEAR_DAYS, Doubles, day_of_year, has_seasons, seasonal_changes
from include.satellite.datasets.series import LocationSeries, measure_series, series_imagery
from include.satellite.datasets.splits import (
    NOWHERE,
    Places,
    Tiles,
    block_findings,
    calibration_targets,
    latest_targets,
    place,
    plan_blocks,
)
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
LEAST_STEPS = 3
"""Earlier dates with NDVI that a sequence needs, if `sequence_length` is not smaller."""
FEATURES = ("ndvi", "days_since_last_date")
SEASONAL_FEATURES = (*FEATURES, "sin_day_of_year", "cos_day_of_year", "season_change", "season_weight")
"""A step holds the NDVI of a date and, of the date that follows, the days since, in months of 30 days, the day of the
year (on a circle), and the season's change until then with its weight; so the last step says for which day the forecast
is. Series of less than two years hold neither seasons nor every day of the year. A padded step is 0 throughout."""
DAYS_A_MONTH = 30
TOO_FEW = f"fewer than {LEAST_STEPS} earlier dates"
CALIBRATES = "in a training block, on a date that calibrates the intervals"
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
        x: (N, L, F) float32, features in the order of the description; 0 where a step is padded.
        y: (N,) float32, NDVI at the target date.
        expected: (N,) float32, NDVI by anomaly persistence: the last value and the season's weighted change.
        times: (N, L) positions of the input dates; −1 where a step is padded.
        target: (N,) position of the target date.
        location: (N,) row of the series.
        block: (N,) block of the plan.
        series: (locations, T) float32, NDVI, NaN where it does not count.
        days: (T,) dates as days since 1970.
        info: Its description.
    """

    x: Floats
    y: Floats
    expected: Floats
    times: Ints
    target: Ints
    location: Ints
    block: Ints
    series: Floats
    days: Ints
    info: SequenceInfo

    @property
    def calibrates(self) -> NDArray[np.bool_]:
        """(N,) which samples of the tuning part calibrate the intervals instead: those of later dates."""
        later = [self.info.dates.index(day) for day in self.info.calibration_targets]
        return np.asarray((self.split == TUNE) & np.isin(self.target, later))

    def tuning_rows(self) -> Ints:
        """Return the samples that choose the best epoch."""
        return np.flatnonzero((self.split == TUNE) & ~self.calibrates)

    def calibration_rows(self) -> Ints:
        """Return the samples that calibrate the intervals; none where the series hold no seasons."""
        return np.flatnonzero(self.calibrates)


def load_sequences(files: Path) -> SequenceDataset:
    """Return the LSTM's dataset of a run's `files/`.

    Raises:
        ContractError: There is none, or it names features that a step does not have.
    """
    info = SEQUENCE_INFO.read(files)
    if not info.features or not set(info.features) <= set(SEASONAL_FEATURES):
        rule = f"must name features of a step: {', '.join(SEASONAL_FEATURES)}"
        raise ContractError(SEQUENCE_INFO.path, rule, ", ".join(info.features) or "none")
    index, series = read_index(SEQUENCE_INDEX.at(files)), np.load(SERIES.at(files))
    location, target = index["location"], index["target"]
    days = np.array(info.dates, "datetime64[D]").astype(np.int64)
    seasonal = has_seasons(info.dates)
    steps = steps_of(series, days, location, target, info.features, info.sequence_length, seasonal=seasonal)
    return SequenceDataset(
        x=steps.x,
        y=series[location, target],
        expected=steps.expected,
        times=steps.times,
        series=series,
        days=days,
        info=info,
        **index,
    )


@dataclass(frozen=True)
class Steps:
    """What the LSTM sees of N samples; the arrays are those of `SequenceDataset`."""

    x: Floats
    expected: Floats
    times: Ints


def steps_of(
    series: Floats, days: Ints, location: Ints, target: Ints, features: list[str], length: int, *, seasonal: bool
) -> Steps:
    """Return the sequences of samples; nothing of the target's own NDVI, nor of a later one, enters them.

    Args:
        series: (locations, T) NDVI, NaN where it does not count; a date that is yet to come has none.
        days: (T,) dates as days since 1970, ascending.
        location: (N,) row of the series.
        target: (N,) position of the target date, before which the location has a date with NDVI.
        features: Of a step, in order.
        length: Steps of a sequence.
        seasonal: Whether the series hold seasons.
    """
    times = _input_dates(series, location, target, length)
    nothing = np.zeros(series.shape)
    change, weight = seasonal_changes(series, days) if seasonal else (nothing, nothing)
    last = series[location, times[:, -1]]
    return Steps(
        x=_features(features, series, days, location, times, target, change, weight),
        expected=(last + (weight * change)[location, target]).astype(np.float32),
        times=times,
    )


def _input_dates(series: Floats, location: Ints, target: Ints, length: int) -> Ints:
    """Return the positions of each sample's last `length` dates with NDVI before its target, (N, L); −1 is padding."""
    counts = ~np.isnan(series)
    in_order = np.argsort(~counts, axis=1, kind="stable")
    before = np.cumsum(counts, axis=1) - counts
    last = before[location, target][:, None] + np.arange(-length, 0)
    times = np.take_along_axis(in_order[location], np.maximum(last, 0), axis=1)
    return np.where(last < 0, -1, times).astype(np.int64)


def _features(
    names: list[str],
    series: Floats,
    days: Ints,
    location: Ints,
    times: Ints,
    target: Ints,
    change: Doubles,
    weight: Doubles,
) -> Floats:
    following, place = np.concatenate([times[:, 1:], target[:, None]], axis=1), location[:, None]
    angle = 2 * np.pi * day_of_year(days)[following] / YEAR_DAYS
    values: dict[str, Callable[[], Any]] = {
        "ndvi": lambda: series[place, times],
        "days_since_last_date": lambda: (days[following] - days[times]) / DAYS_A_MONTH,
        "sin_day_of_year": lambda: np.sin(angle),
        "cos_day_of_year": lambda: np.cos(angle),
        "season_change": lambda: change[place, following],
        "season_weight": lambda: weight[place, following],
    }
    steps = np.stack([values[name]() for name in names], axis=-1)
    return np.where((times < 0)[..., None], 0, steps).astype(np.float32)


def imagery_of(files: Path, dataset: SequenceDataset) -> Imagery:
    """Return the manifest of the imagery that a dataset's series are made from: its dates alone."""
    imagery, days = series_imagery(files), set(dataset.info.dates)
    return imagery.model_copy(update={"acquisitions": [day for day in imagery.acquisitions if day.date in days]})


def sequence_scaling(dataset: SequenceDataset) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation by feature over the training part's steps; 1 for one that does not vary."""
    train = dataset.rows("train")
    steps = dataset.x[train][dataset.times[train] >= 0].astype(np.float64)
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
    imagery, size = VALIDATED.read(files), params.location_size
    grid = imagery.grid
    tiles = Tiles.on(grid.height, grid.width, size, size)
    plan = plan_blocks(grid.height, grid.width, size, size, params.seed)
    measured = measure_series(files, params, tiles, grid)
    days = [acquisition.date for acquisition in measured.imagery.acquisitions]
    _check_length(params, len(days))
    series = np.ascontiguousarray(measured.assessed.ndvi.T, np.float32)
    columns, left_out, dropped = select_sequences(
        series, measured.assessed.reason.T, place(tiles, plan), target_dates(days, params), params
    )
    counts = dict(zip(SPLITS, np.bincount(columns["split"], minlength=len(SPLITS)).tolist(), strict=True))
    _check_enough(counts, params, imagery)
    with atomic_file(SERIES.at(files)) as partial, partial.open("wb") as file:
        np.save(file, series)
    write_index(SEQUENCE_INDEX.at(files), columns)
    info = SequenceInfo.of(
        measured.imagery,
        params,
        counts=counts,
        left_out=left_out,
        dropped=dropped,
        masked_pixels=measured.assessed.masked,
        **description(measured, params, tiles, imagery),
        blocks=plan,
        **crop_shares(files, params, imagery),
    )
    SEQUENCE_INFO.write(files, info)
    if params.export_npy:
        data = load_sequences(files)
        export_splits(files / EXPORT_FOLDER, data, data.x.__getitem__, data.y)


@dataclass(frozen=True)
class TargetDates:
    """The target dates by their part: positions of the first of each.

    Args:
        first: Of training and tuning.
        calibration: Of those that calibrate the intervals; that of the validation where none does.
        validation: Of validation.
    """

    first: int
    calibration: int
    validation: int


def target_dates(days: list[date], params: LstmDataParams) -> TargetDates:
    """Return the first target dates of training, calibration and validation."""
    first = min(LEAST_STEPS, params.sequence_length)
    validation = latest_targets(len(days), params.sequence_length)
    calibration = calibration_targets(validation, params.sequence_length) if has_seasons(days) else validation
    return TargetDates(first, calibration, validation)


def description(measured: LocationSeries, params: LstmDataParams, tiles: Tiles, imagery: Imagery) -> dict[str, Any]:
    """Return what follows from series, parameters and the run's imagery alone, as `SequenceInfo` states it."""
    days = [acquisition.date for acquisition in measured.imagery.acquisitions]
    targets = target_dates(days, params)
    return {
        "grid": imagery.grid,
        "features": list(SEASONAL_FEATURES if has_seasons(days) else FEATURES),
        "locations": len(tiles),
        "locations_across": len(tiles.lefts),
        "training_targets": days[targets.first : targets.calibration],
        "calibration_targets": days[targets.calibration : targets.validation],
        "validation_targets": days[targets.validation :],
        "series_resolution": measured.imagery.grid.resolution,
        "hazy_dates": sorted(measured.hazy),
    }


def _check_length(params: LstmDataParams, dates: int) -> None:
    most = dates - LEAST_TARGETS
    if params.sequence_length > most:
        fits = f"at most {most}" if most >= 2 else "too few for any sequence (10 is the least)"
        raise BadInputError(
            f"sequence_length {params.sequence_length} is too long for {dates} usable dates: {fits}, since "
            f"{LEAST_TARGETS} dates are kept as targets"
        )


def select_sequences(
    series: Floats, reason: NDArray[np.int8], places: Places, targets: TargetDates, params: LstmDataParams
) -> tuple[Columns, dict[str, int], dict[str, int]]:
    """Assign each sequence to a split, or count why it has none; then cap the locations of each target date.

    Returns:
        The columns of the index; how many pairs of a location and a target date are no sequence, by reason; and how
        many sequences no split takes, by reason.
    """
    seen, first = ~np.isnan(series), targets.first
    before = (np.cumsum(seen, axis=1) - seen)[:, first:]
    why = reason[:, first:]
    usable = (why == 0) & (before >= first)
    left_out = count_reasons(why) | {TOO_FEW: int(((why == 0) & (before < first)).sum())}
    location, target = np.nonzero(usable)
    target += first
    space, late = places.part[location], target >= targets.validation
    part = np.where((space == VALIDATION) == late, space, NOWHERE).astype(np.int8)
    why_not = np.where(late, HELD_TARGET, HELD_PLACE).astype(object)
    calibrates = (part == TRAIN) & (target >= targets.calibration)
    part[calibrates], why_not[calibrates] = NOWHERE, CALIBRATES
    random = np.random.default_rng([params.seed, 2])
    taken = np.flatnonzero(part != NOWHERE)
    over = taken[~cap(target[taken] * len(SPLITS) + part[taken], params.locations_per_window, random)]
    part[over], why_not[over] = NOWHERE, OVER_CAP
    stays = part != NOWHERE
    columns: Columns = {"location": location, "target": target, "split": part, "block": places.block[location]}
    return (
        {name: values[stays] for name, values in columns.items()},
        {name: count for name, count in left_out.items() if count},
        tally(why_not[~stays].astype(str)),
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
        findings=(
            *_series_findings(info),
            *block_findings(info.blocks, info.location_size, "locations"),
            *crop_finding(info),
        ),
        tables=(Table(title=title, columns=("reason", "count"), rows=reasons),),
        synthetic=info.synthetic,
    )


def _series_findings(info: SequenceInfo) -> list[Finding]:
    """Return what the series are made from, and which dates are left out for haze."""
    if info.series_resolution is None or info.series_resolution == info.grid.resolution:
        return []
    dates, hazy = info.dates, info.hazy_dates
    messages = [
        f"series of {len(dates)} dates from {dates[0]} to {dates[-1]}, of previews of {info.series_resolution} m"
    ]
    if hazy:
        messages.append(f"{len(hazy)} dates of the history are left out for haze: {', '.join(map(str, hazy))}")
    return [Finding(severity="info", message=message) for message in messages]
