"""Stamps of input files: read as text, moved to the start of their interval, put into UTC.

Nearly all of it is SQL over the table `records` that `include.energy.records` fills: `file`, `line`,
`household_id`, `stamp` (text), `zoned` (the stamp names its zone) and `clock` (the stamp as a TIMESTAMP: UTC where
zoned, else wall-clock time).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import groupby
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd

from include.core.contracts import FIRST_YEAR, LAST_YEAR
from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.core.tables import literal
from include.core.windows import parse_zone
from include.energy.db import count
from include.energy.intervals import Piece as Interval
from include.energy.params import GeneratorParams
from include.energy.schemas import EnergySource

_EVER = datetime(1, 1, 1)  # noqa: DTZ001 -- a wall clock
Kind = Literal["normal", "ambiguous", "non_existent"]

_TIME = r"[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
_WALL = rf"\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}(?:{_TIME})?"
_ZONED = rf"\d{{4}}-\d{{1,2}}-\d{{1,2}}{_TIME} ?(?:[Zz]|UTC|GMT|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)"
_DOTTED = r"\d{1,2}\.\d{1,2}\.\d{4}(?: .*)?"
_DOTTED_FORMATS = [f"%d.%m.%Y{time}" for time in ("", " %H:%M", " %H:%M:%S")]

ZONED_SQL = f"coalesce(regexp_full_match(stamp, {literal(_ZONED)}), false)"
CLOCK_SQL = f"""CASE
    WHEN zoned THEN timezone('UTC', TRY_CAST(
        regexp_replace(regexp_replace(stamp, ' ?(z|UTC|GMT)$', 'Z'), ' ([+-])', '\\1') AS TIMESTAMPTZ))
    WHEN regexp_full_match(stamp, {literal(_WALL)}) THEN TRY_CAST(stamp AS TIMESTAMP)
    WHEN regexp_full_match(stamp, {literal(_DOTTED)}) THEN try_strptime(stamp, {_DOTTED_FORMATS})
