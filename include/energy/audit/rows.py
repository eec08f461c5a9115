"""The report's artifacts recomputed from the records: `energy_report.csv`, `energy_totals.parquet`, `output2.json`."""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from include.core.contracts import Artifact
from include.core.formats import check_format
from include.core.outcome import Proof
from include.core.tables import file_argument, number_sql
from include.energy.audit.tables import AsRead, csv_sql, require_equal_rows, require_no_more_columns
from include.energy.audit.totals import require_equal
from include.energy.db import connect, count, write_table
from include.energy.figures import TOTALS_SQL, usage
from include.energy.params import ReportParams
from include.energy.report import describe, rows_sql
from include.energy.schemas import ANALYSIS, PLOTS, REPORT, REPORT_ROWS, SOURCE, TOTALS
from include.energy.validation import stamp_sql

_AS_READ: dict[str, AsRead] = {
    "timestamp": stamp_sql,
    "power": number_sql,
    "efficiency": number_sql,
    "anomaly_detected": "lower({})".format,
}


def prove_report(files: Path, params: ReportParams, *, audit: bool = False) -> tuple[Proof, ...]:
    """Recompute `energy_report.csv`, `energy_totals.parquet` and `output2.json` from the analyzer's artifacts.

    Args:
        files: A folder that shows the report's inputs and outputs.
        params: How peaks were taken, and whether cells that are formulas were escaped.
        audit: Changes nothing: all of it is recomputed anyway.

    Raises:
        ContractError: An artifact states something else than its inputs give.
    """
    analysis = ANALYSIS.read(files)
    plots = [artifact.path for artifact in PLOTS.values()]
    with connect(files) as db, tempfile.TemporaryDirectory(prefix=".scratch-", dir=files) as folder:
        figures = usage(db, files, analysis, SOURCE.find(files), params.peak_minutes)
        require_equal(REPORT.path, REPORT.read(files).model_dump(), describe(analysis, figures, plots).model_dump())
        _prove_rows(db, files, REPORT_ROWS, rows_sql(files, params), Path(folder), _AS_READ)
        _prove_rows(db, files, TOTALS, TOTALS_SQL, Path(folder), {})
        totals = count(db, "SELECT count(*) FROM totals")
    records = analysis.records_out
    return (
        Proof(artifact=REPORT_ROWS.path, recomputed=f"{records:,} records, in their order", records=records),
        Proof(artifact=TOTALS.path, recomputed=f"{totals:,} totals, from the records", records=totals),
        Proof(artifact=REPORT.path, recomputed="every value, from output1.json and the records"),
    )


def _prove_rows(
    db: duckdb.DuckDBPyConnection,
    files: Path,
    artifact: Artifact[Any],
    query: str,
    folder: Path,
    as_read: Mapping[str, AsRead],
) -> None:
    """Compare a table with the rows of a query, byte for byte where it is written as ours is, else value for value."""
    expected, stated = folder / artifact.path, artifact.at(files)
    write_table(db, query, expected)
    if filecmp.cmp(expected, stated, shallow=False):
        return
    check_format(stated, artifact)
    stated_sql, expected_sql = _relation(stated), _relation(expected)
    require_no_more_columns(artifact, [name for name, *_ in db.execute(f"DESCRIBE FROM {stated_sql}").fetchall()])
    columns = {column: as_read.get(column) for column in artifact.schema.model_fields} if artifact.schema else {}
    require_equal_rows(db, artifact.path, stated_sql, expected_sql, columns)


def _relation(path: Path) -> str:
    return csv_sql(path) if path.suffix == ".csv" else f"read_parquet({file_argument(path)})"
