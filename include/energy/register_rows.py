"""Registers in rows: the records of a connection's registers at one time, joined to one reading.

Files with one row a register and time say in a column which register a row is of. What each register counts, its role,
`--columns register=…,import=…,export=…` states by the texts of that column, or `--meters FILE` for each connection
point. Registers of one role are added up. Where the description states a register and its tariffs (1.8.0, 1.8.1 and
1.8.2), the first one counts, and the others are compared with it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.energy.readers.base import MeterData
from include.energy.schemas import FLOWS

if TYPE_CHECKING:
    import duckdb

    from include.energy.meters import Meters

IGNORE, PART = "ignore", "_tariff"
_OBIS = re.compile(r"(?:\d+-\d+:)?(\d+\.\d+\.\d+)(?:[*&]\d+)?")
_MEANINGS = {"1.8": "import", "2.8": "export"}
"""IEC 62056-61: groups C and D of active energy from the grid and into it."""


@dataclass(frozen=True)
class Joined:
    """What was joined.

    Args:
        rows: By file, how many records are part of the reading of another one.
        left_out: By file, how many records are of registers that do not count, by what they are.
        findings: How registers agree with their tariffs.
    """

    rows: Mapping[int, int] = field(default_factory=dict)
    left_out: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def state_flows(sources: Sequence[MeterData], names: Sequence[str], meters: Meters | None) -> list[MeterData]:
    """Return files with the flows that their registers count.

    Raises:
        BadInputError: Nothing states the roles of a file's registers.
    """
    described = {role for meter in meters.meters.values() for role in meter.registers.values()} if meters else set()
    done = []
    for source, name in zip(sources, names, strict=True):
        if source.roles is not None and not source.roles and not described:
            raise BadInputError(
                f"{name}: what its registers count is not stated; name them, for example --columns "
                '"register=…,import=1.8.0,export=2.8.0", or state registers in --meters FILE'
            )
        roles = None if source.roles is None else set(source.roles.values()) or described
        flows = [flow for flow in FLOWS if flow in source.flows or (roles and {flow, flow + PART} & roles)]
        done.append(replace(source, flows=tuple(flows)))
    return done


def join_registers(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], names: Sequence[str], meters: Meters | None
) -> tuple[list[MeterData], Joined]:
    """Replace the records of a connection's registers at one time by one reading, in `records`.

    A reading stands in the line of its import, or in the first line whose value cannot be read. Where registers of one
    role never have values at one time (day and night), the one that has a value counts; else all must have one.

    Args:
        connection: Holds `records` with `register`, and `device` where meters are described.
        sources: The files; those with `roles` are joined.
        names: Theirs.
        meters: The description of meters, which states roles where a file's are empty.

    Returns:
        The files, each with how many registers were added up to one reading, and what was joined.

    Raises:
        BadInputError: A register has no role; names file, household and register, and says how to state it.
    """
    if all(source.roles is None for source in sources):
        unused = [name for name, meter in meters.meters.items() if meter.registers] if meters else []
        message = (
            f"The registers that are described of {', '.join(unused[:10])} were not used, for nothing says which "
            'column names them: --columns "register=…".'
        )
        return list(sources), Joined(findings=(Finding(severity="warning", message=message),) if unused else ())
    _store_roles(connection, sources, names, meters)
    device = ", device" if meters else ""
    connection.execute(f"""
        CREATE TABLE parts AS
        SELECT records.rowid AS place, records.*, role, role IS NOT NULL AND clock IS NOT NULL AS joins,
            row_number() OVER (PARTITION BY file, household_id{device}, register, zoned, clock ORDER BY records.rowid)
                AS occurrence
        FROM records LEFT JOIN roles USING (file, household_id, register)
    """)
    key = f"file, household_id{device}, zoned, clock, occurrence"
    cumulative = [number for number, source in enumerate(sources) if source.cumulative]
    connection.execute(f"""
        CREATE TABLE counted AS
        SELECT file, household_id, role, any_value(registers) AS registers,
            CASE WHEN max(held) = 1 AND NOT list_contains({cumulative}::INTEGER[], file) THEN 1
                ELSE any_value(registers) END AS needed
        FROM (SELECT file, household_id, role, clock, occurrence, count(DISTINCT register) AS held
                FROM parts WHERE joins AND power IS NOT NULL GROUP BY ALL)
            JOIN (SELECT file, household_id, role, count(*) AS registers FROM roles GROUP BY ALL)
                USING (file, household_id, role)
        GROUP BY file, household_id, role
    """)
    roles = ("import", *(flow for flow in FLOWS if any(flow in source.flows for source in sources)))
    sums = {"power" if role == "import" else role: _sum_sql(role) for role in roles}
    columns = [name for name, *_ in connection.execute("DESCRIBE records").fetchall() if name != "register"]
    texts = {name: f"arg_min({name}, place)" for name in ("stamp", "voltage", "current", "field") if name in columns}
    unread = f"min(line) FILTER (role IN {(*roles, '')} AND {_UNREAD})"
    connection.execute(f"""
        CREATE TABLE joined AS
        SELECT {key}, coalesce({unread}, min(line) FILTER (role = 'import'), min(line)) AS line,
            {", ".join(f"{sql} AS {name}" for name, sql in (texts | sums).items())},
            {_QUALITY} AS quality, false AS malformed, bool_or(estimated) AS estimated, bool_and(empty) AS empty,
            min(place) AS place, count(*) AS rows, {_differences_sql(roles)} AS differences
        FROM parts LEFT JOIN counted USING (file, household_id, role)
        WHERE joins AND role <> '{IGNORE}' GROUP BY {key}
    """)
    joined = Joined(
        _count_rows(connection), _left_out(connection, sources), tuple(_compared(connection, names, sources))
    )
    listed = ", ".join(columns)
    connection.execute(f"""
        CREATE TABLE readings_of_registers AS
        SELECT {listed} FROM (SELECT place, {listed} FROM joined UNION ALL
            SELECT place, {listed} FROM parts WHERE NOT joins AND role IS DISTINCT FROM '{IGNORE}') ORDER BY place
    """)
    most = dict(connection.execute("SELECT file, max(registers) FROM counted GROUP BY file").fetchall())
    for table in ("records", "parts", "joined", "counted", "roles"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("ALTER TABLE readings_of_registers RENAME TO records")
    return [replace(source, summed=max(source.summed, most.get(n, 1))) for n, source in enumerate(sources)], joined


_NUMBER = "try_cast(power AS DECIMAL(24, 9))"
_UNREAD = f"power IS NOT NULL AND {_NUMBER} IS NULL"
_QUALITY = "string_agg(DISTINCT parts.quality, '; ' ORDER BY parts.quality)"


def _sum_sql(role: str) -> str:
    """Return SQL of the sum of a role's registers; a text that is no number where one cannot be read, or is missing."""
    of_role = f"FILTER (role = '{role}' AND power IS NOT NULL)"
    return (
        f"CASE WHEN count(*) {of_role} = 0 THEN NULL "
        f"WHEN count(*) {of_role} < max(needed) {of_role} THEN 'incomplete sum' "
        f"WHEN count(*) {of_role} = 1 THEN min(power) {of_role} "
        f"WHEN count({_NUMBER}) {of_role} < count(*) {of_role} "
        f"THEN min(power) FILTER (role = '{role}' AND {_UNREAD}) "
        f"ELSE CAST(sum({_NUMBER}) {of_role} AS VARCHAR) END"
    )