END"""


_NAMED = r" ?\(?(CES?T|MES?Z)\)?$"
_OCCURRENCE = r"\d([AB]):|\d ?([AB])$"
_MARKED = f"{_NAMED}|{_OCCURRENCE}"


class Piece(NamedTuple):
    """A stretch of one local day, [from, until), in which the zone's offset follows one rule.

    Offsets are seconds east of UTC. Ambiguous times have two: that of their first and that of their second occurrence.
    """

    day: date
    from_time: datetime
    until_time: datetime
    kind: Kind
    first_offset: int
    second_offset: int


def pieces(zone: tzinfo, days: Iterable[date]) -> Iterator[Piece]:
    """Cut local days where a zone's offset changes; nearly all days are one piece.

    Args:
        zone: The zone whose wall clocks are meant.
        days: Local days.

    Yields:
        The pieces of each day, in order, that together cover it.
    """
    for day in days:
        start = datetime.combine(day, time())
        changes = _rule(zone, start) != _rule(zone, start + timedelta(days=1))
        step = timedelta(minutes=1) if changes else timedelta(days=1)
        moments = (start + number * step for number in range(timedelta(days=1) // step))
        for rule, group in groupby(moments, key=lambda moment: _rule(zone, moment)):
            stretch = list(group)
            yield Piece(day, stretch[0], stretch[-1] + step, *rule)


def _rule(zone: tzinfo, moment: datetime) -> tuple[Kind, int, int]:
    """PEP 495: the two folds of a time differ where it is ambiguous (later offset smaller) or skipped."""
    offsets = (moment.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    first, second = (round(offset.total_seconds()) for offset in offsets)
    return "normal" if first == second else "ambiguous" if first > second else "non_existent", first, second


def plausible(clock: str) -> str:
    """Return SQL of a TIMESTAMP, NULL where no meter can have written it."""
    return f"CASE WHEN {clock} >= '{FIRST_YEAR}-01-01' AND {clock} < '{LAST_YEAR + 1}-01-01' THEN {clock} END"


def iso(utc: str) -> str:
    """Return SQL of a TIMESTAMP (UTC) as text, with a fraction of a second only where there is one."""
    return (
        f"CASE WHEN epoch_us({utc}) % 1000000 = 0 THEN strftime({utc}, '%Y-%m-%dT%H:%M:%SZ') "
        f"ELSE strftime({utc}, '%Y-%m-%dT%H:%M:%S.%fZ') END"
    )


class Marks(NamedTuple):
    """Which files' stamps mark the ends of their intervals, and how an end becomes a start.

    Args:
        ends: Numbers of the files.
        after_zone: An end is put into UTC before the interval is taken off; else its start is.
    """

    ends: frozenset[int]
    after_zone: bool = False


def locate(
    connection: duckdb.DuckDBPyConnection,
    intervals: Mapping[str, Sequence[Interval]],
    params: GeneratorParams,
    ends: frozenset[int],
    assumed: frozenset[int],
) -> Marks:
    """Create the view `located`: `records` and `utc`, the start of the interval (NULL if unknown), and `kind`.

    `id` numbers the records in the order of the files. `kind` says how the zone's clocks show that time: normal,
    ambiguous, non_existent; NULL where the stamp names its zone. A table `later_of_two` holds the records that mean the
    second occurrence of an ambiguous time.

    Days on which clocks change decide what else is open: whether an end is moved back before or after it is put into
    UTC, and whether stamps of which nothing else is known are ends. The reading with the fewest faults is taken: times
    that do not exist, and times that a household has twice.

    Args:
        connection: Holds `records`.
        intervals: By household; `piece` is the number of a record's interval among them.
        params: `timezone` counts.
        ends: Numbers of the files whose stamps mark the ends of their intervals.
        assumed: Numbers of the files of which nothing shows what their stamps mark.

    Returns:
        What the stamps mark.
    """
    rows = [
        (household, piece.begin or _EVER, number, piece.seconds)
        for household, pieces in intervals.items()
        for number, piece in enumerate(pieces)
    ]
    connection.execute(
        "CREATE TABLE intervals AS SELECT unnest(?::VARCHAR[]) AS household_id, unnest(?::TIMESTAMP[]) AS begin, "
        "unnest(?::INTEGER[]) AS piece, unnest(?::BIGINT[]) AS seconds",
        [list(column) for column in zip(*rows, strict=True)],
    )
    connection.execute("ALTER TABLE records ADD COLUMN position TINYINT")
    connection.execute(f"CREATE VIEW intervalled AS {_intervalled_sql(connection, intervals)}")
    _store_pieces(connection, params)
    candidates = [Marks(ends), *([Marks(ends, after_zone=True)] if ends else [])]
    if assumed:
        candidates += [Marks(ends | assumed), Marks(ends | assumed, after_zone=True)]
    changes = count(connection, "SELECT count(*) FROM pieces WHERE kind <> 'normal'")
    connection.execute(f"CREATE TABLE directions AS {_DIRECTIONS if changes else f'{_DIRECTIONS} LIMIT 0'}")
    marks = candidates[0]
    if changes and len(candidates) > 1:
        connection.execute(f"CREATE TABLE changing AS SELECT * FROM intervalled WHERE {_NEAR_CHANGES}")
        faults = []
        for candidate in candidates:
            _create_located(connection, candidate, "changing", "id")
            faults.append(_count_faults(connection))
        marks = candidates[faults.index(min(faults))]
        connection.execute("DROP VIEW located")
        connection.execute("DROP TABLE changing")
    _create_located(connection, marks, "records", "rowid")
    return marks


def _intervalled_sql(connection: duckdb.DuckDBPyConnection, intervals: Mapping[str, Sequence[Interval]]) -> str:
    """Return SQL of `records` with `id`, and `piece` and `seconds`, the record's interval; without a join if all agree.

    Rows of one scanned table come in its order, and those of a join do not.
    """
    same = {tuple(pieces) for pieces in intervals.values()}
    without = "SELECT 1 FROM records ANTI JOIN intervals USING (household_id) WHERE household_id IS NOT NULL LIMIT 1"
    if len(same) == 1 and len(pieces := same.pop()) == 1 and not connection.execute(without).fetchone():
        known = "CASE WHEN household_id IS NOT NULL THEN {} END"
        interval = f"{known.format(0)} AS piece, {known.format(f'{pieces[0].seconds}::BIGINT')} AS seconds"
        return f"SELECT rowid AS id, *, {interval} FROM records"
    changing = any(len(pieces) > 1 for pieces in intervals.values())
    joined = (
        "ASOF LEFT JOIN intervals ON records.household_id = intervals.household_id "
        "AND coalesce(clock, TIMESTAMP '9999-01-01') >= begin"
        if changing
        else "LEFT JOIN intervals USING (household_id)"
    )
    return f"SELECT records.rowid AS id, records.*, piece, seconds FROM records {joined}"


_NEAR_CHANGES = """CAST(clock AS DATE) IN (
    SELECT unnest([day - 2, day - 1, day, day + 1, day + 2]) FROM pieces WHERE kind <> 'normal')"""


def _create_located(connection: duckdb.DuckDBPyConnection, marks: Marks, records: str, key: str) -> None:
    """Create `later_of_two` and `located` of a table, and note in its `position` which of two equal times is meant.

    Args:
        connection: As `locate()`.
        marks: What stamps mark.
        records: `records`, or a table of some rows of `intervalled`.
        key: The column of that table that is the `id`.
    """
    connection.execute("DROP VIEW IF EXISTS located")
    shown = _shown_sql(connection, marks, "intervalled" if records == "records" else records)
    connection.execute(f"CREATE OR REPLACE TABLE later_of_two AS {_LATER_OF_TWO.format(shown=shown)}")
    connection.execute(f"UPDATE {records} SET position = NULL WHERE position IS NOT NULL")
    connection.execute(
        f"UPDATE {records} SET position = late.position FROM later_of_two AS late WHERE {records}.{key} = late.id"
    )
    connection.execute(
        "CREATE VIEW located AS SELECT *, CASE WHEN zoned THEN start WHEN kind = 'non_existent' THEN NULL "
        "WHEN position IS NOT NULL THEN start - to_seconds(second_offset) ELSE start - to_seconds(first_offset) END "
        f"- to_seconds(back) AS utc FROM ({shown})"
    )


def _count_faults(connection: duckdb.DuckDBPyConnection) -> int:
    """Count the times of changing days that do not exist, and those that a household has twice."""
    return count(
        connection,
        """
        SELECT count(*) FILTER (kind = 'non_existent')
            + count(*) FILTER (utc IS NOT NULL) - count(DISTINCT (household_id, utc)) FILTER (utc IS NOT NULL)
        FROM located WHERE NOT zoned AND CAST(clock AS DATE) IN (
            SELECT unnest([day - 1, day, day + 1]) FROM pieces WHERE kind <> 'normal')
        """,
    )


def put_elapsed_into_utc(connection: duckdb.DuckDBPyConnection, file: int, midnight: str, timezone: str) -> None:
    """Put the times of a file that numbers the hours of each day into UTC.

    On days on which clocks change, the numbers run to 23 or 25: they count hours since midnight, not what clocks show.
    Where a day on which clocks skip an hour has its last number all the same, they are wall-clock times, and stay so.

    Args:
        connection: Holds `records`, with `clock` as midnight plus the hours that the number counts.
        file: Number of the file.
        midnight: SQL of the midnight of a record's day, on the wall clock.
        timezone: The file's zone.
    """
    zone = parse_zone(timezone)
    numbered = (
        f"(SELECT clock, {midnight} AS midnight FROM records WHERE file = {file} AND clock IS NOT NULL AND NOT empty)"
    )
    midnights = []
    for day, last in connection.execute(
        f"SELECT midnight, max(clock - midnight) FROM {numbered} GROUP BY 1"
    ).fetchall():
        utc, following = (
            (day + timedelta(days=more)).replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None) for more in (0, 1)
        )
        if last >= following - utc and following - utc < timedelta(days=1):
            return
        midnights.append((day, utc))
    connection.from_df(pd.DataFrame(midnights, columns=["day", "utc"])).create("midnights")
    connection.execute(
        f"UPDATE records SET zoned = true, clock = utc + (clock - day) FROM midnights "
        f"WHERE file = {file} AND clock IS NOT NULL AND day = {midnight}"
    )
    connection.execute("DROP TABLE midnights")


def read_marked(connection: duckdb.DuckDBPyConnection, file: int, wall: str, timezone: str | None) -> str | None:
    """Read the stamps of a file that say how the clock was set: `02:00 (CEST)`, or `02:00A` and `02:00B`.

    A and B are the first and the second occurrence of a time of the hour that is repeated at the end of daylight
    saving; on other days, A stands for the only one.
    In a file with such stamps, all times that clocks show once are put into UTC, too: they are the clock's own.

    Args:
        connection: Holds `records`, where such stamps have no `clock` yet.
        file: Number of the file.
        wall: SQL of `stamp`, without what marks it, as a wall-clock TIMESTAMP.
        timezone: The file's zone; without one, A and B stay unread.

    Returns:
        What the marks are, with the number of stamps that bear them; None where there are none.
    """
    unread = f"file = {file} AND clock IS NULL AND stamp IS NOT NULL"
    marks = connection.execute(
        f"SELECT regexp_matches(stamp, {literal(_NAMED)}) AS named, count(*) FROM records WHERE {unread} "
        f"AND regexp_matches(stamp, {literal(_MARKED)}) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if not marks:
        return None
    bare = rf"regexp_replace(regexp_replace(stamp, {literal(_NAMED)}, ''), '(\d)[AB]:|(\d) ?[AB]$', '\1\2:')"
    bare = f"regexp_replace({bare}, ':$', '')"
    mark = (
        "coalesce("
        + ", ".join(
            f"nullif(regexp_extract(stamp, {literal(pattern)}, {group}), '')"
            for pattern, group in ((_NAMED, 1), (_OCCURRENCE, 1), (_OCCURRENCE, 2))
        )
        + ", '')"
    )
    connection.execute(
        f"CREATE TEMP TABLE marked AS SELECT id, mark, {wall} AS wall FROM (SELECT rowid AS id, false AS zoned, "
        f"{mark} AS mark, {bare} AS stamp FROM records WHERE file = {file} AND stamp IS NOT NULL AND NOT zoned)"
    )
    offset = "CASE WHEN mark IN ('CEST', 'MESZ') THEN 2 ELSE 1 END"
    utc = f"CASE WHEN mark IN ('CET', 'CEST', 'MEZ', 'MESZ') THEN wall - to_hours({offset}) END"
    if timezone and isinstance(parse_zone(timezone), ZoneInfo):  # a fixed offset never repeats an hour
        zone, hour = literal(timezone), "INTERVAL 1 HOUR"
        once = f"timezone('UTC', timezone({zone}, wall))"

        def shows(moment: str) -> str:
            return f"timezone({zone}, timezone('UTC', {moment})) = wall"

        midnight, next_midnight = (
            f"timezone('UTC', timezone({zone}, date_trunc('day', wall) + INTERVAL {days} DAY))" for days in (0, 1)
        )
        repeats = f"{next_midnight} - {midnight} > INTERVAL 24 HOUR"  # an A there marks a time that is not repeated
        utc = (
            f"CASE WHEN mark NOT IN ('', 'A', 'B') THEN {utc} "
            f"WHEN NOT {shows(once)} THEN NULL "
            f"WHEN {shows(f'{once} - {hour}')} THEN CASE mark WHEN 'A' THEN {once} - {hour} WHEN 'B' THEN {once} END "
            f"WHEN {shows(f'{once} + {hour}')} THEN CASE mark WHEN 'A' THEN {once} WHEN 'B' THEN {once} + {hour} END "
            f"WHEN mark = '' OR (mark = 'A' AND NOT {repeats}) THEN {once} END"
        )
    connection.execute(
        f"UPDATE records SET zoned = true, clock = {plausible('utc')} "
        f"FROM (SELECT id, {utc} AS utc FROM marked) AS read "
        f"WHERE records.rowid = read.id AND utc IS NOT NULL"
    )
    connection.execute("DROP TABLE marked")
    return " and ".join(
        f"{stamps:,} by the name of their zone (CET, CEST)" if named else f"{stamps:,} by A (first) or B (second)"
        for named, stamps in marks
    )


def zone_findings(
    connection: duckdb.DuckDBPyConnection, params: GeneratorParams, account: EnergySource, marks: Marks
) -> list[Finding]:
    """Return findings about the zone: times that its clocks skip; a zone that nothing needed.

    Raises:
        BadInputError: Clocks skip times that another zone, or the other end of the intervals, would explain.
    """
    if params.timezone is None:
        return []
    if not count(connection, "SELECT count(*) FROM records WHERE clock IS NOT NULL AND NOT zoned"):
        message = f"--timezone {params.timezone} moved no stamp: each names its own zone. Profiles and plots follow it."
        return [Finding(severity="info", message=message), *_zones_of_files(connection, params, account)]
    findings = [*_zones_of_files(connection, params, account)]
    if account.ambiguous_times:
        alone = account.ambiguous_times - 2 * account.ambiguous_pairs
        pairs = f"{account.ambiguous_pairs} pairs, told apart by their order in the files"
        kinds = [pairs] * bool(account.ambiguous_pairs) + [f"{alone} that stand alone"] * bool(alone)
        message = (
            f"{account.ambiguous_times} records bear a local time that {params.timezone} has twice, at the end of "
            f"daylight saving: {' and '.join(kinds)}."
        )
        findings.append(Finding(severity="info", message=message))
    query = """
        SELECT file, count(*), arg_min(stamp, id) FROM located WHERE kind = 'non_existent' GROUP BY file ORDER BY file
    """
    for file, skipped, example in connection.execute(query).fetchall() if account.non_existent_times else ():
        message = (
            f"{skipped} {'record bears' if skipped == 1 else 'records bear'} a time that does not exist in "
            f"{params.timezone}, whose clocks skip it (the first: {example})"
        )
        remedy, name = _remedy(connection, file, marks), account.files[file].name
        apart = f"; run {name} apart from the other files" if len(account.files) > 1 else ""
        if remedy and not params.as_mapped:
            raise BadInputError(f"{name}: {message}; {remedy}{apart}, or insist with --as-mapped")
        where = f"{name}: " if len(account.files) > 1 else ""
        findings.append(Finding(severity="warning", message=f"{where}{message}; {remedy or 'check the zone'}."))
    return findings


def _zones_of_files(
    connection: duckdb.DuckDBPyConnection, params: GeneratorParams, account: EnergySource
) -> Iterator[Finding]:
    """Yield which of several files were read in the zone of the run, and which state offsets that it does not have."""
    if len(account.files) == 1:
        return
    bare = connection.execute(
        "SELECT DISTINCT file FROM records WHERE clock IS NOT NULL AND NOT zoned ORDER BY file"
    ).fetchall()
    if len(bare) > 1:
        names = [account.files[file].name for (file,) in bare]
        listed = ", ".join(names) if len(names) <= 3 else f"{len(names)} files"
        message = (
            f"The stamps of {listed} name no zone, and all were read in {params.timezone}; run files of another zone "
            "apart, with a --timezone of their own."
        )
        yield Finding(severity="info", message=message)
    zone = parse_zone(params.timezone or "UTC")
    rows = connection.execute(r"""
        SELECT file, shown, min(clock), max(clock), arg_min(stamp, clock) FROM (
            SELECT file, clock, stamp, regexp_extract(stamp, ':\d\d(?:[.]\d+)? ?([+-]\d\d:?\d\d)$', 1) AS shown
            FROM records WHERE zoned AND clock IS NOT NULL AND NOT ends_with(stamp, 'Z')
        ) WHERE shown NOT IN ('', '+00:00', '-00:00', '+0000') GROUP BY file, shown ORDER BY ALL
    """).fetchall()
    others: dict[int, str] = {}
    for file, shown, first, last, stamp in rows:
        offset = timedelta(hours=int(shown[1:3]), minutes=int(shown[-2:])) * (-1 if shown[0] == "-" else 1)
        held = {moment.replace(tzinfo=UTC).astimezone(zone).utcoffset() for moment in (first, last)}
        if offset not in held:
            others.setdefault(file, stamp)
    for file, stamp in others.items():
        message = (
            f"{account.files[file].name}: its stamps have another offset than {params.timezone} (the first: {stamp}), "
            "whose clock gives days, hours and tariffs of all files; run it apart for those of its own zone."
        )
        yield Finding(severity="warning", message=message)


def _remedy(connection: duckdb.DuckDBPyConnection, file: int, marks: Marks) -> str | None:
    """Return what would explain stamps of a file that do not exist, found by trying it; None where nothing does."""
    own = frozenset({file})
    for other in (Marks(own), Marks(own, after_zone=True)) if file not in marks.ends else (Marks(frozenset()),):
        skipped = (
            f"SELECT count(*) FROM ({_shown_sql(connection, other)}) WHERE kind = 'non_existent' AND file = {file}"
        )
        if not count(connection, skipped):
            return f"--stamp {'end' if other.ends else 'start'} would explain that"
    pairs = "SELECT count(*) FROM later_of_two JOIN intervalled USING (id) WHERE later_of_two.position = 2"
    if not count(connection, f"{pairs} AND file = {file}"):
        seconds = count(connection, "SELECT min(first_offset) FROM pieces WHERE kind = 'non_existent'")
        sign, minutes = ("-" if seconds < 0 else "+"), abs(seconds) // 60
        return (
            "no hour occurs twice either, so these clocks seem never to change: the fixed offset "
            f"--timezone {sign}{minutes // 60:02}:{minutes % 60:02} would explain that"
        )
    return None


def _store_pieces(connection: duckdb.DuckDBPyConnection, params: GeneratorParams) -> None:
    days = connection.execute(
        "SELECT DISTINCT unnest([day, before]) AS day FROM (SELECT DISTINCT CAST(clock AS DATE) AS day, "
        "CAST(clock - to_seconds(coalesce(seconds, 0)) AS DATE) AS before FROM intervalled "
        "WHERE clock IS NOT NULL AND NOT zoned) ORDER BY day"
    ).fetchall()
    connection.execute(
        "CREATE TABLE pieces (day DATE, from_time TIMESTAMP, until_time TIMESTAMP, kind VARCHAR, first_offset BIGINT, "
        "second_offset BIGINT)"
    )
    cut = pieces(parse_zone(params.timezone or "UTC"), (day for (day,) in days))
    connection.from_df(pd.DataFrame(cut, columns=list(Piece._fields))).insert_into("pieces")


def _shown_sql(connection: duckdb.DuckDBPyConnection, marks: Marks, records: str = "intervalled") -> str:
    """Return SQL of records with `start`, the wall-clock time to be put into UTC, and `back`, seconds off it.

    What the zone's clocks do then is found by comparing `start` with the times at which that changes, for there are
    few of them: neighbouring pieces that follow one rule are one stretch.
    """
    is_end = f"file IN ({', '.join(map(str, sorted(marks.ends)))})" if marks.ends else "false"
    step = f"CASE WHEN {is_end} THEN coalesce(seconds, 0) ELSE 0 END"
    before = "zoned" if marks.after_zone else "true"
    start = f"clock - to_seconds(CASE WHEN {before} THEN {step} ELSE 0 END)" if marks.ends else "clock"
    back = f"CASE WHEN {before} THEN 0 ELSE {step} END" if marks.ends else "0"
    moved = f"SELECT *, {start} AS start, {back} AS back FROM {records}"
    rows = connection.execute("SELECT from_time, kind, first_offset, second_offset FROM pieces ORDER BY 1").fetchall()
    stretches = [next(group) for _, group in groupby(rows, key=lambda row: row[1:])] or [(_EVER, "normal", 0, 0)]
    until = "".join(f" WHEN start < TIMESTAMP '{begin}' THEN {n}" for n, (begin, *_) in enumerate(stretches) if n)
    number = f"CASE WHEN zoned OR start IS NULL THEN NULL{until} ELSE {len(stretches)} END"
    begins, kinds, firsts, seconds = zip(*stretches, strict=True)
    columns = {
        "kind": [literal(kind) for kind in kinds],
        "from_time": [f"TIMESTAMP '{begin}'" for begin in begins],
        "first_offset": [f"{offset}::BIGINT" for offset in firsts],
        "second_offset": [f"{offset}::BIGINT" for offset in seconds],
    }
    chosen = ", ".join(f"[{', '.join(values)}][stretch] AS {name}" for name, values in columns.items())
    return f"SELECT * EXCLUDE (stretch), {chosen} FROM (SELECT *, {number} AS stretch FROM ({moved}))"


_DIRECTIONS = f"""
SELECT file, household_id, count(*) FILTER (step < to_seconds(0)) > count(*) FILTER (step > to_seconds(0)) AS reversed
FROM (
    SELECT file, household_id, clock - lag(clock) OVER (PARTITION BY file, household_id ORDER BY rowid) AS step
    FROM records WHERE NOT zoned AND clock IS NOT NULL AND {_NEAR_CHANGES}
) GROUP BY ALL
"""
_LATER_OF_TWO = """
WITH ambiguous AS (
    SELECT shown.*, CASE WHEN reversed THEN -id ELSE id END AS place
    FROM ({shown}) AS shown JOIN directions USING (file, household_id) WHERE kind = 'ambiguous'
)
SELECT id, position FROM (
    SELECT id, start,
        count(*) OVER (PARTITION BY household_id, start) AS times,
        row_number() OVER (PARTITION BY household_id, start ORDER BY file, place) AS position,
        max(start) OVER (PARTITION BY household_id, from_time ORDER BY file, place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest_before
    FROM ambiguous
) WHERE position > 1 OR (times = 1 AND latest_before >= start)
"""
