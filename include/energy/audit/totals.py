"""`output1.json` recomputed from the records of `energy_records.parquet`, and their anomalies for drawn households.

All sums, counts, peaks, coverage, gaps and curves are recomputed over all records and must be equal to the last digit
that the document states: energy to the watt-hour, mean power to 1e-6 kW, profiles and shares to four decimals. The
anomalies that depend on a household's neighbours (`outlier`, `flat_line`, and runs of zeros) are recomputed for all
records of some households.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import duckdb

from include.core.errors import ContractError
from include.core.tables import literal
from include.energy import statistics
from include.energy.analyzer import summarise
from include.energy.anomalies import SAMPLES_OF_HOUR, SAMPLES_OF_HOUSEHOLD, find_runs, judge
from include.energy.audit.judgements import OWN_FLAGS
from include.energy.intervals import SHARE_NEEDED, choose_intervals
from include.energy.params import AnalyzerParams
from include.energy.schemas import ANALYSIS, DATA, RECORDS, Analysis, EnergySource
from include.energy.stamp_steps import WHOLE_SECONDS
from include.energy.sufficiency import require_sufficient
from include.energy.timeline import Timeline, draw_timeline
from include.energy.validation import BITS, FLAG_ESTIMATED, FLAG_NOT_ASSESSED, FLAG_SUSPECT, FLAG_ZERO_RUN

Difference = tuple[str, int | None, int]
STATED_FLAGS = sum(BITS.values()) | FLAG_ZERO_RUN


def number_intervals(db: duckdb.DuckDBPyConnection, params: AnalyzerParams, source: EnergySource | None) -> Timeline:
    """Return the intervals of each household.

    Creates the macros of `include.energy.timeline.draw_timeline()`.

    Args:
        db: Holds the tables of `include.energy.audit.judgements.judge_again()`.
        params: The window.
        source: What the generator states of the data.
    """
    names = [name for (name,) in db.execute("SELECT unnest(enum_range(NULL::household))::VARCHAR").fetchall()]
    stated = {name: source.interval_of(name) if source else None for name in names}
    inferred = _infer(db, [name for name in names if stated[name] is None])
    intervals = {name: seconds or inferred[name] for name, seconds in stated.items()}
    window = (params.start, params.end) if params.start and params.end else None
    db.execute("CREATE VIEW accepted AS SELECT * FROM stated")
    timeline = draw_timeline(db, intervals, source, window)
    db.execute("DROP VIEW accepted")
    return timeline


def _infer(db: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, int]:
    """Infer intervals as the analyzer does: from all records whose household and time are known.

    The accepted ones are in order already. They decide where the others, which split one difference each, could not
    change the result.
    """
    if not names:
        return {}
    differences = db.execute(f"""
        SELECT household::VARCHAR, {WHOLE_SECONDS}, count(*) FROM (
            SELECT household, CASE WHEN household = lag(household) OVER ()
                THEN epoch(ts) - epoch(lag(ts) OVER ()) END AS seconds FROM stated)
        GROUP BY ALL
    """).fetchall()
    others = dict(
        db.execute(
            "SELECT household, count(*) FROM placed WHERE reason IS NOT NULL OR line IN (SELECT line FROM repeated) "
            "GROUP BY ALL"
        ).fetchall()
    )
    if not all(_is_clear([d for d in differences if d[0] == name], others.get(name, 0)) for name in names):
        differences = db.execute(f"""
            SELECT household, {WHOLE_SECONDS}, count(*) FROM (
                SELECT household, epoch(ts) - epoch(lag(ts) OVER (PARTITION BY household ORDER BY ts)) AS seconds
                FROM placed)
            GROUP BY ALL ORDER BY ALL
        """).fetchall()
    return choose_intervals([difference for difference in differences if difference[0] in set(names)], DATA.path)


def _is_clear(differences: Sequence[Difference], others: int) -> bool:
    """Whether some more records, each of which splits a difference in two, leave the most frequent one as it is."""
    counts = Counter({seconds: count for _, seconds, count in differences if seconds is not None})
    (_, most), (_, second) = [*counts.most_common(2), (0, 0), (0, 0)][:2]
    total = counts.total()
    return (
        total - others >= 2 and most - others > second + 2 * others and most - others >= SHARE_NEEDED * (total + others)
    )


def compare_anomalies(db: duckdb.DuckDBPyConnection, params: AnalyzerParams, households: Sequence[str]) -> None:
    """Recompute the anomalies of all records of some households.

    Args:
        db: Holds `stated` and the macros of `number_intervals()`.
        params: The threshold of outliers.
        households: Those to recompute.

    Raises:
        ContractError: A record has other anomalies.
    """
    names = ", ".join(map(literal, households))
    db.execute(f"""
        CREATE TABLE accepted AS SELECT * REPLACE ((flags & {OWN_FLAGS})::UTINYINT AS flags)
        FROM stated WHERE household IN ({names})
    """)
    judge(db, params.outlier_threshold)
    differing = db.execute(f"""
        SELECT judged.household::VARCHAR, judged.ts, line, judged.flags, stated.flags
        FROM judged JOIN stated USING (line)
        WHERE judged.flags & {STATED_FLAGS} <> stated.flags & {STATED_FLAGS} ORDER BY line LIMIT 1
    """).fetchone()
    for table in ("accepted", "judged", "runs", "typical"):
        db.execute(f"DROP TABLE {table}")
    if differing:
        household, ts, line, right, wrong = differing
        rule = f"anomaly_reasons and zero_run must be {_flags(right)} for {household} at {ts} (line {line})"
        raise ContractError(RECORDS.path, rule, _flags(wrong))


def _flags(flags: int) -> str:
    names = [reason for reason, bit in BITS.items() if flags & bit] + ["zero_run"] * bool(flags & FLAG_ZERO_RUN)
    return ";".join(names) or "none"


def compare_totals(
    db: duckdb.DuckDBPyConnection,
    params: AnalyzerParams,
    source: EnergySource | None,
    counts: dict[str, int],
    timeline: Timeline,
    stated: Analysis,
) -> None:
    """Recompute `output1.json` from `suspects`, `estimates` and the records of `stated`, which becomes `judged`.

    Raises:
        ContractError: The document states something else.
        BadInputError: The data exceed a limit that users set.
    """
    window = (params.start, params.end) if params.start and params.end else None
    db.execute("ALTER TABLE stated RENAME TO judged")
    zeros = db.execute("SELECT DISTINCT household::VARCHAR FROM judged WHERE power = 0").fetchall()
    names = ", ".join(literal(name) for (name,) in zeros)
    db.execute(f"CREATE VIEW accepted AS SELECT * FROM judged WHERE {f'household IN ({names})' if zeros else 'false'}")
    find_runs(db)  # only runs of zeros are counted
    db.execute("CREATE OR REPLACE VIEW accepted AS SELECT * FROM judged")
    _mark_not_assessed(db)
    if params.estimate:
        db.execute("INSERT INTO judged BY NAME SELECT * EXCLUDE (method, like_days) FROM estimates")
        db.execute(f"CREATE OR REPLACE VIEW accepted AS SELECT * FROM judged WHERE flags & {FLAG_ESTIMATED} = 0")
    figures = statistics.figures(db, timeline, window, params.high_usage_kw)
    db.execute(
        f"CREATE OR REPLACE VIEW accepted AS SELECT * FROM acceptable WHERE flags & {FLAG_SUSPECT} = 0"
    )  # voltage is in energy_data.csv alone
    computed = summarise(db, params, figures, timeline, source, counts)
    require_equal(ANALYSIS.path, stated.model_dump(), computed.model_dump())
    require_sufficient(computed)


def _mark_not_assessed(db: duckdb.DuckDBPyConnection) -> None:
    """Flag the records with too few samples to tell an outlier; the rule is that of `include.energy.anomalies`."""
    db.execute(f"""
        UPDATE judged SET flags = flags + {FLAG_NOT_ASSESSED} FROM (
            WITH hours AS (SELECT household, hour, count(*) AS n FROM judged GROUP BY ALL)
            SELECT household AS home, hour AS hour_of_week FROM hours QUALIFY n < {SAMPLES_OF_HOUR}
                AND sum(n) OVER (PARTITION BY household, hour % 24) < {SAMPLES_OF_HOUR}
                AND sum(n) OVER (PARTITION BY household) < {SAMPLES_OF_HOUSEHOLD}
        ) WHERE household = home AND hour = hour_of_week
    """)


def require_equal(artifact: str, stated: Any, computed: Any, place: str = "") -> None:
    """Raise the first difference between two documents.

    Raises:
        ContractError: They differ; names the place and both values.
    """
    if isinstance(stated, dict) and isinstance(computed, dict) and stated.keys() == computed.keys():
        for key, value in computed.items():
            require_equal(artifact, stated[key], value, f"{place}.{key}" if place else str(key))
    elif isinstance(stated, list | tuple) and isinstance(computed, list | tuple) and len(stated) == len(computed):
        for number, value in enumerate(computed):
            require_equal(artifact, stated[number], value, f"{place}[{number}]")
    elif stated != computed or isinstance(stated, bool) is not isinstance(computed, bool):
        raise ContractError(
            artifact, f"{place} must be {_short(computed)}, as recomputed from the records", _short(stated)
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