def _differences_sql(roles: Sequence[str]) -> str:
    """Return SQL of what registers count less what their tariffs do, by role, with the last digit that they show."""
    listed = []
    for role in roles:
        both = f"role IN ('{role}', '{role}{PART}')"
        total, parts = (f"sum({_NUMBER}) FILTER (role = '{name}')" for name in (role, role + PART))
        complete = f"count({_NUMBER}) FILTER (role = '{role}{PART}') >= max(needed) FILTER (role = '{role}{PART}')"
        decimals = "CASE WHEN contains(power, '.') THEN len(power) - strpos(power, '.') ELSE 0 END"
        listed.append(
            f"{{role: '{role}', difference: CASE WHEN {complete} THEN CAST({total} - {parts} AS DOUBLE) END, "
            f"registers: count(*) FILTER ({both}), decimals: max({decimals}) FILTER ({both})}}"
        )
    return f"[{', '.join(listed)}]"


def _count_rows(connection: duckdb.DuckDBPyConnection) -> dict[int, int]:
    return dict(connection.execute("SELECT file, sum(rows - 1)::BIGINT FROM joined GROUP BY file").fetchall())


def _left_out(connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData]) -> dict[int, Counter[str]]:
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    query = f"SELECT file, register, count(*) FROM parts WHERE role = '{IGNORE}' GROUP BY ALL ORDER BY ALL"
    for file, register, rows in connection.execute(query).fetchall():
        counts[file][f"register {register}"] = rows
    return {number: counts[number] for number in range(len(sources)) if counts[number]}


