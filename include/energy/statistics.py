"""The figures of `output1.json`, from the tables `accepted`, `judged`, `runs` and `clock`.

Power is summed as whole milliwatts, so that no figure depends on the order in which threads add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from include.energy import curves
from include.energy.curves import MILLIWATTS
from include.energy.intervals import origins_of, slot_sql
from include.energy.schemas import ANOMALY_REASONS, Gap, HouseholdFigures
from include.energy.validation import BITS, FLAG_NOT_ASSESSED

COVERAGE_NEEDED = 0.8
GAPS_A_HOUSEHOLD, GAPS_IN_ALL = 3, 10

Row = dict[str, Any]


def rows(db: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    """Return a query's rows as dicts."""
    cursor = db.execute(query)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def household_figures(
    db: duckdb.DuckDBPyConnection,
    intervals: dict[str, int],
    window: tuple[datetime, datetime] | None,
    high_usage_kw: float | None,
    profiles: Mapping[str | None, list[float | None]],
) -> tuple[list[HouseholdFigures], list[Gap]]:
    """Return the figures of each household, in the order of their names, and the longest gaps of all."""
    reasons = ", ".join(f"count(*) FILTER (flags & {bit} <> 0) AS {reason}" for reason, bit in BITS.items())
    sums = {
        row["household"]: row
        for row in rows(
            db,
            f"""
            SELECT household::VARCHAR AS household, count(*) AS records, {MILLIWATTS} AS milliwatts,
                max(power) AS peak_kw,
                count(*) FILTER (power > {"NULL" if high_usage_kw is None else high_usage_kw}) AS high_usage,
                count(efficiency) AS with_efficiency, sum(round(efficiency * 1e4)::BIGINT) AS efficiencies,
                count(*) FILTER (flags & {sum(BITS.values())} <> 0) AS anomalies, {reasons},
                count(*) FILTER (flags & {FLAG_NOT_ASSESSED} <> 0) AS outlier_not_assessed
            FROM judged GROUP BY ALL
            """,
        )
    }
    peaks = dict(
        db.execute("""
            SELECT household::VARCHAR, epoch(min(ts))::BIGINT FROM judged
            JOIN (SELECT household, max(power) AS power FROM judged GROUP BY ALL) USING (household, power) GROUP BY ALL
        """).fetchall()
    )
    zeros = {
        household: (count, hours)
        for household, count, hours in db.execute("""
            SELECT household::VARCHAR, count(*), sum(epoch("end" - start)) / 3600 FROM runs WHERE power = 0 GROUP BY ALL
        """).fetchall()
    }
    gaps = _gaps(db, intervals, window)
    households = [
        _figures(
            name, seconds, sums.get(name), peaks.get(name), zeros.get(name, (0, 0)), profiles.get(name), gaps[name]
        )
        for name, seconds in intervals.items()
    ]
    return households, longest([gap for _, _, own in gaps.values() for gap in own])[:GAPS_IN_ALL]


def _figures(
    name: str,
    seconds: int,
    sums: Row | None,
    peak: int | None,
    zeros: tuple[int, float],
    profile: list[float | None] | None,
    coverage: tuple[int, int, list[Gap]],
) -> HouseholdFigures:
    expected, received, gaps = coverage
    known = sums or dict.fromkeys(
        ("records", "milliwatts", "high_usage", "anomalies", "outlier_not_assessed", *BITS), 0
    )
    mean = known["milliwatts"] / known["records"] / 1e6 if known["records"] else None
    peak_kw = known.get("peak_kw")
    covered = expected > 0 and received >= COVERAGE_NEEDED * expected
    return HouseholdFigures(
        household_id=name,
        interval_seconds=seconds,
        expected=expected,
        received=received,
        missing=expected - received,
        energy_kwh=energy(known["milliwatts"], seconds),
        mean_kw=None if mean is None else round(mean, 6),
        peak_kw=peak_kw,
        peak_at=None if peak is None else moment(peak),
        load_factor=round(mean / peak_kw, 4) if covered and mean is not None and peak_kw and peak_kw > 0 else None,
        mean_power_factor=(
            round(known["efficiencies"] / known["with_efficiency"] / 1e4, 4) if known.get("with_efficiency") else None
        ),
        high_usage=known["high_usage"],
        anomalies=known["anomalies"],
        anomalies_by_reason={reason: known[reason] for reason in ANOMALY_REASONS},
        outlier_not_assessed=known["outlier_not_assessed"],
        zero_runs=zeros[0],
        zero_run_hours=round(zeros[1], 2),
        longest_gaps=gaps[:GAPS_A_HOUSEHOLD],
        hourly_profile_kw=profile or [None] * 24,
    )


