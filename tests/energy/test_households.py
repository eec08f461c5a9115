"""Synthetic households, and BDEW H0: the same figures as demandlib's own class, on UTC days."""

import warnings
from datetime import date, timedelta

import numpy as np
import pytest

from include.energy.households import (
    Appliance,
    current,
    day_of_power,
    h0_day,
    make_households,
    random_source,
    season,
    voltage,
)


@pytest.mark.parametrize("year", [2024, 2025])
def test_it_is_demandlibs_dynamic_h0(year, monkeypatch):
    from demandlib.bdew import ElecSlp

    with warnings.catch_warnings():
        monkeypatch.setattr(warnings, "simplefilter", lambda *_: None)
        warnings.filterwarnings("ignore")
        expected = ElecSlp(year).slp_frame["h0_dyn"].to_numpy() * 4
    days = [date(year, 1, 1) + timedelta(days=n) for n in range(1, len(expected) // 96 - 1)]
    ours = np.concatenate([h0_day(day) for day in days]).reshape(-1, 15).mean(axis=1)
    winter = 4 * 75 * 24  # until clocks change, Berlin is an hour ahead of UTC
    assert ours[:winter] == pytest.approx(expected[100 : 100 + winter], abs=1e-12)


def test_the_profile_follows_the_clocks_of_berlin():
    night = [int(h0_day(day)[:300].argmin()) for day in (date(2026, 3, 27), date(2026, 3, 30))]
    assert night[0] - night[1] == 60


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ((1, 1), "winter"),
        ((3, 20), "winter"),
        ((3, 21), "transition"),
        ((5, 14), "transition"),
        ((5, 15), "summer"),
        ((9, 14), "summer"),
        ((9, 15), "transition"),
        ((10, 31), "transition"),
        ((11, 1), "winter"),
        ((12, 31), "winter"),
    ],
)
def test_seasons(day, name):
    assert season(date(2026, *day)) == name


def test_an_appliance_uses_power_times_hours_times_uses_in_a_year():
    assert Appliance(kw=2.0, minutes=30, uses=0.5, usual=0, spread=1).yearly_kwh == 182.5


def test_random_numbers_depend_on_the_key_alone():
    assert random_source("a", 1).random() == random_source("a", 1).random() != random_source("a", 2).random()


def test_households_are_the_same_for_the_same_count_and_seed():
    homes, again, other = make_households(80, 7), make_households(80, 7), make_households(80, 8)
    assert homes.names[0] == "H0001"
    assert (homes.yearly_kwh == again.yearly_kwh).all()
    assert (homes.yearly_kwh != other.yearly_kwh).any()
    assert homes.yearly_kwh[homes.has_car].min() >= 4000
    assert 0 < homes.has_car.sum() < 30


def test_a_day_of_power_has_a_value_for_each_interval_and_household_and_a_floor():
    homes = make_households(5, 0)
    power = day_of_power(homes, date(2026, 1, 14), 96, random_source("day"))
    assert power.shape == (96, 5)
    assert power.min() >= 0.03
    assert 0.5 < power.sum() * 0.25 / (homes.yearly_kwh.sum() / 365) < 2


def test_voltage_sags_under_load_and_the_current_fits_power_and_voltage():
    homes = make_households(200, 0)
    none, high = np.full((1, 200), 0.1), np.full((1, 200), 8.0)
    light, heavy = (voltage(homes, power, random_source("v")) for power in (none, high))
    sag = 7.9 * 1000 / 230 * homes.ohms
    assert light - heavy == pytest.approx(np.array([sag]), abs=0.11)
    amperes = current(high, heavy, random_source("i"))
    factor = 8000 / (heavy * amperes)
    assert factor.min() >= 0.845
    assert factor.max() <= 0.995
