"""Figures of the measured data, held to what pandas says of the raw files with code of its own."""

import shutil
from functools import cache

import numpy as np
import pandas as pd
import pytest

from include.energy.audit.rows import prove_report
from include.energy.params import ReportParams
from include.energy.report import write_report
from include.energy.schemas import REPORT, Analysis
from include.energy.steps import ENERGY_STEPS

pytestmark = pytest.mark.real_data

HOMES = (10006414, 10006704, 10017554, 10017936, 10018060)
OF_HOMES = {
    "columns": "timestamp=reading_datetime,household_id=customer_id,energy_kwh=general_supply_kwh",
    "timezone": "+10:00",
}
OF_GRIDS = {"high_usage_kw": None}


@pytest.fixture(scope="module")
def analyzed(real_data, tmp_path_factory):
    """Converts and analyzes a file once through the steps' own functions, and counts it by their contracts."""

    @cache
    def analyzed(name, **given):
        files = tmp_path_factory.mktemp("analyzed") / "files"
        (files / "source").mkdir(parents=True)
        shutil.copy(real_data / name, files / "source" / name)
        for step in (ENERGY_STEPS["energy-generator"], ENERGY_STEPS["energy-analyzer"]):
            params = {**given, "files": (name,)}
            step.load()(files, step.params(**{key: params[key] for key in params if key in step.params.model_fields}))
            assert step.records(files).reconciles
        return files

    return analyzed


@pytest.fixture
def run(analyzed):
    """Returns the analysis of a file."""
    return lambda name, **given: Analysis.model_validate_json((analyzed(name, **given) / "output1.json").read_bytes())


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
def test_homes(run, real_data, home):
    name = f"household_au_{home}.csv"
    raw = pd.read_csv(real_data / name, parse_dates=["reading_datetime"]).sort_values("reading_datetime")
    assert raw["reading_datetime"].is_unique
    kw = pd.Series(raw["general_supply_kwh"].to_numpy() * 2, index=pd.DatetimeIndex(raw["reading_datetime"]))
    result = run(name, **OF_HOMES)
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


def test_victoria(run, real_data):
    name = "grid_vic_30min.csv"
    raw = pd.read_csv(real_data / name, parse_dates=["Time"]).set_index("Time").sort_index()
    mw = raw["Demand"]
    columns = "timestamp=Time,household_id=@VIC,power_mw=Demand"
    result = run(name, columns=columns, **OF_GRIDS)
    assert (result.records_out, result.missing, result.high_usage) == (len(raw), 0, 0)
    assert result.energy_kwh == pytest.approx(mw.sum() * 1000 / 2, rel=1e-9)
    assert result.peak_kw == pytest.approx(mw.max() * 1000)
    assert pd.Timestamp(result.peak_at) == mw.idxmax()
    assert result.load_factor == pytest.approx(mw.mean() / mw.max(), abs=5e-5)
    flat = sum(count for _, count in long_runs(mw, 1800) if count >= 12)
    expected = {"outlier": outliers(mw * 1000, hour_of_week(mw.index, mw.index)), "flat_line": flat}
    assert {reason: result.anomalies_by_reason[reason] for reason in expected} == expected


@pytest.mark.parametrize("zone", ["AEP", "DAYTON"])
def test_pjm_zones(run, real_data, zone):
    name = f"grid_pjm_{zone}_hourly.csv"
    raw = pd.read_csv(real_data / name, parse_dates=["Datetime"]).sort_values("Datetime", kind="stable")
    starts = pd.DatetimeIndex(raw["Datetime"]) - pd.Timedelta(hours=1)
    utc = starts.tz_localize("America/New_York", ambiguous="infer").tz_convert("UTC")
    assert utc.is_unique
    mw = pd.Series(raw[f"{zone}_MW"].to_numpy(), index=utc).sort_index()
    columns = f"timestamp=Datetime,household_id=@{zone},power_mw={zone}_MW"
    result = run(name, columns=columns, timezone="America/New_York", stamp="end", **OF_GRIDS)
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


