"""Access tokens: JWTs signed by this process, valid for a while."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time


class Tokens:
    """Issues tokens and checks them.

    Args:
        seconds: How long a token is valid.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._key = secrets.token_bytes(32)

    def issue(self, client: str) -> str:
        """A token for a client; its payload names it as `azp`."""
        now = int(time.time())
        payload = {"azp": client, "iat": now, "exp": now + self.seconds, "jti": secrets.token_hex(8)}
        signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(payload)}"
        return f"{signed}.{self._signature(signed)}"

    def is_valid(self, token: str) -> bool:
        """Whether this process issued the token and it has not expired."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature, self._signature(signed)):
            return False
        payload = signed.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return bool(claims["exp"] > time.time())

    def _signature(self, signed: str) -> str:
        digest = hmac.new(self._key, signed.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _encoded(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
