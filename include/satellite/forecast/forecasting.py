"""The step `forecast_fields`: NDVI of each field on a day to come, what was expected, and early warnings.

`forecast.parquet` is GeoParquet and `forecast.gpkg` a GeoPackage of the same rows. The promoted forecaster alone draws
them; there is no rule in its place. The latest forecast of a file of fields is kept, for field monitoring to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import ContractError
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.satellite.artifacts import (
    FIELDS,
    FIELDS_HISTORY,
    FORECAST_PACKAGE,
    FORECAST_PLOT,
    FORECAST_SERIES,
    FORECAST_TABLE,
    FORECASTS,
    LSTM,
    NDVI_FORECAST,
)
from include.satellite.evaluation.predictions import TOLERANCE
from include.satellite.evaluation.statements import check_stated
from include.satellite.fields.collection import key_of
from include.satellite.fields.monitoring import last_day
from include.satellite.fields.products import (
    difference_of,
    multi,
    plain,
    read_products,
    write_geopackage,
    write_geoparquet,
)
from include.satellite.fields.recomputation import np_random
from include.satellite.fields.store import read_table, write_table
from include.satellite.forecast.drawing import plot_forecast
from include.satellite.forecast.forecasts import (
    calibrate,
    check_series,
    coverage_findings,
    early_warnings,
    field_rows,
    forecast_rows,
    longest_gap,
    samples_of,
)
from include.satellite.forecast.history import enabled_forecaster
from include.satellite.forecast.latest import keep_latest
from include.satellite.forecast.params import ForecastParams
from include.satellite.forecast.schemas import FieldRow, ForecastRow, NdviForecast, NdviRow
from include.satellite.forecast.series import FieldSeries, FieldShares, current_fields, measure_fields, ndvi_on
from include.satellite.forecast.weights import forecast_again, read_weights
from include.satellite.imagery.schemas import Imagery
from include.satellite.registry.store import StoredModel
from include.satellite.training.schemas import ModelCard

if TYPE_CHECKING:
    import pandas as pd

    from include.satellite.datasets.sequences import Steps
    from include.satellite.fields.schemas import CropField

DATES, TEXTS = ("last_date", "date"), ("field_id", "crop", "state", "text")
DRAWN_DATES, DRAWN_SAMPLES = 20, 4000
ROWS_SHOWN, NAMED = 100, 10
NDVI_ROUNDING = 1e-6


class ForecastMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `forecast_fields`."""

    fields: int
    forecasts: int
    early_warnings: int
    falls: int
    below_season: int
    forecast_date: date
    last_pass: date
    half_width: float
    coverage: float | None
    model_version: str


def forecast_fields(files: Path, params: ForecastParams) -> None:
    """Write series, forecasts, warnings, tables with outlines and a picture.

    Args:
        files: The run's `files/` folder, with fields and previews.
        params: The day of the forecast.

    Raises:
        BadInputError: No forecaster is promoted, or the previews span less than two years.
        ContractError: A preview or the stored forecaster is not as it was left.
        SetupError: The folder cannot be written.
    """
    from include.satellite.training.networks import forecast_steps, load_bundle

    model, card = enabled_forecaster()
    bundle = load_bundle(model.folder, LSTM)
    history = FIELDS_HISTORY.read(files)
    fields = _fields(files, history)
    series = measure_fields(fields, history)
    check_series(series.dates, card)

    def predict(steps: Steps) -> NDArray[np.floating[Any]]:
        count = len(steps.x)
        return forecast_steps(bundle, steps.x, steps.expected, np.arange(count)) if count else np.empty(0)

    ids, as_of = [field.field_id for field in fields], last_day(history)
    rows = forecast_rows(ids, series, _day(as_of, params), as_of, card, predict)
    write_table(FORECAST_SERIES.at(files), _series_table(ids, series), NdviRow)
    write_table(FORECASTS.at(files), rows, ForecastRow)
    table, document = _derived(files, params, fields, series, rows, model, card)
    write_geoparquet(FORECAST_TABLE.at(files), table, DATES, TEXTS)
    write_geopackage(FORECAST_PACKAGE.at(files), table, DATES)
    NDVI_FORECAST.write(files, document)
    plot_forecast(FORECAST_PLOT.at(files), table, document, history.grid.crs)


