"""Step 1, energy-generator: meter readings of the data interval → `energy_data.csv` and `energy_source.json`.

With `files`, readings of input files are converted (see `include.energy.conversion`). Without, synthetic households
(see `include.energy.households`) give the readings that start in [start, end), sorted by time, then household.

**The same interval and seed give the same bytes.** Random numbers come from PCG64, seeded by a SHA-256 over seed, UTC
day, number of households and interval, so a day reads the same in its own run and within a week's.

**What is made faulty.** A share (`faulty_share`, default 0.5 %) of the readings, each drawn by chance, is

| kind | of the faulty | what happens |
|---|---|---|
| `missing_field` | 30 % | one of the five fields is empty |
| `unparsable_number` | 20 % | power, voltage or current reads `ERR` or `--` |
| `negative_power` | 10 % | the power has a minus sign |
| `duplicate` | 20 % | the record stands there twice |
| `dropped` | 20 % | the record is missing: a gap |

and, at a fifth of that share (0.1 %), readings are true but odd, half each: `voltage_outside_band` (195–204 V or
256–262 V) and `spike` (7 to 11 kW more than usual); their current agrees with them. With `faulty_share` 0 all is clean.
How many of each were injected stands in `energy_source.json`. In a run of few records it varies by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from include.core.errors import BadInputError
from include.core.files import atomic_file
from include.core.progress import counted
from include.energy.households import (
    MINUTES,
    Array,
    Households,
    current,
    day_of_power,
    make_households,
    random_source,
    voltage,
)
from include.energy.params import GeneratorParams
from include.energy.schemas import COLUMNS, DATA, MEASURED, SOURCE, EnergySource

FAULTS = {"missing_field": 0.3, "unparsable_number": 0.2, "negative_power": 0.1, "duplicate": 0.2, "dropped": 0.2}
ODD, ODD_SHARE = ("voltage_outside_band", "spike"), 0.2


def generate(files: Path, params: GeneratorParams) -> None:
    """Write `energy_data.csv` and `energy_source.json`.

    Args:
        files: The run's folder; input files lie in `source/` below it.
        params: What to generate, or which files to read and how.

    Raises:
        BadInputError: Neither files nor an interval are given, the interval holds no reading, or a file is not usable.
        SetupError: The folder cannot be written, or the disk is full.
    """
    if params.files:
        from include.energy.conversion import convert

        source = convert(files, params)
    else:
        source = generate_synthetic(files, params)
    SOURCE.write(files, source)


def generate_synthetic(files: Path, params: GeneratorParams) -> EnergySource:
    """Write `energy_data.csv` with synthetic households, a day at a time.

    Raises:
        BadInputError: start and end are missing, or no reading starts between them.
        SetupError: The folder cannot be written, or the disk is full.
    """
    start, end = interval_of(params)
    days = days_of(params)
    households = make_households(params.households, params.seed)
    injected: Counter[str] = Counter()
    written = 0
    with atomic_file(DATA.at(files)) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for day in counted(days, "generating readings", "days"):
            lines = day_lines(households, day, params, injected)
            written += len(lines)
            file.writelines(lines)
        if not written:
            raise BadInputError(
                f"no reading starts between {start.isoformat()} and {end.isoformat()}: readings start every "
                f"{params.interval_minutes} minutes from 00:00 UTC"
            )
    return account(params, written, injected)


def interval_of(params: GeneratorParams) -> tuple[datetime, datetime]:
    """Return start and end of the data to generate.

    Raises:
        BadInputError: They are missing.
    """
    if params.start is None or params.end is None:
        raise BadInputError("without csv files, start and end are needed: they say for which interval to generate data")
    return params.start, params.end


def days_of(params: GeneratorParams) -> list[date]:
    """Return the UTC days that the interval touches.

    Raises:
        BadInputError: start and end are missing.
    """
    start, end = interval_of(params)
    first, last = start.astimezone(UTC).date(), (end.astimezone(UTC) - timedelta(microseconds=1)).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def account(params: GeneratorParams, written: int, injected: Mapping[str, int]) -> EnergySource:
    """Return what `energy_source.json` states of synthetic households.

    Args:
        params: What was generated.
        written: How many records.
        injected: How many of them were made faulty or odd, by kind.
    """
    return EnergySource(
        source="generated",
        records_written=written,
        start=params.start,
        end=params.end,
        households=params.households,
        seed=params.seed,
        faulty_share=params.faulty_share,
        injected={kind: injected.get(kind, 0) for kind in (*FAULTS, *ODD)},
        measured=MEASURED,
        timezone="UTC",
        interval_seconds=params.interval_minutes * 60,
    )


def day_lines(households: Households, day: date, params: GeneratorParams, injected: Counter[str]) -> list[str]:
    """Return the lines of a UTC day that start in [start, end), faulty ones among them."""
    steps = MINUTES // params.interval_minutes
    random = random_source("day", params.seed, day.isoformat(), params.households, params.interval_minutes)
    power = np.round(day_of_power(households, day, steps, random), 3)
    volts = voltage(households, power, random)
    draw = random.random(power.shape)
    odd = _make_odd(power, volts, draw > 1 - params.faulty_share * ODD_SHARE, random)
    amperes = current(power, volts, random)
    kinds = random.choice(len(FAULTS), power.shape, p=list(FAULTS.values()))
    kinds[draw >= params.faulty_share] = -1
    picks = random.integers(0, 60, power.shape)
    midnight = datetime.combine(day, time(), UTC)
    lines: list[str] = []
    for step in range(steps):
        moment = midnight + timedelta(minutes=step * params.interval_minutes)
        if params.start is not None and params.end is not None and not params.start <= moment < params.end:
            continue
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = zip(households.names, power[step].tolist(), volts[step].tolist(), amperes[step].tolist(), strict=True)
        records = [f"{stamp},{name},{p:.3f},{v:.1f},{i:.3f}\n" for name, p, v, i in rows]
        injected.update(ODD[kind - 1] for kind in odd[step] if kind)
        for index in np.flatnonzero(kinds[step] >= 0):
            kind = list(FAULTS)[kinds[step, index]]
            injected[kind] += 1
            records[index] = _make_faulty(records[index], kind, int(picks[step, index]))
        lines += records
    return [line for record in lines for line in record.splitlines(keepends=True)]


def _make_odd(power: Array, volts: Array, chosen: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change chosen readings in place; returns 1 where the voltage is odd, 2 where the power is, else 0."""
    kinds = np.where(chosen, random.integers(1, 3, power.shape), 0)
    low, high = random.integers(1950, 2040, power.shape) / 10, random.integers(2560, 2620, power.shape) / 10
    spikes = random.integers(7000, 11000, power.shape) / 1000
    volts[:] = np.where(kinds == 1, np.where(random.random(power.shape) < 0.5, low, high), volts)
    power[:] = np.where(kinds == 2, np.round(power + spikes, 3), power)
    return kinds


def _make_faulty(record: str, kind: str, pick: int) -> str:
    fields = record.rstrip("\n").split(",")
    if kind == "dropped":
        return ""
    if kind == "duplicate":
        return record * 2
    if kind == "missing_field":
        fields[pick % 5] = ""
    elif kind == "unparsable_number":
        fields[2 + pick % 3] = "ERR" if pick % 2 else "--"
    else:
        fields[2] = f"-{fields[2]}"
    return ",".join(fields) + "\n"
