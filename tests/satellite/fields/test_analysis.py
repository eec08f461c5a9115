"""The tables of an analysis, on few fields whose truth is known."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from include.satellite.fields.analysis import (
    ANOMALY_COLUMNS,
    EVENT_COLUMNS,
    SEASON_COLUMNS,
    SERIES_COLUMNS,
    analyse,
)

FIRST = date(2024, 1, 1)
DAYS = np.arange(0, 361, 5)


def curve(day, low=0.2, high=0.8):
    """Return a season that rises around 1 April and falls around 1 August."""
    return low + (high - low) * (1 / (1 + np.exp(-(day - 90) / 10)) + 1 / (1 + np.exp((day - 210) / 10)) - 1)


def world(count=8, changes=(), until=360, crop="wheat"):
    """Return observations and fields side by side; a change is (field, from day, to day, what is added)."""
    values = np.tile(curve(DAYS), (count, 1)) + 0.01 * np.sin(np.arange(count)[:, None] * 7 + DAYS * 3)
    for field, first, last, added in changes:
        values[field, (first <= DAYS) & (last >= DAYS)] += added
    rows = [
        (f"f{i}", FIRST + timedelta(days=int(day)), 1.0, "ok", values[i, at])
        for i in range(count)
        for at, day in enumerate(DAYS)
        if day <= until and np.isfinite(values[i, at])
    ]
    fields = [(f"f{i}", crop, FIRST, date(2024, 12, 31), 5 + i / 1000, 50.0) for i in range(count)]
    return (
        pd.DataFrame(rows, columns=["field_id", "date", "clear_share", "status", "ndvi_mean"]),
        pd.DataFrame(fields, columns=["field_id", "crop", "valid_from", "valid_to", "lon", "lat"]),
    )


def day(number):
    return FIRST + timedelta(days=int(number))


def test_fields_that_grow_alike_have_seasons_and_no_alert():
    result = analyse(*world(), as_of=day(360))
    assert result.alerts.empty
    assert result.findings.empty
    season = result.seasons.iloc[0]
    assert (season["start"] - day(79)).days == pytest.approx(0, abs=4)
    assert (season["peak"] - day(150)).days == pytest.approx(0, abs=25)
    assert (season["end"] - day(227)).days == pytest.approx(0, abs=6)
    assert season["amplitude"] == pytest.approx(0.6, abs=0.03)
    assert set(result.anomalies["neighbours"]) == {7}
    assert result.anomalies["neighbour_z"].abs().max() < 2


def test_observed_and_filled_days_are_told_apart():
    series = analyse(*world(until=100), as_of=day(100)).series
    one = series[series["field_id"] == "f0"]
    assert list(one.columns) == SERIES_COLUMNS
    assert one[~one["filled"]]["date"].tolist() == [day(number) for number in DAYS if number <= 100]
    assert one[one["filled"]]["observed"].isna().all()
    assert one["date"].max() == day(100)


def test_a_fall_that_neighbours_do_not_show_is_an_alert_with_its_evidence():
    observations, fields = world(changes=[(2, 140, 200, -0.12)])
    alerts = analyse(observations, fields, as_of=day(360)).alerts
    assert alerts[["field_id", "kind", "date", "since"]].to_numpy().tolist() == [["f2", "fall", day(145), day(140)]]
    alert = alerts.iloc[0]
    assert alert["change"] == pytest.approx(-0.12, abs=0.03)
    assert alert["expected"] - alert["value"] == pytest.approx(-alert["change"], abs=0.03)
    assert (alert["compared"], alert["compared_with"]) == (7, "neighbours")
    assert alert["z"] <= -3
    assert "7 neighbours within 20 km" in alert["text"]
    for last in (145, 160, 250):
        earlier = analyse(observations, fields, as_of=day(last)).alerts
        assert earlier["date"].tolist() == [day(145)], "a later analysis states the same"


def test_a_fall_that_own_seasons_do_not_show_is_an_alert_where_there_are_too_few_neighbours():
    noise = np.random.default_rng(0).normal(0, 0.015, (4, len(DAYS)))
    rows, fields = [], []
    for year in range(4):
        first = date(2020 + year, 1, 1)
        values = curve(DAYS) + noise[year] - np.where((year == 3) & (DAYS >= 140) & (DAYS <= 200), 0.15, 0.0)
        fields.append(("f0", "wheat", first, date(first.year, 12, 31), 5.0, 50.0))
        rows += [
            ("f0", first + timedelta(days=int(number)), 1.0, "ok", value)
            for number, value in zip(DAYS, values, strict=True)
        ]
    observations = pd.DataFrame(rows, columns=["field_id", "date", "clear_share", "status", "ndvi_mean"])
    table = pd.DataFrame(fields, columns=["field_id", "crop", "valid_from", "valid_to", "lon", "lat"])
    alerts = analyse(observations, table, as_of=date(2023, 12, 27)).alerts
    assert alerts["date"].tolist() == [date(2023, 5, 26)]
    assert alerts[["compared", "compared_with"]].to_numpy().tolist() == [[3, "own seasons"]]


def test_a_fall_that_neighbours_share_and_haze_on_one_pass_are_none():
    shared = [(field, 140, 200, -0.15) for field in range(8)]
    assert analyse(*world(changes=shared), as_of=day(360)).alerts.empty
    assert analyse(*world(changes=[(2, 140, 140, -0.2)]), as_of=day(360)).alerts.empty


def test_a_harvest_late_in_the_season_and_mowing_are_findings():
    def kinds(changes, **kwargs):
        observations, fields = world(changes=changes, **kwargs)
        fields["valid_to"] = date(2024, 10, 15)
        result = analyse(observations, fields, as_of=day(360))
        return result.findings["kind"].tolist(), result.alerts["kind"].tolist()

    assert kinds([(1, 225, 360, 0.0), *((1, at, at + 4, 0.75 - curve(at)) for at in range(190, 225, 5))]) == (
        ["harvest"],
        [],
    )
    observations, fields = world(changes=[(3, 150, 160, -0.4), (3, 165, 175, -0.2)], crop="grass")
    fields["valid_to"] = None
    result = analyse(observations, fields, as_of=day(360))
    assert (result.findings["kind"].tolist(), result.alerts["kind"].tolist()) == (["mowing"], [])
    assert result.findings["date"].tolist() == [day(155)]


def test_a_season_that_starts_late_is_an_alert():
    late = [(4, at, at, curve(at - 40) - curve(at)) for at in range(60, 180, 5)]
    alerts = analyse(*world(changes=late), as_of=day(360)).alerts
    starts = alerts[alerts["kind"] == "late start"]
    assert starts["field_id"].tolist() == ["f4"]
    assert starts["compared"].tolist() == [7]
    assert starts["threshold"].iloc[0] >= 15
    assert starts["date"].iloc[0] <= day(125)


def test_no_clear_pass_for_long_is_an_alert_of_its_day():
    observations, fields = world(until=100)
    observations.loc[(observations["field_id"] == "f5") & (observations["date"] > day(80)), "status"] = "cloudy"
    assert analyse(observations, fields, as_of=day(110)).alerts.empty
    alerts = analyse(observations, fields, as_of=day(111)).alerts
    assert alerts[["field_id", "kind", "date"]].to_numpy().tolist() == [["f5", "no data", day(111)]]
    assert "31 days and 4 passes" in alerts["text"].iloc[0]
    assert analyse(observations, fields, as_of=day(120)).alerts["date"].tolist() == [day(111)]


def test_without_comparison_nothing_is_compared_and_the_reason_stands_there():
    few = analyse(*world(count=5, changes=[(2, 140, 200, -0.12)]), as_of=day(360))
    assert set(few.anomalies["reason"]) == {"no comparable history"}
    assert few.anomalies["neighbour_z"].isna().all()
    assert few.alerts.empty
    observations, fields = world()
    fields["crop"] = None
    unknown = analyse(observations, fields, as_of=day(360))
    assert set(unknown.anomalies["reason"]) == {"no crop is stated"}
    assert unknown.alerts.empty


def test_before_the_first_pass_the_tables_are_empty():
    observations, fields = world()
    result = analyse(observations, fields, as_of=date(2023, 1, 1))
    tables = (result.series, result.seasons, result.anomalies, result.findings, result.alerts)
    columns = (SERIES_COLUMNS, SEASON_COLUMNS, ANOMALY_COLUMNS, EVENT_COLUMNS, EVENT_COLUMNS)
    assert all(table.empty and list(table.columns) == names for table, names in zip(tables, columns, strict=True))
