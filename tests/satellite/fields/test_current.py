"""Which alerts are current, and why others are past."""

from datetime import date, timedelta

import pandas as pd
import pytest

from include.satellite.fields.analysis import ANOMALY_COLUMNS, EVENT_COLUMNS
from include.satellite.fields.current import with_currency

FALL = date(2026, 6, 10)
TODAY = FALL + timedelta(days=20)


def alert(kind="fall", **values):
    row = {"field_id": "A", "kind": kind, "date": FALL, "change": -0.2, "compared_with": "neighbours"}
    return pd.DataFrame([row | values], columns=EVENT_COLUMNS)


def passes(*values, neighbours=0.7, own=float("nan")):
    """Clear passes of a field five days apart, the first one that of the alert."""
    days = [FALL + timedelta(days=5 * number) for number in range(len(values))]
    columns = {"date": days, "value": values, "neighbour_median": neighbours, "own_median": own}
    return pd.DataFrame({"field_id": "A"} | columns, columns=ANOMALY_COLUMNS)


def past_because(alerts, anomalies, events=None, as_of=TODAY):
    events = pd.DataFrame(columns=EVENT_COLUMNS) if events is None else events
    [row] = with_currency(alerts, anomalies, events, as_of).to_dict("records")
    assert row["is_current"] == (not row["past_because"])
    return row["past_because"]


@pytest.mark.parametrize(
    ("anomalies", "reason"),
    [
        (passes(0.5), ""),
        (passes(0.5, 0.55, 0.59), ""),
        (passes(0.5, 0.55, 0.61), "regained by 2026-06-20"),
        (passes(0.5, 0.61, neighbours=[0.7, 0.81]), ""),
        (passes(0.5, 0.61, neighbours=float("nan")), ""),
        (passes(0.5, 0.61).iloc[1:], ""),
    ],
    ids=["no later pass", "still low", "regained", "the neighbours rose as well", "no comparison", "not that pass"],
)
def test_a_fall_is_current_until_half_of_it_is_regained_against_the_comparison(anomalies, reason):
    assert past_because(alert(), anomalies) == reason


def test_a_fall_against_own_seasons_is_followed_against_them():
    seasons = {"neighbours": float("nan"), "own": [0.7, 0.9]}
    assert past_because(alert(compared_with="own seasons"), passes(0.5, 0.65, **seasons)) == ""
    assert past_because(alert(compared_with="own seasons"), passes(0.5, 0.85, **seasons)) == "regained by 2026-06-15"


def test_an_alert_is_past_after_30_days_but_no_data_lasts():
    late = FALL + timedelta(days=31)
    assert past_because(alert(), passes(0.5), as_of=late - timedelta(days=1)) == ""
    assert past_because(alert(), passes(0.5), as_of=late) == "older than 30 days"
    assert past_because(alert("no data"), passes(0.5), as_of=late) == ""


def test_a_later_cut_ends_an_alert_and_an_earlier_one_does_not():
    cut = alert("mowing", date=FALL + timedelta(days=5))
    assert past_because(alert(), passes(0.5), cut) == "harvested or mown on 2026-06-15"
    assert past_because(alert(), passes(0.5), cut.assign(date=FALL)) == ""
    assert past_because(alert(), passes(0.5), cut.assign(field_id="B")) == ""


def test_a_late_start_is_over_when_the_index_rises():
    late = alert("late start", change=20.0)
    assert past_because(late, passes(0.25, 0.35)) == ""
    assert past_because(late, passes(0.25, 0.41)) == "started by 2026-06-15"


def test_without_alerts_the_columns_are_there():
    empty = pd.DataFrame(columns=EVENT_COLUMNS)
    table = with_currency(empty, pd.DataFrame(columns=ANOMALY_COLUMNS), empty, TODAY)
    assert list(table.columns) == [*EVENT_COLUMNS, "is_current", "past_because"]
