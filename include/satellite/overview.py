"""The first screen of a satellite report: what was decided, whether the imagery can be trusted, the main metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping

from include.core.overview import AcceptedFiles, DataCheck, Headline, Level, Overview
from include.satellite.artifacts import (
    ALERTS,
    CNN,
    COMPARISON,
    COMPARISON_PLOT,
    CONFIGURATION,
    CONTACT_SHEET,
    EARLY_WARNINGS,
    FIELDS,
    FORECAST_PLOT,
    HEALTH_MAP,
    HEALTH_MAP_PLOT,
    LSTM,
    NDVI_FORECAST,
    NDVI_PLOT,
    VALIDATED,
    VALIDATION_REPORT,
)
from include.satellite.crops.overview import overview as crop_overview
from include.satellite.fields.schemas import FieldSet
from include.satellite.forecast.schemas import NdviForecast
from include.satellite.imagery.schemas import Imagery, ValidationReport
from include.satellite.schemas import Comparison, Configuration, HealthMap
from include.satellite.sensors.indices import NDVI
from include.satellite.training.schemas import Classification, CnnMetrics, LstmMetrics, Skill

SIMULATED = "Simulated imagery: no result says anything about real fields."
LONG_GAP_DAYS = 60
ALERTS_NAMED = 3
CONFIDENCE_TO_WARN, UNASSESSED_SHARE_TO_WARN = 0.6, 0.3
COVERAGE_TO_WARN, FORECAST_SHARE_TO_WARN = 0.85, 0.7


def overview(accepted: AcceptedFiles) -> Overview | None:
    """Return the overview of a run on crops, that drew a map, forecast or validated imagery; None for any other run."""
    crops = crop_overview(accepted)
    if crops is not None:
        return crops
    health_map = accepted.read(HEALTH_MAP)
    if health_map is not None:
        return map_overview(health_map)
    forecast = accepted.read(NDVI_FORECAST)
    if forecast is not None:
        return forecast_overview(forecast)
    imagery, report = accepted.read(VALIDATED), accepted.read(VALIDATION_REPORT)
    if imagery is None or report is None:
        return None
    cnn, lstm = accepted.read(CNN.metrics), accepted.read(LSTM.metrics)
    comparison, configuration = accepted.read(COMPARISON), accepted.read(CONFIGURATION)
    return Overview(
        checks=(_imagery_check(report), *(check for check in (_classifier_check(cnn), _forecast_check(lstm)) if check)),
        headlines=(
            *_alert_headlines(accepted),
            *_warning_headlines(accepted.read(EARLY_WARNINGS)),
            *_field_headlines(accepted.read(FIELDS)),
            *_imagery_headlines(imagery, report),
            *_model_headlines(cnn, lstm),
        ),
        notices=tuple(_notices(imagery, comparison, configuration)),
        assumptions=_origin(imagery),
        lead_plots=(NDVI_PLOT.path, CONTACT_SHEET.path, COMPARISON_PLOT.path),
    )


def map_overview(document: HealthMap) -> Overview:
    """Return the overview of a crop-health map."""
    total = sum(document.hectares.values()) + document.not_assessed or 1.0
    worst = list(document.hectares)[-1]
    author = "the NDVI rule" if document.model_version is None else f"model {document.model_version}"
    return Overview(
        checks=tuple(_map_checks(document, total)),
        headlines=(
            Headline(label="Date of the image", value=f"{document.date}", note=f"drawn by {author}"),
            *(_class_headline(name, document.hectares[name], total) for name in (next(iter(document.hectares)), worst)),
            Headline(label="Area", value=_hectares(total), note=place_in_words(document.place)),
        ),
        notices=(SIMULATED,) * document.synthetic,
        lead_plots=(HEALTH_MAP_PLOT.path,),
    )


def forecast_overview(document: NdviForecast) -> Overview:
    """Return the overview of a forecast of fields."""
    warned: dict[str, list[str]] = {}
    for warning in document.warnings:
        warned.setdefault(warning.field_id, []).append(warning.kind)
    names = [f"{' and '.join(kinds)} of {field}" for field, kinds in list(warned.items())[:ALERTS_NAMED]]
    more = [f"{len(warned) - ALERTS_NAMED} more"] if len(warned) > ALERTS_NAMED else []
    interval = document.interval
    checks = []
    if interval.coverage is not None:
        statement = (
            f"It held {interval.coverage:.0%} of {interval.checked:,} observations of the last year, where 90 % are "
            "wanted: of all fields and dates together, not of each field."
        )
        level: Level = "pass" if interval.coverage >= COVERAGE_TO_WARN else "warn"
        checks.append(DataCheck(subject="90 % interval", level=level, statement=statement))
    share = document.forecasts / document.fields
    statement = f"{document.forecasts} of {document.fields} fields have a forecast."
    level = "pass" if share >= FORECAST_SHARE_TO_WARN else "warn"
    return Overview(
        checks=(*checks, DataCheck(subject="Fields", level=level, statement=statement)),
        headlines=(
            Headline(label="Fields with early warnings", value=f"{len(warned):,}", note=", ".join([*names, *more])),
            Headline(label="Forecast for", value=f"{document.date}", note=f"by forecaster {document.model_version}"),
            Headline(label="Interval", value=f"± {interval.half_width:.2f}", note="NDVI, 90 % of observations"),
            Headline(label="Last preview", value=f"{document.last_pass}", note=f"of {document.dates} usable ones"),
        ),
        notices=(SIMULATED,) * document.synthetic,
        lead_plots=(FORECAST_PLOT.path,),
    )


def _warning_headlines(document: NdviForecast | None) -> list[Headline]:
    """Return how many fields the latest forecast warns of."""
    if document is None:
        return []
    fields = {warning.field_id for warning in document.warnings}
    return [
        Headline(label="Fields with early warnings", value=f"{len(fields):,}", note=f"forecast for {document.date}")
    ]


def place_in_words(place: str) -> str:
    """Return a place as coordinates of its corners.

    >>> place_in_words("75.800E_30.900N_75.900E_31.000N")
    '30.900° N 75.800° E to 31.000° N 75.900° E'
    """
    corners = re.findall(r"([0-9.]+)([EWNS])", place)
    west, south, east, north = (f"{degrees}° {side}" for degrees, side in corners)
    return f"{south} {west} to {north} {east}"


def _class_headline(name: str, area: float, total: float) -> Headline:
    return Headline(label=name, value=_hectares(area), note=f"{100 * area / total:.0f} % of the area")


def _hectares(area: float) -> str:
    return f"{area:,.0f} ha" if area >= 100 else f"{area:.3g} ha"


def _map_checks(document: HealthMap, total: float) -> list[DataCheck]:
    share = document.not_assessed / total
    statement = f"{100 * share:.0f} % of the area has no class: cloud, shadow, water or no data."
    level: Level = "warn" if share > UNASSESSED_SHARE_TO_WARN else "pass"
    checks = [DataCheck(subject="Coverage", level=level, statement=statement)]
    if document.mean_confidence is not None:
        level = "warn" if document.mean_confidence < CONFIDENCE_TO_WARN else "pass"
        statement = f"The model gives its classes a probability of {100 * document.mean_confidence:.0f} % on average."
        checks.append(DataCheck(subject="Confidence", level=level, statement=statement))
    return checks


def _imagery_check(report: ValidationReport) -> DataCheck:
    collected = report.usable_dates + report.excluded_dates
    needed = f"; {report.min_dates} are needed" if report.min_dates else ""
    statement = f"{report.usable_dates} of {collected} dates are usable{needed}."
    gap = report.longest_gap
    statement += f" Longest gap: {gap.days} days, {gap.after} to {gap.before}."
    level: Level = "pass"
    if report.skipped:
        level, statement = "warn", f"{statement} The validation was skipped: no file was checked."
    elif gap.days > LONG_GAP_DAYS or report.excluded_dates:
        level = "warn"
    return DataCheck(subject="Imagery", level=level if report.passed else "fail", statement=statement)


def _best(baselines: Mapping[str, Classification]) -> tuple[str, Classification]:
    return max(baselines.items(), key=lambda item: item[1].balanced_accuracy)


def _closest(baselines: Mapping[str, Skill]) -> tuple[str, Skill]:
    return min(baselines.items(), key=lambda item: item[1].mae)


def _classifier_check(metrics: CnnMetrics | None) -> DataCheck | None:
    if metrics is None or not metrics.baselines:
        return None
    from include.satellite.evaluation.clusters import LEAST_SPELLS, SPELL_DAYS

    name, best = _best(metrics.baselines)
    ahead = metrics.balanced_accuracy > best.balanced_accuracy
    statement = (
        f"Balanced accuracy {metrics.balanced_accuracy:.3f}, "
        f"{'above' if ahead else 'not above'} the best naive rule ({name.replace('_', ' ')}, "
        f"{best.balanced_accuracy:.3f})."
    )
    dates = metrics.evaluation_dates
    spells = len({(day - min(dates)).days // SPELL_DAYS for day in dates})
    if spells < LEAST_SPELLS:
        statement += (
            f" Its held-out dates are {spells} spells of {SPELL_DAYS} days; {LEAST_SPELLS} are needed to judge it."
        )
    level: Level = "pass" if ahead and spells >= LEAST_SPELLS else "warn"
    return DataCheck(subject="Classifier (CNN)", level=level, statement=statement)


def _forecast_check(metrics: LstmMetrics | None) -> DataCheck | None:
    if metrics is None or not metrics.baselines:
        return None
    name, best = _closest(metrics.baselines)
    ahead = metrics.mae < best.mae
    statement = (
        f"Error (MAE) of NDVI {metrics.mae:.3f}, {'below' if ahead else 'not below'} that of the best naive forecast "
        f"({name.replace('_', ' ')}, {best.mae:.3f})."
    )
    return DataCheck(subject="Forecast (LSTM)", level="pass" if ahead else "warn", statement=statement)


def _alert_headlines(accepted: AcceptedFiles) -> list[Headline]:
    """Return how many alerts are current, and of which fields; past ones are only counted."""
    if not accepted.holds(ALERTS):
        return []
    from include.satellite.fields.store import read_table

    alerts = read_table(ALERTS.at(accepted.folder)).sort_values("date", ascending=False, kind="stable")
    current = alerts[alerts["is_current"]]
    names = [f"{kind} of {field}" for kind, field in zip(current["kind"], current["field_id"], strict=True)]
    more = [f"{len(names) - ALERTS_NAMED} more"] if len(names) > ALERTS_NAMED else []
    note = ", ".join([*names[:ALERTS_NAMED], *more, f"{len(alerts) - len(current)} past"])
    return [Headline(label="Current alerts", value=f"{len(current):,}", note=note)]


def _field_headlines(fields: FieldSet | None) -> list[Headline]:
    if fields is None:
        return []
    crops = {field.crop for field in fields.fields} - {None}
    note = f"{len(crops)} crops, outlines from {fields.file}" if crops else f"outlines from {fields.file}"
    return [Headline(label="Fields", value=f"{len({field.field_id for field in fields.fields}):,}", note=note)]


def _imagery_headlines(imagery: Imagery, report: ValidationReport) -> list[Headline]:
    grid = imagery.grid
    width, height = (length * grid.resolution / 1000 for length in (grid.width, grid.height))
    size = width * height
    area = Headline(
        label="Area",
        value=f"{size:,.0f} km²" if size >= 100 else f"{size:.3g} km²",
        note=f"{width:.3g} × {height:.3g} km, {place_in_words(imagery.place)}",
    )
    measured = [(date, index) for date in report.dates if date.accepted and (index := date.index(NDVI.name))]
    if not measured:
        return [area]
    latest, ndvi = measured[-1]
    mean = Headline(label="Mean NDVI", value=f"{ndvi.mean:.2f}", note=f"on {latest.date}, the latest usable date")
    return [area, mean]


def _model_headlines(cnn: CnnMetrics | None, lstm: LstmMetrics | None) -> list[Headline]:
    headlines = []
    if cnn is not None:
        note = f"of the classifier, on {len(cnn.evaluation_dates)} held-out dates"
        headlines.append(Headline(label="Balanced accuracy", value=f"{100 * cnn.balanced_accuracy:.0f} %", note=note))
    if lstm is not None and lstm.baselines:
        name, best = _closest(lstm.baselines)
        skill = "unknown" if best.skill is None else f"{100 * best.skill:+.0f} %".replace("-", "−")
        note = f"over the best naive rule, {name.replace('_', ' ')}; 0 is no better"
        headlines.append(Headline(label="Skill of the forecast", value=skill, note=note))
    return headlines


def _notices(imagery: Imagery, comparison: Comparison | None, configuration: Configuration | None) -> list[str]:
    notices = []
    if configuration is not None and configuration.promoted:
        models = " and ".join(name.upper() for name in configuration.models)
        what = f"the {models} of model" if models else "model"
        notices.append(f"Promoted: {configuration.env_file} now names {what} {configuration.version}.")
    elif configuration is not None:
        notices.append(f"Not promoted: {configuration.reasons[0]}")
    elif comparison is not None and not comparison.decision.promote:
        notices.append(f"Not promoted: {comparison.decision.reasons[0]}")
    return [*notices, *([SIMULATED] * imagery.synthetic)]


def _origin(imagery: Imagery) -> dict[str, str]:
    grid = imagery.grid
    return {
        "Imagery": f"{imagery.collection} from {imagery.source}",
        "Window": f"{imagery.start:%Y-%m-%d} to {imagery.end:%Y-%m-%d}",
        "Grid": f"{grid.width:,} × {grid.height:,} pixels of {grid.resolution} m, {grid.crs}",
    }
