"""The `--columns` mapping: which column of people's files holds what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

PowerField = Literal["power_kw", "power_mw", "energy_kwh"]
POWER_FIELDS: tuple[PowerField, ...] = get_args(PowerField)
UNITS: dict[PowerField, Literal["kW", "MW", "kWh"]] = {"power_kw": "kW", "power_mw": "MW", "energy_kwh": "kWh"}
_FIELDS = ("timestamp", "household_id", *POWER_FIELDS, "voltage", "current")
_EXAMPLE = "timestamp=Time,household_id=@VIC,power_mw=Demand"


@dataclass(frozen=True)
class ColumnMapping:
    """Columns of a file by what they hold.

    Args:
        timestamp: Column of the stamps.
        household_id: Column of the households' names, or None with `household`.
        household: The name of the one household of a file without such a column, or None.
        power_field: What the power column holds: kW, MW, or kWh an interval.
        power: Column of power or energy.
        voltage: Column of volts, or None.
        current: Column of amperes, or None.
    """

    timestamp: str
    household_id: str | None
    household: str | None
    power_field: PowerField
    power: str
    voltage: str | None = None
    current: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        named = (self.timestamp, self.household_id, self.power, self.voltage, self.current)
        return tuple(name for name in named if name is not None)

    @property
    def unit(self) -> Literal["kW", "MW", "kWh"]:
        """Unit of the power column."""
        return UNITS[self.power_field]


OWN_COLUMNS = ColumnMapping("timestamp", "household_id", None, "power_kw", "power_consumption", "voltage", "current")


def parse_columns(text: str) -> ColumnMapping:
    """Read a mapping such as `timestamp=Time,household_id=@VIC,power_mw=Demand`.

    Column names may hold spaces and equals signs, but no comma.

    Raises:
        ValueError: A part is not `field=column`, a field is unknown, given twice or missing, or not exactly one of
            `power_kw`, `power_mw` and `energy_kwh` is given.
    """
    given: dict[str, str] = {}
    for part in text.split(","):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise ValueError(f"columns: {part.strip()!r} is not FIELD=COLUMN; for example: {_EXAMPLE}")
        if field not in _FIELDS:
            raise ValueError(f"columns: {field!r} is no field; the fields are {', '.join(_FIELDS)}")
        if field in given:
            raise ValueError(f"columns: {field} is given twice")
        if column.startswith("@") and (field != "household_id" or column == "@"):
            raise ValueError(f"columns: {part.strip()!r}: only household_id takes a constant, written @NAME")
        if column.startswith("@") and not column.isprintable():
            raise ValueError(f"columns: {part.strip()!r}: a household's name is one line of text")
        given[field] = column
    missing = [field for field in ("timestamp", "household_id") if field not in given]
    if missing:
        raise ValueError(f"columns: {' and '.join(missing)} must be given; for example: {_EXAMPLE}")
    powers = [field for field in POWER_FIELDS if field in given]
    if len(powers) != 1:
        raise ValueError(f"columns: give exactly one of {', '.join(POWER_FIELDS)}; for example: {_EXAMPLE}")
    household = given["household_id"]
    constant = household.startswith("@")
    return ColumnMapping(
        timestamp=given["timestamp"],
        household_id=None if constant else household,
        household=household[1:] if constant else None,
        power_field=powers[0],
        power=given[powers[0]],
        voltage=given.get("voltage"),
        current=given.get("current"),
    )
