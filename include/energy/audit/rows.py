"""The report's artifacts recomputed from the records: its tables and `output2.json`."""

from __future__ import annotations

import filecmp
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb

from include.core.contracts import Artifact
from include.core.formats import check_format
from include.core.outcome import Proof
from include.core.tables import file_argument, number_sql
from include.energy.audit.tables import AsRead, csv_sql, require_equal_rows, require_no_more_columns
from include.energy.audit.totals import require_equal
from include.energy.db import connect, count, would_write, write_table
from include.energy.figures import TOTALS_SQL
from include.energy.params import ReportParams
from include.energy.report import ROWS_MEMORY, describe, figures, rows_sql
from include.energy.schemas import ANALYSIS, PLOTS, RECORDS, REPORT, REPORT_ROWS, REPORT_TABLE, TOTALS
from include.energy.validation import stamp_sql

_AS_READ: dict[str, AsRead] = {
    "timestamp": stamp_sql,
    "power": number_sql,
    "efficiency": number_sql,
    "export": number_sql,
    "generation": number_sql,
    "anomaly_detected": "lower({})".format,
}


def prove_report(files: Path, params: ReportParams, *, audit: bool = False) -> tuple[Proof, ...]:
    """Recompute `energy_report.csv` and `.parquet`, `energy_totals.parquet` and `output2.json` from the records.

    Args:
        files: A folder that shows the report's inputs and outputs.
        params: How peaks were taken, and whether cells that are formulas were escaped.
        audit: Changes nothing: all of it is recomputed anyway.

    Raises:
        ContractError: An artifact states something else than its inputs give.
    """
    analysis = ANALYSIS.read(files)
    plots = [artifact.path for artifact in PLOTS.values()]
    with (
        tempfile.TemporaryDirectory(prefix=".scratch-", dir=files) as folder,
        ThreadPoolExecutor(1) as pool,  # neither of the two keeps all cores busy
        connect(files, memory_limit="500MB") as db,
    ):
        rows = pool.submit(_prove_rows, files, params, Path(folder))
        found = figures(db, files, analysis, params)
        require_equal(REPORT.path, REPORT.read(files).model_dump(), describe(analysis, found, plots).model_dump())
        expected = Path(folder) / TOTALS.path
        write_table(db, TOTALS_SQL, expected)
        _require_same(db, TOTALS, TOTALS.at(files), expected)
        totals = count(db, "SELECT count(*) FROM totals")
        rows.result()
    records = analysis.records_out + analysis.estimated
    return (
        Proof(artifact=REPORT_ROWS.path, recomputed=f"{records:,} records, in their order", records=records),
        Proof(artifact=REPORT_TABLE.path, recomputed=f"{records:,} records, in their order", records=records),
        Proof(artifact=TOTALS.path, recomputed=f"{totals:,} totals, from the records", records=totals),
        Proof(artifact=REPORT.path, recomputed="every value, from output1.json and the records"),
    )


def _prove_rows(files: Path, params: ReportParams, folder: Path) -> None:
    """Recompute the two tables of all records; `folder` is empty."""
    with connect(files, memory_limit=ROWS_MEMORY) as db:
        if not would_write(db, rows_sql(files, params), REPORT_ROWS.at(files), folder):
            expected = folder / REPORT_ROWS.path
            write_table(db, rows_sql(files, params), expected)
            _require_equal(db, REPORT_ROWS, REPORT_ROWS.at(files), expected)
        _require_same(db, REPORT_TABLE, REPORT_TABLE.at(files), RECORDS.at(files))


def _require_same(db: duckdb.DuckDBPyConnection, artifact: Artifact[Any], stated: Path, expected: Path) -> None:
    """Compare two tables: byte for byte where the step wrote it as we do, else value for value."""
    if not filecmp.cmp(expected, stated, shallow=False):
        _require_equal(db, artifact, stated, expected)


def _require_equal(db: duckdb.DuckDBPyConnection, artifact: Artifact[Any], stated: Path, expected: Path) -> None:
    """Compare a table that may be spelled otherwise with what it should hold, value for value."""
    check_format(stated, artifact)
    stated_sql, expected_sql = _relation(stated), _relation(expected)
    require_no_more_columns(artifact, [name for name, *_ in db.execute(f"DESCRIBE FROM {stated_sql}").fetchall()])
    as_read = _AS_READ if stated.suffix == ".csv" else {}
    columns = {column: as_read.get(column) for column in artifact.schema.model_fields} if artifact.schema else {}
    require_equal_rows(db, artifact.path, stated_sql, expected_sql, columns)


def _relation(path: Path) -> str:
    return csv_sql(path) if path.suffix == ".csv" else f"read_parquet({file_argument(path)})"
