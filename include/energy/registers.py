"""Cumulative registers: from readings of a register to the energy between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.core.tables import literal, number_sql
from include.energy.db import count
from include.energy.params import GeneratorParams, seconds_of
from include.energy.schemas import Unit

GAP, RESET = "register_gap", "register_reset"
TIMES_USUAL = 10
"""An advance over a roll-over is plausible up to so many times the register's highest other mean power."""
NOTHING_READ = ("unavailable", "unknown", "none", "null", "nan", "n/a", "-")
"""How exports write that a register was not read."""
_KWH: dict[Unit, float] = {"Wh": 0.001, "kWh": 1, "MWh": 1000}


@dataclass(frozen=True)
class Registers:
    """The registers of a run.

    Args:
        files: Numbers of the files that hold their readings.
        summed: How many registers were added up to one reading, at most.
        unit: Of the readings.
        flows: Columns of registers of export and generation, read at the same times.
    """

    files: frozenset[int]
    summed: int
    unit: Unit
    flows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Advances:
    """What was made of the readings of registers.

    Args:
        readings: How many there are.
        left_out: Readings that begin no interval, being the last of their register.
        rolled_over: Advances over the register's highest number.
        resets: Other readings that are lower than the one before, with the first one's household, time and values.
        holes: Stretches between two readings that were too long to interpolate, and the energy in them, kWh.
        unread: Readings that say that nothing was read.
    """

    readings: int = 0
    left_out: int = 0
    rolled_over: int = 0
    resets: int = 0
    first_reset: tuple[str, datetime, float, float] | None = None
    holes: int = 0
    energy_in_holes: float = 0.0
    unread: int = 0


def take_differences(
    connection: duckdb.DuckDBPyConnection,
    registers: Registers,
    params: GeneratorParams,
    where: str,
    *,
    described: bool = False,
) -> Advances:
    """Replace the readings of registers by the energy until the next reading.

    Creates the table `readings` from the view `timed`, or the table `metered`, with its columns and `fault`. The energy
    between two readings belongs to the interval that begins with the first. Where more than one interval lies between
    them, it is not known when the energy was used (`register_gap`). The last reading of a register begins no interval,
    and is left out.

    A second reading that is lower is a roll-over where the number of digits is stated (`register_digits`), and the
    advance over the highest number is one that the connection can carry (`limit_kw`), or else at most ten times the
    register's highest other mean power. Any other is a `register_reset`: it is not known how much the energy was.

    With `resample`, the register is interpolated linearly at the times of a grid instead, and the differences between
    these are the energy of its intervals. An interval has none where it lies, even in part, between two readings that
    are further apart than `resample_limit_hours` and differ, or of which the second is lower.

    The registers of a connection point's devices are taken one by one: there is no difference across a change.

    Args:
        connection: Holds the view `timed`.
        registers: Which files hold readings of registers.
        params: What is stated of the registers.
        where: What errors call the files.
        described: It holds `metered` too (see `include.energy.meters`), which counts then.

    Returns:
        What was made of the readings.

    Raises:
        BadInputError: A household has two different readings at one time, or a reading with more digits than stated.
    """
    value = f"({number_sql('power')})"
    readings, series = ("metered", "household_id, device") if described else ("timed", "household_id")
    is_register = f"file IN ({', '.join(map(str, sorted(registers.files)))})" + " AND installed" * described
    usable = f"coalesce({is_register} AND utc IS NOT NULL AND isfinite({value}) AND NOT malformed, false)"
    rollover = "NULL::DOUBLE" if params.register_digits is None else f"1e{params.register_digits}"
    limit = "NULL::DOUBLE" if params.limit_kw is None else f"{params.limit_kw}"
    if described:
        rollover, limit = f"coalesce(rollover, {rollover})", f"coalesce(own_limit_kw, {limit})"
    connection.execute(f"""
        CREATE TABLE usable AS
        SELECT *, {value} AS reading, {rollover} AS begins_again, {limit} / 3600 / {_KWH[registers.unit]} AS most
        FROM {readings} WHERE {usable}
    """)
    if registers.flows and params.resample:
        raise BadInputError(
            f"{where}: registers of {' and '.join(registers.flows)} are not resampled; run them one by one, each "
            "mapped as register_kwh"
        )
    _require_one_reading(connection, series, registers.flows, where)
    _require_digits(connection, registers, where)
    flows = ", ".join(f"CAST(round({_advance_sql(flow)}, 9) AS VARCHAR) AS {flow}" for flow in registers.flows)
    connection.execute(f"""
        CREATE TABLE advances AS
        WITH registers AS (
            SELECT * FROM usable QUALIFY row_number() OVER (PARTITION BY {series}, utc ORDER BY id) = 1
        ), steps AS (
            SELECT *, lead(utc) OVER following AS until, lead(reading) OVER following - reading AS raw,
                epoch(lead(utc) OVER following - utc) AS step
            FROM registers WINDOW following AS (PARTITION BY {series} ORDER BY utc)
        ), usual AS (
            SELECT *, {TIMES_USUAL} * max(CASE WHEN raw >= 0 THEN raw / step END) OVER (PARTITION BY {series}) AS usual
            FROM steps
        ), judged AS (
            SELECT *, coalesce(raw < 0 AND (raw + begins_again) / step <= coalesce(most, usual), false) AS rolled
            FROM usual
        )
        SELECT * {f"REPLACE ({flows})" if flows else ""},
            round(CASE WHEN rolled THEN raw + begins_again ELSE raw END, 9) AS advance,
            lead(utc) OVER (PARTITION BY household_id ORDER BY utc, raw IS NOT NULL) AS next_utc
        FROM judged WINDOW following AS (PARTITION BY {series} ORDER BY utc)
    """)
    own = "reading, begins_again, most, until, raw, step, usual, rolled, advance, next_utc"
    unread = f"lower(power) IN ({', '.join(map(literal, NOTHING_READ))})"
    others = f"SELECT *, NULL AS fault FROM {readings} WHERE NOT {usable}"
    if params.resample:
        connection.execute(f"""
            CREATE TABLE readings AS {_grid_sql(seconds_of(params.resample), params.resample_limit_hours, own)}
            UNION ALL BY NAME SELECT * REPLACE ({_unread_sql(f"{is_register} AND {unread}", params)}) FROM ({others})
        """)
    else:
        connection.execute(f"""
            CREATE TABLE readings AS
            SELECT * EXCLUDE ({own}) REPLACE (CAST(advance AS VARCHAR) AS power),
                CASE WHEN advance < 0 THEN '{RESET}' WHEN step <> seconds THEN '{GAP}' END AS fault
            FROM advances WHERE advance IS NOT NULL
            UNION ALL BY NAME {others}
        """)
    nothing = f"SELECT count(*) FROM {readings} WHERE {is_register} AND {unread}"
    return _count(connection, registers, params, nothing)


