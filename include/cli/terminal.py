"""Show text from outside on a terminal: its signs appear, and neither markup nor control characters act."""

from __future__ import annotations

from rich.markup import escape

from include.core.text import message_text, printable


def shown(value: object) -> str:
    r"""Return one line of text, such as a name or a cell, for rich's markup.

    >>> shown("[red]meter\x1b[2J\n✓ all green")
    '\\[red]meter\\x1b[2J\\n✓ all green'
    """
    return escape(printable(str(value)))


def shown_message(value: object) -> str:
    """Return a message, which may have several lines, for rich's markup."""
    return escape(message_text(str(value)))
