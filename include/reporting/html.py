"""Render the run report as one self-contained page: no network, plots inside, complete without its script.

The template escapes everything that comes from data. The content security policy of the page lets a browser load
nothing, and run the page's own script alone, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import ChainMap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TypeGuard
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.core.outcome import Table
from include.core.proof import MEANINGS, WORDS
from include.core.settings import get_settings
from include.core.text import quantity
from include.core.windows import parse_zone
from include.domains import DOMAINS
from include.reporting.assets import script, script_source, styles
from include.reporting.charts import charts_of, shown_chart
from include.reporting.model import ArtifactReport, PipelineReport
from include.reporting.notices import runbook

TEMPLATES = Path(__file__).parent / "templates"
ISO_UTC = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})Z", re.ASCII)
CURRENCY = re.compile(r"\([A-Z]{3}\)$")
LARGEST_PLOT = 8 * 1024 * 1024
MOST_ROWS = 1000
"""Findings, artifacts and rows of each table that the page shows; a browser is no reader of long tables."""
MOST_OPEN_ROWS = 26
"""Longer tables are folded."""
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
    failure, has_runbook, overview = report.failure_point, get_settings().runbook_url, report.overview
    template = template_environment(TEMPLATES).get_template("report.html.j2")
    charts = charts_of(report, files)
    shown = [plot for plot in ordered_plots(report, files) if plot.artifact.path not in charts.replaces]
    leads = not charts.charts and bool(shown) and shown[0].artifact.path in overview.lead_plots
    lead = shown.pop(0) if leads else None
    tables = shown_tables(report)
    drawn = [shown_chart(chart, zone_of(report)) for chart in charts.charts]
    return template.render(
        report=report,
        zone=zone_of(report),
        zone_name=overview.timezone if zone_of(report) is not UTC else None,
        contents=_contents(report, plots=bool(shown or drawn[charts.leading :]), tables=bool(tables)),
        most=MOST_ROWS,
        lead=lead,
        charts=drawn,
        leading=charts.leading,
        script=script(),
        script_source=Markup(script_source()),  # noqa: S704 - a hash of our own script
        styles=styles(),
        plots=shown,
        tables=tables,
        metrics=list(metrics_by_step(report)),
        params={name: item for name, item in report.params.items() if _matters(name, item, report)},
        longest=max((step.duration_seconds or 0 for step in report.steps), default=0) or 1,
        titles={step.id: step.name for step in report.steps},
        proofs=WORDS,
        meanings=MEANINGS,
        advice=runbook(failure.kind) if failure and has_runbook else None,
    )


def zone_of(report: PipelineReport) -> tzinfo:
    """Return the zone of all times of a page."""
    return parse_zone(report.overview.timezone) if report.overview.timezone else UTC


def _contents(report: PipelineReport, *, plots: bool, tables: bool) -> list[tuple[str, str]]:
    """Return id and title of the sections, in order."""
    sections = {
        "summary": ("Summary", bool(report.overview.headlines or report.overview.checks)),
        "findings": ("Needs attention", True),
        "plots": ("Charts", plots),
        "tables": ("Tables", tables),
        "records": ("Records", bool(report.record_accounting or report.overall_status != "success")),
        "steps": ("Steps", True),
        "metrics": ("Metrics", True),
        "proof": ("Proof", True),
        "artifacts": ("Artifacts", True),
        "parameters": ("Parameters", True),
        "provenance": ("Provenance", True),
    }
    return [(name, title) for name, (title, is_shown) in sections.items() if is_shown]


def _matters(name: str, item: object, report: PipelineReport) -> bool:
    return item not in (None, [], {}, "") and name not in report.overview.unused_params


def shown_tables(report: PipelineReport) -> list[tuple[Table, bool]]:
    """Return the tables of a report, and whether each is unfolded: short ones of the last step with tables are."""
    last = report.tables[-1].step if report.tables else None
    return [(table, table.step == last and len(table.rows) <= MOST_OPEN_ROWS) for table in report.tables] + [
        (table, True) for table in report.overview.tables
    ]


def metrics_by_step(report: PipelineReport) -> Iterator[tuple[str, list[tuple[str, str]], list[tuple[str, object]]]]:
    """Yield each step's name, its single metrics as label and text, and its groups by name; nothing is named twice."""
    shown: list[tuple[str, object]] = [
        ("rejected_by_reason", records.rejected_by_reason) for records in report.record_accounting
    ]
    zone = zone_of(report)
    for step in report.steps:
        single: list[tuple[str, str]] = []
        grouped: list[tuple[str, object]] = []
        for name, item in (step.output_summary or {}).items():
            if (name, item) in shown or item in (None, [], {}) or name in ("data_start", "data_end"):
                continue
            shown.append((name, item))
            if isinstance(item, list | dict):
                grouped.append((name, item))
            else:
                single.append(measure(name, item, zone))
        if single or grouped:
            yield step.name, single, grouped


