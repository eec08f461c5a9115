"""A feed of the small pipeline: lines of `day,value`, and results that hold one line for each reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import Field

from include.core.contracts import Window
from include.core.errors import BadInputError
from include.core.feeds import Changes, Examined, FeedReader
from include.core.pipeline import Pipeline
from tests.core.small_pipeline import MEASURE, pipeline, spec


class FeedParams(Window):
    files: tuple[str, ...] = ()
    timezone: str | None = None
    factor: float = Field(2.0, gt=0)
    feed: str | None = None
    limits: str | None = Field(None, json_schema_extra={"file": True})


READER = FeedReader("tests.core.small_feed:examine", "tests.core.small_feed:compare")
FEED_PIPELINE: Pipeline = replace(
    pipeline(spec("measure"), known=(replace(MEASURE, params=FeedParams),), publish=("in.csv",)), feed_reader=READER
)


def examine(file: Path, name: str, params: Mapping[str, Any]) -> Examined:
    """Read `day,value` lines; the values of a day are its checksum."""
    days: dict[date, str] = {}
    for line in file.read_text().splitlines():
        if line == "crash":
            raise ZeroDivisionError("a defect")
        day, _, value = line.partition(",")
        try:
            days[date.fromisoformat(day)] = days.get(date.fromisoformat(day), "") + value
        except ValueError as error:
            raise BadInputError(f"{name}: {day!r} is no day; say --factor 1") from error
    until = max((datetime(d.year, d.month, d.day, tzinfo=UTC) + timedelta(days=1) for d in days), default=None)
    return Examined(records=len(days), days=days, until=until)


def compare(results: Mapping[str, Path], published: Path | None) -> Changes:
    """Compare lines."""
    after = results["in.csv"].read_text().splitlines()
    before = (published / "in.csv").read_text().splitlines() if published else []
    added, removed = len(set(after) - set(before)), len(set(before) - set(after))
    return Changes({"lines": len(after)}, added=added, changed=0, removed=removed, table=b"change\n")
