"""What users want to know of the readings, computed from `energy_records.parquet`: totals, peaks, base load, duration.

Days, months and years are those of the run's zone. The mean power of an interval counts for all of it: where an
interval crosses midnight, its energy is split in proportion to time. Power is summed as whole milliwatts, so that no
figure depends on the order in which threads add up. Each total states its coverage with valid readings; estimates count
in the total alone. What was fed into the grid is what the input states as such; where it does not, it is the negative
power.

In SQL, instants are whole seconds since `EPOCH`, before which there are no data, so that divisions never see a
negative number; days are counted from there, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path

import duckdb

from include.core.tables import file_argument, literal
from include.core.windows import parse_zone
from include.energy.comparison import compare
from include.energy.figure_schemas import Flows, HouseholdUsage, LoadDuration, Peak, Total, Usage
from include.energy.schemas import RECORDS, Analysis, EnergySource
from include.energy.timeline import EPOCH, Timeline, restore_timeline

DAY = 86400
BASE_LOAD_SHARE = 0.025
"""Of the time: the near-base load of Price, Methods for Analyzing Electric Load Shape and its Variability, 2010."""
POINTS = 100
TOGETHER_NEEDED = 0.95
"""Share of the households' time that a window needs for the base load and the load duration curve of all together."""
LONGEST_SHIFT = 7200
"""Seconds by which clocks are changed at most (Troll, Antarctica)."""

FLOW_WORK = {
    "import_kwh": "imported",
    "export_kwh": "exported",
    "net_kwh": "net",
    "generation_kwh": "generated",
    "self_consumption_kwh": "self_consumed",
}
"""Energy of `Flows` by what it is the sum of (mW·s)."""

TOTALS_SQL = f"""
    SELECT household_id, period, start, energy_kwh, coverage, {", ".join(FLOW_WORK)}, self_sufficiency FROM totals
    ORDER BY household_id NULLS FIRST, list_position(['day', 'month', 'year'], period), start
"""
"""SQL of the rows of `energy_totals.parquet`, after `usage()`."""


def usage(
    db: duckdb.DuckDBPyConnection, files: Path, analysis: Analysis, source: EnergySource | None, peak_minutes: int
) -> Usage:
    """Return the figures of the accepted records; creates the table `totals` (see `TOTALS_SQL`).

    Args:
        db: A new database.
        files: A folder that shows `energy_records.parquet`.
        analysis: Of the same records: households, intervals, zone.
        source: What the generator states: intervals that change.
        peak_minutes: Over which peaks are means, where intervals are not longer; a divisor of 60.
    """
    zone, names = parse_zone(analysis.timezone), [home.household_id for home in analysis.households]
    db.execute(f"CREATE TYPE household AS ENUM ({', '.join(map(literal, names))})")
    intervals = {home.household_id: home.interval_seconds for home in analysis.households}
    timeline = restore_timeline(db, intervals, source, int(analysis.start.timestamp()))
    offsets = list(local_offsets(zone, analysis.start - timedelta(days=2), analysis.end + timedelta(days=2)))
    offset = (
        f"CASE {' '.join(f'WHEN start >= {at} THEN {shift}' for at, shift in offsets[:0:-1])} ELSE {offsets[0][1]} END"
    )
    signed = _create_readings(db, files, timeline, analysis)
    _create_windows(db, timeline, peak_minutes * 60, offsets[0][1])
    _create_calendar(db, zone, analysis)
    _create_days(db, offset if offsets[1:] else str(offsets[0][1]))
    _create_day_flows(db, signed, known=bool(signed) or (analysis.export_kwh, analysis.generation_kwh) != (None, None))
    _create_totals(db)
    lengths = _window_lengths(timeline, peak_minutes * 60)
    note = _create_together(db, timeline, lengths, offsets[0][1])
    return _describe(db, analysis, peak_minutes, note)


