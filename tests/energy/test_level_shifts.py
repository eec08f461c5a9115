"""Values that are multiplied by a power of ten from one time on."""

from datetime import UTC, date, datetime, timedelta

import duckdb
import numpy as np
import pytest

from include.energy.level_shifts import LevelShift, find_level_shifts

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 40


def load(days=DAYS, seed=1, base=0.1):
    """Half-hours of a home: base load, evenings, and days that differ."""
    random = np.random.default_rng(seed)
    evening = np.tile(np.exp(-(((np.arange(48) - 38) / 5) ** 2)), days)
    return base + random.uniform(0, 0.05, days * 48) + evening * np.repeat(random.uniform(0.3, 1.2, days), 48)


def text(values, household="A", day=1):
    rows = (
        f"{START + timedelta(minutes=30 * n):%Y-%m-%d %H:%M},{household},{value:.3f}" for n, value in enumerate(values)
    )
    return "\n".join(["time,meter,kWh", *rows]) + "\n"


def shifted(power, at, values=None):
    values = load() if values is None else values.copy()
    values[at:] *= 10.0**power
    return values


def warnings(done):
    return [f.message for f in done.source.findings if f.severity == "warning"]


@pytest.mark.parametrize("power", [1, -1, 3])
def test_a_change_of_unit_is_a_warning_with_its_line_and_what_resolves_it(convert, power):
    (message,) = warnings(convert(text(shifted(power, 20 * 48 + 22)), timezone="UTC"))
    factor = f"{10 ** abs(power):,} times as {'high' if power > 0 else 'low'} as before"
    assert message.startswith(
        f"Household A: from 2024-01-21 on (meter.csv, line {20 * 48 + 2}) its values are about {factor}"
    )
    assert "split the file there and state each part's unit with --unit" in message
    insisting = convert(text(shifted(power, 20 * 48 + 22)), timezone="UTC", as_mapped=True)
    assert not warnings(insisting)
    assert any("the user insists" in f.message for f in insisting.source.findings)


def test_multipliers_of_devices_resolve_it(convert):
    old, new = 'id = "1", until = 2024-01-21T00:00:00Z', 'id = "2", from = 2024-01-21T00:00:00Z, multiplier = 0.1'
    meters = f"[meters.A]\ndevices = [{{ {old} }}, {{ {new} }}]\n"
    content = {"meter.csv": text(shifted(1, 20 * 48)), "meters.toml": meters}
    assert not [m for m in warnings(convert(content, timezone="UTC", meters="meters.toml")) if "as before" in m]


def test_all_households_are_named_once(convert):
    rows = text(shifted(1, 960), "A") + "".join(text(shifted(1, 960, load(seed=2)), "B").splitlines(True)[1:])
    (message,) = warnings(convert(rows, timezone="UTC"))
    assert message.startswith("Household A (and B): from 2024-01-21 on")


@pytest.mark.parametrize(
    "values",
    [
        load(),
        np.where(np.arange(DAYS * 48) < 960, load(), load(seed=3) * 4),  # another home, not another unit
        np.concatenate([load(20) - 0.05 - (load(20) - 0.1) * 0.95, load(20)]),  # came home: the quiet hours are alike
        np.concatenate([np.full(960, 0.1), load(20, base=0.1) * 5]),
        load(DAYS) * np.repeat(np.linspace(1, 12, DAYS), 48),  # slowly
    ],
)
def test_use_that_changes_is_no_change_of_unit(convert, values):
    assert warnings(convert(text(values), timezone="UTC")) == []


@pytest.mark.real_data
def test_no_measured_home_has_one_and_each_has_one_that_is_put_there(real_data):
    found = 0
    for path in sorted((real_data).glob("household_au_*.csv")):
        for power in (0, 1):
            db = duckdb.connect()
            db.execute(f"""
                CREATE VIEW final AS SELECT 'h' AS household_id, utc, 1800 AS seconds, false AS empty, NULL AS fault,
                    (kwh * CASE WHEN utc >= '2012-12-05 11:00:00' THEN 1e{power} ELSE 1 END)::VARCHAR AS power
                FROM (SELECT reading_datetime::TIMESTAMP AS utc, general_supply_kwh AS kwh FROM '{path}')""")
            shifts = find_level_shifts(db, "kWh")
            assert len(shifts) <= power
            found += shifts == [LevelShift("h", date(2012, 12, 5), 1)]
    assert found >= 3
