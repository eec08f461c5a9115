"""The table `records`: all readings of all input files, in their order, in one unit, their stamps as TIMESTAMPs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice

import duckdb

from include.core.errors import BadInputError
from include.core.progress import Progress
from include.energy.db import count
from include.energy.params import GeneratorParams
from include.energy.readers.base import Clock, MeterData, Reading, Sample
from include.energy.schemas import FLOWS, MEASURED, Unit
from include.energy.stamps import CLOCK_SQL, ZONED_SQL, plausible, put_elapsed_into_utc, read_marked


def common_name(names: Sequence[str]) -> str:
    """Return what messages call several files.

    >>> common_name(["a.csv", "b.csv"]), common_name(["a", "b", "c", "d"])
    ('a.csv, b.csv', '4 files')
    """
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} files"


def common_unit(sources: Sequence[MeterData], names: Sequence[str]) -> Unit:
    """Return the unit that the values of all files are put into: theirs, or where they differ kWh or kW.

    Raises:
        BadInputError: Some hold energy, and others power.
    """
    first = sources[0].unit
    for source, name in zip(sources, names, strict=True):
        if source.unit.endswith("Wh") != first.endswith("Wh"):
            raise BadInputError(
                f"{name}: holds {source.unit}, {names[0]} holds {first}; run files of energy and of power apart: one "
                f"run with --files {names[0].partition('/')[0]}, one with --files {name.partition('/')[0]}"
            )
    if all(source.unit == first for source in sources):
        return first
    return "kWh" if first.endswith("Wh") else "kW"


_PREFIXES = {"W": 0, "kW": 3, "MW": 6}  # powers of ten


def _scaled_sql(column: str, unit: Unit, common: Unit) -> str:
    """Return SQL of a value in the common unit of the files, to the last digit; what is no number stays as it is."""
    power = _PREFIXES[unit.removesuffix("h")] - _PREFIXES[common.removesuffix("h")]
    if not power:
        return column
    factor = str(10**power) if power > 0 else f"0.{'0' * (-power - 1)}1"
    scaled = rf"regexp_replace(CAST(try_cast({column} AS DECIMAL(24, 9)) * {factor} AS VARCHAR), '\.?0+$', '')"
    return f"coalesce({scaled}, {column}) AS {column}"


_OPTIONAL = (*FLOWS, "register", "field")
_CONSTANT = {**dict.fromkeys((*MEASURED, "quality"), "VARCHAR AS (NULL::VARCHAR)"), "estimated": "BOOLEAN AS (false)"}


def store_records(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], params: GeneratorParams, unit: Unit
) -> dict[int, str]:
    """Create the table `records`: all readings of all files, in their order, with `clock`, the stamp as a TIMESTAMP.

    `clock` is UTC where `zoned`, else wall-clock time. `empty` readings hold nothing, and are no records. `export`,
    `generation`, `register` and `field` are there where a file states them. Another column that no file states is a
    constant, which costs nothing to store; so is the number of a lone file.

    Returns:
        By file, how stamps say which occurrence of a repeated hour they mean, where they do.
    """
    stated = [_stated(source) for source in sources]
    some = frozenset[str]().union(*stated)
    marked, more = {}, [column for column in _OPTIONAL if column in some]
    texts = [name for name in Reading._fields if name not in _OPTIONAL]
    types = {
        "file": "INTEGER" if len(sources) > 1 else "INTEGER AS (0)",
        **dict.fromkeys((*texts, *more), "VARCHAR"),
        **{"line": "BIGINT", "malformed": "BOOLEAN", "estimated": "BOOLEAN"},
        **{name: constant for name, constant in _CONSTANT.items() if name not in some},
        "empty": "BOOLEAN" if "empty" in some else "BOOLEAN AS (false)",
        **{"zoned": "BOOLEAN", "clock": "TIMESTAMP"},
    }
    connection.execute(f"CREATE TABLE records ({', '.join(f'{name} {kind}' for name, kind in types.items())})")
    stored = [name for name, kind in types.items() if " AS " not in kind]
    progress, counted = Progress(f"reading {len(sources)} file{'s' * (len(sources) != 1)}", "records"), 0
    for number, source in enumerate(sources):
        clock = source.clock or Clock(None)
        nothing = " AND ".join(f"{value} IS NULL" for value in ("power", *source.flows))
        values = {
            **{name: _scaled_sql(name, source.unit, unit) for name in ("power", *source.flows)},
            **{name: f"NULL::VARCHAR AS {name}" for name in more if name not in stated[number]},
            "file": f"{number} AS file",
            "empty": f"{f'{nothing} AND NOT malformed' if source.drops_empty else 'false'} AS empty",
            "clock": f"{plausible('clock')} AS clock",
        }
        for readings in source.batches:
            clocked = readings
            if not source.clocked:
                zoned = readings.project(f"*, {clock.zoned or ZONED_SQL} AS zoned")
                clocked = zoned.project(f"*, {clock.time or CLOCK_SQL} AS clock")
            clocked.project(", ".join(values.get(name, name) for name in stored)).insert_into("records")
            before, counted = counted, count(connection, "SELECT count(*) FROM records")
            progress.add(counted - before)
        if clock.day and params.timezone:
            put_elapsed_into_utc(connection, number, clock.day, params.timezone)
        if marks := read_marked(connection, number, clock.time or CLOCK_SQL, params.timezone):
            marked[number] = marks
    return marked


def _stated(source: MeterData) -> frozenset[str]:
    """Return which columns of `records` a file states, of those that not every file does."""
    optional = {"register": source.roles is not None, "field": source.unfolded, "empty": source.drops_empty}
    optional |= dict.fromkeys(("quality", "estimated"), source.states_quality)
    return frozenset({*source.flows, *source.measured, *(name for name, is_stated in optional.items() if is_stated)})


def flows_of(sources: Sequence[MeterData]) -> tuple[str, ...]:
    """Return which of export and generation the files state."""
    return tuple(flow for flow in FLOWS if any(flow in source.flows for source in sources))


def files_with(sources: Sequence[MeterData], attribute: str) -> frozenset[int]:
    """Return the numbers of the files of which an attribute is true."""
    return frozenset(number for number, source in enumerate(sources) if getattr(source, attribute))


def require_stamps(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], names: Sequence[str], params: GeneratorParams
) -> None:
    """Refuse files without a value or any stamp that can be read, and stamps without a zone where none is given."""
    for number, (name, source) in enumerate(zip(names, sources, strict=True)):
        if count(connection, f"SELECT count(*) FROM records WHERE file = {number} AND NOT malformed") == 0:
            raise BadInputError(f"{name}: {source.all_malformed}")
        if count(connection, f"SELECT count(clock) FROM records WHERE file = {number}") == 0:
            first = connection.execute(
                "SELECT line, stamp FROM records WHERE file = ? AND stamp IS NOT NULL ORDER BY line LIMIT 1", [number]
            ).fetchone()
            example = f"; the first is {first[1]!r} (line {first[0]})" if first else ""
            raise BadInputError(
                f"{name}: none of its stamps can be read{example}; write them year first, for example "
                "2026-03-29T14:30:00+02:00 or 2026-03-29 14:30 (29.03.2026 14:30 is read too)"
            )
    if not connection.execute("SELECT 1 FROM records WHERE NOT empty LIMIT 1").fetchone():
        raise BadInputError(f"{common_name(names)}: no record holds a value")
    bare = connection.execute(
        "SELECT file, line, stamp FROM records WHERE clock IS NOT NULL AND NOT zoned ORDER BY file, line LIMIT 1"
    ).fetchone()
    if bare and params.timezone is None:
        raise BadInputError(
            f"{names[bare[0]]}: line {bare[1]}: the stamp {bare[2]!r} names no zone; say which one is meant: "
            "--timezone Europe/Berlin for local clocks, or a fixed offset such as --timezone +10:00 for clocks that "
            "never change"
        )


def require_one_header(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], samples: Sequence[Sample]
) -> None:
    """Refuse a file in which another header stands between records: after it, columns mean something else."""
    for number, (source, sample) in enumerate(zip(sources, samples, strict=True)):
        header = [name.strip() for name in source.columns if name.strip()]
        lines = connection.execute(
            "SELECT line FROM records WHERE file = ? AND clock IS NULL AND list_contains(?::VARCHAR[], trim(stamp)) "
            "ORDER BY line LIMIT 100",
            [number, header],
        ).fetchall()
        for (line,) in lines:
            text = next(islice(sample.lines(), line - 1, None), b"").decode("utf-8", "replace").strip()
            fields = next(csv.reader([text], delimiter=source.delimiter or ","), [])
            names = [field.strip() for field in fields if field.strip()]
            if names and names != header:
                raise BadInputError(
                    f"{sample.name}: line {line} is another header, {text[:80]!r}, after which columns may mean "
                    "something else; split the file there, and give both parts"
                )