def local_offsets(zone: tzinfo, start: datetime, end: datetime) -> Iterator[tuple[int, int]]:
    """Yield each offset of a zone from UTC between two instants: since when (seconds since `EPOCH`), and seconds.

    >>> [shift for _, shift in local_offsets(parse_zone("Europe/Berlin"), datetime(2026, 1, 1, tzinfo=UTC),
    ...                                      datetime(2027, 1, 1, tzinfo=UTC))]
    [3600, 7200, 3600]
    """

    def offset(seconds: int) -> int:
        shift = (EPOCH + timedelta(seconds=seconds)).astimezone(zone).utcoffset() or timedelta(0)
        return int(shift.total_seconds())

    first, last = (int((moment - EPOCH).total_seconds()) for moment in (start, end))
    before = offset(first)
    yield first, before
    for day in range(first, last, DAY):
        after = offset(day + DAY)
        if after != before:
            low, high = day, day + DAY
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == before else (low, middle)
            yield high, after
            before = after


def _window_lengths(timeline: Timeline, peak: int) -> set[int]:
    intervals = {stretch.seconds for stretches in timeline.stretches.values() for stretch in stretches}
    return {peak if seconds < peak and peak % seconds == 0 else seconds for seconds in intervals}


def _create_readings(
    db: duckdb.DuckDBPyConnection, files: Path, timeline: Timeline, analysis: Analysis
) -> Sequence[str]:
    """Create `readings`: household, start, work, exported, generated (mW), stated, seconds, valid.

    `stated` is what the input states as export, `exported` that, or the negative power of a household that feeds in
    without such a column. All three are NULL where nothing is known.

    Returns:
        The households with negative power.
    """
    records = f"read_parquet({file_argument(RECORDS.at(files))})"
    found = db.execute(
        f"SELECT DISTINCT household_id FROM {records} WHERE power < 0 AND state <> 'suspect' ORDER BY 1"
    ).fetchall()
    signed = [name for (name,) in found]
    intervals = {stretch.seconds for stretches in timeline.stretches.values() for stretch in stretches}
    interval = str(intervals.pop()) if len(intervals) == 1 else "interval_of(household, ts)"
    stated, generated = (
        "NULL::BIGINT" if total is None else f"round({flow} * 1e6)::BIGINT"
        for flow, total in (("export", analysis.export_kwh), ("generation", analysis.generation_kwh))
    )
    fed_in = f"CASE WHEN {_among(signed)} THEN greatest(-work, 0) END" if signed else "NULL::BIGINT"
    db.execute(f"""
        CREATE VIEW readings AS
        SELECT household, (epoch_us(ts) + {-int(EPOCH.timestamp())}000000) // 1000000 AS start, work,
            coalesce(stated, {fed_in}) AS exported, stated, generated, {interval}::BIGINT AS seconds, valid
        FROM (
            SELECT household_id::household AS household, timestamp AS ts, round(power * 1e6)::BIGINT AS work,
                {stated} AS stated, {generated} AS generated, (state = 'valid')::INTEGER AS valid
            FROM {records} WHERE state <> 'suspect'
        )
    """)
    return signed


def _among(households: Sequence[str]) -> str:
    return f"household IN ({', '.join(map(literal, households))})" if households else "false"


def _create_windows(db: duckdb.DuckDBPyConnection, timeline: Timeline, peak: int, first_offset: int) -> None:
    """Create `windows`: household, start, work (sum of mW), readings, seconds (of a reading), length (of the window).

    `valid` is how many of the readings are no estimates.
    Readings of an interval that divides the peak's minutes are added up by the quarters of an hour (or what they are)
    of the local clock; any other reading is a window.
    """
    intervals = {stretch.seconds for stretches in timeline.stretches.values() for stretch in stretches}
    fine = [seconds for seconds in intervals if seconds < peak and peak % seconds == 0]
    if not fine:
        db.execute("CREATE VIEW windows AS SELECT *, 1 AS readings, seconds AS length FROM readings")
        return
    aligned = _aligned("start", peak, first_offset)
    length = str(peak)
    if len(fine) < len(intervals):
        grouped = f"seconds IN ({', '.join(map(str, fine))})"
        aligned, length = (
            f"CASE WHEN {grouped} THEN {value} ELSE {other} END"
            for value, other in ((aligned, "start"), (length, "seconds"))
        )
    db.execute(f"""
        CREATE TABLE windows AS
        SELECT household, {aligned} AS start, sum(work)::HUGEINT AS work, count(*) AS readings,
            sum(valid) AS valid, seconds,
            {length} AS length
        FROM readings GROUP BY ALL
    """)