def _advance_sql(flow: str) -> str:
    """Return SQL of the advance of a register beside the one of `judged`, also over its last number."""
    reading = f"({number_sql(flow)})"
    raw = f"lead({reading}) OVER following - {reading}"
    plausible = f"({raw} + begins_again) / step <= coalesce(most, usual)"
    return f"{raw} + CASE WHEN {raw} < 0 AND {plausible} THEN begins_again ELSE 0 END"


def _unread_sql(unread: str, params: GeneratorParams) -> str:
    """Return SQL of the columns of readings that say that nothing was read: they are empty, and lie on the grid."""
    bucket = _bucket_sql(seconds_of(params.resample or "1h"), "utc")
    return f"empty OR coalesce({unread}, false) AS empty, CASE WHEN {unread} THEN {bucket} ELSE utc END AS utc"


def _bucket_sql(seconds: int, utc: str) -> str:
    """Return SQL of the last moment of a grid that is not after a time."""
    return f"time_bucket(INTERVAL {seconds} SECONDS, {utc}, TIMESTAMP '1970-01-01')"


def _require_one_reading(connection: duckdb.DuckDBPyConnection, series: str, flows: Sequence[str], where: str) -> None:
    others = "".join(f" OR count(DISTINCT {flow}) > 1" for flow in flows)
    conflict = connection.execute(f"""
        SELECT household_id, utc, min(reading), max(reading) FROM usable
        GROUP BY {series}, utc HAVING max(reading) <> min(reading){others} LIMIT 1
    """).fetchone()
    if conflict:
        household, time, low, high = conflict
        raise BadInputError(
            f"{where}: household {household}: its register reads {low:g} and {high:g} at {time} UTC; keep one "
            "reading of each time, or choose rows with --where"
        )


def _require_digits(connection: duckdb.DuckDBPyConnection, registers: Registers, where: str) -> None:
    longest = connection.execute(
        "SELECT household_id, utc, reading, begins_again FROM usable "
        f"WHERE reading >= {registers.summed} * begins_again ORDER BY id LIMIT 1"
    ).fetchone()
    if longest:
        household, time, reading, begins_again = longest
        raise BadInputError(
            f"{where}: household {household}: its register reads {reading:.10g} at {time} UTC, and with the stated "
            f"number of digits it ends before {begins_again:.10g}; correct --register-digits, or register_digits of "
            "--meters"
        )


def _grid_sql(seconds: int, limit_hours: float, own: str) -> str:
    """Return SQL of the energy of the intervals of a grid, from `advances`.

    A moment of the grid lies in the segment that begins with the last reading before it. Segments whose energy cannot
    be spread over time are counted: an interval has energy where as many ended before its start as began before its
    end.
    """
    known = f"coalesce(advance >= 0 AND (advance = 0 OR step <= {limit_hours * 3600}), next_utc IS NULL)"
    return f"""
        SELECT * EXCLUDE ({own}, moment, total, begun, ended, following, next_total, next_begun)
            REPLACE (moment AS utc, CAST(round(next_total - total, 9) AS VARCHAR) AS power, {seconds} AS seconds),
            NULL AS fault
        FROM (
            SELECT *, lead(moment) OVER later AS following, lead(total) OVER later AS next_total,
                lead(begun) OVER later AS next_begun
            FROM (
                SELECT segments.* EXCLUDE (known, before, lost), moment, lost AS ended,
                    lost + (NOT known AND moment > utc)::INTEGER AS begun,
                    before + CASE WHEN known AND moment > utc
                        THEN advance * (epoch(moment - utc) / step) ELSE 0 END AS total
                FROM (
                    SELECT household_id, unnest(generate_series(
                        {_bucket_sql(seconds, f"min(utc) + INTERVAL {seconds * 1_000_000 - 1} MICROSECONDS")},
                        max(utc), INTERVAL {seconds} SECONDS)) AS moment
                    FROM advances GROUP BY household_id
                ) AS grid ASOF JOIN (
                    SELECT *, {known} AS known,
                        coalesce(sum(CASE WHEN {known} THEN advance ELSE 0 END) OVER earlier, 0) AS before,
                        coalesce(sum((NOT {known})::INTEGER) OVER earlier, 0) AS lost
                    FROM advances WHERE next_utc IS DISTINCT FROM utc
                    WINDOW earlier AS (PARTITION BY household_id ORDER BY utc
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                ) AS segments ON grid.household_id = segments.household_id AND grid.moment >= segments.utc
            )
            WINDOW later AS (PARTITION BY household_id ORDER BY moment)
        ) WHERE following IS NOT NULL AND next_begun = ended
    """


def _count(
    connection: duckdb.DuckDBPyConnection, registers: Registers, params: GeneratorParams, unread: str
) -> Advances:
    long = f"advance > 0 AND step > {params.resample_limit_hours * 3600}"
    columns = "readings", "left_out", "rolled_over", "resets", "first_reset", "holes", "energy_in_holes"
    query = f"""
        SELECT count(*), count(*) FILTER (advance IS NULL), count(*) FILTER (rolled), count(*) FILTER (advance < 0),
            min_by((household_id, until, reading, reading + raw), id) FILTER (advance < 0),
            count(*) FILTER ({long}), coalesce(sum(advance) FILTER ({long}), 0) * {_KWH[registers.unit]}
        FROM advances
    """
    counts = dict(zip(columns, connection.execute(query).fetchall()[0], strict=True))
    if not params.resample:
        return Advances(**counts | {"holes": 0, "energy_in_holes": 0.0})
    return Advances(**counts | {"left_out": 0, "unread": count(connection, unread)})


def register_findings(advances: Advances, params: GeneratorParams) -> Iterator[Finding]:
    """Yield what was done to the readings of registers."""
    if params.resample:
        message = (
            f"{advances.readings:,} readings of registers were resampled: interpolated linearly to times "
            f"{params.resample} apart. The energy is that of the registers; when it was used between two readings is "
            "estimated."
        )
        yield Finding(severity="info", message=message)
    if advances.holes:
        message = (
            f"{advances.holes:,} times, readings that differ are more than {params.resample_limit_hours:g} h apart: "
            f"the {advances.energy_in_holes:,.3f} kWh between them belong to no interval "
            "(--set resample_limit_hours=… changes that)."
        )
        yield Finding(severity="warning", message=message)
    if advances.unread:
        message = f"Readings that say that nothing was read, such as unavailable, were left out: {advances.unread:,}."
        yield Finding(severity="info", message=message)
    if advances.rolled_over:
        message = (
            f"Roll-overs of registers, which begin again at zero after their last number: {advances.rolled_over:,}."
        )
        yield Finding(severity="info", message=message)
    if advances.first_reset:
        household, time, before, after = advances.first_reset
        remedy = (
            "a register that rolled over needs its number of digits: --register-digits 5; a meter that was replaced "
            "needs its dates: --meters FILE"
            if params.register_digits is None and not params.meters
            else "a roll-over of the stated digits would be more than is plausible"
        )
        message = (
            f"Registers fell {advances.resets:,} times (the first: {household}, from {before:.10g} to {after:.10g} at "
            f"{time:%Y-%m-%d %H:%M} UTC), and the energy until then is not known; {remedy}."
        )
        yield Finding(severity="warning", message=message)
    if advances.left_out:
        message = f"Register readings that begin no interval, being the last of their meter: {advances.left_out:,}."
        yield Finding(severity="info", message=message)
