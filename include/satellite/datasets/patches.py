"""Training data of the CNN: patches as an index into the cube, no copies.

Writes `cube.npy` (T, H, W, C; uint16), `scl.npy` (T, H, W; uint8), `cnn_index.parquet` and `cnn_dataset.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from include.core.contracts import Summary
from include.core.errors import ContractError
from include.core.run_folder import read_model, write_json
from include.satellite.datasets.cube import CLEAR_CLASSES, cube_bands, load_cube, load_imagery, store
from include.satellite.datasets.documents import CLASSES, SPLITS, TRAIN, VALIDATION, BlockPlan, Normalisation, PatchInfo
from include.satellite.datasets.export import export_patches
from include.satellite.datasets.findings import patch_findings
from include.satellite.datasets.index import read_index, write_index
from include.satellite.datasets.labels import Labels, label_patches
from include.satellite.datasets.normalisation import training_normalisation
from include.satellite.datasets.selection import LEAST_GATED, Samples, check_enough, select
from include.satellite.datasets.splits import latest_dates, place, plan_blocks, spread_dates
from include.satellite.datasets.squares import Squares
from include.satellite.imagery.model import CLEAR, SCALE, Imagery
from include.satellite.params import CnnDataParams

INDEX, INFO = "cnn_index.parquet", "cnn_dataset.json"
CACHED_VALUES = 1 << 18
"""Values that are worked on at a time: 1 MiB, so that they stay in the processor's cache."""
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Scaling(Protocol):
    """What scales a batch: mean and standard deviation of the reflectance by band."""

    @property
    def mean(self) -> Sequence[float]:
        """By band, in the cube's order."""

    @property
    def std(self) -> Sequence[float]:
        """By band, in the cube's order."""


@dataclass(frozen=True)
class PatchDataset:
    """Patches of the cube with their labels; the N samples share one order.

    Args:
        cube: (T, H, W, C) uint16, reflectance × 10,000, memory-mapped.
        scl: (T, H, W) uint8, scene classification, 0 where masked, memory-mapped.
        date: (N,) position on the cube's first axis.
        row: (N,) top pixel row.
        col: (N,) left pixel column.
        label: (N,) position in `CLASSES`.
        split: (N,) position in `SPLITS`.
        block: (N,) block of the plan.
        repeat: (N,) how often an epoch draws the sample (1 outside the training part).
        ndvi: (N,) mean NDVI of the pixels that decide, at the sample's own date.
        info: What the preparation says of it.
    """

    cube: NDArray[np.uint16]
    scl: NDArray[np.uint8]
    date: Ints
    row: Ints
    col: Ints
    label: Ints
    split: Ints
    block: Ints
    repeat: Ints
    ndvi: Floats
    info: PatchInfo

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, split: str) -> Ints:
        """The samples of `train`, `tune` or `validation`."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def batch(self, rows: NDArray[np.integer], normalisation: Scaling | None = None) -> Floats:
        """Patches as a model takes them.

        Args:
            rows: Which samples.
            normalisation: Mean and std by band; default: the training part's own.

        Returns:
            (N, C, p, p) float32, (reflectance − mean) / std, 0 where the scene classification is not clear. Pixels of
            all bands lie side by side in memory (channels last), as in the cube.
        """
        scaling = normalisation or self.info.normalisation
        bands, size = self.cube.shape[3], self.info.patch_size
        std = np.asarray(scaling.std, np.float64)
        factor = np.tile((SCALE / std).astype(np.float32), size * size)
        offset = np.tile((-np.asarray(scaling.mean) / std).astype(np.float32), size * size)
        out = np.empty((len(rows), size * size * bands), np.float32)
        pixels = out.view(np.dtype((np.void, 4 * bands)))
        step = max(1, CACHED_VALUES // out.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            dn, classes = self._cut(rows[part])
            out[part] = dn.reshape(len(dn), -1)
            out[part] *= factor
            out[part] += offset
            hidden = (classes < CLEAR[0]) | (classes > CLEAR[-1])  # the clear classes are neighbours: 4, 5, 6, 7
            pixels[part][hidden.reshape(len(dn), -1)] = np.zeros((), pixels.dtype)
        return out.reshape(len(rows), size, size, bands).transpose(0, 3, 1, 2)

    def _cut(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Digital numbers (N, p, p·C) and scene classification (N, p, p) of some patches; whole lines are copied."""
        bands, size = self.cube.shape[3], self.info.patch_size
        lines = self.cube.reshape(*self.cube.shape[:2], -1)
        dn = np.empty((len(rows), size, size * bands), np.uint16)
        classes = np.empty((len(rows), size, size), np.uint8)
        for number, (date, row, col) in enumerate(zip(*self._corners(rows), strict=True)):
            dn[number] = lines[date, row : row + size, col * bands : (col + size) * bands]
            classes[number] = self.scl[date, row : row + size, col : col + size]
        return dn, classes

    def band_means(self, rows: NDArray[np.integer]) -> Floats:
        """Mean reflectance of each patch's clear pixels, (N, C)."""
        size = self.info.patch_size
        means = np.empty((len(rows), self.cube.shape[3]), np.float32)
        for mean, date, row, col in zip(means, *self._corners(rows), strict=True):
            window = (date, slice(row, row + size), slice(col, col + size))
            clear = CLEAR_CLASSES[self.scl[window]].ravel().astype(np.float32)
            mean[:] = clear @ self.cube[window].reshape(size * size, -1).astype(np.float32) / clear.sum()
        return means * np.float32(SCALE)

    def _corners(self, rows: NDArray[np.integer]) -> tuple[list[int], list[int], list[int]]:
        return self.date[rows].tolist(), self.row[rows].tolist(), self.col[rows].tolist()