def _aligned(start: str, length: int, offset: int) -> str:
    """Return SQL of the start of the window that an instant lies in, on a clock with an offset from UTC."""
    shift = offset % length
    return f"(({start} + {shift}) // {length} * {length} - {shift})"


def _create_calendar(db: duckdb.DuckDBPyConnection, zone: tzinfo, analysis: Analysis) -> None:
    """Create `calendar`: day (a number), date, month, year (their first days), begin, finish (of the local day)."""
    first, last = (
        (moment + timedelta(days=shift)).astimezone(zone).year
        for moment, shift in ((analysis.start, -2), (analysis.end, 2))
    )
    days = [date(first, 1, 1) + timedelta(days=n) for n in range((date(last + 1, 1, 1) - date(first, 1, 1)).days + 1)]
    begins = [int((datetime(day.year, day.month, day.day, tzinfo=zone) - EPOCH).total_seconds()) for day in days]
    db.execute(
        """
        CREATE TABLE calendar AS
        SELECT date - ? AS day, date, date_trunc('month', date)::DATE AS month, date_trunc('year', date)::DATE AS year,
            begin, finish
        FROM (SELECT unnest(?::DATE[]) AS date, unnest(?::BIGINT[]) AS begin, unnest(?::BIGINT[]) AS finish)
        """,
        [EPOCH.date(), days[:-1], begins[:-1], begins[1:]],
    )


def _create_days(db: duckdb.DuckDBPyConnection, offset: str) -> None:
    """Create `days` (household, day, mW·s, covered seconds) and `day_peaks` (household, day, mean mW)."""
    db.execute(f"""
        CREATE VIEW placed AS
        SELECT *, local // {DAY} AS day, readings * seconds >= length AS complete,
            local % {DAY} + length + CASE WHEN length > {LONGEST_SHIFT} THEN {LONGEST_SHIFT} ELSE 0 END > {DAY}
                AS crosses
        FROM (SELECT *, start + {offset} AS local FROM windows)
    """)
    db.execute("""
        CREATE TABLE starts AS
        SELECT household, day, seconds, sum(work) FILTER (NOT crosses)::HUGEINT AS work,
            sum(readings) FILTER (NOT crosses) AS readings, sum(valid) FILTER (NOT crosses) AS valid,
            max(work / readings) FILTER (complete) AS peak
        FROM placed GROUP BY household, day, seconds
    """)
    db.execute("""
        CREATE TABLE days AS
        SELECT household, day, sum(work)::HUGEINT AS work, least(sum(covered), any_value(finish - begin)) AS covered
        FROM (
            SELECT household, day, work * seconds AS work, valid * seconds AS covered FROM starts
            WHERE readings > 0
            UNION ALL
            SELECT household, calendar.day, work::HUGEINT * seconds * overlap // length,
                valid * seconds * overlap // length
            FROM placed JOIN calendar ON crosses AND begin < start + length AND finish > start,
                (SELECT least(finish, start + length) - greatest(begin, start) AS overlap)
        ) JOIN calendar USING (day)
        GROUP BY household, day
    """)


def _create_day_flows(db: duckdb.DuckDBPyConnection, signed: Sequence[str], *, known: bool) -> None:
    """Create `day_flows`: household, day, and mW·s by the names of `FLOW_WORK`; empty where no flow is known.

    `used` is what was taken from the grid in readings that state export and generation. An estimate of what was taken
    says nothing of what was fed in, so it is in no net energy; one of negative power does.
    """
    db.execute(f"""
        CREATE TABLE day_flows AS
        SELECT household, day, sum(greatest(work, 0) * overlap)::HUGEINT AS imported,
            sum(exported * overlap)::HUGEINT AS exported,
            sum((greatest(work, 0) - coalesce(exported, 0)) * overlap)
                FILTER (valid = 1 OR {_among(signed)})::HUGEINT AS net,
            sum(generated * overlap)::HUGEINT AS generated,
            sum((generated - stated) * overlap)::HUGEINT AS self_consumed,
            sum(greatest(work, 0) * overlap) FILTER (generated - stated IS NOT NULL)::HUGEINT AS used
        FROM readings JOIN (
            SELECT start, seconds, day, (least(finish, start + seconds) - greatest(begin, start))::HUGEINT AS overlap
            FROM (SELECT DISTINCT start, seconds FROM readings WHERE {known})
                JOIN calendar ON begin < start + seconds AND finish > start
        ) USING (start, seconds)
        WHERE {known} GROUP BY household, day
    """)


