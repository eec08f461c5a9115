"""A delimited file understood: every column's role, with the evidence, or the question that has to be answered first.

What the user states (`Answers`) comes first, and is checked against the file: a mapping that the file contradicts is
refused, unless `as_mapped` insists on it. What nobody states is recognised. Where two readings are possible and a
total depends on which one is right, there is a question; only the start or end of intervals may be assumed, for that
moves readings by one interval and changes no total.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import PurePath

from include.core.errors import BadInputError
from include.energy.inspection.columns import (
    CHOICE,
    ESTIMATED,
    EXPORT,
    HOUR_NUMBER,
    IMPORT,
    METER,
    PHASE,
    QUALITY,
    REGISTER_NAME,
    TARIFF,
    UTC_NAME,
    Column,
    profile,
)
from include.energy.inspection.layout import Layout
from include.energy.inspection.mapping import EVERY, FILE, ColumnMapping
from include.energy.inspection.plan import STAMPS_MARK, ZONE, Answers, Question, ReadingPlan, Statement, Understanding
from include.energy.inspection.spelling import (
    DateOrder,
    Decimal,
    StampSpelling,
    foreign_unit_in,
    parse_stamp,
    shape_of,
    spell_numbers,
    spell_stamps,
    split_range,
    unit_in,
    unit_of,
)
from include.energy.schemas import Unit

Search = Callable[[int, str], str | None]
"""From a column and a regular expression to a cell of the complete file that matches it, None where there is none."""
UNNAMED = ("", "Unnamed: 0")
"""How users and pandas name a first column without a name."""
REPEATED_SHARE = 0.3
RISES_NEEDED = 24


def understand(layout: Layout, answers: Answers, search: Search) -> Understanding:
    """Return what a delimited file is, and how to read it.

    Args:
        layout: Where its table stands, with a sample of its rows.
        answers: What the user states.
        search: Looks for a text in the complete file, where the sample does not decide.

    Raises:
        BadInputError: The user names a column that the file does not have, or states what the file contradicts.
    """
    return _Reader(layout, answers, search).understand()


class _Reader:
    """Decides role after role; keeps statements and questions in the order of a reader's questions."""

    def __init__(self, layout: Layout, answers: Answers, search: Search) -> None:
        self.layout, self.answers, self.search = layout, answers, search
        self.mapping = answers.mapping or ColumnMapping()
        self.file = layout.file
        self.columns = profile(layout)
        self.statements: list[Statement] = []
        self.questions: list[Question] = []

    def understand(self) -> Understanding:
        self._describe_table()
        self._require_columns()
        mapped = [self._position(name, self._role(name)) for name in self.mapping.names]
        spread = self._times_in_header()
        stamps, ranges, period = self._find_stamps(spread)
        spelling, order = self._spell(stamps, spread, ranges=ranges)
        taken = {*stamps, *mapped}
        where = self._where()
        meter, household = self._find_meter({*stamps, *(position for position, _ in where)})
        values = self._find_values(taken | ({meter} if meter is not None else set()), spread, household)
        where = where or self._choose_rows(stamps, meter, values, order, spelling)
        unit = self._find_unit(values)
        cumulative = self._is_cumulative(values, meter, unit, stamps)
        decimal, thousands = self._spell_numbers(values)
        utc = self._find_zone(stamps, spelling, spread)
        ends = self._find_ends(stamps, spelling, order, spread, ranges=ranges, period=period, cumulative=cumulative)
        quality = self._find_quality()
        if len(values) > 1 and household is None and meter is None:
            self._state("households", f"{len(values)}, one for each column", ", ".join(self._names(values[:4])))
        plan = None
        open_questions = [question for question in self.questions if question.topic != ZONE]
        if not open_questions and order and unit and values and decimal:
            plan = ReadingPlan(
                file=self.file,
                stamps=stamps,
                spelling=spelling,
                order=order,
                unit=unit,
                values=values,
                period_minutes=period,
                ranges=ranges,
                ends=ends,
                utc=utc,
                meter=meter,
                household=household,
                spread=spread,
                cumulative=cumulative,
                decimal=decimal,
                thousands=thousands,
                where=where,
                quality=quality,
                voltage=self._optional(self.mapping.voltage),
                current=self._optional(self.mapping.current),
            )
        mapping = self._command(stamps, meter, household, values, unit, cumulative=cumulative)
        return Understanding(tuple(self.statements), tuple(self.questions), plan, mapping)

    # Helpers

    def _state(self, topic: str, value: str, evidence: str = "", *, assumed: bool = False) -> None:
        self.statements.append(Statement(topic, value, evidence, assumed))

    def _ask(self, topic: str, text: str, *options: str) -> None:
        self.questions.append(Question(topic, text, options))

    def _refuse(self, reason: str) -> BadInputError:
        return BadInputError(f"{self.file.name}: {reason}")

    def _contradict(self, reason: str, remedy: str) -> None:
        """Refuse what the user states and the file contradicts, unless the user insists."""
        if not self.answers.as_mapped:
            raise self._refuse(f"{reason}; {remedy}, or insist with --as-mapped")
        self._state("as mapped", "the user insists", reason)

    def _name(self, position: int) -> str:
        """Return how the mapping names a column: by its name, or as `#3` where that is not unique or not there."""
        name = self.file.columns[position]
        unique = self.file.columns.count(name) == 1 and name not in ("", EVERY) and not name.startswith("@")
        return name if unique else f"#{position + 1}"

    def _names(self, positions: Sequence[int]) -> list[str]:
        return [self._name(position) for position in positions]

    def _role(self, name: str) -> str:
        return "timestamp" if name in self.mapping.timestamps else self.mapping.field or "household_id"

    def _require_columns(self) -> None:
        """Refuse a mapping with columns that the file does not have; names all of them."""
        columns = self.file.columns
        missing = [name for name in self.mapping.names if not re.fullmatch(r"#\d+", name) and name not in columns]
        if columns[0] == "#1":
            missing = [name for name in missing if name not in UNNAMED]
        if not missing:
            return
        close = {name: difflib.get_close_matches(name, columns, 1, 0.6) for name in missing}
        meant = [f"{match[0]!r} instead of {name!r}" for name, match in close.items() if match]
        raise self._refuse(
            f"has no column {' and no column '.join(map(repr, missing))}; its columns are "
            f"{', '.join(map(repr, columns[:30]))}"
            + ("" if self.layout.has_header else "; it has no header: name columns by their place")
            + (f"; did you mean {' and '.join(meant)}?" if meant else "")
        )

    def _position(self, name: str, role: str) -> int:
        columns = self.file.columns
        if match := re.fullmatch(r"#(\d+)", name):
            position = int(match[1]) - 1
            if 0 <= position < len(columns):
                return position
            raise self._refuse(f"has no column {name}; it has {len(columns)}")
        if name in UNNAMED and columns[0] == "#1":
            return 0
        positions = [position for position, column in enumerate(columns) if column == name]
        if not positions:
            raise self._refuse(f"has no column {name!r}; its columns are {', '.join(map(repr, columns[:30]))}")
        first = self.columns[positions[0]].texts
        if any(self.columns[position].texts != first for position in positions[1:]):
            shown = "; ".join(f"{role}=#{p + 1} holds {', '.join(self.columns[p].distinct[:3])}" for p in positions)
            raise self._refuse(
                f"names {name!r} {len(positions)} times, and they differ; name one by its place: {shown}"
            )
        return positions[0]

    def _optional(self, name: str | None) -> int | None:
        return None if name is None else self._position(name, "voltage")

    # What the table is

    def _describe_table(self) -> None:
        file, layout = self.file, self.layout
        if layout.preamble:
            self._state("preamble", f"{len(layout.preamble)} lines", " | ".join(filter(None, layout.preamble[0]))[:60])
        names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar", " ": "blanks"}
        self._state("delimiter", names[file.delimiter])
        if layout.has_header:
            self._state("header", f"line {file.header_line}", ", ".join(map(repr, file.columns[:8])))
        else:
            self._state("header", "none: columns are named #1, #2, …", "the first line holds a reading")
        if file.repeated_header:
            self._state("repeated header", "left out", "the header's line stands again between records")
        if layout.footer:
            self._state("footer", f"{len(layout.footer)} lines after line {file.last_line}", layout.footer[0][:60])

    # Times

    def _times_in_header(self) -> dict[int, str]:
        """Return the time that a column's name states, where a row holds the readings of many times."""
        found = {
            column.position: column.name
            for column in self.columns
            if column.shape in ("number", "empty") and shape_of(_hour_name(column.name)) in ("stamp", "time")
        }
        numbered = [
            column for column in self.columns if re.fullmatch(r"(?i)(h|hour|he|std|v)?[ _]?0?\d{1,2}", column.name)
        ]
        if len(found) < 3 and len(numbered) >= 23 and any(column.shape == "date" for column in self.columns):
            found = {column.position: re.sub(r"\D", "", column.name) for column in numbered}
        if len(found) < 3:
            return {}
        self._state(
            "layout", f"{len(found)} readings a row, their times in the header", ", ".join([*found.values()][:3])
        )
        return {position: _hour_name(name) for position, name in found.items()}

    def _find_stamps(self, spread: dict[int, str]) -> tuple[tuple[int, ...], bool, int | None]:
        """Return the columns of the stamp, whether it is the start of a range, and the minutes of numbered periods."""
        times = [column for column in self.columns if column.is_time and column.position not in spread]
        if self.mapping.timestamps:
            chosen = [self.columns[self._position(name, "timestamp")] for name in self.mapping.timestamps]
        elif spread and all(shape_of(text) == "stamp" for text in spread.values()):
            return (), False, None
        else:
            chosen = self._choose_stamp(times)
        if not chosen:
            raise self._refuse("no column holds times; name it with --columns timestamp=…")
        if len(chosen) == 1 and chosen[0].shape == "date" and not spread:
            chosen += self._find_companion(chosen[0], times)
        period = None
        if len(chosen) == 2 and chosen[1].shape == "number":
            period = self._period_minutes(chosen[1])
        names = " and ".join(repr(self._name(column.position)) for column in chosen)
        example = " ".join(column.texts[0] for column in chosen if column.texts)
        self._state("stamp", names, f"for example {example!r}")
        return tuple(column.position for column in chosen), chosen[0].shape == "range", period

    def _choose_stamp(self, times: Sequence[Column]) -> list[Column]:
        """Return the column with the stamps: one that names a start, else the first that moves."""
        full = [column for column in times if column.shape in ("stamp", "range")]
        full = full or [column for column in times if column.shape in ("unix", "unix_ms")]
        full = full or [column for column in times if column.shape == "date"]
        moving = [column for column in full if len(column.distinct) > 1] or full
        starts = [column for column in moving if column.is_start] or [c for c in moving if not c.is_end] or moving
        return starts[:1]

    def _find_companion(self, date: Column, times: Sequence[Column]) -> list[Column]:
        """Return the column with the time of day that belongs to a column of dates, or none."""
        clocks = [column for column in times if column.shape == "time" and len(column.distinct) > 1]
        same_end = [column for column in clocks if column.is_end == date.is_end]
        starts = [column for column in clocks if column.is_start] if not date.is_end else []
        if clocks:
            return [(starts or same_end or clocks)[0]]
        numbers = [
            column
            for column in self.columns
            if column.shape == "number" and HOUR_NUMBER.search(column.name.replace("_", " ")) and _are_periods(column)
        ]
        return numbers[:1]

    def _period_minutes(self, column: Column) -> int:
        numbers = [int(text) for text in column.texts]
        most = max(numbers)
        if min(numbers) == 0:
            raise self._refuse(
                f"numbers the hours of the day from 0 in {column.name!r}; write them as times, 00:00 to 23:00"
            )
        periods = next(count for count in (24, 48, 96, 288) if most <= count + count // 24)
        self._state("periods", f"{periods} a day, numbered from 1 at midnight", f"{column.name!r} holds 1 to {most}")
        return 1440 // periods

    def _spell(
        self, stamps: Sequence[int], spread: dict[int, str], *, ranges: bool
    ) -> tuple[StampSpelling, DateOrder | None]:
        """Return how stamps are spelled, and the order of day and month."""
        texts = self._stamp_texts(stamps, spread, ranges=ranges)
        shapes = Counter(map(shape_of, texts))
        del shapes["other"]
        if not shapes:
            example = f"; the first is {texts[0]!r}" if texts else ""
            raise self._refuse(
                f"none of its stamps can be read{example}; write them year first, for example "
                "2026-03-29T14:30:00+02:00 or 2026-03-29 14:30"
            )
        shape = shapes.most_common(1)[0][0]
        spelling = spell_stamps(texts, shape)
        if shape in ("unix", "unix_ms"):
            unit = "seconds" if shape == "unix" else "milliseconds"
            self._state("time", f"{unit} since 1970, UTC", f"{texts[0]} is {parse_stamp(texts[0], 'ymd')} UTC")
            return spelling, "ymd"
        order, evidence = spelling.order, spelling.evidence
        if order is None and stamps:
            for pattern, candidate in _DECIDING_DATES:
                if order is None and (text := self.search(stamps[0], pattern)):
                    order, evidence = candidate, f"{text!r} can only be so"  # type: ignore[assignment]
        if self.answers.date_order:
            if order and order != self.answers.date_order:
                self._contradict(
                    f"--date-order {self.answers.date_order} contradicts the file: {evidence}", "leave it out"
                )
            order, evidence = self.answers.date_order, "stated by the user"
        if order is None:
            self._ask(
                "date order",
                f"day and month of {texts[0]!r} cannot be told apart: nothing in the file decides",
                "--date-order dmy",
                "--date-order mdy",
            )
        elif order != "ymd" or evidence.startswith("stated"):
            self._state("date order", {"ymd": "year first", "dmy": "day first", "mdy": "month first"}[order], evidence)
        if spelling.half:
            self._state("clock", "12 hours", "AM and PM")
        return spelling, order

    def _stamp_texts(self, stamps: Sequence[int], spread: dict[int, str], *, ranges: bool = False) -> list[str]:
        rows = (*self.layout.rows, *self.layout.more)
        if not stamps:
            return list(spread.values())
        texts = [self._stamp_of(row, stamps[:1] if self._is_period(stamps) else stamps) for row in rows]
        filled = [text for text in texts if text and not text.endswith(" ")]
        return [pair[0] if (pair := split_range(text)) else text for text in filled] if ranges else filled

    def _is_period(self, stamps: Sequence[int]) -> bool:
        return len(stamps) == 2 and self.columns[stamps[1]].shape == "number"

    def _stamp_of(self, row: Sequence[str], stamps: Sequence[int]) -> str:
        parts = [row[position] if position < len(row) else "" for position in stamps]
        if len(parts) == 2 and shape_of(parts[0]) == "stamp" and shape_of(parts[1]) == "time":
            parts[0] = re.split(r"[T ]", parts[0])[0]
        return " ".join(parts)

    def _find_zone(self, stamps: Sequence[int], spelling: StampSpelling, spread: dict[int, str]) -> bool:
        """Return whether stamps without a zone are UTC."""
        if spelling.zoned:
            self._state(ZONE, "each stamp names its own" if spelling.shape == "stamp" else "UTC")
            return False
        named = next(
            (self.columns[p].name for p in stamps if UTC_NAME.search(self.columns[p].name.replace("_", " "))), ""
        )
        if named and not self.answers.as_mapped:
            self._state(ZONE, "UTC", f"the column's name is {named!r}")
            return True
        if self.answers.timezone:
            self._state(ZONE, self.answers.timezone, "stated by the user")
        else:
            example = self._stamp_texts(stamps, spread)[0]
            self._ask(
                ZONE,
                f"the stamp {example!r} names no zone; say which one is meant: a zone for local clocks, a fixed offset "
                "for clocks that never change",
                "--timezone Europe/Berlin",
                "--timezone +10:00",
            )
        return False

    def _find_ends(
        self,
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
        stated = self.answers.stamp
        shown, evidence = self._shown_ends(stamps, spelling, order, spread, ranges=ranges, period=period)
        if cumulative:
            return False
        if self.answers.own:
            self._state(STAMPS_MARK, f"the {stated or 'start'} of the interval", "as in energy_data.csv")
            return stated == "end"
        if stated:
            # A file may be cut at midnight whatever its stamps mark, but not after the first interval of a day.
            certain = shown is not None and not evidence.startswith("only as starts")
            if certain and shown != (stated == "end"):
                self._contradict(f"--stamp {stated} contradicts the file: {evidence}", "leave it out")
            self._state(STAMPS_MARK, f"the {stated} of the interval", "stated by the user")
            return stated == "end"
        if shown is None:
            self._state(
                STAMPS_MARK, "the start of the interval", "nothing shows whether it is start or end", assumed=True
            )
        else:
            self._state(STAMPS_MARK, f"the {'end' if shown else 'start'} of the interval", evidence)
        return bool(shown)

    def _shown_ends(
        self,
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
        chosen = [self.columns[position] for position in stamps]
        pairs = [c for c in self.columns if c.is_time and c not in chosen and chosen and c.shape == chosen[-1].shape]
        if chosen and chosen[-1].is_start and any(column.is_end for column in pairs):
            return False, f"another column, {next(c.name for c in pairs if c.is_end)!r}, holds the end"
        if chosen and chosen[-1].is_end:
            return True, f"the column's name is {chosen[-1].name!r}"
        if chosen and chosen[-1].is_start:
            return False, f"the column's name is {chosen[-1].name!r}"
        texts = [*spread.values(), *(chosen[-1].distinct if chosen else ())]
        midnights = {mark for mark in ("24:00", "00:00") if any(re.search(rf"(^|[T ]){mark}", t) for t in texts)}
        if midnights == {"24:00"}:
            return True, "days end with 24:00, and none begins with 00:00"
        if spread and all(shape_of(text) == "time" for text in spread.values()):
            return not min(spread.values()).startswith(("00:00", "0:00")), "only its times can be complete days"
        if spread and all(text.isdigit() for text in spread.values()):
            return False, "hours are numbered"
        return self._complete_days(stamps, order) if order and stamps and spelling.shape == "stamp" else (None, "")

    def _complete_days(self, stamps: Sequence[int], order: DateOrder) -> tuple[bool | None, str]:
        """Tell by first and last stamp: the days of an export are complete only if it begins and ends with a day."""
        first, last = self.layout.rows[0], self.layout.last or self.layout.rows[-1]
        times = [parse_stamp(self._stamp_of(row, stamps), order) for row in (first, last)]
        steps = [b - a for a, b in zip(self._moments(stamps, order), self._moments(stamps, order)[1:], strict=False)]
        common = Counter(step for step in steps if step > timedelta()).most_common(1)
        if None in times or not common:
            return None, ""
        early, late = sorted(time.replace(tzinfo=None) for time in times if time)
        step = common[0][0]
        midnight = datetime(early.year, early.month, early.day)
        at_midnight = late == datetime(late.year, late.month, late.day)
        if step >= timedelta(days=1):
            return None, ""
        if early - midnight == step and at_midnight:
            return True, f"only as ends do the stamps, {early:%H:%M} to {late:%H:%M}, give complete days"
        if early == midnight and late + step == datetime(late.year, late.month, late.day) + timedelta(days=1):
            return False, f"only as starts do the stamps, {early:%H:%M} to {late:%H:%M}, give complete days"
        return None, ""

    def _moments(self, stamps: Sequence[int], order: DateOrder) -> list[datetime]:
        texts = (self._stamp_of(row, stamps) for row in self.layout.rows[:500])
        moments = (parse_stamp(text, order) for text in texts)
        return [moment.replace(tzinfo=None) for moment in moments if moment]

    # Rows and households

    def _where(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Return the rows that the user selects: columns with the texts that they may hold."""
        selected: dict[int, list[str]] = {}
        for part in self.answers.where:
            name, equals, texts = part.partition("=")
            if not equals:
                raise self._refuse(f'--where {part!r} is not COLUMN=TEXT; for example: --where "Type=Actual"')
            position = self._position(name.strip(), "--where")
            column = self.columns[position]
            wanted = [text.strip() for text in texts.split("|")]
            for text in wanted:
                if text not in column.distinct and self.layout.complete:
                    held = ", ".join(map(repr, column.distinct[:8]))
                    raise self._refuse(f"--where {name}={text}: no record holds {text!r}; {name!r} holds {held}")
            selected.setdefault(position, []).extend(wanted)
        for position, wanted in selected.items():
            self._state(
                "rows", f"only those with {self._name(position)!r} = {' or '.join(wanted)}", "stated by the user"
            )
        return tuple((position, tuple(wanted)) for position, wanted in selected.items())

    def _find_meter(self, taken: set[int]) -> tuple[int | None, str | None]:
        """Return the column of the households' names, or the name of the one household."""
        mapping = self.mapping
        called = re.sub(r"[^\w.-]+", "_", PurePath(self.file.name).stem)
        if mapping.household is not None:
            household = called if mapping.household == FILE else mapping.household
            self._state("household", household, "stated by the user")
            return None, household
        if mapping.household_id == EVERY:
            return None, None
        if mapping.household_id is not None:
            column = self.columns[self._position(mapping.household_id, "household_id")]
            self._require_households(column)
            self._state("households", f"{len(column.distinct)} in {column.name!r}", "stated by the user")
            return column.position, None
        candidates = [
            column
            for column in self.columns
            if column.position not in taken
            and column.shape in ("text", "number")
            and METER.search(column.name)
            and not QUALITY.search(column.name)
            and unit_in(column.name) is None
            and not REGISTER_NAME.search(column.name.replace("_", " "))
            and (column.shape == "text" or len(column.distinct) <= max(1, len(column.texts) // 20))
            and not any(CHOICE.match(text) for text in column.distinct)
        ]
        if candidates:
            column = max(candidates, key=lambda column: len(column.distinct))
            shown = ", ".join(column.distinct[:3])
            self._state("households", f"{len(column.distinct)} in {column.name!r}", f"for example {shown}")
            return column.position, None
        if self.answers.several_files:
            self._ask(
                "household",
                "no column names a meter, and there are several files: they may be of one household or of one each",
                '--columns "household_id=@HOME"',
                f'--columns "household_id=@{FILE}"',
            )
        self._state("household", called, "no column names a meter; it is called after the file", assumed=True)
        return None, called

    def _require_households(self, column: Column) -> None:
        """Refuse a column whose texts are registers or kinds of data, not households."""
        directions = {bool(EXPORT.search(text)) for text in column.distinct[:50]}
        registers = directions == {True, False} and REGISTER_NAME.search(column.name.replace("_", " "))
        if registers or (directions == {True, False} and any(IMPORT.search(text) for text in column.distinct[:50])):
            imports = "|".join(text for text in column.distinct if not EXPORT.search(text))
            self._contradict(
                f"the column {column.name!r} holds registers, not households: {', '.join(column.distinct[:6])}",
                f'choose rows, for example --where "{column.name}={imports}" with household_id=@NAME',
            )
        elif any(CHOICE.match(text) for text in column.distinct[:50]) and len(column.distinct) > 1:
            self._contradict(
                f"the column {column.name!r} holds kinds of data, not households: {', '.join(column.distinct[:6])}",
                f'choose one, for example --where "{column.name}={column.distinct[0]}"',
            )

    def _choose_rows(
        self,
        stamps: tuple[int, ...],
        meter: int | None,
        values: tuple[int, ...],
        order: DateOrder | None,
        spelling: StampSpelling,
    ) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Return which rows to read where several share one household and time, told apart by another column."""
        if not stamps or not values:
            return ()
        rows = self.layout.rows

        def repeated(*more: int) -> float:
            key = (*stamps, *([] if meter is None else [meter]), *more)
            keys = [tuple(row[p] if p < len(row) else "" for p in key) for row in rows]
            return 1 - len(set(keys)) / len(keys)

        if repeated() < REPEATED_SHARE:
            return ()
        for column in self.columns:
            if column.position in (*stamps, *values, meter) or column.shape != "text":
                continue
            if not 2 <= len(column.distinct) <= 20 or repeated(column.position) > repeated() / 10:
                continue
            exports = [text for text in column.distinct if EXPORT.search(text)]
            imports = tuple(text for text in column.distinct if not EXPORT.search(text))
            if exports and imports and all(IMPORT.search(text) or TARIFF.search(text) for text in imports):
                self._state("registers", f"import: {', '.join(imports)}", f"in the column {column.name!r}")
                self._state("not selected", ", ".join(exports), "what is fed into the grid is left out")
                return ((column.position, imports),)
            self._ask(
                "rows",
                f"several rows share one household and time; {column.name!r} tells them apart: "
                + ", ".join(column.distinct[:8]),
                *(f'--where "{self._name(column.position)}={text}"' for text in column.distinct[:8]),
            )
            return ()
        return ()

    # Values

    def _find_values(self, taken: set[int], spread: dict[int, str], household: str | None) -> tuple[int, ...]:
        """Return the columns of the values."""
        if spread:
            return tuple(spread)
        mapping = self.mapping
        free = [c for c in self.columns if c.position not in taken and c.may_be_value and not _are_hours(c)]
        if EVERY in mapping.values:
            return tuple(column.position for column in free)
        if mapping.values:
            chosen = tuple(self._position(name, mapping.field or "") for name in mapping.values)
            self._require_numbers(chosen)
            self._require_all_parts(chosen)
            return chosen
        free = self._drop_identifiers(free)
        if any(unit_in(column.name) for column in free):
            free = [column for column in free if unit_in(column.name)]
        exports = [column for column in free if EXPORT.search(column.name)]
        imports = [column for column in free if column not in exports]
        if exports and imports:
            names = ", ".join(repr(column.name) for column in exports)
            self._state("not selected", names, "what is fed into the grid is left out")
            free = imports
        free = self._drop_totals(free)
        if len(free) > 1:
            return self._choose_values(free)
        if not free:
            foreign = [column.name for column in self.columns if foreign_unit_in(column.name.replace("_", " "))]
            why = f"; {', '.join(map(repr, foreign))} is not active energy" if foreign else ""
            raise self._refuse(f"no column holds power or energy{why}; name it with --columns energy_kwh=…")
        self._state("values", repr(self._name(free[0].position)), f"for example {', '.join(free[0].texts[:3])}")
        return (free[0].position,)

    def _choose_values(self, free: Sequence[Column]) -> tuple[int, ...]:
        positions = tuple(column.position for column in free)
        names = [column.name for column in free]
        parts = [bool(TARIFF.search(name) or PHASE.search(name)) for name in names]
        if all(parts):
            self._state("values", f"the sum of {' and '.join(map(repr, names))}", "tariffs or phases of one meter")
            return positions
        stated = self.mapping.household_id == EVERY
        alike = len({unit_in(name) for name in names}) == 1 and len(set(names)) == len(names)
        if stated or (alike and self.mapping.household is None and self._are_meters(free)):
            self._state("layout", f"one column a meter: {len(free)} columns", ", ".join(names[:4]))
            return positions
        fields = "energy_kwh" if any("wh" in (unit_in(name) or "kWh").lower() for name in names) else "power_kw"
        self._ask(
            "values",
            f"several columns may hold the values: {', '.join(map(repr, names[:8]))}",
            *(f'--columns "{fields}={self._name(position)}"' for position in positions[:8]),
            f'--columns "household_id=*,{fields}=*"',
        )
        return positions

    @staticmethod
    def _are_meters(free: Sequence[Column]) -> bool:
        """Return whether names are those of meters: numbered or built alike, not words for different quantities."""
        stems = {re.sub(r"\d+", "0", column.name) for column in free}
        if len(stems) == 1:
            return True
        parts = [column.name.split("_") for column in free]
        return min(map(len, parts)) >= 2 and len({tuple(p[:1]) for p in parts}) <= max(1, len(free) // 2)

    def _require_numbers(self, chosen: Sequence[int]) -> None:
        for position in chosen:
            column = self.columns[position]
            if column.shape not in ("number", "unix", "empty") and not (column.shape == "text" and not column.texts):
                numbers = [text for text in column.texts if shape_of(text) == "other" and spell_numbers([text]).decimal]
                if not numbers or column.is_time:
                    raise self._refuse(f"{column.name!r} holds no numbers, but texts such as {column.distinct[0]!r}")

    def _require_all_parts(self, chosen: Sequence[int]) -> None:
        """Refuse a sum of meters, and one tariff or phase without the others."""
        columns = [self.columns[position] for position in chosen]
        parts = [bool(TARIFF.search(column.name) or PHASE.search(column.name)) for column in columns]
        if len(chosen) > 1 and self.mapping.household_id != EVERY and not all(parts) and self._are_meters(columns):
            names = ", ".join(repr(column.name) for column in columns)
            self._contradict(
                f"{names} look like meters, and would be added up as one household",
                "name each after its column with household_id=*",
            )
        others = [
            column
            for column in self.columns
            if all(parts)
            and column.position not in chosen
            and column.shape == "number"
            and (TARIFF.search(column.name) or PHASE.search(column.name))
            and unit_in(column.name) == unit_in(columns[0].name)
            and bool(EXPORT.search(column.name)) == bool(EXPORT.search(columns[0].name))
            and len(column.distinct) > 1
        ]
        if others:
            names = " and ".join(repr(column.name) for column in others)
            added = ",".join(f"{self.mapping.field}={self._name(p)}" for p in (*chosen, *(c.position for c in others)))
            self._contradict(
                f"{names} {'is' if len(others) == 1 else 'are'} not mapped, and may belong to the same total",
                f'write --columns "{added}"',
            )

    def _drop_identifiers(self, free: Sequence[Column]) -> list[Column]:
        """Leave out columns of whole numbers that name meters."""
        return [c for c in free if not (METER.search(c.name) and unit_in(c.name) is None and len(c.distinct) == 1)]

    def _drop_totals(self, free: Sequence[Column]) -> list[Column]:
        """Leave out a column that is the sum of the others."""
        for total in free:
            others = [column for column in free if column is not total]
            if len(others) < 2 or not re.search(r"(?i)total|sum|gesamt|all", total.name):
                continue
            rows = [row for row in self.layout.rows[:200] if all(row[c.position] for c in free)]
            sums = [sum(_number(row[c.position]) for c in others) - _number(row[total.position]) for row in rows]
            if rows and all(abs(difference) < 1e-6 + 1e-6 * len(others) for difference in sums):
                self._state("not selected", repr(total.name), "it is the sum of the other columns")
                return others
        return list(free)

    def _find_unit(self, values: Sequence[int]) -> Unit | None:
        """Return the unit of the values."""
        stated = self.mapping.unit or self.answers.unit
        shown, evidence = self._shown_unit(values)
        if stated and shown and stated != shown:
            field = next(f for f in self._fields() if f.endswith(f"_{shown.lower()}"))
            self._contradict(
                f"--columns or --unit states {stated}, and the file says {shown}: {evidence}",
                f'write --columns "{field}={self._name(values[0])}"',
            )
        foreign = next((f for p in values if (f := foreign_unit_in(self.columns[p].name.replace("_", " ")))), None)
        if foreign and stated:
            self._contradict(
                f"{self.columns[values[0]].name!r} is in {foreign}, which is not energy in {stated}",
                "map another column",
            )
        if stated:
            self._state("unit", stated, "stated by the user")
            return stated
        if shown:
            self._state("unit", shown, evidence)
            return shown
        names = ", ".join(repr(name) for name in self._names(values[:3]))
        self._ask(
            "unit",
            f"nothing says what unit {names} {'is' if len(values) == 1 else 'are'} in",
            *(f"--unit {unit}" for unit in ("kWh", "Wh", "MWh", "kW", "W", "MW")),
        )
        return None

    def _fields(self) -> Iterator[str]:
        prefix = "register" if self.mapping.cumulative else None
        for unit in ("kwh", "wh", "mwh"):
            yield f"{prefix or 'energy'}_{unit}"
        for unit in ("kw", "w", "mw"):
            yield f"power_{unit}"

    def _shown_unit(self, values: Sequence[int]) -> tuple[Unit | None, str]:
        """Return the unit that the file states, and where."""
        units = {unit for position in values if (unit := unit_in(self.columns[position].name))}
        if len(units) == 1 and len(values) >= 1:
            (unit,) = units
            return unit, f"the column's name is {self.columns[values[0]].name!r}"
        if len(units) > 1:
            raise self._refuse(f"its columns are in different units: {', '.join(sorted(units))}; map those of one unit")
        columns = [column for column in self.columns if column.shape == "unit"]
        if columns and values:
            column = min(columns, key=lambda c: (c.position < values[0], abs(c.position - values[0])))
            held = {unit_of(text) or text for text in column.distinct if unit_of(text) or foreign_unit_in(text)}
            if len(held) > 1:
                raise self._refuse(
                    f"{column.name!r} holds different units: {', '.join(sorted(held))}; choose rows with --where"
                )
            if held and (unit_of(text := next(iter(held))) is None):
                raise self._refuse(f"its values are in {text}, which is not active energy or power")
            if held:
                return unit_of(next(iter(held))), f"the column {column.name!r}"
        cells = [cell for row in self.layout.preamble for cell in row if unit_of(cell) and len(cell) < 12]
        if len({unit_of(cell) for cell in cells}) == 1:
            return unit_of(cells[0]), f"{cells[0]!r} stands above the header"
        return None, ""

    def _is_cumulative(
        self, values: Sequence[int], meter: int | None, unit: Unit | None, stamps: Sequence[int]
    ) -> bool:
        """Return whether the values are readings of a register, which never fall."""
        if self.mapping.cumulative:
            self._state("values are", "register readings, of which differences are taken", "stated by the user")
            return True
        if unit is not None and not unit.endswith("Wh"):
            return False
        position, rises = next(((p, r) for p in values if (r := self._rises(p, meter)) is not None), (None, 0))
        if position is None:
            return False
        name = self.columns[position].name
        evidence = f"{name!r} never falls, and rises {rises} times"
        if self.mapping.field and not self.answers.as_mapped:
            register = f"register_{self.mapping.field.removeprefix('energy_')}"
            raise self._refuse(
                f"{evidence}: it looks like a register, not energy an interval; map it as --columns "
                f'"{register}={self._name(position)}", or insist with --as-mapped'
            )
        if self.mapping.field:
            return False
        self._state("values are", "register readings, of which differences are taken", evidence)
        return True

    def _rises(self, position: int, meter: int | None) -> int | None:
        """Return how often a column rises where it never falls, household by household; None where it falls."""
        series: dict[str, list[float]] = {}
        for row in self.layout.rows:
            text = row[position] if position < len(row) else ""
            if _is_plain(text):
                series.setdefault(row[meter] if meter is not None else "", []).append(_number(text))
        named = bool(REGISTER_NAME.search(self.columns[position].name.replace("_", " ")))
        for numbers in series.values():
            backwards = numbers[::-1] if numbers and numbers[0] > numbers[-1] else numbers
            steps = [b - a for a, b in zip(backwards, backwards[1:], strict=False)]
            if any(step < 0 for step in steps):
                return None
            rises = sum(step > 0 for step in steps)
            if rises >= (8 if named else RISES_NEEDED):
                return rises
        return None

    def _spell_numbers(self, values: Sequence[int]) -> tuple[Decimal | None, str]:
        """Return the decimal mark, and what separates thousands."""
        texts = [text for p in values for text in self.layout.texts(p, everywhere=True)]
        spelling = spell_numbers(text for text in texts if shape_of(text) in ("other", "unix") and _has_digit(text))
        decimal, thousands, evidence = spelling.decimal, spelling.thousands, spelling.evidence
        if decimal is None and thousands and not self.layout.complete:
            mark = re.escape(thousands)
            pattern = rf"^[+-]?(0{mark}\d+|\d*{mark}\d{{1,2}}|\d*{mark}\d{{4,}})$"
            for position in values[:20]:
                if text := self.search(position, pattern):
                    decimal, evidence, thousands = thousands, f"{text!r} can only be decimal", ""  # type: ignore[assignment]
                    break
        stated = self.answers.decimal
        if stated:
            if decimal and decimal != stated and any(mark in text for text in texts for mark in ".,"):
                self._contradict(f"--decimal {stated} contradicts the file: {evidence}", "leave it out")
            decimal, thousands = stated, (thousands if thousands != stated else "") or ("," if stated == "." else ".")
            evidence = "stated by the user"
        if decimal is None and not thousands:
            raise self._refuse(f"its numbers cannot be read alike: {evidence}")
        if decimal is None:
            self._ask(
                "decimal mark",
                f"{evidence!r} may be {_as_decimal(evidence, thousands)} or {evidence.replace(thousands, '')}: the mark "
                "may be decimal or separate thousands, and nothing in the file decides",
                f"--decimal {thousands}",
                f"--decimal {'.' if thousands == ',' else ','}",
            )
        elif decimal == "," or thousands:
            marks = f", {thousands!r} separates thousands" if thousands else ""
            self._state("numbers", f"decimal {'comma' if decimal == ',' else 'point'}{marks}", evidence)
        return decimal, thousands

    def _find_quality(self) -> tuple[int, tuple[str, ...]] | None:
        """Return the column that says how readings were obtained, where some were estimated."""
        for column in self.columns:
            if column.shape == "text" and QUALITY.search(column.name) and len(column.distinct) <= 12:
                estimated = tuple(text for text in column.distinct if ESTIMATED.match(text))
                self._state("quality", f"{column.name!r}: {', '.join(column.distinct[:6])}", "")
                return column.position, estimated
        return None

    def _command(
        self,
        stamps: Sequence[int],
        meter: int | None,
        household: str | None,
        values: Sequence[int],
        unit: Unit | None,
        *,
        cumulative: bool,
    ) -> str:
        """Return the mapping that states what was understood."""
        parts = [f"timestamp={self._name(position)}" for position in stamps]
        wide = meter is None and household is None
        parts.append(f"household_id={EVERY if wide else f'@{household}' if meter is None else self._name(meter)}")
        kind = "register" if cumulative else "energy" if (unit or "kWh").endswith("Wh") else "power"
        field = self.mapping.field or f"{kind}_{(unit or 'kWh').lower()}"
        parts += [f"{field}={self._name(position)}" for position in values if not self._is_spread(position)]
        return ",".join(parts)

    def _is_spread(self, position: int) -> bool:
        return shape_of(_hour_name(self.columns[position].name)) in ("stamp", "time")


_DECIDING_DATES = (
    (r"^(1[3-9]|2\d|3[01])[-/.]", "dmy"),
    (r"^\d{1,2}[-/.](1[3-9]|2\d|3[01])[-/.]", "mdy"),
)


def _hour_name(name: str) -> str:
    """Return the time within a column's name, such as `00:15 - 00:30` or `kWh 00:15`."""
    if shape_of(name) in ("stamp", "time"):
        return name
    match = re.fullmatch(r"\D*?(\d{1,2}:\d{2}(?::\d{2})?)(?:\s*[-–]\s*\d{1,2}:\d{2}(?::\d{2})?)?\D*", name)
    return match[1] if match else name


def _are_periods(column: Column) -> bool:
    numbers = [text for text in column.texts if text.isdigit()]
    return (
        len(numbers) == len(column.texts)
        and bool(numbers)
        and max(map(int, numbers)) <= 300
        and len(column.distinct) > 3
    )


def _are_hours(column: Column) -> bool:
    return (
        bool(HOUR_NUMBER.search(column.name.replace("_", " ")))
        and unit_in(column.name) is None
        and _are_periods(column)
    )


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _is_plain(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?[\d.,]*\d", text))


def _number(text: str) -> float:
    """Return the value of a number of a sample, its marks read as decimal: enough to compare neighbours."""
    head, _, tail = text.replace(",", ".").rpartition(".")
    try:
        return float(f"{head.replace('.', '')}.{tail}" if head else text)
    except ValueError:
        return 0.0


def _as_decimal(text: str, mark: str) -> str:
    return text.replace(mark, ".")
