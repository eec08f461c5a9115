"""Output as lines: complete, in pieces, and overwritten ones as a line that changes."""

import itertools

import pytest

from include.core.output import Line, OutputLines


def lines_of(*chunks, seconds_between=0.0):
    moments = itertools.count(0, seconds_between) if seconds_between else itertools.repeat(0)
    output = OutputLines(clock=lambda: next(moments))
    return [line for chunk in chunks for line in output.feed(chunk)] + list(output.end())


@pytest.mark.parametrize(
    "chunks", [[b"one\ntwo\r\nthree"], [b"o", b"ne\ntwo\r", b"\nth", b"ree"], [b"one\ntwo\nthree\r"]]
)
def test_lines_end_with_a_line_feed_however_the_output_arrives(chunks):
    assert lines_of(*chunks) == [Line("one"), Line("two"), Line("three")]


def test_a_megabyte_of_a_progress_bar_is_a_line_now_and_then_and_its_last_state():
    bar = b"".join(b"\r%6d of 100000 |####      |" % number for number in range(100_000)) + b"\r100000 of 100000\n"
    chunks = [bar[at : at + 64_000] for at in range(0, len(bar), 64_000)]
    lines = lines_of(*chunks, seconds_between=0.001)
    assert lines[-1] == Line("100000 of 100000")
    assert all(line.overwritten for line in lines[:-1])
    assert 20 <= len(lines) <= 60, "100 s and more of it: one in five seconds"


def test_a_bar_of_a_moment_leaves_its_last_state_alone():
    assert lines_of(b"10 %\r50 %\r100 %\n", seconds_between=0.1) == [Line("100 %")]


def test_what_is_no_utf8_is_shown_as_such():
    assert lines_of(b"caf\xe9\n") == [Line("caf\ufffd")]
