"""The records that were turned down: where each stands, as it was read, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from include.core.errors import BadInputError
from include.core.run_folder import SOURCE_FOLDER
from include.core.sql import literal
from include.energy.db import write_csv
from include.energy.lines import LineFile, inspect
from include.energy.results import OUTSIDE, AnalyzerParams
from include.energy.schemas import PROVENANCE

REJECTED = "rejected.csv"
ISO = "'%Y-%m-%dT%H:%M:%SZ'"


def write_rejected(db: duckdb.DuckDBPyConnection, data: LineFile, files: Path) -> None:
    """Write `rejected.csv` from the table `rejected` (line of `energy_data.csv`, verdict), in that file's order.

    A record that came from people's files is shown as it stands there.
    """
    located = _locate(db, data, files)
    write_csv(db, f"SELECT file, line, raw, reason FROM ({located}) ORDER BY position", files / REJECTED)


def _locate(db: duckdb.DuckDBPyConnection, data: LineFile, files: Path) -> str:
    """SQL of the rejected records: position (line of `energy_data.csv`), file, line, raw, reason."""
    traced = all(column in data.columns for column in PROVENANCE[:2])
    source = data.field_sql(PROVENANCE[0]) if traced else "NULL::VARCHAR"
    line = f"try_cast({data.field_sql(PROVENANCE[1])} AS BIGINT)" if traced else "NULL::BIGINT"
    db.execute(f"""
        CREATE OR REPLACE TABLE located AS
        SELECT line_number AS position, line AS raw, verdict AS reason, {source} AS source, {line} AS source_line
        FROM ({data.records_sql("SELECT line FROM rejected")})
        JOIN (SELECT line AS rejected_line, verdict FROM rejected) ON line_number = rejected_line
    """)
    names = [
        name
        for (name,) in db.execute("SELECT DISTINCT source FROM located WHERE source IS NOT NULL ORDER BY 1").fetchall()
    ]
    sources = {name: files / SOURCE_FOLDER / name for name in names if Path(name).name == name}
    originals = "".join(
        f" UNION ALL SELECT {literal(name)} AS source, line_number AS source_line, line AS original "
        f"FROM ({inspect(path, name).lines_sql()}) "
        f"WHERE line_number IN (SELECT source_line FROM located WHERE source = {literal(name)})"
        for name, path in sources.items()
        if path.is_file()
    )
    return f"""
        SELECT position, CASE WHEN original IS NULL THEN {literal(data.name)} ELSE source END AS file,
            CASE WHEN original IS NULL THEN position ELSE source_line END AS line,
            coalesce(original, raw) AS raw, reason
        FROM located LEFT JOIN (
            SELECT NULL::VARCHAR AS source, NULL::BIGINT AS source_line, NULL::VARCHAR AS original{originals}
        ) USING (source, source_line)"""


def nothing_accepted(
    db: duckdb.DuckDBPyConnection, data: LineFile, verdicts: Mapping[str, int], files: Path, params: AnalyzerParams
) -> BadInputError:
    """The error for data of which no record is accepted: the reasons with their counts, and an example line.

    Args:
        db: Holds `parsed`.
        data: The file that was read.
        verdicts: How many records have which verdict.
        files: The run's `files/` folder.
        params: With the window.
    """
    total, outside = sum(verdicts.values()), verdicts.get(OUTSIDE, 0)
    parts = []
    if outside and params.start and params.end:
        first, last = db.execute(
            f"SELECT strftime(min(ts), {ISO}), strftime(max(ts), {ISO}) FROM parsed WHERE verdict = '{OUTSIDE}'"
        ).fetchall()[0]
        parts.append(
            f"{outside} lie outside the window {params.start.isoformat()} to {params.end.isoformat()} "
            f"(they reach from {first} to {last})"
        )
    reasons = {reason: count for reason, count in verdicts.items() if reason != OUTSIDE}
    parts += [f"{count} × {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
    message = f"{data.name}: none of its {total} records can be accepted: {', '.join(parts)}"
    if reasons:
        db.execute(f"""
            CREATE OR REPLACE TABLE rejected AS
            SELECT line, verdict FROM parsed WHERE verdict <> '{OUTSIDE}' ORDER BY line LIMIT 1
        """)
        file, line, raw, reason = db.execute(
            f"SELECT file, line, raw, reason FROM ({_locate(db, data, files)})"
        ).fetchall()[0]
        message += f"; for example {file} line {line}: {raw!r} ({reason})"
    return BadInputError(message)
