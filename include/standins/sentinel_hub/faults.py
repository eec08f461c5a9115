"""Faults on request: which requests go wrong, how, and how often."""

from __future__ import annotations

import random
from datetime import date, timedelta
from threading import Lock
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "latency",
    "rate_limit",
    "server_error",
    "dropped",
    "truncated",
    "zeros",
    "garbage",
    "wrong_size",
    "expired_token",
    "wrong_credentials",
    "quota",
]
Operation = Literal["token", "catalog", "process"]
SPOILING: tuple[Kind, ...] = ("truncated", "zeros", "garbage", "wrong_size")
"""Kinds that answer 200 with something that is not the data."""


class Fault(BaseModel):
    """One rule: requests that it matches go wrong, until it is used up."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    operation: Operation | None = Field(None, description="Default: where the kind belongs, else catalog and process.")
    times: int | None = Field(None, ge=1, description="How often; without it, always.")
    skip: int = Field(0, ge=0, description="Matching requests that go well first.")
    probability: float = Field(1.0, gt=0, le=1)
    seed: int = Field(0, description="Of the probability.")
    dates: list[date] | None = Field(None, description="Only requests whose time range holds one of these days.")
    band: str | None = Field(None, description="Only process requests whose script reads this band.")
    seconds: float = Field(1.0, ge=0, description="Of the latency.")
    status: int = Field(503, ge=500, le=599, description="Of the server error.")
    retry_after: int = Field(1000, ge=0, description="Of the rate limit.")
    unit: Literal["ms", "s"] = Field("ms", description="Of retry_after; Sentinel Hub and its client have milliseconds.")


class Asked(BaseModel):
    """A request, as far as faults are aimed at it."""

    operation: Operation
    start: date | None = None
    end: date | None = None
    bands: tuple[str, ...] = ()


class Faults:
    """The rules of a running server; safe for threads."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        """Add a rule; the first that matches counts (latency beside others)."""
        with self._lock:
            self._rules.append(_Rule(fault))

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()

    def listed(self) -> list[dict[str, object]]:
        """The rules, each with how often it struck."""
        with self._lock:
            return [
                {**rule.fault.model_dump(mode="json", exclude_none=True), "struck": rule.struck} for rule in self._rules
            ]

    def strike(self, asked: Asked) -> list[Fault]:
        """What goes wrong with a request: latencies, then at most one other fault."""
        with self._lock:
            waits = [rule.fault for rule in self._rules if rule.fault.kind == "latency" and rule.strikes(asked)]
            for rule in self._rules:
                if rule.fault.kind != "latency" and rule.strikes(asked):
                    return [*waits, rule.fault]
            return waits


class _Rule:
    def __init__(self, fault: Fault) -> None:
        self.fault, self.seen, self.struck = fault, 0, 0
        self.random = random.Random(fault.seed)  # noqa: S311 - not for secrets

    def strikes(self, asked: Asked) -> bool:
        fault = self.fault
        if not self._matches(asked) or (fault.times is not None and self.struck >= fault.times):
            return False
        self.seen += 1
        if self.seen <= fault.skip or (fault.probability < 1 and self.random.random() >= fault.probability):
            return False
        self.struck += 1
        return True

    def _matches(self, asked: Asked) -> bool:
        fault = self.fault
        if asked.operation not in self._operations():
            return False
        if fault.band is not None and fault.band not in asked.bands:
            return False
        if fault.dates is None:
            return True
        if asked.start is None or asked.end is None or asked.operation != "process":
            return False
        return asked.end - asked.start <= timedelta(days=366) and any(
            asked.start <= day <= asked.end for day in fault.dates
        )

    def _operations(self) -> tuple[str, ...]:
        if self.fault.operation:
            return (self.fault.operation,)
        if self.fault.kind == "wrong_credentials":
            return ("token",)
        return ("process",) if self.fault.kind in SPOILING else ("catalog", "process")


def spoilt(content: bytes, kind: Kind, seed: int) -> bytes:
    """A TIFF that is not the data: cut off, all zero, or no TIFF at all."""
    if kind == "truncated":
        return content[: len(content) * 2 // 5]
    if kind == "garbage":
        return random.Random(seed).randbytes(len(content))  # noqa: S311 - not for secrets
    return _zeros(content) if kind == "zeros" else content


def _zeros(content: bytes) -> bytes:
    from rasterio.io import MemoryFile

    with MemoryFile(content) as memory, memory.open() as file:
        profile, bands = file.profile, file.read()
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(bands * 0)
        return bytes(memory.read())
