"""Receiving a file whose size and checksum are stated: it is hashed while it arrives, and never grows beyond them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType

from include.core.errors import ContractError, TransientError


class Incoming:
    """A file that arrives in pieces; it takes its place once it is complete and its checksum is right.

    Args:
        place: Where it will lie.
        name: What users call it.
        sha256: Checksum that was stated.
        length: Size that was stated (bytes); None where it is only limited.
        max_bytes: How large it may be.

    Raises:
        ContractError: It is larger than was stated or allowed, or has another checksum.
        TransientError: It ended early.
    """

    def __init__(self, place: Path, name: str, sha256: str, *, length: int | None, max_bytes: int) -> None:
        if length is not None and length > max_bytes:
            raise ContractError(name, f"must be at most {max_bytes:,} bytes (max_bytes)", f"{length:,} bytes")
        self.place, self.name, self.sha256, self.length = place, name, sha256, length
        self.most = max_bytes if length is None else length
        self.size, self._digest = 0, hashlib.sha256()
        self._part = place.with_name(f".{place.name}.{os.getpid()}.{id(self)}.part")

    def __enter__(self) -> Incoming:
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("xb")
        return self

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self.size += len(piece)
        if self.size > self.most:
            rule = "must not be longer than its service states" if self.length is not None else "must not be larger"
            raise ContractError(self.name, rule, f"more than {self.most:,} bytes")
        self._digest.update(piece)
        self._file.write(piece)

    def finish(self) -> None:
        """Check the file, and let it take its place."""
        if self.length is not None and self.size < self.length:
            raise TransientError(f"{self.name}: ended after {self.size:,} of {self.length:,} bytes")
        if self._digest.hexdigest() != self.sha256:
            found = f"{self._digest.hexdigest()[:12]}…"
            raise ContractError(self.name, f"must have the stated checksum {self.sha256[:12]}…", found)
        self._file.close()
        self._part.replace(self.place)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)
