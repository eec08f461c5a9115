"""Which alerts are current: they describe a field as it is now. All others are past, and state why.

Report, page, notifications, asset events and tables take this from `alerts.parquet` (`is_current`, `past_because`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.satellite.fields.starts import RISE

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

CURRENT_D = 30
"""An older alert is past; one of no data is stated only while it lasts."""
REGAINED = 0.5
"""A fall is over when the field has regained this share of it against what it was compared with."""


def with_currency(alerts: pd.DataFrame, anomalies: pd.DataFrame, events: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """Return alerts with `is_current`, and `past_because`, which is empty for a current one.

    An alert is current while no data come, or for `CURRENT_D` days unless the field's latest clear pass shows that it
    is over: the field was harvested or mown since, half of the fall is regained, or the season has started.

    Args:
        alerts: As `analysis.EVENT_COLUMNS`.
        anomalies: As `analysis.ANOMALY_COLUMNS`: each field on each clear pass.
        events: Harvests and mowings, as the alerts.
        as_of: The day of the analysis.
    """
    by_field = dict(list(anomalies.sort_values("date", kind="stable").groupby("field_id")))
    cuts = events.groupby("field_id")["date"].max().to_dict()
    reasons = [
        _past_because(alert, by_field.get(alert["field_id"]), cuts.get(alert["field_id"]), as_of)
        for alert in alerts.to_dict("records")
    ]
    return alerts.assign(is_current=[not reason for reason in reasons], past_because=reasons)


def _past_because(alert: dict[Any, Any], passes: pd.DataFrame | None, cut: date | None, as_of: date) -> str:
    """Return why an alert is past; empty if it is current."""
    if alert["kind"] == "no data":
        return ""
    if alert["date"] < as_of - timedelta(days=CURRENT_D):
        return f"older than {CURRENT_D} days"
    if cut is not None and cut > alert["date"]:
        return f"harvested or mown on {cut}"
    then = None if passes is None else passes[passes["date"] == alert["date"]]
    if passes is None or then is None or then.empty:
        return ""
    first, last = then.iloc[-1], passes.iloc[-1]
    if alert["kind"] == "late start":
        return f"started by {last['date']}" if last["value"] - first["value"] >= RISE else ""
    reference = "neighbour_median" if alert["compared_with"] == "neighbours" else "own_median"
    regained = (last["value"] - last[reference]) - (first["value"] - first[reference])
    return f"regained by {last['date']}" if regained >= -REGAINED * alert["change"] else ""
