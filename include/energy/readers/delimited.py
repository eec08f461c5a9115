"""Delimited text: understood first (see `include.energy.inspection`), then read by DuckDB as the plan says.

It is the fallback for text: a reader that recognises a format of its own is surer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.core.tables import literal
from include.energy.inspection.layout import find_table
from include.energy.inspection.mapping import OWN_COLUMNS
from include.energy.inspection.plan import ZONE, Answers, Choice, ReadingPlan, Understanding
from include.energy.inspection.spelling import clock_sql, literal_list, number_text_sql
from include.energy.inspection.understanding import understand
from include.energy.lines import EMPTY, LineFile, not_text, split_header
from include.energy.params import GeneratorParams, answers_of
from include.energy.presets import with_preset
from include.energy.readers.base import SURE, Clock, Confidence, MeterData, Sample
from include.energy.schemas import COLUMNS, FLOWS, MEASURED
from include.energy.stamps import CLOCK_SQL, ZONED_SQL

if TYPE_CHECKING:
    import duckdb


class DelimitedReader:
    """Reads delimited text, plain or gzip."""

    name = "delimited text"

    def sniff(self, sample: Sample, params: GeneratorParams) -> Confidence:
        """Accept any text with a line that is not blank, for its read() names what is wrong with the rest."""
        if reason := not_text(sample.head, sample.name):
            return Confidence(0, reason)
        if not split_header(sample.head)[1]:
            return Confidence(0, EMPTY)
        return Confidence(SURE, "is text with a first line that may be a header")

    def read(self, sample: Sample, params: GeneratorParams, db: duckdb.DuckDBPyConnection) -> MeterData:
        """Take the lines apart, in one relation that DuckDB streams.

        Raises:
            BadInputError: The file is not readable text, a question about it is open, or the user states what it
                contradicts.
        """
        understanding, own = inspect_text(sample, answers_of(params), db)
        # Whether stamps need a zone is told from all of them, not from a sample.
        questions = [question for question in understanding.questions if question.topic != ZONE]
        if understanding.plan is None:
            asked = "; ".join(f"{q.text}: say which with {' or '.join(q.options)}" for q in questions)
            raise BadInputError(
                f"{sample.name}: {asked}; ./pipeline inspect {sample.name} shows all that is understood"
            )
        plan = understanding.plan
        findings: list[Finding] = []
        return MeterData(
            batches=_batches(plan, db, findings),
            findings=findings,
            unit=plan.unit,
            measured=tuple(column for column in MEASURED if getattr(plan, column) is not None),
            states_quality=plan.quality is not None,
            columns=plan.file.columns,
            delimiter=plan.file.delimiter,
            clock=clock_of(plan),
            clocked=_is_unfolded(plan) and not plan.spread,
            ends=plan.ends,
            cumulative=plan.cumulative,
            flows=tuple(plan.flows),
            roles=None if plan.register is None else plan.roles,
            unfolded=_is_unfolded(plan),
            summed=1 if _is_unfolded(plan) else len(plan.values),
            drops_empty=not own,
            statements=understanding.statements,
            all_malformed=(
                f"none of its records has as many fields as its header, which names {len(plan.file.columns)}; is there "
                "a delimiter too many at the ends of its lines?"
            ),
        )


def inspect_text(sample: Sample, answers: Answers, db: duckdb.DuckDBPyConnection) -> tuple[Understanding, bool]:
    """Return what is understood of a text file, and whether its columns are those of `energy_data.csv`."""
    layout = find_table(sample.path, sample.name)
    if answers.preset:
        answers = with_preset(answers, answers.preset, layout.file.columns)
    if not sample.alone:
        answers = replace(answers, several_files=True)
    own = answers.mapping is None and set(COLUMNS[:3]) <= set(layout.file.columns)
    if own:
        voltage, current = (column if column in layout.file.columns else None for column in MEASURED)
        answers = replace(answers, mapping=replace(OWN_COLUMNS, voltage=voltage, current=current), own=True)

    def search(position: int, pattern: str, choices: Sequence[Choice]) -> str | None:
        if layout.complete:
            return None
        field = layout.file.field_at_sql(position)
        records = f"{layout.file.records_sql()}) WHERE ({chosen_sql(layout.file, choices)}"
        row = db.execute(
            f"SELECT field FROM (SELECT {field} AS field FROM ({records})) "
            f"WHERE {'NOT ' * pattern.startswith('!')}regexp_matches(field, {literal(pattern.lstrip('!'))}) LIMIT 1"
        ).fetchone()
        return str(row[0]) if row else None

    try:
        return understand(layout, answers, search), own
    except BadInputError as error:
        if answers.preset is None:
            raise
        name = answers.preset.name
        remedy = f"./pipeline formats {name} shows what the format {name} states, ./pipeline inspect what the file is"
        raise BadInputError(f"{error}; {remedy}") from None


def chosen_sql(file: LineFile, choices: Sequence[Choice]) -> str:
    """Return SQL of whether a record counts."""
    conditions = [
        f"coalesce({file.field_at_sql(position)}, '') {'' if is_read else 'NOT '}IN ({', '.join(map(literal, texts))})"
        for position, texts, is_read in choices
    ]
    return " AND ".join(conditions) or "true"


def clock_of(plan: ReadingPlan) -> Clock | None:
    """Return how stamps are read, None where the general spelling of `include.energy.stamps` covers it."""
    if plan.period_minutes:
        date = clock_sql(replace(plan.spelling, shape="date"), plan.order, "split_part(stamp, ' ', 1)")
        day = date or "try_cast(split_part(stamp, ' ', 1) AS TIMESTAMP)"
        number = "try_cast(split_part(stamp, ' ', 2) AS INTEGER)"
        return Clock(f"{day} + to_minutes(({number} - 1) * {plan.period_minutes})", zoned="false", day=day)
    clock = clock_sql(plan.spelling, plan.order)
    if clock is None and not plan.utc:
        return None
    if plan.spelling.shape in ("unix", "unix_ms"):
        return Clock(clock or "NULL", zoned="true")
    return Clock(clock, zoned="true" if plan.utc else "false" if clock else None)


def _batches(
    plan: ReadingPlan, db: duckdb.DuckDBPyConnection, findings: list[Finding]
) -> Iterator[duckdb.DuckDBPyRelation]:
    with plan.file.stored_lines(db) as numbered:
        yield db.sql(readings_sql(plan, numbered))
        findings += compare_day_totals(plan, numbered, db)


def compare_day_totals(plan: ReadingPlan, numbered: str | None, db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Yield whether the totals of days that a file states are the sums of the values beside them.

    Compared are the rows that have a total and a value for each hour. Each number is rounded to its last digit, so a
    sum may differ from its total by half a unit of the last digit for each of them.

    Args:
        plan: How readings are taken from the fields.
        numbered: As of `LineFile.records_sql()`.
        db: Where it is computed.
    """
    if plan.day_total is None:
        return
    position, factor = plan.day_total
    name = plan.file.name_of(position)
    cells = [number_text_sql(plan.file.field_at_sql(p), plan.decimal, plan.thousands) for p in plan.values]
    regular = max(count for count in (1, 24, 48, 96, 144, 288, 1440) if count <= len(cells))
    places = "CASE WHEN contains(t, '.') THEN len(t) - strpos(t, '.') ELSE 0 END"
    summed = f"list_sum(list_transform(cells, lambda t: coalesce({_EXACT.format('t')}, 0)))"
    rows = db.execute(f"""
        WITH texts AS (
            SELECT line_number, {_number_sql(plan, position)} AS total, [{", ".join(cells)}] AS cells
            FROM ({_counted_records(plan, numbered)}) WHERE NOT malformed
        ), compared AS (
            SELECT line_number, {_EXACT.format("total")}::DOUBLE AS total, {summed}::DOUBLE * {factor!r} AS sum,
                list_max(list_transform(list_filter([total], lambda t: t IS NOT NULL), lambda t: {places})) AS of_total,
                list_max(list_transform(list_filter(cells, lambda t: t IS NOT NULL), lambda t: {places})) AS of_cells
            FROM texts WHERE len(list_filter(cells, lambda t: {_EXACT.format("t")} IS NOT NULL)) >= {regular}
        ), judged AS (
            SELECT *, 0.5 * (pow(10, -of_total) + {len(cells)} * {factor!r} * pow(10, -of_cells)) AS tolerance
            FROM compared WHERE total IS NOT NULL
        )
        SELECT count(*), count(*) FILTER ({_DIFFERS}), max(tolerance),
            arg_min((line_number, total, sum), line_number) FILTER ({_DIFFERS}) FROM judged
    """).fetchall()
    ((days, wrong, tolerance, first),) = rows
    where = f"{plan.file.name}: the day totals in {name!r}"
    if wrong:
        line, total, counted = first
        message = (
            f"{where} differ in {wrong:,} of {days:,} days from the sum of the values, by more than rounding explains "
            f"({tolerance:.3g}); the first: line {line}, {total:,.6g} for {counted:,.6g}. The values count."
        )
        yield Finding(severity="warning", message=message)
    elif days:
        yield Finding(severity="info", message=f"{where} are the sums of the values, on {days:,} days.")


