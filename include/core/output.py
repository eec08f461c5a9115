"""The output of a program as lines, of which some are overwritten: a progress bar is one line that changes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

END = re.compile(rb"\r\n|\r|\n")
LONGEST_LINE = 64 * 1024
"""Bytes; a longer line is passed on in pieces, so that one without an end fills no memory."""
SHOWN_EVERY_S = 5.0


class Line(NamedTuple):
    """A line of output.

    Args:
        text: Without its end.
        overwritten: Whether the program wrote over it (a carriage return followed).
    """

    text: str
    overwritten: bool = False


class OutputLines:
    """Takes output apart into lines; of those that are overwritten, one every five seconds.

    Args:
        clock: Of seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest, self._clock = b"", clock
        self._shown = clock()

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Yield the lines that end in a further piece of output."""
        text, begin = self._rest + chunk, 0
        for end in END.finditer(text):
            if end[0] == b"\r" and end.end() == len(text):
                break  # a line feed may follow
            yield from self._ended(text[begin : end.start()], overwritten=end[0] == b"\r")
            begin = end.end()
        self._rest = text[begin:]
        while len(self._rest) > LONGEST_LINE:
            yield Line(_decoded(self._rest[:LONGEST_LINE]))
            self._rest = self._rest[LONGEST_LINE:]

    def end(self) -> Iterator[Line]:
        """Yield the last line, where the output does not end with a line feed."""
        rest, self._rest = self._rest.rstrip(b"\r"), b""
        if rest:
            yield Line(_decoded(rest))

    def _ended(self, line: bytes, *, overwritten: bool) -> Iterator[Line]:
        if not overwritten:
            for begin in range(0, max(len(line), 1), LONGEST_LINE):
                yield Line(_decoded(line[begin : begin + LONGEST_LINE]))
        elif line.strip() and self._clock() - self._shown >= SHOWN_EVERY_S:
            self._shown = self._clock()
            yield Line(_decoded(line[:LONGEST_LINE]), overwritten=True)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace")
