"""The choice of samples among labelled patches: splits first, then the training split is capped and balanced."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.datasets.labels import Labels
from include.satellite.datasets.schemas import CLASSES, SPLITS, TRAIN, TUNE, VALIDATION
from include.satellite.datasets.splits import NOWHERE, Places
from include.satellite.datasets.storage import Columns, Ints
from include.satellite.imagery.schemas import Grid
from include.satellite.params import CnnDataParams

LEAST_VALIDATION, LEAST_CLASSES, LEAST_GATED, MOST_REPEATS = 30, 2, 20, 5
ACROSS = "across the border of a held-out block"
HELD_BLOCK = "in a validation block, not on a validation date"
HELD_DATE = "on a validation date, not in a validation block"
BETWEEN = "labelled by the first date that validation sees"
OVER_CAP = "over samples_per_class"


def select(
    labels: Labels, places: Places, dates: NDArray[np.int8], params: CnnDataParams
) -> tuple[Columns, dict[str, int]]:
    """Assign each labelled patch to a split, or count the reason why it has none.

    Args:
        labels: The class of the P tiles on the T dates.
        places: Part and block of the P tiles.
        dates: (T,) part of each date; the tuning part shares the training dates.
        params: Cap and seed.

    Returns:
        The columns of the index (`PatchRow`), labels and splits as positions; and how many labelled patches no split
        takes, by reason.
    """
    date, position = np.nonzero(labels.label >= 0)
    label, space, time = labels.label[date, position], places.part[position], dates[date]
    part = np.where(np.where(space == TUNE, TRAIN, space) == time, space, NOWHERE).astype(np.int8)
    reason = np.select(
        [part != NOWHERE, space == NOWHERE, time == NOWHERE, space == VALIDATION],
        ["", ACROSS, BETWEEN, HELD_BLOCK],
        HELD_DATE,
    )
    random = np.random.default_rng([params.seed, 1])
    training = np.flatnonzero(part == TRAIN)
    over = training[~cap(label[training].astype(np.int64), params.samples_per_class, random)]
    part[over], reason[over] = NOWHERE, OVER_CAP
    columns: Columns = {
        "date": date,
        "row": places.row[position],
        "column": places.column[position],
        "label": label,
        "split": part,
        "block": places.block[position],
        "repeat": repeats(label, part == TRAIN, random),
        "ndvi": labels.ndvi[date, position],
    }
    stays = part != NOWHERE
    return {name: values[stays] for name, values in columns.items()}, tally(reason[~stays])


def count_samples(columns: Columns) -> dict[str, dict[str, int]]:
    """Return the number of samples of an index by split and class."""
    table = np.zeros((len(SPLITS), len(CLASSES)), np.int64)
    np.add.at(table, (columns["split"], columns["label"]), 1)
    return {split: dict(zip(CLASSES, row.tolist(), strict=True)) for split, row in zip(SPLITS, table, strict=True)}


def tally(reasons: NDArray[np.str_]) -> dict[str, int]:
    """Return how often each reason occurs, by reason in alphabetical order.

    >>> tally(np.array(["cloud", "cap", "cloud"]))
    {'cap': 1, 'cloud': 2}
    """
    names, counts = np.unique(reasons, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def check_enough(counts: Mapping[str, Mapping[str, int]], params: CnnDataParams, grid: Grid, dates: int) -> None:
    """Refuse data that are too few to learn from, or to judge a model by.

    Args:
        counts: Number of samples by split and class.
        params: Patches, for the message.
        grid: The area.
        dates: Number of dates.

    Raises:
        BadInputError: Fewer than 30 validation patches, fewer than 2 classes to learn or to judge, or nothing to tune.
    """
    classes = {split: [name for name, count in by_class.items() if count] for split, by_class in counts.items()}
    size = {split: sum(by_class.values()) for split, by_class in counts.items()}
    faults = []
    if size["validation"] < LEAST_VALIDATION:
        faults.append(f"{size['validation']} validation patches, at least {LEAST_VALIDATION} are needed")
    for split in ("validation", "train"):
        if len(classes[split]) < LEAST_CLASSES:
            named = ", ".join(classes[split]) or "no class"
            faults.append(f"{named} alone among the {split} patches, at least {LEAST_CLASSES} classes are needed")
    if size["tune"] == 0:
        faults.append("no tuning patch")
    if faults:
        raise BadInputError(
            f"patch_size {params.patch_size} and stride {params.stride} leave, of the area of {grid.height} × "
            f"{grid.width} pixels and {dates} dates: {'; '.join(faults)}. Take smaller patches, a smaller stride, "
            "a larger area or more dates"
        )


def cap(groups: Ints, most: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return which samples stay when at most so many of each group are kept, drawn at random.

    Args:
        groups: (N,) group of each sample.
        most: How many to keep of each.
        random: Draws them.

    Returns:
        (N,) which stay.
    """
    order = random.permutation(len(groups))
    shuffled = groups[order]
    by_group = np.argsort(shuffled, kind="stable")
    ordered = shuffled[by_group]
    rank = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    keep = np.zeros(len(groups), np.bool_)
    keep[order[by_group[rank < most]]] = True
    return keep


def repeats(labels: NDArray[np.integer], training: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.int8]:
    """Return how often an epoch draws each sample, so that rare classes count as much as the most frequent.

    Args:
        labels: (N,) class of each sample.
        training: (N,) whether it is a training sample; only these are drawn more than once, at most 5 times.
        random: Draws the samples that are taken once more than others of their class.
    """
    names, counts = np.unique(labels[training], return_counts=True)
    repeat = np.ones(len(labels), np.int8)
    for label, count in zip(names, counts, strict=True):
        drawn = min(int(counts.max()), MOST_REPEATS * int(count))
        samples = random.permutation(np.flatnonzero(training & (labels == label)))
        repeat[samples] = drawn // count
        repeat[samples[: drawn % count]] += 1
    return repeat