_DIFFERS = "abs(total - sum) > tolerance + 1e-9"
_EXACT = "try_cast({} AS DECIMAL(24, 9))"


def _counted_records(plan: ReadingPlan, numbered: str | None) -> str:
    """Return SQL of the records that count; malformed ones do."""
    records = plan.file.records_sql(numbered)
    if plan.where:
        records = f"SELECT * FROM ({records}) WHERE malformed OR ({chosen_sql(plan.file, plan.where)})"
    return records


def readings_sql(plan: ReadingPlan, numbered: str | None = None) -> str:
    """Return SQL of the file's readings, with the columns of `Reading`, and of its `Clock` (see `MeterData.clocked`).

    Args:
        plan: How they are taken from the fields.
        numbered: As of `LineFile.records_sql()`.
    """
    file = plan.file
    estimated = "false"
    if plan.quality and plan.quality[1]:
        estimated = (
            f"coalesce({file.field_at_sql(plan.quality[0])} IN ({', '.join(map(literal, plan.quality[1]))}), false)"
        )
    records = _counted_records(plan, numbered)
    row = {
        "household_id": _household_sql(plan),
        "stamp": _stamp_sql(plan),
        "voltage": "NULL" if plan.voltage is None else _number_sql(plan, plan.voltage),
        "current": "NULL" if plan.current is None else _number_sql(plan, plan.current),
        **{flow: _sum_sql(plan, plan.flows[flow]) if flow in plan.flows else "NULL" for flow in FLOWS},
        "quality": "NULL" if plan.quality is None else file.field_at_sql(plan.quality[0]),
        "register": "NULL" if plan.register is None else file.field_at_sql(plan.register),
        "field": "NULL",
    }
    if plan.ranges and not plan.spread:
        row["stamp"] = _first_of_range(row["stamp"], plan)
    clocks = ""
    if _is_unfolded(plan):  # what the readings of a row share is taken from its fields once
        shared = ", ".join(f"{text} AS {name}" for name, text in row.items())
        rows = f"SELECT line_number, malformed, fields, {shared}, {estimated} AS estimated FROM ({records})"
        if not plan.spread:
            clock, clocks = clock_of(plan) or Clock(None), ", zoned, clock"
            rows = f"SELECT * REPLACE (CASE WHEN NOT malformed THEN stamp END AS stamp) FROM ({rows})"
            rows = f"SELECT *, {clock.zoned or ZONED_SQL} AS zoned FROM ({rows})"
            rows = f"SELECT *, {clock.time or CLOCK_SQL} AS clock FROM ({rows})"
        cells = f"SELECT * EXCLUDE (fields), {_cells_sql(plan)} FROM ({rows})"
        records = f"SELECT * REPLACE ({file.filled_field_sql('value')} AS value) FROM ({cells})"
        if plan.period_minutes:  # the 25th hour of a day is empty on all days but one, and is missing on none
            regular = f"CAST(name AS INTEGER) <= {1440 // plan.period_minutes}"
            records = f"SELECT * FROM ({records}) WHERE malformed OR value IS NOT NULL OR {regular}"
        row, estimated = {name: name for name in row} | {"field": "cell"}, "estimated"
        if plan.household is None and plan.meter is None:
            row["household_id"] = "name"
        if plan.spread:
            row["stamp"] = "stamp || ' ' || name" if plan.stamps else "name"
            row["stamp"] = _first_of_range(row["stamp"], plan) if plan.ranges else row["stamp"]
    values = {**row, "power": _value_sql(plan)}
    texts = ", ".join(f"CASE WHEN NOT malformed THEN {values[name]} END AS {name}" for name in _TEXTS)
    return f"SELECT line_number AS line, {texts}, malformed, {estimated} AS estimated{clocks} FROM ({records})"


