"""The charts of an energy report, computed from the accepted records (`energy_records.parquet`) when it is written.

A chart holds at most `MOST_VALUES` values. Where the readings are more, each point is the mean of a longer period, with
its lowest and its highest reading, so that no peak is lost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from include.core.charts import BarChart, Chart, Charts, Line, LineChart, Panel, Value
from include.core.overview import AcceptedFiles
from include.core.tables import file_argument, literal
from include.core.text import period
from include.core.windows import parse_zone
from include.energy.db import connect
from include.energy.figure_schemas import Usage
from include.energy.figures import BASE_LOAD_SHARE
from include.energy.plots import power_unit, shorten
from include.energy.schemas import ANALYSIS, PLOTS, RECORDS, REPORT, SOURCE, Analysis, EnergySource, HouseholdFigures

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 300_000
MOST_HOUSEHOLDS, HOUSEHOLDS_OF_MANY = 50, 20
"""Above so many households, the totals, their range and these few are shown."""
MEMORY = "400MB"
PERIODS = (60, 300, 600, 900, 1800, 3600, 7200, 4 * 3600, 8 * 3600, 86400, 7 * 86400, 28 * 86400)
DAYS_IN_MONTHS = 92
"""Longer data are added up by month, shorter ones by day."""
DIGITS = 6
HOURS_OF_A_DURATION = 48


def charts(accepted: AcceptedFiles) -> Charts:
    """Return the charts of a run whose records were accepted; none of any other run.

    There are none where intervals are no parts of each other, as local days of 23 hours or months are.
    """
    analysis = accepted.read(ANALYSIS)
    if analysis is None or not accepted.holds(RECORDS):
        return Charts()
    intervals, report = _intervals(analysis, accepted.read(SOURCE)), accepted.read(REPORT)
    coarsest = max((seconds for *_, seconds in intervals), default=0)
    if not intervals or any(coarsest % seconds for *_, seconds in intervals):
        return Charts()
    try:
        with tempfile.TemporaryDirectory() as scratch, connect(Path(scratch), MEMORY) as db:
            return _charts(db, accepted.folder, analysis, intervals, report.usage if report else None)
    except duckdb.Error:  # a file of another version, with other columns
        return Charts()


def _intervals(analysis: Analysis, source: EnergySource | None) -> list[tuple[str, int, int]]:
    """Return the intervals of each household: its name, since when (s since 1970), seconds; none if one is unknown."""
    stretches = source.stretches if source else {}
    intervals: list[tuple[str, int, int]] = []
    for home in analysis.households:
        if home.interval_seconds:
            intervals.append((home.household_id, 0, home.interval_seconds))
        elif found := stretches.get(home.household_id):
            starts = [0, *(round(stretch.start.timestamp()) for stretch in found[1:])]
            intervals += [
                (home.household_id, start, stretch.interval_seconds)
                for start, stretch in zip(starts, found, strict=True)
            ]
        else:
            return []
    return intervals


@dataclass(frozen=True)
class _Readings:
    """What the charts are computed from.

    Args:
        db: Holds `readings` (household_id, ts in seconds since 1970, power in kW, odd, guessed: an estimate, seconds
            of its interval) and `totals` (ts, kw, guessed).
        analysis: Of the same records.
        coarsest: The longest interval, seconds; the others are parts of it.
        factor: From kW to `unit`.
        unit: In which the charts read well.
    """

    db: duckdb.DuckDBPyConnection
    analysis: Analysis
    coarsest: int
    factor: float
    unit: str


def _charts(
    db: duckdb.DuckDBPyConnection,
    files: Path,
    analysis: Analysis,
    intervals: Sequence[tuple[str, int, int]],
    usage: Usage | None,
) -> Charts:
    db.execute(
        "CREATE TABLE intervals AS SELECT unnest(?::VARCHAR[]) AS household_id, unnest(?::BIGINT[]) AS begin, "
        "unnest(?::BIGINT[]) AS seconds",
        [list(column) for column in zip(*intervals, strict=True)],
    )
    constant = len(intervals) == len(analysis.households)
    joined = "JOIN intervals USING (household_id)"
    if not constant:
        joined = "ASOF JOIN intervals ON household_id = home AND epoch(timestamp)::BIGINT >= begin"
        db.execute("ALTER TABLE intervals RENAME household_id TO home")
    db.execute(f"""
        CREATE VIEW readings AS
        SELECT household_id, epoch(timestamp)::BIGINT AS ts, power::DOUBLE AS power, anomaly_detected AS odd,
            state = 'estimated' AS guessed, seconds
        FROM read_parquet({file_argument(RECORDS.at(files))}) {joined}
        WHERE state <> 'suspect'
    """)
    coarsest = max(seconds for *_, seconds in intervals)
    db.execute(f"""
        CREATE TABLE totals AS
        SELECT ts, sum(kw) AS kw, bool_or(guessed) AS guessed FROM (
            SELECT household_id, ts // {coarsest} * {coarsest} + min(ts % {coarsest}) AS ts, avg(power) AS kw,
                bool_or(guessed) AS guessed
            FROM readings GROUP BY household_id, ts // {coarsest}
        ) GROUP BY ts
    """)
    factor, unit = power_unit([analysis.peak_kw])
    readings = _Readings(db, analysis, coarsest, factor, unit)
    found: list[Chart | None] = [_load(readings), _energy(readings), _mean_day(readings), _duration(readings, usage)]
    return Charts(
        charts=tuple(chart for chart in found if chart),
        replaces=(PLOTS["load_curve"].path, PLOTS["anomalies"].path),
    )


def _load(readings: _Readings) -> LineChart:
    """Return power over time: of all households together, of their range where they are many, and of each."""
    analysis, panels = readings.analysis, []
    homes, many = _shown_households(analysis)
    budget = MOST_VALUES // (len(homes) + 2 + many)
    if len(analysis.households) > 1:
        panels.append(
            _panel(readings, "All households together", "SELECT ts, kw, false AS odd, guessed FROM totals", budget)
        )
    if many:
        panels.append(_range(readings, budget))
    for home in homes:
        query = f"SELECT ts, power AS kw, odd, guessed FROM readings WHERE household_id = {literal(home.household_id)}"
        panels.append(_panel(readings, shorten(home.household_id), query, budget, home.interval_seconds))
    notes = [f"The {len(homes)} households with most anomalies and gaps are shown one by one."] * many
    notes += ["Suspect readings are left out; a table lists them."] * bool(analysis.suspect)
    return LineChart(
        name="power",
        title="Power over time",
        unit=readings.unit,
        axis="time",
        panels=tuple(panels),
        marked="anomaly",
        note=" ".join(notes),
    )


def _shown_households(analysis: Analysis) -> tuple[list[HouseholdFigures], bool]:
    """Return the households with a panel, the largest first, and whether there are others."""
    if len(analysis.households) <= MOST_HOUSEHOLDS:
        return sorted(analysis.households, key=lambda home: (-home.energy_kwh, home.household_id)), False
    by_need = sorted(analysis.households, key=lambda home: (-home.anomalies - home.missing, home.household_id))
    return by_need[:HOUSEHOLDS_OF_MANY], True


def _panel(readings: _Readings, label: str, query: str, budget: int, interval: int | None = None) -> Panel:
    """Return the panel of a query of ts, kw, odd and guessed: each reading, or periods with their extremes.

    Estimates are a line of their own; of periods, it shows the means of those that hold estimates.
    """
    db = readings.db
    seconds = interval or readings.coarsest
    first, last = db.execute(f"SELECT min(ts), max(ts) FROM ({query})").fetchall()[0]
    step = seconds
    if (last - first) // seconds >= budget:
        step = next((p for p in PERIODS if p >= seconds and (last - first) // p < budget // 3), PERIODS[-1])
        first = first // step * step
    rows = db.execute(f"""
        SELECT (ts - {first}) // {step} AS place, avg(kw), min(kw), max(kw), bool_or(odd), bool_or(guessed),
            count(*)
        FROM ({query}) GROUP BY place ORDER BY place
    """).fetchall()
    length = int(rows[-1][0]) + 1
    mean: list[Value] = [None] * length
    low, high, guesses = mean.copy(), mean.copy(), mean.copy()
    marks = []
    single = all(count == 1 for *_, count in rows)
    for place, average, least, most, odd, guessed, _ in rows:
        mean[place], low[place], high[place] = (_scaled(value, readings) for value in (average, least, most))
        if guessed:
            guesses[place] = mean[place]
            mean[place] = None if single else mean[place]
        if odd:
            marks.append((int(place), _scaled(most, readings)))
    if single:
        line, note = Line(label, mean), f"each reading, {period(seconds)}"
    else:
        line, note = Line("mean", mean, low, high), f"mean, lowest and highest reading of {period(step)}"
    estimates = (Line("estimated" if single else "holds estimates", guesses, estimated=True),)
    return Panel(label, first, step, (line, *estimates * any(row[5] for row in rows)), tuple(marks), note)


def _range(readings: _Readings, budget: int) -> Panel:
    """Return the median of the households' mean powers by period, and the range of the middle 80 %."""
    db = readings.db
    first, last = db.execute("SELECT min(ts), max(ts) FROM totals").fetchall()[0]
    coarsest = readings.coarsest
    step = next((p for p in PERIODS if p >= coarsest and (last - first) // p < budget // 3), PERIODS[-1])
    first = first // step * step
    rows = db.execute(f"""
        SELECT place, quantile_cont(kw, [0.5, 0.1, 0.9]) FROM (
            SELECT household_id, (ts - {first}) // {step} AS place, avg(power) AS kw FROM readings GROUP BY ALL
        ) GROUP BY place ORDER BY place
    """).fetchall()
    length = int(rows[-1][0]) + 1
    lines: list[list[Value]] = [[None] * length for _ in range(3)]
    for place, quantiles in rows:
        for line, value in zip(lines, quantiles, strict=True):
            line[place] = _scaled(value, readings)
    note = f"median of the households' means of {period(step)}, and the range of the middle 80 %"
    return Panel("Range of the households", first, step, (Line("median", lines[0], lines[1], lines[2]),), note=note)


def _energy(readings: _Readings) -> BarChart | None:
    """Return the energy by local day or month, 0 where no reading was accepted; None within one day."""
    import pandas as pd

    local, kwh, guessed = _by_local_time(readings)
    days = (local.max().normalize() - local.min().normalize()).days + 1
    if days < 2:
        return None
    by_month = days > DAYS_IN_MONTHS
    periods = local.dt.to_period("M" if by_month else "D")
    sums, estimates = (
        part.groupby(periods).sum().reindex(pd.period_range(periods.min(), periods.max()), fill_value=0.0)
        for part in (kwh, guessed)
    )
    factor, unit = power_unit([sums.max()])
    what = "month" if by_month else "day"
    return BarChart(
        name="energy",
        title=f"Energy by {what}",
        unit=f"{unit}h",
        labels=tuple(map(str, sums.index)),
        values=tuple(_digits(value * factor) for value in sums),
        estimated=tuple(_digits(value * factor) for value in estimates) if estimates.any() else (),
        heading=what.capitalize(),
        note=f"Valid readings{' and estimates' * bool(readings.analysis.estimated)}; "
        f"the first and the last {what} may be incomplete.",
    )


def _mean_day(readings: _Readings) -> LineChart | None:
    """Return the mean power by local hour, on weekdays and weekends; None where a day of either is missing."""
    import pandas as pd

    totals = readings.db.execute("SELECT ts, kw FROM totals").df()
    local = _local(totals["ts"], readings.analysis)
    weekend = local.dt.day_of_week >= 5
    if weekend.all() or not weekend.any() or readings.coarsest > 3600:
        return None
    means = totals["kw"].groupby([weekend, local.dt.hour]).mean()
    lines = []
    for label, is_weekend in (("Monday to Friday", False), ("Saturday and Sunday", True)):
        hours: pd.Series[float] = means[is_weekend].reindex(range(24))
        lines.append(Line(label, [None if pd.isna(kw) else _scaled(kw, readings) for kw in hours]))
    together = ", all households together" if len(readings.analysis.households) > 1 else ""
    return LineChart(
        name="day",
        title=f"Mean day{together}",
        unit=readings.unit,
        axis="Hour of the local day",
        panels=(Panel("Mean day", 0, 1, tuple(lines), note="mean power by hour"),),
    )


def _duration(readings: _Readings, usage: Usage | None) -> LineChart | None:
    """Return the load duration curve of the report; None where it states none, or where it rests on a few hours."""
    curve = usage.load_duration if usage else None
    if usage is None or curve is None or curve.hours < HOURS_OF_A_DURATION:
        return None
    note = f"Time with readings: {curve.hours:,.0f} h."
    if usage.base_load_kw is not None:
        base = _scaled(usage.base_load_kw, readings)
        note += f" Base load, exceeded {1 - BASE_LOAD_SHARE:.1%} of the time: {base:.4g} {readings.unit}."
    together = ", all households together" if len(readings.analysis.households) > 1 else ""
    values = [_scaled(kw, readings) for kw in curve.kw]
    return LineChart(
        name="duration",
        title=f"Load duration curve{together}",
        unit=readings.unit,
        axis="Share of the time (%)",
        panels=(Panel("Duration", 0, 1, (Line("power", values),), note="power that is reached"),),
        note=note.replace("%", " %"),
    )


def _by_local_time(readings: _Readings) -> tuple[pd.Series[pd.Timestamp], pd.Series[float], pd.Series[float]]:
    """Return local times in steps of 15 minutes, the energy (kWh) that begins within each, and its estimated part."""
    query = """
        SELECT ts // 900 * 900 AS ts, sum(power * seconds) / 3600 AS kwh,
            coalesce(sum(power * seconds) FILTER (guessed), 0) / 3600 AS guessed
        FROM readings GROUP BY 1 ORDER BY 1
    """
    sums = readings.db.execute(query).df()
    return _local(sums["ts"], readings.analysis), sums["kwh"], sums["guessed"]


def _local(seconds: pd.Series[int], analysis: Analysis) -> pd.Series[pd.Timestamp]:
    import pandas as pd

    return pd.to_datetime(seconds, unit="s", utc=True).dt.tz_convert(parse_zone(analysis.timezone)).dt.tz_localize(None)


def _scaled(value: float, readings: _Readings) -> float:
    return _digits(value * readings.factor)


def _digits(value: float) -> float:
    """Return a value with six significant digits: more than meters have."""
    return float(f"{value:.{DIGITS}g}")
