"""The window of the satellite pipelines: the days before its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from include.core.contracts import Window
from include.core.errors import BadInputError
from include.core.windows import Interval, IntervalWindow, read_instant, read_zone


class LookbackWindow(IntervalWindow):
    """A window of `days_back` days up to `end`, whatever the length of the run's data interval."""

    def from_options(
        self, date: datetime | None, start: str | None, end: str | None, zone: str | None, *, has_files: bool
    ) -> dict[str, Any]:
        """Return `end` in UTC and, where a start is given, `days_back`."""
        if start and not end:
            raise BadInputError("--start needs --end: the window ends there")
        if end and not start and date is None:
            return {"end": read_instant("--end", end, read_zone(zone))}
        interval = super().from_options(date, start, end, zone, has_files=False)
        if not start:
            return {"end": interval["end"]}
        first, last = (datetime.fromisoformat(interval[name]) for name in ("start", "end"))
        days, rest = divmod(last - first, timedelta(days=1))
        if days < 1 or rest:
            raise BadInputError(f"--start {start} and --end {end} must be whole days apart, at least one")
        return {"end": interval["end"], "days_back": days}

    def of_run(self, params: Mapping[str, Any], interval: Interval | None, *, has_files: bool) -> Window:
        """Return the days before `end`, or before the end of the data interval; open where there is neither."""
        end = params.get("end")
        last = datetime.fromisoformat(end) if end else interval[1].astimezone(UTC) if interval else None
        return Window(start=last - timedelta(days=params["days_back"]), end=last) if last else Window()

    def describe(self, params: Mapping[str, Any]) -> str:
        """Return the days and the end."""
        return f"the {params['days_back']} days to {params['end']}"
