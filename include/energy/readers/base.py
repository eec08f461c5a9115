"""The interface of meter readers, and the choice of the reader of a file.

A format is one module of this package that defines `READER`, an object with the members of `Reader`; it is found by
importing the package's modules, and nothing else names it:

    class Nem12:
        name = "NEM12"

        def sniff(self, sample, params):
            matches = sample.head.startswith(b"100,NEM12")
            return Confidence(1.0 if matches else 0.0, f"its first record is {'' if matches else 'not '}100,NEM12")

        def read(self, sample, params, db):
            readings = parse(sample.chunks())
            blocks = iter(lambda: list(islice(readings, 50_000)), [])
            return MeterData(unit="kWh", batches=(batch(db, block) for block in blocks))

    READER = Nem12()

A reader converts nothing: it takes a file apart. Stamps become UTC, and energy becomes power, in
`include.energy.conversion`, alike for all formats.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.energy import readers
from include.energy.inspection.plan import Statement
from include.energy.lines import EMPTY, read_chunks
from include.energy.presets import preset_of

if TYPE_CHECKING:
    import duckdb

    from include.energy.params import GeneratorParams
    from include.energy.schemas import Measured, Unit
    from include.energy.unpack import Text

SURE = 0.5
SAMPLE_BYTES = 64 * 1024


class Confidence(NamedTuple):
    """How sure a reader is that a file is its own.

    Args:
        score: From 0 (it is not) to 1 (its signature is there); a file is read from 0.5 on.
        reason: What the score rests on, as the rest of a sentence about the file: "is empty".
    """

    score: float
    reason: str


@dataclass(frozen=True)
class Sample:
    """An input file and its first bytes.

    Args:
        path: Where it lies.
        name: What messages call it.
        head: Its first 64 KiB, or all of it where it is shorter; decompressed where it is gzip.
        alone: Nothing else was taken out of the same archive or workbook.
    """

    path: Path
    name: str
    head: bytes
    alone: bool = True

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes of the file, decompressed where it is gzip."""
        return read_chunks(self.path, self.name)

    def lines(self) -> Iterator[bytes]:
        """Yield all lines, without the line feeds that end them."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest


class Reading(NamedTuple):
    """A reading as its file states it; what cannot be read is passed on as text, and the analyzer judges it.

    Args:
        line: Line number of its record in the file, from 1.
        household_id: The household or meter.
        stamp: Its time, in one of the spellings that `include.energy.stamps` reads.
        power: Number in the unit of its `MeterData`.
        voltage: Number, V.
        current: Number, A.
        quality: How it was obtained, in the words of the file.
        export: Fed into the grid, in the unit and kind of `power`.
        generation: Generated at home, likewise.
        field: The column of its value, by name or as `#3`, where a record holds several readings.
        register: Which register it is a reading of, where several share one time (see `MeterData.roles`).
        malformed: Its record cannot be taken apart; all texts are None then.
        estimated: The file says that it was estimated, not measured.
    """

    line: int
    household_id: str | None
    stamp: str | None
    power: str | None
    voltage: str | None = None
    current: str | None = None
    quality: str | None = None
    export: str | None = None
    generation: str | None = None
    field: str | None = None
    register: str | None = None
    malformed: bool = False
    estimated: bool = False


@dataclass(frozen=True)
class Clock:
    """How the stamps of a file are read.

    Args:
        time: SQL of `stamp` as a TIMESTAMP: UTC where `zoned`, else wall-clock time; None for the general spelling.
        zoned: SQL of whether a stamp says its zone; None for the general rule.
        day: SQL of the midnight of `stamp`, where `time` counts the hours since then, whatever clocks show.
    """

    time: str | None
    zoned: str | None = None
    day: str | None = None


@dataclass(frozen=True)
class MeterData:
    """What a reader makes of a file.

    Args:
        batches: Relations with the columns of `Reading`, in the order of the file, each consumed before the next is
            asked for. A format that DuckDB reads is one lazy relation, which streams by itself; see `batch()` for
            formats that Python reads.
        unit: Unit of the readings' `power`.
        states_quality: The file states how readings were obtained; else their `quality` and `estimated` do not count.
        measured: Which of voltage and current the readings state; a reading without one of these is rejected. The
            other does not count.
        columns: The columns that the file names, where it names any.
        delimiter: Of delimited text.
        clock: How stamps are read; None for the general spelling.
        clocked: The batches hold `zoned` and `clock` as well, read so: readings of one row of a table share them.
        ends: Stamps mark the ends of their intervals.
        cumulative: `power` is the reading of a register, of which differences are taken.
        flows: Which of export and generation the readings state.
        roles: What registers count, by their names (`import`, `export` or `generation`), where a reading stands in
            several records, one a register. Empty where the description of meters states it; None where a record is
            a reading.
        unfolded: A record holds several readings, each of which states its `field`.
        summed: How many columns were added up to one reading.
        drops_empty: A reading without `power` is not a record: nothing was measured there.
        statements: What was understood of the file, with its evidence.
        all_malformed: The rest of a sentence about a file all of whose records are malformed, with its remedy.
        findings: How its values agree with sums that it states; complete when all batches have been consumed.
        not_selected: How many values of a file are no readings, by what they are ("B1 (KWH)"); complete when all
            batches have been consumed.
    """

    batches: Iterable[duckdb.DuckDBPyRelation]
    unit: Unit
    states_quality: bool = False
    measured: tuple[Measured, ...] = ()
    columns: tuple[str, ...] = ()
    delimiter: str | None = None
    clock: Clock | None = None
    clocked: bool = False
    ends: bool | None = None
    cumulative: bool = False
    flows: tuple[str, ...] = ()
    roles: Mapping[str, str] | None = None
    unfolded: bool = False
    summed: int = 1
    drops_empty: bool = False
    statements: tuple[Statement, ...] = ()
    all_malformed: str = "none of its records can be read"
    findings: Sequence[Finding] = ()
    not_selected: Mapping[str, int] = field(default_factory=dict)


class Reader(Protocol):
    """A format of meter files."""

    @property
    def name(self) -> str:
        """The format as messages call it."""

    def sniff(self, sample: Sample, params: GeneratorParams) -> Confidence:
        """Return how sure it is that a file is of this format, from its first bytes."""

    def read(self, sample: Sample, params: GeneratorParams, db: duckdb.DuckDBPyConnection) -> MeterData:
        """Take a file apart.

        Args:
            sample: The file.
            params: What the user states of the files: `columns`, for one.
            db: The database that the batches are relations of.

        Raises:
            BadInputError: The file cannot be read; also while the batches are consumed.
        """


def find_readers() -> list[Reader]:
    """Return the reader of each format, by name."""
    names = (module.name for module in pkgutil.iter_modules(readers.__path__))
    modules = [importlib.import_module(f"{readers.__name__}.{name}") for name in names]
    return sorted((module.READER for module in modules if hasattr(module, "READER")), key=lambda reader: reader.name)


def candidates(params: GeneratorParams) -> list[Reader]:
    """Return the readers that may read the files: that of the preset, else all.

    Raises:
        BadInputError: The preset names a format that no reader reads.
    """
    readers = find_readers()
    if params.format is None:
        return readers
    preset = preset_of(params.format)
    if not (named := [reader for reader in readers if reader.name == preset.reader]):
        known = ", ".join(reader.name for reader in readers)
        raise BadInputError(f"format: {preset.name}: no reader is called {preset.reader!r}; the readers are {known}")
    return named


def take_samples(texts: Sequence[Text]) -> list[Sample]:
    """Return the first bytes of each text of an input file.

    Raises:
        BadInputError: One is missing, unreadable, or a damaged gzip file.
    """
    return [replace(take_sample(text.path, text.name), alone=len(texts) == 1) for text in texts]


def take_sample(path: Path, name: str) -> Sample:
    """Return the first bytes of a file.

    Raises:
        BadInputError: It is missing, unreadable, or a damaged gzip file.
    """
    return Sample(path, name, next(read_chunks(path, name), b"")[:SAMPLE_BYTES])


def choose(sample: Sample, params: GeneratorParams, candidates: Sequence[Reader]) -> Reader:
    """Return the reader that is surest of a file.

    Args:
        sample: The file.
        params: What the user states of the files.
        candidates: The readers to choose from.

    Raises:
        BadInputError: No reader is sure, or two are equally sure.
    """
    if not sample.head.strip():
        raise BadInputError(f"{sample.name}: {EMPTY}")
    ranked = sorted(
        ((reader.sniff(sample, params), reader) for reader in candidates), key=lambda claim: -claim[0].score
    )
    best, surest = ranked[0]
    if best.score < SURE:
        refusals = "; ".join(f"{reader.name}: {confidence.reason}" for confidence, reader in ranked)
        reason = best.reason if len(ranked) == 1 else f"is not of any known format: {refusals}"
        raise BadInputError(f"{sample.name}: {reason}")
    equal = [f"{reader.name} ({confidence.reason})" for confidence, reader in ranked if confidence.score == best.score]
    if len(equal) > 1:
        raise BadInputError(f"{sample.name}: may be {' or '.join(equal)}, and nothing decides between these formats")
    return surest


def batch(db: duckdb.DuckDBPyConnection, readings: Iterable[Reading]) -> duckdb.DuckDBPyRelation:
    """Return readings that Python has read as a batch; some ten thousand at a time keep memory flat."""
    import pandas as pd

    frame = pd.DataFrame(readings, columns=list(Reading._fields), dtype=object)
    texts = ", ".join(f"{column}::VARCHAR AS {column}" for column in Reading._fields[1:-2])
    flags = ", ".join(f"{column}::BOOLEAN AS {column}" for column in Reading._fields[-2:])
    return db.from_df(frame).project(f"line::BIGINT AS line, {texts}, {flags}")
