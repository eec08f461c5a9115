"""Errors as the API words them: `{"error": {status, reason, …}}`, in the catalog `{code, description}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: HTTP status.
        message: For people.
        code: For programs.
        errors: Which parameter breaks which rule.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.errors = status, message, code, errors
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The answer of the Process API."""
        error: dict[str, Any] = {
            "status": self.status,
            "reason": HTTPStatus(self.status).phrase,
            "message": self.message,
            "code": self.code,
        }
        return {"error": {**error, "errors": self.errors} if self.errors else error}

    def catalog_body(self) -> dict[str, Any]:
        """The answer of the Catalog API."""
        return {"code": self.status, "description": self.message}


def bad_payload(message: str, parameter: str | None = None) -> ApiError:
    """400: the request cannot be served as it stands."""
    errors = [{"parameter": parameter, "violation": message}] if parameter else None
    return ApiError(400, message + ("\n" if parameter else ""), "COMMON_BAD_PAYLOAD", errors)


def unauthorized() -> ApiError:
    """401: no token, or one that has expired."""
    return ApiError(
        401,
        "You are not authorized! Please provide a valid access token within the header "
        "[Authorization: Bearer <accessToken>] of your request.",
        "COMMON_UNAUTHORIZED",
    )


def forbidden() -> ApiError:
    """403: not allowed, or the account's quota is used up."""
    return ApiError(403, "You are not authorized to perform this action.", "COMMON_INSUFFICIENT_PERMISSIONS")


def rate_limited(milliseconds: float, unit: str, policy: str) -> ApiError:
    """429.

    Args:
        milliseconds: Until the next request would be served.
        unit: `ms` as Sentinel Hub states Retry-After, or `s` as other clients read it.
        policy: JSON of the violated policy.
    """
    wait = math.ceil(milliseconds if unit == "ms" else milliseconds / 1000)
    headers = {"Retry-After": str(wait), "X-RateLimit-Remaining": "0", "X-RateLimit-ViolatedPolicy": policy}
    return ApiError(429, "You have exceeded your rate limit", "RATE_LIMIT_EXCEEDED", headers=headers)
