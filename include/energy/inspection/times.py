"""Which columns hold the time of a reading, how it is written, in which zone, and which end of its interval it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from include.core.windows import parse_zone
from include.energy.inspection.columns import HOUR_NUMBER, UTC_NAME, Column
from include.energy.inspection.draft import Draft
from include.energy.inspection.plan import STAMPS_MARK, ZONE
from include.energy.inspection.spelling import (
    DateOrder,
    StampSpelling,
    begins_with_short_year,
    parse_stamp,
    shape_of,
    spell_stamps,
    split_range,
)


def times_in_header(draft: Draft) -> dict[int, str]:
    """Return the time that a column's name states, where a row holds the readings of many times."""
    found = {
        column.position: column.name
        for column in draft.columns
        if column.shape in ("number", "text", "empty") and shape_of(hour_name(column.name)) in ("stamp", "time")
    }
    numbered = [column for column in draft.columns if _PERIOD_NAME.fullmatch(column.name)]
    if len(found) < 3 and len(numbered) >= 23 and any(column.shape == "date" for column in draft.columns):
        numbers = {column.position: int(re.sub(r"\D", "", column.name)) for column in numbered}
        repeated = [column for column in draft.columns if _REPEATED_HOUR.fullmatch(column.name)]
        if repeated:
            return _clock_hours(draft, numbers, repeated)
        from_zero = min(numbers.values()) == 0
        found = {position: f"{number:02}:00" if from_zero else str(number) for position, number in numbers.items()}
    if len(found) < 3:
        return {}
    draft.state("layout", f"{len(found)} readings a row, their times in the header", ", ".join([*found.values()][:3]))
    times = {position: hour_name(name) for position, name in found.items()}
    last = max(times)
    if re.match(r"0?0:00", times[last]) and not re.match(r"0?0:00", times[min(times)]):
        times[last] = re.sub(r"^0?0", "24", times[last])  # the end of the day, not its beginning
    return times


def _clock_hours(draft: Draft, numbers: dict[int, int], repeated: Sequence[Column]) -> dict[int, str]:
    """Return the times of hours that are numbered as clocks show them, where 3A and 3B are the repeated one."""
    for column in repeated:
        numbers[column.position] = int(re.sub(r"\D", "", column.name))
    if set(numbers.values()) != set(range(1, 25)):
        raise draft.refuse(
            f"its columns {', '.join(repr(column.name) for column in repeated)} name the repeated hour, and the others "
            "are not the hours 1 to 24; write times, 00:00 to 23:00, with A and B: 02:00A, 02:00B"
        )
    marks = {column.position: column.name[-1].upper() for column in repeated}
    shown = ", ".join(repr(column.name) for column in repeated)
    draft.state("layout", f"{len(numbers)} readings a row, hours as clocks show them", f"{shown} are the repeated hour")
    return {position: f"{numbers[position] - 1:02}:00{marks.get(position, '')}" for position in sorted(numbers)}


def find_stamps(draft: Draft, spread: dict[int, str]) -> tuple[tuple[int, ...], bool, int | None]:
    """Return the columns of the stamp, whether it is the start of a range, and the minutes of numbered periods."""
    times = [column for column in draft.columns if column.is_time and column.position not in spread]
    if draft.mapping.timestamps:
        chosen = [draft.columns[draft.position(name, "timestamp")] for name in draft.mapping.timestamps]
    elif spread and all(shape_of(text) == "stamp" for text in spread.values()):
        return (), False, None
    else:
        chosen = _choose_stamp(draft, times)
    if not chosen:
        raise draft.refuse("no column holds times; name it with --columns timestamp=…")
    if len(chosen) == 1 and chosen[0].shape == "date" and not spread:
        chosen += _find_companion(draft, chosen[0], times)
    period = None
    if len(chosen) == 2 and chosen[1].shape == "number":
        period = _period_minutes(draft, chosen[1].name, _period_numbers(draft, chosen[1]))
    elif spread and all(name.isdigit() for name in spread.values()):
        period = _period_minutes(draft, "the header", [int(name) for name in spread.values()])
    names = " and ".join(repr(draft.name(column.position)) for column in chosen)
    example = " ".join(column.texts[0] for column in chosen if column.texts)
    draft.state("stamp", names, f"for example {example!r}")
    return tuple(column.position for column in chosen), chosen[0].shape == "range", period


