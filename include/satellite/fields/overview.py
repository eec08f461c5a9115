"""The page Fields: a map of the fields by state, the series of each, and a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.errors import ContractError
from include.core.run_folder import RunFolder
from include.satellite.artifacts import FIELDS
from include.satellite.fields.charts import series_chart
from include.satellite.fields.shown import NEEDED, ShownField, field_map, shown_fields
from include.satellite.forecast.latest import latest_forecast, statement, table_rows

if TYPE_CHECKING:
    from include.env_file import EnvFile


def fields_page(env_file: EnvFile, runs: Iterable[Path]) -> dict[str, Any]:
    """Return the page's own variables, of the latest run whose fields can be shown.

    Args:
        env_file: Not used.
        runs: Run folders of the pipeline, latest first.

    Returns:
        `fields`, `run` and `charts`; `passed_over` names each later run, and why its fields are not shown; `forecast`
        states the latest forecast of the fields, and `warnings` are its early warnings.
    """
    passed_over: list[tuple[str, str]] = []
    for run in runs:
        files = RunFolder(run).files
        missing = [artifact.path for artifact in NEEDED if not artifact.at(files).is_file()]
        try:
            if missing:
                passed_over.append((run.name, f"it is running, or failed before it wrote {missing[0]}"))
                continue
            fields = shown_fields(files)
            charts = [field_map(fields, linked=True), *series_chart(files)] if fields else []
        except ContractError as error:
            passed_over.append(
                (run.name, f"its files are of another version, or damaged ({error.artifact} {error.rule})")
            )
            continue
        shown = {"fields": fields, "run": run.name, "charts": charts, "passed_over": passed_over}
        return shown | _forecast(FIELDS.read(files).file, fields)
    return {"fields": [], "run": None, "charts": [], "passed_over": passed_over, "forecast": "", "warnings": ()}


def _forecast(file: str, fields: list[ShownField]) -> dict[str, Any]:
    """Return what the latest forecast of the fields states, and its warnings, each with the number of its field."""
    try:
        latest = latest_forecast(file)
    except ContractError as error:
        return {"forecast": f"The latest forecast is of another version, or damaged: {error}.", "warnings": ()}
    last_pass = max((field.latest for field in fields if field.latest), default=None)
    number = {field.field_id: field.number for field in fields}
    rows = [(number.get(name), name, *rest) for name, *rest in table_rows(latest)]
    return {"forecast": statement(latest, last_pass), "warnings": rows}
