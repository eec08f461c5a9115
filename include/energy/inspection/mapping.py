"""The grammar of `--columns`, which states what the columns of an input file hold."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from include.energy.schemas import FLOWS, MEASURED, Measured, Unit

EVERY = "*"
FILE = "{file}"
"""As a household's name: the name of its file."""
VALUE_FIELDS: dict[str, Unit] = {
    "power_kw": "kW",
    "power_w": "W",
    "power_mw": "MW",
    "energy_kwh": "kWh",
    "energy_wh": "Wh",
    "energy_mwh": "MWh",
    "register_kwh": "kWh",
    "register_wh": "Wh",
    "register_mwh": "MWh",
}
FLOW_FIELDS = {
    f"{flow}_{field.removeprefix('energy_').removeprefix('power_')}": flow for flow in FLOWS for field in VALUE_FIELDS
}
"""What is fed into the grid, and what is generated: `export_kwh`, `export_register_kwh`, `generation_kw`, …"""
ROLES = ("import", *FLOWS)
"""What a register counts, where rows of several registers share one time: fields that take texts, not columns."""
FIELDS = ("timestamp", "household_id", *VALUE_FIELDS, *FLOW_FIELDS, "voltage", "current", "register", *ROLES)
EXAMPLE = "timestamp=Time,household_id=@VIC,power_mw=Demand"
_NEXT = re.compile(rf",(?=\s*(?:{'|'.join(FIELDS)})\s*=)")


@dataclass(frozen=True)
class ColumnMapping:
    """Columns of an input file by what they hold, by name or as `#3`; what is not mapped is recognised.

    Args:
        timestamps: Columns that together give the stamp: a date and a time, for one.
        household_id: Column of the households' names, `*` where each value column is a household, or None.
        household: The name of the one household of a file without such a column, or None.
        field: The field of the value columns: `energy_kwh`, for one; None where none is mapped.
        values: Columns of power, energy or register readings; several are added up, unless `household_id` is `*`.
        voltage: Column of volts, or None.
        current: Column of amperes, or None.
        flows: Columns of what is fed into the grid and of what is generated, by field (`export_kwh`); several are added
            up.
        register: Column that says which register a row is a reading of, or None.
        roles: Texts of that column by what they count: `import`, `export` or `generation`; several are added up. Empty
            where the description of meters states the roles.
    """

    timestamps: tuple[str, ...] = ()
    household_id: str | None = None
    household: str | None = None
    field: str | None = None
    values: tuple[str, ...] = ()
    voltage: str | None = None
    current: str | None = None
    flows: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    register: str | None = None
    roles: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def unit(self) -> Unit | None:
        """The unit of the value columns."""
        return None if self.field is None else VALUE_FIELDS[self.field]

    @property
    def cumulative(self) -> bool:
        """Whether the value columns are registers, which only rise."""
        return self.field is not None and self.field.startswith("register_")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        flows = (name for names in self.flows.values() for name in names)
        columns = (*self.timestamps, self.household_id, *self.values, *flows, self.voltage, self.current, self.register)
        return tuple(column for column in columns if column is not None and column != EVERY)

    @property
    def measured(self) -> tuple[Measured, ...]:
        """Which of voltage and current a file states."""
        return tuple(column for column in MEASURED if getattr(self, column) is not None)


OWN_COLUMNS = ColumnMapping(("timestamp",), "household_id", None, "power_kw", ("power_consumption",))


def parse_columns(text: str) -> ColumnMapping:
    """Return the mapping that a text such as `timestamp=Time,household_id=@VIC,power_mw=Demand` stands for.

    Column names may hold spaces, equals signs and commas. `timestamp` and a value field may be given several times.

    Raises:
        ValueError: A part is not `field=column`, a field is unknown or given twice, or value fields differ.
    """
    columns: dict[str, list[str]] = {}
    for part in _NEXT.split(text):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or (not column and field != "timestamp"):
            raise ValueError(f"columns: {part.strip()!r} is not FIELD=COLUMN; for example: {EXAMPLE}")
        if field not in FIELDS:
            raise ValueError(f"columns: {field!r} is not a field; the fields are {', '.join(FIELDS)}")
        if column == "@" or (column.startswith("@") and field != "household_id"):
            raise ValueError(f"columns: {part.strip()!r}: only household_id takes a constant, @NAME")
        if not column.isprintable():
            raise ValueError(f"columns: {part.strip()!r}: a name is one line of text")
        columns.setdefault(field, []).append(column)
    repeatable = ("timestamp", *VALUE_FIELDS, *FLOW_FIELDS)
    if twice := [field for field, names in columns.items() if len(names) > 1 and field not in repeatable]:
        raise ValueError(f"columns: {twice[0]} is given twice")
    fields = [field for field in columns if field in VALUE_FIELDS]
    if len(fields) > 1:
        raise ValueError(f"columns: {' and '.join(fields)} cannot be given together; for example: {EXAMPLE}")
    flows = [field for field in columns if field in FLOW_FIELDS]
    for flow in FLOWS:
        if len(same := [field for field in flows if FLOW_FIELDS[field] == flow]) > 1:
            raise ValueError(f"columns: {' and '.join(same)} cannot be given together; for example: {EXAMPLE}")
    household = columns.get("household_id", [None])[0]
    if flows and household == EVERY:
        raise ValueError(f"columns: {flows[0]}: which of several households it belongs to is open; map one household")
    roles = {role: _texts(columns[role]) for role in ROLES if role in columns}
    _require_roles(columns, roles, household)
    constant = household is not None and household.startswith("@")
    return ColumnMapping(
        timestamps=tuple(columns.get("timestamp", ())),
        household_id=None if constant else household,
        household=household[1:] if constant and household else None,
        field=fields[0] if fields else None,
        values=tuple(columns[fields[0]]) if fields else (),
        voltage=columns.get("voltage", [None])[0],
        current=columns.get("current", [None])[0],
        flows={field: tuple(columns[field]) for field in flows},
        register=columns.get("register", [None])[0],
        roles=roles,
    )


def _texts(parts: list[str]) -> tuple[str, ...]:
    return tuple(text.strip() for part in parts for text in part.split("|"))


def _require_roles(columns: dict[str, list[str]], roles: dict[str, tuple[str, ...]], household: str | None) -> None:
    """Refuse roles that no column tells, that leave out the import, or that state a flow twice."""
    example = "register=Direction,import=Consumption,export=Feed-in"
    if roles and ("register" not in columns or "import" not in roles):
        missing = "register" if "register" not in columns else "import"
        raise ValueError(f"columns: {next(iter(roles))}: needs {missing} beside it; for example: {example}")
    if "register" in columns and household == EVERY:
        raise ValueError("columns: register: rows of several registers name their household; map that column")
    if "register" in columns and (same := [field for field in columns if field in FLOW_FIELDS]):
        raise ValueError(f"columns: {same[0]}: a register stands in rows or in a column; state its role: {example}")
    texts = [text for role in roles.values() for text in role]
    if twice := sorted({text for text in texts if texts.count(text) > 1 or not text}):
        raise ValueError(f"columns: the register {twice[0]!r} has two roles, or no name; for example: {example}")
