"""Whose readings a file holds, and which of its rows count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from include.energy.inspection.columns import (
    CHOICE,
    DIRECTION,
    EXPORT,
    GENERATION,
    IMPORT,
    KIND,
    METER,
    QUALITY,
    REGISTER_NAME,
    TARIFF,
    Column,
    spaced,
)
from include.energy.inspection.draft import Draft
from include.energy.inspection.mapping import EVERY, FILE
from include.energy.inspection.plan import Choice
from include.energy.inspection.spelling import unit_in
from include.energy.inspection.values import as_number

if TYPE_CHECKING:
    from include.energy.presets import Rows

REPEATED_SHARE = 0.3
TIMES_COMPARED = 5
SUM_TOLERANCE = 1e-3


def where(draft: Draft) -> tuple[Choice, ...]:
    """Return which rows count, as the user or the preset states it."""
    selected: dict[int, list[str]] = {}
    for part in draft.answers.where:
        name, equals, texts = part.partition("=")
        if not equals:
            raise draft.refuse(f'--where {part!r} is not COLUMN=TEXT; for example: --where "Type=Actual"')
        position = draft.position(name.strip(), "--where")
        column = draft.columns[position]
        wanted = [text.strip() for text in texts.split("|")]
        for text in wanted:
            if text not in column.distinct and draft.layout.complete:
                held = ", ".join(map(repr, column.distinct[:8]))
                raise draft.refuse(f"--where {name}={text}: no record holds {text!r}; {name!r} holds {held}")
        selected.setdefault(position, []).extend(wanted)
    by_register = draft.mapping.register and draft.position(draft.mapping.register, "register")
    for position, wanted in selected.items():
        draft.state("rows", f"only those with {draft.name(position)!r} = {' or '.join(wanted)}", "stated by the user")
    return (
        *(Choice(position, tuple(wanted)) for position, wanted in selected.items()),
        *(
            choice
            for name, rows in draft.answers.rows.items()
            if (position := draft.position(name, "rows")) not in selected and position != by_register
            for choice in _preset_rows(draft, draft.columns[position], rows)
        ),
    )


def _preset_rows(draft: Draft, column: Column, rows: Rows) -> Iterator[Choice]:
    """Yield which rows a preset reads by a column; a text that it does not know is refused."""
    known = {*rows.read, *rows.leave_out}
    unknown = [text for text in column.distinct if text not in known]
    if "*" not in known and not unknown:
        listed = "|".join(map(re.escape, known))
        unknown = [text] if (text := draft.search(column.position, f"!^({listed})$")) else []
    if "*" not in known and unknown:
        raise draft.refuse(
            f"{column.name!r} holds {unknown[0]!r}, which the format neither reads ({', '.join(rows.read)}) nor leaves "
            f'out; say which rows count, for example --where "{column.name}={"|".join(rows.read)}"'
        )
    read = [text for text in column.distinct if text in rows.read or ("*" in rows.read and text not in rows.leave_out)]
    if not read and draft.layout.complete:
        raise draft.refuse(
            f"{column.name!r} holds {', '.join(map(repr, column.distinct[:8]))}, and the format reads only rows with "
            f"{' or '.join(rows.read)}; say which rows count with --where"
        )
    evidence = draft.stated_by("rows")
    if "*" not in rows.read:
        draft.state("rows", f"only those with {column.name!r} = {' or '.join(read or rows.read)}", evidence)
    if left := [text for text in column.distinct if text not in read]:
        shown = f"{', '.join(left[:8])}{' and others' * (len(left) > 8)}"
        draft.state("not selected", f"{column.name!r} = {shown}", evidence)
    yield Choice(column.position, rows.leave_out, False) if "*" in rows.read else Choice(column.position, rows.read)


def find_meter(draft: Draft, stamps: Sequence[int], taken: set[int]) -> tuple[int | None, str | None]:
    """Return the column of the households' names, or the name that the user gives the one household.

    Args:
        draft: What is understood so far.
        stamps: Columns of the stamp.
        taken: Columns that hold something else.
    """
    mapping = draft.mapping
    if mapping.household is not None:
        household = _called(draft) if mapping.household == FILE else mapping.household
        draft.state("household", household, draft.stated_by("household_id"))
        return None, household
    if mapping.household_id == EVERY:
        return None, None
    if mapping.household_id is not None:
        column = draft.columns[draft.position(mapping.household_id, "household_id")]
        require_households(draft, column)
        draft.state("households", f"{len(column.distinct)} in {column.name!r}", draft.stated_by("household_id"))
        return column.position, None
    candidates = [
        column
        for column in draft.columns
        if column.position not in taken
        and column.shape in ("text", "number")
        and METER.search(column.name)
        and not QUALITY.search(column.name)
        and not KIND.search(spaced(column.name))
        and unit_in(column.name) is None
        and not REGISTER_NAME.search(column.name.replace("_", " "))
        and (
            column.shape == "text"
            or len(column.distinct) <= max(1, len(column.texts) // 20)
            or _are_numbers_of_meters(draft, column, stamps)
        )
        and not any(CHOICE.match(text) for text in column.distinct)
    ]
    if candidates:
        column = max(candidates, key=lambda column: len(column.distinct))
        shown = ", ".join(column.distinct[:3])
        draft.state("households", f"{len(column.distinct)} in {column.name!r}", f"for example {shown}")
        return column.position, None
    return None, None


def _are_numbers_of_meters(draft: Draft, column: Column, stamps: Sequence[int]) -> bool:
    """Return whether whole numbers name meters: each occurs once at a time, and about as often as the others."""
    rows = [row for row in draft.layout.rows if column.position < len(row) and row[column.position]]
    times = Counter((*(row[p] for p in stamps if p < len(row)), row[column.position]) for row in rows)
    readings = Counter(row[column.position] for row in rows)
    if not stamps or not all(text.isdigit() for text in readings) or len(readings) < 2:
        return False
    shared = len({time[:-1] for time in times}) <= len(rows) * (1 - REPEATED_SHARE)
    return shared and max(times.values()) == 1 and min(readings.values()) > 1 and (
        max(readings.values()) <= 2 * min(readings.values())
    )  # fmt: skip


def require_no_total(draft: Draft, stamps: Sequence[int], meter: int | None, values: Sequence[int]) -> None:
    """Refuse a household, or a column, that is the sum of all others, for a total would count it twice."""
    by_time: dict[tuple[str, ...], dict[str, float]] = {}
    columns = dict(zip(values, draft.names(values), strict=True))
    for row in draft.layout.rows if stamps and (meter is None) != (len(values) == 1) else ():
        numbers = by_time.setdefault(tuple(row[p] for p in stamps if p < len(row)), {})
        for position in values:
            if position < len(row) and (number := as_number(row[position])) is not None:
                numbers[columns[position] if meter is None else row[meter]] = number
    names = set().union(*by_time.values()) if by_time else set()
    complete = [numbers for numbers in by_time.values() if len(numbers) == len(names)]
    if len(names) < 3 or len(complete) < TIMES_COMPARED:
        return
    for name in names:
        if all(
            numbers[name] and abs(sum(numbers.values()) - 2 * numbers[name]) <= SUM_TOLERANCE * abs(numbers[name])
            for numbers in complete
        ):
            others = sorted(names - {name})
            shown = f"{', '.join(others[:4])}{' and others' * (len(others) > 4)}"
            remedy = "map the columns that count with --columns"
            if meter is not None:
                column = draft.name(meter)
                remedy = (
                    f'choose rows: --where "{column}={name}" reads the total, --where "{column}={"|".join(others)}" '
                    "its parts"
                )
            draft.contradict(f"{name!r} is at every time the sum of {shown}, and would be counted beside them", remedy)


def find_registers(draft: Draft) -> int | None:
    """Return the column that says which register a row is a reading of, where the user maps it.

    Only one register stays in the sample: what its values are, those of the others are too.
    """
    if draft.mapping.register is None:
        return None
    column = draft.columns[draft.position(draft.mapping.register, "register")]
    roles = {text: role for role, texts in draft.mapping.roles.items() for text in texts}
    held = column.distinct
    if missing := [text for text in roles if draft.layout.complete and text not in held]:
        shown = ", ".join(map(repr, held[:8]))
        raise draft.refuse(f"register {missing[0]!r}: no record holds it; {column.name!r} holds {shown}")
    for role, texts in draft.mapping.roles.items():
        draft.state(role, f"{column.name!r} = {' + '.join(texts)}", "stated by the user")
    if not roles:
        draft.state(
            "registers", ", ".join(held[:8]), f"in {column.name!r}; the description of meters states their roles"
        )
    counted = Counter(text for text in column.texts if text in draft.mapping.roles.get("import", held))
    if counted:
        draft.select((Choice(column.position, (counted.most_common(1)[0][0],)),))
    return column.position


def _called(draft: Draft) -> str:
    """Return what a household is called after its file."""
    return re.sub(r"[^\w.-]+", "_", PurePath(draft.file.name).stem)


def name_household(draft: Draft) -> str:
    """Return the name of the one household of a file that names none."""
    if draft.answers.several_files:
        draft.ask(
            "household",
            "no column names a meter, and there are several files or sheets: they may be of one household or of one "
            "each",
            '--columns "household_id=@HOME"',
            f'--columns "household_id=@{FILE}"',
        )
    called = _called(draft)
    draft.state("household", called, "no column names a meter; it is called after the file", assumed=True)
    return called


def are_directions(column: Column) -> bool:
    """Return whether names differ by words of import and export alone: `grid_import`, `grid_export`."""
    texts = column.distinct[:50]
    stems = ({word.sub("", text) for text in texts if word.search(text)} for word in (EXPORT, IMPORT))
    exports, imports = stems
    return bool(exports & imports)


def require_households(draft: Draft, column: Column) -> None:
    """Refuse a column whose texts are registers or kinds of data, not households."""
    directions = {bool(EXPORT.search(text)) for text in column.distinct[:50]}
    registers = directions == {True, False} and REGISTER_NAME.search(column.name.replace("_", " "))
    if registers or (directions == {True, False} and any(IMPORT.search(text) for text in column.distinct[:50])):
        imports = "|".join(text for text in column.distinct if not EXPORT.search(text))
        draft.contradict(
            f"the column {column.name!r} holds registers, not households: {', '.join(column.distinct[:6])}",
            f'choose rows, for example --where "{column.name}={imports}" with household_id=@NAME',
        )
    elif any(CHOICE.match(text) for text in column.distinct[:50]) and len(column.distinct) > 1:
        draft.contradict(
            f"the column {column.name!r} holds kinds of data, not households: {', '.join(column.distinct[:6])}",
            f'choose one, for example --where "{column.name}={column.distinct[0]}"',
        )


def _choose_directions(draft: Draft, taken: set[int]) -> tuple[Choice, ...]:
    """Return the rows of import where a column says the direction of each row, whatever meter it belongs to."""
    for column in draft.columns:
        if column.position in taken or column.shape != "text" or not 2 <= len(column.distinct) <= 20:
            continue
        exports = [text for text in column.distinct if EXPORT.search(text)]
        imports = tuple(text for text in column.distinct if text not in exports and IMPORT.search(text))
        others = [text for text in column.distinct if text not in exports and text not in imports]
        named = KIND.search(spaced(column.name)) or DIRECTION.search(column.name)
        if not exports or not imports or not (named or all(TARIFF.search(text) for text in others)):
            continue
        if not others or all(TARIFF.search(text) for text in others):
            return (_leave_out(draft, column, (*imports, *others), exports),)
        draft.ask(
            "rows",
            f"{column.name!r} tells import from export and more: {', '.join(column.distinct[:8])}",
            f'--where "{draft.name(column.position)}={"|".join(imports)}"',
        )
    return ()


def _as_registers(draft: Draft, column: Column) -> Iterator[str]:
    """Yield how the rows of a time are joined where they are registers of one meter."""
    if not any(CHOICE.match(text) for text in column.distinct):
        yield f'--columns "register={draft.name(column.position)},import={column.distinct[0]}"'


def _leave_out(draft: Draft, column: Column, imports: tuple[str, ...], exports: Sequence[str]) -> Choice:
    """Return the rows of import; what is fed in is read where the user maps it, which `inspect` proposes."""
    draft.state("registers", f"import: {', '.join(imports)}", f"in the column {column.name!r}")
    remedy = "what is fed into the grid is read where --columns states it: register=…,import=…,export=…"
    draft.state("not selected", ", ".join(exports), remedy)
    if not any(GENERATION.search(text) for text in exports):
        draft.directions = column.position, {"import": imports, "export": tuple(exports)}
    return Choice(column.position, imports)


def _require_no_signs(draft: Draft, taken: set[int]) -> None:
    """Refuse a column that holds the sign of each value: without it, what was fed in would count as drawn."""
    for column in draft.columns:
        texts = {text.strip() for text in column.distinct}
        if column.position not in taken and "+" in texts and texts & {"-", "−"} and texts <= {"+", "-", "−"}:
            name = draft.name(column.position)
            draft.ask(
                "rows",
                f"{column.name!r} holds the sign of each value, + or −, without which its direction is not known",
                f'--where "{name}=+"',
                f'--where "{name}={(texts - {"+"}).pop()}"',
            )


def choose_rows(
    draft: Draft,
    stamps: tuple[int, ...],
    meter: int | None,
    values: tuple[int, ...],
) -> tuple[Choice, ...]:
    """Return which rows to read where several share one household and time, told apart by another column."""
    taken = {*stamps, *values, *(() if meter is None else (meter,))}
    _require_no_signs(draft, taken)
    if chosen := _choose_directions(draft, taken):
        return chosen
    if not stamps or not values:
        return ()
    rows = draft.layout.rows

    def repeated(*more: int) -> float:
        key = (*stamps, *([] if meter is None else [meter]), *more)
        keys = [tuple(row[p] if p < len(row) else "" for p in key) for row in rows]
        return 1 - len(set(keys)) / len(keys)

    if repeated() < REPEATED_SHARE:
        return ()
    for column in draft.columns:
        if column.position in (*stamps, *values, meter) or column.shape != "text":
            continue
        if not 2 <= len(column.distinct) <= 20 or repeated(column.position) > repeated() / 10:
            continue
        exports = [text for text in column.distinct if EXPORT.search(text)]
        imports = tuple(text for text in column.distinct if not EXPORT.search(text))
        if exports and imports and all(IMPORT.search(text) or TARIFF.search(text) for text in imports):
            return (_leave_out(draft, column, imports, exports),)
        draft.ask(
            "rows",
            f"several rows share one household and time; {column.name!r} tells them apart: "
            + ", ".join(column.distinct[:8]),
            *(f'--where "{draft.name(column.position)}={text}"' for text in column.distinct[:8]),
            *_as_registers(draft, column),
        )
        return ()
    return ()
