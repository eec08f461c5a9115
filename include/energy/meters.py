"""The description of connection points (`--meters FILE`): devices and their dates, multipliers, limits, registers.

A TOML file with a table for each connection point, named as the run calls the household:

    [meters.NMI0000001]
    limit_kw = 14.5
    multiplier = 40
    register_digits = 6
    registers = { "1.8.0" = "import", "1.8.1" = "import_tariff", "2.8.0" = "export" }
    devices = [
        { id = "SN-1", until = 2026-03-01T10:00:00+01:00 },
        { id = "SN-2", from = 2026-03-01T10:00:00+01:00 },
    ]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, ValidationError, model_validator

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.core.tables import number_sql
from include.core.windows import parse_zone, same_zone
from include.energy.schemas import Unit

if TYPE_CHECKING:
    import duckdb

NOT_INSTALLED = "not_installed"
Zone = Annotated[str, AfterValidator(lambda text: (parse_zone(text), text)[1])]
RegisterRole = Literal["import", "import_tariff", "export", "export_tariff", "generation", "ignore"]
_SHOWN = 10


class _Table(BaseModel, extra="forbid", frozen=True):
    """A TOML table without unknown keys."""


class Device(_Table):
    """A meter that is, or was, installed at a connection point."""

    id: str = Field(min_length=1, description="As input files name it, where they name devices.")
    since: AwareDatetime | None = Field(None, alias="from", description="When it was installed.")
    until: AwareDatetime | None = Field(None, description="When it was removed.")
    multiplier: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Of its transformers; default: that of the connection point."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Device:
        if self.since and self.until and self.since >= self.until:
            raise ValueError("from must be earlier than until")
        return self


class Meter(_Table):
    """A connection point."""

    devices: tuple[Device, ...] = Field((), description="The devices, one after the other.")
    multiplier: float = Field(
        1, gt=0, allow_inf_nan=False, description="Product of the ratios of current and voltage transformers."
    )
    limit_kw: float | None = Field(None, gt=0, allow_inf_nan=False, description="What the connection can carry (kW).")
    register_digits: int | None = Field(None, ge=1, le=12, description="Digits before the decimal mark.")
    registers: dict[str, RegisterRole] = Field(
        {},
        description=(
            "What its registers count, by the names in the input files, such as OBIS codes; a tariff counts where no "
            "register of its role stands beside it."
        ),
    )
    timezone: Zone | None = Field(None, description="Zone of its stamps; it must be that of the run.")
    unit: Unit | None = Field(None, description="Unit of its values; it must be that of the file.")

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Meter:
        for before, after in zip(self.devices, self.devices[1:], strict=False):
            if before.until is None or after.since is None or before.until > after.since:
                raise ValueError(
                    f"devices: {before.id} must have an until, and {after.id} a from that is not earlier: one device "
                    "follows the other"
                )
        return self


class Meters(_Table):
    """What a file states of the connection points of a run, by the names of the households."""

    meters: dict[str, Meter] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Meters:
        ids = [device.id for meter in self.meters.values() for device in meter.devices]
        twice = sorted({name for name in ids if ids.count(name) > 1 or name in self.meters})
        if twice:
            raise ValueError(f"devices: {', '.join(twice)}: belongs to two meters, or is the name of one")
        return self

    @property
    def is_scaled(self) -> bool:
        """Whether a multiplier changes values."""
        return any(
            meter.multiplier != 1 or any(device.multiplier not in (None, 1) for device in meter.devices)
            for meter in self.meters.values()
        )


def read_meters(path: Path, name: str) -> Meters:
    """Return what a file states of the connection points.

    Args:
        path: A TOML file.
        name: What errors call it.

    Raises:
        BadInputError: It is not TOML, or a key is unknown or breaks a rule; names file, meter, key, rule and remedy.
    """
    try:
        return Meters.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInputError(f"{name}: is not TOML: {error}; write a table for each meter: [meters.NAME]") from error
    except ValidationError as error:
        raise BadInputError(f"{name}: {'; '.join(_sentences(error))}") from error


def _sentences(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        first, *keys = fault["loc"] or ("meters",)
        place = f"meter {keys[0]}: " if first == "meters" and keys else ""
        key = ".".join(str(key + 1) if isinstance(key, int) else key for key in keys[1:]) or ("" if place else first)
        rule = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            fields = {"devices": Device}.get(str(keys[1]), Meter) if len(keys) > 2 else Meter if keys else Meters
            known = (field.alias or name for name, field in fields.model_fields.items())
            rule = f"is not a key; the keys are {', '.join(known)}"
        elif fault["type"] == "timezone_aware":
            rule = "must state its offset from UTC, for example 2026-03-01T10:00:00+01:00"
        yield f"{place}{key}{': ' if key else ''}{rule}"


def name_households(connection: duckdb.DuckDBPyConnection, meters: Meters) -> None:
    """Call the devices of `records` after their connection points; `device` keeps what the files call them."""
    names = [(device.id, name) for name, meter in meters.meters.items() for device in meter.devices]
    connection.execute(
        "CREATE TABLE device_names AS SELECT unnest(?::VARCHAR[]) AS id, unnest(?::VARCHAR[]) AS household",
        [[device for device, _ in names], [household for _, household in names]],
    )
    connection.execute("ALTER TABLE records ADD COLUMN device VARCHAR")
    connection.execute("UPDATE records SET device = household_id")
    connection.execute("UPDATE records SET household_id = household FROM device_names WHERE device = id")


def apply_meters(
    connection: duckdb.DuckDBPyConnection, meters: Meters, register_digits: int | None, columns: Sequence[str]
) -> None:
    """Create the table `metered`: `timed` with values times their multiplier, and what is stated of their registers.

    `device` becomes the device that was installed, `rollover` the number at which its register begins again at zero,
    and `own_limit_kw` the limit of the connection. `installed` is false for a reading of a device before or after it
    was installed. At the moment of a change, a reading that names no device is the new one's.

    Args:
        connection: Holds `timed`, and `records` as `name_households()` leaves it.
        meters: The description.
        register_digits: Of the registers of which it states none.
        columns: Those of values.
    """
    rows = [
        (
            name,
            device.id,
            device.since,
            device.until,
            device.multiplier or meter.multiplier,
            meter.register_digits or register_digits,
            meter.limit_kw,
        )
        for name, meter in meters.meters.items()
        for device in meter.devices or (Device(id=name),)
    ]
    connection.execute(
        "CREATE TABLE devices (household VARCHAR, id VARCHAR, since TIMESTAMPTZ, until TIMESTAMPTZ, multiplier DOUBLE, "
        "digits INTEGER, own_limit_kw DOUBLE)"
    )
    connection.executemany("INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    moment = "timezone('UTC', utc)"
    scaled = ", ".join(
        f"CASE WHEN multiplier <> 1 AND isfinite({number}) THEN CAST(round({number} * multiplier, 9) AS VARCHAR) "
        f"ELSE {column} END AS {column}"
        for column in columns
        for number in [f"({number_sql(column)})"]
    )
    connection.execute(f"""
        CREATE TABLE metered AS
        SELECT timed.* REPLACE ({scaled}, coalesce(devices.id, timed.device) AS device),
            pow(10, digits) * multiplier AS rollover, own_limit_kw,
            CASE WHEN utc IS NULL THEN true
                WHEN household IS NULL THEN household_id NOT IN (SELECT household FROM devices)
                ELSE coalesce({moment} >= since, true) AND coalesce({moment} <= devices.until, true) END AS installed
        FROM timed LEFT JOIN devices ON household = household_id AND (
            timed.device = devices.id OR (timed.device = household
                AND coalesce({moment} >= since, true) AND coalesce({moment} < devices.until, true) AND utc IS NOT NULL))
    """)


def limits_of(meters: Meters | None) -> dict[str, float]:
    """Return what connections can carry (kW), by household."""
    stated = meters.meters.items() if meters else ()
    return {name: meter.limit_kw for name, meter in stated if meter.limit_kw is not None}


def compare_meters(
    meters: Meters, name: str, households: Sequence[str], unit: Unit, timezone: str | None
) -> Iterator[Finding]:
    """Yield what the description and the data do not share.

    Args:
        meters: The description.
        name: Its file.
        households: Those of the data.
        unit: Of the input files.
        timezone: In which stamps without a zone were read.

    Raises:
        BadInputError: The data hold a meter that is not described although others have multipliers; or a meter's unit
            or zone is another one than that of the run.
    """
    unknown = [household for household in households if household not in meters.meters]
    if unknown and meters.is_scaled:
        raise BadInputError(
            f"{name}: does not describe {_listed(unknown)}, and states multipliers for others; add a table "
            f'[meters."{unknown[0]}"], with multiplier = 1 if it has no transformers'
        )
    for household in households:
        meter = meters.meters.get(household)
        if meter and meter.unit not in (None, unit):
            raise BadInputError(
                f"{name}: meter {household}: unit: is {meter.unit}, and the input files were read as {unit}; run "
                "meters of different units apart, or correct one of the two"
            )
        if meter and meter.timezone and not same_zone(meter.timezone, timezone or "UTC"):
            raise BadInputError(
                f"{name}: meter {household}: timezone: is {meter.timezone}, and the run's is {timezone}; say "
                f"--timezone {meter.timezone}, and run meters of different zones apart"
            )
    if unknown:
        yield Finding(severity="warning", message=f"{name} does not describe {_listed(unknown)}.")
    if absent := [household for household in meters.meters if household not in households]:
        yield Finding(severity="warning", message=f"{name} describes {_listed(absent)}, which the data do not hold.")
    scaled = {
        household: sorted({device.multiplier or meter.multiplier for device in meter.devices} or {meter.multiplier})
        for household, meter in meters.meters.items()
        if household in households
    }
    listed = [f"{home} × {' then '.join(f'{m:g}' for m in ratios)}" for home, ratios in scaled.items() if ratios != [1]]
    if listed:
        message = f"Values were multiplied by the ratios of transformers that {name} states: {_listed(listed)}."
        yield Finding(severity="info", message=message)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
