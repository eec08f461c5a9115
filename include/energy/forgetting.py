"""Remove a meter from results of the energy pipeline and from input files.

A meter is a household as reports name it (`household_id`).
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from include.core.domain import Erasure
from include.core.errors import BadInputError, ContractError
from include.core.run_folder import SOURCE_FOLDER
from include.core.tables import file_argument, literal
from include.energy.feeds import METERS
from include.energy.params import GeneratorParams
from include.energy.schemas import DATA, RECORDS, REJECTED, REPORT_ROWS, REPORT_TABLE

HOUSEHOLD = "household_id"
ROWS = frozenset({DATA.path, RECORDS.path, REPORT_ROWS.path, REPORT_TABLE.path})
CHANGES = re.compile(r"changes-\d+\.csv")
TELLING = 3
"""Signs of a name that is no other word of a file, such as a quality."""
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"


def erase_results(files: Mapping[str, Path], meter: str, target: Path) -> bool:
    """Return whether results hold a meter; if so, write the tables of readings without its rows.

    Documents and tables of totals are not written: a total less the rest is the meter's.

    Args:
        files: Results by name, as a run or a published folder holds them.
        meter: The household.
        target: Where the tables go; one without a row left is not written.
    """
    tables = {name: path for name, path in files.items() if name in ROWS or CHANGES.fullmatch(name)}
    rows = {name: _without(path, meter, target / name) for name, path in tables.items()}
    if any(rows.values()):
        return True
    for name in rows:
        (target / name).unlink(missing_ok=True)
    return any(_names(name, path, meter) for name, path in files.items() if name not in tables)


def erase_input(file: Path, name: str, meter: str, params: Mapping[str, Any], target: Path) -> Erasure:
    """Return what becomes of an input file; one whose lines each hold one household is written again without a meter.

    The rewritten file must give the same readings of all others, and name the meter nowhere.

    Args:
        file: Where it lies.
        name: What it is called.
        meter: The household.
        params: How it is read.
        target: Where it is written again.
    """
    try:
        before = _readings(file, name, params)
    except (BadInputError, ContractError):
        return "kept" if _mentions(_unpacked(file), meter) else "absent"
    own = {line for household, line in before if household == meter}
    others = {line for household, line in before if household and household != meter}
    if not own:
        return "kept" if len(meter) >= TELLING and _mentions(_unpacked(file), meter) else "absent"
    if not others:
        return "removed"
    lines = _unpacked(file).splitlines(keepends=True)
    left = b"".join(line for number, line in enumerate(lines, 1) if number not in own)
    target.write_bytes(gzip.compress(left, mtime=0) if _starts_with(file, GZIP) else left)
    if not own & others and not _mentions(left, meter):
        with suppress(BadInputError, ContractError):
            after = sorted(household for household, _ in _readings(target, name, params))
            if after == sorted(household for household, _ in before if household != meter):
                return "rewritten"
    target.unlink()
    return "kept"


def _readings(file: Path, name: str, params: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return household and line of each record of an input file."""
    from include.energy.conversion import convert

    known = {key: value for key, value in params.items() if key in GeneratorParams.model_fields}
    with tempfile.TemporaryDirectory(prefix="groundtruth-forget-") as scratch:
        folder = Path(scratch)
        (folder / SOURCE_FOLDER).mkdir()
        (folder / SOURCE_FOLDER / name).symlink_to(file.resolve())
        meters = known.pop("meters", None)
        if meters and Path(meters).is_file():  # it names the connection points of the devices in the file
            known["meters"] = METERS
            (folder / SOURCE_FOLDER / METERS).symlink_to(meters)
        convert(folder, GeneratorParams.model_validate(known | {"files": (name,), "start": None, "end": None}))
        with duckdb.connect() as db:
            rows = f"read_csv({file_argument(DATA.at(folder))}, header = true, all_varchar = true, delim = ',')"
            return db.execute(f"SELECT coalesce({HOUSEHOLD}, ''), source_line::BIGINT FROM {rows}").fetchall()


def _without(path: Path, meter: str, target: Path) -> int:
    """Write a table without the rows of a household, unless none is left, and return how many it had."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if _starts_with(path, PARQUET):
        return _parquet_without(path, meter, target)
    removed = left = 0
    with path.open(newline="", encoding="utf-8") as source, target.open("w", newline="", encoding="utf-8") as file:
        rows = csv.reader(source)
        writer = csv.writer(file, lineterminator="\n")
        header = next(rows, [])
        writer.writerow(header)
        column = header.index(HOUSEHOLD) if HOUSEHOLD in header else None
        for row in rows:
            if column is not None and row[column].removeprefix("'") == meter:
                removed += 1
            else:
                left += 1
                writer.writerow(row)
    if not left:
        target.unlink()
    return removed


def _parquet_without(path: Path, meter: str, target: Path) -> int:
    with duckdb.connect() as db:
        table = f"read_parquet({file_argument(path)})"
        columns = {row[0] for row in db.execute(f"DESCRIBE FROM {table}").fetchall()}
        if HOUSEHOLD not in columns:
            return 0
        counts = db.execute(f"SELECT count(*) FILTER ({HOUSEHOLD} = ?), count(*) FROM {table}", [meter]).fetchone()
        removed, count = counts or (0, 0)
        if removed < count:
            kept = f"SELECT * FROM {table} WHERE {HOUSEHOLD} IS DISTINCT FROM $meter"
            db.execute(f"COPY ({kept}) TO {literal(str(target))} (FORMAT parquet)", {"meter": meter})
    return int(removed)


def _names(name: str, path: Path, meter: str) -> bool:
    """Return whether a file that is no table of readings names a household."""
    if name == REJECTED.path:
        return _mentions(path.read_bytes(), meter)
    if name.endswith(".json"):
        return json.dumps(meter, ensure_ascii=False).encode() in path.read_bytes()
    if _starts_with(path, PARQUET):
        with duckdb.connect() as db:
            table = f"read_parquet({file_argument(path)})"
            texts = [row[0] for row in db.execute(f"DESCRIBE FROM {table}").fetchall() if row[1] == "VARCHAR"]
            named = " OR ".join(f'"{column}" = $meter' for column in texts) or "false"
            return bool(db.execute(f"SELECT count(*) FROM {table} WHERE {named}", {"meter": meter}).fetchall()[0][0])
    return False


def _unpacked(file: Path) -> bytes:
    content = file.read_bytes()
    with suppress(OSError, EOFError):
        content = gzip.decompress(content) if content.startswith(GZIP) else content
    return content


def _mentions(content: bytes, meter: str) -> bool:
    """Return whether a text holds a name that no other letter or digit continues.

    >>> [_mentions(text, "home 1") for text in (b"home 1,2", b"home 12", b"my home 1")]
    [True, False, True]
    """
    return re.search(rb"(?<![A-Za-z0-9])%s(?![A-Za-z0-9])" % re.escape(meter.encode()), content) is not None


def _starts_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark
