"""A delimited file understood: every column's role, with the evidence, or the question that has to be answered first.

What the user states (`Answers`) comes first, and is checked against the file: a mapping that the file contradicts is
refused, unless `as_mapped` insists on it. What nobody states is recognised. Where two readings are possible and a
total depends on which one is right, there is a question; only the start or end of intervals may be assumed, for that
moves readings by one interval and changes no total.
"""

from __future__ import annotations

from collections.abc import Sequence

from include.energy.inspection.columns import ESTIMATED, QUALITY
from include.energy.inspection.draft import Draft, Search
from include.energy.inspection.layout import Layout
from include.energy.inspection.mapping import EVERY
from include.energy.inspection.plan import ZONE, Answers, ReadingPlan, Understanding
from include.energy.inspection.rows import (
    are_directions,
    choose_rows,
    find_meter,
    find_registers,
    name_household,
    require_households,
    require_no_total,
    where,
)
from include.energy.inspection.spelling import shape_of
from include.energy.inspection.times import find_ends, find_stamps, find_zone, hour_name, spell, times_in_header
from include.energy.inspection.units import find_unit
from include.energy.inspection.values import (
    find_day_total,
    find_flows,
    find_values,
    flow_field,
    is_cumulative,
    spell_numbers,
    state_direction,
)
from include.energy.schemas import Unit


def understand(layout: Layout, answers: Answers, search: Search) -> Understanding:
    """Return what a delimited file is, and how to read it.

    Args:
        layout: Where its table stands, with a sample of its rows.
        answers: What the user states.
        search: Looks for a text in the complete file, where the sample does not decide.

    Raises:
        BadInputError: The user names a column that the file does not have, or states what the file contradicts.
    """
    draft = Draft(layout, answers, search)
    if preset := answers.preset:
        shown = preset.sources[0] if preset.is_tried else "untried: it names no public description"
        draft.state("format", f"{preset.name}: {preset.title}", shown)
    _describe_table(draft)
    draft.require_columns()
    selected = where(draft)
    draft.select(selected)
    mapped = [draft.position(name, draft.role(name)) for name in draft.mapping.names]
    spread = times_in_header(draft)
    stamps, ranges, period = find_stamps(draft, spread)
    spelling, order = spell(draft, stamps, spread, ranges=ranges)
    taken = {*stamps, *mapped}
    constant = {choice.position for choice in selected if choice.is_read and len(choice.texts) == 1}
    meter, household = find_meter(draft, stamps, {*stamps, *constant})
    register = find_registers(draft)
    values, wide = find_values(draft, taken | ({meter} if meter is not None else set()), spread)
    state_direction(draft, values)
    if meter is None and household is None and not wide:
        household = name_household(draft)
    if not selected:
        selected = choose_rows(draft, stamps, meter, values)
        draft.select(selected)
    asked = any(question.topic == "rows" for question in draft.questions)
    if meter is not None and draft.mapping.household_id is None and not asked and are_directions(draft.columns[meter]):
        require_households(draft, draft.columns[meter])
    require_no_total(draft, stamps, meter, values)
    unit = find_unit(draft, values)
    cumulative = is_cumulative(draft, values, meter, unit, stamps)
    unfolded = bool(spread) or wide
    flows = find_flows(draft, values, unit, meter=meter, cumulative=cumulative, unfolded=unfolded)
    decimal, thousands = spell_numbers(draft, values)
    utc = find_zone(draft, stamps, spelling, spread)
    ends = find_ends(draft, stamps, spelling, order, spread, ranges=ranges, period=period, cumulative=cumulative)
    quality = _find_quality(draft, wide=wide)
    if wide:
        draft.state("households", f"{len(values)}, one for each column", ", ".join(draft.names(values[:4])))
    plan = None
    open_questions = [question for question in draft.questions if question.topic != ZONE]
    if not open_questions and order and unit and values and decimal:
        plan = ReadingPlan(
            file=draft.file,
            stamps=stamps,
            spelling=spelling,
            order=order,
            unit=unit,
            values=values,
            period_minutes=period,
            ranges=ranges,
            ends=ends,
            utc=utc,
            meter=meter,
            household=household,
            spread=spread,
            cumulative=cumulative,
            decimal=decimal,
            thousands=thousands,
            where=selected,
            quality=quality,
            voltage=draft.optional(draft.mapping.voltage),
            current=draft.optional(draft.mapping.current),
            flows=flows,
            day_total=find_day_total(draft, spread, unit, taken) if unit and not cumulative else None,
            register=register,
            roles={text: role for role, texts in draft.mapping.roles.items() for text in texts},
        )
    mapping = _command(draft, stamps, meter, household, values, unit, cumulative=cumulative)
    proposed = draft.directions[0] if draft.directions else None
    options = tuple(
        f"{draft.name(c.position)}={'|'.join(c.texts)}" for c in selected if c.is_read and c.position != proposed
    )
    return Understanding(tuple(draft.statements), tuple(draft.questions), plan, mapping, options)