def _choose_stamp(draft: Draft, times: Sequence[Column]) -> list[Column]:
    """Return the column with the stamps: one that names a start, else the first that moves."""
    full = [column for column in times if column.shape in ("stamp", "range")]
    full = full or [column for column in times if column.shape in ("unix", "unix_ms")]
    full = full or [column for column in times if column.shape == "date"]
    moving = [column for column in full if len(column.distinct) > 1] or full
    starts = [column for column in moving if column.is_start] or [c for c in moving if not c.is_end] or moving
    return starts[:1]


def _find_companion(draft: Draft, date: Column, times: Sequence[Column]) -> list[Column]:
    """Return the column with the time of day that belongs to a column of dates, or none."""
    clocks = [column for column in times if column.shape == "time" and len(column.distinct) > 1]
    same_end = [column for column in clocks if column.is_end == date.is_end]
    starts = [column for column in clocks if column.is_start] if not date.is_end else []
    if clocks:
        return [(starts or same_end or clocks)[0]]
    numbers = [
        column
        for column in draft.columns
        if column.shape == "number"
        and HOUR_NUMBER.search(column.name.replace("_", " "))
        and (are_periods(column) or any(map(_REPEATED_NUMBER.fullmatch, column.texts)))
    ]
    return numbers[:1]


def _period_numbers(draft: Draft, column: Column) -> list[int]:
    """Return the numbers of periods that a column holds; hours as clocks show them (3A, 3B) are refused."""
    other = next((text for text in column.texts if not text.isdigit()), None) or draft.search(column.position, r"\D")
    if other:
        raise draft.refuse(
            f"numbers the periods of the day in {column.name!r}, and one is {other!r}: whether numbers count from "
            "midnight or as clocks show them is open on days on which clocks change; write times, 00:00 to 23:00, the "
            "repeated hour with A and B: 02:00A, 02:00B"
        )
    return [int(text) for text in column.texts]