def _create_totals(db: duckdb.DuckDBPyConnection) -> None:
    """Create `totals`: household_id (NULL: all together), period, start, energy (kWh), coverage, and those of `Flows`.

    Net energy is NULL where nothing is known of what was fed in.
    """
    periods = {"day": "date", "month": "month", "year": "year"}
    sums = " UNION ALL ".join(
        f"SELECT *, '{name}' AS period, {column} AS start"
        " FROM days JOIN calendar USING (day) LEFT JOIN day_flows USING (household, day)"
        for name, column in periods.items()
    )
    flows = ", ".join(
        f"CASE WHEN {'count(exported)' if name == 'net_kwh' else 1} > 0 THEN round(sum({work}) / 3.6e9, 3) + 0 END"
        f" AS {name}"
        for name, work in FLOW_WORK.items()
    )
    lengths = " UNION ALL ".join(
        f"SELECT '{name}' AS period, {column} AS start, sum(finish - begin) AS seconds FROM calendar GROUP BY ALL"
        for name, column in periods.items()
    )
    db.execute(f"""
        CREATE TABLE totals AS
        SELECT household::VARCHAR AS household_id, period, start, round(sum(work) / 3.6e9, 3) + 0 AS energy_kwh,
            sum(covered) * 10000 // (
                any_value(seconds) * CASE WHEN household IS NULL THEN len(enum_range(NULL::household)) ELSE 1 END
            ) / 1e4 AS coverage,
            {flows},
            CASE WHEN sum(self_consumed) >= 0 AND sum(self_consumed) + sum(used) > 0
                THEN round(sum(self_consumed) / (sum(self_consumed) + sum(used)), 4) END AS self_sufficiency
        FROM ({sums}) JOIN ({lengths}) USING (period, start)
        GROUP BY GROUPING SETS ((household, period, start), (period, start))
    """)


def _create_together(
    db: duckdb.DuckDBPyConnection, timeline: Timeline, lengths: set[int], first_offset: int
) -> str | None:
    """Create `together`: start, power (mW), share of the households' time, length; returns why it is empty."""
    longest = max(lengths)
    later = {tuple((s.seconds, s.start if n else 0) for n, s in enumerate(own)) for own in timeline.stretches.values()}
    nested = longest <= 3600 and all(longest % length == 0 for length in lengths)
    start, length = (_aligned("start", longest, first_offset), str(longest)) if nested else ("start", "length")
    chosen = nested or len(later) == 1
    db.execute(f"""
        CREATE TABLE together AS
        SELECT start, sum(work::HUGEINT * seconds) / length AS power,
            sum(readings * seconds) / (length * len(enum_range(NULL::household))) AS share, length
        FROM (SELECT {start} AS start, work, seconds, readings, {length} AS length FROM windows WHERE {chosen})
        GROUP BY start, length
    """)
    return None if chosen else "The intervals of the households differ too much to add up their power."


