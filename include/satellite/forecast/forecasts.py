"""Forecasts, expected values, intervals and early warnings of fields, from their series.

An interval holds for all fields and dates together. Its half width is that of the training, or a larger one where
earlier forecasts of these very fields were further off: those of the year before the last calibrate it (split conformal
prediction), and those of the last year measure what it covers. So no date does both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.satellite.datasets.seasons import LEAST_HISTORY_DAYS, has_seasons, previous_dates, seasons_at
from include.satellite.datasets.sequences import LEAST_STEPS, SEASONAL_FEATURES, Steps, steps_of
from include.satellite.forecast.schemas import LEVEL, Calibration, EarlyWarning, ForecastRow
from include.satellite.training.schemas import ModelCard

if TYPE_CHECKING:
    import pandas as pd

    from include.satellite.fields.schemas import CropField
    from include.satellite.forecast.series import FieldSeries

Values = NDArray[np.float64]
Predict = Callable[[Steps], NDArray[np.floating[Any]]]
YEAR = 365
MEASURED, CALIBRATED = timedelta(days=YEAR), timedelta(days=2 * YEAR)
"""Earlier forecasts of the last year measure an interval, those of the year before it calibrate it."""
LEAST_SAMPLES, LEAST_DATES = 30, 10
"""Fewer earlier forecasts calibrate nothing."""
LEAST_YEARS = 2
"""Earlier years that an expected value needs to be a reason for a warning."""
FRESH_DAYS = 30
"""An older observation is no reason for a warning."""
LEAST_COVERAGE = 0.85
DIGITS = 6
COLUMNS = list(ForecastRow.model_fields)


@dataclass(frozen=True)
class Samples:
    """The forecasts to make, N of them.

    Args:
        location: (N,) row of the field.
        target: (N,) position among the dates; the last one is the day of the forecast.
        steps: What the forecaster sees.
    """

    location: NDArray[np.int64]
    target: NDArray[np.int64]
    steps: Steps


def longest_gap(card: ModelCard) -> int:
    """Return the longest gap between dates that a forecaster has seen, days."""
    days = np.array(sorted(card.data.dates), "datetime64[D]").astype(np.int64)
    return int(np.diff(days).max(initial=0))


def check_series(dates: Sequence[date], card: ModelCard) -> None:
    """Refuse series that the forecaster cannot take.

    Raises:
        BadInputError: They span less than two years, or the forecaster takes features that there are none of.
    """
    if not has_seasons(list(dates)):
        span = (dates[-1] - dates[0]).days + 1 if dates else 0
        raise BadInputError(
            f"{len(dates)} usable previews span {span} days, and the season of a field needs {LEAST_HISTORY_DAYS}: "
            "a longer window (days_back) may hold more"
        )
    if unknown := [name for name in card.inputs if name not in SEASONAL_FEATURES]:
        raise BadInputError(f"the forecaster takes features that series of fields do not have: {', '.join(unknown)}")


def samples_of(series: FieldSeries, day: date, as_of: date, card: ModelCard) -> Samples:
    """Return the forecasts to make: one a field for a day to come, and those for its dates of the last two years.

    A field needs three earlier dates, the last one no longer ago than the longest gap that the forecaster has seen.

    Args:
        series: Of the fields.
        day: The day of the forecast.
        as_of: The last day of the window.
        card: Of the forecaster.
    """
    days = np.array([*series.dates, day], "datetime64[D]").astype(np.int64)
    ndvi = np.concatenate([series.ndvi, np.full((len(series.ndvi), 1), np.nan, np.float32)], axis=1)
    known = ~np.isnan(ndvi)
    before = np.cumsum(known, axis=1) - known
    gap = days - days[previous_dates(ndvi)]
    wanted = known & (days > np.datetime64(as_of - CALIBRATED).astype(np.int64))
    wanted[:, -1] = True
    location, target = np.nonzero(wanted & (before >= LEAST_STEPS) & (gap <= longest_gap(card)))
    return Samples(location, target, steps_of(ndvi, days, location, target, card.inputs, card.size, seasonal=True))


def forecast_rows(
    ids: Sequence[str], series: FieldSeries, day: date, as_of: date, card: ModelCard, predict: Predict
) -> pd.DataFrame:
    """Return all forecasts (`COLUMNS`), by field and date.

    Args:
        ids: Of the fields.
        series: Of the fields.
        day: The day of the forecast.
        as_of: The last day of the window.
        card: Of the forecaster.
        predict: Forecasts NDVI from steps, (N,).
    """
    import pandas as pd

    samples = samples_of(series, day, as_of, card)
    dates = [*series.dates, day]
    days = np.array(dates, "datetime64[D]").astype(np.int64)
    ndvi = np.concatenate([series.ndvi, np.full((len(series.ndvi), 1), np.nan, np.float32)], axis=1)
    location, target, last = samples.location, samples.target, samples.steps.times[:, -1]
    season, years = seasons_at(ndvi, days)
    part = ["forecast" if at == len(series.dates) else _part(dates[at], as_of) for at in target]
    return pd.DataFrame(
        {
            "field_id": [ids[at] for at in location],
            "date": [dates[at] for at in target],
            "last_date": [dates[at] for at in last],
            "last": ndvi[location, last].astype(np.float64),
            "forecast": np.round(np.asarray(predict(samples.steps), np.float64), DIGITS),
            "expected": np.round(season[location, target], DIGITS),
            "years": years[location, target],
            "observed": ndvi[location, target].astype(np.float64),
            "part": part,
        },
        columns=COLUMNS,
    )


def _part(day: date, as_of: date) -> str:
    return "measured" if day > as_of - MEASURED else "calibration"


def conformal(errors: Values) -> float:
    """Return the half width that covers `LEVEL` of new errors: that of rank (n + 1) · `LEVEL` (Lei et al. 2018).

    >>> conformal(np.arange(1, 100) / 100)
    0.9
    """
    ordered = np.sort(np.abs(errors))
    return float(ordered[min(int(np.ceil((len(ordered) + 1) * LEVEL)), len(ordered)) - 1])


def calibrate(rows: pd.DataFrame, card: ModelCard) -> tuple[Calibration, Calibration]:
    """Return the intervals of the forecast, and of the expected value, with what they covered in the last year.

    Args:
        rows: All forecasts.
        card: Of the forecaster, with the interval of its training.
    """
    model = card.interval.half_width if card.interval else 0.0
    past = {part: rows[rows["part"] == part] for part in ("calibration", "measured")}
    own = _width(past["calibration"], "forecast")
    half_width, measured = max(model, own or 0.0), past["measured"]
    interval = _calibration(past, "forecast", half_width, own, measured["observed"] < measured["forecast"] - half_width)
    past = {part: some[some["years"] >= LEAST_YEARS] for part, some in past.items()}
    own, measured = _width(past["calibration"], "expected"), past["measured"]
    half_width = max(interval.half_width, own or 0.0)
    warned = measured["forecast"] < measured["expected"] - half_width
    season = _calibration(past, "expected", half_width, own, warned)
    return interval.model_copy(update={"model": model}), season


def _width(rows: pd.DataFrame, name: str) -> float | None:
    """Return the half width of an interval around a column, by the observed values; None where they are too few."""
    if len(rows) < LEAST_SAMPLES or rows["date"].nunique() < LEAST_DATES:
        return None
    return round(conformal((rows["observed"] - rows[name]).to_numpy(np.float64)), DIGITS)


def _calibration(
    past: dict[str, pd.DataFrame], name: str, half_width: float, own: float | None, warned: pd.Series[bool]
) -> Calibration:
    measured = past["measured"]
    inside = (measured["observed"] - measured[name]).abs() <= half_width
    return Calibration(
        half_width=half_width,
        own=own,
        samples=len(past["calibration"]),
        coverage=float(inside.mean()) if len(measured) else None,
        checked=len(measured),
        warned=int(warned.sum()),
    )


def early_warnings(rows: pd.DataFrame, interval: Calibration, season: Calibration, as_of: date) -> list[EarlyWarning]:
    """Return the early warnings, by field.

    `fall`: the last observation lies below the interval of what was forecast for it from earlier dates. `below season`:
    the forecast to come lies below the interval of what the field's own earlier years say; it takes two of them, and
    an interval that the fields themselves have calibrated.

    Args:
        rows: All forecasts.
        interval: Of the forecast.
        season: Of the expected value.
        as_of: The last day of the window.
    """
    seen = rows[rows["part"] != "forecast"].drop_duplicates("field_id", keep="last")
    low = seen["forecast"] - interval.half_width
    coming = rows[rows["part"] == "forecast"]
    later = seen["field_id"].map(coming.set_index("field_id")["last_date"])  # seen after a gap, so without a forecast
    fresh = (seen["date"] >= as_of - timedelta(days=FRESH_DAYS)) & (later.isna() | (later == seen["date"]))
    warnings = [_fall(row, interval.half_width) for row in seen[(seen["observed"] < low) & fresh].to_dict("records")]
    if season.own is not None:
        below = coming[(coming["years"] >= LEAST_YEARS) & (coming["forecast"] < coming["expected"] - season.half_width)]
        warnings += [_below(row, season.half_width) for row in below.to_dict("records")]
    return sorted(warnings, key=lambda warning: (warning.field_id, warning.date))


def _fall(row: dict[Any, Any], half_width: float) -> EarlyWarning:
    return EarlyWarning(
        field_id=row["field_id"],
        kind="fall",
        date=row["date"],
        value=row["observed"],
        expected=row["forecast"],
        low=row["forecast"] - half_width,
        last_date=row["last_date"],
        text=f"NDVI {row['observed']:.2f} on {row['date']}, where {row['forecast']:.2f} ± {half_width:.2f} was "
        f"forecast from dates until {row['last_date']}",
    )


def _below(row: dict[Any, Any], half_width: float) -> EarlyWarning:
    return EarlyWarning(
        field_id=row["field_id"],
        kind="below season",
        date=row["date"],
        value=row["forecast"],
        expected=row["expected"],
        low=row["expected"] - half_width,
        last_date=row["last_date"],
        text=f"NDVI {row['forecast']:.2f} is forecast for {row['date']}, where {row['years']} earlier years of the "
        f"field show {row['expected']:.2f} ± {half_width:.2f}; last seen on {row['last_date']}",
    )


def field_rows(
    fields: Sequence[CropField],
    series: FieldSeries,
    rows: pd.DataFrame,
    warnings: Sequence[EarlyWarning],
    interval: Calibration,
    season: Calibration,
    day: date,
    gap: int,
) -> Iterator[dict[str, Any]]:
    """Yield a row a field (`FieldRow`) without its outline.

    Args:
        fields: One row a field.
        series: Of these fields.
        rows: All forecasts.
        warnings: All warnings.
        interval: Of the forecast.
        season: Of the expected value.
        day: The day of the forecast.
        gap: The longest gap that the forecaster has seen, days.
    """
    coming = {row["field_id"]: row for row in rows[rows["part"] == "forecast"].to_dict("records")}
    measured = rows[rows["part"] == "measured"]
    inside = (measured["observed"] - measured["forecast"]).abs() <= interval.half_width
    covered, checked = (some.groupby("field_id").size().to_dict() for some in (measured[inside], measured))
    for field, ndvi, small in zip(fields, series.ndvi, series.too_small, strict=True):
        row = coming.get(field.field_id)
        known = np.flatnonzero(~np.isnan(ndvi))
        last = series.dates[known[-1]] if len(known) else None
        texts = [warning.text for warning in warnings if warning.field_id == field.field_id]
        if row is None and not texts:
            texts = [_why_none(len(known), last, day, gap, small=bool(small))]
        state = "no forecast" if row is None else "as expected"
        yield {
            "field_id": field.field_id,
            "crop": field.crop,
            "area_ha": field.area_ha,
            "state": "warning" if any(warning.field_id == field.field_id for warning in warnings) else state,
            "last_date": last,
            "last": float(ndvi[known[-1]]) if last else np.nan,
            "date": day if row else None,
            "forecast": row["forecast"] if row else np.nan,
            "low": row["forecast"] - interval.half_width if row else np.nan,
            "high": row["forecast"] + interval.half_width if row else np.nan,
            "expected": row["expected"] if row else np.nan,
            "expected_low": row["expected"] - season.half_width if row and season.own is not None else np.nan,
            "years": int(row["years"]) if row else 0,
            "covered": int(covered.get(field.field_id, 0)),
            "checked": int(checked.get(field.field_id, 0)),
            "text": "; ".join(texts) or None,
        }


def _why_none(known: int, last: date | None, day: date, gap: int, *, small: bool) -> str:
    if small:
        return "too small for previews of 60 m: it would show its neighbours more than itself"
    if last is None or known < LEAST_STEPS:
        return f"{known} dates with NDVI; {LEAST_STEPS} are needed"
    return f"last seen {(day - last).days} days before the day of the forecast; the forecaster has seen gaps of {gap}"


def coverage_findings(table: pd.DataFrame, interval: Calibration, season: Calibration) -> list[Finding]:
    """Return what the intervals mean for these fields, with the evidence.

    Args:
        table: A row a field.
        interval: Of the forecast.
        season: Of the expected value.
    """
    model = interval.model or 0.0
    findings = []
    if interval.own is None:
        text = (
            f"the interval ± {interval.half_width:.3f} NDVI is that of the training, on places of its own size: "
            f"{interval.samples} earlier forecasts of these fields are too few to calibrate one"
        )
        findings.append(Finding(severity="warning", message=text))
    elif interval.own > model:
        text = (
            f"the training's interval, ± {model:.3f} NDVI, is too narrow for these fields: by {interval.samples:,} "
            f"earlier forecasts of them it is ± {interval.half_width:.3f}"
        )
        findings.append(Finding(severity="info", message=text))
    if interval.coverage is not None:
        checked = table[table["checked"] > 0]
        shares = checked["covered"] / checked["checked"]
        text = (
            f"in the last year the interval ± {interval.half_width:.3f} NDVI held {interval.coverage:.1%} of "
            f"{interval.checked:,} observations of all fields, of single fields {shares.min():.0%} to "
            f"{shares.max():.0%} (of about {checked['checked'].median():.0f} dates each): 90 % is for all fields and "
            f"dates together, and promised to no single field; {interval.warned:,} of these observations would have "
            "been warnings"
        )
        level = "warning" if interval.coverage < LEAST_COVERAGE else "info"
        findings.append(Finding(severity=level, message=text))
    if season.own is None:
        text = (
            f"no field is compared with its own season: {season.samples} earlier dates with {LEAST_YEARS} years before "
            "them are too few to calibrate its interval"
        )
        findings.append(Finding(severity="warning", message=text))
    elif season.checked:
        text = (
            f"the season of the own earlier years ± {season.half_width:.3f} NDVI held {season.coverage:.1%} of "
            f"{season.checked:,} observations of the last year; {season.warned:,} forecasts would have been warnings"
        )
        findings.append(Finding(severity="info", message=text))
    return findings
