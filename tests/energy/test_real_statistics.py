"""Figures of the measured data, held to what pandas says of the raw files with code of its own."""

import shutil

import numpy as np
import pandas as pd
import pytest

from include.energy.schemas import Analysis
from include.energy.steps import ENERGY_STEPS

pytestmark = pytest.mark.real_data

HOMES = (10006414, 10006704, 10017554, 10017936, 10018060)
OF_HOMES = {
    "columns": "timestamp=reading_datetime,household_id=customer_id,energy_kwh=general_supply_kwh",
    "timezone": "+10:00",
}
OF_GRIDS = {"high_usage_kw": None}


def run(files, real_data, name, **given):
    """Convert and analyze a file through the steps' own functions, and count it by their contracts."""
    shutil.copy(real_data / name, files / "source" / name)
    for step in (ENERGY_STEPS["energy-generator"], ENERGY_STEPS["energy-analyzer"]):
        asked = {key: value for key, value in {**given, "files": (name,)}.items() if key in step.params.model_fields}
        step.load()(files, step.params(**asked))
        assert step.records(files).reconciles
    return Analysis.model_validate_json((files / "output1.json").read_bytes())


def outliers(kw: pd.Series, hour_of_week: pd.Series) -> int:
    """The outlier rule in pandas; every hour of the week of these files has 12 samples."""
    groups = kw.groupby(hour_of_week)
    assert groups.size().min() >= 12
    median = groups.transform("median")
    mad = (kw - median).abs().groupby(hour_of_week).transform("median")
    q90 = groups.transform(lambda values: np.quantile(values, 0.9))
    candidates = [1.4826 * mad, (q90 - median) / 1.2816, 0.25 * median.abs(), pd.Series(0.05, kw.index)]
    scale = pd.concat(candidates, axis=1).max(axis=1)
    return int(((kw - median) / scale > 5).sum())


def long_runs(kw: pd.Series, seconds: int) -> list[tuple[float, int]]:
    """(value, records) of each run of equal values in neighbouring intervals."""
    times = kw.index.to_series()
    run_number = ((kw != kw.shift()) | (times.diff() != pd.Timedelta(seconds=seconds))).cumsum()
    return [(values.iloc[0], len(values)) for _, values in kw.groupby(run_number)]


def hour_of_week(local: pd.DatetimeIndex, index) -> pd.Series:
    return pd.Series(local.day_of_week * 24 + local.hour, index=index)


@pytest.mark.parametrize("home", HOMES)
def test_homes(files, real_data, home):
    name = f"household_au_{home}.csv"
    raw = pd.read_csv(real_data / name, parse_dates=["reading_datetime"]).sort_values("reading_datetime")
    assert raw["reading_datetime"].is_unique
    kw = pd.Series(raw["general_supply_kwh"].to_numpy() * 2, index=pd.DatetimeIndex(raw["reading_datetime"]))
    result = run(files, real_data, name, **OF_HOMES)
    figures = result.households[0]
    runs = long_runs(kw, 1800)
    span = (kw.index[-1] - kw.index[0]) // pd.Timedelta(minutes=30) + 1

    assert (result.records_in, result.records_out, result.records_rejected) == (len(raw), len(raw), 0)
    assert pd.Timestamp(result.start).tz_convert("Etc/GMT-10").tz_localize(None) == kw.index[0]
    assert (result.expected, result.missing) == (span, span - len(raw))
    assert result.energy_kwh == pytest.approx(raw["general_supply_kwh"].sum(), abs=0.001)
    assert figures.peak_kw == pytest.approx(kw.max())
    assert pd.Timestamp(figures.peak_at).tz_convert("Etc/GMT-10").tz_localize(None) == kw.idxmax()
    assert figures.load_factor == pytest.approx(kw.mean() / kw.max(), abs=5e-5)
    assert result.high_usage == (kw > 5).sum()
    assert result.zero_runs == sum(value == 0 and count >= 48 for value, count in runs)
    assert result.zero_run_hours == sum(count for value, count in runs if value == 0 and count >= 48) / 2
    assert result.anomalies_by_reason == {
        "voltage_outside_band": 0,
        "power_factor": 0,
        "outlier": outliers(kw, hour_of_week(kw.index, kw.index)),
        "flat_line": sum(count for value, count in runs if value != 0 and count >= 12),
    }
    share = result.anomalies_by_reason["outlier"] / len(raw)
    assert 0.0004 <= round(share, 4) <= 0.025, "as measured when the rule was chosen"
    by_hour = kw.groupby(kw.index.hour).mean()
    assert figures.hourly_profile_kw == pytest.approx(by_hour.tolist(), abs=5e-5)


def test_victoria(files, real_data):
    name = "grid_vic_30min.csv"
    raw = pd.read_csv(real_data / name, parse_dates=["Time"]).set_index("Time").sort_index()
    mw = raw["Demand"]
    columns = "timestamp=Time,household_id=@VIC,power_mw=Demand"
    result = run(files, real_data, name, columns=columns, **OF_GRIDS)
    assert (result.records_out, result.missing, result.high_usage) == (len(raw), 0, 0)
    assert result.energy_kwh == pytest.approx(mw.sum() * 1000 / 2, rel=1e-9)
    assert result.peak_kw == pytest.approx(mw.max() * 1000)
    assert pd.Timestamp(result.peak_at) == mw.idxmax()
    assert result.load_factor == pytest.approx(mw.mean() / mw.max(), abs=5e-5)
    flat = sum(count for _, count in long_runs(mw, 1800) if count >= 12)
    expected = {"outlier": outliers(mw * 1000, hour_of_week(mw.index, mw.index)), "flat_line": flat}
    assert {reason: result.anomalies_by_reason[reason] for reason in expected} == expected


@pytest.mark.parametrize("zone", ["AEP", "DAYTON"])
def test_pjm_zones(files, real_data, zone):
    name = f"grid_pjm_{zone}_hourly.csv"
    raw = pd.read_csv(real_data / name, parse_dates=["Datetime"]).sort_values("Datetime", kind="stable")
    starts = pd.DatetimeIndex(raw["Datetime"]) - pd.Timedelta(hours=1)
    utc = starts.tz_localize("America/New_York", ambiguous="infer").tz_convert("UTC")
    assert utc.is_unique
    mw = pd.Series(raw[f"{zone}_MW"].to_numpy(), index=utc).sort_index()
    columns = f"timestamp=Datetime,household_id=@{zone},power_mw={zone}_MW"
    result = run(files, real_data, name, columns=columns, timezone="America/New_York", stamp="end", **OF_GRIDS)
    span = (mw.index[-1] - mw.index[0]) // pd.Timedelta(hours=1) + 1
    assert (result.records_in, result.records_out) == (len(raw), len(raw))
    assert (pd.Timestamp(result.start), result.expected, result.missing) == (mw.index[0], span, span - len(mw))
    assert result.energy_kwh == pytest.approx(mw.sum() * 1000)
    assert result.peak_kw == pytest.approx(mw.max() * 1000)
    assert pd.Timestamp(result.peak_at) == mw.idxmax()
    local = mw.index.tz_convert("America/New_York")
    assert result.anomalies_by_reason["outlier"] == outliers(mw * 1000, hour_of_week(local, mw.index))
    by_hour = (mw * 1000).groupby(local.hour).mean()
    assert result.hourly_profile_kw == pytest.approx(by_hour.tolist(), abs=1e-3)