def _describe_table(draft: Draft) -> None:
    file, layout = draft.file, draft.layout
    if layout.preamble:
        draft.state("preamble", f"{len(layout.preamble)} lines", " | ".join(filter(None, layout.preamble[0]))[:60])
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar", " ": "blanks"}
    draft.state("delimiter", names[file.delimiter])
    if layout.has_header:
        draft.state("header", f"line {file.header_line}", ", ".join(map(repr, file.columns[:8])))
    else:
        draft.state("header", "none: columns are named #1, #2, …", "the first line holds a reading")
    if file.repeated_header:
        draft.state("repeated header", "left out", "the header's line stands again between records")
    if layout.footer:
        draft.state("footer", f"{len(layout.footer)} lines after line {file.last_line}", layout.footer[0][:60])


def _find_quality(draft: Draft, *, wide: bool) -> tuple[int, tuple[str, ...]] | None:
    """Return the column that says how readings were obtained, with its texts that mean "estimated".

    None where several columns may, and each value column is a household: it is open whose quality each one states.
    """
    found = [
        column
        for column in draft.columns
        if column.shape == "text" and QUALITY.search(column.name) and len(column.distinct) <= 12
    ]
    if not found or (wide and len(found) > 1):
        return None
    column = found[0]
    estimated = tuple(text for text in column.distinct if ESTIMATED.match(text))
    draft.state("quality", f"{column.name!r}: {', '.join(column.distinct[:6])}", "")
    return column.position, estimated


def _command(
    draft: Draft,
    stamps: Sequence[int],
    meter: int | None,
    household: str | None,
    values: Sequence[int],
    unit: Unit | None,
    *,
    cumulative: bool,
) -> str:
    """Return the mapping that states what was understood."""
    parts = [f"timestamp={draft.name(position)}" for position in stamps]
    wide = meter is None and household is None
    parts.append(f"household_id={EVERY if wide else f'@{household}' if meter is None else draft.name(meter)}")
    kind = "register" if cumulative else "energy" if (unit or "kWh").endswith("Wh") else "power"
    field = draft.mapping.field or f"{kind}_{(unit or 'kWh').lower()}"
    parts += [f"{field}={draft.name(position)}" for position in values if not _is_spread(draft, position)]
    for flow, names in draft.mapping.flows.items():
        parts += [f"{flow}={name}" for name in names]
    if not draft.mapping.flows and unit and not wide:
        for flow, positions in draft.flows.items():
            parts += [f"{flow_field(flow, unit, cumulative=cumulative)}={draft.name(p)}" for p in positions]
    column, roles = draft.directions or (None, {})
    if draft.mapping.register:
        column, roles = draft.position(draft.mapping.register, "register"), draft.mapping.roles
    if column is not None:
        parts += [f"register={draft.name(column)}", *(f"{role}={'|'.join(texts)}" for role, texts in roles.items())]
    return ",".join(parts)


def _is_spread(draft: Draft, position: int) -> bool:
    return shape_of(hour_name(draft.columns[position].name)) in ("stamp", "time")
