"""Green Button: interval readings of the Energy Services Provider Interface (ESPI, NAESB REQ.21), an XML format.

A feed holds resources that name each other by links: a UsagePoint (connection point) has MeterReadings, each with a
ReadingType, which states unit and meaning, and with IntervalBlocks of readings. A reading states its start (Unix time),
its duration, and a value: energy of that interval in Wh, times a power of ten.

Readings are those of electricity (commodity 1), delivered (flowDirection 1), as energy of each interval (uom 72,
accumulationBehaviour 4). What is fed into the grid (flowDirection 19) is their export where it has the same starts and
durations. Those of other series are counted in `MeterData.not_selected`. What a feed leaves open is not guessed:
`--unit` has to state it. A series whose commodity or flowDirection nothing states is read as delivered electricity,
which the report lists as assumed. Household is the link of the UsagePoint, the same in all downloads.

The file is read twice, as a stream: its resources, then its readings. Expat is used as it is, for only it knows the
line of an element; entities, which could multiply or fetch content, are refused as `defusedxml` does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain, combinations, islice
from math import inf
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from xml.parsers import expat

from include.core.errors import BadInputError
from include.energy.inspection.plan import Statement
from include.energy.readers.base import Confidence, MeterData, Reading, Sample, batch

if TYPE_CHECKING:
    import duckdb

    from include.energy.params import GeneratorParams

BATCH = 50_000
_ENOUGH = 3
_HOUR, _DAY = 3600, 86400
_NAMESPACE = b"http://naesb.org/espi"
_RESOURCES = ("UsagePoint", "MeterReading", "ReadingType", "IntervalBlock")
_WH = {"Wh": 0, "kWh": 3, "MWh": 6}  # powers of ten
_COMMODITIES = {"4": "air", "7": "natural gas", "8": "propane", "9": "water", "10": "steam", "11": "wastewater"}
_SERVICES = {"1": "natural gas", "2": "water", "4": "pressure", "5": "heat", "6": "cold"}
_UNITS = {
    "38": "W",
    "42": "m³",
    "61": "VA",
    "63": "var",
    "71": "VAh",
    "73": "varh",
    "119": "ft³",
    "132": "Btu",
    "169": "therm",
}
_BEHAVIOURS = {"1": "register readings", "3": "register readings", "6": "indications", "9": "sums", "12": "moments"}
_QUALITIES = {
    "0": "valid",
    "7": "manually edited",
    "8": "estimated using reference day",
    "9": "estimated using linear interpolation",
    "10": "questionable",
    "11": "derived",
    "12": "projected (forecast)",
    "13": "mixed",
    "14": "raw",
    "15": "normalized for weather",
    "16": "other",
    "17": "validated",
    "18": "verified",
    "19": "revenue-quality",
}
"""QualityOfReading of the ESPI schema."""
_ESTIMATED = {"8", "9", "12"}
_DIRECTIONS = {"4": "net energy", "19": "energy fed into the grid", "20": "total energy"}


@dataclass
class Entry:
    """An Atom entry: its title and its links, by relation."""

    title: str = ""
    links: dict[str, list[str]] = field(default_factory=dict)

    def linked(self, relation: str) -> list[str]:
        """Return the paths of the links of a relation; feeds mix links with and without a host."""
        return [urlsplit(link).path.strip("/") for link in self.links.get(relation, [])]


@dataclass
class Resource:
    """A resource of ESPI, with the texts of its own elements.

    Args:
        kind: `UsagePoint`, `MeterReading`, `ReadingType` or `IntervalBlock`.
        entry: The entry that it stands in.
        fields: Texts by element name.
        readings: Of a block: how many it has.
        first: Of a block: the earliest start of a reading (Unix time).
        last: Of a block: the latest end.
        fault: Of a block: how durations of its readings contradict their starts, as a sentence; or empty.
        states_quality: Of a block: a reading states its quality.
    """

    kind: str
    entry: Entry
    fields: dict[str, str] = field(default_factory=dict)
    readings: int = 0
    first: float = inf
    last: float = -inf
    fault: str = ""
    states_quality: bool = False


class IntervalReading(NamedTuple):
    """A reading: the number of its block from 0, its line, and its texts."""

    block: int
    line: int
    start: str
    duration: str
    value: str
    quality: str = ""


class Series(NamedTuple):
    """What the readings of a block are.

    Args:
        household: The household.
        meter_reading: Identity of the MeterReading, the same for all of its blocks.
        exponent: A value times ten to this power is in Wh; None where the readings are not delivered electricity.
        label: What they are instead.
        assumed: What nothing states of them: commodity, flowDirection.
        export: As `exponent`, of energy that is fed into the grid; None where they are something else.
    """

    household: str
    meter_reading: int
    exponent: int | None
    label: str = ""
    assumed: tuple[str, ...] = ()
    export: int | None = None


Interval = tuple[str, str]
"""Start and duration of a reading, as the feed writes them."""


class Export(NamedTuple):
    """What was fed into the grid in an interval: Wh, and the codes of its quality."""

    wh: str
    quality: str


class EspiReader:
    """Reads Green Button (ESPI) feeds, plain or gzip."""

    name = "Green Button (ESPI)"

    def sniff(self, sample: Sample, params: GeneratorParams) -> Confidence:
        """Accept XML that names the namespace of ESPI."""
        matches = sample.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and _NAMESPACE in sample.head
        return Confidence(float(matches), f"is {'' if matches else 'not '}XML with elements of {_NAMESPACE.decode()}")

    def read(self, sample: Sample, params: GeneratorParams, db: duckdb.DuckDBPyConnection) -> MeterData:
        """Take the feed apart, some ten thousand readings at a time.

        Raises:
            BadInputError: The XML is damaged or has entities; no series is electricity in Wh, or nothing states which
                one is; or the end of intervals is asked for, which its stamps are not.
        """
        if params.stamp == "end":
            raise BadInputError(f"{sample.name}: ESPI states the start of each interval; leave out --stamp end")
        feed = _feed(sample)
        blocks = feed["IntervalBlock"]
        series = [_series(block, feed, sample.name, params.unit) for block in blocks]
        _check_series(series, blocks, sample.name)
        exports = _exports(sample, series)
        not_selected: Counter[str] = Counter()
        for stated, block in zip(series, blocks, strict=True):
            is_read = stated.exponent is not None or (stated.export is not None and stated.household in exports)
            not_selected[stated.label] += 0 if is_read else block.readings
        readings = _readings(sample, series, exports)
        parts = iter(lambda: list(islice(readings, BATCH)), [])
        return MeterData(
            unit="Wh",
            batches=(batch(db, part) for part in parts),
            states_quality=any(
                block.states_quality
                for stated, block in zip(series, blocks, strict=True)
                if stated.exponent is not None or stated.household in exports
            ),
            flows=("export",) if exports else (),
            statements=(*_assumed(series), *_export_read(exports)),
            all_malformed="none of its IntervalReadings has a timePeriod with a start, and a value",
            not_selected=+not_selected,
            ends=False,
        )


def _assumed(series: list[Series]) -> Iterator[Statement]:
    """Yield what is assumed of the selected series, for nothing states it."""
    missing = {element for stated in series if stated.exponent is not None for element in stated.assumed}
    if "commodity" in missing:
        evidence = "neither a ReadingType's commodity nor a ServiceCategory states what was measured"
        yield Statement("commodity", "electricity", evidence, assumed=True)
    if "flowDirection" in missing:
        yield Statement("direction", "delivered from the grid", "no flowDirection states it", assumed=True)


def _export_read(exports: Mapping[str, object]) -> Iterator[Statement]:
    """Yield that export is read, where it is."""
    if exports:
        evidence = "flowDirection 19, with the starts and durations of what is delivered"
        yield Statement("export", _DIRECTIONS["19"], evidence)


class _Parser:
    """Turns a stream of XML into resources, each when it ends, and interval readings."""

    def __init__(self) -> None:
        self.path: list[str] = [""]
        self.text: list[str] = []
        self.entry = Entry()
        self.resource: Resource | None = None
        self.reading: dict[str, str] | None = None
        self.blocks = self.line = 0
        self.items: list[Resource | IntervalReading] = []
        self.expat = expat.ParserCreate("UTF-8", " ")
        self.expat.buffer_text = True
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.CharacterDataHandler = self.text.append
        self.expat.EntityDeclHandler = self._refuse

    def _refuse(self, *_: object) -> None:
        raise ValueError("declares an entity, which no Green Button file needs")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self.path.append(local)
        self.text.clear()
        if local == "entry":
            self.entry = Entry()
        elif local == "link":
            self.entry.links.setdefault(attributes.get("rel", ""), []).append(attributes.get("href", ""))
        elif local in _RESOURCES:
            self.resource = Resource(local, self.entry)
        elif self.path[-2:] == ["IntervalBlock", "IntervalReading"]:
            self.reading, self.line = {}, self.expat.CurrentLineNumber

    def _end(self, _: str) -> None:
        local, text = self.path.pop(), "".join(self.text).strip()
        parent = self.path[-1]
        self.text.clear()
        if self.reading is not None:
            if local == "IntervalReading":
                texts = (self.reading.get(key, "") for key in ("start", "duration", "value", "quality"))
                self.items.append(IntervalReading(self.blocks, self.line, *texts))
                if self.resource and "quality" in self.reading:
                    self.resource.states_quality = True
                self.reading = None
            elif (parent, local) == ("ReadingQuality", "quality"):
                self.reading[local] = f"{self.reading.get(local, '')} {text}".strip()
            elif parent in ("timePeriod", "IntervalReading"):
                self.reading[local] = text
        elif local in _RESOURCES and self.resource:
            self.items.append(self.resource)
            self.blocks += local == "IntervalBlock"
            self.resource = None
        elif self.resource and parent in (self.resource.kind, "ServiceCategory"):
            self.resource.fields[local] = text
        elif (parent, local) == ("entry", "title"):
            self.entry.title = text


def items(sample: Sample) -> Iterator[Resource | IntervalReading]:
    """Yield the resources and interval readings of a feed; readings stand before the block that they are in.

    Raises:
        BadInputError: The XML is damaged, or declares entities.
    """
    parser = _Parser()
    for chunk in chain(sample.chunks(), [b""]):
        try:
            parser.expat.Parse(chunk, not chunk)
        except (expat.ExpatError, ValueError) as error:
            line = parser.expat.CurrentLineNumber
            raise BadInputError(f"{sample.name}: line {line}: is not XML of Green Button: {error}") from None
        yield from parser.items
        parser.items.clear()


Feed = dict[str, list[Resource]]
"""The resources of a feed, by kind."""


def _feed(sample: Sample) -> Feed:
    """Return the resources of a feed; each block knows how many readings it has, and the time that they cover."""
    feed: Feed = {kind: [] for kind in _RESOURCES}
    readings, first, last, before = 0, inf, -inf, (0, 0)
    steps: Counter[tuple[int, int]] = Counter()
    for item in items(sample):
        if isinstance(item, Resource):
            feed[item.kind].append(item)
        if isinstance(item, IntervalReading):
            readings += 1
            if item.start.isdecimal() and item.duration.isdecimal():
                start, duration = int(item.start), int(item.duration)
                steps[start - before[0], before[1]] += 1
                first, last, before = min(first, start), max(last, start + duration), (start, duration)
        elif item.kind == "IntervalBlock":
            item.readings, item.first, item.last, item.fault = readings, first, last, _step_fault(steps)
            readings, first, last, before = 0, inf, -inf, (0, 0)
            steps.clear()
    return feed


def _step_fault(steps: Counter[tuple[int, int]]) -> str:
    """Return how durations of readings contradict their starts, for then their power would be wrong; empty if not.

    Days may overlap by the hour that they lose at the start of daylight saving.

    Args:
        steps: How often a start is so many seconds after that of a reading of such a duration.
    """
    forward = [(step, duration) for step, duration in steps if step > 0 and duration > 0]
    overlaps = [(step, duration) for step, duration in forward if step < duration - _HOUR * (duration >= _DAY)]
    is_sparse = sum(steps[pair] for pair in forward) >= _ENOUGH and all(step > duration for step, duration in forward)
    if not overlaps and not is_sparse:
        return ""
    step, duration = (overlaps or forward)[0]
    return (
        f"readings of {duration} s start {step} s apart, so their starts or durations are wrong; fetch the file again"
    )


def _series(block: Resource, feed: Feed, name: str, unit: str | None) -> Series:
    """Return what the readings of a block are."""
    meter_reading = _parent(block, feed["MeterReading"])
    point = _parent(meter_reading or block, feed["UsagePoint"])
    related = set(meter_reading.entry.linked("related") if meter_reading else [])
    types = [kind for kind in feed["ReadingType"] if related & set(kind.entry.linked("self"))] or feed["ReadingType"]
    if len(types) > 1 or (feed["UsagePoint"] and not point):
        raise BadInputError(
            f"{name}: has several ReadingTypes or UsagePoints, and no link says which its readings have; fetch the "
            "complete feed"
        )
    fields = types[0].fields if types else {}
    label = _other(fields, point.fields.get("kind", "0") if point else "0")
    link = next(iter(point.entry.linked("self")), "") if point else ""
    household = link or (point.entry.title if point else "") or PurePosixPath(name).stem
    open_commodity = fields.get("commodity", "0") == "0" and not (point and "kind" in point.fields)
    open_direction = fields.get("flowDirection", "0") == "0"
    assumed = ("commodity",) * open_commodity + ("flowDirection",) * open_direction
    exponent = None if label else _exponent(fields, name, unit)
    export = None
    if (
        label == _DIRECTIONS["19"] and "uom" in fields
    ):  # what else is open of it is not asked: it is left out, and counted
        with suppress(BadInputError):
            export = _exponent(fields, name, None)
    return Series(household, id(meter_reading), exponent, label, assumed, export)


def _parent(child: Resource, candidates: list[Resource]) -> Resource | None:
    """Return the resource that a resource belongs to: by their links, or because there is only one."""
    for link in child.entry.linked("up"):
        for candidate in candidates:
            own = candidate.entry.linked("self")
            if link in own or link.rpartition("/")[0] in own or link in candidate.entry.linked("related"):
                return candidate
    return candidates[0] if len(candidates) == 1 else None


def _other(fields: dict[str, str], service: str) -> str:
    """Return what readings are if not delivered electricity; empty if they are, or nothing says otherwise."""
    commodity, unit = fields.get("commodity", "0"), fields.get("uom", "72")
    if commodity not in ("0", "1", "2"):
        return _COMMODITIES.get(commodity, f"commodity {commodity}")
    if commodity == "0" and service != "0":
        return _SERVICES.get(service, f"service {service}")
    if unit != "72":
        return f"values in {_UNITS[unit]}" if unit in _UNITS else f"values of uom {unit}"
    behaviour, direction = fields.get("accumulationBehaviour", "4"), fields.get("flowDirection", "1")
    if behaviour not in ("0", "4"):
        return _BEHAVIOURS.get(behaviour, f"accumulationBehaviour {behaviour}")
    if direction not in ("0", "1"):
        return _DIRECTIONS.get(direction, f"flowDirection {direction}")
    return {"8": "maxima", "9": "minima"}.get(fields.get("dataQualifier", ""), "")


def _exponent(fields: dict[str, str], name: str, unit: str | None) -> int:
    """Return the power of ten that turns values into Wh; the specification's default multiplier is 0."""
    multiplier = fields.get("powerOfTenMultiplier", "0")
    if not re.fullmatch(r"-?\d{1,2}", multiplier):
        raise BadInputError(f"{name}: the powerOfTenMultiplier {multiplier!r} is not a whole number")
    stated = int(multiplier) if "uom" in fields else None
    if unit in _WH and stated in (None, _WH[unit]):
        return _WH[unit]
    if unit is not None:
        holds = "energy" if stated is None else f"Wh × 10^{stated}"
        raise BadInputError(f"{name}: its readings are {holds}, which --unit {unit} contradicts; leave it out")
    if stated is None or fields.get("accumulationBehaviour") != "4":
        missing = "a ReadingType without uom or accumulationBehaviour" if fields else "no ReadingType"
        raise BadInputError(
            f"{name}: has {missing}, so what its values are is open; if they are the energy of each interval, state "
            "the unit: --unit Wh (or kWh, MWh)"
        )
    return stated


