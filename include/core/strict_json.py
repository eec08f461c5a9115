r"""Parse JSON as RFC 8259 defines it, within limits that keep memory bounded.

Python's parser accepts more than the standard: NaN, infinite numbers, repeated keys. Programs disagree about these
(of a repeated key one reads the first value, another the last), so a document that holds them proves nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, count
from typing import IO, Any, Never

MAX_BYTES = 64 * 1024**2
"""Of a document, which is held in memory as a whole; more belongs into JSON Lines or Parquet."""
MAX_VALUES = 4_000_000
"""Of a document: with up to some 100 bytes for each, and the text, a parser takes less than 1 GB."""
MAX_DEPTH = 100
"""Objects and arrays within each other; many parsers give up at a few hundred."""
MAX_LINE_BYTES = 16 * 1024**2
"""Of a line of JSON Lines."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(content: bytes) -> Any:
    """Parse a JSON document.

    >>> parse(b'{"energy_kwh": 1.5}')
    {'energy_kwh': 1.5}
    >>> parse(b'{"energy_kwh": 1.5, "energy_kwh": 2.5}')
    Traceback (most recent call last):
    ValueError: the key 'energy_kwh' appears more than once in an object

    Args:
        content: The document, UTF-8.

    Raises:
        ValueError: It is not JSON, or exceeds a limit of this module.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes")
    _check_structure(content)
    document = json.loads(
        content.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite
    )
    if _SURROGATE.search(content):
        _check_texts(document)
    return document


def lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a JSON Lines file, each with one document that `parse` accepts.

    Raises:
        ValueError: A line is empty, is too long, is not JSON, or has no line break at its end; names the line.
    """
    for number in count(1):
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        try:
            _check_line(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        yield line


def _check_line(line: bytes) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"more than {MAX_LINE_BYTES:,} bytes")
    if not line.endswith(b"\n"):
        raise ValueError("no line break at its end: the file was cut short")
    if not line.strip():
        raise ValueError("an empty line")
    parse(line)


def _check_structure(content: bytes) -> None:
    """Count values and nesting outside of texts, before memory is spent on them."""
    outside = _STRING.sub(b"", content)
    values = sum(map(outside.count, (b",", b"[", b"{")))
    if values > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    brackets = outside.translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise ValueError(f"objects and arrays nested deeper than {MAX_DEPTH}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        [(repeated, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {repeated[:80]!r} appears more than once in an object")
    return members


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large: programs read it as infinite")
    return number


def _check_texts(document: Any) -> None:
    """Check that no text holds half of a surrogate pair, which cannot be written as UTF-8."""
    json.dumps(document, ensure_ascii=False).encode()
