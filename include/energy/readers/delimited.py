"""Delimited text: one line a reading, with a header that names the columns.

The columns are those of `energy_data.csv`, or those that `--columns` names. In files with `;` as delimiter, a number
may have a decimal comma. It is the fallback for text: a reader that recognises a format of its own is surer.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from include.core.errors import BadInputError
from include.core.tables import literal
from include.energy.lines import EMPTY, LineFile, inspect, not_text, split_header
from include.energy.params import OWN_COLUMNS, ColumnMapping, GeneratorParams, parse_columns
from include.energy.readers.base import SURE, Confidence, MeterData, Sample

if TYPE_CHECKING:
    import duckdb


class DelimitedReader:
    """Reads delimited text, plain or gzip."""

    name = "delimited text"

    def sniff(self, sample: Sample, params: GeneratorParams) -> Confidence:
        """Accept any text with a line that is not blank, for its read() names what is wrong with the rest."""
        if reason := not_text(sample.head, sample.name):
            return Confidence(0, reason)
        if not split_header(sample.head)[1]:
            return Confidence(0, EMPTY)
        return Confidence(SURE, "is text with a first line that may be a header")

    def read(self, sample: Sample, params: GeneratorParams, db: duckdb.DuckDBPyConnection) -> MeterData:
        """Take the lines apart, in one relation that DuckDB streams.

        Raises:
            BadInputError: The file is not readable text (see `lines.inspect`), or lacks a column.
        """
        mapping = parse_columns(params.columns) if params.columns else OWN_COLUMNS
        file = inspect(sample.path, sample.name)
        _require_columns(file, mapping, own=params.columns is None)
        return MeterData(
            batches=[db.sql(_readings_sql(file, mapping))],
            unit=mapping.unit,
            measured=mapping.measured,
            columns=file.columns,
            delimiter=file.delimiter,
            all_malformed=(
                f"none of its records has as many fields as its header, which names {len(file.columns)}; is there a "
                "delimiter too many at the ends of its lines?"
            ),
        )


def _require_columns(file: LineFile, mapping: ColumnMapping, *, own: bool) -> None:
    missing = [name for name in mapping.names if name not in file.columns]
    if missing:
        close = {name: difflib.get_close_matches(name, file.columns, 1, 0.6) for name in missing}
        meant = [f"{match[0]!r} instead of {name!r}" for name, match in close.items() if match]
        raise BadInputError(
            f"{file.name}: has no column {' and no column '.join(map(repr, missing))}; "
            f"its columns are {', '.join(map(repr, file.columns))}"
            + (f"; did you mean {' and '.join(meant)}?" if meant else "")
            + ("; name yours with --columns timestamp=…,household_id=…|@NAME,power_kw=…|energy_kwh=…" if own else "")
        )


def _readings_sql(file: LineFile, mapping: ColumnMapping) -> str:
    """Return SQL of the file's readings, with the columns of `Reading`.

    Raises:
        BadInputError: The header names a column twice.
    """
    values = {
        "household_id": (
            file.field_sql(mapping.household_id) if mapping.household_id else literal(mapping.household or "")
        ),
        "stamp": file.field_sql(mapping.timestamp),
        "power": _number_sql(file, mapping.power),
        "voltage": _number_sql(file, mapping.voltage),
        "current": _number_sql(file, mapping.current),
    }
    texts = ", ".join(f"CASE WHEN NOT malformed THEN {value} END AS {name}" for name, value in values.items())
    return f"SELECT line_number AS line, {texts}, malformed FROM ({file.records_sql()})"


def _number_sql(file: LineFile, column: str | None) -> str:
    if column is None:
        return "NULL"
    field = file.field_sql(column)
    if file.delimiter != ";":
        return field
    return f"CASE WHEN regexp_full_match({field}, '[+-]?\\d*,\\d+') THEN replace({field}, ',', '.') ELSE {field} END"


READER = DelimitedReader()
