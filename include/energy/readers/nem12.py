"""NEM12: interval data of Australian electricity meters, one line a day and register.

The format is AEMO's "Meter Data File Format Specification NEM12 & NEM13" (version 1.06, 2017). A 200 record names a
register: its NMI (connection point), suffix, unit and interval; the 300 records after it hold one day each, and the
400 records after these state the quality of single intervals. Times are market time, +10:00 in all seasons, and a
day's first value covers the interval that starts at 00:00.

Readings are those of registers of energy from the grid (suffix E…) in Wh, kWh or MWh. A register of what is fed into
the grid (B1 beside E1) is their export if it has the same days and interval. Values of other registers (Q… reactive
energy, other B…), and null values (quality N), are counted in `MeterData.not_selected`. The household is the NMI;
where an NMI has several such registers (E1, E2: controlled load), each is a household: `NMI E1`. A 300 record that
does not hold one value an interval is malformed: its values could belong to other times.

`nemreader` (MIT, kept) is not used: it reads files as a whole, forgets line numbers, takes values that are not numbers
for missing ones, and skips days with too few values.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from include.core.errors import BadInputError
from include.energy.inspection.plan import Statement
from include.energy.readers.base import Confidence, MeterData, Sample

if TYPE_CHECKING:
    import duckdb

    from include.energy.params import GeneratorParams

BATCH_DAYS = 500
NULL_VALUES = "null values (quality N)"
_OFFSET = "+10:00"
_KWH = {"WH": -3, "KWH": 0, "MWH": 3}  # powers of ten
_VALUES = re.compile(r"(?:-?\d+(?:\.\d*)?)?(?:,(?:-?\d+(?:\.\d*)?)?)*")
_QUALITY = re.compile(r"[AEFNS](\d\d)?|V")
_STATES = {"A": "r", "E": "e", "F": "e", "S": "e", "N": "n"}
_TRAILING = 5  # QualityMethod, ReasonCode, ReasonDescription, UpdateDateTime, MSATSLoadDateTime
_FIRST_VALUE = 3
"""Field of a 300 record that holds its first value, from 1."""
_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:100,NEM1([23])\b|(200),[^,\r\n]+,)")


class Register(NamedTuple):
    """What a 200 record states: a register of a connection point."""

    nmi: str
    suffix: str
    unit: str
    minutes: int

    @property
    def is_selected(self) -> bool:
        """Whether it counts energy from the grid."""
        return self.suffix.startswith("E") and self.unit in _KWH

    @property
    def beside(self) -> tuple[str, str] | None:
        """NMI and suffix of the register of energy from the grid that it stands beside, E1 of B1; None for others."""
        is_export = self.suffix.startswith("B") and self.unit in _KWH
        return (self.nmi, f"E{self.suffix[1:]}") if is_export else None

    @property
    def label(self) -> str:
        """What it is called in counts of values: "B1 (KWH)"."""
        return f"{self.suffix} ({self.unit})"


@dataclass
class Day:
    """A 300 record: values of one register and day, and the quality of each (such as `A` or `S14`).

    A reason code follows its quality: `S14 23`. `qualities` holds None where neither the record nor a 400 record states
    one.
    """

    line: int
    register: Register
    start: datetime
    values: list[str]
    qualities: list[str | None]


class Nem12Reader:
    """Reads NEM12, plain or gzip; refuses NEM13."""

    name = "NEM12"

    def sniff(self, sample: Sample, params: GeneratorParams) -> Confidence:
        """Accept files that begin with a 100 record, or, as some distributors provide them, with a 200 record."""
        beginning = _BEGINNING.match(sample.head)
        if beginning is None:
            return Confidence(0, "its first record is neither 100,NEM12 nor 200")
        if beginning[2] and not re.search(rb"^300,\d{8},", sample.head, re.MULTILINE):
            return Confidence(0, "no 300 record follows its 200 record")
        return Confidence(1, "its first record is " + ("200" if beginning[2] else f"100,NEM1{beginning[1].decode()}"))

    def read(self, sample: Sample, params: GeneratorParams, db: duckdb.DuckDBPyConnection) -> MeterData:
        """Take the file apart, some hundred days at a time.

        Raises:
            BadInputError: The file is NEM13, is incomplete, or has no register of energy from the grid; or the end of
                intervals is asked for, which its stamps are not.
        """
        if params.stamp == "end":
            raise BadInputError(f"{sample.name}: NEM12 states the start of each interval; leave out --stamp end")
        registers = _registers(sample)
        households = _households(registers, sample.name)
        exports = _exports(sample, {r.beside for r in registers if r.beside in households})
        not_selected: Counter[str] = Counter()
        rows = _rows(sample, households, exports, not_selected)
        blocks = iter(lambda: list(islice(rows, BATCH_DAYS)), [])
        return MeterData(
            unit="kWh",
            states_quality=True,
            batches=(_batch(db, block) for block in blocks),
            all_malformed="none of its 300 records has a date, a value for each interval, and a quality flag",
            not_selected=not_selected,
            ends=False,
            unfolded=True,
            flows=("export",) if exports else (),
            statements=_statements(registers, exports),
        )


def days(sample: Sample) -> Iterator[Day | int]:
    """Yield each 300 record with the 400 records that belong to it, and the line number of each malformed record."""
    register: Register | None = None
    day: Day | None = None
    for line, text in _records(sample):
        fields = _fields(text)
        if fields[0] == "400":
            if day is None or not _apply_event(fields, day):
                yield line
            continue
        if day is not None:
            yield day
        day = _day(line, fields, register) if fields[0] == "300" else None
        if fields[0] in ("100", "200", "900"):
            register = _register(fields) if fields[0] == "200" else None
        is_read = {"100": True, "200": register, "300": day, "500": True, "900": True}.get(fields[0])
        if not is_read:
            yield line
    if day is not None:
        yield day


def _records(sample: Sample) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank, with its number."""
    for number, line in enumerate(sample.lines(), 1):
        if text := line.decode("utf-8", "replace").removeprefix("\ufeff").strip():
            yield number, text


