"""Time-of-use tariffs: the file that describes one (`--tariff`), and what the readings cost by it."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise, product
from pathlib import Path
from typing import Annotated, Literal

import duckdb
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from include.core.errors import BadInputError, sentences
from include.core.windows import parse_zone, same_zone
from include.energy.figure_schemas import BandCost, Cost, HouseholdCost, MonthCost, Peak, Usage
from include.energy.figures import local_offsets
from include.energy.segments import KWH, Key, Segment, attribute
from include.energy.timeline import EPOCH

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"]
DAY_MINUTES = 1440


def _span(text: str) -> str:
    """Return hours such as `22:00-06:00` as they are, if they can be read."""
    _minutes(text)
    return text


def _minutes(text: str) -> tuple[int, int]:
    try:
        edges = [datetime.strptime(edge, "%H:%M") for edge in text.replace("24:00", "00:00").split("-")]  # noqa: DTZ007
        begin, end = (edge.hour * 60 + edge.minute for edge in edges)
    except ValueError:
        raise ValueError(f"must be hours such as 07:00-22:00, and not {text!r}") from None
    if begin == end and text != "00:00-24:00":
        raise ValueError(f"{text!r} is no time at all; all day is 00:00-24:00")
    return begin, end or DAY_MINUTES


class Band(BaseModel):
    """Hours with one price; days, hours or months that are left out are all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    price_per_kwh: FiniteFloat
    days: tuple[Day, ...] | None = Field(None, min_length=1)
    hours: tuple[Annotated[str, AfterValidator(_span)], ...] | None = Field(None, min_length=1)
    months: tuple[Annotated[int, Field(ge=1, le=12)], ...] | None = Field(None, min_length=1)

    def holds(self, month: int, day: str, minute: int) -> bool:
        """Return whether a minute of a type of day in a month is in this band."""
        if (self.months and month not in self.months) or (self.days and day not in self.days):
            return False
        spans = map(_minutes, self.hours or ("00:00-24:00",))
        return any(begin <= minute < end if begin < end else minute >= begin or minute < end for begin, end in spans)

    @property
    def edges(self) -> set[int]:
        """The minutes of the day at which it begins or ends."""
        return {edge % DAY_MINUTES for span in self.hours or () for edge in _minutes(span)}


