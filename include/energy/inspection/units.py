"""The unit of the values, and what shows it: names, a column of units, texts of rows, lines around the table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from include.energy.inspection.columns import Column
from include.energy.inspection.draft import Draft
from include.energy.inspection.spelling import foreign_unit_in, unit_in, unit_of
from include.energy.lines import split_fields
from include.energy.schemas import Unit

_LABEL = re.compile(
    r"(?i)^\W*(?:units?|einheit|unit[ée]|unidad(?:es)?|unit[àa]|eenheid|enhed|enhet|yksikkö|jednostka)\b"
)


def find_unit(draft: Draft, values: Sequence[int]) -> Unit | None:
    """Return the unit of the values."""
    stated = draft.mapping.unit or draft.answers.unit
    shown, evidence = _shown_unit(draft, values)
    others = _other_units(draft, values, shown)
    by_user = draft.answers.unit or (draft.mapping.unit and "values" not in draft.answers.by_preset)
    if shown and others and not by_user:
        listed = "; ".join(f"{place} says {unit}" for unit, place in others.items())
        draft.ask(
            "unit",
            f"the file contradicts itself: {shown}, for {evidence}, but {listed}",
            *(f"--unit {unit}" for unit in (shown, *others)),
        )
        return None
    if stated and shown and stated != shown and stated not in others:
        field = next(f for f in _fields(draft) if f.endswith(f"_{shown.lower()}"))
        draft.contradict(
            f"{draft.option('values', '--columns or --unit')} states {stated}, and the file says {shown}: {evidence}",
            f'write --columns "{field}={draft.name(values[0])}"',
        )
    foreign = next((f for p in values if (f := foreign_unit_in(draft.columns[p].name.replace("_", " ")))), None)
    if foreign and stated:
        draft.contradict(
            f"{draft.columns[values[0]].name!r} is in {foreign}, which is not energy in {stated}",
            "map another column",
        )
    if stated:
        draft.state("unit", stated, draft.stated_by("values" if draft.mapping.unit else "unit"))
        return stated
    if shown:
        draft.state("unit", shown, evidence)
        return shown
    names = ", ".join(repr(name) for name in draft.names(values[:3]))
    draft.ask(
        "unit",
        f"nothing says what unit {names} {'is' if len(values) == 1 else 'are'} in",
        *(f"--unit {unit}" for unit in ("kWh", "Wh", "MWh", "kW", "W", "MW")),
    )
    return None


def _fields(draft: Draft) -> Iterator[str]:
    prefix = "register" if draft.mapping.cumulative else None
    for unit in ("kwh", "wh", "mwh"):
        yield f"{prefix or 'energy'}_{unit}"
    for unit in ("kw", "w", "mw"):
        yield f"power_{unit}"


def _shown_unit(draft: Draft, values: Sequence[int]) -> tuple[Unit | None, str]:
    """Return the unit that the file states, and where."""
    units = {unit for position in values if (unit := unit_in(draft.columns[position].name))}
    if len(units) == 1 and len(values) >= 1:
        (unit,) = units
        return unit, f"the column's name is {draft.columns[values[0]].name!r}"
    if len(units) > 1:
        raise draft.refuse(f"its columns are in different units: {', '.join(sorted(units))}; map those of one unit")
    columns = [column for column in draft.columns if column.shape == "unit"]
    if columns and values and (shown := _unit_of_column(draft, columns, values[0])):
        return shown
    if shown := _unit_in_texts(draft, values):
        return shown
    cells = [cell for row in draft.layout.preamble for cell in row if unit_of(cell) and len(cell) < 12]
    if len({unit_of(cell) for cell in cells}) == 1:
        return unit_of(cells[0]), f"{cells[0]!r} stands above the header"
    return None, ""


def _other_units(draft: Draft, values: Sequence[int], shown: Unit | None) -> dict[Unit, str]:
    """Return units that other places of the file name as that of the values, each with the place.

    Such a place is a line around the table that is labelled as the unit or holds units alone, and a column of units.
    """
    found: dict[Unit, str] = {}
    lines = [("above the header", row) for row in draft.layout.preamble]
    lines += [("below the table", split_fields(line, draft.file.delimiter)) for line in draft.layout.footer]
    for place, row in lines:
        cells = [cell for cell in row if cell]
        if not cells:
            continue
        labels = [_LABEL.match(cell) for cell in cells]
        named = [unit_of(cell) for cell in cells]
        if any(labels):
            named += [
                unit_of(cell[label.end() :].strip(" :=-()[]"))
                for cell, label in zip(cells, labels, strict=True)
                if label
            ]
        elif not all(named):
            continue
        found |= {unit: f"{' '.join(cells)[:40]!r} {place}" for unit in named if unit}
    for column in draft.columns:
        held = {unit_of(text) for text in column.distinct[:20]}
        if column.shape == "unit" and column.position not in values and _LABEL.match(column.name) and len(held) == 1:
            found |= {unit: f"the column {column.name!r}" for unit in held if unit}
    return {unit: place for unit, place in found.items() if unit != shown}


def _unit_in_texts(draft: Draft, values: Sequence[int]) -> tuple[Unit | None, str] | None:
    """Return the unit that texts of the rows state, such as `Active Import Interval (kW)`."""
    for column in draft.columns:
        units = {_unit_in_brackets(text) for text in column.distinct}
        if column.position in values or column.shape != "text" or len(column.distinct) > 20 or units <= {None}:
            continue
        listed = "|".join(re.escape(text) for text in column.distinct)
        further = draft.search(column.position, f"!^({listed})$")
        if None in units or len(units) > 1 or (further and _unit_in_brackets(further) not in units):
            shown = ", ".join(map(repr, (*column.distinct[:4], *([further] if further else []))))
            raise draft.refuse(f"{column.name!r} states different units: {shown}; choose rows with --where")
        (unit,) = units
        return unit, f"{column.name!r} says {column.distinct[0]!r}"
    return None


def _unit_in_brackets(text: str) -> Unit | None:
    match = re.search(r"[(\[]\s*([A-Za-z]+)\s*[)\]]", text)
    return unit_of(match[1]) if match else None


def _unit_of_column(draft: Draft, columns: Sequence[Column], value: int) -> tuple[Unit | None, str] | None:
    """Return the unit that the column of units nearest to the values holds in all rows of the file."""
    column = min(columns, key=lambda c: (c.position < value, abs(c.position - value)))
    texts = [text for text in column.distinct if unit_of(text) or foreign_unit_in(text)]
    if not texts:
        return None
    held = {unit_of(text) or text for text in texts}
    if len(held) == 1:
        listed = "|".join(re.escape(text) for text in column.distinct[:20])
        further = draft.search(column.position, f"!^({listed})$")
        held |= {f"{further} further down"} if further else set()
    if len(held) > 1:
        raise draft.refuse(
            f"{column.name!r} holds different units: {', '.join(sorted(held))}; choose rows with --where"
        )
    unit = unit_of(texts[0])
    if unit is None:
        raise draft.refuse(f"its values are in {texts[0]}, which is not active energy or power")
    return unit, f"the column {column.name!r}"