def _fields(files: Path, history: Imagery) -> list[CropField]:
    return current_fields(FIELDS.read(files).fields, last_day(history))


def _day(as_of: date, params: ForecastParams) -> date:
    return as_of + timedelta(days=params.forecast_days)


def _series_table(ids: Sequence[str], series: FieldSeries) -> pd.DataFrame:
    import pandas as pd

    field, at = (index.tolist() for index in np.nonzero(~np.isnan(series.ndvi)))
    return pd.DataFrame(
        {
            "field_id": [ids[number] for number in field],
            "date": [series.dates[number] for number in at],
            "ndvi": series.ndvi[field, at].astype(np.float64),
        }
    )


def _stated_series(files: Path, fields: Sequence[CropField], history: Imagery, hazy: Sequence[date]) -> FieldSeries:
    """Return the series as the run states them."""
    stated = read_table(FORECAST_SERIES.at(files))
    dates = [item.date for item in history.acquisitions if item.date not in set(hazy)]
    row = {field.field_id: number for number, field in enumerate(fields)}
    column = {day: number for number, day in enumerate(dates)}
    unknown = set(stated["field_id"]) - row.keys() or set(stated["date"]) - column.keys()
    if unknown:
        raise ContractError(FORECAST_SERIES.path, "must hold the fields, on the usable previews", min(unknown))
    ndvi = np.full((len(fields), len(dates)), np.nan, np.float32)
    ndvi[stated["field_id"].map(row), stated["date"].map(column)] = stated["ndvi"]
    small = FieldShares.of([field.geometry for field in fields], history.grid).too_small(history.grid)
    return FieldSeries(ndvi, dates, sorted(hazy), small)


def _derived(
    files: Path,
    params: ForecastParams,
    fields: Sequence[CropField],
    series: FieldSeries,
    rows: pd.DataFrame,
    model: StoredModel,
    card: ModelCard,
) -> tuple[pd.DataFrame, NdviForecast]:
    """Return the rows of the fields with their outlines, and the document: all that follows from the forecasts."""
    import pandas as pd
    from shapely import normalize, to_wkb
    from shapely.geometry import shape

    history = FIELDS_HISTORY.read(files)
    as_of = last_day(history)
    day, gap = _day(as_of, params), longest_gap(card)
    interval, season = calibrate(rows, card)
    warnings = early_warnings(rows, interval, season, as_of)
    table = pd.DataFrame(
        list(field_rows(fields, series, rows, warnings, interval, season, day, gap)),
        columns=list(FieldRow.model_fields),
    ).astype({"crop": object, "last_date": object, "date": object, "text": object})
    table["geometry"] = [to_wkb(normalize(multi(shape(field.geometry)))) for field in fields]
    return table, NdviForecast(
        file=FIELDS.read(files).file,
        as_of=as_of,
        date=day,
        last_pass=series.dates[-1],
        dates=len(series.dates),
        first_date=series.dates[0],
        model_version=model.version,
        model_sha256=card.weights_sha256,
        trained_until=card.data.end,
        hazy=series.hazy,
        longest_gap_days=gap,
        synthetic=history.synthetic or card.data.synthetic,
        fields=len(fields),
        forecasts=int((rows["part"] == "forecast").sum()),
        interval=interval,
        season=season,
        warnings=warnings,
        findings=[*coverage_findings(table, interval, season), *_scope_findings(fields, series, card, as_of)],
    )