class Tariff(BaseModel):
    """A tariff file (TOML)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217: EUR.")
    timezone: str = Field(description="The clock of days and hours.")
    valid_from: date
    valid_to: date | None = Field(None, description="The last day.")
    standing_charge_per_day: FiniteFloat = Field(0.0, ge=0)
    capacity_charge_per_kw: FiniteFloat = Field(0.0, ge=0, description="For each kW of a month's peak.")
    export_credit_per_kwh: FiniteFloat = 0.0
    holidays: tuple[date, ...] = ()
    bands: tuple[Band, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Tariff:
        parse_zone(self.timezone)
        if self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("valid_to must not be before valid_from")
        names = [band.name for band in self.bands]
        if len(set(names)) < len(names):
            raise ValueError("bands must have different names")
        days = (*WEEKDAYS, "holiday") if self.holidays else WEEKDAYS
        for month, day, minute in product(range(1, 13), days, self.edges):
            holding = [band.name for band in self.bands if band.holds(month, day, minute)]
            if len(holding) != 1:
                when = f"{day} {minute // 60:02}:{minute % 60:02} in month {month}"
                found = f"the bands {' and '.join(holding)}" if holding else "no band"
                raise ValueError(f"each time must be in one band, and {when} is in {found}")
        return self

    @property
    def edges(self) -> list[int]:
        """The minutes of the day at which a band may change."""
        return sorted({0}.union(*(band.edges for band in self.bands)))

    def band(self, moment: datetime) -> int:
        """Return the number of the band that a local time is in."""
        day = "holiday" if moment.date() in self.holidays else WEEKDAYS[moment.weekday()]
        minute = moment.hour * 60 + moment.minute
        return next(n for n, band in enumerate(self.bands) if band.holds(moment.month, day, minute))

    def valid_on(self, day: date) -> bool:
        """Return whether it is valid on a day."""
        return self.valid_from <= day <= (self.valid_to or date.max)


def read_tariff(path: Path, name: str, timezone: str) -> Tariff:
    """Read a tariff file.

    Args:
        path: The file.
        name: What messages call it.
        timezone: The clock of the run's days and months, which has to be that of the tariff, by whatever name.

    Raises:
        BadInputError: It cannot be read, or describes no tariff that is complete; names the field, the rule and, where
            a time has no band or several, that time.
    """
    try:
        tariff = Tariff.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = "; ".join(sentence.partition(" (got {")[0] for sentence in sentences(error))
        raise BadInputError(f"tariff {name}: {faults.replace('parameters: ', '')}") from error
    except (OSError, ValueError) as error:
        raise BadInputError(f"tariff {name}: cannot be read as TOML (UTF-8): {error}") from error
    if not same_zone(tariff.timezone, timezone):
        raise BadInputError(
            f"tariff {name}: its clock is {tariff.timezone}, that of the run's days is {timezone}; run with --timezone "
            f"{tariff.timezone}, or correct the tariff"
        )
    return tariff


def segments(tariff: Tariff, days: Sequence[tuple[date, int, int]]) -> Iterator[Segment]:
    """Yield the stretches of time in which a band holds; the key is the month and the number of the band.

    Where the tariff is not valid, the number is -1.

    Args:
        tariff: The tariff.
        days: Local days in a row: date, begin and end, seconds since `EPOCH`.
    """
    zone = parse_zone(tariff.timezone)
    ends = (EPOCH + timedelta(seconds=seconds) for seconds in (days[0][1], days[-1][2]))
    changes = [at for at, _ in local_offsets(zone, *ends)]
    for day, begin, finish in days:
        month = day.replace(day=1)
        if not tariff.valid_on(day):
            yield Segment(begin, finish, (month, -1))
            continue
        edges = {begin, finish, *changes}
        for minute, fold in product(tariff.edges, (0, 1)):  # an hour that occurs twice has its edges twice
            local = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone, fold=fold)
            edges.add(int((local - EPOCH).total_seconds()))
        inside = sorted(edge for edge in edges if begin <= edge <= finish)
        for start, end in pairwise(inside):
            yield Segment(start, end, (month, tariff.band((EPOCH + timedelta(seconds=start)).astimezone(zone))))


def cost(db: duckdb.DuckDBPyConnection, tariff: Tariff, name: str, figures: Usage) -> Cost:
    """Return what the energy costs, as each household's bill has it: each line is rounded to 0.01.

    Args:
        db: As `include.energy.figures.usage()` leaves it.
        tariff: The tariff.
        name: Of its file.
        figures: Peaks, for the capacity charge; days, for the standing charge.
    """
    days = db.execute("SELECT date, begin, finish FROM calendar ORDER BY date").fetchall()
    energy = attribute(db, segments(tariff, days))
    billed_days = _days(tariff, figures)
    homes: list[HouseholdCost] = []
    months: dict[date, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    bands: dict[Key, list[float]] = defaultdict(lambda: [0.0, 0.0])
    outside = 0
    for home in figures.households:
        own: dict[str, float] = defaultdict(float)
        for (month, band), (imported, exported, _) in energy.get(home.household_id, {}).items():
            if band < 0:
                outside += imported
                continue
            kwh, credit = imported / KWH, round(exported / KWH * tariff.export_credit_per_kwh, 2)
            price = round(kwh * tariff.bands[band].price_per_kwh, 2)
            bands[month, band][0] += kwh
            bands[month, band][1] += price
            for line in (own, months[month]):
                line["energy_cost"] += price
                line["export_credit"] += credit
        for month, count in billed_days.items():
            standing = round(count * tariff.standing_charge_per_day, 2)
            own["standing_charge"] += standing
            months[month]["standing_charge"] += standing
        for peak in home.peaks:
            capacity = round(max(peak.peak_kw, 0) * tariff.capacity_charge_per_kw, 2)
            if _billed(tariff, peak):
                own["capacity_charge"] += capacity
                months[peak.month]["capacity_charge"] += capacity
        homes.append(HouseholdCost(household_id=home.household_id, **_lines(own)))
    return Cost(
        file=name,
        tariff=tariff.name,
        currency=tariff.currency,
        valid_from=tariff.valid_from,
        valid_to=tariff.valid_to,
        bands=[
            BandCost(month=month, band=tariff.bands[band].name, energy_kwh=round(kwh, 3), cost=round(price, 2))
            for (month, band), (kwh, price) in sorted(bands.items())
        ],
        months=[
            MonthCost(month=month, days=billed_days.get(month, 0), **_lines(lines))
            for month, lines in sorted(months.items())
        ],
        total=round(sum(home.total for home in homes), 2),
        energy_outside_kwh=round(outside / KWH, 3),
        households=homes,
    )


def _lines(own: Mapping[str, float]) -> dict[str, float]:
    lines = {
        name: round(own.get(name, 0.0), 2)
        for name in ("energy_cost", "standing_charge", "capacity_charge", "export_credit")
    }
    return lines | {"total": round(sum(lines.values()) - 2 * lines["export_credit"], 2)}


def _days(tariff: Tariff, figures: Usage) -> dict[date, int]:
    """Return for each month how many of its days are billed: from the first day with a reading to the last."""
    first, last = figures.days[0].start, figures.days[-1].start
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return Counter(day.replace(day=1) for day in days if tariff.valid_on(day))


def _billed(tariff: Tariff, peak: Peak) -> bool:
    return tariff.valid_on(peak.at.astimezone(parse_zone(tariff.timezone)).date())
