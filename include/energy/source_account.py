"""The account of a conversion: where the records came from, what was assumed of the files and done to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC

import duckdb

from include.core.outcome import Finding
from include.energy.db import count
from include.energy.inspection.plan import STAMPS_MARK
from include.energy.intervals import Piece
from include.energy.params import GeneratorParams
from include.energy.presets import preset_of
from include.energy.readers.base import MeterData
from include.energy.records import common_name
from include.energy.register_rows import Joined
from include.energy.registers import Advances, register_findings
from include.energy.schemas import MEASURED, EnergySource, SourceFile, Span, Understood, Unit
from include.energy.stamps import Marks, zone_findings


def account_of(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[MeterData],
    names: Sequence[str],
    params: GeneratorParams,
    intervals: Mapping[str, Sequence[Piece]],
    marks: Marks,
) -> EnergySource:
    """Return where the records came from.

    Args:
        connection: Holds the view `final`, and what `locate()` created.
        sources: The files.
        names: Theirs.
        params: What is stated of them.
        intervals: By household.
        marks: What stamps mark.

    Raises:
        BadInputError: As `zone_findings()`.
    """
    connection.execute(f"CREATE TABLE held AS {_HELD}")
    rows = connection.execute(_COUNTS).fetchall()
    files = [
        SourceFile(
            name=name,
            records=records,
            households=households,
            first=first and first.replace(tzinfo=UTC),
            last=last and last.replace(tzinfo=UTC),
            delimiter=source.delimiter,
            columns=list(source.columns),
            empty=empty,
            stamp="end" if number in marks.ends else "start",
            understood=[Understood(**asdict(statement)) for statement in source.statements],
        )
        for number, (name, source, (records, households, first, last, *_, empty)) in enumerate(
            zip(names, sources, rows, strict=True)
        )
    ]
    ambiguous, non_existent, malformed = (sum(row[position] for row in rows) for position in (4, 5, 6))
    constant = {household: pieces[0].seconds for household, pieces in intervals.items() if len(pieces) == 1}
    same = len(constant) == len(intervals) and len(set(constant.values())) == 1
    account = EnergySource(
        source="files",
        records_written=sum(file.records for file in files),
        start=params.start,
        end=params.end,
        households=count(connection, "SELECT count(DISTINCT household_id) FROM held WHERE records > 0"),
        files=files,
        unit=sources[0].unit,
        measured=tuple(column for column in MEASURED if all(column in source.measured for source in sources)),
        timezone=params.timezone,
        stamp="end" if marks.ends else "start",
        interval_seconds=next(iter(constant.values())) if same else None,
        intervals_by_household={} if same else constant,
        ambiguous_times=ambiguous,
        ambiguous_pairs=count(connection, "SELECT count(*) FROM later_of_two WHERE position = 2"),
        non_existent_times=non_existent,
        malformed_records=malformed,
        resampled=params.resample,
        spans=_spans(connection) if any(file.empty for file in files) else {},
    )
    account.findings = zone_findings(connection, params, account, marks)
    return account


def _spans(connection: duckdb.DuckDBPyConnection) -> dict[str, Span]:
    """Return the stretch that each household's stamps cover, where it is longer than that of its records."""
    query = """
        SELECT household_id, min(earliest), max(latest) FROM held WHERE household_id IS NOT NULL
        GROUP BY household_id HAVING sum(timed_empty) > 0 AND sum(timed) > 0 ORDER BY household_id
    """
    return {
        household: Span(first=first.replace(tzinfo=UTC), last=last.replace(tzinfo=UTC))
        for household, first, last in connection.execute(query).fetchall()
    }


