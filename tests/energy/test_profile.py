"""BDEW H0: the same figures as demandlib's own class, on UTC days."""

import warnings
from datetime import date, timedelta

import numpy as np
import pytest

from include.energy.profile import h0_day, season


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
