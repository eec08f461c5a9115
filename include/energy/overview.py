"""The first screen of an energy report: whether the readings can be trusted, the main metrics, what was assumed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from itertools import islice

from include.core.outcome import Table
from include.core.overview import AcceptedFiles, DataCheck, Headline, Level, Overview
from include.core.tables import connect, file_argument
from include.core.text import printable, quantity
from include.core.windows import parse_zone
from include.energy.params import GeneratorParams
from include.energy.schemas import ANALYSIS, DATA, PLOTS, RECORDS, REJECTED, SOURCE, Analysis, EnergySource
from include.energy.steps import COVERAGE_TO_WARN, REJECTED_SHARE_TO_WARN, percent
from include.energy.sufficiency import in_words

REJECTED_SHARE_TO_FAIL = 0.1
COVERAGE_TO_FAIL = 0.5
ANOMALY_SHARE_TO_WARN = 0.01
LARGEST_CONNECTION_KW = 1000.0
"""A low-voltage connection draws less: transformers of local networks have 250 to 1,000 kVA (EN 50588-1)."""
GRID_UNITS = ("MW", "MWh")
"""Units in which regions of a grid are measured, not connections."""
DAYS_OF_A_HEAT_MAP = 3
HEADLINES_SHOWN = 4
SUSPECT_SHOWN, REJECTED_SHOWN, RAW_SHOWN = 20, 20, 120


def overview(accepted: AcceptedFiles) -> Overview | None:
    """Return the overview of a run whose analysis was accepted; None for any other run."""
    analysis = accepted.read(ANALYSIS)
    if analysis is None:
        return None
    source = accepted.read(SOURCE)
    return Overview(
        checks=(
            _records(analysis),
            _coverage(analysis),
            _sufficiency(analysis),
            _plausibility(analysis, source),
            _anomalies(analysis),
        ),
        headlines=tuple(_headlines(analysis)[:HEADLINES_SHOWN]),
        notices=("Synthetic data: the readings were generated, not measured.",) * (analysis.source == "generated"),
        assumptions=_assumptions(analysis, source),
        tables=(*_suspects(accepted, analysis), *_rejected(accepted)),
        timezone=analysis.timezone,
        lead_plots=(PLOTS["load_curve"].path,),
        left_out_plots=tuple(PLOTS[name].path for name in _plots_without_content(analysis)),
        unused_params=unused_params(analysis),
    )


def unused_params(analysis: Analysis) -> tuple[str, ...]:
    """Return the parameters of the generator that say how to generate, where it read input files, and vice versa."""
    unused = "Generated data" if analysis.source == "files" else "Your own files"
    fields = GeneratorParams.model_fields.items()
    sections = {name: field.json_schema_extra for name, field in fields if isinstance(field.json_schema_extra, dict)}
    return tuple(
        name for name, extra in sections.items() if extra and extra.get("section") == unused and name != "timezone"
    )


def _headlines(analysis: Analysis) -> list[Headline]:
    homes, zone = len(analysis.households), parse_zone(analysis.timezone)
    together = f", {homes:,} households together" if homes > 1 else ""
    load_factor = analysis.households[0].load_factor if homes == 1 else analysis.load_factor
    mean = _mean_kw(analysis)
    return [
        Headline(
            label="Energy" if analysis.export_kwh is None else "Import",
            value=quantity(analysis.energy_kwh, "kWh"),
            note=_energy_note(analysis),
        ),
        *_flows(analysis),
        Headline(
            label="Peak",
            value=quantity(analysis.peak_kw, "kW"),
            note=f"{local(analysis.peak_at, zone)}{together}",
        ),
        Headline(
            label="Mean power",
            value="unknown" if mean is None else quantity(mean, "kW"),
            note="of a household while it was read" if homes > 1 else "while it was read",
        ),
        Headline(
            label="Load factor", value="unknown" if load_factor is None else percent(load_factor), note="mean ÷ peak"
        ),
    ]


def _flows(analysis: Analysis) -> Iterator[Headline]:
    if analysis.export_kwh is not None and analysis.net_kwh is not None:
        direction = "from" if analysis.net_kwh >= 0 else "into"
        note = f"fed into the grid; net {quantity(abs(analysis.net_kwh), 'kWh')} {direction} the grid"
        note += " without estimates" * bool(analysis.estimated)
        yield Headline(label="Export", value=quantity(analysis.export_kwh, "kWh"), note=note)
    if analysis.self_consumption_kwh is not None and analysis.generation_kwh:
        note = f"generation less export; generated: {quantity(analysis.generation_kwh, 'kWh')}"
        yield Headline(label="Self-consumption", value=quantity(analysis.self_consumption_kwh, "kWh"), note=note)


def _mean_kw(analysis: Analysis) -> float | None:
    """Return the mean power of a household while it was read, kW; None where that cannot be told."""
    hours = 0.0
    for home in analysis.households:
        if home.mean_kw:
            hours += home.energy_kwh / home.mean_kw
        elif home.mean_kw == 0 and home.interval_seconds:
            hours += (home.received + home.estimated) * home.interval_seconds / 3600
        elif home.mean_kw is not None:
            return None
    return analysis.energy_kwh / hours if hours else None


def _energy_note(analysis: Analysis) -> str:
    days = (analysis.end - analysis.start).total_seconds() / 86400
    note = "of valid readings and estimates" if analysis.estimated else "of valid readings"
    if days >= 2:
        note += f", in {days:,.0f} days"
    if analysis.estimated:
        note += f"; {quantity(analysis.energy_without_estimates_kwh, 'kWh')} without {analysis.estimated:,} estimated"
    if analysis.suspect:
        note += f"; {quantity(analysis.energy_with_suspect_kwh, 'kWh')} with {analysis.suspect:,} suspect"
    return note


def local(moment: datetime, zone: tzinfo) -> str:
    """Return a moment as users of a zone say it, without the zone: the page names it once.

    >>> from datetime import UTC
    >>> local(datetime(2026, 1, 2, 17, 45, tzinfo=UTC), parse_zone("+01:00"))
    'Fri 2026-01-02 18:45'
    """
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M}"


def _records(analysis: Analysis) -> DataCheck:
    share = analysis.records_rejected / analysis.records_in
    level: Level = "fail" if share > REJECTED_SHARE_TO_FAIL else "warn" if share >= REJECTED_SHARE_TO_WARN else "pass"
    outside = f", {analysis.records_outside_window:,} lie outside the window" if analysis.records_outside_window else ""
    statement = f"{analysis.records_out:,} of {analysis.records_in:,} accepted"
    if analysis.records_rejected:
        statement += f", {analysis.records_rejected:,} rejected ({percent(share)})"
    if analysis.suspect:
        statement += f", {analysis.suspect:,} of the accepted suspect (above the limit of the connection)"
        level = "warn" if level == "pass" else level
    return DataCheck(subject="Records", level=level, statement=f"{statement}{outside}.")


def _coverage(analysis: Analysis) -> DataCheck:
    share = analysis.received / analysis.expected
    level: Level = "fail" if share < COVERAGE_TO_FAIL else "warn" if share < COVERAGE_TO_WARN else "pass"
    statement = f"{analysis.received:,} of {analysis.expected:,} intervals have a valid reading ({percent(share)})."
    if analysis.estimated:
        statement += f" {analysis.estimated:,} of the other {analysis.missing:,} were estimated."
    if analysis.longest_gaps:
        gap, zone = analysis.longest_gaps[0], parse_zone(analysis.timezone)
        statement += f" Longest gap: {local(gap.start, zone)} to {local(gap.end, zone)}"
        statement += f", {gap.household_id}." if len(analysis.households) > 1 else "."
    return DataCheck(subject="Coverage", level=level, statement=statement)


def _sufficiency(analysis: Analysis) -> DataCheck:
    met = [requirement for requirement in analysis.requirements if requirement.met is analysis.sufficient]
    reasons = "; ".join(in_words(requirement) for requirement in met)
    word = "Sufficient" if analysis.sufficient else "Not sufficient"
    limits = "" if any(requirement.stated for requirement in met) else " These limits are the defaults."
    return DataCheck(
        subject="Sufficiency", level="pass" if analysis.sufficient else "warn", statement=f"{word}: {reasons}.{limits}"
    )


def _plausibility(analysis: Analysis, source: EnergySource | None) -> DataCheck:
    """Compare the highest reading with what a connection can draw: a wrong unit is off by a thousand."""
    highest = max(analysis.households, key=lambda home: abs(home.peak_kw or 0.0))
    peak = abs(highest.peak_kw or 0.0)
    unit = source.unit if source else "kW"
    name = f" ({highest.household_id})" if len(analysis.households) > 1 else ""
    if peak > LARGEST_CONNECTION_KW and unit not in GRID_UNITS:
        return DataCheck(
            subject="Plausibility",
            level="warn",
            statement=f"The highest reading, {quantity(peak, 'kW')}{name}, is above the {LARGEST_CONNECTION_KW:,.0f} "
            f"kW that a low-voltage connection can draw. Check the unit, which was taken as {unit}.",
        )
    stated = f"the input states {unit}" if peak > LARGEST_CONNECTION_KW else f"unit {unit}"
    statement = f"The highest reading is {quantity(peak, 'kW')}{name}; {stated}."
    return DataCheck(subject="Plausibility", level="pass", statement=statement)


def _anomalies(analysis: Analysis) -> DataCheck:
    share = analysis.anomalies / analysis.records_out
    level: Level = "warn" if share >= ANOMALY_SHARE_TO_WARN else "pass"
    statement = f"{analysis.anomalies:,} of {analysis.records_out:,} accepted records are unusual ({percent(share)})."
    return DataCheck(subject="Anomalies", level=level, statement=statement if analysis.anomalies else "None.")


def _assumptions(analysis: Analysis, source: EnergySource | None) -> dict[str, str]:
    if analysis.source != "files" or source is None:
        return {}
    stamp = "start" if source.stamp == "start" else "end"
    interval = analysis.interval_seconds
    return {
        "Unit": source.unit,
        "Stamps": f"mark the {stamp} of the interval",
        "Zone of stamps": source.timezone or "each stamp states its own",
        "Interval": f"{interval / 60:,g} min" if interval else _intervals(analysis),
    } | ({"Registers": f"interpolated to every {source.resampled}"} if source.resampled else {})


def _intervals(analysis: Analysis) -> str:
    if len(analysis.households) == 1:
        return "changes"
    changes = any(home.interval_seconds is None for home in analysis.households)
    return "differs between households and changes" if changes else "differs between households"


def _suspects(accepted: AcceptedFiles, analysis: Analysis) -> Iterator[Table]:
    """Yield a table of the first suspect readings, if there are any."""
    if not analysis.suspect or not accepted.holds(RECORDS):
        return
    with connect() as db:
        rows = db.execute(f"""
            SELECT household_id, epoch(timestamp)::BIGINT, power, quality, line
            FROM read_parquet({file_argument(RECORDS.at(accepted.folder))}) WHERE state = 'suspect'
            ORDER BY household_id, timestamp LIMIT {SUSPECT_SHOWN}
        """).fetchall()
    zone = parse_zone(analysis.timezone)
    shown = tuple(
        (household, local(datetime.fromtimestamp(start, UTC), zone), power, quality or "", line)
        for household, start, power, quality, line in rows
    )
    columns = ("Household", f"Time ({zone})", "Power (kW)", "Quality", f"Line of {DATA.path}")
    title = f"The first {len(shown)} suspect readings" if len(shown) < analysis.suspect else "Suspect readings"
    yield Table(title=title, columns=columns, rows=shown)


def _rejected(accepted: AcceptedFiles) -> tuple[Table, ...]:
    """Return a table of the first rejected records, if there are any."""
    if not accepted.holds(REJECTED):
        return ()
    with REJECTED.at(accepted.folder).open(encoding="utf-8", newline="") as file:
        records = list(islice(csv.DictReader(file), REJECTED_SHOWN))
    if not records:
        return ()
    named = any(record.get("column") for record in records)  # lines hold several readings
    rows = tuple(
        (
            record["file"],
            int(record["line"]),
            *[printable(record["column"])] * named,
            record["reason"].replace("_", " "),
            _shortened(record["raw"]),
        )
        for record in records
    )
    columns = ("File", "Line", *["Column"] * named, "Reason", "Record as it was read")
    return (Table(title=f"The first {len(rows)} rejected records", columns=columns, rows=rows),)


def _shortened(raw: str) -> str:
    text = printable(raw)
    return text if len(text) <= RAW_SHOWN else f"{text[:RAW_SHOWN]}…"


def _plots_without_content(analysis: Analysis) -> list[str]:
    """Return the plots that would show one bar, one column or nothing; what is left says it in numbers."""
    empty = {
        "households": len(analysis.households) < 2,
        "anomalies": not analysis.anomalies,
        "heat_map": len(analysis.heat_map.start) < DAYS_OF_A_HEAT_MAP,
        "records": True,  # the checks and the table of rejected records state the same numbers
    }
    return [name for name, is_empty in empty.items() if is_empty]
