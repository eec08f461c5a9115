"""Every record of `energy_data.csv` judged again, and compared with what the analyzer made of each.

The two sides of 10 million records are compared by checksums: the sum, for each household, of a hash of each record's
values. The hash depends on random numbers that are drawn at the time, so that no step can prepare records that differ
and yet have the same sum. Values are compared to the milliwatt and to 1e-4 of the power factor, the analyzer's own
rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from include.core.errors import ContractError
from include.core.tables import file_argument, literal
from include.energy import validation
from include.energy.audit.samples import salts
from include.energy.audit.stated import read_stated
from include.energy.audit.tables import csv_sql, first_row, words
from include.energy.lines import LineFile
from include.energy.params import AnalyzerParams
from include.energy.schemas import FLOWS, OUTSIDE, RECORDS, REJECTED, EnergySource
from include.energy.validation import BITS

OWN_FLAGS = BITS["voltage_outside_band"] | BITS["power_factor"] | validation.FLAG_SUSPECT
"""What a record shows by itself."""
_ACCEPTABLE = "reason IS NULL AND line NOT IN (SELECT line FROM repeated)"


def judge_again(
    db: duckdb.DuckDBPyConnection, data: LineFile, files: Path, params: AnalyzerParams, source: EnergySource | None
) -> dict[str, int]:
    """Compare `energy_records.parquet` and `rejected.csv` with the records of `energy_data.csv`, judged again.

    Creates `parsed`, `flows`, `clock` and the type `household` (see `include.energy.validation`), `rejected` (line,
    reason), the view `acceptable` (household, ts, voltage, …) and `stated`: the records of the Parquet file with their
    flags.

    Args:
        db: An empty database.
        data: `energy_data.csv`.
        files: A folder that shows the analyzer's inputs and outputs.
        params: Limits, window and clock.
        source: What the generator states of the data.

    Returns:
        How many records have which reason, duplicates aside; those that no rule rejects stand under "".

    Raises:
        ContractError: A record was accepted, rejected, left out or changed against the rules.
    """
    validation.parse(db, data, params, source)
    counts = validation.count_reasons(db)
    if not counts.get(""):
        raise ContractError(RECORDS.path, f"must hold accepted records of {data.name}; the rules accept none of them")
    validation.place(db, params.timezone)
    read_stated(db, files, params)
    _find_repeated(db, data)
    _compare_values(db, data)
    validation.keep_flows(db, data)
    _compare_flows(db, data, files)
    _require_repetitions(db, data)
    _compare_rejected(db, data, files)
    return counts


def _find_repeated(db: duckdb.DuckDBPyConnection, data: LineFile) -> None:
    """Create `repeated` (line), `rejected` and `acceptable`; check that only acceptable records are stated, once."""
    ((last,),) = db.execute("SELECT max(line) FROM parsed").fetchall()
    acceptable, stated = np.zeros(last + 1, dtype=np.bool_), np.zeros(last + 1, dtype=np.bool_)
    for lines in _numbers(db, "SELECT line FROM parsed WHERE reason IS NULL"):
        acceptable[lines] = True
    records = 0
    for lines in _numbers(db, "SELECT line FROM stated"):
        known = (lines > 0) & (lines <= last)
        if not known.all():
            raise ContractError(RECORDS.path, f"line must be that of a record of {data.name}", int(lines[~known][0]))
        stated[lines] = True
        records += len(lines)
    if records != np.count_nonzero(stated):
        repeated = first_row(
            db, "SELECT line, count(*) AS records FROM stated GROUP BY line HAVING records > 1 LIMIT 1"
        )
        raise ContractError(RECORDS.path, f"must hold each line of {data.name} at most once", words(repeated or {}))
    for line in np.flatnonzero(stated & ~acceptable)[:1]:
        rule = f"must hold only records of {data.name} that no rule rejects"
        raise ContractError(RECORDS.path, rule, _parsed(db, int(line)))
    db.from_df(pd.DataFrame({"line": np.flatnonzero(acceptable & ~stated)})).create("repeated")
    db.execute(f"""
        CREATE TABLE rejected AS
        SELECT line, reason FROM parsed WHERE reason <> '{OUTSIDE}'
        UNION ALL SELECT line, 'duplicate_timestamp' FROM repeated
    """)
    db.execute(f"""
        CREATE VIEW acceptable AS
        SELECT household::household AS household, ts, power, voltage, efficiency, quality::quality AS quality, flags,
            line
        FROM parsed WHERE {_ACCEPTABLE}
    """)


def _require_repetitions(db: duckdb.DuckDBPyConnection, data: LineFile) -> None:
    """Check that each acceptable record that is not stated has one of its household and time that comes first and is.

    A valid record comes before a suspect one, then the order of the file counts.
    """
    db.execute(f"""
        CREATE TABLE repetitions AS
        SELECT line, household, ts, flags & {validation.FLAG_SUSPECT} AS suspect
        FROM parsed SEMI JOIN repeated USING (line)
    """)
    lost = first_row(
        db,
        f"""SELECT line FROM repetitions ANTI JOIN (
            SELECT repetitions.line FROM stated JOIN repetitions
                ON stated.household::VARCHAR = repetitions.household AND stated.ts = repetitions.ts
            WHERE (stated.flags & {validation.FLAG_SUSPECT}, stated.line) < (suspect, repetitions.line)
        ) USING (line) ORDER BY line LIMIT 1""",
    )
    if lost:
        rule = f"must hold every record of {data.name} that no rule rejects, the first of a household and time"
        raise ContractError(RECORDS.path, rule, f"none for {_parsed(db, lost['line'])}")


def _compare_values(db: duckdb.DuckDBPyConnection, data: LineFile) -> None:
    """Compare what `stated` and `parsed` hold of each record."""
    values = (
        "line",
        "epoch_us(ts)",
        "try_cast(round(power * 1e6) AS BIGINT)",
        "coalesce(try_cast(round(efficiency * 1e4) AS BIGINT), -1)",
        "(efficiency IS NULL)::BIGINT",
        f"(flags & {OWN_FLAGS})::BIGINT",
        "coalesce(enum_code(quality), -1)::BIGINT",
    )
    salted = ", ".join(f"{value} + {salt}" for value, salt in zip(values, salts(len(values)), strict=True))
    acceptable, stated = (
        {
            name: sums
            for name, *sums in db.execute(
                f"SELECT household::VARCHAR, count(*), sum(hash({salted})) FROM {table} GROUP BY household"
            ).fetchall()
        }
        for table in ("acceptable", "stated")
    )
    differing = [name for name in sorted({*acceptable, *stated}) if acceptable.get(name) != stated.get(name)]
    if differing:
        _raise_first_difference(db, data, differing)


def _raise_first_difference(db: duckdb.DuckDBPyConnection, data: LineFile, differing: list[str]) -> None:
    suspect = f"CASE WHEN flags & {validation.FLAG_SUSPECT} <> 0 THEN 'suspect' ELSE 'valid' END"
    compared = {
        "household_id": "household::VARCHAR",
        "timestamp": "ts",
        "power": "power",
        "efficiency": "efficiency",
        "state": suspect,
        "quality": "quality::VARCHAR",
        "voltage_outside_band or power_factor": f"flags & {OWN_FLAGS}",
    }
    names, columns = tuple(compared), tuple(compared.values())
    listed = ", ".join(f"{column} AS c{number}" for number, column in enumerate(columns))
    households = ", ".join(map(literal, differing))
    first = first_row(
        db,
        f"""SELECT a.line AS line, {", ".join(f"a.c{n} AS a{n}, s.c{n} AS s{n}" for n in range(len(columns)))}
        FROM (SELECT line, {listed} FROM acceptable) AS a JOIN (SELECT line, {listed} FROM stated) AS s USING (line)
        WHERE (a.c0 IN ({households}) OR s.c0 IN ({households}))
            AND ({" OR ".join(f"a.c{n} IS DISTINCT FROM s.c{n}" for n in range(len(columns)))})
        ORDER BY line LIMIT 1""",
    )
    for number, name in enumerate(names):
        if first and first[f"a{number}"] != first[f"s{number}"]:
            rule = f"{name} must be {first[f'a{number}']}, as line {first['line']} of {data.name} gives"
            raise ContractError(RECORDS.path, rule, first[f"s{number}"])
    raise ContractError(RECORDS.path, f"must hold the values of {data.name}", f"others for {households[:80]}")


def _compare_flows(db: duckdb.DuckDBPyConnection, data: LineFile, files: Path) -> None:
    """Compare export and generation of every record, to the milliwatt."""
    records = f"read_parquet({file_argument(RECORDS.at(files))})"
    if not validation.flows_of(data):
        rule = f"export and generation must be empty, for {data.name} states neither"
        record = first_row(
            db,
            f"SELECT line, export, generation FROM {records} WHERE coalesce(export, generation) IS NOT NULL LIMIT 1",
        )
    else:
        rule = f"export and generation must be those of {data.name}"
        whole = "try_cast(round({}.{} * 1e6) AS BIGINT)"
        differing = " OR ".join(f"{whole.format('r', f)} IS DISTINCT FROM {whole.format('f', f)}" for f in FLOWS)
        record = first_row(
            db,
            f"SELECT line, r.export, r.generation FROM {records} AS r LEFT JOIN flows AS f USING (line) "
            f"WHERE {differing} OR (r.export IS NULL) <> (f.export IS NULL) "
            "OR (r.generation IS NULL) <> (f.generation IS NULL) ORDER BY line LIMIT 1",
        )
    if record:
        raise ContractError(RECORDS.path, rule, words(record))


def _compare_rejected(db: duckdb.DuckDBPyConnection, data: LineFile, files: Path) -> None:
    """Compare `rejected.csv` with the records that a rule rejects, each shown as it stands in the input."""
    columns, path = 'file, line, "column", raw, reason', REJECTED.at(files)
    line = "CASE WHEN regexp_full_match(line, '\\d{1,18}') THEN line::BIGINT END"
    db.execute(f"CREATE TABLE listed AS SELECT {columns} FROM (SELECT * REPLACE ({line} AS line) FROM {csv_sql(path)})")
    located = validation.locate_rejected(db, data, files)
    db.execute(f'CREATE TABLE expected AS SELECT file, line, "column", raw, reason::VARCHAR AS reason FROM ({located})')
    pair = "(SELECT {columns} FROM {a} EXCEPT ALL SELECT {columns} FROM {b}) ORDER BY line LIMIT 1"
    extra = first_row(db, pair.format(columns=columns, a="listed", b="expected"))
    missing = first_row(db, pair.format(columns=columns, a="expected", b="listed"))
    if extra:
        same = 'file = ? AND line = ? AND "column" IS NOT DISTINCT FROM ? AND raw IS NOT DISTINCT FROM ?'
        place = [extra[name] for name in ("file", "line", "column", "raw")]
        right = [reason for (reason,) in db.execute(f"SELECT reason FROM expected WHERE {same}", place).fetchall()]
        if extra["reason"] in right:
            rule = "must list each rejected record once"
        elif right:
            rule = f"reason must be {' or '.join(right)}, for that rule rejects the record"
        else:
            rule = "must list only records that stand in the input, at that line with that text, and break a rule"
        raise ContractError(REJECTED.path, rule, words(extra))
    if missing:
        raise ContractError(REJECTED.path, "must list every record that a rule rejects", f"none for {words(missing)}")


def _numbers(db: duckdb.DuckDBPyConnection, query: str) -> Iterator[Any]:
    """Yield the numbers of a column, some hundred thousand at a time."""
    cursor = db.execute(query)
    while len(frame := cursor.fetch_df_chunk(100)):
        yield frame.iloc[:, 0].to_numpy()


def _parsed(db: duckdb.DuckDBPyConnection, line: int) -> str:
    """Return what the rules make of a line, in words."""
    query = f"SELECT line, household, ts, power, reason::VARCHAR AS reason FROM parsed WHERE line = {line}"
    return words(first_row(db, query) or {"line": line, "record": "none"})
