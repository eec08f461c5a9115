"""Render the run report as one self-contained page: no network, no scripts, plots inside.

The template escapes everything that comes from data, and the content security policy of the page lets a browser load
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import ChainMap
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TypeGuard
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.core.outcome import Table
from include.core.proof import MEANINGS, WORDS
from include.core.settings import get_settings
from include.domains import DOMAINS
from include.reporting.model import ArtifactReport, PipelineReport
from include.reporting.notices import runbook

ISO_UTC = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})Z", re.ASCII)
LARGEST_PLOT = 8 * 1024 * 1024
MOST_ROWS = 1000
"""Findings, artifacts and rows of each table that the page shows; a browser is no reader of long tables."""
UNITS = ChainMap(
    {"seconds": "s", "minutes": "min", "mb": "MB", "percent": "%", "share": "share", "days": "days"},
    *(dict(domain.units) for domain in DOMAINS),
)
"""Units of metrics by the suffix of their names."""
LABELS = ChainMap({"csv": "CSV"}, *(dict(domain.labels) for domain in DOMAINS))
"""Words of metric names that are written otherwise."""


@dataclass(frozen=True)
class Plot:
    """A plot in the page.

    Args:
        title: As the step states it, or made from the file's name.
        artifact: The file.
        uri: `data:` URI, None if it cannot be shown.
        missing: Why it cannot be shown.
    """

    title: str
    artifact: ArtifactReport
    uri: str | None = None
    missing: str | None = None


def render_html(report: PipelineReport, files: Path) -> str:
    """Render the page of a report.

    Args:
        report: What it shows.
        files: The run's `files/` folder, which holds the plots.
    """
    failure, has_runbook = report.failure_point, get_settings().runbook_url
    template = template_environment(Path(__file__).parent / "templates").get_template("report.html.j2")
    return template.render(
        report=report,
        most=MOST_ROWS,
        plots=plots(report, files),
        longest=max((step.duration_seconds or 0 for step in report.steps), default=0) or 1,
        titles={step.id: step.name for step in report.steps},
        proofs=WORDS,
        meanings=MEANINGS,
        advice=runbook(failure.kind) if failure and has_runbook else None,
    )


def plots(report: PipelineReport, files: Path) -> list[Plot]:
    """Return every accepted plot with its content, as long as that is what was accepted."""
    titles = {plot.path: plot.title for plot in report.plots}
    return [
        _plot(titles.get(artifact.path) or words(Path(artifact.path).stem.removeprefix("plot_")), artifact, files)
        for artifact in report.artifacts
        if artifact.path.lower().endswith(".png")
    ]


def _plot(title: str, artifact: ArtifactReport, files: Path) -> Plot:
    if artifact.bytes > LARGEST_PLOT:
        return Plot(title, artifact, missing=f"is too large to be shown here ({size(artifact.bytes)})")
    try:
        with (files / artifact.path).open("rb") as file:
            content = file.read(artifact.bytes + 1)  # whatever lies there now, no more than was accepted
    except OSError:
        return Plot(title, artifact, missing="is no longer in the run's folder")
    if hashlib.sha256(content).hexdigest() != artifact.sha256:
        return Plot(title, artifact, missing="has changed since it was accepted, so it is not shown")
    return Plot(title, artifact, uri="data:image/png;base64," + base64.b64encode(content).decode())


@cache
def template_environment(*folders: Path) -> Environment:
    """Return the environment for the templates of some folders, with filters that format values.

    It escapes values and is strict about names. The first folder that has a template wins.
    """
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (value, words, seconds, size, instant, column, grid, segment, safe_link)
    environment.filters |= {function.__name__: function for function in filters}
    return environment


def segment(text: str) -> str:
    """Return a text as one segment of the path of a URL.

    >>> segment("a/b c")
    'a%2Fb%20c'
    """
    return quote(text, safe="")


def safe_link(url: str | None) -> str | None:
    """Return a link that opens a page (http, https, or a path on the same server); None for anything else.

    >>> safe_link("javascript:alert(1)") is None
    True
    """
    if url is None or not url.isprintable() or "\\" in url:
        return None
    return url if re.match(r"https?://[^/]|/(?!/)|[A-Za-z0-9_.-]+(?:[/?#]|$)", url) else None


def words(name: str) -> str:
    """Return the name of a metric as words, with the units and labels of the domains.

    >>> words("duration_seconds")
    'Duration (s)'
    """
    parts = name.replace("-", "_").split("_")
    unit = UNITS.get(parts[-1].lower()) if len(parts) > 1 else None
    text = " ".join(LABELS.get(part, part) for part in (parts[:-1] if unit else parts)).strip()
    text = text[:1].upper() + text[1:]
    return f"{text} ({unit})" if unit else text


def value(item: object) -> str:  # noqa: PLR0911
    """Return a value as text; thousands are separated.

    >>> value(1234567.891)
    '1,234,567.89'
    """
    if isinstance(item, float):
        if item.is_integer() and abs(item) < 1e15:
            return f"{item:,.0f}"
        return f"{item:,.2f}" if abs(item) >= 100 else f"{item:.4g}"
    if item is None or item in ("", [], {}):
        return "–"
    match item:
        case bool():
            return "yes" if item else "no"
        case int():
            return f"{item:,}"
        case str() if ISO_UTC.fullmatch(item):
            return ISO_UTC.sub(r"\1 \2", item).removesuffix(":00") + " UTC"
        case list():
            return ", ".join(map(value, item))
        case dict():
            return ", ".join(f"{words(str(key)).lower()} {value(inner)}" for key, inner in item.items())
        case _:
            return str(item)


def column(cells: list[object]) -> list[str]:
    """Return the cells of a table's column as text, all numbers with the same decimals.

    >>> column([1.0, 23.4567, None])
    ['1.00', '23.46', '–']
    """
    numbers = [abs(cell) for cell in cells if _is_number(cell) and math.isfinite(cell)]
    if all(number == int(number) for number in numbers):
        return [value(cell) for cell in cells]
    decimals = max(1, 4 - len(str(int(max(numbers)))))
    return [f"{cell:,.{decimals}f}" if _is_number(cell) else value(cell) for cell in cells]


def _is_number(cell: object) -> TypeGuard[int | float]:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def grid(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return a table as text: the class of each column (`n` numbers, `s` short text), and the cells row by row."""
    columns = [list(cells) for cells in zip_longest(table.columns, *table.rows)]
    texts = [column(cells[1:]) for cells in columns]
    kinds = [
        "n" if any(map(_is_number, cells)) else "s" if all(len(text) <= 24 for text in shown) else ""
        for cells, shown in zip(columns, texts, strict=True)
    ]
    return kinds, [list(row) for row in zip(*texts, strict=True)]


def seconds(duration: float | None) -> str:
    """Return a duration as text.

    >>> seconds(3725.4)
    '1 h 02 min 05 s'
    """
    if duration is None:
        return "–"
    if duration < 60:
        return f"{duration:.1f} s" if duration >= 1 else f"{duration:.2f} s"
    minutes, rest = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min {rest:02d} s" if hours else f"{minutes} min {rest:02d} s"


def size(count: int) -> str:
    """Return a number of bytes as text.

    >>> size(1536)
    '1.5 KiB'
    """
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def instant(moment: datetime | None) -> str:
    """Return an instant as text, with its zone.

    >>> from datetime import UTC, datetime
    >>> instant(datetime(2026, 1, 1, tzinfo=UTC))
    '2026-01-01 00:00 UTC'
    """
    if moment is None:
        return "–"
    time = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    return f"{moment:%Y-%m-%d} {time} {moment.tzname()}"
