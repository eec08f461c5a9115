"""The orchestrator's check of the datasets: splits, held-out truth and pixels are derived again from the imagery.

The split of every sample follows from the grid, the dates and the parameters; all are checked. The truth and the pixels
are read again from the scenes: of all held-out dates, and of `DRAWN_DATES` others that are drawn now, after the step
has ended, so that it cannot have known them. An audit reads all dates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from include.core.errors import ContractError
from include.satellite.artifacts import (
    CUBE,
    CUBE_CLASSES,
    PATCH_INDEX,
    PATCH_INFO,
    SEQUENCE_INDEX,
    SEQUENCE_INFO,
    SERIES,
    VALIDATED,
)
from include.satellite.datasets import patches, sampling, sequences
from include.satellite.datasets.cube import CubeScene, cube_bands, load_cube, scenes
from include.satellite.datasets.labels import (
    NO_NEXT,
    NO_REFERENCE,
    REASONS,
    Assessment,
    assess,
    crop_mask,
    crop_shares,
    label_patches,
)
from include.satellite.datasets.patches import PatchSamples, load_patch_samples, load_patches
from include.satellite.datasets.sampling import LEAST_GATED, count_samples
from include.satellite.datasets.schemas import CLASSES, SPLITS, TRAIN, TUNE, VALIDATION, PatchInfo, SequenceInfo
from include.satellite.datasets.sequences import description, load_sequences, select_sequences, target_dates
from include.satellite.datasets.series import LocationSeries, measure_series, series_imagery
from include.satellite.datasets.splits import (
    NOWHERE,
    Places,
    Tiles,
    latest_dates,
    place,
    plan_blocks,
    spread_dates,
)
from include.satellite.datasets.storage import Ints, check_export
from include.satellite.imagery.schemas import Imagery
from include.satellite.params import CnnDataParams, LstmDataParams

KNOWN_REASONS = frozenset(
    {*REASONS[1:], *(f"next date: {reason}" for reason in REASONS[1:]), NO_REFERENCE, NO_NEXT}
    | {sampling.ACROSS, sampling.HELD_BLOCK, sampling.HELD_DATE, sampling.BETWEEN, sampling.OVER_CAP}
    | {sequences.TOO_FEW, sequences.HELD_PLACE, sequences.HELD_TARGET, sequences.OVER_CAP, sequences.CALIBRATES}
)
"""Why a tile is no sample."""
DRAWN_DATES = 3
"""Dates outside the held-out part whose pixels and labels are read again."""


def recompute_patches(files: Path, params: CnnDataParams, *, audit: bool = False) -> tuple[str, ...]:
    """Check the CNN's dataset: every split, and truth and pixels of the held-out dates and of some drawn ones.

    Args:
        files: Inputs and outputs of the step `prepare_cnn`.
        params: Of the run.
        audit: Read the scenes of all dates again.

    Returns:
        The dates outside the held-out part whose scenes were read again.

    Raises:
        ContractError: A file states something else than the imagery shows; names the file, the sample and both values.
    """
    imagery, samples = VALIDATED.read(files), load_patch_samples(files)
    grid, count, size = imagery.grid, len(imagery.acquisitions), params.patch_size
    tiles = Tiles.on(grid.height, grid.width, size, params.stride)
    plan = plan_blocks(grid.height, grid.width, size, params.stride, params.seed)
    places = place(tiles, plan)
    dates = latest_dates(count) if params.label_source == "next_ndvi" else spread_dates(count, params.seed)
    days = [acquisition.date for acquisition in imagery.acquisitions]
    counts, training = count_samples({"split": samples.split, "label": samples.label}), samples.rows("train")
    drawn = np.bincount(samples.label[training], samples.repeat[training], len(CLASSES)).astype(int)
    _check_info(
        PATCH_INFO.path,
        samples.info,
        imagery,
        params,
        bands=cube_bands(imagery),
        classes=list(CLASSES),
        blocks=plan,
        training_dates=[day for day, part in zip(days, dates, strict=True) if part == TRAIN],
        validation_dates=[day for day, part in zip(days, dates, strict=True) if part == VALIDATION],
        positions=len(tiles),
        counts=counts,
        drawn=dict(zip(CLASSES, drawn.tolist(), strict=True)),
        gate_classes=[name for name in CLASSES if counts["train"][name] >= LEAST_GATED],
        sensor=imagery.sensor.id,
        **crop_shares(files, params, imagery),
    )
    _check_total(PATCH_INFO.path, samples.info, len(samples), len(tiles) * count)
    tile = _check_places(samples, tiles, places, dates)
    most = max(counts["train"].values())
    if most > params.samples_per_class or (
        most < params.samples_per_class and samples.info.dropped.get(sampling.OVER_CAP)
    ):
        rule = f"must hold {params.samples_per_class} training patches of a class, and drop others only then"
        raise ContractError(
            PATCH_INFO.path, rule, f"{most}, and {samples.info.dropped.get(sampling.OVER_CAP, 0)} dropped"
        )
    held_out, labelled = np.flatnonzero(dates == VALIDATION), count - (params.label_source == "next_ndvi")
    drawn_dates = _draw(held_out, labelled, audit=audit)
    for date in sorted({*held_out.tolist(), *drawn_dates}):
        _check_date(files, params, imagery, samples, tiles, tile, date, _expected(places, int(dates[date])))
    if params.export_npy:
        data = load_patches(files)
        check_export(files, patches.EXPORT_FOLDER, data, data.batch, data.label)
    else:
        _check_no_export(files / patches.EXPORT_FOLDER)
    return tuple(str(days[date]) for date in drawn_dates)


def recompute_sequences(files: Path, params: LstmDataParams, *, audit: bool = False) -> tuple[str, ...]:
    """Check the LSTM's dataset: every split, and the NDVI of the held-out dates and of some drawn ones.

    Previews of the history are small: there the NDVI of all dates is measured again.

    Args:
        files: Inputs and outputs of the step `prepare_lstm`.
        params: Of the run.
        audit: Read the scenes of all dates again.

    Returns:
        The dates outside the held-out part whose scenes were read again.

    Raises:
        ContractError: A file states something else than the imagery shows; names the file, the sample and both values.
    """
    validated, dataset = VALIDATED.read(files), load_sequences(files)
    grid, size = validated.grid, params.location_size
    tiles = Tiles.on(grid.height, grid.width, size, size)
    plan = plan_blocks(grid.height, grid.width, size, size, params.seed)
    imagery = series_imagery(files)
    own = imagery.grid == grid and imagery.bands == validated.bands
    again = None if own else measure_series(files, params, tiles, grid)
    measured = again or LocationSeries(
        imagery, Assessment(dataset.series.T.astype(np.float64), np.zeros(0, np.int8), 0), {}
    )
    imagery = measured.imagery
    days, count = [acquisition.date for acquisition in imagery.acquisitions], len(imagery.acquisitions)
    targets = target_dates(days, params)
    _check_info(
        SEQUENCE_INFO.path,
        dataset.info,
        imagery,
        params,
        blocks=plan,
        counts={split: len(dataset.rows(split)) for split in SPLITS},
        **description(measured, params, tiles, validated),
        **crop_shares(files, params, validated),
    )
    _check_total(SEQUENCE_INFO.path, dataset.info, len(dataset), len(tiles) * (count - targets.first))
    if dataset.series.shape != (len(tiles), count):
        raise ContractError(SERIES.path, f"must hold {len(tiles)} locations × {count} dates", dataset.series.shape)
    unseen = np.isnan(dataset.series).astype(np.int8)
    columns, _, _ = select_sequences(dataset.series, unseen, place(tiles, plan), targets, params)
    for name, values in columns.items():
        stated = getattr(dataset, name)
        if not np.array_equal(stated, values):
            rule = f"must hold the sequences that follow from {SERIES.path}, blocks and dates (column {name})"
            raise ContractError(SEQUENCE_INDEX.path, rule, "others")
    first = targets.validation
    drawn_dates = _draw(np.arange(first, count), count, audit=audit or not own)
    crop = crop_mask(files, params, grid) if own else None
    for date in [*drawn_dates, *range(first, count)]:
        if again is None:
            [scene] = scenes(_only(imagery, date, 1))
            ndvi = assess(scene, tiles, crop).ndvi.astype(np.float32)
        else:
            ndvi = again.assessed.ndvi[date].astype(np.float32)
        stated = dataset.series[:, date]
        wrong = np.flatnonzero((stated != ndvi) & ~(np.isnan(stated) & np.isnan(ndvi)))
        if wrong.size:
            rule = f"must hold the NDVI of the scene of {days[date]}: {ndvi[wrong[0]]:g} at location {wrong[0]}"
            raise ContractError(SERIES.path, rule, f"{stated[wrong[0]]:g}")
    if params.export_npy:
        check_export(files, sequences.EXPORT_FOLDER, dataset, dataset.x.__getitem__, dataset.y)
    else:
        _check_no_export(files / sequences.EXPORT_FOLDER)
    return tuple(str(days[date]) for date in drawn_dates)


def _check_no_export(folder: Path) -> None:
    if folder.exists():
        raise ContractError(f"{folder.name}/", "must not be written unless export_npy is set", "exported arrays")


def _check_total(name: str, info: PatchInfo | SequenceInfo, samples: int, total: int) -> None:
    if unknown := {*info.left_out, *info.dropped} - KNOWN_REASONS:
        raise ContractError(name, "must leave tiles out for reasons that there are", ", ".join(sorted(unknown)))
    stated = samples + sum(info.left_out.values()) + sum(info.dropped.values())
    if stated != total:
        raise ContractError(name, f"must account for {total:,} tiles: samples + left_out + dropped", f"{stated:,}")


def _check_info(name: str, info: BaseModel, imagery: Imagery, params: BaseModel, **expected: Any) -> None:
    """Check the fields of a dataset's description that follow from imagery and parameters, and the given ones."""
    synthetic = any(acquisition.synthetic for acquisition in imagery.acquisitions)
    expected |= {"synthetic": synthetic, "dates": [acquisition.date for acquisition in imagery.acquisitions]}
    expected.setdefault("grid", imagery.grid)
    expected |= {field: value for field, value in params if field in type(info).model_fields}
    for field, value in expected.items():
        stated = getattr(info, field)
        if stated != value:
            raise ContractError(name, f"must state {field} as it follows from imagery and parameters: {value}", stated)