def _scope_findings(fields: Sequence[CropField], series: FieldSeries, card: ModelCard, as_of: date) -> list[Finding]:
    """Return where fields and dates leave what the forecaster was measured on."""
    from shapely.geometry import shape

    area = shape(card.data.geometry)
    outside = sum(not area.contains(shape(field.geometry).centroid) for field in fields)
    findings = []
    if outside:
        text = (
            f"{outside} of {len(fields)} fields lie outside the area of the training, where nothing measured the model"
        )
        findings.append(Finding(severity="warning", message=text))
    learnt = card.data.end.date()
    if learnt > as_of - timedelta(days=365):
        text = (
            f"the forecaster's imagery reaches to {learnt}: it may have learnt from dates of the last year, so what "
            "earlier forecasts show of the intervals may be better than what is to come"
        )
        findings.append(Finding(severity="info", message=text))
    if series.hazy:
        names = ", ".join(map(str, series.hazy))
        findings.append(Finding(severity="info", message=f"{len(series.hazy)} dates are left out for haze: {names}"))
    return findings


def recompute_forecast(files: Path, params: ForecastParams, *, audit: bool = False) -> tuple[str, ...]:
    """Check the forecasts by running the sealed weights again, and all that is stated from them.

    The series are measured again on drawn previews; the weights run again without PyTorch, on the forecasts to come and
    on drawn earlier ones. Everything else is derived again in full.

    Args:
        files: Inputs and outputs of the step.
        params: Of the run.
        audit: Measure all previews again, and run the weights on every sample.

    Returns:
        The dates that were drawn.

    Raises:
        ContractError: Something else is stated.
    """
    model, card = enabled_forecaster()
    history, stated = FIELDS_HISTORY.read(files), NDVI_FORECAST.read(files)
    if stated.model_version != model.version:
        rule = f"must be drawn by forecaster {model.version}, which the env file enables"
        raise ContractError(NDVI_FORECAST.path, rule, stated.model_version)
    fields = _fields(files, history)
    series = _stated_series(files, fields, history, stated.hazy)
    drawn = _check_series(series, fields, history, audit=audit)
    rows = read_table(FORECASTS.at(files))
    _check_forecasts(files, params, fields, series, rows, model, card, audit=audit)
    table, document = _derived(files, params, fields, series, rows, model, card)
    for artifact, products in zip(
        (FORECAST_TABLE, FORECAST_PACKAGE), read_products(files, FORECAST_TABLE, FORECAST_PACKAGE), strict=True
    ):
        if (difference := difference_of(products, table)) is not None:
            raise ContractError(artifact.path, "must hold what follows from the forecasts", difference)
    check_stated(NDVI_FORECAST.path, stated, document)
    return tuple(f"the preview of {day}" for day in drawn)


def _check_series(series: FieldSeries, fields: Sequence[CropField], history: Imagery, *, audit: bool) -> list[date]:
    if audit:
        again = measure_fields(fields, history)
        if again.hazy != series.hazy:
            raise ContractError(NDVI_FORECAST.path, f"must leave out for haze: {again.hazy}", series.hazy)
        drawn, expected = series.dates, again.ndvi
    else:
        some = np_random().permutation(len(series.dates))[:DRAWN_DATES]
        drawn = [series.dates[at] for at in sorted({*some.tolist(), len(series.dates) - 1})]
        expected = ndvi_on(fields, history, drawn)
    columns = series.ndvi[:, [series.dates.index(day) for day in drawn]]
    wrong = ~np.isclose(columns, expected, rtol=0, atol=NDVI_ROUNDING, equal_nan=True)
    if wrong.any():
        field, at = np.argwhere(wrong)[0]
        rule = f"must hold NDVI {expected[field, at]} of field {fields[field].field_id} on {drawn[at]}"
        raise ContractError(FORECAST_SERIES.path, rule, columns[field, at])
    return drawn


