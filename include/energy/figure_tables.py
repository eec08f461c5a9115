"""The tables of the report that show months, comparisons, cost and CO2."""

from __future__ import annotations

from collections.abc import Iterator

from include.core.outcome import Table
from include.core.windows import parse_zone
from include.energy.figure_schemas import Cost, Emissions, Usage

LINES = {
    "Energy": "energy_cost",
    "Standing charge": "standing_charge",
    "Capacity charge": "capacity_charge",
    "Export credit": "export_credit",
    "Total": "total",
}


def usage_tables(usage: Usage) -> Iterator[Table]:
    """Yield a table of the months, where the data reach over several, and one of comparisons, if there are any."""
    zone = parse_zone(usage.timezone)
    peaks = {
        peak.month: (peak.peak_kw, f"{peak.at.astimezone(zone):%Y-%m-%d %H:%M}", peak.window_seconds // 60)
        for peak in usage.peaks
    }
    if len(usage.months) > 1:
        yield Table(
            title="Months",
            columns=("Month", "Energy (kWh)", "Coverage (%)", "Peak (kW)", f"Peak at ({zone})", "Mean over (min)"),
            rows=tuple(
                (
                    f"{total.start:%Y-%m}",
                    total.energy_kwh,
                    round(total.coverage * 100, 2),
                    *peaks.get(total.start, (None, None, None)),
                )
                for total in usage.months
            ),
        )
    rows = tuple(
        (
            f"{comparison.first} to {comparison.last}",
            f"{comparison.days_back} days before",
            comparison.days_compared,
            comparison.energy_kwh,
            comparison.energy_before_kwh,
            None if comparison.change is None else round(comparison.change * 100, 2),
        )
        for comparison in usage.comparisons
        if comparison.energy_kwh is not None
    )
    if rows:
        columns = ("Days", "Compared with", "Days compared", "Energy (kWh)", "Before (kWh)", "Change (%)")
        yield Table(title="Compared with earlier days of the same weekdays", columns=columns, rows=rows)


def cost_tables(cost: Cost | None) -> Iterator[Table]:
    """Yield tables of the cost by month and by band; none without a tariff."""
    if cost is None:
        return
    yield Table(
        title=f"Cost by month: {cost.tariff}",
        columns=("Month", *(f"{heading} ({cost.currency})" for heading in LINES)),
        rows=tuple((f"{bill.month:%Y-%m}", *(getattr(bill, name) for name in LINES.values())) for bill in cost.months),
    )
    yield Table(
        title=f"Cost by band: {cost.tariff}",
        columns=("Month", "Band", "Energy (kWh)", f"Cost ({cost.currency})"),
        rows=tuple((f"{line.month:%Y-%m}", line.band, line.energy_kwh, line.cost) for line in cost.bands),
    )


def emissions_tables(emissions: Emissions | None) -> Iterator[Table]:
    """Yield a table of the CO2 by month; none without factors."""
    if emissions is None:
        return
    yield Table(
        title=f"CO2 by month: {emissions.file}",
        columns=("Month", "CO2 (kg)", "Energy (kWh)", "Energy without a factor (kWh)"),
        rows=tuple(
            (f"{line.month:%Y-%m}", line.co2_kg, line.energy_kwh, line.energy_without_factor_kwh)
            for line in emissions.months
        ),
    )