def _fields(text: str) -> list[str]:
    if '"' in text:
        return [field.strip() for field in next(csv.reader([text]))]
    return text.replace(" ", "").split(",")


def _register(fields: list[str]) -> Register | None:
    if len(fields) < 9 or not fields[1] or not fields[4] or not fields[8].isdecimal():
        return None
    minutes = int(fields[8])
    is_possible = minutes > 0 and 1440 % minutes == 0
    return Register(fields[1], fields[4].upper(), fields[7].upper(), minutes) if is_possible else None


def _day(line: int, fields: list[str], register: Register | None) -> Day | None:
    """Return a 300 record, None where it does not hold one value an interval and then a quality."""
    if register is None:
        return None
    count = 1440 // register.minutes
    values, trailing = fields[2 : 2 + count], fields[2 + count :]
    while len(trailing) > _TRAILING and not trailing[-1]:
        trailing.pop()
    if len(values) < count or not 1 <= len(trailing) <= _TRAILING or not _QUALITY.fullmatch(trailing[0]):
        return None
    try:
        start = datetime.strptime(fields[1], "%Y%m%d")  # noqa: DTZ007 -- the offset follows when it is written
    except ValueError:
        return None
    if not _VALUES.fullmatch(",".join(values)):
        return None
    quality = None if trailing[0] == "V" else " ".join(filter(None, trailing[:2]))
    return Day(line, register, start, values, [quality] * count)


def _apply_event(fields: list[str], day: Day) -> bool:
    """Apply a 400 record, which states the quality of the intervals from its first to its last one, counted from 1."""
    if len(fields) < 4 or not (fields[1].isdecimal() and fields[2].isdecimal()):
        return False
    first, last = int(fields[1]), int(fields[2])
    if not 1 <= first <= last <= len(day.values) or fields[3] == "V" or not _QUALITY.fullmatch(fields[3]):
        return False
    day.qualities[first - 1 : last] = [" ".join(filter(None, fields[3:5]))] * (last - first + 1)
    return True