def _check_series(series: list[Series], blocks: list[Resource], name: str) -> None:
    """Refuse feeds without a selected series, with one at fault, or with two of a household for the same time."""
    spans: dict[tuple[str, int], tuple[float, float]] = {}
    for stated, block in zip(series, blocks, strict=True):
        if stated.exponent is not None and block.readings:
            if block.fault:
                raise BadInputError(f"{name}: {block.fault}")
            first, last = spans.get(stated[:2], (block.first, block.last))
            spans[stated[:2]] = min(first, block.first), max(last, block.last)
    if not spans:
        others = ", ".join(sorted({stated.label for stated in series if stated.label}))
        raise BadInputError(
            f"{name}: holds no interval readings of delivered electricity in Wh"
            + (f", but {others}" if others else "; fetch it with interval data")
        )
    for (one, span), (other, second) in combinations(spans.items(), 2):
        if one[0] == other[0] and span[0] < second[1] and second[0] < span[1]:
            raise BadInputError(
                f"{name}: has two series of delivered electricity for {one[0]} at the same time, which may be the same "
                "energy twice; fetch one of them alone, for example the one with the shorter interval"
            )


def _exports(sample: Sample, series: list[Series]) -> dict[str, dict[Interval, list[Export]]]:
    """Return what was fed into the grid, by household and interval, in the order of the feed.

    A household is left out whose readings of the two directions are not of the same intervals: what the feed states is
    no export of all readings.
    """
    households = {stated.household for stated in series if stated.export is not None}
    exports: dict[str, dict[Interval, list[Export]]] = {household: {} for household in households}
    delivered: dict[str, Counter[Interval]] = {household: Counter() for household in households}
    for item in items(sample) if households else ():
        if isinstance(item, Resource):
            continue
        stated, interval = series[item.block], (item.start, item.duration)
        if stated.household not in households or not (item.start and item.value):
            continue
        if stated.exponent is not None:
            delivered[stated.household][interval] += 1
        elif stated.export is not None:
            of_interval = exports[stated.household].setdefault(interval, [])
            of_interval.append(Export(_wh(item.value, stated.export), item.quality))
    shapes = {household: Counter({k: len(v) for k, v in found.items()}) for household, found in exports.items()}
    return {household: found for household, found in exports.items() if shapes[household] == delivered[household]}


