"""The tables of the report that show months, comparisons, cost and CO2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from include.core.outcome import Scalar, Table
from include.core.windows import parse_zone
from include.energy.figure_schemas import Cost, Emissions, Total, Usage

FLOW_COLUMNS = {
    "Import (kWh)": "import_kwh",
    "Export (kWh)": "export_kwh",
    "Net (kWh)": "net_kwh",
    "Generation (kWh)": "generation_kwh",
    "Self-consumption (kWh)": "self_consumption_kwh",
}

LINES = {
    "Energy": "energy_cost",
    "Standing charge": "standing_charge",
    "Capacity charge": "capacity_charge",
    "Export credit": "export_credit",
    "Total": "total",
}


def usage_tables(usage: Usage) -> Iterator[Table]:
    """Yield a table of the months, where they are several or export is known, and one of comparisons, if there are any.

    A column that no month fills is left out.
    """
    zone = parse_zone(usage.timezone)
    peaks = {peak.month: peak for peak in usage.peaks}
    if len(usage.months) > 1 or any(total.flows for total in usage.months):
        columns: dict[str, list[Scalar]] = {"Month": [f"{total.start:%Y-%m}" for total in usage.months]}
        columns |= _energy_columns(usage.months)
        columns["Coverage (%)"] = [round(total.coverage * 100, 2) for total in usage.months]
        of_months = [peaks.get(total.start) for total in usage.months]
        minutes = {peak.window_seconds // 60 for peak in peaks.values()}
        over = f" over {min(minutes)} min" if len(minutes) == 1 else ""
        columns[f"Peak{over} (kW)"] = [peak.peak_kw if peak else None for peak in of_months]
        columns[f"Peak at ({zone})"] = [
            f"{peak.at.astimezone(zone):%Y-%m-%d %H:%M}" if peak else None for peak in of_months
        ]
        if len(minutes) > 1:
            columns["Mean over (min)"] = [peak.window_seconds // 60 if peak else None for peak in of_months]
        filled = {heading: cells for heading, cells in columns.items() if any(cell is not None for cell in cells)}
        yield Table(title="Months", columns=tuple(filled), rows=tuple(zip(*filled.values(), strict=True)))
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
        headings = ("Days", "Compared with", "Days compared", "Energy (kWh)", "Before (kWh)", "Change (%)")
        yield Table(title="Compared with earlier days of the same weekdays", columns=headings, rows=rows)


def _energy_columns(totals: Sequence[Total]) -> dict[str, list[Scalar]]:
    """Return the energy of periods by heading; import, export and generation where they are known."""
    if not any(total.flows for total in totals):
        return {"Energy (kWh)": [total.energy_kwh for total in totals]}
    columns: dict[str, list[Scalar]] = {
        heading: [getattr(total.flows, name, None) for total in totals] for heading, name in FLOW_COLUMNS.items()
    }
    columns["Self-sufficiency (%)"] = [
        None
        if total.flows is None or total.flows.self_sufficiency is None
        else round(total.flows.self_sufficiency * 100, 2)
        for total in totals
    ]
    return columns


def cost_tables(cost: Cost | None) -> Iterator[Table]:
    """Yield tables of the cost by month and by band, without lines that are never charged; none without a tariff."""
    if cost is None:
        return
    lines = {
        heading: name
        for heading, name in LINES.items()
        if heading in ("Energy", "Total") or any(getattr(bill, name) for bill in cost.months)
    }
    yield Table(
        title=f"Cost by month: {cost.tariff}",
        columns=("Month", *(f"{heading} ({cost.currency})" for heading in lines)),
        rows=tuple((f"{bill.month:%Y-%m}", *(getattr(bill, name) for name in lines.values())) for bill in cost.months),
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
    columns = {"CO2 (kg)": "co2_kg", "Energy (kWh)": "energy_kwh"}
    if emissions.energy_without_factor_kwh:
        columns["Energy without a factor (kWh)"] = "energy_without_factor_kwh"
    yield Table(
        title=f"CO2 by month: {emissions.file}",
        columns=("Month", *columns),
        rows=tuple(
            (f"{line.month:%Y-%m}", *(getattr(line, name) for name in columns.values())) for line in emissions.months
        ),
    )
