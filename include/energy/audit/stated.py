"""The records of `energy_records.parquet` as a table, in their order, each consistent in itself."""

from __future__ import annotations

from pathlib import Path

import duckdb

from include.core.errors import ContractError
from include.core.tables import file_argument, literal
from include.energy.audit.tables import first_row, words
from include.energy.db import count
from include.energy.params import AnalyzerParams
from include.energy.schemas import RECORDS
from include.energy.validation import BITS, FLAG_ESTIMATED, FLAG_SUSPECT, FLAG_ZERO_RUN, LARGEST

_REASONS = [";".join(reason for reason in BITS if flags & BITS[reason]) for flags in range(1, sum(BITS.values()) + 1)]


def read_stated(db: duckdb.DuckDBPyConnection, files: Path, params: AnalyzerParams) -> None:
    """Create `stated` (household, ts, power, efficiency, quality, flags, hour, line) in the order of the Parquet file.

    Estimates stand apart, in `stated_estimates` (household, ts, power, method).

    Args:
        db: Holds `clock` and the types `household` and `quality` (see `include.energy.validation.place()`).
        files: A folder that shows the file.
        params: The limit of high usage.

    Raises:
        ContractError: A record contradicts itself, or they are not sorted by household and time, each pair once.
    """
    high = "NULL" if params.high_usage_kw is None else params.high_usage_kw
    reasons = ", ".join(map(literal, _REASONS))
    db.execute(f"""
        CREATE VIEW records AS
        SELECT make_timestamp(epoch_us(timestamp::TIMESTAMPTZ)) AS ts, household_id AS home, power::DOUBLE AS power,
            efficiency::DOUBLE AS efficiency, line::BIGINT AS line, zero_run::BOOLEAN AS zero_run,
            status::VARCHAR AS status, anomaly_detected::BOOLEAN AS anomaly_detected, anomaly_reasons,
            state::VARCHAR AS state, quality::VARCHAR AS quality, method::VARCHAR AS method,
            CASE WHEN anomaly_reasons IS NULL THEN 0 ELSE list_position([{reasons}], anomaly_reasons) END AS reasons
        FROM read_parquet({file_argument(RECORDS.at(files))})
    """)
    rules = {
        "household_id must be a household of energy_data.csv": ("try_cast(home AS household) IS NULL"),
        f"power must be a number below {LARGEST:g}": f"NOT abs(power) < {LARGEST}",
        f"efficiency must be a number below {LARGEST:g}, or nothing": (
            f"efficiency IS NOT NULL AND NOT abs(efficiency) < {LARGEST}"
        ),
        "anomaly_reasons must hold known reasons, in their order": "reasons IS NULL",
        "state must be valid, suspect or estimated": "state NOT IN ('valid', 'suspect', 'estimated')",
        "an estimate, and nothing else, must have a method, and no line": (
            "(state = 'estimated') <> (line IS NULL) OR (state = 'estimated') <> (method IS NOT NULL)"
        ),
        "an estimate must have no efficiency, quality, anomaly_reasons and zero_run": (
            "state = 'estimated' AND (efficiency IS NOT NULL OR quality IS NOT NULL OR reasons <> 0 OR zero_run)"
        ),
        "a suspect record must have no anomaly_reasons that depend on other records, and no zero_run": (
            f"state = 'suspect' AND (zero_run OR reasons & {BITS['outlier'] | BITS['flat_line']} <> 0)"
        ),
        "quality must be one of energy_data.csv, or nothing": (
            "quality IS NOT NULL AND try_cast(quality AS quality) IS NULL"
        ),
        "anomaly_detected must be true where there is a reason": "anomaly_detected <> (reasons <> 0)",
        f"status must be high_usage above {high} kW": (
            f"status <> CASE WHEN power > {high} THEN 'high_usage' ELSE 'normal' END"
        ),
    }
    broken = " OR ".join(f"coalesce({condition}, true)" for condition in rules.values())
    db.execute(f"""
        CREATE TABLE stated AS
        SELECT try_cast(home AS household) AS household, ts, power, efficiency,
            try_cast(quality AS quality) AS quality,
            CASE WHEN NOT ({broken}) THEN (reasons + CASE WHEN zero_run THEN {FLAG_ZERO_RUN} ELSE 0 END
                + CASE state WHEN 'suspect' THEN {FLAG_SUSPECT} WHEN 'estimated' THEN {FLAG_ESTIMATED} ELSE 0 END
                )::UTINYINT END AS flags,
            {_hour_sql(db)}::UTINYINT AS hour, line, method
        FROM records
    """)
    if first_row(db, "SELECT line FROM stated WHERE flags IS NULL LIMIT 1"):
        columns = "home, ts, line, power, efficiency, status, anomaly_detected, anomaly_reasons, state, quality, method"
        for rule, condition in rules.items():
            if record := first_row(db, f"SELECT {columns} FROM records WHERE coalesce({condition}, true) LIMIT 1"):
                raise ContractError(RECORDS.path, rule, words(record))
    disordered = f"""
        SELECT household::VARCHAR AS household_id, ts, line FROM stated
        QUALIFY household < lag(household) OVER () OR (household = lag(household) OVER () AND (ts < lag(ts) OVER ()
            OR ts = lag(ts) OVER () AND NOT (flags >= {FLAG_ESTIMATED} AND lag(flags) OVER () & {FLAG_SUSPECT} <> 0)))
    """
    if record := first_row(db, f"{disordered} LIMIT 1"):
        rule = "must be sorted by household and time, each pair once, or suspect and then estimated"
        raise ContractError(RECORDS.path, rule, words(record))
    is_estimate = f"flags & {FLAG_ESTIMATED} <> 0"
    db.execute(f"CREATE TABLE stated_estimates AS SELECT household, ts, power, method FROM stated WHERE {is_estimate}")
    if count(db, "SELECT count(*) FROM stated_estimates"):
        db.execute(f"DELETE FROM stated WHERE {is_estimate}")
    db.execute("ALTER TABLE stated DROP COLUMN method")


def _hour_sql(db: duckdb.DuckDBPyConnection) -> str:
    """Return SQL of the hour of the local week of `ts`, from `clock`: its offsets from UTC, of which there are few."""
    offsets = db.execute("""
        SELECT min(quarter)::BIGINT * 900 AS start, seconds FROM (
            SELECT quarter, seconds, row_number() OVER (ORDER BY quarter)
                - row_number() OVER (PARTITION BY seconds ORDER BY quarter) AS piece
            FROM (SELECT quarter, epoch(local_time)::BIGINT - quarter::BIGINT * 900 AS seconds FROM clock)
        ) GROUP BY seconds, piece ORDER BY start DESC
    """).fetchall()
    cases = " ".join(f"WHEN epoch_us(ts) >= {start * 1_000_000} THEN {seconds}" for start, seconds in offsets[:-1])
    offset = f"CASE {cases} ELSE {offsets[-1][1]} END" if cases else f"{offsets[-1][1]}"
    positive = 5000 * 7 * 86400  # weeks that make the seconds of all times since 1900 positive
    return f"((epoch_us(ts) // 1000000 + {offset} + {positive}) // 3600 + 72) % 168"  # 1970 began on a Thursday
