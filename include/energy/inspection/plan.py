"""What is understood of an input file: statements with their evidence, open questions, and the plan to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from include.energy.inspection.mapping import ColumnMapping
from include.energy.inspection.spelling import DateOrder, Decimal, StampSpelling
from include.energy.lines import LineFile
from include.energy.schemas import Unit

if TYPE_CHECKING:
    from include.energy.presets import Preset, Rows

STAMPS_MARK, ZONE = "stamps mark", "zone"


@dataclass(frozen=True)
class Statement:
    """Something that holds for a file.

    Args:
        topic: What it is about, such as "unit".
        value: What holds.
        evidence: What shows it.
        assumed: Nothing shows it; it is what usually holds, and no total depends on it.
    """

    topic: str
    value: str
    evidence: str = ""
    assumed: bool = False


@dataclass(frozen=True)
class Question:
    """Something that nothing decides, and that a figure depends on.

    Args:
        topic: What it is about.
        text: The question, with the readings that are possible.
        options: The options of the command that answer it, one for each reading.
    """

    topic: str
    text: str
    options: tuple[str, ...]


class Choice(NamedTuple):
    """Rows chosen by a column: those with one of some texts, or all but those."""

    position: int
    texts: tuple[str, ...]
    is_read: bool = True


@dataclass(frozen=True)
class Answers:
    """What the user states of the input files; None and empty where nothing is stated.

    `own` says that a file has the columns of `energy_data.csv`, whose stamps mark starts. `rows` and `by_preset` follow
    from `preset` (see `with_preset`): which rows count by column, and which of these attributes it states.
    """

    mapping: ColumnMapping | None = None
    timezone: str | None = None
    stamp: str | None = None
    unit: Unit | None = None
    date_order: DateOrder | None = None
    decimal: Decimal | None = None
    where: tuple[str, ...] = ()
    as_mapped: bool = False
    several_files: bool = False
    own: bool = False
    preset: Preset | None = None
    rows: Mapping[str, Rows] = field(default_factory=dict)
    by_preset: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReadingPlan:
    """How the readings of a delimited file are taken from its fields. Columns are positions from 0.

    Args:
        file: How lines are split.
        stamps: Columns that, joined by a blank, give the stamp.
        spelling: How stamps are written.
        order: Of the parts of a date.
        period_minutes: The last of `stamps` holds the number of the day's period, from 1, of so many minutes.
        ranges: A stamp is the first of two times in one field.
        ends: Stamps mark the ends of their intervals.
        utc: Stamps without a zone are UTC.
        meter: Column of the households' names.
        household: The name of the one household; None where `meter` is given or each value column is one.
        values: Columns of the values. Several are added up where `household` or `meter` names whose they are.
        spread: Text of the time, by value column, where the header gives the times.
        unit: Of the values.
        cumulative: The values are readings of a register.
        decimal: The decimal mark.
        thousands: What separates thousands.
        where: Which rows count; all choices must hold.
        quality: Column that says how a reading was obtained, and its texts that mean "estimated".
        voltage: Column of volts.
        current: Column of amperes.
        flows: Columns of `export` and `generation`, which are added up.
        register: Column that says which register a row is a reading of.
        day_total: Column of the sum of a row's values, where a row is a day, and what a value has to be multiplied by
            to be part of it.
        roles: What registers count, by their texts in that column.
    """

    file: LineFile
    stamps: tuple[int, ...]
    spelling: StampSpelling
    order: DateOrder
    unit: Unit
    values: tuple[int, ...]
    period_minutes: int | None = None
    ranges: bool = False
    ends: bool = False
    utc: bool = False
    meter: int | None = None
    household: str | None = None
    spread: dict[int, str] = field(default_factory=dict)
    cumulative: bool = False
    decimal: Decimal = "."
    thousands: str = ""
    where: tuple[Choice, ...] = ()
    quality: tuple[int, tuple[str, ...]] | None = None
    voltage: int | None = None
    current: int | None = None
    flows: dict[str, tuple[int, ...]] = field(default_factory=dict)
    day_total: tuple[int, float] | None = None
    register: int | None = None
    roles: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Understanding:
    """What is understood of a file. `plan` is None as long as a question is open, that of the zone aside.

    `mapping` and `where` are the options that state it.
    """

    statements: tuple[Statement, ...]
    questions: tuple[Question, ...]
    plan: ReadingPlan | None
    mapping: str = ""
    where: tuple[str, ...] = ()