def _describe(db: duckdb.DuckDBPyConnection, analysis: Analysis, peak_minutes: int, note: str | None) -> Usage:
    totals: dict[tuple[str | None, str], list[Total]] = {}
    for home, period, start, kwh, coverage, *values in db.execute(
        f"SELECT * FROM ({TOTALS_SQL}) WHERE household_id IS NULL OR period <> 'day'"
    ).fetchall():
        stated = dict(zip(Flows.model_fields, values, strict=True))
        known = (stated["export_kwh"], stated["generation_kwh"]) != (None, None)
        total = Total(start=start, energy_kwh=kwh, coverage=coverage, flows=Flows(**stated) if known else None)
        totals.setdefault((home, period), []).append(total)
    peaks, base = _peaks(db), _base_loads(db)
    return Usage(
        timezone=analysis.timezone,
        peak_minutes=peak_minutes,
        days=totals.get((None, "day"), []),
        months=totals.get((None, "month"), []),
        years=totals.get((None, "year"), []),
        peaks=peaks.get(None, []),
        base_load_kw=base.get(None),
        load_duration=_load_duration(db),
        note=note,
        comparisons=list(compare(totals.get((None, "day"), []))),
        households=[
            HouseholdUsage(
                household_id=name,
                months=totals.get((name, "month"), []),
                years=totals.get((name, "year"), []),
                peaks=peaks.get(name, []),
                base_load_kw=base.get(name),
            )
            for name in (home.household_id for home in analysis.households)
        ],
    )


def _peaks(db: duckdb.DuckDBPyConnection) -> dict[str | None, list[Peak]]:
    """Return the highest complete window of each month, by household, and of all together."""
    found = db.execute("""
        WITH best AS (
            SELECT household, month, max(peak) AS peak, min(begin) AS begin, max(finish) AS finish
            FROM starts JOIN calendar USING (day) WHERE peak IS NOT NULL GROUP BY ALL
        ),
        of_all AS (
            SELECT NULL AS household, month, max_by({power: power, start: start, length: length}, (power, -start)) AS w
            FROM together JOIN calendar ON start >= begin AND start < finish GROUP BY ALL
        )
        SELECT home, month, peak, start, length FROM (
            SELECT best.household::VARCHAR AS home, month, peak, min(start) AS start, min(length) AS length
            FROM best JOIN windows ON windows.household = best.household AND work / readings = peak
                AND readings * seconds >= length AND start >= begin AND start < finish
            GROUP BY ALL
            UNION ALL SELECT household, month, w.power, w.start, w.length FROM of_all
        ) ORDER BY home, month
    """).fetchall()
    peaks: dict[str | None, list[Peak]] = {}
    for home, month, power, start, length in found:
        at = EPOCH + timedelta(seconds=start)
        peak = Peak(month=month, peak_kw=round(power / 1e6, 6), at=at, window_seconds=length)
        peaks.setdefault(home, []).append(peak)
    return peaks


def _base_loads(db: duckdb.DuckDBPyConnection) -> dict[str | None, float]:
    """Return the base load by household, and of all together; creates `spread` (household, watts, seconds)."""
    db.execute(f"""
        CREATE TABLE spread AS
        SELECT household::VARCHAR AS household, round(work / readings / 1000)::BIGINT AS watts, sum(length) AS seconds
        FROM windows WHERE readings * seconds >= length GROUP BY ALL
        UNION ALL
        SELECT NULL, round(power / 1000)::BIGINT AS watts, sum(length) FROM together WHERE share >= {TOGETHER_NEEDED}
        GROUP BY ALL
    """)
    return dict(
        db.execute(f"""
        SELECT household, min(watts) FILTER (upto >= {BASE_LOAD_SHARE} * total) / 1000 FROM (
            SELECT *, sum(seconds) OVER (PARTITION BY household ORDER BY watts) AS upto,
                sum(seconds) OVER (PARTITION BY household) AS total
            FROM spread
        ) GROUP BY household
    """).fetchall()
    )


def _load_duration(db: duckdb.DuckDBPyConnection) -> LoadDuration | None:
    points = db.execute("SELECT watts, seconds FROM spread WHERE household IS NULL ORDER BY watts DESC").fetchall()
    total = sum(int(seconds) for _, seconds in points)
    if not total:
        return None
    kw: list[float] = []
    reached = 0
    for watts, seconds in points:
        reached += int(seconds)
        while len(kw) <= POINTS and reached * POINTS >= len(kw) * total:
            kw.append(watts / 1000)
    return LoadDuration(hours=round(total / 3600, 2), kw=kw)