def _check_places(samples: PatchSamples, tiles: Tiles, places: Places, dates: NDArray[np.int8]) -> Ints:
    """Check that every sample is a tile of its block, date and split; return the (N,) positions of the tiles."""
    top, left = np.searchsorted(tiles.tops, samples.row), np.searchsorted(tiles.lefts, samples.col)
    known = (top < len(tiles.tops)) & (left < len(tiles.lefts)) & (samples.date < len(dates))
    tile = np.where(known, top * len(tiles.lefts) + left, 0)
    known &= (tiles.rows[tile] == samples.row) & (tiles.columns[tile] == samples.col)
    part = _expected(places, dates[np.where(known, samples.date, 0)], tile)
    repeated = (samples.split != TRAIN) & (samples.repeat != 1)
    rules = {
        "must hold patches of the grid on dates of the imagery": ~known,
        "must state the block of each patch": places.block[tile] != samples.block,
        "must hold each patch in the split of its block and date": (part != samples.split) | (part == NOWHERE),
        "must repeat training patches alone": repeated,
    }
    for rule, broken in rules.items():
        if broken.any():
            number = int(broken.argmax())
            raise ContractError(PATCH_INDEX.path, rule, f"another in row {number}")
    if len(np.unique(samples.date * len(tiles) + tile)) < len(samples):
        raise ContractError(PATCH_INDEX.path, "must hold each patch of a date once", "a patch twice")
    return tile


