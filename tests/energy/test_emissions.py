"""CO2 by hourly factors, compared with what pandas adds up minute by minute."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from include.core.errors import BadInputError
from include.energy.db import connect
from include.energy.emissions import emissions, read_factors, segments
from include.energy.figures import usage
from include.energy.schemas import ANALYSIS
from include.energy.timeline import EPOCH
from tests.energy.analysis import analyzed
from tests.energy.test_figures import BERLIN, by_minute, readings, varied

HOUR = int((datetime(2026, 1, 5, tzinfo=UTC) - EPOCH).total_seconds())


def read(folder, text):
    (folder / "co2.csv").write_text(text, encoding="utf-8")
    return read_factors(folder / "co2.csv", "co2.csv")


def test_co2_is_that_of_the_hours_and_hours_without_a_factor_stand_apart(files):
    hours = pd.date_range("2026-01-30T12:00Z", "2026-02-02T11:00Z", freq="h")
    factors = pd.Series([100 + number * 7.25 % 400 for number in range(len(hours))], hours).drop(hours[[20, 21, 40]])
    text = "time,gCO2/kWh\n" + "".join(f"{time.isoformat()},{value}\n" for time, value in factors.items())
    lines = [
        *readings("A", "2026-01-30T00:07", 15, varied(400)),
        *readings("B", "2026-01-31T00:00", 60, [*varied(20), -3, -1]),
    ]
    analyzed(files, lines, timezone=BERLIN, allow_export=True)
    with connect(files) as db:
        figures = usage(db, files, ANALYSIS.read(files), None, 15)
        result = emissions(db, read(files, text), "co2.csv", figures)
    minutes = by_minute(files, BERLIN)
    used = minutes[minutes["kwh"] > 0]
    factor = used["local"].dt.tz_convert("UTC").dt.floor("h").map(factors)
    month = used["local"].dt.month
    assert [line.month for line in result.months] == [date(2026, 1, 1), date(2026, 2, 1)]
    for line in result.months:
        own, known = used[month == line.month.month], factor[month == line.month.month]
        assert line.co2_kg == pytest.approx((own["kwh"] * known).sum() / 1000, abs=0.001)
        assert line.energy_kwh == pytest.approx(own["kwh"][known.notna()].sum(), abs=0.001)
        assert line.energy_without_factor_kwh == pytest.approx(own["kwh"][known.isna()].sum(), abs=0.001)
    assert result.energy_without_factor_kwh > 1
    assert result.co2_kg == pytest.approx((used["kwh"] * factor).sum() / 1000, abs=0.001)
    assert sum(home.co2_kg for home in result.households) == pytest.approx(result.co2_kg, abs=0.002)
    assert (result.first, result.last) == (hours[0], hours[-1])


@pytest.mark.parametrize(
    ("unit", "micro"), [("gCO2/kWh", 250e6), ("kgCO2/MWh", 250e6), ("g CO2eq/kWh", 250e6), ("tCO2/MWh", 250e9)]
)
def test_the_header_names_the_unit(files, unit, micro):
    assert read(files, f"time,{unit}\n2026-01-05T01:00+01:00,250\n\n") == {HOUR: micro}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,factor\n2026-01-05T00:00Z,250\n", "names the unit"),
        ("", "names the unit"),
        ("time,gCO2/kWh\n", "holds no factors"),
        ("time,gCO2/kWh\n2026-01-05T00:00,250\n", "line 2: the time must name its zone"),
        ("time,gCO2/kWh\n2026-01-05T00:30Z,250\n", "line 2: the time must be the start of an hour"),
        ("time,gCO2/kWh\n2026-01-05T00:00Z,250\n2026-01-05T01:00+01:00,3\n", "line 3: another line has this hour"),
        ("time,gCO2/kWh\n2026-01-05T00:00Z,-1\n", "line 2: the factor must not be negative"),
        ("time,gCO2/kWh\n2026-01-05T00:00Z,n/a\n", "line 2: must hold a time such as"),
        ("time,gCO2/kWh\n2026-01-05T00:00Z,1,2\n", "line 2: must hold a time such as"),
        ("time,gCO2/kWh\n2026-01-05T00:00Z,nan\n", "line 2: the factor must not be negative"),
    ],
)
def test_files_that_are_no_factors_are_refused(files, text, message):
    with pytest.raises(BadInputError, match=r"emissions co2\.csv: ") as refused:
        read(files, text)
    assert message in str(refused.value)


def test_months_of_zones_with_half_hours_have_all_their_hours():
    begin, end = HOUR + 1800, HOUR + 1800 + 7200
    parts = list(segments({HOUR: 5, HOUR + 3600: 6}, [(date(2026, 1, 1), begin, end)]))
    assert [(part.begin - HOUR, part.end - HOUR, part.key[1], part.weight) for part in parts] == [
        (1800, 3600, 1, 5),
        (3600, 7200, 1, 6),
        (7200, 9000, 0, 0),
    ]