def _period_minutes(draft: Draft, name: str, numbers: Sequence[int]) -> int:
    """Return the minutes of a day's periods that are numbered from 1; days of 25 hours have some more."""
    most = max(numbers)
    periods = next((count for count in (24, 48, 96, 288) if most <= count + count // 24), None)
    if min(numbers) == 0 or periods is None:
        raise draft.refuse(
            f"numbers the periods of the day from {min(numbers)} to {most} in {name!r}; write them as times, 00:00 to "
            "23:00"
        )
    draft.state("periods", f"{periods} a day, numbered from 1 at midnight", f"{name!r} holds 1 to {most}")
    return 1440 // periods


def spell(
    draft: Draft, stamps: Sequence[int], spread: dict[int, str], *, ranges: bool
) -> tuple[StampSpelling, DateOrder | None]:
    """Return how stamps are spelled, and the order of day and month."""
    texts = _stamp_texts(draft, stamps, spread, ranges=ranges)
    shapes = Counter(map(shape_of, texts))
    del shapes["other"]
    if not shapes:
        example = f"; the first is {texts[0]!r}" if texts else ""
        raise draft.refuse(
            f"none of its stamps can be read{example}; write them year first, for example "
            "2026-03-29T14:30:00+02:00 or 2026-03-29 14:30"
        )
    shape = shapes.most_common(1)[0][0]
    spelling = spell_stamps(texts, shape)
    if shape in ("unix", "unix_ms"):
        unit = "seconds" if shape == "unix" else "milliseconds"
        draft.state("time", f"{unit} since 1970, UTC", f"{texts[0]} is {parse_stamp(texts[0], 'ymd')} UTC")
        return spelling, "ymd"
    order, evidence = spelling.order, spelling.evidence
    if order is None and stamps:
        for pattern, candidate in _DECIDING_DATES:
            if order is None and (text := draft.search(stamps[0], pattern)):
                order, evidence = candidate, f"{text!r} can only be so"  # type: ignore[assignment]
    if draft.answers.date_order:
        if order and order != draft.answers.date_order:
            stated = f"{draft.option('date_order', '--date-order')} {draft.answers.date_order}"
            draft.contradict(f"{stated} contradicts the file: {evidence}", "leave it out")
        order, evidence = draft.answers.date_order, draft.stated_by("date_order")
    if spelling.short_year and order and begins_with_short_year(texts, order):
        raise draft.refuse(
            f"dates such as {texts[0]!r} follow each other only if the year stands first, in two digits, which is not "
            "read; write years with four digits"
        )
    if order is None:
        draft.ask(
            "date order",
            f"day and month of {texts[0]!r} cannot be told apart: nothing in the file decides",
            "--date-order dmy",
            "--date-order mdy",
        )
    elif order != "ymd" or draft.answers.date_order:
        draft.state("date order", {"ymd": "year first", "dmy": "day first", "mdy": "month first"}[order], evidence)
    if spelling.half:
        draft.state("clock", "12 hours", "AM and PM")
    return spelling, order


def _stamp_texts(draft: Draft, stamps: Sequence[int], spread: dict[int, str], *, ranges: bool = False) -> list[str]:
    rows = (*draft.layout.rows, *draft.layout.more)
    if not stamps:
        return list(spread.values())
    texts = [_stamp_of(draft, row, stamps[:1] if _is_period(draft, stamps) else stamps) for row in rows]
    filled = [text for text in texts if text and not text.endswith(" ")]
    if spread and not any(name.isdigit() for name in spread.values()):
        names = list(spread.values())
        filled = [f"{text} {name}" for text in filled for name in (names[0], names[-1])]
    return [pair[0] if (pair := split_range(text)) else text for text in filled] if ranges else filled


def _is_period(draft: Draft, stamps: Sequence[int]) -> bool:
    return len(stamps) == 2 and draft.columns[stamps[1]].shape == "number"


def _stamp_of(draft: Draft, row: Sequence[str], stamps: Sequence[int]) -> str:
    parts = [row[position] if position < len(row) else "" for position in stamps]
    if len(parts) == 2 and shape_of(parts[0]) == "stamp" and shape_of(parts[1]) == "time":
        parts[0] = re.split(r"[T ]", parts[0])[0]
    return " ".join(parts)


def find_zone(draft: Draft, stamps: Sequence[int], spelling: StampSpelling, spread: dict[int, str]) -> bool:
    """Return whether stamps without a zone are UTC."""
    if spelling.zoned:
        draft.state(ZONE, "each stamp names its own" if spelling.shape == "stamp" else "UTC")
        return False
    named = next(
        (draft.columns[p].name for p in stamps if UTC_NAME.search(draft.columns[p].name.replace("_", " "))), ""
    )
    if named and not draft.answers.as_mapped:
        draft.state(ZONE, "UTC", f"the column's name is {named!r}")
        return True
    if draft.answers.timezone:
        draft.state(ZONE, draft.answers.timezone, draft.stated_by("timezone"))
    else:
        example = _stamp_texts(draft, stamps, spread)[0]
        draft.ask(
            ZONE,
            f"the stamp {example!r} names no zone; say which one is meant: a zone for local clocks, a fixed offset "
            "for clocks that never change",
            "--timezone Europe/Berlin",
            "--timezone +10:00",
        )
    return False


def find_ends(
    draft: Draft,
    stamps: Sequence[int],
    spelling: StampSpelling,
    order: DateOrder | None,
    spread: dict[int, str],
    *,
    ranges: bool,
    period: int | None,
    cumulative: bool,
) -> bool:
    """Return whether stamps mark the ends of their intervals."""
    stated = draft.answers.stamp
    shown, evidence = _shown_ends(draft, stamps, spelling, order, spread, ranges=ranges, period=period)
    if cumulative:
        return False
    if draft.answers.own:
        draft.state(STAMPS_MARK, f"the {stated or 'start'} of the interval", "as in energy_data.csv")
        return stated == "end"
    if stated:
        # A file may be cut at midnight whatever its stamps mark, but not after the first interval of a day.
        certain = shown is not None and not evidence.startswith("only as starts")
        if certain and shown != (stated == "end"):
            draft.contradict(
                f"{draft.option('stamp', '--stamp')} {stated} contradicts the file: {evidence}", "leave it out"
            )
        draft.state(STAMPS_MARK, f"the {stated} of the interval", draft.stated_by("stamp"))
        return stated == "end"
    if shown is None:
        draft.state(STAMPS_MARK, "the start of the interval", "nothing shows whether it is start or end", assumed=True)
    else:
        draft.state(STAMPS_MARK, f"the {'end' if shown else 'start'} of the interval", evidence)
    return bool(shown)


def _shown_ends(
    draft: Draft,
    stamps: Sequence[int],
    spelling: StampSpelling,
    order: DateOrder | None,
    spread: dict[int, str],
    *,
    ranges: bool,
    period: int | None,
) -> tuple[bool | None, str]:
    if period:
        return False, "periods are numbered from the one that begins at midnight"
    if ranges:
        return False, "each stamp is a range, and its first time is taken"
    if (shown := _ends_by_name([draft.columns[position] for position in stamps], draft.columns)) is not None:
        return shown
    texts = [*spread.values(), *(draft.columns[stamps[-1]].distinct if stamps else ())]
    midnights = {mark for mark in ("24:00", "00:00") if any(re.search(rf"(^|[T ]){mark}", t) for t in texts)}
    if midnights == {"24:00"}:
        return True, "days end with 24:00, and none begins with 00:00"
    if spread and all(shape_of(text) == "time" for text in spread.values()):
        first = parse_stamp(f"2000-01-01 {spread[min(spread)]}", "ymd")
        return first is not None and _time_of_day(first) > timedelta(), "only so are its times complete days"
    return _complete_days(draft, stamps, order) if order and stamps and spelling.shape == "stamp" else (None, "")


def _ends_by_name(chosen: Sequence[Column], columns: Sequence[Column]) -> tuple[bool, str] | None:
    """Tell by names: of the stamp's column, and of another one with the other end."""
    if not chosen:
        return None
    last = chosen[-1]
    others = [c for c in columns if c.is_time and c not in chosen and c.shape == last.shape and c.is_end]
    if last.is_start and others:
        return False, f"another column, {others[0].name!r}, holds the end"
    if last.is_end or last.is_start:
        return last.is_end, f"the column's name is {last.name!r}"
    return None


def _complete_days(draft: Draft, stamps: Sequence[int], order: DateOrder) -> tuple[bool | None, str]:
    """Tell by first and last stamp: the days of an export are complete only if it begins and ends with a day."""
    first, last = draft.layout.rows[0], draft.layout.last or draft.layout.rows[-1]
    times = [parse_stamp(_stamp_of(draft, row, stamps), order) for row in (first, last)]
    steps = [b - a for a, b in pairwise(_moments(draft, stamps, order))]
    common = Counter(step for step in steps if step > timedelta()).most_common(1)
    if None in times or not common:
        return None, ""
    early, late = sorted(time.replace(tzinfo=None) for time in times if time)
    step, day = common[0][0], timedelta(days=1)
    since_midnight, until_midnight = (_time_of_day(early), (day - _time_of_day(late)) % day)
    if step >= day:
        return None, ""
    if since_midnight == step and not until_midnight and step != _offset(draft, first, stamps, early):
        return True, f"only as ends do the stamps, {early:%H:%M} to {late:%H:%M}, give complete days"
    if not since_midnight and until_midnight == step:
        return False, f"only as starts do the stamps, {early:%H:%M} to {late:%H:%M}, give complete days"
    return None, ""


def _offset(draft: Draft, row: Sequence[str], stamps: Sequence[int], moment: datetime) -> timedelta | None:
    """Return what the clock of a stamp is ahead of UTC: days of UTC begin there on a local clock."""
    if zone := re.search(r"([+-])(\d\d):?(\d\d)?$", _stamp_of(draft, row, stamps)[10:]):
        ahead = timedelta(hours=int(zone[2]), minutes=int(zone[3] or 0))
        return ahead if zone[1] == "+" else -ahead
    return moment.replace(tzinfo=parse_zone(draft.answers.timezone or "UTC")).utcoffset()


def _time_of_day(moment: datetime) -> timedelta:
    return timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second)


def _moments(draft: Draft, stamps: Sequence[int], order: DateOrder) -> list[datetime]:
    texts = (_stamp_of(draft, row, stamps) for row in draft.layout.rows[:500])
    moments = (parse_stamp(text, order) for text in texts)
    return [moment.replace(tzinfo=None) for moment in moments if moment]


_PERIOD_NAME = re.compile(r"(?i)(h|hh|hr|hour|he|std|p|q|qh|period|interval|v)?[ _-]?0?\d{1,3}")
_REPEATED_NUMBER = re.compile(r"\d{1,2}[ABab]")
_REPEATED_HOUR = re.compile(rf"{_PERIOD_NAME.pattern}[ABab]")
_DECIDING_DATES = (
    (r"^(1[3-9]|2\d|3[01])[-/.]", "dmy"),
    (r"^\d{1,2}[-/.](1[3-9]|2\d|3[01])[-/.]", "mdy"),
)


def hour_name(name: str) -> str:
    """Return the time within a column's name, such as `00:15 - 00:30` or `kWh 00:15`."""
    if shape_of(name) in ("stamp", "time"):
        return name
    match = re.fullmatch(r"\D*?(\d{1,2}:\d{2}(?::\d{2})?)(?:\s*[-–]\s*\d{1,2}:\d{2}(?::\d{2})?)?\D*", name)
    return match[1] if match else name


def are_periods(column: Column) -> bool:
    """Return whether a column may number the periods of days."""
    numbers = [text for text in column.texts if text.isdigit()]
    return (
        len(numbers) == len(column.texts)
        and bool(numbers)
        and max(map(int, numbers)) <= 300
        and len(column.distinct) > 3
    )