def _compared(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], sources: Sequence[MeterData]
) -> Iterator[Finding]:
    """Yield whether registers agree with their tariffs, each rounded to its last digit.

    Of readings that are cumulative, what they count between two readings is compared.
    """
    cumulative = [number for number, source in enumerate(sources) if source.cumulative]
    rows = connection.execute(f"""
        WITH compared AS (
            SELECT file, household_id, clock, unnest(differences, recursive := true) FROM joined
        ), differing AS (
            SELECT *, CASE WHEN list_contains({cumulative}::INTEGER[], file)
                THEN difference - lag(difference) OVER (PARTITION BY file, household_id, role ORDER BY clock)
                ELSE difference END AS off, registers * pow(10, -decimals) AS tolerance
            FROM compared WHERE difference IS NOT NULL
        )
        SELECT file, household_id, role, count(off), count(*) FILTER (abs(off) > tolerance + 1e-9), max(tolerance),
            arg_min((clock, off), clock) FILTER (abs(off) > tolerance + 1e-9)
        FROM differing GROUP BY ALL HAVING count(off) > 0 ORDER BY ALL
    """).fetchall()
    for file, household, role, compared, wrong, tolerance, first in rows:
        unit, where = sources[file].unit, f"{names[file]}: household {household}: {role}"
        if wrong:
            clock, off = first
            message = (
                f"{where}: the register and the sum of its tariffs differ by more than {tolerance:g} {unit} "
                f"in {wrong:,} of {compared:,} readings (the first: {clock:%Y-%m-%d %H:%M}, by {off:g} {unit}); the "
                "register counts."
            )
        else:
            message = f"{where}: the register and the sum of its tariffs agree to {tolerance:g} {unit}."
        yield Finding(severity="warning" if wrong else "info", message=message)


def _store_roles(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[MeterData], names: Sequence[str], meters: Meters | None
) -> None:
    """Create `roles` (file, household_id, register, role) of all registers that files with roles hold."""
    files = [number for number, source in enumerate(sources) if source.roles is not None]
    held = connection.execute(
        "SELECT file, household_id, register, min(line) FROM records WHERE NOT malformed AND household_id IS NOT NULL "
        f"AND file IN ({', '.join(map(str, files))}) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    by_household: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for file, household, register, line in held:
        if register is None:
            raise BadInputError(
                f"{names[file]}: line {line}: names no register, so what its value counts is open; correct it, or "
                "leave such rows out with --where"
            )
        by_household[file, household].append(register)
    rows: list[tuple[Any, ...]] = []
    for (file, household), registers in by_household.items():
        stated = sources[file].roles
        roles = (
            {register: stated.get(register, IGNORE) for register in registers}
            if stated
            else _described(registers, household, names[file], meters)
        )
        rows += [(file, household, register, role) for register, role in roles.items()]
    connection.execute("CREATE TABLE roles (file INTEGER, household_id VARCHAR, register VARCHAR, role VARCHAR)")
    if rows:
        connection.executemany("INSERT INTO roles VALUES (?, ?, ?, ?)", rows)


def _described(registers: Sequence[str], household: str, name: str, meters: Meters | None) -> dict[str, str]:
    """Return the roles of a connection point's registers as the description states them.

    Tariffs count where no register of their role stands beside them.

    Raises:
        BadInputError: It states none of a register.
    """
    meter = meters.meters.get(household) if meters else None
    stated = meter.registers if meter else {}
    roles: dict[str, str] = {}
    for register in registers:
        role = stated.get(register) or stated.get(plain_obis(register))
        if role is None:
            proposed = ", ".join(f'"{plain_obis(r)}" = "{_proposed(r, registers)}"' for r in registers)
            raise BadInputError(
                f"{name}: household {household}: the role of the register {register!r} is not stated; write in "
                f'--meters, below [meters."{household}"]: registers = {{ {proposed} }}, each import, import_tariff, '
                "export, export_tariff, generation or ignore"
            )
        roles[register] = role
    return {
        register: role.removesuffix(PART) if role.removesuffix(PART) not in roles.values() else role
        for register, role in roles.items()
    }


def plain_obis(register: str) -> str:
    """Return an OBIS code without its medium, channel and billing period; other names as they are.

    >>> plain_obis("1-0:1.8.0*255"), plain_obis("Tarif 1")
    ('1.8.0', 'Tarif 1')
    """
    match = _OBIS.fullmatch(register.strip())
    return match[1] if match else register


def _proposed(register: str, registers: Sequence[str]) -> str:
    """Return the role that the OBIS code of a register has, `ignore` where it has none."""
    group, _, tariff = plain_obis(register).rpartition(".")
    is_part = tariff != "0" and f"{group}.0" in map(plain_obis, registers)
    return _MEANINGS.get(group, IGNORE) + (PART if is_part and group in _MEANINGS else "")
