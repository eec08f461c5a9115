"""A file takes its place once it is what was stated, and leaves nothing otherwise."""

import hashlib

import pytest

from include.control.transfer import Incoming
from include.core.errors import ContractError, TransientError

CONTENT = b"value\n1\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


def receive(place, *pieces, checksum=SHA, length=8, max_bytes=100):
    with Incoming(place, "a.csv", checksum, length=length, max_bytes=max_bytes) as incoming:
        for piece in pieces:
            incoming.write(piece)
        incoming.finish()


def test_a_file_in_pieces_takes_its_place(tmp_path):
    receive(tmp_path / "sub" / "a.csv", CONTENT[:3], CONTENT[3:])
    receive(tmp_path / "sub" / "a.csv", CONTENT, length=None)
    assert [path.read_bytes() for path in (tmp_path / "sub").iterdir()] == [CONTENT]


@pytest.mark.parametrize(
    ("pieces", "options", "error", "message"),
    [
        ([CONTENT[:3]], {}, TransientError, "ended after 3 of 8 bytes"),
        ([b"value\n2\n"], {}, ContractError, "stated checksum"),
        ([CONTENT, b"x"], {}, ContractError, "not be longer than its service states; found more than 8 bytes"),
        ([CONTENT] * 20, {"length": None}, ContractError, "must not be larger; found more than 100 bytes"),
        ([], {"max_bytes": 7}, ContractError, "at most 7 bytes"),
    ],
)
def test_another_file_leaves_nothing(tmp_path, pieces, options, error, message):
    (tmp_path / "in").mkdir()
    with pytest.raises(error, match=message):
        receive(tmp_path / "in" / "a.csv", *pieces, **options)
    assert list((tmp_path / "in").iterdir()) == []