def _expected(places: Places, date: Any, tile: Ints | slice = slice(None)) -> NDArray[np.int8]:
    """Return the split of tiles on dates of a part; the tuning part shares the training dates."""
    space = places.part[tile]
    return np.where(np.where(space == TUNE, TRAIN, space) == date, space, NOWHERE).astype(np.int8)


def _check_date(
    files: Path,
    params: CnnDataParams,
    imagery: Imagery,
    samples: PatchSamples,
    tiles: Tiles,
    tile: Ints,
    date: int,
    part: NDArray[np.int8],
) -> None:
    """Check cube and labels of one date; its samples must be all, of a training class up to `samples_per_class`."""
    few = _only(imagery, date, 2 if params.label_source == "next_ndvi" else 1)
    labels = label_patches(files, params, few, _compared(files, few, date), tiles)
    label, ndvi = labels.label[0], labels.ndvi[0].astype(np.float32)
    own = np.flatnonzero(samples.date == date)
    day = imagery.acquisitions[date].date
    wrong = (label[tile[own]] != samples.label[own]) | (ndvi[tile[own]] != samples.ndvi[own])
    if wrong.any():
        number = own[int(wrong.argmax())]
        true = f"{CLASSES[label[tile[number]]] if label[tile[number]] >= 0 else 'none'}, NDVI {ndvi[tile[number]]:g}"
        found = f"{CLASSES[samples.label[number]]}, NDVI {samples.ndvi[number]:g} in row {number}"
        raise ContractError(PATCH_INDEX.path, f"must state the label that the imagery of {day} gives: {true}", found)
    capped = [name for name, count in samples.info.counts["train"].items() if count == params.samples_per_class]
    for split in (TRAIN, TUNE, VALIDATION):
        classes = [n for n, name in enumerate(CLASSES) if split != TRAIN or name not in capped]
        wanted = np.flatnonzero(np.isin(label, classes) & (part == split))
        held = own[(samples.split[own] == split) & np.isin(samples.label[own], classes)]
        if not np.array_equal(np.sort(tile[held]), wanted):
            of = f"of {', '.join(CLASSES[n] for n in classes)} in the {SPLITS[split]} part on {day}"
            rule = f"must hold all {len(wanted)} patches {of}"
            raise ContractError(PATCH_INDEX.path, rule, f"{len(held)}")


def _compared(files: Path, imagery: Imagery, date: int) -> Iterator[CubeScene]:
    """Yield scenes, each compared with the cube's copy, the first of which is that of a date."""
    cube, classes = load_cube(files)
    for number, scene in enumerate(scenes(imagery), date):
        day = imagery.acquisitions[number - date].date
        for artifact, stated, own in ((CUBE, cube, scene.dn), (CUBE_CLASSES, classes, scene.scl)):
            if not np.array_equal(stated[number], own):
                raise ContractError(artifact.path, f"must hold the pixels of the scene of {day}", "others")
        yield scene


def _draw(held_out: Ints, count: int, *, audit: bool) -> list[int]:
    """Return some of the other dates, drawn by the operating system's random numbers, or all of them for an audit."""
    random = np.random.default_rng(int.from_bytes(os.urandom(16)))
    others = np.setdiff1d(np.arange(count), held_out)
    size = len(others) if audit else min(DRAWN_DATES, len(others))
    return sorted(random.choice(others, size=size, replace=False).tolist())


def _only(imagery: Imagery, first: int, count: int) -> Imagery:
    """Return the manifest of some successive dates."""
    return imagery.model_copy(update={"acquisitions": imagery.acquisitions[first : first + count]})