def _registers(sample: Sample) -> set[Register]:
    """Return the registers of a file.

    Raises:
        BadInputError: It is NEM13, or incomplete.
    """
    registers, is_headed, last = set(), False, ""
    for line, text in _records(sample):
        last = text.partition(",")[0].strip(' "')
        if last not in ("100", "200"):
            continue
        fields = _fields(text)
        if last == "100" and fields[1:2] != ["NEM12"]:
            raise BadInputError(
                f"{sample.name}: line {line}: is {' '.join(fields[1:2])}, not NEM12; NEM13 holds register readings "
                "that are weeks apart, from which no load curve follows: ask for interval data (NEM12)"
            )
        is_headed = is_headed or last == "100"
        if last == "200" and (register := _register(fields)):
            registers.add(register)
    if is_headed and last != "900":
        raise BadInputError(
            f"{sample.name}: does not end with its end record, so a part of the file is missing; fetch it again, or, "
            "if you know it to be complete, add a last line: 900"
        )
    return registers


def _households(registers: set[Register], name: str) -> dict[tuple[str, str], str]:
    """Return the household of each selected register, by NMI and suffix."""
    suffixes = defaultdict(set)
    for register in registers:
        if register.is_selected:
            suffixes[register.nmi].add(register.suffix)
    if not suffixes:
        others = ", ".join(sorted({register.label for register in registers})) or "none"
        raise BadInputError(
            f"{name}: has no register of energy from the grid (suffix E…, in Wh, kWh or MWh); its registers: {others}"
        )
    return {
        (nmi, suffix): nmi if len(several) == 1 else f"{nmi} {suffix}"
        for nmi, several in suffixes.items()
        for suffix in several
    }


class Export(NamedTuple):
    """What was fed into the grid on a day: values in kWh, and the state and quality of each, as those of `Row`."""

    values: list[str]
    states: str
    qualities: list[str]


Place = tuple[str, str, datetime, int, int]
"""NMI and suffix of a register, a day, its number of values, and how many 300 records of all these stand before."""


def _exports(sample: Sample, wanted: Collection[tuple[str, str] | None]) -> dict[Place, Export]:
    """Return the days of registers of what is fed into the grid, by the day of the register that they stand beside.

    A register that has other days than that one, or has one more often, is left out: what it states is no export of all
    readings.

    Args:
        sample: The file.
        wanted: NMI and suffix of the registers of energy from the grid that have one beside them.
    """
    exports: dict[Place, Export] = {}
    shapes: defaultdict[tuple[str, str], Counter[tuple[datetime, int]]] = defaultdict(Counter)
    for day in days(sample) if wanted else ():
        if isinstance(day, int):
            continue
        register, shape = day.register, (day.start, len(day.values))
        if register.beside in wanted and register.beside is not None:
            place = (*register.beside, *shape, shapes[register.nmi, register.suffix][shape])
            values = [_kwh(value, register.unit) for value in day.values]
            exports[place] = Export(values, _states(day), [quality or "" for quality in day.qualities])
        elif not (register.is_selected and (register.nmi, register.suffix) in wanted):
            continue
        shapes[register.nmi, register.suffix][shape] += 1
    complete = {key for key in wanted if key and shapes[key] == shapes[key[0], f"B{key[1][1:]}"]}
    return {place: export for place, export in exports.items() if place[:2] in complete}


def _statements(registers: set[Register], exports: Mapping[Place, Export]) -> tuple[Statement, ...]:
    """Return which registers are read as export, and which are not."""
    read = {place[:2] for place in exports}
    suffixes = {r.suffix for r in registers if r.beside in read}
    return (Statement("export", ", ".join(sorted(suffixes)), "has the days of the register beside it"),) if read else ()


class Row(NamedTuple):
    """A day as a batch takes it, or a malformed record.

    Args:
        line: Its line.
        household_id: The household.
        day: Its date, 00:00; None where the record is malformed.
        minutes: The interval.
        power: The values in kWh, separated by commas.
        states: A letter for each value: `r` for a reading, `e` for one that is estimated or substituted (qualities E, S
            and F), `n` for a null value, `m` for one without a quality.
        qualities: The qualities, separated by commas.
        export: What was fed into the grid, as `power`; empty where no register states it.
    """

    line: int
    household_id: str
    day: datetime | None
    minutes: int
    power: str
    states: str
    qualities: str
    export: str = ""


