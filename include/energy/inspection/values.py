"""Which columns hold power or energy, in which unit and spelling, and whether they are registers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from include.energy.inspection.columns import (
    DAY_TOTAL,
    EXPORT,
    GENERATION,
    HOUR_NUMBER,
    METER,
    NOT_A_VALUE,
    PHASE,
    REGISTER_NAME,
    TARIFF,
    Column,
)
from include.energy.inspection.draft import Draft
from include.energy.inspection.mapping import EVERY, FLOW_FIELDS
from include.energy.inspection.spelling import Decimal, foreign_unit_in, is_number, shape_of, unit_in
from include.energy.inspection.spelling import spell_numbers as spell
from include.energy.inspection.times import are_periods
from include.energy.schemas import Unit

_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
RISES_NEEDED = 24
RISES_OF_A_DAY = 12


def find_values(draft: Draft, taken: set[int], spread: dict[int, str]) -> tuple[tuple[int, ...], bool]:
    """Return the columns of the values, and whether each one is a household."""
    if spread:
        return tuple(spread), False
    wide = draft.mapping.household_id == EVERY
    mapping = draft.mapping
    free = [c for c in draft.columns if c.position not in taken and c.may_be_value and not _are_hours(c)]
    if mapping.values:
        chosen = tuple(column.position for column in _drop_totals(draft, _drop_identifiers(draft, free)))
        if EVERY not in mapping.values:
            chosen = tuple(draft.position(name, mapping.field or "") for name in mapping.values)
        _require_numbers(draft, chosen)
        _require_all_parts(draft, chosen)
        return chosen, wide
    free = _drop_identifiers(draft, free)
    if any(unit_in(column.name) for column in free):
        free = [column for column in free if unit_in(column.name)]
    exports = [column for column in free if EXPORT.search(column.name)]
    imports = [column for column in free if column not in exports]
    if exports and imports:
        names = ", ".join(repr(column.name) for column in exports)
        draft.state(
            "not selected",
            names,
            "what is fed in or generated is read where --columns names it: export_kwh=…, generation_kwh=…",
        )
        generated = [column for column in exports if GENERATION.search(column.name)]
        if len(generated) < len(exports):
            draft.flows = {
                "export": tuple(column.position for column in exports if column not in generated),
                "generation": tuple(column.position for column in generated),
            }
        free = imports
    free = _drop_totals(draft, free)
    if len(free) > 1:
        return _choose_values(draft, free)
    if not free:
        foreign = [column.name for column in draft.columns if foreign_unit_in(column.name.replace("_", " "))]
        why = f"; {', '.join(map(repr, foreign))} is not active energy" if foreign else ""
        raise draft.refuse(f"no column holds power or energy{why}; name it with --columns energy_kwh=…")
    draft.state("values", repr(draft.name(free[0].position)), f"for example {', '.join(free[0].texts[:3])}")
    return (free[0].position,), wide


def state_direction(draft: Draft, values: Sequence[int]) -> None:
    """State that columns which name what is generated or fed into the grid count as drawn from it."""
    if named := [name for name in draft.names(values) if EXPORT.search(name)]:
        shown = f"{', '.join(map(repr, named[:4]))}{' and others' * (len(named) > 4)}"
        draft.state(
            "direction",
            f"{shown} count{'s' * (len(named) == 1)} as drawn from the grid, and the name says generated or fed into "
            "it: what is reported as consumption is that",
            assumed=True,
        )


def _choose_values(draft: Draft, free: Sequence[Column]) -> tuple[tuple[int, ...], bool]:
    """Return several columns of values, and whether each one is a household."""
    positions = tuple(column.position for column in free)
    names = [column.name for column in free]
    parts = [bool(TARIFF.search(name) or PHASE.search(name)) for name in names]
    if all(parts):
        draft.state("values", f"the sum of {' and '.join(map(repr, names))}", "tariffs or phases of one meter")
        return positions, False
    stated = draft.mapping.household_id == EVERY
    alike = len({unit_in(name) for name in names}) == 1 and len(set(names)) == len(names)
    if stated or (alike and draft.mapping.household is None and _are_meters(free)):
        draft.state("layout", f"one column a meter: {len(free)} columns", ", ".join(names[:4]))
        return positions, True
    unit = unit_in(names[0]) or draft.answers.unit or "kWh"
    fields = f"{'energy' if unit.endswith('Wh') else 'power'}_{unit.lower()}"
    draft.ask(
        "values",
        f"several columns may hold the values: {', '.join(map(repr, names[:8]))}",
        *(f'--columns "{fields}={draft.name(position)}"' for position in positions[:8]),
        f'--columns "household_id=*,{fields}=*"',
    )
    return positions, False


def _are_meters(free: Sequence[Column]) -> bool:
    """Return whether names are those of meters: numbered or built alike, not years or words for other quantities."""
    if all(_YEAR.search(column.name) for column in free):
        return False
    stems = {re.sub(r"\d+", "0", column.name) for column in free}
    if len(stems) == 1:
        return True
    parts = [column.name.split("_") for column in free]
    return min(map(len, parts)) >= 2 and len({tuple(p[:1]) for p in parts}) <= max(1, len(free) // 2)


def _require_numbers(draft: Draft, chosen: Sequence[int]) -> None:
    for position in chosen:
        column = draft.columns[position]
        if column.shape not in ("number", "unix", "empty") and not (column.shape == "text" and not column.texts):
            numbers = [text for text in column.texts if shape_of(text) == "other" and spell([text]).decimal]
            if not numbers or column.is_time:
                raise draft.refuse(f"{column.name!r} holds no numbers, but texts such as {column.distinct[0]!r}")


def _require_all_parts(draft: Draft, chosen: Sequence[int]) -> None:
    """Refuse a sum of meters, and one tariff or phase without the others."""
    columns = [draft.columns[position] for position in chosen]
    parts = [bool(TARIFF.search(column.name) or PHASE.search(column.name)) for column in columns]
    if len(chosen) > 1 and draft.mapping.household_id != EVERY and not all(parts) and _are_meters(columns):
        names = ", ".join(repr(column.name) for column in columns)
        draft.contradict(
            f"{names} look like meters, and would be added up as one household",
            "name each after its column with household_id=*",
        )
    others = [
        column
        for column in draft.columns
        if all(parts)
        and column.position not in chosen
        and column.holds_numbers
        and (TARIFF.search(column.name) or PHASE.search(column.name))
        and unit_in(column.name) == unit_in(columns[0].name)
        and bool(EXPORT.search(column.name)) == bool(EXPORT.search(columns[0].name))
        and len(column.distinct) > 1
    ]
    if others:
        names = " and ".join(repr(column.name) for column in others)
        added = ",".join(f"{draft.mapping.field}={draft.name(p)}" for p in (*chosen, *(c.position for c in others)))
        draft.contradict(
            f"{names} {'is' if len(others) == 1 else 'are'} not mapped, and may belong to the same total",
            f'write --columns "{added}"',
        )


def _drop_identifiers(draft: Draft, free: Sequence[Column]) -> list[Column]:
    """Leave out columns of whole numbers that name meters."""
    return [c for c in free if not (METER.search(c.name) and unit_in(c.name) is None and len(c.distinct) == 1)]


def _drop_totals(draft: Draft, free: Sequence[Column]) -> list[Column]:
    """Leave out a column that is the sum of the others."""
    for total in free:
        others = [column for column in free if column is not total]
        if len(others) < 2 or not re.search(r"(?i)total|sum|gesamt|all", total.name):
            continue
        rows = [row for row in draft.layout.rows[:200] if all(row[c.position] for c in free)]
        sums = [sum(_number(row[c.position]) for c in others) - _number(row[total.position]) for row in rows]
        if rows and all(abs(difference) < 1e-6 + 1e-6 * len(others) for difference in sums):
            draft.state("not selected", repr(total.name), "it is the sum of the other columns")
            return others
    return list(free)


def find_day_total(draft: Draft, spread: dict[int, str], unit: Unit, taken: set[int]) -> tuple[int, float] | None:
    """Return the column of the day's energy beside the values of its hours, and the factor from a value to its part.

    None where there is no such column, or it is open what its unit is.
    """
    if not spread or any(shape_of(text) == "stamp" for text in spread.values()):
        return None
    found = [
        column
        for column in draft.columns
        if column.position not in spread
        and column.position not in taken
        and column.shape in ("number", "unix")
        and DAY_TOTAL.search(column.name.replace("_", " "))
        and not NOT_A_VALUE.search(column.name)
        and not REGISTER_NAME.search(column.name.replace("_", " "))
        and foreign_unit_in(column.name.replace("_", " ")) is None
    ]
    if len(found) != 1:
        return None
    total, shown = found[0], unit_in(found[0].name)
    if (shown or unit).endswith("Wh"):
        count = max((count for count in (24, 48, 96, 144, 288, 1440) if count <= len(spread)), default=0)
        hours = 1.0 if unit.endswith("Wh") else 24 / count if count else 0.0
        if hours:
            draft.state("day total", repr(total.name), "it is compared with the sum of the row's values")
            return total.position, hours * _IN_KWH[unit.removesuffix("h")] / _IN_KWH[(shown or unit).removesuffix("h")]
    return None


_IN_KWH = {"W": 0.001, "kW": 1.0, "MW": 1000.0}


def is_cumulative(
    draft: Draft, values: Sequence[int], meter: int | None, unit: Unit | None, stamps: Sequence[int]
) -> bool:
    """Return whether the values are readings of a register, which never fall."""
    if draft.mapping.cumulative:
        draft.state("values are", "register readings, of which differences are taken", draft.stated_by("values"))
        return True
    if unit is not None and not unit.endswith("Wh"):
        return False
    if daily := next((p for p in values if _begins_anew_daily(draft, p, meter, stamps)), None):
        draft.contradict(
            f"{draft.columns[daily].name!r} rises all day and begins anew each day: it counts the day so far",
            f'map it as a register, --columns "register_{(unit or "kWh").lower()}={draft.name(daily)}", of which '
            "differences are taken",
        )
        return False
    position, rises = next(((p, r) for p in values if (r := _rises(draft, p, meter)) is not None), (None, 0))
    if position is None:
        return False
    name = draft.columns[position].name
    evidence = f"{name!r} never falls, and rises {rises} times"
    if draft.mapping.field and not draft.answers.as_mapped:
        register = f"register_{draft.mapping.field.removeprefix('energy_')}"
        raise draft.refuse(
            f"{evidence}: it looks like a register, not energy an interval; map it as --columns "
            f'"{register}={draft.name(position)}", or insist with --as-mapped'
        )
    if draft.mapping.field:
        return False
    draft.state("values are", "register readings, of which differences are taken", evidence)
    return True


def _rises(draft: Draft, position: int, meter: int | None) -> int | None:
    """Return how often a column rises where it never falls, household by household; None where it falls."""
    series: dict[str, list[float]] = {}
    for row in draft.layout.rows:
        text = row[position] if position < len(row) else ""
        if _is_plain(text):
            series.setdefault(row[meter] if meter is not None else "", []).append(_number(text))
    named = bool(REGISTER_NAME.search(draft.columns[position].name.replace("_", " ")))
    for numbers in series.values():
        backwards = numbers[::-1] if numbers and numbers[0] > numbers[-1] else numbers
        steps = [b - a for a, b in pairwise(backwards)]
        if any(step < 0 for step in steps):
            return None
        rises = sum(step > 0 for step in steps)
        if rises >= (8 if named else RISES_NEEDED):
            return rises
    return None


def find_flows(
    draft: Draft, values: Sequence[int], unit: Unit | None, *, meter: int | None, cumulative: bool, unfolded: bool
) -> dict[str, tuple[int, ...]]:
    """Return the columns of what is fed into the grid and of what is generated, where the user maps them."""
    flows: dict[str, tuple[int, ...]] = {}
    for field, names in draft.mapping.flows.items():
        positions = tuple(draft.position(name, field) for name in names)
        flow, right = FLOW_FIELDS[field], flow_field(FLOW_FIELDS[field], unit, cumulative=cumulative)
        if unfolded:
            raise draft.refuse(f"{field}: a row holds several readings, so it is open to which one it belongs")
        if unit and field != right:
            raise draft.refuse(
                f"{field}: must be of the unit and kind of what is drawn from the grid; write --columns "
                f'"{right}={draft.name(positions[0])}"'
            )
        _require_numbers(draft, positions)
        for position in positions:
            column = draft.columns[position]
            shown = unit_in(column.name) or foreign_unit_in(column.name.replace("_", " "))
            if shown and shown != unit:
                draft.contradict(f"{field}: {column.name!r} is in {shown}, not {unit}", "map another column")
            if position in values:
                raise draft.refuse(f"{field}: {column.name!r} is mapped as what is drawn from the grid, too")
            rises = None if cumulative or not (unit or "").endswith("Wh") else _rises(draft, position, meter)
            if rises is not None:
                draft.contradict(
                    f"{field}: {column.name!r} never falls, and rises {rises} times: it looks like a register",
                    "map registers of both directions, or energy of both",
                )
        draft.state(flow, f"{' + '.join(map(repr, draft.names(positions)))}", "stated by the user")
        flows[flow] = positions
    return flows


def flow_field(flow: str, unit: Unit | None, *, cumulative: bool) -> str:
    """Return the field of a flow that is in the unit of the values, and a register where they are.

    >>> flow_field("export", "Wh", cumulative=True)
    'export_register_wh'
    """
    return f"{flow}_{'register_' if cumulative else ''}{(unit or 'kWh').lower()}"


def _begins_anew_daily(draft: Draft, position: int, meter: int | None, stamps: Sequence[int]) -> bool:
    """Return whether a column never falls within a day, but from each day to the next."""
    days: dict[tuple[str, str], list[float]] = {}
    for row in draft.layout.rows if stamps else ():
        if (number := as_number(row[position] if position < len(row) else "")) is not None:
            day = _date_of(row[stamps[0]])
            days.setdefault((row[meter] if meter is not None else "", day), []).append(number)
    complete = [numbers for numbers in days.values() if len(numbers) >= RISES_OF_A_DAY]
    if len(complete) < 2 or any(a[-1] <= b[0] for a, b in pairwise(complete)):
        return False
    return all(
        all(a <= b for a, b in pairwise(numbers)) and sum(a < b for a, b in pairwise(numbers)) >= RISES_OF_A_DAY // 2
        for numbers in complete
    )


@lru_cache(maxsize=65_536)
def _date_of(stamp: str) -> str:
    return re.split("[T ]", stamp)[0]


def spell_numbers(draft: Draft, values: Sequence[int]) -> tuple[Decimal | None, str]:
    """Return the decimal mark, and what separates thousands."""
    texts = [text for p in values for text in draft.layout.texts(p, everywhere=True)]
    spelling = spell(text for text in texts if shape_of(text) in ("other", "unix") and is_number(text))
    if not any(mark in text for text in texts for mark in ".,") and not draft.answers.own:
        late = [text for position in values[:20] if (text := draft.search(position, r"^[+-]?\d*[.,]\d"))]
        spelling = spell([*texts, *late])
    decimal, thousands, evidence = spelling.decimal, spelling.thousands, spelling.evidence
    if decimal is None and thousands and not draft.layout.complete:
        mark = re.escape(thousands)
        pattern = rf"^[+-]?(0{mark}\d+|\d*{mark}\d{{1,2}}|\d*{mark}\d{{4,}})$"
        for position in values[:20]:
            if text := draft.search(position, pattern):
                decimal, evidence, thousands = thousands, f"{text!r} can only be decimal", ""  # type: ignore[assignment]
                break
    stated = draft.answers.decimal
    if stated:
        if decimal and decimal != stated and any(mark in text for text in texts for mark in ".,"):
            draft.contradict(
                f"{draft.option('decimal', '--decimal')} {stated} contradicts the file: {evidence}", "leave it out"
            )
        decimal, thousands = stated, (thousands if thousands != stated else "") or ("," if stated == "." else ".")
        evidence = draft.stated_by("decimal")
    if decimal is None and not thousands:
        raise draft.refuse(
            f"its numbers cannot be read alike: {evidence}; with --decimal . or --decimal , the others are rejected"
        )
    if decimal is None:
        draft.ask(
            "decimal mark",
            f"{evidence!r} may be {_as_decimal(evidence, thousands)} or {evidence.replace(thousands, '')}: the mark "
            "may be decimal or separate thousands, and nothing in the file decides",
            f"--decimal {thousands}",
            f"--decimal {'.' if thousands == ',' else ','}",
        )
    elif decimal == "," or thousands:
        marks = f", {thousands!r} separates thousands" if thousands else ""
        draft.state("numbers", f"decimal {'comma' if decimal == ',' else 'point'}{marks}", evidence)
    return decimal, thousands


def _are_hours(column: Column) -> bool:
    return (
        bool(HOUR_NUMBER.search(column.name.replace("_", " "))) and unit_in(column.name) is None and are_periods(column)
    )


@lru_cache(maxsize=65_536)
def _is_plain(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?[\d.,]*\d", text))


@lru_cache(maxsize=65_536)
def _number(text: str) -> float:
    """Return the value of a number of a sample, its marks read as decimal: enough to compare neighbours."""
    head, _, tail = text.replace(",", ".").rpartition(".")
    try:
        return float(f"{head.replace('.', '')}.{tail}" if head else text)
    except ValueError:
        return 0.0


def as_number(text: str) -> float | None:
    """Return the value of a text of a sample, None where it is no number."""
    return _number(text) if _is_plain(text) else None


def _as_decimal(text: str, mark: str) -> str:
    return text.replace(mark, ".")
