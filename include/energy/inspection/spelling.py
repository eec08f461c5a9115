"""How stamps, numbers and units are spelled in meter files: recognised in texts, and read by SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

from include.core.tables import literal
from include.energy.schemas import Unit

DateOrder = Literal["ymd", "dmy", "mdy"]
Decimal = Literal[".", ","]
Shape = Literal["stamp", "date", "time", "unix", "unix_ms", "other"]

_DATE = (
    r"(?P<ymd>\d{4}(?P<s1>[-/.])\d{1,2}(?P=s1)\d{1,2})"
    r"|(?P<xxy>(?P<x1>\d{1,2})(?P<s2>[-/.])(?P<x2>\d{1,2})(?P=s2)(?P<year>\d{4}|\d{2}))"
    r"|(?P<compact>(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
    r"|(?P<named>\d{1,2}[- ](?P<m1>[A-Za-z]{3,9})[- ](?P<y1>\d{4}|\d{2}))"
    r"|(?P<american>(?P<m2>[A-Za-z]{3,9}) \d{1,2},? (?P<y2>\d{4}))"
)
_TIME = (
    r"(?P<hour>\d{1,2})[AB]?(?P<minute>:\d{2})(?P<second>:\d{2}(?P<fraction>[.,]\d+)?)?"
    r"(?P<half> ?[AaPp]\.?[Mm]\.?)?(?: ?[AB])?"
)
_ZONE = r"(?P<zone> ?(?:[Zz]|UTC|GMT|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?|(?P<zone_name>\(?(?:CES?T|MES?Z)\)?)))"
_STAMP = re.compile(rf"(?:{_DATE})(?:(?P<gap>T|,? +)(?:{_TIME}){_ZONE}?)?")
_TIME_ALONE = re.compile(_TIME)
_BETWEEN = re.compile(r" +(?:to|until|bis|tot|a|à|–|—|-) +|\s*[–—]\s*|/")
_UNIX: dict[Shape, re.Pattern[str]] = {
    "unix": re.compile(r"[1-4]\d{9}(?:\.\d+)?"),
    "unix_ms": re.compile(r"[1-4]\d{12}"),
}
_REMEMBERED = 65_536
LEAST_YEAR = 300
"""Days between two dates of different years of which only the year differs, at least."""
"""Texts whose spelling is kept: those of a file repeat."""
MONTHS = {
    month: number
    for number, month in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
    )
}


@dataclass(frozen=True)
class StampSpelling:
    """How the stamps of a column are written.

    Args:
        shape: Date and time, a date or time alone, or seconds or milliseconds since 1970.
        order: Of day and month in dates; None where no text decides, and where there is no date.
        separator: Between the parts of a date.
        seconds: Some have seconds.
        fraction: Some have a fraction of a second.
        half: Written with AM and PM.
        zoned: Each names its zone.
        named_zone: Some do so by a name that is no part of ISO 8601: CET, CEST.
        midnight_24: Some read 24:00.
        short_year: Years have two digits.
        evidence: What `order` rests on.
    """

    shape: Shape
    order: DateOrder | None = None
    separator: str = "-"
    seconds: bool = False
    fraction: bool = False
    half: bool = False
    zoned: bool = False
    named_zone: bool = False
    midnight_24: bool = False
    short_year: bool = False
    gap: str = " "
    evidence: str = ""


@lru_cache(maxsize=_REMEMBERED)
def split_range(text: str) -> tuple[str, str] | None:
    """Return both ends of a text such as `2025-10-19 00:00 to 2025-10-19 01:00`, None where it is not one.

    >>> split_range("2025-10-19 00:00 to 2025-10-19 01:00")
    ('2025-10-19 00:00', '2025-10-19 01:00')
    >>> split_range("01/02/2026 00:00 - 01/02/2026 01:00")
    ('01/02/2026 00:00', '01/02/2026 01:00')
    >>> split_range("2025-10-19 00:00") is None
    True
    """
    for mark in _BETWEEN.finditer(text):
        start, end = text[: mark.start()].strip(), text[mark.end() :].strip()
        if _STAMP.fullmatch(start) and (_STAMP.fullmatch(end) or _TIME_ALONE.fullmatch(end)):
            return start, end
    return None


@lru_cache(maxsize=_REMEMBERED)
def shape_of(text: str) -> Shape:
    """Return what a text may be as a time.

    >>> [shape_of(text) for text in ("01.07.2024 24:00:00", "2024-07-01", "00:15", "1325376000", "0.5")]
    ['stamp', 'date', 'time', 'unix', 'other']
    """
    if match := _STAMP.fullmatch(text):
        return "stamp" if match["hour"] else "date"
    if _TIME_ALONE.fullmatch(text):
        return "time"
    return next((shape for shape, pattern in _UNIX.items() if pattern.fullmatch(text)), "other")


def spell_stamps(texts: Sequence[str], shape: Shape) -> StampSpelling:
    """Return how texts of one shape are written.

    The order of day and month is decided by a part above 12, by the convention that dots follow the day, or by the
    order of the records: one reading makes neighbouring stamps close to each other, the other scatters them over a
    year.

    Args:
        texts: Stamps, in the order of the file; those of another shape are ignored.
        shape: As `shape_of()` names it.
    """
    if shape in ("unix", "unix_ms", "other"):
        return StampSpelling(shape, zoned=shape != "other")
    if shape == "time":
        matches = [match for match in map(_TIME_ALONE.fullmatch, texts) if match]
        return _spell_times(StampSpelling("time"), matches)
    matches = [match for match in map(_STAMP.fullmatch, texts) if match and bool(match["hour"]) == (shape == "stamp")]
    order, evidence = _date_order(matches)
    separator = next((m["s1"] or m["s2"] or "" for m in matches), "-")
    spelling = StampSpelling(
        shape,
        order,
        separator,
        short_year=any(len(m["year"] or m["y1"] or "    ") == 2 for m in matches),
        zoned=bool(matches) and all(m["zone"] for m in matches),
        named_zone=any(m["zone_name"] for m in matches),
        gap=next((m["gap"] for m in matches if m["gap"]), " "),
        evidence=evidence,
    )
    return _spell_times(spelling, matches) if shape == "stamp" else spelling


def _spell_times(spelling: StampSpelling, matches: Sequence[re.Match[str]]) -> StampSpelling:
    return replace(
        spelling,
        seconds=any(m["second"] for m in matches),
        fraction=any(m["fraction"] for m in matches),
        half=any(m["half"] for m in matches),
        midnight_24=any(int(m["hour"]) == 24 for m in matches),
    )


def _date_order(matches: Sequence[re.Match[str]]) -> tuple[DateOrder | None, str]:
    for match in matches:
        if match["ymd"] or match["compact"]:
            return "ymd", f"the year stands first in {match[0]!r}"
        if match["named"] or match["american"]:
            return ("dmy" if match["named"] else "mdy"), f"the month is a word in {match[0]!r}"
    numbered = [match for match in matches if match["xxy"]]
    for match in numbered:
        if int(match["x1"]) > 12:
            return "dmy", f"{match[0]!r} can only be day and month"
        if int(match["x2"]) > 12:
            return "mdy", f"{match[0]!r} can only be month and day"
    if numbered and numbered[0]["s2"] == ".":
        return "dmy", "dots stand after the day in dates such as " + repr(numbered[0][0])
    return _order_of_neighbours(numbered)


def _order_of_neighbours(matches: Sequence[re.Match[str]]) -> tuple[DateOrder | None, str]:
    """Decide by neighbours, where days have several stamps: under the wrong order days lie months apart."""
    days = len({(m["x1"], m["x2"]) for m in matches})
    if days < 2 or len(matches) < 2 * days:
        return None, ""
    far: dict[DateOrder, int] = {}
    for order in ("dmy", "mdy"):
        moments = [parse_stamp(match[0], order) for match in matches]
        steps = [abs(b - a) for a, b in pairwise(moments) if a and b]
        far[order] = sum(step > timedelta(days=20) for step in steps)
    if not far["dmy"] and far["mdy"]:
        return "dmy", f"so the days follow each other ({matches[0][0]!r}, …); month first, they would lie months apart"
    if not far["mdy"] and far["dmy"]:
        return "mdy", f"so the days follow each other ({matches[0][0]!r}, …); day first, they would lie months apart"
    return None, ""


def begins_with_short_year(texts: Sequence[str], order: DateOrder) -> bool:
    """Return whether dates such as `26/01/05` follow each other only if their first part is the year.

    Read by `order` they would lie years apart.

    >>> begins_with_short_year(["26/01/05 00:00", "26/01/06 00:00", "26/01/07 00:00"], "dmy")
    True
    >>> begins_with_short_year(["05/01/26 00:00", "06/01/26 00:00", "07/01/26 00:00"], "dmy")
    False
    """
    days = [moment.date() for moment in (parse_stamp(text, order) for text in texts) if moment]
    steps = [abs((b - a).days) for a, b in pairwise(days) if a != b]
    years_first = [moment for moment in (parse_stamp(text, "ymd") for text in texts) if moment]
    if not steps or min(steps) < LEAST_YEAR or len(years_first) < len(days):
        return False
    return (max(years_first) - min(years_first)).days * 10 < (max(days) - min(days)).days


@lru_cache(maxsize=_REMEMBERED)
def parse_stamp(text: str, order: DateOrder) -> datetime | None:
    """Return a stamp as a time (aware where it names its zone), None where it cannot be read.

    >>> parse_stamp("01.07.2024 24:00:00", "dmy")
    datetime.datetime(2024, 7, 2, 0, 0)
    """
    for shape, pattern in _UNIX.items():
        if pattern.fullmatch(text):
            return datetime.fromtimestamp(float(text) / (1000 if shape == "unix_ms" else 1), UTC).replace(tzinfo=None)
    match = _STAMP.fullmatch(text)
    if match is None:
        return None
    numbers = [int(part) for part in re.findall(r"\d+", match[0])]
    if match["compact"]:
        numbers = [int(text[:4]), int(text[4:6]), int(text[6:8]), *numbers[1:]]
    word = match["m1"] or match["m2"]
    if word:
        month = MONTHS.get(word[:3].lower(), 0)
        day, year = numbers[:2]
    else:
        year, month, day = (numbers[i] for i in {"ymd": (0, 1, 2), "dmy": (2, 1, 0), "mdy": (2, 0, 1)}[order])
    rest = numbers[2 if word else 3 :]
    hour, minute = int(match["hour"] or 0), int((match["minute"] or ":0")[1:])
    if match["half"]:
        hour = hour % 12 + (12 if "p" in match["half"].lower() else 0)
    try:
        moment = datetime(year + 2000 * (year < 100), month, day) + timedelta(hours=hour, minutes=minute)  # noqa: DTZ001 -- a wall clock
    except ValueError:
        return None
    return moment + timedelta(seconds=int((match["second"] or ":0")[1:3])) if rest else moment


def clock_sql(spelling: StampSpelling, order: DateOrder, text: str = "stamp") -> str | None:
    """Return SQL of a stamp as a TIMESTAMP (UTC where zoned, else wall clock), NULL where it cannot be read.

    None where the general spelling that `include.energy.stamps` reads covers it: year first, or dots after the day.
    """
    if spelling.shape == "unix":
        return f"make_timestamp(CAST(round(try_cast({text} AS DOUBLE) * 1000000) AS BIGINT))"
    if spelling.shape == "unix_ms":
        return f"make_timestamp(try_cast({text} AS BIGINT) * 1000)"
    if spelling.shape not in ("stamp", "date"):
        return None
    general = order == "ymd" and spelling.separator in ("-", "/") and not spelling.half
    if (general or (spelling.zoned and not spelling.named_zone)) and not spelling.midnight_24:
        return None
    clean = f"replace({text}, ',', '.')" if spelling.fraction else text
    formats = literal_list(_formats(spelling, order))
    if not spelling.midnight_24:
        return f"try_strptime({clean}, {formats})"
    midnight = f"regexp_replace({clean}, '([T ,])24:00', '\\1' || '00:00')"
    return (
        f"CASE WHEN regexp_matches({text}, '[T ,]24:00') THEN try_strptime({midnight}, {formats}) + INTERVAL 1 DAY "
        f"ELSE try_strptime({clean}, {formats}) END"
    )


def literal_list(texts: Iterable[str]) -> str:
    """Return texts as an SQL list."""
    return f"[{', '.join(map(literal, texts))}]"


def _formats(spelling: StampSpelling, order: DateOrder) -> list[str]:
    year = "%y" if spelling.short_year else "%Y"
    s = spelling.separator
    dates = {"ymd": [f"%Y{s}%m{s}%d"], "dmy": [f"%d{s}%m{s}{year}"], "mdy": [f"%m{s}%d{s}{year}"]}[order]
    if not s:
        dates = ["%Y%m%d"] if order == "ymd" else [f"%d-%b-{year}", f"%d %b {year}", f"%d %B {year}", "%b %d, %Y"]
        dates += [] if order == "ymd" else ["%b %d %Y", "%B %d, %Y", "%B %d %Y", f"%d-%B-{year}"]
    if spelling.shape == "date":
        return dates
    hours = ["%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p"] if spelling.half else ["%H:%M", "%H:%M:%S"]
    hours += [f"{hours[1]}.%f"] if spelling.fraction and not spelling.half else []
    gap = "T" if spelling.gap == "T" else spelling.gap
    return [f"{date}{gap}{time}" for date in dates for time in hours]


# Numbers

_NAMES: dict[Decimal, str] = {".": "a point", ",": "a comma"}

_PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_MARKED = re.compile(r"[+-]?(?=.*\d)[\d.,' \u00a0\u202f]+")


@dataclass(frozen=True)
class NumberSpelling:
    """How numbers are written.

    Args:
        decimal: The decimal mark; None where nothing decides whether a mark is decimal or separates thousands.
        thousands: What separates thousands, "" where nothing does.
        evidence: What it rests on.
    """

    decimal: Decimal | None
    thousands: str = ""
    evidence: str = ""


@lru_cache(maxsize=_REMEMBERED)
def is_number(text: str) -> bool:
    """Return whether a text may be a number, whatever its marks.

    >>> [is_number(text) for text in ("1.234,56", "-0.5", "0E-20", "Null", "")]
    [True, True, True, False, False]
    """
    return bool(_PLAIN.fullmatch(text) or _MARKED.fullmatch(text))


def spell_numbers(texts: Iterable[str]) -> NumberSpelling:
    """Return how numbers are written: which mark is decimal, which separates thousands, and what shows it.

    A mark that is followed by exactly three digits wherever it stands may be either. A number such as 0.123 shows that
    it is decimal, one such as 1.234.567 that it is not.
    """
    shown = _Marks()
    for text in dict.fromkeys(texts):
        shown.add(text)
    blank = next((mark for mark in shown.thousands if mark not in _NAMES), "")
    if shown.decimal:
        mark, example = next(iter(shown.decimal.items()))
        others = [other for other in (*shown.thousands, *shown.ambiguous) if other != mark]
        if len(shown.decimal) > 1 or mark in shown.thousands:
            contradicting = ", ".join(map(repr, (*shown.decimal.values(), *shown.thousands.values())))
            return NumberSpelling(None, "", f"{contradicting} contradict each other")
        return NumberSpelling(
            mark, others[0] if others else "", f"{example!r} can only have {_NAMES[mark]} as decimal mark"
        )
    if marks := [mark for mark in shown.thousands if mark in _NAMES]:
        other: Decimal = "," if marks[0] == "." else "."
        return NumberSpelling(other, marks[0], f"{shown.thousands[marks[0]]!r} can only be thousands")
    if shown.ambiguous:
        either, example = next(iter(shown.ambiguous.items()))
        return NumberSpelling(None, either, example)
    return NumberSpelling(".", blank, "no number has a mark")


@dataclass
class _Marks:
    """Marks of numbers, each with an example: certainly decimal, certainly thousands, or either."""

    decimal: dict[Decimal, str] = field(default_factory=dict)
    thousands: dict[str, str] = field(default_factory=dict)
    ambiguous: dict[str, str] = field(default_factory=dict)

    def add(self, text: str) -> None:
        digits = text.strip("+- ")
        if re.search("[eE]", digits):
            self.decimal.setdefault(".", text)
            return
        for blank in set(" '\u00a0\u202f") & set(digits):
            self.thousands.setdefault(blank, text)
        marks: list[Decimal] = ["." if mark == "." else "," for mark in digits if mark in _NAMES]
        if not marks:
            return
        last = marks[-1]
        head, _, tail = digits.rpartition(last)
        if len(set(marks)) == 2:
            self.decimal.setdefault(last, text)
            self.thousands.setdefault(marks[0], text)
        elif len(marks) > 1:
            self.thousands.setdefault(last, text)
        elif len(tail) == 3 and re.fullmatch(r"[1-9]\d{0,2}", head):
            self.ambiguous.setdefault(last, text)
        else:
            self.decimal.setdefault(last, text)


def number_text_sql(text: str, decimal: Decimal, thousands: str) -> str:
    """Return SQL of a number's text as other code reads it: with a decimal point, without marks for thousands.

    A text that is not written so stays as it is, and whoever reads it finds that it is not a number; a mark that is
    neither is never dropped.
    """
    if decimal == "." and not thousands:
        return text
    group = {".": "[.]", ",": ",", "": ""}.get(thousands, "[ '\u00a0\u202f]")
    mark = "[.]" if decimal == "." else ","
    whole = rf"(\d{{1,3}}({group}\d{{3}})+|\d+)" if group else r"\d+"
    pattern = literal(rf"[+-]?({whole}({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?")
    bare = f"regexp_replace({text}, {literal(group)}, '', 'g')" if group else text
    point = f"replace({bare}, ',', '.')" if decimal == "," else bare
    if decimal == ",":  # what has a point is then no number of this file: it must not be read as one
        return (
            f"CASE WHEN regexp_full_match({text}, {pattern}) THEN {point} WHEN contains({text}, '.') "
            f"THEN {text} || ' (no decimal comma)' ELSE {text} END"
        )
    return f"CASE WHEN regexp_full_match({text}, {pattern}) THEN {point} ELSE {text} END"


# Units

UNITS: tuple[Unit, ...] = get_args(Unit)
_UNIT_WORDS = {unit.lower(): unit for unit in UNITS} | {"watt": "W", "watts": "W", "wh": "Wh", "kilowatt-hours": "kWh"}
_UNIT_WORDS |= {
    "kilowatt hours": "kWh",
    "kilowatthours": "kWh",
    "watt hours": "Wh",
    "kilowatts": "kW",
    "megawatts": "MW",
}
_NOT_ENERGY = (
    r"m3|m³|cbm|ft3|ccf|therms?|gal(?:lons?)?|litres?|liters?|gj|mj|btu|mbtu|kva|kvah|mva|kvar|kvarh|mvarh?|va|var|"
    r"eur|usd|gbp|€|\$|£|°c|°f|co2|kgco2"
)
_UNIT_IN_NAME = re.compile(
    rf"(?<![A-Za-z])({'|'.join(sorted(_UNIT_WORDS, key=len, reverse=True))})(?![A-Za-z])", re.IGNORECASE
)
_MILLI = re.compile(r"(?<![A-Za-z])mWh?(?![A-Za-z])")
_PER_INTERVAL = r"(?:hh\b|half.?hour|quarter|interval|period|reading|\d+ ?(?:min|m\b))"
_SCALED = re.compile(
    rf"(?i)((?:(?<=[(\[])\s*[x×*]?\s*\d+(?:[.,]\d+)?\s*|[x×*]\s*\d+\s*|(?<![\d.,:])\d+[.,]\d+\s*|\b(?:thousand|million|hundred)s?\s+)"
    rf"[kmg]?wh?\b|(?<![a-z])[kmg]?wh? ?(?:/|per ) ?(?!{_PER_INTERVAL})[a-z0-9²³]+)"
)
"""A multiple of a unit (`0.1 kWh`, `kWh/1000`), or energy per something else than the interval (`kWh/day`)."""
_NOT_ENERGY_IN_NAME = re.compile(rf"(?<![A-Za-z0-9])({_NOT_ENERGY})(?![A-Za-z0-9])", re.IGNORECASE)


def unit_of(text: str) -> Unit | None:
    """Return the unit that a text names by itself, such as a cell of a column of units.

    A small m before a capital W is milli, not mega; `mw` is read as `MW`.

    >>> [unit_of(text) for text in ("kwh", "MW", "Watts", "m3", "", "mw", "mW")]
    ['kWh', 'MW', 'W', None, None, 'MW', None]
    """
    return None if _MILLI.search(text) else _UNIT_WORDS.get(text.strip().lower())


def unit_in(name: str) -> Unit | None:
    """Return the unit that a column's name states, None where it states none, several, or a multiple of one.

    >>> names = ("USAGE (kWh)", "AEP_MW", "Profil +A [kW]", "Active energy Wh (A)", "Wh/1000", "Swh")
    >>> [unit_in(name) for name in names]
    ['kWh', 'MW', 'kW', 'Wh', 'kWh', None]
    >>> [unit_in(name) for name in ("KWH/hh (per half hour)", "1.8.0 kWh", "kWh/day", "Energy (0.1 kWh)", "Power (mW)")]
    ['kWh', 'kWh', None, None, None]
    """
    spaced = re.sub(r"(?i)(?<![A-Za-z])w(h?) ?/ ?1000\b", r"kW\1", name.replace("_", " "))
    if _MILLI.search(spaced) or _SCALED.search(spaced):
        return None
    found = {_UNIT_WORDS[match[1].lower()] for match in _UNIT_IN_NAME.finditer(spaced)}
    return found.pop() if len(found) == 1 else None


def foreign_unit_in(text: str) -> str | None:
    """Return what a text names that is not active energy or power, such as gas, money or a multiple of a unit.

    >>> [foreign_unit_in(name) for name in ("Gas m³", "kvarh", "Cost (EUR)", "kWh", "MAC000001")]
    ['m³', 'kvarh', 'EUR', None, None]
    """
    spaced = re.sub(r"(?i)(?<![A-Za-z])w(h?) ?/ ?1000\b", r"kW\1", text.replace("_", " "))
    match = _NOT_ENERGY_IN_NAME.search(spaced) or _SCALED.search(spaced)
    return match[1] if match else None
