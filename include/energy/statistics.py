"""The figures of `output1.json`, from the tables `accepted`, `judged`, `suspects`, `runs` and `clock`.

`judged` holds valid records and, where users ask for them, estimates. Suspect records are in one total of energy alone.

Power is summed as whole milliwatts, so that no figure depends on the order in which threads add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from typing import Any

import duckdb

from include.energy import curves
from include.energy.curves import MILLIWATTS
from include.energy.db import rows
from include.energy.schemas import ANOMALY_LABELS, Gap, HouseholdFigures
from include.energy.timeline import Timeline
from include.energy.validation import BITS, FLAG_ESTIMATED, FLAG_NOT_ASSESSED

COVERAGE_NEEDED = 0.8
FLOW_SUMS = ("export", "generation", "generation_beside_export", "export_beside_generation")
GAPS_A_HOUSEHOLD, GAPS_IN_ALL = 3, 10
POWER_FACTOR = "sum(round(efficiency * 1e4)::BIGINT) / count(efficiency) / 1e4"


def figures(
    db: duckdb.DuckDBPyConnection,
    timeline: Timeline,
    window: tuple[datetime, datetime] | None,
    high_usage_kw: float | None,
) -> dict[str, Any]:
    """Return the figures of the households, in the order of their names, and of all together.

    Args:
        db: Holds the tables, and the macros of `include.energy.timeline.draw_timeline()`.
        timeline: The intervals of the households.
        window: What the records should cover; None: what they do cover.
        high_usage_kw: A record above it is high usage.

    Returns:
        Values by the names of `Analysis`.
    """
    profiles = curves.hourly_profiles(db, timeline)
    gaps = _gaps(db, timeline)
    sums = _sums(db, timeline, high_usage_kw)
    households = [
        _household(name, timeline.seconds(name), sums[name], gaps[name], profiles.get(name))
        for name in timeline.stretches
    ]
    start, end = window or _extent(db, timeline)
    return {
        "start": start,
        "end": end,
        **_totals(db, timeline, households),
        **_flow_totals(households, sums),
        "longest_gaps": longest([gap for _, _, own in gaps.values() for gap in own])[:GAPS_IN_ALL],
        "hourly_profile_kw": profiles[None],
        "households": households,
    }


def _sums(db: duckdb.DuckDBPyConnection, timeline: Timeline, high_usage_kw: float | None) -> dict[str, dict[str, Any]]:
    """Return what SQL can add up, by household; those without a valid record have zeros, and no peak."""
    # Where no interval changes, whole sums are multiplied once, which is faster and gives the same.
    of_records = "sum(interval_of(household, ts)) FILTER (power IS NOT NULL)"
    seconds = "any_value(interval_of(household, ts))" if timeline.constant else of_records
    work = (
        f"{MILLIWATTS} * {seconds}"
        if timeline.constant
        else ("sum(round(power * 1e6)::BIGINT * interval_of(household, ts))")
    )
    hours = f"count(power) * {seconds}" if timeline.constant else seconds
    reasons = ", ".join(f"count(*) FILTER (flags & {bit} <> 0) AS {reason}" for reason, bit in BITS.items())
    query = f"""
        WITH records AS (
            SELECT household, ts, power, efficiency, flags FROM judged
            UNION ALL BY NAME SELECT unnest(enum_range(NULL::household))::household AS household
        ),
        sums AS MATERIALIZED (
            SELECT household, count(power) AS records, ({work})::HUGEINT AS milliwatt_seconds,
                ({hours})::BIGINT AS seconds, max(power) AS peak_kw,
                count(*) FILTER (power > {"NULL" if high_usage_kw is None else high_usage_kw}) AS high_usage,
                {POWER_FACTOR} AS mean_power_factor,
                count(*) FILTER (flags & {sum(BITS.values())} <> 0) AS anomalies, {reasons},
                count(*) FILTER (flags & {FLAG_NOT_ASSESSED} <> 0) AS outlier_not_assessed
            FROM records GROUP BY ALL
        ),
        peaks AS (
            SELECT household, epoch(min(ts))::BIGINT AS peak_at FROM judged JOIN sums USING (household)
            WHERE power = peak_kw GROUP BY ALL
        ),
        zeros AS (
            SELECT household, count(*) AS zero_runs, sum(epoch("end" - start)) / 3600 AS zero_run_hours
            FROM runs WHERE power = 0 GROUP BY ALL
        )
        SELECT * REPLACE (household::VARCHAR AS household, coalesce(zero_runs, 0) AS zero_runs,
            coalesce(zero_run_hours, 0) AS zero_run_hours)
        FROM sums LEFT JOIN peaks USING (household) LEFT JOIN zeros USING (household)
    """
    flows = _add_flows(db)
    estimates = f"judged WHERE flags & {FLAG_ESTIMATED} <> 0"
    parts = {
        "suspect": _add_up(db, "suspects"),
        "estimated": _add_up(db, estimates),
        "replaced": _add_up(db, f"{estimates} AND (household, ts) IN (SELECT (household, ts) FROM suspects)"),
    }
    return {
        row["household"]: row
        | {name: sums.get(row["household"], (0, 0)) for name, sums in parts.items()}
        | dict(zip(FLOW_SUMS, flows.get(row["household"], (None,) * 4), strict=True))
        for row in rows(db, query)
    }


def _add_up(db: duckdb.DuckDBPyConnection, records: str) -> dict[str, tuple[int, int]]:
    """Return the number of some records, and their sum of milliwatts times seconds, by household."""
    query = f"""
        SELECT household::VARCHAR, count(*), sum(round(power * 1e6)::BIGINT * interval_of(household, ts))::HUGEINT
        FROM {records} GROUP BY household
    """
    return {household: (number, int(work)) for household, number, work in db.execute(query).fetchall()}


def _add_flows(db: duckdb.DuckDBPyConnection) -> dict[str, tuple[float | None, ...]]:
    """Return the energy of `FLOW_SUMS` (kWh) of valid records, by household; None where no record states it."""
    work = "sum(round({} * 1e6)::BIGINT * interval_of(household, ts))"
    query = f"""
        SELECT household::VARCHAR, {work.format("export")}, {work.format("generation")},
            {work.format("generation")} FILTER (export IS NOT NULL),
            {work.format("export")} FILTER (generation IS NOT NULL)
        FROM judged JOIN flows USING (line) GROUP BY household
    """
    return {
        household: tuple(None if work is None else energy(int(work)) for work in sums)
        for household, *sums in db.execute(query).fetchall()
    }


def _household(
    name: str,
    seconds: int | None,
    sums: dict[str, Any],
    coverage: tuple[int, int, list[Gap]],
    profile: list[float | None] | None,
) -> HouseholdFigures:
    expected, received, gaps = coverage
    work = int(sums["milliwatt_seconds"] or 0)
    mean = work / int(sums["seconds"]) / 1e6 if sums["records"] else None
    peak_kw = sums["peak_kw"]
    covered = expected > 0 and received >= COVERAGE_NEEDED * expected
    return HouseholdFigures(
        household_id=name,
        interval_seconds=seconds,
        expected=expected,
        received=received,
        missing=expected - received,
        suspect=sums["suspect"][0],
        estimated=sums["estimated"][0],
        energy_kwh=energy(work),
        energy_without_estimates_kwh=energy(work - sums["estimated"][1]),
        energy_with_suspect_kwh=energy(work + sums["suspect"][1] - sums["replaced"][1]),
        export_kwh=sums["export"],
        generation_kwh=sums["generation"],
        mean_kw=_rounded(mean, 6),
        peak_kw=peak_kw,
        peak_at=None if peak_kw is None else moment(sums["peak_at"]),
        load_factor=round(mean / peak_kw, 4) if covered and mean is not None and peak_kw > 0 else None,
        mean_power_factor=_rounded(sums["mean_power_factor"], 4),
        anomalies_by_reason={reason: sums[reason] for reason in ANOMALY_LABELS},
        zero_run_hours=round(sums["zero_run_hours"], 2),
        longest_gaps=gaps[:GAPS_A_HOUSEHOLD],
        hourly_profile_kw=profile or [None] * 24,
        **{name: sums[name] for name in ("high_usage", "anomalies", "outlier_not_assessed", "zero_runs")},
    )


def energy(milliwatt_seconds: int) -> float:
    """Return energy in kWh, to the watt-hour."""
    return round(milliwatt_seconds / 3.6e9, 3)


def moment(seconds: int) -> datetime:
    """Return an instant in UTC from seconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def longest(gaps: Sequence[Gap]) -> list[Gap]:
    """Return gaps sorted: longest first, then by time."""
    return sorted(gaps, key=lambda gap: (gap.start - gap.end, gap.start, gap.household_id))


