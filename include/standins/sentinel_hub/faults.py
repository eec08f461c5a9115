"""Injected faults: rules about which requests go wrong, how, and how often."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from threading import Lock
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Operation = Literal["token", "catalog", "process"]
Failing = Literal["rate_limit", "server_error", "dropped", "expired_token", "wrong_credentials", "quota"]
"""Kinds that answer with an error, or with nothing."""
Spoiling = Literal["truncated", "zeros", "garbage", "wrong_size"]
"""Kinds that answer 200 with something that is not the data."""
Kind = Literal["latency", Failing, Spoiling]
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
    retry_after: int = Field(1000, ge=0, description="Of the rate limit, in milliseconds as Sentinel Hub states it.")
    _seen: int = 0
    _struck: int = 0

    def model_post_init(self, _: Any) -> None:
        """Seed the probability."""
        self._random = random.Random(self.seed)  # noqa: S311 - not for secrets

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
        return ("process",) if self.kind in get_args(Spoiling) else ("catalog", "process")

    def strikes(self, target: Target) -> bool:
        """Whether a request goes wrong; counts the requests that the rule matches, and those that it strikes."""
        if not self.matches(target) or (self.times is not None and self._struck >= self.times):
            return False
        self._seen += 1
        strikes = self._seen > self.skip and (self.probability == 1 or self._random.random() < self.probability)
        self._struck += strikes
        return strikes

    def listed(self) -> dict[str, object]:
        """Return the rule with how often it struck."""
        return {**self.model_dump(mode="json", exclude_none=True), "struck": self._struck}


class Faults:
    """The rules of a running server; safe for threads."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> list[dict[str, object]]:
        """Add a rule, and return all; the first that matches counts (latency beside others)."""
        with self._lock:
            self._rules.append(fault)
        return self.listed()

    def clear(self) -> list[dict[str, object]]:
        """Remove all rules; returns those that are left."""
        with self._lock:
            self._rules.clear()
        return self.listed()

    def listed(self) -> list[dict[str, object]]:
        """Return the rules, each with how often it struck."""
        with self._lock:
            return [rule.listed() for rule in self._rules]

    def strike(self, target: Target) -> list[Fault]:
        """Return what goes wrong with a request: latencies, then at most one other fault."""
        with self._lock:
            waits = [rule for rule in self._rules if rule.kind == "latency" and rule.strikes(target)]
            others = (rule for rule in self._rules if rule.kind != "latency" and rule.strikes(target))
            return [*waits, *islice(others, 1)]


def spoilt(content: bytes, kind: Kind, seed: int) -> bytes:
    """Return a TIFF that is not the data: cut off, random bytes, all zero, or half as wide."""
    if kind == "truncated":
        return content[: len(content) * 2 // 5]
    if kind == "garbage":
        return random.Random(seed).randbytes(len(content))  # noqa: S311 - not for secrets
    from rasterio.io import MemoryFile

    with MemoryFile(content) as source, source.open() as file, MemoryFile() as target:
        width = max(1, file.width // 2) if kind == "wrong_size" else file.width
        bands = file.read()[:, :, :width]
        with target.open(**{**file.profile, "width": width}) as spoilt_file:
            spoilt_file.write(bands * 0 if kind == "zeros" else bands)
        return bytes(target.read())
