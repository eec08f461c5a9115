"""What the inbox needs to know of meter files: the days that they touch, and how two results of a day differ."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, JsonValue

from include.core.errors import BadInputError, ContractError
from include.core.feeds import FEED, Changes, Examined
from include.core.run_folder import SOURCE_FOLDER, read_model
from include.core.tables import connect, file_argument, literal
from include.core.windows import read_zone
from include.energy.params import GeneratorParams
from include.energy.schemas import DATA, FLOWS, REPORT, REPORT_ROWS, EnergySource

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

QUARTER = 900
"""Zones are apart by multiples of it (s), so the quarters of an hour that hold a reading tell its day."""
METERS = "meters.toml"
"""What the file is called that describes meters, while a file is examined."""
LOCATORS = frozenset({"source_file", "source_line"})
NO_TOTALS = frozenset({"peak_at", "high_usage", "anomalies", "records_rejected"})
"""Key figures that say nothing of what a day's readings amount to, or count again what several files hold."""
COMPARED = ("power", "efficiency", "state", "quality", *FLOWS)
"""What makes a reading another one; `status` and anomalies follow from it and from its neighbours."""


class _Report(BaseModel):
    """What a revision states of `output2.json`."""

    records: int
    key_figures: dict[str, JsonValue]


def examine(file: Path, name: str, params: Mapping[str, Any]) -> Examined:
    """Understand a file as a run would, and return the local days that its readings touch.

    The first reading of a register also ends the interval before it, which may belong to the day before.

    Args:
        file: Where it lies.
        name: What it is called.
        params: Parameters of the feed.

    Raises:
        BadInputError: It cannot be read, a question about it is open, or it holds no reading.
        SetupError: The temporary folder cannot be written.
    """
    from include.energy.conversion import convert

    known = {key: value for key, value in params.items() if key in GeneratorParams.model_fields}
    with tempfile.TemporaryDirectory(prefix="groundtruth-feed-") as scratch:
        folder = Path(scratch)
        (folder / SOURCE_FOLDER).mkdir()
        (folder / SOURCE_FOLDER / name).symlink_to(file.resolve())
        if meters := known.get("meters"):
            known["meters"] = METERS
            (folder / SOURCE_FOLDER / METERS).symlink_to(meters)
        source = convert(folder, GeneratorParams.model_validate(known | {"files": (name,), FEED: "examined"}))
        zone = read_zone(source.timezone)
        days = _days(DATA.at(folder), zone)
        until = _until(DATA.at(folder), source)
    if not days:
        raise BadInputError(f"{name}: holds no reading whose time can be read")
    before = _day_before(source, zone) if source.left_out else None
    borders = () if before is None or before in days else (before,)
    return Examined(records=source.records_written, days=dict(sorted(days.items())), borders=borders, until=until)


def _days(data: Path, zone: tzinfo) -> dict[date, str]:
    """Return the local days of readings, each with a checksum over its readings in any order."""
    with connect() as db:
        rows = f"read_csv({file_argument(data)}, header = true, all_varchar = true, delim = ',')"
        columns = [row[0] for row in db.execute(f"DESCRIBE FROM {rows}").fetchall()]
        fields = ", ".join(f"coalesce({column}, '')" for column in columns if column not in LOCATORS)
        quarters = db.execute(f"""
            SELECT epoch(try_cast(rtrim(timestamp, 'Z') AS TIMESTAMP))::BIGINT // {QUARTER} AS quarter,
                count(*), sum(md5_number_lower(concat_ws(chr(31), {fields})))
            FROM {rows} WHERE timestamp LIKE '%Z' AND quarter IS NOT NULL GROUP BY quarter ORDER BY quarter
        """).fetchall()
    content: dict[date, Any] = defaultdict(sha256)
    for quarter in quarters:
        day = datetime.fromtimestamp(quarter[0] * QUARTER, UTC).astimezone(zone).date()
        content[day].update(repr(quarter).encode())
    return {day: checksum.hexdigest()[:16] for day, checksum in content.items()}


