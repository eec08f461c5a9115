"""The report's artifacts recomputed: `energy_report.csv` row for row, `output2.json` from the analysis."""

from __future__ import annotations

import filecmp
import tempfile
from pathlib import Path

from include.core.formats import check_format
from include.core.outcome import Proof
from include.core.tables import number_sql
from include.energy.audit.tables import AsRead, csv_sql, header, require_equal_rows, require_no_more_columns
from include.energy.audit.totals import require_equal
from include.energy.db import connect, write_table
from include.energy.params import ReportParams
from include.energy.report import describe, rows_sql
from include.energy.schemas import ANALYSIS, PLOTS, REPORT, REPORT_ROWS, ReportRow
from include.energy.validation import stamp_sql

_AS_READ: dict[str, AsRead] = {
    "timestamp": stamp_sql,
    "power": number_sql,
    "efficiency": number_sql,
    "anomaly_detected": "lower({})".format,
}


def prove_report(files: Path, params: ReportParams, *, audit: bool = False) -> tuple[Proof, ...]:
    """Recompute `energy_report.csv` and `output2.json` from the analyzer's artifacts.

    Args:
        files: A folder that shows the report's inputs and outputs.
        params: Whether cells that are formulas were escaped.
        audit: Changes nothing: all of it is recomputed anyway.

    Raises:
        ContractError: An artifact states something else than its inputs give.
    """
    analysis = ANALYSIS.read(files)
    plots = [artifact.path for artifact in PLOTS.values()]
    require_equal(REPORT.path, REPORT.read(files).model_dump(), describe(analysis, plots).model_dump())
    with connect(files) as db, tempfile.TemporaryDirectory(prefix=".scratch-", dir=files) as folder:
        expected, stated = Path(folder) / REPORT_ROWS.path, REPORT_ROWS.at(files)
        write_table(db, rows_sql(files, params), expected)
        if not filecmp.cmp(expected, stated, shallow=False):
            check_format(stated, REPORT_ROWS)
            require_no_more_columns(REPORT_ROWS, header(stated))
            columns = {column: _AS_READ.get(column) for column in ReportRow.model_fields}
            require_equal_rows(db, REPORT_ROWS.path, csv_sql(stated), csv_sql(expected), columns)
    records = analysis.records_out
    return (
        Proof(artifact=REPORT_ROWS.path, recomputed=f"{records:,} records, in their order", records=records),
        Proof(artifact=REPORT.path, recomputed="every value, from output1.json"),
    )