_TEXTS = ("household_id", "stamp", "power", "voltage", "current", "quality", *FLOWS, "field", "register")


def _is_unfolded(plan: ReadingPlan) -> bool:
    """Return whether a row holds several readings."""
    return bool(plan.spread) or (plan.household is None and plan.meter is None)


def _cells_sql(plan: ReadingPlan) -> str:
    """Return SQL that unfolds a row: `value`, `name` and `cell` (its column) of its readings; one if malformed."""
    lists = {
        "value": plan.file.fields_at_sql(plan.values),
        "name": literal_list(plan.spread.get(position) or plan.file.columns[position] for position in plan.values),
        "cell": literal_list(map(plan.file.name_of, plan.values)),
    }
    return ", ".join(f"unnest(CASE WHEN malformed THEN [''] ELSE {sql} END) AS {name}" for name, sql in lists.items())


def _household_sql(plan: ReadingPlan) -> str:
    if plan.household is not None or plan.meter is None:
        return literal(plan.household or "")
    field = plan.file.field_at_sql(plan.meter)
    return f"regexp_replace({field}, '^=\"(.*)\"$', '\\1')" if plan.file.quoted else field


def _stamp_sql(plan: ReadingPlan) -> str:
    """Return SQL of the part of a stamp that a row's fields hold."""
    fields = [plan.file.field_at_sql(position) for position in plan.stamps]
    if len(fields) + bool(plan.spread) > 1 and plan.spelling.shape == "stamp" and not plan.period_minutes:
        fields[0] = f"regexp_replace({fields[0]}, '[T ]0?0:00(:00)?(\\.0+)?$', '')"
    return " || ' ' || ".join(fields) or "NULL"