def _rows(
    sample: Sample, households: dict[tuple[str, str], str], exports: Mapping[Place, Export], not_selected: Counter[str]
) -> Iterator[Row]:
    """Yield the days of the selected registers and the malformed records, and count what is not selected."""
    read, before = {place[:2] for place in exports}, Counter[tuple[str, str, datetime, int]]()
    for day in days(sample):
        if isinstance(day, int):
            yield Row(day, "", None, 0, "", "m", "")
            continue
        register = day.register
        if not register.is_selected:
            if register.beside not in read:
                not_selected[register.label] += len(day.values)
            continue
        states, qualities, export = _states(day), [quality or "" for quality in day.qualities], ""
        if (key := (register.nmi, register.suffix)) in read:
            shape = (*key, day.start, len(day.values))
            beside = exports[*shape, before[shape]]
            before[shape] += 1
            if nulls := beside.states.count("n"):
                not_selected[NULL_VALUES] += nulls
            if lost := sum(own == "n" != other for own, other in zip(states, beside.states, strict=True)):
                not_selected[f"B{register.suffix[1:]} beside {NULL_VALUES}"] += lost
            export = ",".join(
                value if state in "re" else "" for value, state in zip(beside.values, beside.states, strict=True)
            )
            states = "".join("e" if a + b == "re" else a for a, b in zip(states, beside.states, strict=True))
            qualities = [
                own if own == other else f"{own}; export {other or 'without quality'}"
                for own, other in zip(qualities, beside.qualities, strict=True)
            ]
        if nulls := states.count("n"):
            not_selected[NULL_VALUES] += nulls
        power = ",".join(_kwh(value, register.unit) for value in day.values)
        household = households[key]
        yield Row(day.line, household, day.start, register.minutes, power, states, ",".join(qualities), export)


def _states(day: Day) -> str:
    """Return the letter of each value's quality (see `Row`)."""
    return "".join(_STATES[quality[0]] if quality else "m" for quality in day.qualities)


def _batch(db: duckdb.DuckDBPyConnection, rows: list[Row]) -> duckdb.DuckDBPyRelation:
    """Return days as readings with the columns of `Reading`; DuckDB takes them apart, ten times as fast as Python."""
    import pandas as pd

    values = db.from_df(pd.DataFrame(rows, columns=list(Row._fields))).project(
        "line, household_id, day, minutes, unnest(string_split(power, ',')) AS power, "
        "unnest(string_split(states, '')) AS state, unnest(range(length(states))) AS place, "
        "unnest(string_split(qualities, ',')) AS quality, unnest(string_split(export, ',')) AS export"
    )
    stated = {
        "household_id": "household_id",
        "stamp": f"strftime(day::TIMESTAMP + to_minutes(place * minutes), '%Y-%m-%dT%H:%M:%S{_OFFSET}')",
        "power": "nullif(power, '')",
        "voltage": "NULL::VARCHAR",
        "current": "NULL::VARCHAR",
        "quality": "nullif(quality, '')",
        "export": "nullif(export, '')",
        "generation": "NULL::VARCHAR",
        "field": f"'#' || (place + {_FIRST_VALUE})",
        "register": "NULL::VARCHAR",
    }
    texts = ", ".join(f"CASE WHEN state IN ('r', 'e') THEN {value} END AS {column}" for column, value in stated.items())
    flags = "state = 'm' AS malformed, state = 'e' AS estimated"
    return values.filter("state <> 'n'").project(f"line::BIGINT AS line, {texts}, {flags}")


def _kwh(value: str, unit: str) -> str:
    """Return an energy in kWh, to the last digit."""
    return value if unit == "KWH" or not value else format(Decimal(value).scaleb(_KWH[unit]), "f")


READER = Nem12Reader()