def _check_forecasts(
    files: Path,
    params: ForecastParams,
    fields: Sequence[CropField],
    series: FieldSeries,
    rows: pd.DataFrame,
    model: StoredModel,
    card: ModelCard,
    *,
    audit: bool,
) -> None:
    """Check that there is a forecast of each sample and of no other, and what the weights give for some of them."""
    as_of = last_day(FIELDS_HISTORY.read(files))
    ids = [field.field_id for field in fields]

    def as_stated(steps: Steps) -> NDArray[np.float64]:
        if len(rows) != len(steps.x):
            raise ContractError(FORECASTS.path, f"must hold {len(steps.x):,} forecasts", f"{len(rows):,}")
        return rows["forecast"].to_numpy(np.float64)

    day = _day(as_of, params)
    if (difference := difference_of(rows, forecast_rows(ids, series, day, as_of, card, as_stated))) is not None:
        raise ContractError(FORECASTS.path, "must state dates and values that follow from the series", difference)
    steps = samples_of(series, day, as_of, card).steps
    some = np.arange(len(rows))
    if not audit and len(some) > DRAWN_SAMPLES:
        coming = np.flatnonzero(rows["part"] == "forecast")
        some = np.union1d(coming, np_random().permutation(some)[:DRAWN_SAMPLES])
    again = forecast_again(read_weights(model.folder), card, steps.x[some], steps.expected[some])
    apart = np.abs(rows["forecast"].to_numpy(np.float64)[some] - again)
    if len(some) and not apart.max() <= TOLERANCE:
        row = rows.iloc[some[apart.argmax()]]
        rule = f"must hold what forecaster {model.version} gives, within {TOLERANCE:g}"
        found = f"{row['forecast']:.4f} for field {row['field_id']} on {row['date']}, not {again[apart.argmax()]:.4f}"
        raise ContractError(FORECASTS.path, rule, found)


def forecast_fields_outcome(files: Path) -> StepOutcome:
    """Return the forecasts, those with a warning first, and the warnings with their evidence."""
    document = NDVI_FORECAST.read(files)
    table = read_products(files, FORECAST_TABLE, FORECAST_PACKAGE)[0]
    texts = [f"field {warning.field_id}: {warning.text}" for warning in document.warnings]
    more = [f"and {len(texts) - NAMED} more, in the table"] if len(texts) > NAMED else []
    shown = table.sort_values("state", key=lambda state: state.map(STATES.index), kind="stable").head(ROWS_SHOWN)
    names = ("field_id", "state", "crop", "last_date", "last", "forecast", "low", "high", "expected", "years")
    rows = tuple(
        (
            *(_rounded(plain(row[name])) for name in names),
            f"{row['covered']} of {row['checked']}",
            plain(row["text"]) or "",
        )
        for row in shown.to_dict("records")
    )
    title = f"Forecast for {document.date}"
    if len(table) > ROWS_SHOWN:
        title += f" ({ROWS_SHOWN} of {len(table):,} fields, those with a warning first)"
    columns = (
        *("field", "state", "crop", "last seen", "NDVI", "forecast", "low", "high", "expected", "years"),
        *("interval held (last year)", "evidence"),
    )
    by = f"Drawn by forecaster {document.model_version}, from {document.dates} previews since {document.first_date}"
    return StepOutcome(
        metrics=ForecastMetrics(
            fields=document.fields,
            forecasts=document.forecasts,
            early_warnings=len(document.warnings),
            falls=sum(warning.kind == "fall" for warning in document.warnings),
            below_season=sum(warning.kind == "below season" for warning in document.warnings),
            forecast_date=document.date,
            last_pass=document.last_pass,
            half_width=document.interval.half_width,
            coverage=document.interval.coverage,
            model_version=document.model_version,
        ),
        findings=(
            *(Finding(severity="warning", message=text) for text in (*texts[:NAMED], *more)),
            Finding(severity="info", message=by),
            *document.findings,
        ),
        tables=(Table(title=title, columns=columns, rows=rows),),
        provenance={"forecaster": document.model_version, "fields": document.file},
        published_as=f"{key_of(document.file)}/{document.as_of}",
        synthetic=document.synthetic,
        stand_in=FIELDS_HISTORY.read(files).source == "demo",
    )


STATES = ("warning", "as expected", "no forecast")


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def keep_forecast(files: Path, params: ForecastParams) -> None:
    """Keep the forecast as the latest one of its file of fields."""
    keep_latest(NDVI_FORECAST.read(files))