def _first_of_range(stamp: str, plan: ReadingPlan) -> str:
    slash = "" if plan.spelling.separator == "/" else "/"
    return f"trim(regexp_replace({stamp}, ' (to|until|bis|tot|a|à|-|–|—) .*$|\\s*[–—{slash}]\\s*\\d.*$', ''))"


def _value_sql(plan: ReadingPlan) -> str:
    if _is_unfolded(plan):
        return number_text_sql("value", plan.decimal, plan.thousands)
    return _sum_sql(plan, plan.values)


def _sum_sql(plan: ReadingPlan, positions: Sequence[int]) -> str:
    """Return SQL of the sum of columns; NULL where all are empty."""
    fields = [_number_sql(plan, position) for position in positions]
    if len(fields) == 1:
        return fields[0]
    numbers = ", ".join(f"try_cast({field} AS DECIMAL(24, 9))" for field in fields)
    total = " + ".join(f"try_cast({field} AS DECIMAL(24, 9))" for field in fields)
    unread = ", ".join(f"CASE WHEN try_cast({field} AS DOUBLE) IS NULL THEN {field} END" for field in fields)
    empty = " AND ".join(f"{field} IS NULL" for field in fields)
    missing = " OR ".join(f"{field} IS NULL" for field in fields)
    return (
        f"CASE WHEN {empty} THEN NULL WHEN {missing} THEN 'incomplete sum' "
        f"WHEN len(list_filter([{numbers}], lambda n: n IS NULL)) > 0 THEN coalesce({unread}) "
        f"ELSE CAST(({total}) AS VARCHAR) END"
    )


def _number_sql(plan: ReadingPlan, position: int) -> str:
    return number_text_sql(plan.file.field_at_sql(position), plan.decimal, plan.thousands)


READER = DelimitedReader()