def _gaps(db: duckdb.DuckDBPyConnection, timeline: Timeline) -> dict[str, tuple[int, int, list[Gap]]]:
    """Expected and received intervals of each household, and its longest gaps, as many as are shown in all."""
    slots = {
        name: rest
        for name, *rest in db.execute("""
            WITH slots AS (SELECT household, slot(household, ts) AS slot FROM accepted),
            neighbours AS (
                SELECT household, slot,
                    coalesce(CASE WHEN lag(household) OVER () = household THEN lag(slot) OVER () END, -1) AS before
                FROM slots
            )
            SELECT household::VARCHAR, count(*) FILTER (slot <> before), max(slot) + 1,
                list([before + 1, slot]) FILTER (slot - before > 1)
            FROM neighbours GROUP BY ALL
        """).fetchall()
    }
    result = {}
    for name in timeline.stretches:
        received, end, holes = slots.get(name, (0, 0, None))
        expected = timeline.expected(name, end)
        holes = (holes or []) + ([[end, expected]] if end < expected else [])
        gaps = [
            Gap(
                household_id=name,
                start=moment(timeline.moment(name, first)),
                end=moment(timeline.moment(name, after)),
                intervals=after - first,
            )
            for first, after in nsmallest(GAPS_IN_ALL, holes, key=lambda hole: (hole[0] - hole[1], hole[0]))
        ]
        result[name] = (expected, received, gaps)
    return result


