"""What a column may hold, told from its name and its cells."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from include.energy.inspection.layout import Layout
from include.energy.inspection.spelling import foreign_unit_in, is_number, shape_of, split_range, unit_in, unit_of

Shape = Literal["stamp", "date", "time", "unix", "unix_ms", "range", "number", "unit", "text", "empty"]
SHARE = 0.9
FILLERS = {"-", "--", "null", "nan", "na", "n/a", "none", "unavailable", "unknown", "missing", "err", "error", "?"}


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W\d_])(?:{'|'.join(words)})(?![^\W\d_])", re.IGNORECASE)


START = _words("start", "starts?time", "from", "von", "van", "od", "desde", "debut", "début", "beginn?", "begin", "fra")
START_JOINED = re.compile(r"(?i)^(interval)?start|_start|startdat|fra_|datum von|begin")
END = _words("end", "ends?", "ending", "to", "bis", "tot", "do", "hasta", "fin", "til", "ende", "until", "até", "fine")
END_JOINED = re.compile(r"(?i)ending$|^(interval)?end|_end|til_|enddat|settlement")
HOUR_NUMBER = _words(
    "hora", "hour", "hours", "he", "hr", "stunde", "heure", "uur", "ora", "hodina", "period", "periodo"
)
UTC_NAME = _words("utc", "gmt", "zulu")
EXPORT = re.compile(
    r"(?i)export|return|teruglever|injec|einspeis|feed(?!er)|fed.?in|vertido|excedent|generat|solar|production|"
    r"producci|erzeug|opwek|photovolt|\bpv\b|surplus|levering|(?<!\w)-\s?A(?!\w)|(?<!\w)A-(?!\w)|2\.8\.\d"
)
GENERATION = re.compile(r"(?i)generat|solar|production|producci|erzeug|opwek|photovolt|\bpv\b|levering")
"""Of `EXPORT`: words that also name what is generated at home, be it used there or fed into the grid."""
IMPORT = re.compile(
    r"(?i)import|consum|usage|verbrauch|afname|offtake|bezug|forbrug|deliver|withdraw|(?<!\w)\+\s?A(?!\w)|"
    r"(?<!\w)A\+(?!\w)|1\.8\.\d|load|last|demand|mængde|volume|active energy|electricity"
)
DIRECTION = re.compile(r"(?i)direction|richtung|flow|register|sentido|sens\b")
REGISTER_NAME = _words(
    "register", "meterstand", "stand", "zählerstand", "zaehlerstand", "index", "cumulative", "total_increasing",
    "lifetime", "reading", "readings", "lectura", "avlesning", "counter",
)  # fmt: skip
TARIFF = re.compile(
    r"(?i)\bT[1-4]\b|tariff?|\b(low|normal|high|day|night|peak|off.?peak|dag|nacht|tag|hp|hc|ht|nt|piek|dal|punta|"
    r"llano|valle|p[1-6])\b|1\.8\.\d|\brate\b"
)
PHASE = re.compile(r"(?i)\b(L[123]|phase ?[123abc])\b|\([ABC]\)")
NOT_A_VALUE = re.compile(
    r"(?i)price|rrp|cost|preis|prix|precio|temp|\bgas\b|water|heat|humid|volt|amp(?:ere)?s?\b|current|frequency|"
    r"\bhz\b|power ?factor|\bpf\b|interval$|resolution|minutes|flag|version|line|row|index$|^#$|"
    r"co2|carbon|degree|latitude|longitude"
)
DAY_TOTAL = re.compile(
    r"(?i)total|totaal|totale?s?\b|\bsum(me|a)?\b|gesamt|tagessumme|tagesverbrauch|suma\b|\bdaily\b|day ?sum|Σ"
)
METER = re.compile(
    r"(?i)meter|household|home|mpan|mprn|\bnmi\b|cups|\bean\b|\bprm\b|\bpdl\b|lclid|dataid|contador|entity|sensor|"
    r"målepunkt|z[äa]e?hlpunkt|metering|point|site|building|customer|account|serial|device|region|zone|area|mapcode|"
    r"\bpod\b|\bid\b|_id$|\bplant\b|\bname\b"
)
KIND = _words("type", "typ", "type ?code", "kind", "class", "category", "art", "tipo")
QUALITY = re.compile(
    r"(?i)quality|qualit|status|estado|kvalitet|flag|metodo|method|validat|kvalitet|état|stav|reading ?type"
)
ESTIMATED = re.compile(
    r"(?i)^(e|est|estimated?|estimad[oa]|geschat|geschätzt|skønnet|ersatzwert|s|substitut\w*|odhad\w*|l2|l3)$"
)
CHOICE = re.compile(
    r"(?i)^(actual|forecasts?|[0-9]?da[mh]?|rtm|rtpd|hasp|real.?time|day.?ahead|prognose?|prognosis|ist|istwerte?|soll|"
    r"plan(?:ned)?|scheduled?|estimates?|preliminary|final|settled|budget|target|[0-9]da)$"
)


@dataclass(frozen=True)
class Column:
    """A column of a file, as a sample of its cells shows it.

    Args:
        position: From 0.
        name: In the header; `#3` where that names none.
        shape: What nearly all filled cells are.
        texts: The cells, empty ones left out.
        distinct: The different ones, most frequent first.
    """

    position: int
    name: str
    shape: Shape
    texts: tuple[str, ...]
    distinct: tuple[str, ...]

    @property
    def is_time(self) -> bool:
        """Whether it can be a stamp or a part of one."""
        return self.shape in ("stamp", "date", "time", "unix", "unix_ms", "range")

    @property
    def is_end(self) -> bool:
        """Whether its name says that it is the end of an interval."""
        return bool(END.search(spaced(self.name)) or END_JOINED.search(self.name)) and not self.is_start

    @property
    def is_start(self) -> bool:
        """Whether its name says that it is the start of an interval."""
        return bool(START.search(spaced(self.name)) or START_JOINED.search(self.name))

    @property
    def holds_numbers(self) -> bool:
        """Whether it holds numbers, be it beside other texts: those are rejected, and the column is not lost."""
        if self.shape != "text":
            return self.shape == "number"
        numbers = sum(map(is_number, self.texts))
        named = QUALITY.search(self.name) or KIND.search(spaced(self.name)) or METER.search(self.name)
        return numbers > 0 and (unit_in(self.name) is not None or (not named and 2 * numbers >= len(self.texts)))

    @property
    def may_be_value(self) -> bool:
        """Whether it may hold power or energy."""
        return (
            self.holds_numbers
            and foreign_unit_in(self.name) is None
            and (unit_in(self.name) is not None or not NOT_A_VALUE.search(spaced(self.name)))
        )


def spaced(name: str) -> str:
    """Return a name with a blank between its words, for `areaTypeCode` and `area_type_code` alike."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " "))


