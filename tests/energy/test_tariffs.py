"""Costs by a time-of-use tariff, compared with what pandas adds up minute by minute."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from include.core.errors import BadInputError
from include.energy.db import connect
from include.energy.figures import usage
from include.energy.schemas import ANALYSIS
from include.energy.tariffs import cost, read_tariff, segments
from include.energy.timeline import EPOCH
from tests.energy.analysis import HEADER, analyzed
from tests.energy.test_figures import BERLIN, by_minute, readings, varied

TARIFF = """
name = "Two seasons"
currency = "EUR"
timezone = "Europe/Berlin"
valid_from = 2026-01-01
valid_to = 2026-03-30
standing_charge_per_day = 0.35
capacity_charge_per_kw = 4.1
export_credit_per_kwh = 0.08
holidays = [2026-03-27]

[[bands]]
name = "day"
price_per_kwh = 0.31
days = ["mon", "tue", "wed", "thu", "fri"]
hours = ["06:30-22:00"]

[[bands]]
name = "night"
price_per_kwh = 0.22
days = ["mon", "tue", "wed", "thu", "fri"]
hours = ["22:00-06:30"]

[[bands]]
name = "weekend"
price_per_kwh = 0.25
days = ["sat", "sun", "holiday"]
"""


def tariff(folder, text=TARIFF, zone=BERLIN):
    path = folder / "tariff.toml"
    path.write_text(text, encoding="utf-8")
    return read_tariff(path, "tariff.toml", zone)


def costs(files, lines, text=TARIFF):
    analyzed(files, lines, timezone=BERLIN, allow_export=True)
    with connect(files) as db:
        figures = usage(db, files, ANALYSIS.read(files), None, 15)
        return cost(db, tariff(files, text), "tariff.toml", figures), figures


def band_of(time):
    if time.date() == date(2026, 3, 27) or time.day_of_week >= 5:
        return "weekend"
    return "day" if 6.5 <= time.hour + time.minute / 60 < 22 else "night"


def test_energy_is_priced_by_band_and_month_on_the_local_clock(files):
    """Hours are split at 06:30, a holiday is no Friday, clocks change, and the tariff ends before the readings do."""
    lines = readings("A", "2026-02-27T00:00", 60, varied(33 * 24))
    lines += readings("B", "2026-03-26T00:00", 15, [*varied(300), *[-1.0] * 100])
    result, figures = costs(files, lines)
    minutes = by_minute(files, BERLIN)
    valid = minutes[minutes["local"].dt.date <= date(2026, 3, 30)]
    used = valid[valid["kwh"] > 0]
    month, band = used["local"].dt.tz_localize(None).dt.to_period("M"), used["local"].map(band_of)
    expected = used.groupby([month, band])["kwh"].sum()
    assert {(pd.Period(str(line.month), "M"), line.band) for line in result.bands} == set(expected.index)
    prices = {"day": 0.31, "night": 0.22, "weekend": 0.25}
    for line in result.bands:
        kwh = expected[pd.Period(str(line.month), "M"), line.band]
        assert line.energy_kwh == pytest.approx(kwh, abs=0.001)
        assert line.cost == pytest.approx(kwh * prices[line.band], abs=0.011), "each household's line is rounded"
    outside = minutes[(minutes["local"].dt.date > date(2026, 3, 30)) & (minutes["kwh"] > 0)]["kwh"].sum()
    assert result.energy_outside_kwh == pytest.approx(outside, abs=0.001)
    assert outside > 0
    credit = -valid[valid["kwh"] < 0]["kwh"].sum() * 0.08
    assert sum(home.export_credit for home in result.households) == pytest.approx(credit, abs=0.006)
    assert [line.days for line in result.months] == [2, 30]
    assert result.months[0].standing_charge == round(2 * 2 * 0.35, 2)
    a, b = figures.households
    peaks = [peak for peak in (*a.peaks, *b.peaks) if peak.month <= date(2026, 3, 1)]
    assert sum(line.capacity_charge for line in result.months) == pytest.approx(
        sum(round(peak.peak_kw * 4.1, 2) for peak in peaks), abs=0.001
    )
    for bill in (*result.months, *result.households):
        assert bill.total == pytest.approx(
            bill.energy_cost + bill.standing_charge + bill.capacity_charge - bill.export_credit, abs=0.001
        )
    assert result.total == pytest.approx(sum(home.total for home in result.households), abs=0.001)


def test_the_hour_that_occurs_twice_is_priced_as_its_clock_shows_both_times(files):
    text = TARIFF.replace("06:30", "02:30").replace("valid_to = 2026-03-30\n", "")
    text = text.replace('["sat", "sun", "holiday"]', '["holiday"]').replace('"fri"]', '"fri", "sat", "sun"]')
    result, _ = costs(files, readings("A", "2026-10-25T00:00", 15, [1.0] * 100), text)
    night = 2.5 + 0.5 + 2  # until 02:30, 02:00 to 02:30 again, from 22:00
    assert {line.band: line.energy_kwh for line in result.bands} == {"day": 25 - night, "night": night}


def test_a_day_is_cut_where_its_bands_change(files):
    begin = int((datetime(2026, 3, 25, 23, tzinfo=UTC) - EPOCH).total_seconds())
    parts = segments(tariff(files), [(date(2026, 3, 26), begin, begin + 86400)])
    cut = [((part.begin - begin) / 3600, part.key[1]) for part in parts if part.end > part.begin]
    assert cut == [(0, 1), (6.5, 0), (22, 1)]


def test_what_a_column_states_as_export_is_credited(files):
    lines = [f"{line},0.25" for line in readings("A", "2026-01-05T00:00", 60, [1.0] * 24)]
    lines += [f"{line}," for line in readings("B", "2026-01-05T00:00", 60, [-2.0, 1.0] * 12)]
    analyzed(files, lines, f"{HEADER},export", timezone=BERLIN, allow_export=True)
    with connect(files) as db:
        figures = usage(db, files, ANALYSIS.read(files), None, 15)
        bill = cost(db, tariff(files), "tariff.toml", figures)
    assert [home.export_credit for home in bill.households] == [0.48, 1.92], "6 and 24 kWh at 0.08"
    assert sum(band.energy_kwh for band in bill.bands) == 24 + 12, "the energy that is paid for is the import"


FAULTS = {
    "a time without a band": (TARIFF.replace("22:00-06:30", "22:00-06:00"), "mon 06:00 in month 1 is in no band"),
    "a time in two bands": (
        TARIFF.replace("22:00-06:30", "21:00-06:30"),
        "mon 21:00 in month 1 is in the bands day and night",
    ),
    "a holiday without a band": (TARIFF.replace(', "holiday"]', "]"), "holiday 00:00 in month 1 is in no band"),
    "a month without a band": (
        TARIFF.replace('name = "weekend"', 'name = "weekend"\nmonths = [1, 2, 3]'),
        "sat 00:00 in month 4 is in no band",
    ),
    "no hours": (TARIFF.replace("06:30-22:00", "6.30 to 22"), "must be hours such as 07:00-22:00"),
    "an unknown key": (TARIFF.replace("currency", "price = 1\ncurrency"), "price: Extra inputs are not permitted"),
    "no price": (TARIFF.replace("price_per_kwh = 0.31\n", ""), "bands.0.price_per_kwh: Field required"),
    "not TOML": ("name: x", "cannot be read as TOML"),
    "one name twice": (TARIFF.replace('"night"', '"day"'), "bands must have different names"),
    "an end before its start": (TARIFF.replace("2026-03-30", "2025-03-30"), "valid_to must not be before valid_from"),
    "another clock": (TARIFF.replace("Europe/Berlin", "Europe/Lisbon"), "run with --timezone Europe/Lisbon"),
    "no zone": (TARIFF.replace("Europe/Berlin", "Berlin"), "Berlin"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_tariff_that_leaves_something_open_is_refused(files, fault):
    text, message = FAULTS[fault]
    with pytest.raises(BadInputError, match=r"tariff tariff\.toml: ") as refused:
        tariff(files, text)
    assert message in str(refused.value)