def measure(name: str, item: object, zone: tzinfo = UTC) -> tuple[str, str]:
    """Return the label and the text of a metric, in a unit that reads well.

    >>> measure("energy_kwh", 1879672527.0), measure("interval_seconds", 3600)
    (('Energy', '1,880 GWh'), ('Interval', '60 min'))
    """
    label = words(name)
    unit = UNITS.get(name.rpartition("_")[2].lower()) if "_" in name else None
    if unit is None or not _is_number(item):
        return label, value(item, zone)
    bare = label.removesuffix(f" ({unit})")
    if unit[:1] == "k":
        return bare, quantity(item, unit)
    if unit == "s" and item >= 60 and item % 60 == 0:
        return bare, f"{item / 60:,.0f} min"
    return label, value(item)


def ordered_plots(report: PipelineReport, files: Path) -> list[Plot]:
    """Return the plots of the page: first those that the overview puts first, without those that it leaves out."""
    overview = report.overview
    by_path = {plot.artifact.path: plot for plot in plots(report, files)}
    order = dict.fromkeys(path for path in (*overview.lead_plots, *by_path) if path in by_path)
    return [by_path[path] for path in order if path not in overview.left_out_plots]


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
    filters = (value, words, seconds, size, instant, column, grid, segment, safe_link, file_link, short, below_data)
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


def file_link(path: str) -> str | None:
    """Return the address of an artifact beside the page, in the run's folder and where the page is served.

    >>> file_link("acquisitions/0 1.json"), file_link("../secret") is None
    ('files/acquisitions/0%201.json', True)
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return None
    return "files/" + "/".join(map(segment, parts))


def short(text: str, length: int = 12) -> str:
    """Return a long text without its end.

    >>> short("0123456789abcdef")
    '0123456789ab…'
    """
    return text if len(text) <= length + 1 else f"{text[:length]}…"


def words(name: str) -> str:
    """Return the name of a metric as words, with the units and labels of the domains.

    >>> words("duration_seconds")
    'Duration (s)'
    """
    if name in LABELS:
        return LABELS[name][:1].upper() + LABELS[name][1:]
    if " " in name:
        return name[:1].upper() + name[1:]
    parts = name.replace("-", "_").split("_")
    unit = UNITS.get(parts[-1].lower()) if len(parts) > 1 else None
    text = " ".join(LABELS.get(part, part) for part in (parts[:-1] if unit else parts)).strip()
    text = text[:1].upper() + text[1:]
    return f"{text} ({unit})" if unit else text


def value(item: object, zone: tzinfo = UTC) -> str:  # noqa: PLR0911
    """Return a value as text; thousands are separated, and times are those of a zone.

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
            with suppress(ValueError, OverflowError):
                return instant(datetime.fromisoformat(item), zone)
            return item
        case list():
            return ", ".join(value(inner, zone) for inner in item)
        case dict():
            return ", ".join(f"{words(str(key)).lower()} {value(inner, zone)}" for key, inner in item.items())
        case _:
            return str(item)


def column(cells: list[object], decimals: int | None = None) -> list[str]:
    """Return the cells of a table's column as text, all numbers with the same decimals: as many as they need, or given.

    >>> column([1.0, 23.4567, None])
    ['1.00', '23.46', '–']
    """
    numbers = [abs(cell) for cell in cells if _is_number(cell) and math.isfinite(cell)]
    if decimals is None:
        if all(number == int(number) for number in numbers):
            return [value(cell) for cell in cells]
        needed = max(len(f"{number:.4f}".rstrip("0").partition(".")[2]) for number in numbers)
        decimals = max(1, min(needed, 4 - len(str(int(max(numbers))))))
    return [f"{cell:,.{decimals}f}" if _is_number(cell) else value(cell) for cell in cells]


def _is_number(cell: object) -> TypeGuard[int | float]:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def grid(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return a table as text: the class of each column (`n` numbers, `s` short text), and the cells row by row.

    Money, which a heading such as `Total (EUR)` names, has two decimals.
    """
    columns = [list(cells) for cells in zip_longest(table.columns, *table.rows)]
    texts = [column(cells[1:], 2 if CURRENCY.search(str(cells[0])) else None) for cells in columns]
    kinds = [
        "n" if any(map(_is_number, cells)) else "s" if all(len(text) <= 24 for text in shown) else ""
        for cells, shown in zip(columns, texts, strict=True)
    ]
    return kinds, [list(row) for row in zip(*texts, strict=True)]


def below_data(path: str) -> str:
    """Return the place of a published folder below the data folder, whatever that is called where the run took place.

    >>> below_data("/opt/groundtruth/data/published/energy/2026-03-01")
    'published/energy/2026-03-01'
    """
    before, mark, rest = path.rpartition("/published/")
    return f"published/{rest}" if mark and before else path


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


def instant(moment: datetime | None, zone: tzinfo = UTC) -> str:
    """Return an instant as text, as the clocks of a zone show it; UTC is named, for it is nobody's clock.

    >>> from datetime import UTC, datetime
    >>> instant(datetime(2026, 1, 1, tzinfo=UTC))
    '2026-01-01 00:00 UTC'
    """
    if moment is None:
        return "–"
    moment = moment.astimezone(zone)
    time = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    return f"{moment:%Y-%m-%d} {time}" + (" UTC" if zone is UTC else "")
