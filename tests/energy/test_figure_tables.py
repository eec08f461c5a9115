from datetime import UTC, date, datetime

from include.energy.figure_schemas import (
    BandCost,
    Comparison,
    Cost,
    Emissions,
    Flows,
    MonthCost,
    MonthEmissions,
    Peak,
    Total,
    Usage,
)
from include.energy.figure_tables import cost_tables, emissions_tables, usage_tables

MONTHS = [date(2026, 1, 1), date(2026, 2, 1)]
BILL = {"energy_cost": 3.0, "standing_charge": 1.0, "capacity_charge": 2.0, "export_credit": 0.5, "total": 5.5}
CARBON = {"energy_kwh": 10.0, "energy_without_factor_kwh": 1.5, "co2_kg": 2.5}


def usage(months, comparisons=()):
    return Usage(
        timezone="Europe/Berlin",
        peak_minutes=15,
        days=[],
        months=[Total(start=month, energy_kwh=10.5, coverage=0.6) for month in months],
        years=[],
        peaks=[Peak(month=MONTHS[0], peak_kw=3.5, at=datetime(2026, 1, 5, 23, tzinfo=UTC), window_seconds=900)],
        base_load_kw=None,
        load_duration=None,
        note=None,
        comparisons=list(comparisons),
        households=[],
    )


def test_months_show_energy_coverage_and_the_peak_on_the_local_clock():
    (table,) = usage_tables(usage(MONTHS))
    assert table.columns[3:] == ("Peak over 15 min (kW)", "Peak at (Europe/Berlin)")
    assert table.rows == (
        ("2026-01", 10.5, 60.0, 3.5, "2026-01-06 00:00"),
        ("2026-02", 10.5, 60.0, None, None),
    )


def test_months_show_import_export_and_generation_where_they_are_known():
    found = usage(MONTHS[:1])
    flows = {"import_kwh": 10.5, "export_kwh": 4.0, "net_kwh": 6.5, "generation_kwh": 9.0, "self_consumption_kwh": 5.0}
    found.months[0].flows = Flows(**flows, self_sufficiency=0.3226)
    (table,) = usage_tables(found)
    assert table.columns[1:8] == (
        "Import (kWh)", "Export (kWh)", "Net (kWh)", "Generation (kWh)", "Self-consumption (kWh)",
        "Self-sufficiency (%)", "Coverage (%)",
    )  # fmt: skip
    assert table.rows[0][:8] == ("2026-01", 10.5, 4.0, 6.5, 9.0, 5.0, 32.26, 60.0)
    found.months[0].flows = Flows(
        **flows | {"generation_kwh": None, "self_consumption_kwh": None}, self_sufficiency=None
    )
    (table,) = usage_tables(found)
    assert table.columns[1:5] == ("Import (kWh)", "Export (kWh)", "Net (kWh)", "Coverage (%)")


def test_one_month_needs_no_table():
    assert not list(usage_tables(usage(MONTHS[:1])))


def test_only_what_can_be_compared_is_shown():
    common = {"first": MONTHS[0], "last": date(2026, 1, 7), "days": 7, "days_back": 7}
    alike = Comparison(
        with_the="period before",
        days_compared=6,
        energy_kwh=12.0,
        energy_before_kwh=10.0,
        change=0.2,
        note=None,
        **common,
    )
    unlike = Comparison(
        with_the="year before",
        days_compared=0,
        energy_kwh=None,
        energy_before_kwh=None,
        change=None,
        note="no",
        **common,
    )
    (table,) = usage_tables(usage(MONTHS[:1], [alike, unlike]))
    assert table.rows == (("2026-01-01 to 2026-01-07", "7 days before", 6, 12.0, 10.0, 20.0),)


def test_lines_that_are_never_charged_are_left_out():
    bill = BILL | {"capacity_charge": 0.0, "export_credit": 0.0}
    cost = Cost(
        file="t.toml", tariff="Flat", currency="EUR", valid_from=MONTHS[0], valid_to=None, bands=[],
        months=[MonthCost(month=MONTHS[0], days=31, **bill)], total=5.5, energy_outside_kwh=0.0, households=[],
    )  # fmt: skip
    assert next(cost_tables(cost)).columns == ("Month", "Energy (EUR)", "Standing charge (EUR)", "Total (EUR)")


def test_costs_name_tariff_and_currency():
    cost = Cost(
        file="t.toml",
        tariff="Two prices",
        currency="CHF",
        valid_from=MONTHS[0],
        valid_to=None,
        bands=[BandCost(month=MONTHS[0], band="day", energy_kwh=10.0, cost=3.0)],
        months=[MonthCost(month=MONTHS[0], days=31, **BILL)],
        total=5.5,
        energy_outside_kwh=0.0,
        households=[],
    )
    months, bands = cost_tables(cost)
    assert months.title == "Cost by month: Two prices"
    assert months.columns[1] == "Energy (CHF)"
    assert months.rows == (("2026-01", 3.0, 1.0, 2.0, 0.5, 5.5),)
    assert bands.rows == (("2026-01", "day", 10.0, 3.0),)
    assert not list(cost_tables(None))


def test_co2_shows_the_energy_without_a_factor():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    months = [MonthEmissions(month=MONTHS[0], **CARBON)]
    (table,) = emissions_tables(
        Emissions(file="f.csv", first=moment, last=moment, months=months, households=[], **CARBON)
    )
    assert table.rows == (("2026-01", 2.5, 10.0, 1.5),)
    assert not list(emissions_tables(None))
