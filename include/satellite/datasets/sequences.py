"""Training data of the LSTM: the NDVI of places over time, to be forecast.

Writes `lstm_series.npy` (locations, T; float32), `lstm_index.parquet` and `lstm_dataset.json`.

A location is a square of `location_size` pixels. Its NDVI counts on dates when it passes the rules of patch labels
(80 % clear, land). A sequence is the location's last `sequence_length` such dates before a target date. Validation
targets are the latest max(3, 20 %) target dates, in the validation blocks; the targets of training and tuning lie
before the first of them, in other blocks.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.core.contracts import Summary
from include.core.errors import BadInputError, ContractError
from include.core.run_folder import read_model, write_atomically, write_json
from include.satellite.datasets.cube import load_imagery, scenes
from include.satellite.datasets.documents import SPLITS, VALIDATION, SequenceInfo
from include.satellite.datasets.export import export_sequences
from include.satellite.datasets.findings import sequence_findings
from include.satellite.datasets.index import read_index, write_index
from include.satellite.datasets.labels import REASONS, assess
from include.satellite.datasets.rasters import crop_mask
from include.satellite.datasets.selection import LEAST_VALIDATION, cap
from include.satellite.datasets.splits import NOWHERE, Places, latest_targets, place, plan_blocks
from include.satellite.datasets.squares import Squares
from include.satellite.imagery.model import Imagery
from include.satellite.params import LstmDataParams

SERIES, INDEX, INFO = "lstm_series.npy", "lstm_index.parquet", "lstm_dataset.json"
LEAST_TARGETS = 8
FEATURES = ("ndvi", "sin_day_of_year", "cos_day_of_year", "days_since_last_date")
"""A step holds the NDVI of a date and, of the date that follows, the day of the year (on a circle) and the days since,
in months of 30 days; so the last step says for which day the forecast is."""
DAYS_A_YEAR, DAYS_A_MONTH = 365.25, 30
TOO_FEW = "fewer than sequence_length earlier dates"
HELD_PLACE = "in a validation block, before the validation targets"
HELD_TARGET = "a validation target's date, not in a validation block"
OVER_CAP = "over locations_per_window"
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SequenceDataset:
    """Sequences of NDVI with what followed; the N samples share one order.

    Args:
        x: (N, L, F) float32, features as `FEATURES` says.
        y: (N,) float32, NDVI at the target date.
        times: (N, L) positions of the input dates.
        target: (N,) position of the target date.
        location: (N,) row of the series.
        block: (N,) block of the plan.
        split: (N,) position in `SPLITS`.
        series: (locations, T) float32, NDVI, NaN where it does not count.
        days: (T,) dates as days since 1970.
        info: What the preparation says of it.
    """

    x: Floats
    y: Floats
    times: Ints
    target: Ints
    location: Ints
    block: Ints
    split: Ints
    series: Floats
    days: Ints
    info: SequenceInfo

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, split: str) -> Ints:
        """The samples of `train`, `tune` or `validation`."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def load_sequences(files: Path) -> SequenceDataset:
    """The LSTM's dataset of a run's `files/`."""
    info = read_model(files / INFO, SequenceInfo)
    if info is None:
        raise ContractError(INFO, "must exist", "no such file")
    index, series = read_index(files / INDEX), np.load(files / SERIES)
    location, target = index["location"].astype(np.int64), index["target"].astype(np.int64)
    days = np.array(info.dates, "datetime64[D]").astype(np.int64)
    times = _input_dates(series, location, target, info.sequence_length)
    return SequenceDataset(
        x=_features(series, days, location, times, target),
        y=series[location, target],
        times=times,
        target=target,
        location=location,
        block=index["block"].astype(np.int64),
        split=np.array([SPLITS.index(split) for split in index["split"]], np.int64),
        series=series,
        days=days,
        info=info,
    )


def _input_dates(series: Floats, location: Ints, target: Ints, length: int) -> Ints:
    """Positions of each sample's last `length` dates with NDVI before its target, (N, L)."""
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