def _readings(
    sample: Sample, series: list[Series], exports: Mapping[str, Mapping[Interval, list[Export]]]
) -> Iterator[Reading]:
    read: Counter[tuple[str, Interval]] = Counter()
    for item in items(sample):
        if isinstance(item, IntervalReading):
            household, _, exponent, *_ = series[item.block]
            if exponent is None:
                continue
            if not (item.start and item.value):
                yield Reading(item.line, None, None, None, malformed=True)
                continue
            quality, is_estimated, export = _quality(item.quality), _is_estimated(item.quality), None
            if household in exports:
                interval = (item.start, item.duration)
                export, other = exports[household][interval][read[household, interval]]
                read[household, interval] += 1
                is_estimated |= _is_estimated(other)
                if _quality(other) != quality:
                    quality = f"{quality or 'without quality'}; export {_quality(other) or 'without quality'}"
            stamp, power = _stamp(item.start), _wh(item.value, exponent)
            yield Reading(item.line, household, stamp, power, quality=quality, export=export, estimated=is_estimated)


def _quality(codes: str) -> str | None:
    """Return the words for codes of quality, None where there is none."""
    return ", ".join(_QUALITIES.get(code, f"quality {code}") for code in codes.split()) or None


def _is_estimated(codes: str) -> bool:
    return not _ESTIMATED.isdisjoint(codes.split())


def _stamp(start: str) -> str:
    """Return Unix time as ISO 8601; what is none is passed on."""
    try:
        return f"{datetime.fromtimestamp(int(start), UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return start


def _wh(value: str, exponent: int) -> str:
    """Return an energy in Wh, to the last digit; what is not a number is passed on."""
    try:
        return format(Decimal(value).scaleb(exponent), "f")
    except InvalidOperation:
        return value


READER = EspiReader()
