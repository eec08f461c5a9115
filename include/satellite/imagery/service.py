"""The services: where each is, with which credentials, and what its refusals mean."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import requests
from oauthlib.oauth2.rfc6749.errors import MissingTokenError, OAuth2Error  # type: ignore[import-untyped]
from sentinelhub.exceptions import DownloadFailedException, OutOfRequestsException

from include.core.errors import BadInputError, GroundtruthError, SetupError, TransientError
from include.satellite.imagery.demo import demo_url
from include.satellite.params import Source

_TOKEN_PATH = "/auth/realms/main/protocol/openid-connect/token"  # noqa: S105 - a path
_REAL: dict[Source, tuple[str, str]] = {
    "sentinelhub": ("https://services.sentinel-hub.com", f"https://services.sentinel-hub.com{_TOKEN_PATH}"),
    "cdse": (
        "https://sh.dataspace.copernicus.eu",
        "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
    ),
}
WHERE_CREDENTIALS_GO = (
    "set the Airflow connection `sentinel_hub` (login: client id, password: client secret), or SH_CLIENT_ID and "
    "SH_CLIENT_SECRET in the environment"
)
CLIENT_ERRORS = (DownloadFailedException, OAuth2Error, requests.RequestException)
"""The failures of the official client that `translate` takes."""
_LONGEST_QUOTE = 300


@dataclass(frozen=True)
class Deployment:
    """One deployment of the API."""

    source: Source
    base_url: str
    token_url: str
    client_id: str
    client_secret: str


def deployment(source: Source) -> Deployment:
    """Return the deployment of a source; the demo's is started if it is not running.

    Raises:
        SetupError: There are no credentials, or the demo's stand-in did not start.
    """
    if source == "demo":
        url = demo_url()
        return Deployment(source, url, f"{url}{_TOKEN_PATH}", "demo", "demo")
    client_id, secret = (os.environ.get(name, "").strip() for name in ("SH_CLIENT_ID", "SH_CLIENT_SECRET"))
    if not (client_id and secret):
        raise SetupError(f"{source}: there are no credentials; {WHERE_CREDENTIALS_GO}")
    base_url, token_url = _REAL[source]
    return Deployment(source, base_url, token_url, client_id, secret)


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of a failed request; None if it was not answered."""
    response = _response(error)
    return None if response is None else response.status_code


def translate(error: Exception, deployment: Deployment) -> GroundtruthError:
    """Return a failure of the official client as one of ours, in words.

    Args:
        error: One of `CLIENT_ERRORS`.
        deployment: The service.
    """
    name, status = f"{deployment.source} ({deployment.base_url})", status_of(error)
    if isinstance(error, OutOfRequestsException):
        return TransientError(f"{name}: still answers 429 (too many requests) after many attempts")
    if isinstance(error, MissingTokenError):
        return TransientError(f"{deployment.token_url}: the answer holds no token")
    if isinstance(error, OAuth2Error):
        return _wrong_credentials(name, error.description or str(error))
    if status is None:
        return TransientError(f"{name}: cannot be reached: {_cause(error)}")
    if status == 401 or (status == 400 and _asked_for_token(error, deployment)):
        return _wrong_credentials(name, _quote(error))
    return _refusal(name, status, _quote(error))


def _wrong_credentials(name: str, quote: str) -> GroundtruthError:
    return SetupError(f"{name}: the credentials are wrong ({quote}); {WHERE_CREDENTIALS_GO}")


def _refusal(name: str, status: int, quote: str) -> GroundtruthError:
    if status == 403:
        return SetupError(
            f"{name}: refused (403): the account's processing units are used up, or it may not read this collection; "
            f"the service says: {quote}"
        )
    if status == 429 or status >= 500:
        return TransientError(f"{name}: answers {status} after several attempts: {quote}")
    return BadInputError(f"{name}: refuses the request ({status}): {quote}")


def _response(error: Exception) -> requests.Response | None:
    if isinstance(error, DownloadFailedException):
        error = error.request_exception or error
    response = getattr(error, "response", None)
    return response if isinstance(response, requests.Response) else None


def _asked_for_token(error: Exception, deployment: Deployment) -> bool:
    response = _response(error)
    return response is not None and str(response.url).startswith(deployment.token_url)


def _quote(error: Exception) -> str:
    """Return the service's own words; it has several forms of them."""
    response = _response(error)
    if response is None:
        return ""
    try:
        body: Any = json.loads(response.content)
    except ValueError:
        return response.text[:_LONGEST_QUOTE].strip()
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    for name in ("message", "description", "error_description", "error"):
        if isinstance(body, dict) and isinstance(body.get(name), str):
            return str(body[name]).strip()[:_LONGEST_QUOTE]
    return json.dumps(body)[:_LONGEST_QUOTE]


def _cause(error: Exception) -> str:
    if isinstance(error, DownloadFailedException) and error.request_exception is not None:
        error = error.request_exception
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    deepest: BaseException = error
    while (inner := _inner(deepest)) is not None:
        deepest = inner
    words = getattr(deepest, "strerror", None) or str(deepest)
    return str(words)[:_LONGEST_QUOTE] or type(deepest).__name__


def _inner(error: BaseException) -> BaseException | None:
    """Return what an error was raised from; urllib3 passes it on as `reason`, or among the arguments."""
    sources = (getattr(error, "reason", None), *error.args, error.__cause__)
    return next((source for source in sources if isinstance(source, BaseException)), None)
