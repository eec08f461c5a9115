"""The estimates of `energy_records.parquet` recomputed: all by SQL, those of some households by plain rules too."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb

from include.core.errors import ContractError
from include.core.tables import literal
from include.core.windows import parse_zone
from include.energy.audit.plain_estimates import Advance, estimate_plainly
from include.energy.audit.samples import draw
from include.energy.audit.tables import first_row, words
from include.energy.estimation import estimate, find_advances
from include.energy.params import AnalyzerParams
from include.energy.schemas import RECORDS, EnergySource
from include.energy.timeline import Timeline
from include.energy.validation import limit_of

MILLIWATT = 1e-6 * (1 + 1e-6)
_PAIRS = """
    SELECT household::VARCHAR AS household_id, ts AS timestamp, round(power * 1e6)::BIGINT / 1e6 AS power, method
    FROM {}
"""


def prove_estimates(
    db: duckdb.DuckDBPyConnection,
    params: AnalyzerParams,
    source: EnergySource | None,
    timeline: Timeline,
    *,
    audit: bool,
) -> str:
    """Compare `stated_estimates` with the estimates that the valid records give.

    Creates `estimates` where they are asked for (see `include.energy.estimation`).

    Args:
        db: Holds `stated` (valid records), `stated_estimates`, `placed`, `clock` and the macros of
            `include.energy.timeline.draw_timeline()`.
        params: Whether estimates are asked for, the limit and the clock.
        source: What the generator states of the data, the limits of connections for one.
        timeline: The intervals of the households.
        audit: Compute the estimates of all households a second time by the plain rules.

    Returns:
        What was recomputed, as the rest of a sentence; empty without estimates.

    Raises:
        ContractError: An estimate is missing, was not asked for, or has another value.
    """
    if not params.estimate:
        if stray := first_row(db, f"{_PAIRS.format('stated_estimates')} LIMIT 1"):
            raise ContractError(RECORDS.path, "must hold no estimates, for none were asked for", words(stray))
        return ""
    find_advances(db)
    db.execute("CREATE VIEW accepted AS SELECT * FROM stated")
    estimate(db, timeline, params, source)
    db.execute("DROP VIEW accepted")
    right, stated = (_PAIRS.format(table) for table in ("estimates", "stated_estimates"))
    for first, second, rule in (
        (right, stated, "must hold each estimate that the valid records give: {}"),
        (stated, right, "must hold only estimates that the valid records give, not {}"),
    ):
        if row := first_row(db, f"({first} EXCEPT {second}) ORDER BY household_id, timestamp LIMIT 1"):
            raise ContractError(RECORDS.path, rule.format(words(row)))
    ((count,),) = db.execute("SELECT count(*) FROM stated_estimates").fetchall()
    query = "SELECT DISTINCT household::VARCHAR FROM stated_estimates ORDER BY 1"
    households = draw([name for (name,) in db.execute(query).fetchall()], audit=audit)
    for household in households:
        _estimate_twice(db, household, limit_of(household, params, source), params, timeline)
    return f", and {count:,} estimates, those of {len(households)} households by plain rules too"


def _estimate_twice(
    db: duckdb.DuckDBPyConnection,
    household: str,
    limit_kw: float | None,
    params: AnalyzerParams,
    timeline: Timeline,
) -> None:
    """Compare the estimates of a household with those of the plain rules."""
    where = f"WHERE household = {literal(household)} ORDER BY ts"
    series = db.execute(f"SELECT epoch(ts)::BIGINT, power FROM stated {where}").fetchall()
    advances = db.execute(
        f'SELECT epoch(ts)::BIGINT, epoch("end")::BIGINT, milliwatts::BIGINT FROM advances {where}'
    ).fetchall()
    zone = parse_zone(params.timezone or "UTC")
    plain = estimate_plainly(household, series, timeline, zone, [Advance(*row) for row in advances], limit_kw)
    stated = {
        start: (power, method)
        for start, power, method in db.execute(
            f"SELECT epoch(ts)::BIGINT, power, method FROM stated_estimates {where}"
        ).fetchall()
    }
    counted = dict(db.execute(f"SELECT epoch(ts)::BIGINT, like_days FROM estimates {where}").fetchall())
    for start in sorted({*plain, *stated}):
        power, method = stated.get(start, (None, None))
        right = plain.get(start)
        made = method, counted.get(start)
        if right is None or power is None or made != right[1:] or abs(power - right.power) > MILLIWATT:
            moment = datetime.fromtimestamp(start, UTC)
            rule = f"the estimate of {household} at {moment:%Y-%m-%d %H:%M} UTC must be {right}, as the rules say"
            raise ContractError(RECORDS.path, rule, f"{power} kW, {method}")