def energy(milliwatts: int, seconds: int) -> float:
    """Return the energy in kWh (to the watt-hour) of a sum of interval powers."""
    return round(milliwatts * seconds / 3.6e9, 3)


def moment(seconds: int) -> datetime:
    """Return an instant in UTC from seconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def longest(gaps: Sequence[Gap]) -> list[Gap]:
    """Return gaps sorted: longest first, then by time."""
    return sorted(gaps, key=lambda gap: (gap.start - gap.end, gap.start, gap.household_id))


def _gaps(
    db: duckdb.DuckDBPyConnection, intervals: dict[str, int], window: tuple[datetime, datetime] | None
) -> dict[str, tuple[int, int, list[Gap]]]:
    """Expected and received intervals of each household, and its gaps, longest first."""
    origins = origins_of(db, intervals, window)
    slot = slot_sql(list(intervals.values()), list(origins.values()))
    steps: dict[str, list[tuple[int | None, int | None]]] = {name: [] for name in intervals}
    for name, before, slot_now in db.execute(f"""
        WITH slots AS (SELECT household, {slot.format(ts="ts")} AS slot FROM accepted),
        neighbours AS (
            SELECT household, slot, CASE WHEN lag(household) OVER () = household THEN lag(slot) OVER () END AS before
            FROM slots
        )
        SELECT household::VARCHAR, before, slot FROM neighbours WHERE before IS NULL OR slot - before <> 1
        UNION ALL SELECT household::VARCHAR, max(slot), NULL FROM slots GROUP BY ALL
        ORDER BY 1, 2 NULLS FIRST, 3 NULLS LAST
    """).fetchall():
        steps[name].append((before, slot_now))
    records = dict(db.execute("SELECT household::VARCHAR, count(*) FROM accepted GROUP BY ALL").fetchall())
    result = {}
    for name, seconds in intervals.items():
        last = steps[name][-1][0] if steps[name] else -1
        span = int((window[1] - window[0]).total_seconds()) if window else 0
        expected = -(-span // seconds) if window else (last or 0) + 1
        shared = sum(before is not None and before == slot_now for before, slot_now in steps[name])
        edges = [(-1 if before is None else before, expected if now is None else now) for before, now in steps[name]]
        holes = [(before + 1, now) for before, now in edges or [(-1, expected)] if now - before > 1]
        gaps = [
            Gap(
                household_id=name,
                start=moment(origins[name] + first * seconds),
                end=moment(origins[name] + after * seconds),
                intervals=after - first,
            )
            for first, after in holes
        ]
        result[name] = (expected, records.get(name, 0) - shared, longest(gaps))
    return result


def extent(db: duckdb.DuckDBPyConnection, intervals: dict[str, int]) -> tuple[datetime, datetime]:
    """From the first accepted record to the end of the last one's interval."""
    bounds = db.execute("""
        SELECT household::VARCHAR, epoch(min(ts))::BIGINT, epoch(max(ts))::BIGINT FROM accepted GROUP BY ALL
    """).fetchall()
    ends = (last + intervals[household] for household, _, last in bounds)
    return moment(min(first for _, first, _ in bounds)), moment(max(ends))


def totals(db: duckdb.DuckDBPyConnection, households: list[HouseholdFigures]) -> dict[str, Any]:
    """Figures of all households together, by the names of `Analysis`."""
    peak_kw, peak_at, mean_kw = curves.coincident_peak(db)
    expected, received = (sum(getattr(home, name) for home in households) for name in ("expected", "received"))
    covered = received >= COVERAGE_NEEDED * expected and len({home.interval_seconds for home in households}) == 1
    (efficiencies, with_efficiency) = db.execute(
        "SELECT sum(round(efficiency * 1e4)::BIGINT), count(efficiency) FROM judged"
    ).fetchall()[0]
    counted = ("high_usage", "anomalies", "outlier_not_assessed", "zero_runs", "missing")
    return {
        "energy_kwh": round(sum(home.energy_kwh for home in households), 3),
        "peak_kw": peak_kw,
        "peak_at": moment(peak_at),
        "load_factor": round(mean_kw / peak_kw, 4) if covered and peak_kw > 0 else None,
        "mean_power_factor": round(efficiencies / with_efficiency / 1e4, 4) if with_efficiency else None,
        "expected": expected,
        "received": received,
        **{name: sum(getattr(home, name) for home in households) for name in counted},
        "zero_run_hours": round(sum(home.zero_run_hours for home in households), 2),
        "anomalies_by_reason": {
            reason: sum(home.anomalies_by_reason[reason] for home in households) for reason in ANOMALY_REASONS
        },
    }
