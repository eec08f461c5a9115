"""What a field is compared with: neighbours of its crop, and its own earlier seasons of that crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.satellite.fields.panel import to_date

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from include.satellite.fields.panel import Panel, Season
    from include.satellite.fields.smoothing import Values

    Rows = NDArray[np.int64]

RADIUS_KM = 20.0
MIN_NEIGHBOURS = 5
MAX_NEIGHBOURS = 60
"""The nearest ones within the radius: more add cost, and are further away."""
MIN_SEASONS = 3
SPREAD_FLOOR = 0.02
"""Smallest spread of NDVI that a z divides by: the noise of the mean of a field (docs/decisions/0040)."""
KM_PER_DEGREE = 111.195
BLOCK = 512


@dataclass(frozen=True)
class Reference:
    """What values are compared with, each (fields, passes): how many, their median, and their robust spread."""

    count: Rows
    median: Values
    spread: Values


def neighbours(places: Values) -> Rows:
    """Return the nearest other places within `RADIUS_KM`, (places, at most `MAX_NEIGHBOURS`), −1 where there are fewer.

    Args:
        places: Longitude and latitude, degrees, (places, 2).
    """
    import numpy as np

    count = min(MAX_NEIGHBOURS, max(len(places) - 1, 0))
    nearest = np.full((len(places), count), -1)
    for begin in range(0, len(places) if count else 0, BLOCK):
        rows = places[begin : begin + BLOCK]
        east = (places[None, :, 0] - rows[:, None, 0] + 180) % 360 - 180
        north = places[None, :, 1] - rows[:, None, 1]
        km = np.hypot(east * np.cos(np.radians(rows[:, None, 1])), north) * KM_PER_DEGREE
        km[np.arange(len(rows)), begin + np.arange(len(rows))] = np.inf
        order = np.argpartition(km, count - 1, axis=1)[:, :count]
        distance = np.take_along_axis(km, order, axis=1)
        nearest[begin : begin + BLOCK] = np.where(distance <= RADIUS_KM, order, -1)
    return nearest


def picked(values: Values, rows: Rows) -> Values:
    """Return values of rows, NaN for row −1."""
    import numpy as np

    return np.where(rows >= 0, values[rows], np.nan)


def robust(values: Values) -> tuple[Rows, Values, Values]:
    """Return count, median and 1.4826 × the median absolute deviation along the last axis, NaN being left out."""
    import numpy as np

    median = median_of(values)
    return np.isfinite(values).sum(axis=-1), median, 1.4826 * median_of(abs(values - median[..., None]))


def median_of(values: Values) -> Values:
    """Return the median along the last axis, NaN being left out; NaN where nothing is left."""
    import numpy as np

    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    ordered = np.sort(values, axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    top = np.maximum(count - 1, 0)
    low, high = top // 2, np.minimum(count // 2, top)
    lower, upper = (np.take_along_axis(ordered, at[..., None], axis=-1)[..., 0] for at in (low, high))
    return np.where(count > 0, (lower + upper) / 2, np.nan)


@dataclass(frozen=True)
class Group:
    """The fields that carry one crop in one season; of a permanent crop, at any time.

    Args:
        crop: Code of the crop.
        year: Cohort of its seasons (`cohort`).
        members: Fields, ascending.
        near: The neighbours of each among the members, as rows of `members`, −1 for none.
        carried: Passes on which each of them carries the crop in that season, (members, passes).
    """

    crop: int
    year: int
    members: Rows
    near: Rows
    carried: NDArray[np.bool_]


def cohort(panel: Panel, season: Season) -> int:
    """Return the year of the middle of an annual season, in the south from July to June; 0 for permanent crops."""
    middle = (season.first + season.last) // 2 + (182 if panel.places[season.field, 1] < 0 else 0)
    return to_date(middle).year if season.annual else 0


def by_crop(panel: Panel) -> list[Group]:
    """Return the groups of fields that are compared with each other."""
    import numpy as np

    seasons: dict[tuple[int, int], list[Season]] = {}
    for season in panel.seasons:
        if season.crop >= 0:
            seasons.setdefault((season.crop, cohort(panel, season)), []).append(season)
    groups = []
    for (crop, year), alike in sorted(seasons.items()):
        members = np.unique([season.field for season in alike])
        carried = np.zeros((len(members), len(panel.days)), dtype=bool)
        for season in alike:
            begin, end = np.searchsorted(panel.days, [season.first, season.last + 1])
            carried[np.searchsorted(members, season.field), begin:end] = True
        groups.append(Group(crop, year, members, neighbours(panel.places[members]), carried))
    return groups


def with_neighbours(panel: Panel, values: Values, groups: list[Group]) -> Reference:
    """Return what neighbours of the same crop show on the same day."""
    import numpy as np

    shape = panel.values.shape
    result = Reference(np.zeros(shape, dtype=np.int64), np.full(shape, np.nan), np.full(shape, np.nan))
    for group in groups:
        own = np.where(group.carried, values[group.members], np.nan)
        for at in np.flatnonzero(group.carried.any(axis=0)):
            here = group.carried[:, at]
            rows = group.members[here]
            count, median, spread = robust(picked(own[:, at], group.near[here]))
            result.count[rows, at], result.median[rows, at], result.spread[rows, at] = count, median, spread
    return result


def with_own_seasons(panel: Panel, daily: Values) -> Reference:
    """Return what the field showed on the same day of earlier years, in seasons of the crop that it carries now.

    Args:
        panel: Fields by passes.
        daily: Smoothed series, (fields, days), the first column being the first pass.
    """
    import numpy as np

    offsets = panel.days - panel.days[0]
    crop_daily = np.full(daily.shape, -1, dtype=np.int16)
    for season in panel.seasons:
        first, last = (max(day - int(panel.days[0]), 0) for day in (season.first, season.last + 1))
        crop_daily[season.field, first:last] = season.crop
    years = []
    for year in range(1, int(offsets[-1] // 365.25) + 1):
        earlier = offsets - round(365.25 * year)
        at = np.maximum(earlier, 0)
        same = (earlier >= 0) & (crop_daily[:, at] == panel.crop) & (panel.crop >= 0)
        years.append(np.where(same, daily[:, at], np.nan))
    if not years:
        nothing = np.full(panel.values.shape, np.nan)
        return Reference(np.zeros(panel.values.shape, dtype=np.int64), nothing, nothing)
    return Reference(*robust(np.stack(years, axis=-1)))