def prepare_lstm(files: Path, params: LstmDataParams) -> None:
    """Write the NDVI of the locations over time, and the index of the sequences with splits.

    Args:
        files: The run's `files/` folder.
        params: Locations, sequences and seed.

    Raises:
        BadInputError: Too few dates for the sequence length, or too few sequences are left; says the numbers.
        ContractError: A file of the imagery store is not what was validated.
        SetupError: The folder cannot be written, or the disk is full.
    """
    imagery = load_imagery(files)
    grid, dates, size = imagery.grid, len(imagery.acquisitions), params.location_size
    _check_length(params, dates)
    squares = Squares.on(grid.height, grid.width, size, size)
    plan = plan_blocks(grid.height, grid.width, size, size, params.seed)
    crop = crop_mask(files, params.crop_mask, grid) if params.crop_mask else None
    series, reason, masked = _observe(imagery, squares, crop)
    places, first = place(squares, plan), latest_targets(dates, params.sequence_length)
    found = _select(series, reason, places, first, params)
    _check_enough(found, params, imagery)
    _write_series(files / SERIES, series)
    columns = {
        "location": found.location,
        "target": found.target,
        "split": np.array(SPLITS, object)[found.part],
        "block": places.block[found.location],
    }
    write_index(files / INDEX, columns)
    days = [acquisition.date for acquisition in imagery.acquisitions]
    counts = np.bincount(found.part, minlength=len(SPLITS)).tolist()
    info = SequenceInfo(
        grid=grid,
        dates=days,
        synthetic=imagery.synthetic,
        seed=params.seed,
        sequence_length=params.sequence_length,
        features=list(FEATURES),
        location_size=size,
        locations=len(squares),
        locations_across=len(squares.lefts),
        locations_per_window=params.locations_per_window,
        blocks=plan,
        training_targets=days[params.sequence_length : first],
        validation_targets=days[first:],
        counts=dict(zip(SPLITS, counts, strict=True)),
        left_out=found.left_out,
        dropped=found.dropped,
        masked_pixels=masked,
    )
    write_json(files / INFO, info)
    if params.export_npy:
        export_sequences(files, load_sequences(files))


@dataclass(frozen=True)
class _Sequences:
    """The samples, and how many pairs of a location and a target date are none, by reason."""

    location: Ints
    target: Ints
    part: NDArray[np.int8]
    left_out: dict[str, int]
    dropped: dict[str, int]


def _check_length(params: LstmDataParams, dates: int) -> None:
    most = dates - LEAST_TARGETS
    if params.sequence_length > most:
        fits = f"at most {most}" if most >= 2 else "too few for any sequence (10 is the least)"
        raise BadInputError(
            f"sequence_length {params.sequence_length} is too long for {dates} usable dates: {fits}, since "
            f"{LEAST_TARGETS} dates are kept as targets"
        )


def _observe(
    imagery: Imagery, squares: Squares, crop: NDArray[np.bool_] | None
) -> tuple[Floats, NDArray[np.int8], int]:
    """NDVI of each square on each date and why it has none, (P, T); and how many clear pixels were masked."""
    ndvi = np.empty((len(squares), len(imagery.acquisitions)), np.float32)
    reason, masked = np.empty(ndvi.shape, np.int8), 0
    for date, scene in enumerate(scenes(imagery)):
        assessed = assess(scene, squares, crop)
        ndvi[:, date], reason[:, date] = assessed.ndvi, assessed.reason
        masked += scene.masked
    return ndvi, reason, masked


def _select(series: Floats, reason: NDArray[np.int8], places: Places, first: int, params: LstmDataParams) -> _Sequences:
    """Give each sequence its part, or the reason why it has none; then cap the locations of each target date."""
    length = params.sequence_length
    seen = ~np.isnan(series)
    before = (np.cumsum(seen, axis=1) - seen)[:, length:]
    why = reason[:, length:]
    usable = (why == 0) & (before >= length)
    left_out = {name: int((why == code).sum()) for code, name in enumerate(REASONS) if code}
    left_out[TOO_FEW] = int(((why == 0) & (before < length)).sum())
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
    names, counts = np.unique(why_not[~stays], return_counts=True)
    return _Sequences(
        location=location[stays],
        target=target[stays],
        part=part[stays],
        left_out={name: count for name, count in left_out.items() if count},
        dropped=dict(zip(names.tolist(), counts.tolist(), strict=True)),
    )


def _check_enough(found: _Sequences, params: LstmDataParams, imagery: Imagery) -> None:
    size = {split: int((found.part == part).sum()) for part, split in enumerate(SPLITS)}
    if size["validation"] < LEAST_VALIDATION or not size["train"] or not size["tune"]:
        raise BadInputError(
            f"location_size {params.location_size} and sequence_length {params.sequence_length} leave, of the area of "
            f"{imagery.grid.height} × {imagery.grid.width} pixels and {len(imagery.acquisitions)} dates, "
            f"{size['train']} training, {size['tune']} tuning and {size['validation']} validation sequences; at least "
            f"1, 1 and {LEAST_VALIDATION} are needed. Take smaller locations, shorter sequences, a larger area or more "
            "dates"
        )


def _write_series(path: Path, series: Floats) -> None:
    content = io.BytesIO()
    np.save(content, series)
    write_atomically(path, content.getvalue())


def prepare_lstm_summary(files: Path) -> Summary:
    """Key figures of the LSTM's training data, for reports."""
    info = read_model(files / INFO, SequenceInfo)
    if info is None:
        return {}
    return {
        "samples": info.counts,
        "left_out": sum(info.left_out.values()),
        "dropped": sum(info.dropped.values()),
        "locations": info.locations,
        "blocks": info.blocks.count,
        "findings": sequence_findings(info),
        "tables": [
            {
                "title": "Locations × target dates that are no sequences",
                "columns": ["reason", "count"],
                "rows": [[reason, count] for reason, count in (info.left_out | info.dropped).items()],
            },
        ],
    }
