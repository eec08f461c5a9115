r"""Read the text of an env file as python-dotenv does, and change keys without touching anything else.

What is written reads the same in python-dotenv, in bash's `source` and in Docker Compose. Those differ in what they
do inside quotes: bash takes single quotes as they stand, the other two know `\'` and `\\` in them; double quotes
expand `$` in two of the three; python-dotenv expands `${NAME}` everywhere. A value that no spelling carries through
all three is refused.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Mapping

from dotenv.parser import Binding, parse_stream

from include.core.errors import BadInputError

Changes = Mapping[str, str | None]
"""New values by key; None removes the key."""

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_LAST_NEWLINE = re.compile(r"(\r\n|\n|\r)\Z")
_BINDING = re.compile(r"(?P<head>\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+))[^\S\r\n]*=(?P<gap>[^\S\r\n]*)")
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_TAIL = re.compile(r"[^\S\r\n]+#|[^\S\r\n]*(?:[\r\n]|$)")
_BOM = "\ufeff"


def read_values(text: str) -> dict[str, str]:
    """Return the keys that an env file sets; of a key that is set twice, the last.

    Raises:
        BadInputError: Quotes do not close, so readers would disagree about what the file says.
    """
    return {binding.key: binding.value for binding in _bindings(text) if binding.key and binding.value is not None}


def change(text: str, changes: Changes) -> str:
    """Change keys of a text and nothing else: comments, order, quoting and newlines stay.

    A key that is set twice is changed where it counts, the last time; a new one comes at the end.

    Raises:
        BadInputError: A key or value cannot be written so that everyone reads the same, or the text's quotes do not
            close.
    """
    bindings = _bindings(text)
    last = {binding.key: number for number, binding in enumerate(bindings) if binding.value is not None}
    before = read_values(text)
    pieces = [binding.original.string for binding in bindings]
    added = []
    for key, value in changes.items():
        if not _KEY.fullmatch(key):
            raise BadInputError(f"{key!r} is not the name of an environment variable (letters, digits and _)")
        if before.get(key) == value:
            continue
        if value is None:
            for number, binding in enumerate(bindings):
                if binding.key == key and binding.value is not None:
                    pieces[number] = _leading_lines(pieces[number])
        elif key in last:
            pieces[last[key]] = _rewritten(pieces[last[key]], key, value)
        else:
            added.append(f"{key}={quote(key, value)}")
    start = _BOM if text.startswith(_BOM) else ""
    return start + _with_lines("".join(pieces), added, text)


def quote(key: str, value: str, like: str = "") -> str:
    """Return a value as it stands in the file, quoted where it must be.

    Args:
        key: For the message of the error.
        value: The value to read back.
        like: The quote (`'` or `"`, or nothing) that stood there before; kept if it can hold the value.

    Raises:
        BadInputError: No spelling reads the same everywhere.
    """
    spellings = {}
    if not value.isprintable() or "${" in value:
        raise BadInputError(f"{key}: the value must be one line of printable characters without ${{: {value!r}")
    if _BARE.fullmatch(value):
        spellings[""] = value
    if "'" not in value and "\\" not in value:
        spellings["'"] = f"'{value}'"
    if "$" not in value and "`" not in value:
        spellings['"'] = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for style in (like, "", "'", '"'):
        if style in spellings:
            return spellings[style]
    raise BadInputError(
        f"{key}: bash, python-dotenv and Docker Compose would read {value!r} differently, however quoted"
    )


def unified_diff(before: str, after: str, name: str) -> str:
    """Return the changed lines alone, because the lines around them may hold secrets."""
    old, new = (_NEWLINE.sub("\n", text).splitlines() for text in (before, after))
    return "\n".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", n=0, lineterm=""))


def _bindings(text: str) -> list[Binding]:
    bindings = list(parse_stream(io.StringIO(text.removeprefix(_BOM), newline="")))
    for binding in bindings:
        start = _BINDING.match(binding.original.string)
        if binding.error and start and binding.original.string.startswith(("'", '"'), start.end()):
            raise BadInputError(f"line {binding.original.line}: its quotes do not close where the value ends; fix it")
    return bindings


def _rewritten(original: str, key: str, value: str) -> str:
    start = _BINDING.match(original)
    if start is None:
        raise BadInputError(f"{key}: its line cannot be understood; fix it by hand")
    rest = original[start.end() :]
    quoted = _QUOTED.match(rest)
    if quoted:
        like, tail = rest[0], rest[quoted.end() :]
    elif start["gap"] and rest.startswith("#"):
        like, tail = "", start["gap"] + rest
    else:
        end = _TAIL.search(rest)
        like, tail = "", rest[end.start() :] if end else ""
    apart = " " if tail.startswith("#") else ""
    return f"{start['head']}={quote(key, value, like)}{apart}{tail}"


def _leading_lines(original: str) -> str:
    """Return the blank lines before an assignment, which the parser counts as part of it."""
    blank = original[: len(original) - len(original.lstrip())]
    ends = [newline.end() for newline in _NEWLINE.finditer(blank)]
    return blank[: ends[-1]] if ends else ""


def _with_lines(text: str, lines: list[str], before: str) -> str:
    """Append lines; the text then ends with a newline if it did so before, and its newlines are of the same kind."""
    ends = before == "" or before.endswith(("\n", "\r"))
    if not lines:
        return text if ends else _LAST_NEWLINE.sub("", text)
    first = _NEWLINE.search(before)
    newline = first[0] if first else "\n"
    gap = newline if text and not text.endswith(("\n", "\r")) else ""
    return text + gap + newline.join(lines) + (newline if ends else "")
