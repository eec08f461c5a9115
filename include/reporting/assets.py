"""The script and the styles of the page, and the content policy that lets this one script run.

`vendor/` holds uPlot 1.6.32 (MIT) as its npm package ships it; its checksums are in the test of this module.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from markupsafe import Markup

HERE = Path(__file__).parent
SCRIPTS = ("vendor/uPlot.iife.min.js", "templates/report.js")
FIGURE_STYLES = ("vendor/uPlot.min.css", "templates/figures.css")
STYLES = ("templates/report.css", *FIGURE_STYLES)


@cache
def script() -> Markup:
    """Return the script of the page: the chart library, and what uses it."""
    return _joined(SCRIPTS)


@cache
def styles() -> Markup:
    """Return the styles of the page."""
    return _joined(STYLES)


@cache
def figure_styles() -> Markup:
    """Return the styles of charts, maps and the tools of tables alone, for pages that have styles of their own."""
    return _joined(FIGURE_STYLES)


@cache
def script_source() -> str:
    """Return the source expression of the content security policy that allows the script, and no other."""
    digest = hashlib.sha256(script().encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _joined(names: tuple[str, ...]) -> Markup:
    text = "\n".join((HERE / name).read_text(encoding="utf-8").strip() for name in names)
    return Markup(text)  # noqa: S704 - our own files, which no data reaches
