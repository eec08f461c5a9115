"""The request limits of an account: so many requests a minute, and two at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from include.standins.sentinel_hub.errors import rate_limited

AT_ONCE = 2
_BUSY_MS = 200.0


class Limits:
    """A bucket of requests that fills continuously; with a limit of 0 there is none, and none on requests at once.

    Args:
        per_minute: Requests a minute, also the bucket's size.
        unit: Of Retry-After: `ms` or `s`.
    """

    def __init__(self, per_minute: int, unit: str) -> None:
        self.per_minute, self.unit = per_minute, unit
        self._content, self._filled = float(per_minute), time.monotonic()
        self._running = 0
        self._lock = Lock()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold one request's place.

        Raises:
            ApiError: 429, with the time until it would be served.
        """
        if not self.per_minute:
            yield
            return
        with self._lock:
            self._take()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def _take(self) -> None:
        if self._running >= AT_ONCE:
            raise rate_limited(_BUSY_MS, self.unit, json.dumps({"concurrentRequests": AT_ONCE}))
        now, rate = time.monotonic(), self.per_minute / 60
        self._content = min(self.per_minute, self._content + (now - self._filled) * rate)
        self._filled = now
        if self._content < 1:
            policy = json.dumps({"samplingPeriod": "PT1M", "limit": self.per_minute})
            raise rate_limited((1 - self._content) / rate * 1000, self.unit, policy)
        self._content -= 1
