"""Access of a client: tokens that expire, and the account's request limits."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import jwt

from include.standins.sentinel_hub.errors import rate_limited

AT_ONCE = 2
_ALGORITHM = "HS256"
_BUSY_MS = 200.0


class Tokens:
    """Issues JSON Web Tokens and checks them; the key is that of this process.

    Args:
        seconds: How long a token is valid.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._key = secrets.token_bytes(32)

    def issue(self, client: str) -> str:
        """Return a token for a client; its payload names it as `azp`."""
        now = int(time.time())
        claims = {"azp": client, "iat": now, "exp": now + self.seconds, "jti": secrets.token_hex(8)}
        return jwt.encode(claims, self._key, _ALGORITHM)

    def is_valid(self, token: str) -> bool:
        """Whether this process issued the token and it has not expired."""
        try:
            jwt.decode(token, self._key, algorithms=[_ALGORITHM])
        except jwt.InvalidTokenError:
            return False
        return True


class Limits:
    """A bucket of requests that fills continuously, and at most two requests at once; no limits if it has size 0.

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
        """Hold the place of one request.

        Raises:
            ApiError: 429, with the time until it would be served.
        """
        with self._lock:
            if self.per_minute:
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