_HELD = """
SELECT file, household_id, count(*) FILTER (NOT empty) AS records, count(*) FILTER (empty) AS empty,
    min(utc) FILTER (NOT empty) AS first, max(utc) FILTER (NOT empty) AS last, min(utc) AS earliest, max(utc) AS latest,
    count(utc) FILTER (NOT empty) AS timed, count(utc) FILTER (empty) AS timed_empty,
    count(*) FILTER (kind = 'ambiguous') AS ambiguous, count(*) FILTER (kind = 'non_existent') AS non_existent,
    count(*) FILTER (malformed) AS malformed
FROM final GROUP BY file, household_id
"""
_COUNTS = """
SELECT coalesce(sum(records), 0)::BIGINT, count(DISTINCT household_id) FILTER (records > 0), min(first), max(last),
    coalesce(sum(ambiguous), 0)::BIGINT, coalesce(sum(non_existent), 0)::BIGINT, coalesce(sum(malformed), 0)::BIGINT,
    coalesce(sum(empty), 0)::BIGINT
FROM held RIGHT JOIN (SELECT DISTINCT file FROM records) USING (file) GROUP BY file ORDER BY file
"""


def assumptions_of(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[MeterData],
    names: Sequence[str],
    params: GeneratorParams,
    marks: Marks,
    advances: Advances,
) -> Iterator[Finding]:
    """Yield what was assumed of the files, and what was done to their readings."""
    if params.format:
        preset = preset_of(params.format)
        confirmed = f"described at {preset.sources[0]}" if preset.is_tried else "untried, used as the user insists"
        yield Finding(severity="info", message=f"Read as the format {preset.name}: {preset.title}; {confirmed}.")
    assumed: dict[str, list[str]] = {}
    for number, (name, source) in enumerate(zip(names, sources, strict=True)):
        for statement in source.statements:
            moved = statement.topic == STAMPS_MARK and number in marks.ends
            value = "the end of the interval, for days on which clocks change have no other explanation"
            if statement.assumed:
                assumed.setdefault(f"{statement.topic}: {value if moved else statement.value}", []).append(name)
            elif statement.topic == "not selected":
                message = f"{name}: {statement.value} was not read: {statement.evidence}."
                yield Finding(severity="info", message=message)
        for label, readings in source.not_selected.items():
            yield Finding(severity="info", message=f"{name}: {label}: {readings:,} readings were not read.")
        yield from source.findings
        if params.columns and not source.delimiter:
            yield Finding(severity="info", message=f"{name}: the format states what it holds; columns were not used.")
    for statement_text, files in assumed.items():
        yield Finding(severity="info", message=f"Assumed of {common_name(files)}: {statement_text}.")
    if marks.ends and marks.after_zone and connection.execute("SELECT 1 FROM pieces WHERE kind <> 'normal'").fetchone():
        message = (
            "Stamps of interval ends show the clock of the end: on days on which clocks change, the interval was taken "
            "off after the stamp was put into UTC, which leaves fewer gaps and duplicates."
        )
        yield Finding(severity="info", message=message)
    yield from register_findings(advances, params)


def unit_findings(names: Sequence[str], own_units: Sequence[Unit], unit: Unit) -> Iterator[Finding]:
    """Yield which files are in which unit, where they differ."""
    if len(set(own_units)) > 1:
        listed = "; ".join(
            f"{own}: {common_name([n for n, of_file in zip(names, own_units, strict=True) if of_file == own])}"
            for own in sorted(set(own_units))
        )
        yield Finding(
            severity="info", message=f"The files are in different units ({listed}); all were put into {unit}."
        )


def joined_findings(joined: Joined, names: Sequence[str]) -> Iterator[Finding]:
    """Yield what was made of registers in rows."""
    for number, rows in joined.rows.items() if any(joined.rows.values()) else ():
        message = f"{names[number]}: {rows:,} lines of further registers were joined to the reading of their time."
        yield Finding(severity="info", message=message)
    for number, left_out in joined.left_out.items():
        for label, lines in left_out.items():
            yield Finding(severity="info", message=f"{names[number]}: {label}: {lines:,} readings were not read.")
    yield from joined.findings