@pytest.mark.parametrize("home", HOMES)
def test_what_users_want_to_know_of_homes(analyzed, files, real_data, home, quick_plots):
    """Totals, peaks, base load, load duration, cost and CO2 by pandas alone, on the clock of the file."""
    name = f"household_au_{home}.csv"
    raw = pd.read_csv(real_data / name, parse_dates=["reading_datetime"]).set_index("reading_datetime").sort_index()
    kwh = raw["general_supply_kwh"]
    shutil.copytree(analyzed(name, **OF_HOMES), files, dirs_exist_ok=True)
    factors = pd.Series(range(24), range(24)) * 10.0 + 500
    hours = pd.date_range(kwh.index[0].floor("D"), kwh.index[-1].ceil("D"), freq="h", tz="Etc/GMT-10")
    known = hours[hours.day != 5]
    lines = "".join(f"{hour.isoformat()},{factors[hour.hour]}\n" for hour in known)
    (files / "source/co2.csv").write_text(f"time,gCO2/kWh\n{lines}")
    workdays = '["mon", "tue", "wed", "thu", "fri"]'
    (files / "source/tariff.toml").write_text(
        'name = "T"\ncurrency = "AUD"\ntimezone = "+10:00"\nvalid_from = 2000-01-01\nstanding_charge_per_day = 1\n'
        f'[[bands]]\nname = "peak"\nprice_per_kwh = 0.5\nhours = ["15:00-21:00"]\ndays = {workdays}\n'
        f'[[bands]]\nname = "off"\nprice_per_kwh = 0.2\nhours = ["21:00-15:00"]\ndays = {workdays}\n'
        '[[bands]]\nname = "weekend"\nprice_per_kwh = 0.3\ndays = ["sat","sun"]\n'
    )
    params = ReportParams(tariff="tariff.toml", emissions="co2.csv")
    write_report(files, params)
    prove_report(files, params)
    report = REPORT.read(files)

    for totals, alias in ((report.usage.days, "D"), (report.usage.months, "M"), (report.usage.years, "Y")):
        expected = kwh.groupby(kwh.index.to_period(alias)).agg(["sum", "count"])
        assert [str(total.start) for total in totals] == [f"{period.start_time:%Y-%m-%d}" for period in expected.index]
        assert [total.energy_kwh for total in totals] == pytest.approx(expected["sum"].tolist(), abs=0.0006)
        lengths = [
            (period.end_time - period.start_time).round("s") / pd.Timedelta(minutes=30) for period in expected.index
        ]
        assert [total.coverage for total in totals] == pytest.approx(
            (expected["count"] / lengths).tolist(), abs=1.01e-4
        )
    kw = kwh * 2
    by_month = kw.groupby(kw.index.to_period("M"))
    assert [peak.peak_kw for peak in report.usage.peaks] == pytest.approx(by_month.max().tolist())
    at = [pd.Timestamp(peak.at).tz_convert("Etc/GMT-10").tz_localize(None) for peak in report.usage.peaks]
    assert at == by_month.idxmax().tolist()
    assert report.usage.base_load_kw == pytest.approx(kw.quantile(0.025, "higher"), abs=0.0006)
    falling = kw.sort_values(ascending=False).to_numpy()
    points = [falling[max(int(np.ceil(len(kw) * percent / 100)) - 1, 0)] for percent in range(101)]
    assert report.usage.load_duration.kw == pytest.approx(points, abs=0.0006)
    assert report.usage.load_duration.hours == len(kw) / 2

    weekend, evening = kwh.index.day_of_week >= 5, (kwh.index.hour >= 15) & (kwh.index.hour < 21)
    band = np.where(weekend, "weekend", np.where(evening, "peak", "off"))
    costs = kwh.groupby([kwh.index.to_period("M"), band]).sum() * pd.Series(
        {"off": 0.2, "peak": 0.5, "weekend": 0.3}
    ).reindex(kwh.groupby([kwh.index.to_period("M"), band]).sum().index, level=1)
    stated = {(str(line.month)[:7], line.band): line.cost for line in report.cost.bands}
    assert stated == {(str(month), name): pytest.approx(cost, abs=0.0051) for (month, name), cost in costs.items()}
    days = (kwh.index[-1].normalize() - kwh.index[0].normalize()).days + 1
    assert report.cost.total == pytest.approx(sum(stated.values()) + days, abs=0.01)
    fifth = kwh.index.day == 5
    grams = (kwh * factors.reindex(kwh.index.hour).to_numpy())[~fifth].sum()
    assert report.emissions.co2_kg == pytest.approx(grams / 1000, abs=0.001)
    assert report.emissions.energy_without_factor_kwh == pytest.approx(kwh[fifth].sum(), abs=0.001)
