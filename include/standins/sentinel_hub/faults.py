"""Injected faults: rules about which requests go wrong, how, and how often."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
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
LONGEST_RANGE = timedelta(days=366)
"""Rules for dates strike requests whose time range is at most this long."""


@dataclass(frozen=True)
class Target:
    """What a request asks for, as far as faults are aimed at it."""

    operation: Operation
    start: date | None = None
    end: date | None = None
    bands: tuple[str, ...] = ()


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

    def matches(self, target: Target) -> bool:
        """Whether a request is one of those that the rule is aimed at."""
        if target.operation not in self._operations() or (self.band is not None and self.band not in target.bands):
            return False
        if self.dates is None:
            return True
        if target.start is None or target.end is None or target.end - target.start > LONGEST_RANGE:
            return False
        return any(target.start <= day <= target.end for day in self.dates)

    def _operations(self) -> tuple[str, ...]:
        if self.operation:
            return (self.operation,)
        if self.kind == "wrong_credentials":
            return ("token",)
        return ("process",) if self.kind in SPOILING else ("catalog", "process")


class Faults:
    """The rules of a running server; safe for threads."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        """Add a rule; the first that matches counts (latency beside others)."""
        with self._lock:
            self._rules.append(_Rule(fault, random.Random(fault.seed)))  # noqa: S311 - not for secrets

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()

    def listed(self) -> list[dict[str, object]]:
        """Return the rules, each with how often it struck."""
        with self._lock:
            return [
                {**rule.fault.model_dump(mode="json", exclude_none=True), "struck": rule.struck} for rule in self._rules
            ]

    def strike(self, target: Target) -> list[Fault]:
        """Return what goes wrong with a request: latencies, then at most one other fault."""
        with self._lock:
            waits = [rule.fault for rule in self._rules if rule.fault.kind == "latency" and rule.strikes(target)]
            for rule in self._rules:
                if rule.fault.kind != "latency" and rule.strikes(target):
                    return [*waits, rule.fault]
            return waits


@dataclass
class _Rule:
    fault: Fault
    random: random.Random
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)

    def strikes(self, target: Target) -> bool:
        fault = self.fault
        if not fault.matches(target) or (fault.times is not None and self.struck >= fault.times):
            return False
        self.seen += 1
        if self.seen <= fault.skip or (fault.probability < 1 and self.random.random() >= fault.probability):
            return False
        self.struck += 1
        return True


def spoilt(content: bytes, kind: Kind, seed: int) -> bytes:
    """Return a TIFF that is not the data: cut off, all zero, or random bytes."""
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
