"""What the observations of fields show: smoothed series, seasons, anomalies, findings and alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.satellite.fields.comparison import (
    MIN_NEIGHBOURS,
    MIN_SEASONS,
    RADIUS_KM,
    SPREAD_FLOOR,
    Reference,
    by_crop,
    with_neighbours,
    with_own_seasons,
)
from include.satellite.fields.falls import CUT, FALL, Fall, falls
from include.satellite.fields.panel import Panel, panel_of, to_date
from include.satellite.fields.phenology import phenology
from include.satellite.fields.smoothing import smooth
from include.satellite.fields.starts import LateStart, late_starts

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from include.satellite.fields.smoothing import Days, Values

NO_DATA_D = 30
GRID_D = 5
"""The smoothed series has a row every fifth day since 1970-01-01, and one on each pass."""
BLOCK = 1000
"""Fields that are smoothed at once."""
REGROWTH = 0.5
"""Share of the loss that grows back within `REGROWTH_D` days after mowing."""
REGROWTH_D = 60
SERIES_COLUMNS = ["field_id", "date", "observed", "smoothed", "filled"]
SEASON_COLUMNS = [
    "field_id", "crop", "season_from", "season_to", "passes", "start", "peak", "end", "peak_value", "amplitude",
    "reason",
]  # fmt: skip
ANOMALY_COLUMNS = [
    "field_id", "crop", "date", "value", "own_seasons", "own_median", "own_z", "neighbours", "neighbour_median",
    "neighbour_z", "reason",
]  # fmt: skip
EVENT_COLUMNS = [
    "field_id", "crop", "kind", "date", "since", "value", "expected", "change", "unit", "z", "threshold", "compared",
    "compared_with", "text",
]  # fmt: skip


@dataclass(frozen=True)
class Analysis:
    """Tables of an analysis; dates are Python dates, missing numbers NaN.

    Args:
        series: field_id, date, observed (NaN on days without a clear pass), smoothed, filled (not observed that day).
        seasons: field_id, crop, season_from, season_to, passes, start, peak, end, peak_value, amplitude; reason says
            why one of them is missing.
        anomalies: field_id, crop, date (clear passes), value (smoothed); own_seasons, own_median, own_z; neighbours,
            neighbour_median, neighbour_z; reason where neither comparison is possible.
        findings: Harvests and mowing, as `EVENT_COLUMNS`.
        alerts: Kinds `fall`, `late start` and `no data`, as `EVENT_COLUMNS`. `date` is the pass that confirms an alert,
            or the day on which a limit passed: it stays the same in later analyses.
    """

    series: pd.DataFrame
    seasons: pd.DataFrame
    anomalies: pd.DataFrame
    findings: pd.DataFrame
    alerts: pd.DataFrame


def analyse(
    observations: pd.DataFrame,
    fields: pd.DataFrame,
    *,
    as_of: date,
    index: str = "ndvi",
    no_data_days: int = NO_DATA_D,
) -> Analysis:
    """Return the analysis of an index of all fields.

    Args:
        observations: One row for each field and scene: field_id, date, clear_share (0–1), status (`ok` where the mean
            counts), <index>_mean; others are left alone.
        fields: One row for each field and crop: field_id, crop (None if not stated), valid_from, valid_to (None if
            open), lon and lat of the centroid (degrees).
        as_of: The day of the analysis. Later observations are left out.
        index: The index to analyse. The thresholds are those of NDVI.
        no_data_days: Days without a clear pass after which there is an alert.
    """
    import numpy as np
    import pandas as pd

    observations = observations[pd.to_datetime(observations["date"]) <= pd.Timestamp(as_of)]
    if observations.empty or fields.empty:
        columns = (SERIES_COLUMNS, SEASON_COLUMNS, ANOMALY_COLUMNS, EVENT_COLUMNS, EVENT_COLUMNS)
        return Analysis(*(pd.DataFrame(columns=names) for names in columns))
    panel = panel_of(observations, fields, as_of, index)
    daily = np.concatenate(
        [
            smooth(panel.days, panel.values[begin : begin + BLOCK], panel.weights[begin : begin + BLOCK])
            for begin in range(0, len(panel.ids), BLOCK)
        ]
    )
    groups = by_crop(panel)
    own = with_own_seasons(panel, daily)
    smoothed = daily[:, panel.days - panel.days[0]]
    found = falls(panel, with_neighbours(panel, panel.values, groups), own, groups)
    events = [_fall(panel, fall) for fall in found if not fall.cut]
    events += [_late_start(panel, late) for late in late_starts(panel, groups)]
    events += _no_data(panel, as_of, no_data_days)
    return Analysis(
        series=_series(panel, daily),
        seasons=_seasons(panel, daily),
        anomalies=_anomalies(panel, smoothed, own, with_neighbours(panel, smoothed, groups)),
        findings=_events([_cut(panel, fall) for fall in found if fall.cut]),
        alerts=_events(events),
    )


def _series(panel: Panel, daily: Values) -> pd.DataFrame:
    """Return the smoothed series every `GRID_D` days and on each clear pass."""
    import numpy as np
    import pandas as pd

    every = np.arange(panel.days[0], panel.days[-1] + 1)
    observed = np.full(daily.shape, np.nan)
    observed[:, panel.days - panel.days[0]] = panel.values
    rows, at = np.nonzero((np.isfinite(daily) & (every % GRID_D == 0)) | np.isfinite(observed))
    values = observed[rows, at]
    return pd.DataFrame(
        {
            "field_id": np.array(panel.ids, dtype=object)[rows],
            "date": _dates(every[at]),
            "observed": values,
            "smoothed": daily[rows, at],
            "filled": ~np.isfinite(values),
        }
    )


def _dates(days: Days) -> Any:
    """Return days since 1970-01-01 as Python dates."""
    return days.astype("datetime64[D]").astype(object)


def _seasons(panel: Panel, daily: Values) -> pd.DataFrame:
    """Return the phenology of each season."""
    import numpy as np
    import pandas as pd

    rows = []
    for season in panel.seasons:
        clear = panel.days[np.isfinite(panel.values[season.field])]
        result = phenology(season, daily[season.field], int(panel.days[0]), clear)
        rows.append(
            {
                "field_id": panel.ids[season.field],
                "crop": _crop(panel, season.crop),
                "season_from": to_date(season.first),
                "season_to": to_date(season.last),
                "passes": result.passes,
                **{
                    name: None if day is None else to_date(day)
                    for name, day in (("start", result.start), ("peak", result.peak), ("end", result.end))
                },
                "peak_value": result.peak_value,
                "amplitude": result.amplitude,
                "reason": "; ".join(result.reasons),
            }
        )
    return pd.DataFrame(rows, columns=SEASON_COLUMNS).astype({"peak_value": float, "amplitude": float})


def _crop(panel: Panel, code: int) -> str | None:
    return panel.crops[code] if code >= 0 else None


def _anomalies(panel: Panel, smoothed: Values, own: Reference, near: Reference) -> pd.DataFrame:
    """Return how each field stands on its clear passes."""
    import numpy as np
    import pandas as pd

    rows, at = np.nonzero(np.isfinite(panel.values) & np.isfinite(smoothed))
    value, crop = smoothed[rows, at], panel.crop[rows, at]
    compared = {}
    for name, reference, least in (("own", own, MIN_SEASONS), ("neighbour", near, MIN_NEIGHBOURS)):
        count, median = reference.count[rows, at], reference.median[rows, at]
        enough = count >= least
        compared[name] = (
            count,
            np.where(enough, median, np.nan),
            np.where(enough, (value - median) / np.maximum(reference.spread[rows, at], SPREAD_FLOOR), np.nan),
        )
    none = ~np.isfinite(compared["own"][2]) & ~np.isfinite(compared["neighbour"][2])
    reason = np.where(none, np.where(crop < 0, "no crop is stated", "no comparable history"), "")
    names = np.array([*panel.crops, None], dtype=object)
    return pd.DataFrame(
        {
            "field_id": np.array(panel.ids, dtype=object)[rows],
            "crop": names[crop],
            "date": _dates(panel.days[at]),
            "value": value,
            "own_seasons": compared["own"][0],
            "own_median": compared["own"][1],
            "own_z": compared["own"][2],
            "neighbours": compared["neighbour"][0],
            "neighbour_median": compared["neighbour"][1],
            "neighbour_z": compared["neighbour"][2],
            "reason": reason,
        }
    )


def _event(panel: Panel, field: int, day: int, **figures: Any) -> dict[str, Any]:
    import numpy as np

    at = min(int(np.searchsorted(panel.days, day)), len(panel.days) - 1)
    return {
        "field_id": panel.ids[field],
        "crop": _crop(panel, int(panel.crop[field, at])),
        "date": to_date(day),
        **figures,
    }


def _with(neighbours: bool, compared: int) -> str:
    return f"{compared} neighbours within {RADIUS_KM:.0f} km" if neighbours else f"{compared} own seasons"


def _fall(panel: Panel, fall: Fall) -> dict[str, Any]:
    compared_with = _with(fall.neighbours, fall.compared)
    return _event(
        panel,
        fall.field,
        fall.day,
        kind="fall",
        since=to_date(fall.since),
        value=fall.value,
        expected=fall.expected,
        change=fall.change,
        unit="index",
        z=fall.z,
        threshold=-FALL,
        compared=fall.compared,
        compared_with="neighbours" if fall.neighbours else "own seasons",
        text=f"{-fall.change:.2f} lower than expected, mean of two clear passes since {to_date(fall.since)}:"
        f" {fall.value:.2f} where {fall.expected:.2f} follows from {compared_with} (z {fall.z:.1f})",
    )


def _cut(panel: Panel, fall: Fall) -> dict[str, Any]:
    """Return the finding of a cut: mowing where it grew back, harvest where it stayed low or the season ended."""
    import numpy as np

    later = (panel.days > fall.day) & (panel.days <= fall.day + REGROWTH_D) & np.isfinite(panel.values[fall.field])
    grown = np.max(panel.values[fall.field, later], initial=-np.inf)
    regrown = grown >= fall.expected + fall.change * (1 - REGROWTH)
    known = panel.days[-1] >= fall.day + REGROWTH_D
    kind = "mowing" if regrown else "harvest" if known else "harvest or mowing"
    return _event(
        panel,
        fall.field,
        fall.day,
        kind=kind,
        since=to_date(fall.since),
        value=fall.value,
        expected=fall.expected,
        change=fall.change,
        unit="index",
        z=float("nan"),
        threshold=-CUT,
        compared=0,
        compared_with="",
        text=f"{kind}: a sudden fall by {-fall.change:.2f} from {fall.expected:.2f} before {to_date(fall.since)}",
    )


def _late_start(panel: Panel, late: LateStart) -> dict[str, Any]:
    compared_with = _with(late.neighbours, late.compared)
    days = late.day - late.expected
    return _event(
        panel,
        late.field,
        late.day,
        kind="late start",
        since=to_date(late.expected),
        value=float(days),
        expected=0.0,
        change=float(days),
        unit="d",
        z=float("nan"),
        threshold=float(late.limit - late.expected),
        compared=late.compared,
        compared_with="neighbours" if late.neighbours else "own seasons",
        text=f"not started on {to_date(late.day)} ({late.value:.2f}): the median of {compared_with} started {days} days"
        f" before, on {to_date(late.expected)}; more than {late.limit - late.expected} days are late",
    )


def _no_data(panel: Panel, as_of: date, limit: int) -> list[dict[str, Any]]:
    """Return an alert for each field that carries a crop today and had no clear pass for more than `limit` days."""
    import numpy as np

    from include.satellite.fields.panel import EPOCH

    today = (as_of - EPOCH).days
    watched = {season.field: season.first for season in panel.seasons if season.first <= today <= season.last}
    events = []
    for field, first in watched.items():
        clear = panel.days[np.isfinite(panel.values[field])]
        last = int(clear[-1]) if len(clear) else max(int(panel.days[0]), first) - 1
        days = today - last
        if days <= limit:
            continue
        passes = int(panel.covered[field, panel.days > last].sum())
        events.append(
            _event(
                panel,
                field,
                last + limit + 1,
                kind="no data",
                since=to_date(last),
                value=float(days),
                expected=0.0,
                change=float(days),
                unit="d",
                z=float("nan"),
                threshold=float(limit),
                compared=passes,
                compared_with="passes",
                text=f"no clear pass since {to_date(last)}: {days} days and {passes} passes; the limit is {limit} days",
            )
        )
    return events


def _events(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return events as a table by date and field."""
    import pandas as pd

    return pd.DataFrame(rows, columns=EVENT_COLUMNS).sort_values(["date", "field_id", "kind"], ignore_index=True)