def _until(data: Path, source: EnergySource) -> datetime | None:
    """Return when the last reading ends; where no interval is known, when it begins."""
    with connect() as db:
        latest = db.execute(f"""
            SELECT household_id, max(try_cast(rtrim(timestamp, 'Z') AS TIMESTAMP))
            FROM read_csv({file_argument(data)}, header = true, all_varchar = true, delim = ',')
            WHERE timestamp LIKE '%Z' GROUP BY household_id
        """).fetchall()
    ends = []
    for household, start in latest:
        stretches = source.stretches.get(household)
        seconds = stretches[-1].interval_seconds if stretches else source.interval_of(household)
        if start is not None:
            ends.append(start.replace(tzinfo=UTC) + timedelta(seconds=seconds or 0))
    return max(ends, default=None)


def _day_before(source: EnergySource, zone: tzinfo) -> date | None:
    """Return the day of the interval that the first reading of a register ends."""
    first = min((file.first for file in source.files if file.first), default=None)
    households = {*source.intervals_by_household, *source.stretches}
    seconds = [source.interval_of(household) for household in households] or [source.interval_seconds]
    longest = max((value for value in seconds if value), default=None)
    return None if first is None or longest is None else (first - timedelta(seconds=longest)).astimezone(zone).date()


def compare(results: Mapping[str, Path], published: Path | None) -> Changes:
    """Compare the accepted readings of a day with those that are published.

    Args:
        results: The sealed results of the run, by name.
        published: The published folder of the day; None where there is none.
    """
    report = read_model(results[REPORT.path], _Report)
    if report is None:
        raise ContractError(REPORT.path, "must exist to be published", "no such file")
    with connect() as db:
        rows = published / REPORT_ROWS.path if published else None
        after, columns = _table(db, results[REPORT_ROWS.path])
        before, columns_before = _table(db, rows) if rows and rows.is_file() else (f"{after} LIMIT 0", columns)
        stated = [column for column in COMPARED if column in columns and column in columns_before]
        differs = " OR ".join(
            ["a.power IS NULL", "b.power IS NULL", *(f"a.{c} IS DISTINCT FROM b.{c}" for c in stated)]
        )
        db.execute(f"""
            CREATE TEMP TABLE changes AS
            SELECT
                CASE WHEN b.power IS NULL THEN 'added' WHEN a.power IS NULL THEN 'removed' ELSE 'changed' END AS change,
                timestamp, household_id, b.power AS power_before_kw, a.power AS power_after_kw
            FROM ({after}) a FULL JOIN ({before}) b USING (timestamp, household_id) WHERE {differs}
            ORDER BY household_id, timestamp
        """)
        counts: dict[str, int] = dict(db.execute("SELECT change, count(*) FROM changes GROUP BY change").fetchall())
        with tempfile.TemporaryDirectory(prefix="groundtruth-feed-") as folder:
            table = Path(folder) / "changes.csv"
            db.execute(f"COPY changes TO {literal(table)} (FORMAT csv, HEADER)")
            content = table.read_bytes()
    figures = {name: value for name, value in report.key_figures.items() if name not in NO_TOTALS}
    totals = {"records": report.records} | {
        name: value for name, value in figures.items() if isinstance(value, int | float)
    }
    return Changes(
        totals=totals,
        added=counts.get("added", 0),
        changed=counts.get("changed", 0),
        removed=counts.get("removed", 0),
        table=content,
    )


def _table(db: DuckDBPyConnection, path: Path) -> tuple[str, list[str]]:
    """Return the query of a table of readings, and its columns."""
    rows = f"read_csv({file_argument(path)}, header = true, all_varchar = true, delim = ',')"
    columns = [row[0] for row in db.execute(f"DESCRIBE FROM {rows}").fetchall()]
    return f"SELECT * REPLACE (power::DOUBLE AS power, efficiency::DOUBLE AS efficiency) FROM {rows}", columns
