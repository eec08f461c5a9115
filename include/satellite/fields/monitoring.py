"""The step `analyse_fields`: series, seasons, anomalies, events and alerts of the fields, from their observations.

An alert is new in the first run that states it: the store of alerts keeps what earlier runs stated, so users are
notified of each once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.contracts import Notice, StepParams
from include.core.errors import ContractError
from include.core.files import locked
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.settings import get_settings
from include.satellite.artifacts import (
    ALERTS,
    ANOMALIES,
    EARLY_WARNINGS,
    EVENTS,
    FIELD_SEASONS,
    FIELD_SERIES,
    FIELDS,
    OBSERVATIONS,
    VALIDATED,
)
from include.satellite.fields.current import with_currency
from include.satellite.fields.params import AnalyseParams
from include.satellite.fields.schemas import AlertRow
from include.satellite.fields.store import read_table, store_file, write_table
from include.satellite.forecast.latest import WARNING_COLUMNS, early, latest_forecast, table_rows

if TYPE_CHECKING:
    import pandas as pd

    from include.satellite.fields.schemas import CropField
    from include.satellite.imagery.schemas import Imagery

KEY = ["field_id", "kind", "date"]
"""What makes an alert the same one in a later run."""
NAMED = 10
"""Alerts and events that are stated as findings; the tables hold all."""
ROWS_SHOWN = 100
ALERT_COLUMNS = ("field", "crop", "kind", "date", "state", "new", "evidence")


class AnalyseMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `analyse_fields`; falls, late starts and fields without data are current ones."""

    alerts_current: int
    alerts_past: int
    alerts_new: int
    has_new_alerts: bool
    falls: int
    late_starts: int
    fields_without_data: int
    harvests_and_mowings: int


def analyse_fields(files: Path, params: AnalyseParams) -> None:
    """Write `series.parquet`, `seasons.parquet`, `anomalies.parquet`, `events.parquet` and `alerts.parquet`.

    The latest forecast of the fields is copied as it is (`early_warnings.json`), for the report to show its warnings.

    Args:
        files: The run's `files/` folder.
        params: The limit of days without data.

    Raises:
        SetupError: The folder cannot be written.
    """
    for artifact, table in _tables(files, params):
        write_table(artifact.at(files), table, artifact.schema)
    forecast = latest_forecast(FIELDS.read(files).file)
    if forecast is not None:
        EARLY_WARNINGS.write(files, forecast)


def _tables(files: Path, params: AnalyseParams) -> Iterator[tuple[Any, pd.DataFrame]]:
    from include.satellite.fields.analysis import analyse

    imagery, observations = VALIDATED.read(files), read_table(OBSERVATIONS.at(files))
    observations = observations[observations["status"] != "too small"]  # they never have data, which is no alert
    measured = set(observations["field_id"])
    analysis = analyse(
        observations,
        fields_table([field for field in FIELDS.read(files).fields if field.field_id in measured]),
        as_of=last_day(imagery),
        no_data_days=params.no_data_days,
    )
    yield FIELD_SERIES, analysis.series
    yield FIELD_SEASONS, analysis.seasons
    yield ANOMALIES, analysis.anomalies
    yield EVENTS, analysis.findings
    alerts = with_currency(analysis.alerts, analysis.anomalies, analysis.findings, last_day(imagery))
    yield ALERTS, mark_new(alerts, _stated_before(imagery))


def last_day(imagery: Imagery) -> date:
    """Return the last day of a window, whose end is exclusive."""
    return (imagery.end - timedelta(microseconds=1)).date()


def fields_table(fields: Sequence[CropField]) -> pd.DataFrame:
    """Return the fields as the analysis takes them: id, crop, days, and the centroid in degrees."""
    import pandas as pd
    from shapely.geometry import shape

    centroids = [shape(field.geometry).centroid for field in fields]
    return pd.DataFrame(
        {
            "field_id": [field.field_id for field in fields],
            "crop": pd.Series([field.crop for field in fields], dtype=object),
            "valid_from": pd.Series([field.valid_from for field in fields], dtype=object),
            "valid_to": pd.Series([field.valid_to for field in fields], dtype=object),
            "lon": [point.x for point in centroids],
            "lat": [point.y for point in centroids],
        }
    )


def mark_new(alerts: pd.DataFrame, before: pd.DataFrame | None) -> pd.DataFrame:
    """Return alerts with `is_new`: those that are current and that no earlier run stated."""
    known = set() if before is None else set(before[KEY].itertuples(index=False, name=None))
    keys = alerts[KEY].itertuples(index=False, name=None)
    return alerts.assign(is_new=[now and key not in known for key, now in zip(keys, alerts["is_current"], strict=True)])


def alerts_path(imagery: Imagery) -> str:
    """Return the path of the alerts that runs over an area stated, below the data folder."""
    return store_file(imagery).removesuffix(".parquet") + "-alerts.parquet"


def _stated_before(imagery: Imagery) -> pd.DataFrame | None:
    path = get_settings().data_dir / alerts_path(imagery)
    return read_table(path) if path.is_file() else None


def keep_alerts(files: Path, params: StepParams) -> None:
    """Add the new alerts of a run to the store of alerts."""
    import pandas as pd

    alerts = read_table(ALERTS.at(files))
    new = alerts.loc[alerts["is_new"], KEY]
    if new.empty:
        return
    path = get_settings().data_dir / alerts_path(VALIDATED.read(files))
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock"), timeout_s=None):
        before = read_table(path) if path.is_file() else None
        rows = new if before is None else pd.concat([before, new], ignore_index=True)
        write_table(path, rows.drop_duplicates(KEY).sort_values(KEY), AlertRow)


