r"""Text from outside as it may be shown: without signs that steer a terminal, and URLs without their secrets.

File names, ids, labels and log lines come from users and steps. A terminal would obey the control characters in them,
a lone surrogate (a file name that is not UTF-8) cannot be written at all, and a URL may hold a password.
"""

from __future__ import annotations

import json
import re
import unicodedata

_CREDENTIALS = re.compile(
    r"""
    (?<=://)(?:
        [^\s/?\#]*@                                # user:password@host, a token@host
      | (?!\[)[^\s@/:]+:(?!\d{1,5}(?:[/?\#\s]|$))\S*@  # a password with a slash that was not encoded; not host:port/
    )
    """,
    re.VERBOSE,
)
_URL = re.compile(r"(?<=://)\S+")
_SECRET_FIELD = re.compile(
    r"([?&;](?:access_token|token|api_?key|key|pass(?:word|wd)?|pwd|(?:client_)?secret|sig(?:nature)?)=)[^&;\s'\"]+",
    re.IGNORECASE,
)
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories of signs that no reader sees: controls, changes of direction, surrogates, line separators."""


def printable(text: str, *, keep: str = "") -> str:
    r"""Return a text with each sign that cannot be seen replaced by its escape.

    Args:
        text: Of any origin; may hold lone surrogates.
        keep: Signs that stay, such as line breaks of our own messages.

    >>> printable("meter\x1b[2J\rall green")
    'meter\\x1b[2J\\rall green'
    >>> printable("two\nlines", keep="\n") == "two\nlines"
    True
    """
    if text.isprintable():
        return text
    return "".join(_escaped(sign) if _is_unseen(sign) and sign not in keep else sign for sign in text)


def without_passwords(text: str) -> str:
    """Return a text whose URLs show neither user nor password, nor a token among their fields.

    >>> without_passwords("cannot reach https://ada:secret@host/api?page=1&token=abc")
    'cannot reach https://***@host/api?page=1&token=***'
    """
    if "://" not in text:
        return text
    hidden = _CREDENTIALS.sub("***@", text)
    return _URL.sub(lambda url: _SECRET_FIELD.sub(r"\1***", url[0]), hidden)


def message_text(text: str) -> str:
    r"""Return a message of several lines as it may be shown, logged and stored.

    >>> message_text("http://u:p@h:\n  no\x07 answer")
    'http://***@h:\n  no\\x07 answer'
    """
    return printable(without_passwords(text), keep="\n\t")


def printable_json(text: str) -> str:
    r"""Return a JSON text with the same content that a terminal can show: signs that cannot be seen as `\uXXXX`.

    JSON allows them only inside strings, where the escape means the same.

    >>> printable_json('{"name": "\x9b2J"}')
    '{"name": "\\u009b2J"}'
    """
    if text.isascii():
        return text
    return "".join(json.dumps(sign)[1:-1] if sign > "\x7e" and _is_unseen(sign) else sign for sign in text)


def _is_unseen(sign: str) -> bool:
    return unicodedata.category(sign) in _UNSEEN


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def quantity(value: float, unit: str) -> str:
    """Return a quantity with three or more digits, and the prefix under which it reads well.

    Args:
        value: In `unit`.
        unit: Scaled where it begins with `k` (kWh, kW), and left as it is otherwise.

    >>> quantity(1_879_672_527_000, "kWh"), quantity(28.377, "kW"), quantity(0.0421, "kW")
    ('1,880 TWh', '28.4 kW', '42.1 W')
    """
    prefixes, place = ("", "k", "M", "G", "T", "P"), 1
    if unit[:1] == "k" and unit[1:2].isupper():
        while abs(value) >= 10_000 and place < len(prefixes) - 1:
            value, place = value / 1000, place + 1
        if 0 < abs(value) < 0.1:
            value, place = value * 1000, place - 1
        unit = prefixes[place] + unit[1:]
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text} {unit}"


def period(seconds: int) -> str:
    """Return a length of time in words.

    >>> period(900), period(3600), period(4 * 3600), period(86400), period(90)
    ('15 minutes', '1 hour', '4 hours', '1 day', '90 seconds')
    """
    sizes = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next((size, unit) for size, unit in sizes if seconds % size == 0)
    count = seconds // size
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return seconds in words.

    >>> duration(4.4), duration(95), duration(7300)
    ('4 s', '1 min 35 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
