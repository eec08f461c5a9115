"""Errors in the form of the API: `{"error": {status, reason, …}}`, and `{code, description}` of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError


@dataclass(eq=False)
class ApiError(Exception):
    """An error that a request is answered with.

    Args:
        status: HTTP status; 0 closes the connection within the answer.
        message: For users.
        code: For programs.
        errors: Which parameter breaks which rule.
        headers: More headers of the answer.
    """

    status: int
    message: str
    code: str
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the body as the Process API words it."""
        error: dict[str, Any] = {
            "status": self.status,
            "reason": HTTPStatus(self.status).phrase,
            "message": self.message,
            "code": self.code,
        }
        return {"error": {**error, "errors": self.errors} if self.errors else error}

    def catalog_body(self) -> dict[str, Any]:
        """Return the body as the Catalog API words it."""
        return {"code": self.status, "description": self.message}


def bad_payload(message: str, parameter: str | None = None) -> ApiError:
    """Return a 400: the request cannot be served as it stands."""
    if parameter is None:
        return ApiError(400, message, "COMMON_BAD_PAYLOAD")
    return ApiError(400, f"{message}\n", "COMMON_BAD_PAYLOAD", [{"parameter": parameter, "violation": message}])


def unauthorized() -> ApiError:
    """Return a 401: no token, or one that has expired."""
    return ApiError(
        401,
        "You are not authorized! Please provide a valid access token within the header "
        "[Authorization: Bearer <accessToken>] of your request.",
        "COMMON_UNAUTHORIZED",
    )


def forbidden() -> ApiError:
    """Return a 403: not allowed, or the account's quota is used up."""
    return ApiError(403, "You are not authorized to perform this action.", "COMMON_INSUFFICIENT_PERMISSIONS")


def rate_limited(wait: int, policy: str) -> ApiError:
    """Return a 429.

    Args:
        wait: Milliseconds until the next request would be served, as Sentinel Hub states them in Retry-After.
        policy: JSON of the violated policy.
    """
    headers = {"Retry-After": str(wait), "X-RateLimit-Remaining": "0", "X-RateLimit-ViolatedPolicy": policy}
    return ApiError(429, "You have exceeded your rate limit", "RATE_LIMIT_EXCEEDED", headers=headers)


def first_problem(error: ValidationError) -> tuple[list[str], str]:
    """Return the path of the first parameter that breaks a rule, and what is wrong with it."""
    first = error.errors()[0]
    problem = "is missing" if first["type"] == "missing" else f"is not valid: {first['msg']}"
    return [str(part) for part in first["loc"]], problem
