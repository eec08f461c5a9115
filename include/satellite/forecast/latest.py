"""The latest forecast of each file of fields, in the store of fields: field monitoring shows its warnings.

```
data/fields/forecasts/<file>.json
```
"""

from __future__ import annotations

from datetime import date

from include.core.contracts import Artifact
from include.core.files import locked
from include.core.outcome import Severity
from include.core.settings import get_settings
from include.satellite.fields.collection import key_of
from include.satellite.forecast.schemas import NdviForecast

NAMED = 10
"""Warnings that are stated as findings; the table holds all."""
WARNING_COLUMNS = ("field", "kind", "date", "evidence")
NONE = (
    "No forecast of these fields: a promoted forecaster draws one (`./pipeline run forecast --fields FILE`, or the DAG "
    "ndvi_forecast_map)"
)


def latest_path(file: str) -> str:
    """Return the path of the latest forecast of a file of fields, below the data folder."""
    return f"fields/forecasts/{key_of(file)}.json"


def latest_forecast(file: str) -> NdviForecast | None:
    """Return the latest forecast of a file of fields; None where there is none.

    Raises:
        ContractError: It is not of this version.
    """
    return Artifact(latest_path(file), NdviForecast).find(get_settings().data_dir)


def keep_latest(document: NdviForecast) -> None:
    """Keep a forecast, unless one of a later day is kept."""
    path = get_settings().data_dir / latest_path(document.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock"), timeout_s=None):
        before = latest_forecast(document.file)
        if before is None or before.as_of <= document.as_of:
            Artifact(latest_path(document.file), NdviForecast).write(get_settings().data_dir, document)


def statement(document: NdviForecast | None, last_pass: date | None) -> str:
    """Return what a reader of field monitoring must know of the latest forecast: its date, author and age.

    Args:
        document: The latest forecast of the fields.
        last_pass: The latest pass that field monitoring has.
    """
    if document is None:
        return f"{NONE}."
    count = len(document.warnings)
    words = f"{count or 'no'} early {'warning' if count == 1 else 'warnings'}"
    text = (
        f"Forecast for {document.date}, by forecaster {document.model_version} from previews until "
        f"{document.last_pass}: {words} for {document.forecasts} of {document.fields} fields."
    )
    if last_pass is not None and document.as_of < last_pass:
        text += f" It is older than the last pass, {last_pass}: run the forecast again for one that knows of it."
    return text


def early(document: NdviForecast | None, last_pass: date | None) -> list[tuple[Severity, str]]:
    """Return what the report of field monitoring states of the latest forecast, with the level of each sentence."""
    stale = document is not None and last_pass is not None and document.as_of < last_pass
    warnings = document.warnings if document else []
    texts = [f"early warning for field {item.field_id}: {item.text}" for item in warnings]
    more = [f"and {len(texts) - NAMED} more early warnings, in the table"] if len(texts) > NAMED else []
    summary: tuple[Severity, str] = ("warning" if stale else "info", statement(document, last_pass))
    return [summary, *(("warning", text) for text in (*texts[:NAMED], *more))]


def table_rows(document: NdviForecast | None) -> tuple[tuple[str, ...], ...]:
    """Return field, kind, day and evidence of each warning."""
    warnings = document.warnings if document else []
    return tuple((warning.field_id, warning.kind, str(warning.date), warning.text) for warning in warnings)
