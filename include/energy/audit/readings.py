"""The generator's artifacts recomputed: synthetic days generated again, input files converted again."""

from __future__ import annotations

import filecmp
import mmap
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from include.core.errors import BadInputError, ContractError
from include.core.outcome import Proof
from include.core.run_folder import SOURCE_FOLDER
from include.core.tables import literal, number_sql
from include.energy.audit.samples import draw
from include.energy.audit.tables import AsRead, require_equal_rows
from include.energy.audit.totals import require_equal
from include.energy.db import connect
from include.energy.generator import FAULTS, account, day_lines, days_of, interval_of
from include.energy.households import make_households
from include.energy.lines import inspect
from include.energy.params import GeneratorParams
from include.energy.schemas import COLUMNS, DATA, FLOWS, PROVENANCE, SOURCE, EnergySource
from include.energy.validation import stamp_sql

_AS_READ: dict[str, AsRead] = {"timestamp": stamp_sql, **dict.fromkeys((*COLUMNS[2:], *FLOWS), number_sql)}
"""How the analyzer reads a column's text; of the others, the text itself counts."""
_UNLIKELY_DEVIATIONS = 6
_EPOCH = date(1970, 1, 1).toordinal()
READINGS_GENERATED_AGAIN = 250_000
"""All readings of a run that has no more of them; of a larger one, some days."""


def prove_generator(files: Path, params: GeneratorParams, *, audit: bool = False) -> tuple[Proof, ...]:
    """Recompute `energy_data.csv` and `energy_source.json` from the input files, or from the seed.

    Args:
        files: A folder that shows the generator's outputs, and the input files in `source/`.
        params: What was generated, or which files were read and how.
        audit: Generate all synthetic days again, not a sample of them.

    Raises:
        ContractError: The records or their account are others than the input files or the seed give.
    """
    source = SOURCE.find(files)
    if params.files:
        return _prove_converted(files, params, source)
    if source is not None and source.source == "files":
        raise ContractError(SOURCE.path, "source must be generated, for the run has no input files", source.source)
    if source is None or source.seed is None:
        return (Proof(artifact=DATA.path, not_checked="it comes from a generator that states no seed"),)
    return _prove_generated(files, params, source, audit=audit)


def _prove_converted(files: Path, params: GeneratorParams, source: EnergySource | None) -> tuple[Proof, ...]:
    """Convert the input files again, and compare every record."""
    from include.energy.conversion import convert

    if source is None:
        raise ContractError(SOURCE.path, "must be there: it states unit, intervals and zone of the input files", "none")
    for name in (*params.files, *([params.meters] if params.meters else ())):
        if not (files / SOURCE_FOLDER / name).is_file():
            raise ContractError(f"{SOURCE_FOLDER}/{name}", "must be there to be compared with", "no such file")
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=files) as scratch:
        folder = Path(scratch)
        (folder / SOURCE_FOLDER).symlink_to((files / SOURCE_FOLDER).resolve())
        try:
            converted = convert(folder, params)
        except BadInputError as error:
            rule = f"must hold what the input files hold, and no reader of this version can read them ({error})"
            raise ContractError(DATA.path, rule) from error
        located = _require_equal_records(files, folder)
    require_equal(SOURCE.path, source.model_dump(), converted.model_dump())
    return (
        Proof(
            artifact=DATA.path,
            recomputed=f"{converted.records_written:,} readings of {len(params.files)} input files, in their order",
            not_checked=None if located else f"it has no columns {', '.join(PROVENANCE)}: no record names its line",
        ),
        Proof(artifact=SOURCE.path, recomputed="every value, from the input files"),
    )


def _require_equal_records(files: Path, folder: Path) -> bool:
    """Compare `energy_data.csv` with what it should be, both as the analyzer reads them.

    Returns:
        Whether records name their lines in the input files.
    """
    if filecmp.cmp(DATA.at(folder), DATA.at(files), shallow=False):
        return True
    stated = inspect(DATA.at(files))
    expected = inspect(DATA.at(folder))
    located = stated.columns[len(COLUMNS) :] == expected.columns[len(COLUMNS) :]
    if not located and stated.columns[len(COLUMNS) :]:
        rule = f"must have no other columns than {', '.join(expected.columns)}"
        raise ContractError(DATA.path, rule, ", ".join(stated.columns))
    columns = expected.columns if located else COLUMNS
    stated_sql, expected_sql = (
        f"(SELECT {', '.join(f'{file.field_sql(c)} AS {c}' for c in columns)}, malformed FROM ({file.records_sql()}))"
        for file in (stated, expected)
    )
    with connect(folder) as db:
        as_read = {column: _AS_READ.get(column) for column in (*columns, "malformed")}
        require_equal_rows(db, DATA.path, stated_sql, expected_sql, as_read)
    return located


