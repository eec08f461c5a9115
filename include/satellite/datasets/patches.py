"""Training data of the CNN: patches as an index into the cube, no copies.

Writes `cube.npy` (T, H, W, C; uint16), `scl.npy` (T, H, W; uint8), `cnn_index.parquet` and `cnn_dataset.json`.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from include.core.outcome import Finding, Severity, StepMetrics, StepOutcome, Table
from include.satellite.artifacts import PATCH_INDEX, PATCH_INFO, VALIDATED
from include.satellite.datasets.cube import load_cube, training_normalisation, write_cube
from include.satellite.datasets.labels import crop_finding, crop_shares, label_patches
from include.satellite.datasets.sampling import LEAST_GATED, check_enough, count_samples, select
from include.satellite.datasets.schemas import CLASSES, TRAIN, VALIDATION, PatchInfo
from include.satellite.datasets.splits import Tiles, block_findings, latest_dates, place, plan_blocks, spread_dates
from include.satellite.datasets.storage import Floats, Ints, SplitSamples, export_splits, read_index, write_index
from include.satellite.params import CnnDataParams
from include.satellite.sensors import sensors
from include.satellite.sensors.sensor import Sensor

EXPORT_FOLDER = "cnn_npy"
CACHED_VALUES = 1 << 18
"""Values that are worked on at a time: 1 MiB, so that they stay in the processor's cache."""


class PrepareCnnMetrics(StepMetrics, extra="forbid"):
    """Metrics of the CNN's training data."""

    samples: dict[str, int]
    left_out: int
    dropped: int
    blocks: int


class Scaling(Protocol):
    """The scaling of a batch: mean and standard deviation of the reflectance by band."""

    @property
    def mean(self) -> Sequence[float]:
        """By band, in the cube's order."""

    @property
    def std(self) -> Sequence[float]:
        """By band, in the cube's order."""


@dataclass(frozen=True)
class PatchSamples(SplitSamples):
    """Patches with their labels, without their pixels; the N samples share one order.

    Args:
        date: (N,) position on the cube's first axis.
        row: (N,) top pixel row.
        col: (N,) left pixel column.
        label: (N,) position in `CLASSES`.
        block: (N,) block of the plan.
        repeat: (N,) how often an epoch draws the sample (1 outside the training part).
        ndvi: (N,) mean NDVI of the pixels that decide, at the sample's own date.
        info: Its description.
    """

    date: Ints
    row: Ints
    col: Ints
    label: Ints
    block: Ints
    repeat: Ints
    ndvi: Floats
    info: PatchInfo


@dataclass(frozen=True)
class PatchDataset(PatchSamples):
    """Patches of the cube with their labels.

    Args:
        cube: (T, H, W, C) uint16, reflectance × 10,000, memory-mapped.
        scl: (T, H, W) uint8, scene classification, 0 where masked, memory-mapped.
    """

    cube: NDArray[np.uint16]
    scl: NDArray[np.uint8]

    @property
    def sensor(self) -> Sensor:
        """The sensor that took the imagery."""
        return sensors()[self.info.sensor]

    def batch(self, rows: NDArray[np.integer], normalisation: Scaling | None = None) -> Floats:
        """Return patches as a model takes them.

        Args:
            rows: Which samples.
            normalisation: Mean and std by band; default: the training part's own.

        Returns:
            (N, C, p, p) float32, (reflectance − mean) / std, 0 where the scene classification is not clear. Pixels of
            all bands lie side by side in memory (channels last), as in the cube.
        """
        scaling, sensor = normalisation or self.info.normalisation, self.sensor
        bands, size = self.cube.shape[3], self.info.patch_size
        std = np.asarray(scaling.std, np.float64)
        factor = np.tile((sensor.scale / std).astype(np.float32), size * size)
        offset = np.tile((-np.asarray(scaling.mean) / std).astype(np.float32), size * size)
        out = np.empty((len(rows), size * size * bands), np.float32)
        pixels = out.view(np.dtype((np.void, 4 * bands)))
        step = max(1, CACHED_VALUES // out.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            dn, classes = self._extract(rows[part])
            out[part] = dn.reshape(len(dn), -1)
            out[part] *= factor
            out[part] += offset
            hidden = ~sensor.classes.mask(classes, sensor.classes.clear)
            pixels[part][hidden.reshape(len(dn), -1)] = np.zeros((), pixels.dtype)
        return out.reshape(len(rows), size, size, bands).transpose(0, 3, 1, 2)

    def _extract(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Return digital numbers (N, p, p·C) and classes (N, p, p) of some patches; complete lines are copied."""
        bands, size = self.cube.shape[3], self.info.patch_size
        lines = self.cube.reshape(*self.cube.shape[:2], -1)
        dn = np.empty((len(rows), size, size * bands), np.uint16)
        classes = np.empty((len(rows), size, size), np.uint8)
        for number, (day, row, col) in enumerate(zip(*self._corners(rows), strict=True)):
            dn[number] = lines[day, row : row + size, col * bands : (col + size) * bands]
            classes[number] = self.scl[day, row : row + size, col : col + size]
        return dn, classes

    def band_means(self, rows: NDArray[np.integer]) -> Floats:
        """Return the mean reflectance of each patch's clear pixels, (N, C)."""
        size, sensor = self.info.patch_size, self.sensor
        means = np.empty((len(rows), self.cube.shape[3]), np.float32)
        for mean, day, row, col in zip(means, *self._corners(rows), strict=True):
            window = (day, slice(row, row + size), slice(col, col + size))
            clear = sensor.classes.mask(self.scl[window], sensor.classes.clear).ravel().astype(np.float32)
            mean[:] = clear @ self.cube[window].reshape(size * size, -1).astype(np.float32) / clear.sum()
        return means * np.float32(sensor.scale)

    def _corners(self, rows: NDArray[np.integer]) -> tuple[list[int], list[int], list[int]]:
        return self.date[rows].tolist(), self.row[rows].tolist(), self.col[rows].tolist()


def load_patches(files: Path) -> PatchDataset:
    """Return the CNN's dataset of a run's `files/`.

    Raises:
        ContractError: There is none.
    """
    samples = _samples(files)
    cube, scl = load_cube(files)
    return PatchDataset(cube=cube, scl=scl, **samples)


def load_patch_samples(files: Path) -> PatchSamples:
    """Return the CNN's samples of a run's `files/`, without the cube.

    Raises:
        ContractError: There are none.
    """
    return PatchSamples(**_samples(files))


def _samples(files: Path) -> dict[str, Any]:
    info, index = PATCH_INFO.read(files), read_index(PATCH_INDEX.at(files))
    return {"info": info, "col": index.pop("column"), **index}


def prepare_cnn(files: Path, params: CnnDataParams) -> None:
    """Write the cube, and the index of the patches with labels and splits.

    Args:
        files: The run's `files/` folder.
        params: Patches, labels and seed.

    Raises:
        BadInputError: The area, the dates or the labels do not give enough patches; names patch, stride and area.
        ContractError: A file of the imagery store is not what was validated.
        SetupError: The folder cannot be written, or the disk is full.
    """
    imagery = VALIDATED.read(files)
    grid, count, size = imagery.grid, len(imagery.acquisitions), params.patch_size
    tiles = Tiles.on(grid.height, grid.width, size, params.stride)
    plan = plan_blocks(grid.height, grid.width, size, params.stride, params.seed)
    places = place(tiles, plan)
    dates = latest_dates(count) if params.label_source == "next_ndvi" else spread_dates(count, params.seed)
    with closing(write_cube(files, imagery)) as passing:
        labels = label_patches(files, params, imagery, passing, tiles)
    columns, dropped = select(labels, places, dates, params)
    counts = count_samples(columns)
    check_enough(counts, params, grid, count)
    write_index(PATCH_INDEX.at(files), columns)
    training = columns["split"] == TRAIN
    date, top, left, label, repeat = (columns[name][training] for name in ("date", "row", "column", "label", "repeat"))
    normalisation = training_normalisation(files, imagery, date, top, left, size)
    drawn = np.bincount(label, repeat, len(CLASSES)).astype(int)
    days = [acquisition.date for acquisition in imagery.acquisitions]
    info = PatchInfo.of(
        imagery,
        params,
        bands=normalisation.bands,
        classes=list(CLASSES),
        normalisation=normalisation,
        blocks=plan,
        training_dates=[day for day, part in zip(days, dates, strict=True) if part == TRAIN],
        validation_dates=[day for day, part in zip(days, dates, strict=True) if part == VALIDATION],
        positions=len(tiles),
        counts=counts,
        left_out=labels.left_out,
        dropped=dropped,
        drawn=dict(zip(CLASSES, drawn.tolist(), strict=True)),
        gate_classes=[name for name in CLASSES if counts["train"][name] >= LEAST_GATED],
        masked_pixels=labels.masked,
        sensor=imagery.sensor.id,
        **crop_shares(files, params, imagery),
    )
    PATCH_INFO.write(files, info)
    if params.export_npy:
        data = load_patches(files)
        export_splits(files / EXPORT_FOLDER, data, data.batch, data.label)


def prepare_cnn_outcome(files: Path) -> StepOutcome:
    """Return the metrics and findings of the CNN's training data."""
    info = PATCH_INFO.read(files)
    by_class = tuple((split, *counts.values()) for split, counts in info.counts.items())
    reasons = tuple((info.left_out | info.dropped).items())
    return StepOutcome(
        metrics=PrepareCnnMetrics(
            samples={split: sum(counts.values()) for split, counts in info.counts.items()},
            left_out=sum(info.left_out.values()),
            dropped=sum(info.dropped.values()),
            blocks=info.blocks.count,
        ),
        findings=tuple(_findings(info)),
        tables=(
            Table(title="Patches by split and class", columns=("split", *info.classes), rows=by_class),
            Table(title="Patches that are no samples", columns=("reason", "patches"), rows=reasons),
        ),
        synthetic=info.synthetic,
    )


def _findings(info: PatchInfo) -> list[Finding]:
    """Return what a reader should know of the data before believing a model."""
    messages: list[tuple[Severity, str]] = []
    if info.label_source == "ndvi_rule":
        messages.append(
            ("info", "labels are a threshold on the patch's own NDVI: a model that learns them imitates a rule")
        )
    if info.label_source == "next_ndvi":
        messages.append(("info", f"a label is the class {_days_apart(info.dates)} later"))
    outside = [f"{name} ({info.counts['train'][name]})" for name in info.classes if name not in info.gate_classes]
    if outside:
        message = f"fewer than {LEAST_GATED} training patches: {', '.join(outside)}; these classes leave the gate"
        messages.append(("warning", message))
    unseen = [name for name in info.gate_classes if not info.counts["validation"][name]]
    if unseen:
        messages.append(("warning", f"no validation patch is {' or '.join(unseen)}: nothing judges these"))
    findings = [Finding(severity=severity, message=message) for severity, message in messages]
    return block_findings(info.blocks, info.patch_size, "patches") + crop_finding(info) + findings


def _days_apart(dates: Sequence[datetime.date]) -> str:
    gaps = [(after - before).days for before, after in pairwise(dates)]
    return f"{min(gaps)} to {max(gaps)} days (median {median(gaps):g})"