def recompute_analysis(files: Path, params: AnalyseParams) -> None:
    """Check that the tables are those of the observations, analysed again.

    Raises:
        ContractError: A table holds other rows, or the copied forecast is none of the kept ones.
    """
    copied, kept = EARLY_WARNINGS.find(files), latest_forecast(FIELDS.read(files).file)
    if copied is not None and (kept is None or (copied.as_of >= kept.as_of and copied != kept)):
        raise ContractError(EARLY_WARNINGS.path, "must be the latest forecast of the fields", f"one of {copied.as_of}")
    for artifact, expected in _tables(files, params):
        stated = read_table(artifact.at(files))
        if len(stated) != len(expected) or list(stated.columns) != list(expected.columns):
            rule = "must follow from the observations"
            raise ContractError(artifact.path, rule, f"{len(stated)} rows of {len(stated.columns)} columns")
        for name in stated.columns:
            if not _equal(stated[name], expected[name]):
                raise ContractError(
                    artifact.path, f"must state the {name} that follows from the observations", "another"
                )


def _equal(stated: pd.Series[Any], expected: pd.Series[Any]) -> bool:
    """Return whether columns are equal; what is missing equals what is missing, and numbers differ by rounding."""
    import numpy as np

    missing = stated.isna().to_numpy()
    if not np.array_equal(missing, (expected.isna() | (expected == "")).to_numpy()):
        return False
    one, other = stated[~missing].to_numpy(), expected[~missing].to_numpy()
    if stated.dtype.kind == "f":
        return bool(np.allclose(one, other.astype(float), rtol=0, atol=1e-9))
    return one.tolist() == other.tolist()


def analyse_fields_outcome(files: Path) -> StepOutcome:
    """Return the numbers of alerts and events: current alerts as warnings with their evidence, past ones as remarks."""
    alerts, events = read_table(ALERTS.at(files)), read_table(EVENTS.at(files))
    forecast, observations = EARLY_WARNINGS.find(files), read_table(OBSERVATIONS.at(files))
    last_pass = observations["date"].max() if len(observations) else None
    current, past = alerts[alerts["is_current"]], alerts[~alerts["is_current"]]
    kinds = current["kind"].value_counts()
    findings = [Finding(severity="warning", message=text) for text in _texts(current)]
    if len(past):
        last = past.iloc[past["date"].argmax()]
        message = f"{len(past)} past {_alerts(len(past))}, the last one of field {last['field_id']} on {last['date']}"
        findings.append(Finding(severity="info", message=f"{message}; the table Alerts holds all"))
    findings += [Finding(severity="info", message=text) for text in _texts(events)]
    findings += [Finding(severity=level, message=text) for level, text in early(forecast, last_pass)]
    warned = table_rows(forecast)
    shown = alerts.sort_values(["is_current", "date"], ascending=False, kind="stable").head(ROWS_SHOWN)
    rows = tuple(
        (
            *(row["field_id"], row["crop"], row["kind"], str(row["date"])),
            "current" if row["is_current"] else f"past: {row['past_because']}",
            *("yes" if row["is_new"] else "", row["text"]),
        )
        for row in shown.astype(object).where(shown.notna(), None).to_dict("records")
    )
    return StepOutcome(
        metrics=AnalyseMetrics(
            alerts_current=len(current),
            alerts_past=len(past),
            alerts_new=int(alerts["is_new"].sum()),
            has_new_alerts=bool(alerts["is_new"].any()),
            falls=int(kinds.get("fall", 0)),
            late_starts=int(kinds.get("late start", 0)),
            fields_without_data=int(kinds.get("no data", 0)),
            harvests_and_mowings=len(events),
        ),
        findings=tuple(findings),
        tables=(
            Table(title="Alerts", columns=ALERT_COLUMNS, rows=rows),
            *([Table(title="Early warnings of the forecast", columns=WARNING_COLUMNS, rows=warned)] if warned else []),
        ),
    )


def _alerts(count: int) -> str:
    return "alert" if count == 1 else "alerts"


def _texts(events: pd.DataFrame) -> list[str]:
    latest = events.sort_values("date", ascending=False, kind="stable")
    texts = [
        f"field {row['field_id']}, {row['date']}: {row['text']}" for row in latest[[*KEY, "text"]].to_dict("records")
    ]
    more = len(texts) - NAMED
    return [*texts[:NAMED], f"and {more} more, in the table"] if more > 0 else texts


def alert_notice(outcome: StepOutcome) -> Notice | None:
    """Return the message about new alerts; None if there are none."""
    metrics = outcome.metrics_as(AnalyseMetrics)
    if not metrics.alerts_new:
        return None
    alerts = next(table for table in outcome.tables if table.columns == ALERT_COLUMNS)
    rows = [dict(zip(ALERT_COLUMNS, row, strict=True)) for row in alerts.rows]
    facts = {f"{row['field']}, {row['kind']}": str(row["evidence"]) for row in rows if row["new"]}
    subject = f"{metrics.alerts_new} new field {_alerts(metrics.alerts_new)}"
    return Notice(subject=subject, sentence=f"Field monitoring has {subject}.", facts=dict(list(facts.items())[:NAMED]))