def profile(layout: Layout) -> list[Column]:
    """Return the columns of a table with what their cells are."""
    columns = []
    for position, name in enumerate(layout.file.columns):
        texts = layout.texts(position)
        if all(text.lower() in FILLERS for text in texts):  # a meter that begins further down
            texts = layout.texts(position, everywhere=True)
        counts = Counter(texts)
        distinct = tuple(text for text, _ in counts.most_common())
        columns.append(Column(position, name, _shape(texts, distinct), tuple(texts), distinct))
    return columns


def _shape(texts: list[str], distinct: tuple[str, ...]) -> Shape:
    telling = [text for text in texts if text.lower() not in FILLERS]
    if not telling:
        return "text" if texts else "empty"
    if all(unit_of(text) or foreign_unit_in(text) for text in distinct[:20] if text.lower() not in FILLERS):
        return "unit"
    shapes: Counter[Shape] = Counter()
    for text in telling:
        time = shape_of(text)
        if time != "other":
            shapes[time] += 1
        else:
            shapes["range" if split_range(text) else "number" if is_number(text) else "text"] += 1
    if shapes["stamp"] and shapes["date"]:  # midnight written as a date alone
        shapes["stamp"] += shapes.pop("date")
    if {"unix", "number"} <= shapes.keys():
        shapes["number"] += shapes.pop("unix")
    shape, count = shapes.most_common(1)[0]
    return shape if count >= SHARE * len(telling) else "text"
