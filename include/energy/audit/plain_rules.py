"""The analyzer's rules written a second time, in plain Python over one record or one household's series.

They share nothing with the SQL of the analyzer but its thresholds. Where a text needs more than these rules know (an
unusual spelling of a time or a number), they do not decide, and the record counts as not judged.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import chain
from statistics import median
from typing import NamedTuple

from include.energy.anomalies import FLAT_RECORDS, FLAT_SECONDS, SAMPLES_OF_HOUR, SAMPLES_OF_HOUSEHOLD, ZERO_SECONDS
from include.energy.lines import LineFile
from include.energy.params import AnalyzerParams
from include.energy.schemas import COLUMNS, FLOWS, OUTSIDE, QUALITY, AnomalyReason, EnergySource
from include.energy.timeline import Stretch
from include.energy.validation import FAULTS_OF_READINGS, LARGEST, PF_LEAST_VA, PF_LIMIT, PF_SURE_VA, VOLTAGE_TOLERANCE

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(Z|[+-](?:0\d|1[0-4]):[0-5]\d)?")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)")
_WORDS = re.compile(r"[A-Za-z?*-]+")
_NAMED_NUMBERS = {"inf", "infinity", "nan"}
_NEAR = 1e-6


class Judgement(NamedTuple):
    """What the rules say of a record: why it is not accepted (None: it is), and its values where it is."""

    reason: str | None
    household: str | None = None
    time: datetime | None = None
    power: float | None = None
    efficiency: float | None = None
    anomalies: frozenset[AnomalyReason] = frozenset()
    suspect: bool = False
    quality: str | None = None


class UndecidedError(Exception):
    """The plain rules do not know how to read a text."""


def judge_record(text: str, data: LineFile, params: AnalyzerParams, source: EnergySource | None) -> Judgement:
    """Judge one record of `energy_data.csv`, neighbours aside.

    Args:
        text: The record's line.
        data: Names the columns of the file.
        params: Limits and window.
        source: What is measured, and what single connections can carry.

    Raises:
        UndecidedError: The plain rules do not know how to read it.
    """
    fields = _fields(text, data)
    row = dict(zip(data.columns, fields, strict=False))
    if len(fields) != len(data.columns) or row.get("source_fault") == "malformed_record":
        return Judgement("malformed_record")
    if row.get("source_fault") == "non_existent_time":
        return Judgement("non_existent_time")
    if not row["timestamp"]:
        return Judgement("missing_timestamp")
    time = _time(row["timestamp"])
    if isinstance(time, str):
        return Judgement(time)
    if params.start and params.end and not params.start <= time < params.end:
        return Judgement(OUTSIDE)
    return _judge_values(row, time, params, source)


def _judge_values(
    row: Mapping[str, str], time: datetime, params: AnalyzerParams, source: EnergySource | None
) -> Judgement:
    required = params.required(source.measured if source else None)
    values = {column: _number(row.get(column, "")) for column in COLUMNS[2:]}
    fault = row.get("source_fault") if row.get("source_fault") in FAULTS_OF_READINGS else None
    fault = fault or ("" if row["household_id"] else "missing_household_id")
    fault = fault or _number_fault(row, values, [column for column in COLUMNS[2:] if column in required])
    if fault:
        return Judgement(fault)
    power, volts, amperes = values["power_consumption"], values["voltage"], values["current"]
    if power is None or any(value is not None and not abs(value) < LARGEST for value in values.values()):
        raise UndecidedError
    if power < 0 and (not params.allow_export or row.get("export")):
        return Judgement("negative_power")
    flow_fault = _flow_fault(row)
    if flow_fault:
        return Judgement(flow_fault)
    own = source.limits_kw.get(row["household_id"]) if source else None
    limit = params.limit_kw if own is None else own
    suspect = limit is not None and abs(power) > limit
    anomalies: set[AnomalyReason] = set()
    if volts is not None and _exceeds(abs(volts / params.nominal_voltage - 1), VOLTAGE_TOLERANCE):
        anomalies.add("voltage_outside_band")
    quality = row.get(QUALITY) or None
    if volts is None or amperes is None:
        return Judgement(None, row["household_id"], time, power, None, frozenset(anomalies), suspect, quality)
    apparent = abs(volts * amperes)
    most = PF_LIMIT * apparent
    if apparent < PF_SURE_VA and abs(power) * 1000 > most:
        texts = (row["power_consumption"], row["voltage"], row["current"])
        off = [0.5 * 10.0 ** -len(text.partition(".")[2]) for text in texts]
        most = PF_LIMIT * (abs(volts) + off[1]) * (abs(amperes) + off[2]) + off[0] * 1000
    if _exceeds(abs(power) * 1000, most):
        anomalies.add("power_factor")
    efficiency = power * 1000 / apparent if apparent >= PF_LEAST_VA else None
    return Judgement(None, row["household_id"], time, power, efficiency, frozenset(anomalies), suspect, quality)


def _flow_fault(row: Mapping[str, str]) -> str | None:
    """Return why export or generation is not sound; None where it is, or where the record states neither.

    Raises:
        UndecidedError: A number is too great for these rules.
    """
    for flow in FLOWS:
        value = _number(row.get(flow) or "0")
        if value is None:
            return f"unparsable_{flow}"
        if not abs(value) < LARGEST:
            raise UndecidedError
        if value < 0:
            return f"negative_{flow}"
    return None


def _number_fault(row: Mapping[str, str], values: Mapping[str, float | None], required: Sequence[str]) -> str | None:
    missing = (f"missing_{column}" for column in required if not row[column])
    unparsable = (f"unparsable_{column}" for column in required if values[column] is None)
    not_finite = (f"not_finite_{column}" for column in required if not abs(values[column] or 0) < LARGEST)
    return next(chain(missing, unparsable, not_finite), None)


def _exceeds(value: float, limit: float) -> bool:
    """Compare two numbers, unless rounding decides."""
    if value and abs(value - limit) < _NEAR:
        raise UndecidedError
    return value > limit


def judge_series(
    series: Sequence[tuple[int, float]], zone: tzinfo, threshold: float, stretches: Sequence[Stretch]
) -> Iterator[tuple[int, set[str]]]:
    """Yield for each reading of a household which of `outlier`, `flat_line` and `zero_run` it is.

    Readings that lie so close to the limit of an outlier that rounding decides are left out.

    Args:
        series: Start (seconds since 1970) and power (kW) of each accepted reading, in order.
        zone: The clock of hours and weekdays.
        threshold: How many scales above the median a reading is an outlier.
        stretches: The household's intervals.
    """
    moments = [datetime.fromtimestamp(start, UTC).astimezone(zone) for start, _ in series]
    weekly, daily = defaultdict(list), defaultdict(list)
    for moment, (_, power) in zip(moments, series, strict=True):
        weekly[moment.weekday(), moment.hour].append(power)
        daily[moment.hour].append(power)
    everything = [power for _, power in series], SAMPLES_OF_HOUSEHOLD
    limits: dict[tuple[int, int], tuple[float, float] | None] = {}
    for weekday, hour in weekly:
        candidates = (weekly[weekday, hour], SAMPLES_OF_HOUR), (daily[hour], SAMPLES_OF_HOUR)
        samples = next((samples for samples, least in (*candidates, everything) if len(samples) >= least), None)
        limits[weekday, hour] = _usual(samples) if samples else None
    for (start, power), moment, marks in zip(series, moments, _runs(series, stretches), strict=True):
        usual = limits[moment.weekday(), moment.hour]
        distance = (power - usual[0]) / usual[1] if usual else 0.0
        if abs(distance - threshold) > _NEAR:
            yield start, marks | ({"outlier"} if usual and distance > threshold else set())


def _usual(samples: Sequence[float]) -> tuple[float, float]:
    """Return median and scale of some powers."""
    middle, ordered = median(samples), sorted(samples)
    place = 0.9 * (len(ordered) - 1)
    low, high = ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)]
    spread = (low + (high - low) * (place - int(place)) - middle) / 1.2816
    deviation = median(abs(sample - middle) for sample in samples)
    return middle, max(1.4826 * deviation, spread, 0.25 * abs(middle), 0.05)


def _runs(series: Sequence[tuple[int, float]], stretches: Sequence[Stretch]) -> Iterator[set[str]]:
    """Yield for each reading whether it is part of a flat line or a run of zeros."""
    runs: list[list[int]] = []
    slots = [_slot(start, stretches) for start, _ in series]
    for number, (_, power) in enumerate(series):
        before = series[number - 1] if number else None
        follows = before and slots[number] - slots[number - 1] <= 1
        if follows and before and before[1] == power:
            runs[-1].append(number)
        else:
            runs.append([number])
    for run in runs:
        last = series[run[-1]][0]
        seconds, zero = last + _stretch(last, stretches).seconds - series[run[0]][0], series[run[0]][1] == 0
        flat = not zero and len(run) >= FLAT_RECORDS and seconds >= FLAT_SECONDS
        marks = {"zero_run"} if zero and seconds >= ZERO_SECONDS else {"flat_line"} if flat else set[str]()
        yield from (set(marks) for _ in run)


def _stretch(moment: int, stretches: Sequence[Stretch]) -> Stretch:
    return next((stretch for stretch in reversed(stretches) if stretch.start <= moment), stretches[0])


def _slot(moment: int, stretches: Sequence[Stretch]) -> int:
    stretch = _stretch(moment, stretches)
    return stretch.slots + (moment - stretch.start) // stretch.seconds


def _fields(text: str, data: LineFile) -> list[str]:
    if '"' not in text:
        return [field.strip(" \t") for field in text.split(data.delimiter)]
    quoted = rf'(?:"[^"]*"|[^"{data.delimiter}]*)'
    if not re.fullmatch(f"{quoted}(?:[{data.delimiter}]{quoted})*", text):
        raise UndecidedError
    return [field.strip(" \t") for field in next(csv.reader([text], delimiter=data.delimiter))]


def _time(text: str) -> datetime | str:
    """Return a time, or the reason why there is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        if _WORDS.fullmatch(text):
            return "unparsable_timestamp"
        raise UndecidedError
    try:
        time = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[3] or 'Z'}").astimezone(UTC)
    except ValueError:
        return "unparsable_timestamp"
    if not 1901 <= time.year <= 2198:  # The years beside the limits depend on the zone.
        raise UndecidedError
    return time if match[3] else "missing_time_zone"


def _number(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if not text or (_WORDS.fullmatch(text) and text.lower().lstrip("-") not in _NAMED_NUMBERS):
        return None
    raise UndecidedError
