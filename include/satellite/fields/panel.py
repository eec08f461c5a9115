"""What was observed of fields, as arrays of fields by passes, and the seasons of their crops."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from include.satellite.fields.smoothing import Days, Values

EPOCH = date(1970, 1, 1)
ANNUAL_D = 400
"""A crop that is on the field for longer is permanent: its seasons are years."""


@dataclass(frozen=True)
class Season:
    """A season of a crop on a field, both days included (days since 1970-01-01).

    Args:
        field: Row of the field in the panel.
        crop: Code of the crop in the panel; −1 where none is stated.
        annual: The fields state when the crop is on the field; otherwise the season is a year.
    """

    field: int
    crop: int
    first: int
    last: int
    annual: bool


@dataclass(frozen=True)
class Panel:
    """Fields by passes.

    Args:
        ids: Identifier of each field.
        crops: Names of the crops; codes refer to them.
        days: Dates of the passes, (passes,), days since 1970-01-01, ascending.
        values: Index of a field on a pass, (fields, passes); NaN where the pass was not clear.
        weights: Clear share, (fields, passes).
        covered: Whether the field has any record of that pass, clear or not, (fields, passes).
        crop: Code of the crop on the field on that day, (fields, passes); −1 for none.
        places: Longitude and latitude of the fields' centroids, degrees, (fields, 2).
        seasons: Every season that overlaps the time from the first pass to the day of the analysis, by field and day.
    """

    ids: list[str]
    crops: list[str]
    days: Days
    values: Values
    weights: Values
    covered: NDArray[np.bool_]
    crop: NDArray[np.int64]
    places: Values
    seasons: list[Season]


def panel_of(observations: pd.DataFrame, fields: pd.DataFrame, as_of: date, index: str) -> Panel:
    """Return the panel of an index; of several records of a field on one day, the one with the largest clear share.

    Args:
        observations: One row for each field and scene: field_id, date, clear_share, status, <index>_mean.
        fields: One row for each field and crop: field_id, crop, valid_from, valid_to, lon, lat.
        as_of: Seasons reach until then.
        index: Such as `ndvi`.
    """
    import numpy as np

    ids = sorted({str(field_id) for field_id in fields["field_id"]})
    row = {field_id: i for i, field_id in enumerate(ids)}
    seen = observations.assign(
        row=observations["field_id"].astype(str).map(row), day=to_days(observations["date"])
    ).dropna(subset=["row", "day"])
    seen = seen.sort_values(["row", "day", "clear_share"], kind="stable").drop_duplicates(["row", "day"], keep="last")
    days = np.unique(seen["day"].to_numpy(dtype=np.int64))
    shape = (len(ids), len(days))
    values, weights, covered = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape, dtype=bool)
    at = seen["row"].to_numpy(dtype=np.int64), np.searchsorted(days, seen["day"].to_numpy(dtype=np.int64))
    values[at] = seen[f"{index}_mean"].to_numpy(dtype=float)
    weights[at] = seen["clear_share"].to_numpy(dtype=float)
    covered[at] = True
    clear = np.zeros(shape, dtype=bool)
    clear[at] = (seen["status"] == "ok").to_numpy()
    values[~clear] = np.nan
    crops = sorted({str(crop) for crop in fields["crop"] if isinstance(crop, str) and crop})
    code = {crop: i for i, crop in enumerate(crops)}
    crop, places, seasons = np.full(shape, -1), np.full((len(ids), 2), np.nan), []
    bounds = [
        [None if np.isnan(day) else int(day) for day in to_days(fields[name])] for name in ("valid_from", "valid_to")
    ]
    for field_id, name, lon, lat, first, last in zip(
        *(fields[column] for column in ("field_id", "crop", "lon", "lat")), *bounds, strict=True
    ):
        i = row[str(field_id)]
        places[i] = lon, lat
        number = code.get(name, -1) if isinstance(name, str) else -1
        here = (days >= (first if first is not None else days[0])) & (days <= (last if last is not None else days[-1]))
        crop[i, here] = number
        seasons += _seasons(i, number, first, last, (int(days[0]), (as_of - EPOCH).days), south=bool(places[i, 1] < 0))
    return Panel(
        ids, crops, days, values, weights, covered, crop, places, sorted(seasons, key=lambda s: (s.field, s.first))
    )


def _seasons(
    field: int, crop: int, first: int | None, last: int | None, time: tuple[int, int], *, south: bool
) -> list[Season]:
    """Return the season of an annual crop, or the years of another one: from 1 January, in the south from 1 July."""
    if first is not None and last is not None and last - first <= ANNUAL_D:
        return [Season(field, crop, first, last, annual=True)] if first <= time[1] and last >= time[0] else []
    first = time[0] if first is None else max(first, time[0])
    last = time[1] if last is None else min(last, time[1])
    month = 7 if south else 1
    day = to_date(first)
    begin = date(day.year if day.month >= month else day.year - 1, month, 1)
    years = []
    while (begin - EPOCH).days <= last:
        following = begin.replace(year=begin.year + 1)
        end = (following - EPOCH).days - 1
        years.append(Season(field, crop, max(first, (begin - EPOCH).days), end, annual=False))
        begin = following
    return years


def to_days(dates: pd.Series[Any]) -> pd.Series[Any]:
    """Return dates as days since 1970-01-01, NaN where there is none."""
    import pandas as pd

    return (pd.to_datetime(dates) - pd.Timestamp(EPOCH)) / pd.Timedelta(days=1)


def to_date(day: float) -> date:
    """Return the date of a number of days since 1970-01-01."""
    return EPOCH + timedelta(days=int(day))