def _extent(db: duckdb.DuckDBPyConnection, timeline: Timeline) -> tuple[datetime, datetime]:
    """From the first interval to the end of the last one: of accepted records, or of stamps that reach further."""
    ((start, end),) = db.execute("""
        SELECT epoch(min(first))::BIGINT, max(epoch(last)::BIGINT + interval_of(household, last))
        FROM (SELECT household, min(ts) AS first, max(ts) AS last FROM accepted GROUP BY ALL)
    """).fetchall()
    for name, last in timeline.lasts.items():
        start = min(start, timeline.stretches[name][0].start)
        end = max(end, timeline.moment(name, timeline.slot(name, last) + 1))
    return moment(start), moment(end)


def _totals(db: duckdb.DuckDBPyConnection, timeline: Timeline, households: list[HouseholdFigures]) -> dict[str, Any]:
    """Figures of all households together, by the names of `Analysis`."""
    peak_kw, peak_at, mean_kw = curves.coincident_peak(db, timeline)
    ((power_factor,),) = db.execute(f"SELECT {POWER_FACTOR} FROM judged").fetchall()
    counted = (
        "expected",
        "received",
        "missing",
        "suspect",
        "estimated",
        "high_usage",
        "anomalies",
        "outlier_not_assessed",
        "zero_runs",
    )
    sums = {name: sum(getattr(home, name) for home in households) for name in counted}
    covered = sums["received"] >= COVERAGE_NEEDED * sums["expected"]
    return sums | {
        **{
            name: round(sum(getattr(home, name) for home in households), 3)
            for name in ("energy_kwh", "energy_without_estimates_kwh", "energy_with_suspect_kwh")
        },
        "peak_kw": peak_kw,
        "peak_at": moment(peak_at),
        "load_factor": round(mean_kw / peak_kw, 4) if covered and timeline.uniform and peak_kw > 0 else None,
        "mean_power_factor": _rounded(power_factor, 4),
        "zero_run_hours": round(sum(home.zero_run_hours for home in households), 2),
        "anomalies_by_reason": {
            reason: sum(home.anomalies_by_reason[reason] for home in households) for reason in ANOMALY_LABELS
        },
    }


def _flow_totals(households: Sequence[HouseholdFigures], sums: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Return export, generation, net and self-consumption of all households; None where no record states them."""

    def total(name: str) -> float | None:
        stated = [own[name] for own in sums.values() if own[name] is not None]
        return round(sum(stated), 3) if stated else None

    export, generation, beside_export, beside_generation = map(total, FLOW_SUMS)
    imported = sum(home.energy_without_estimates_kwh for home in households)  # no estimate says what was fed in
    return {
        "export_kwh": export,
        "generation_kwh": generation,
        "net_kwh": None if export is None else round(imported - export, 3),
        "self_consumption_kwh": None
        if beside_export is None or beside_generation is None
        else round(beside_export - beside_generation, 3),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