def _prove_generated(files: Path, params: GeneratorParams, source: EnergySource, *, audit: bool) -> tuple[Proof, ...]:
    """Generate days again; what is not generated again must lie within the interval, and be about as much."""
    days = days_of(params)
    few = len(days) * params.households * 1440 // params.interval_minutes <= READINGS_GENERATED_AGAIN
    drawn = draw(days, audit=audit or few)
    complete = len(drawn) == len(days)
    injected, of_day = _compare_days(files, params, drawn, complete=complete)
    records = _count_plausible(files, params, of_day)
    if not complete:
        for kind, least in injected.items():
            if source.injected.get(kind, 0) < least:
                rule = f"injected.{kind} must be at least {least}, as {len(drawn)} days hold"
                raise ContractError(SOURCE.path, rule, source.injected.get(kind, 0))
        injected = Counter(source.injected)
    require_equal(SOURCE.path, source.model_dump(), account(params, records, injected).model_dump())
    if complete:
        return (
            Proof(artifact=DATA.path, recomputed=f"{records:,} records, generated again"),
            Proof(artifact=SOURCE.path, recomputed="every value, from the parameters and the records"),
        )
    return (
        Proof(
            artifact=DATA.path,
            recomputed=f"number, times and households of {records:,} records",
            sampled=f"all records of {len(drawn)} of {len(days)} days, generated again",
            draw=tuple(day.isoformat() for day in drawn),
        ),
        Proof(
            artifact=SOURCE.path,
            recomputed="every value but injected, from the parameters and the records",
            sampled=f"injected is at least what {len(drawn)} days hold",
        ),
    )


def _compare_days(
    files: Path, params: GeneratorParams, days: Sequence[date], *, complete: bool
) -> tuple[Counter[str], dict[date, int]]:
    """Compare the records of some days, or of all.

    Returns:
        How many of them were made faulty or odd, by kind, and how many bear a time of their day, by day.
    """
    households, injected = make_households(params.households, params.seed), Counter[str]()
    of_day: dict[date, int] = {}
    start = f"{','.join(COLUMNS)}\n".encode()
    with DATA.at(files).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[: len(start)] != start:
            raise ContractError(
                DATA.path, f"must begin with {start.decode().strip()}", content[:80].decode("utf-8", "replace")
            )
        end = len(start)
        for day in days:
            block = "".join(day_lines(households, day, params, injected)).encode()
            of_day[day] = block.count(f"\n{day}T".encode()) + block.startswith(f"{day}T".encode())
            place = end if complete else content.find(b"\n" + block, end - 1) + 1
            if place == 0 or content[place : place + len(block)] != block:
                rule = f"must hold the records that seed {params.seed} gives for {day}"
                raise ContractError(
                    DATA.path, rule, _difference(content[end : end + len(block)], block, complete=complete)
                )
            end = place + len(block)
        if complete and end != len(content):
            raise ContractError(
                DATA.path, "must end with the last record that the seed gives", _shown(content[end : end + 80])
            )
    return injected, of_day


def _difference(stated: bytes, expected: bytes, *, complete: bool) -> str:
    if not complete:
        return "other records"
    pairs = zip(expected.splitlines(), [*stated.splitlines(), *[b"nothing"] * len(expected)], strict=False)
    return next((f"{_shown(b)} instead of {_shown(a)}" for a, b in pairs if a != b), "more records")


def _shown(text: bytes) -> str:
    return text[:80].decode("utf-8", "replace").strip()


def _count_plausible(files: Path, params: GeneratorParams, of_day: Mapping[date, int]) -> int:
    """Count the records; each must lie in the interval, on its grid, and belong to a household that was asked for.

    Args:
        files: A folder that shows `energy_data.csv`.
        params: What was generated.
        of_day: How many records some days have: there must be no others of these days, wherever they stand.
    """
    seconds, data = params.interval_minutes * 60, inspect(DATA.at(files))
    names = ", ".join(map(literal, make_households(params.households, params.seed).names))
    first, after = (moment.timestamp() for moment in interval_of(params))
    time, household = data.field_sql("timestamp"), data.field_sql("household_id")
    with connect(files) as db:
        counted = db.execute(f"""
            SELECT floor(start / 86400)::BIGINT AS day, count(*), min(line_number) FILTER (malformed
                OR home NOT IN ({names}) OR (stamp IS NOT NULL AND coalesce(start < {first} OR start >= {after}
                    OR start % {seconds} <> 0, true)))
            FROM (SELECT *, {household} AS home, {time} AS stamp, epoch({stamp_sql(time)}) AS start
                FROM ({data.records_sql()}))
            GROUP BY day
        """).fetchall()
    found, records = {day: count for day, count, _ in counted}, sum(count for _, count, _ in counted)
    strange = min((line for _, _, line in counted if line is not None), default=None)
    if strange is not None:
        rule = "must hold readings of the interval and the households that were asked for"
        raise ContractError(DATA.path, rule, next(text for _, text in data.texts_at([strange])))
    for day, count in of_day.items():
        if (held := found.get(day.toordinal() - _EPOCH, 0)) != count:
            rule = f"must hold {count:,} records of {day}, those that seed {params.seed} gives"
            raise ContractError(DATA.path, rule, f"{held:,}")
    readings = (-(-after // seconds) - -(-first // seconds)) * params.households
    varying = (FAULTS["duplicate"] + FAULTS["dropped"]) * params.faulty_share * readings
    if abs(records - readings) > _UNLIKELY_DEVIATIONS * varying**0.5 + 1:
        raise ContractError(DATA.path, f"must hold about {readings:,.0f} records", f"{records:,}")
    return int(records)
