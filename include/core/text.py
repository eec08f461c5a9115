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
