"""Workbooks (xlsx, xls, xlsb, ods) as delimited text: one file a sheet, in which line numbers are row numbers.

A separate process reads the cells: some workbooks make every library ask for more memory than there is, for one with a
cell in its last row and column has 17 billion. Then the process ends, and the workbook is refused.

Times of a workbook are numbers of days, such as 45000.0104166 for 00:15: they are rounded to the second where they are
within 50 ms of one.
"""

from __future__ import annotations

import csv
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import include
from include.core.errors import BadInputError

MAX_MEMORY = 4 * 1024**3
_TOLERANCE = timedelta(milliseconds=50)
_DAY_ONE = date(1900, 1, 1)  # what 1.0 is as a date: as the time of a reading, it is 24:00
_ISO_DURATION = re.compile(r"PT(\d+)H(\d+)M(\d+(?:[.,]\d+)?)S")  # how OpenDocument writes times
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")  # the stream of a workbook with a password
_EXPORT = "export the sheet as CSV"


class Sheet(NamedTuple):
    """A sheet of a workbook: its title, its cells as delimited text, and the hidden sheets beside it."""

    title: str
    path: Path
    hidden: tuple[str, ...] = ()


def write_sheets(path: Path, name: str, folder: Path) -> list[Sheet]:
    """Write each sheet that holds data as delimited text.

    Args:
        path: The workbook.
        name: What messages call it.
        folder: Where the texts go; each sheet gets a file of its number.

    Returns:
        The visible sheets with at least 2 rows and 2 columns, in their order; where there is none, the first with
        cells.

    Raises:
        BadInputError: The workbook has a password, is damaged, needs more than 4 GiB, or has no cells.
    """
    child = subprocess.run(  # noqa: S603 -- our own module
        [sys.executable, "-m", __name__, path.resolve(), folder.resolve()],
        cwd=Path(include.__file__).parents[1],
        capture_output=True,
        check=False,
    )
    if child.returncode:
        raise BadInputError(
            f"{name}: the workbook is damaged, or needs more than {MAX_MEMORY // 1024**3} GiB of memory (a cell far "
            f"away from the others is enough); {_EXPORT}"
        )
    answer = json.loads(child.stdout)
    if "fault" in answer:
        raise BadInputError(f"{name}: {answer['fault']}")
    if not answer["sheets"]:
        raise BadInputError(f"{name}: has no visible sheet with cells")
    return [Sheet(title, Path(written), tuple(answer["hidden"])) for title, written in answer["sheets"]]


def cell_text(value: object) -> str:
    """Return a cell as text that no locale changes: ISO dates and times, plain decimal numbers, true and false.

    >>> cell_text(datetime(2024, 1, 1, 0, 14, 59, 994000)), cell_text(30.0), cell_text(1e-7), cell_text(True)
    ('2024-01-01 00:15:00', '30', '0.0000001', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    if isinstance(value, date | time | timedelta):
        return _time_text(value)
    if duration := _ISO_DURATION.fullmatch(str(value)):
        hours, minutes, seconds = duration.groups()
        return _clock(timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds.replace(",", "."))))
    return " ".join(str(value).splitlines())


def _time_text(value: date | time | timedelta) -> str:
    if isinstance(value, timedelta):
        return _clock(value)
    if isinstance(value, time):
        return _clock(datetime.combine(_EPOCH, value) - _EPOCH)
    if isinstance(value, datetime) and value.date() != _DAY_ONE:
        rounded = _EPOCH + _rounded(value - _EPOCH)
        return rounded.isoformat(" ", "milliseconds" if rounded.microsecond else "seconds")
    if isinstance(value, datetime):
        return _clock(value - _EPOCH_1900)
    return "24:00:00" if value == _DAY_ONE else value.isoformat()


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- cells have no zone
_EPOCH_1900 = datetime(1899, 12, 31)  # noqa: DTZ001


def _rounded(duration: timedelta) -> timedelta:
    seconds = timedelta(seconds=round(duration.total_seconds()))
    return seconds if abs(duration - seconds) <= _TOLERANCE else duration


def _clock(duration: timedelta) -> str:
    """Return hours, which may exceed 24, minutes and seconds."""
    milliseconds = round(_rounded(duration) / timedelta(milliseconds=1))
    seconds, fraction = divmod(abs(milliseconds), 1000)
    sign = "-" if milliseconds < 0 else ""
    text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{fraction:03}" if fraction else text


def _write_sheet(rows: Callable[[], Iterable[list[Any]]], target: Path) -> None:
    """Write rows of cells, from row 1; in a column that holds dates with times, a date alone is a midnight."""
    stamped = {
        column
        for row in rows()
        for column, value in enumerate(row)
        if isinstance(value, datetime) and value.date() != _DAY_ONE
    }
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in rows():
            midnights = (_midnight(value) if column in stamped else value for column, value in enumerate(row))
            cells = [cell_text(value) for value in midnights]
            writer.writerow(cells if any(cells) else [])


def _midnight(value: object) -> object:
    if isinstance(value, datetime) or not isinstance(value, date) or value == _DAY_ONE:
        return value
    return datetime.combine(value, time())


def main(workbook: str, folder: str) -> dict[str, Any]:
    """Write the sheets of a workbook; what the separate process does.

    Returns:
        `sheets`, a list of titles and files, and `hidden`, titles of sheets that a reader of the workbook does not see;
        or `fault`, the rest of a sentence about the workbook.
    """
    from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    tables: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    hidden: list[str] = []
    try:
        with Path(workbook).open("rb") as file:  # not from_path(), which believes the suffix
            book = CalamineWorkbook.from_filelike(file)
        for number, described in enumerate(book.sheets_metadata):
            if described.typ is not SheetTypeEnum.WorkSheet:
                continue
            sheet = book.get_sheet_by_index(number)
            if sheet.start is None:
                continue
            if described.visible is not SheetVisibleEnum.Visible:
                hidden.append(described.name)
                continue
            target = Path(folder) / f"{number + 1}.csv"
            _write_sheet(sheet.iter_rows, target)
            kept = tables if sheet.height >= 2 and sheet.width >= 2 else notes
            kept.append((described.name, str(target)))
    except CalamineError as error:
        if _ENCRYPTED in Path(workbook).read_bytes():
            return {"fault": "the workbook has a password; save it without one"}
        return {"fault": f"the workbook is damaged, or has a password ({error}); save it again, or {_EXPORT}"}
    return {"sheets": tables or notes[:1], "hidden": hidden}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    print(json.dumps(main(sys.argv[1], sys.argv[2])))  # noqa: T201 -- the answer to the parent