def load_patches(files: Path) -> PatchDataset:
    """The CNN's dataset of a run's `files/`."""
    info = read_model(files / INFO, PatchInfo)
    if info is None:
        raise ContractError(INFO, "must exist", "no such file")
    cube, scl = load_cube(files)
    index = read_index(files / INDEX)
    return PatchDataset(
        cube=cube,
        scl=scl,
        date=index["date"].astype(np.int64),
        row=index["row"].astype(np.int64),
        col=index["column"].astype(np.int64),
        label=_positions(index["label"], CLASSES),
        split=_positions(index["split"], SPLITS),
        block=index["block"].astype(np.int64),
        repeat=index["repeat"].astype(np.int64),
        ndvi=index["ndvi"].astype(np.float32),
        info=info,
    )


def _positions(values: NDArray[Any], names: tuple[str, ...]) -> Ints:
    positions = np.full(len(values), -1)
    for position, name in enumerate(names):
        positions[values == name] = position
    return positions


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
    imagery = load_imagery(files)
    grid, count, size = imagery.grid, len(imagery.acquisitions), params.patch_size
    squares = Squares.on(grid.height, grid.width, size, params.stride)
    plan = plan_blocks(grid.height, grid.width, size, params.stride, params.seed)
    places = place(squares, plan)
    dates = latest_dates(count) if params.label_source == "next_ndvi" else spread_dates(count, params.seed)
    with closing(store(files, imagery)) as passing:
        labels = label_patches(files, params, imagery, passing, squares)
    samples = select(labels.label, places, dates, params)
    check_enough(samples, params, grid, count)
    tops, lefts = squares.rows[samples.position], squares.columns[samples.position]
    training = samples.part == TRAIN
    normalisation = training_normalisation(
        files, cube_bands(imagery), samples.date[training], tops[training], lefts[training], size
    )
    write_index(
        files / INDEX,
        {
            "date": samples.date,
            "row": tops,
            "column": lefts,
            "label": np.array(CLASSES, object)[samples.label],
            "split": np.array(SPLITS, object)[samples.part],
            "block": places.block[samples.position],
            "repeat": samples.repeat,
            "ndvi": labels.ndvi[samples.date, samples.position],
        },
    )
    write_json(files / INFO, _describe(imagery, params, plan, dates, len(squares), labels, samples, normalisation))
    if params.export_npy:
        export_patches(files, load_patches(files))


def _describe(
    imagery: Imagery,
    params: CnnDataParams,
    plan: BlockPlan,
    dates: NDArray[np.int8],
    positions: int,
    labels: Labels,
    samples: Samples,
    normalisation: Normalisation,
) -> PatchInfo:
    days, counts = [acquisition.date for acquisition in imagery.acquisitions], samples.counts()
    training = samples.part == TRAIN
    drawn = np.bincount(samples.label[training], samples.repeat[training], len(CLASSES)).astype(int)
    return PatchInfo(
        grid=imagery.grid,
        dates=days,
        bands=normalisation.bands,
        classes=list(CLASSES),
        label_source=params.label_source,
        synthetic=imagery.synthetic,
        seed=params.seed,
        patch_size=params.patch_size,
        stride=params.stride,
        normalisation=normalisation,
        blocks=plan,
        training_dates=[day for day, part in zip(days, dates, strict=True) if part == TRAIN],
        validation_dates=[day for day, part in zip(days, dates, strict=True) if part == VALIDATION],
        positions=positions,
        counts=counts,
        left_out=labels.left_out,
        dropped=samples.dropped,
        drawn=dict(zip(CLASSES, drawn.tolist(), strict=True)),
        gate_classes=[name for name in CLASSES if counts["train"][name] >= LEAST_GATED],
        masked_pixels=labels.masked,
    )


def prepare_cnn_summary(files: Path) -> Summary:
    """Key figures of the CNN's training data, for reports."""
    info = read_model(files / INFO, PatchInfo)
    if info is None:
        return {}
    return {
        "samples": {split: sum(by_class.values()) for split, by_class in info.counts.items()},
        "left_out": sum(info.left_out.values()),
        "dropped": sum(info.dropped.values()),
        "blocks": info.blocks.count,
        "findings": patch_findings(info),
        "tables": [
            {
                "title": "Patches by split and class",
                "columns": ["split", *info.classes],
                "rows": [[split, *by_class.values()] for split, by_class in info.counts.items()],
            },
            {
                "title": "Patches that are no samples",
                "columns": ["reason", "patches"],
                "rows": [[reason, count] for reason, count in (info.left_out | info.dropped).items()],
            },
        ],
    }
