"""What the API's refusals mean, in words: what may pass by itself, and what somebody has to mend."""

from __future__ import annotations

import json
from typing import Any

import requests
from oauthlib.oauth2.rfc6749.errors import MissingTokenError, OAuth2Error  # type: ignore[import-untyped]
from sentinelhub.exceptions import DownloadFailedException, OutOfRequestsException

from include.core.errors import BadInputError, GroundtruthError, SetupError, TransientError
from include.satellite.imagery.deployment import WHERE_CREDENTIALS_GO, Deployment

UNDERSTOOD = (DownloadFailedException, OAuth2Error, requests.RequestException)
_SAID_AT_MOST = 300


def status_of(error: Exception) -> int | None:
    """The HTTP status that a failed request was answered with; None if it was not answered."""
    response = _response(error)
    return None if response is None else response.status_code


def in_words(error: Exception, deployment: Deployment) -> GroundtruthError:
    """Translate a failure of the official client.

    Args:
        error: One of `UNDERSTOOD`.
        deployment: Whom we asked.
    """
    who, status = f"{deployment.source} ({deployment.base_url})", status_of(error)
    if isinstance(error, OutOfRequestsException):
        return TransientError(f"{who}: still answers 429 (too many requests) after many attempts")
    if isinstance(error, MissingTokenError):
        return TransientError(f"{deployment.token_url}: the answer holds no token")
    if isinstance(error, OAuth2Error):
        return _wrong_credentials(who, error.description or str(error))
    if status is None:
        return TransientError(f"{who}: cannot be reached: {_cause(error)}")
    if status == 401 or (status == 400 and _asked_for_token(error, deployment)):
        return _wrong_credentials(who, _said(error))
    return _refusal(who, status, _said(error))


def _wrong_credentials(who: str, said: str) -> GroundtruthError:
    return SetupError(f"{who}: the credentials are wrong ({said}); {WHERE_CREDENTIALS_GO}")


def _refusal(who: str, status: int, said: str) -> GroundtruthError:
    if status == 403:
        return SetupError(
            f"{who}: refused (403): the account's processing units are used up, or it may not read this collection; "
            f"the service says: {said}"
        )
    if status == 429 or status >= 500:
        return TransientError(f"{who}: answers {status} after several attempts: {said}")
    return BadInputError(f"{who}: refuses the request ({status}): {said}")


def _response(error: Exception) -> requests.Response | None:
    if isinstance(error, DownloadFailedException):
        error = error.request_exception or error
    response = getattr(error, "response", None)
    return response if isinstance(response, requests.Response) else None


def _asked_for_token(error: Exception, deployment: Deployment) -> bool:
    response = _response(error)
    return response is not None and str(response.url).startswith(deployment.token_url)


def _said(error: Exception) -> str:
    """The service's own words; it has several forms of them."""
    response = _response(error)
    if response is None:
        return ""
    try:
        body: Any = json.loads(response.content)
    except ValueError:
        return response.text[:_SAID_AT_MOST].strip()
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    for name in ("message", "description", "error_description", "error"):
        if isinstance(body, dict) and isinstance(body.get(name), str):
            return str(body[name]).strip()[:_SAID_AT_MOST]
    return json.dumps(body)[:_SAID_AT_MOST]


def _cause(error: Exception) -> str:
    if isinstance(error, DownloadFailedException) and error.request_exception is not None:
        error = error.request_exception
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    deepest: BaseException = error
    while (inner := _inner(deepest)) is not None:
        deepest = inner
    said = getattr(deepest, "strerror", None) or str(deepest)
    return str(said)[:_SAID_AT_MOST] or type(deepest).__name__


def _inner(error: BaseException) -> BaseException | None:
    """What an error was raised from; urllib3 hands it on as `reason`, or among the arguments."""
    given = (getattr(error, "reason", None), *error.args, error.__cause__)
    return next((each for each in given if isinstance(each, BaseException)), None)
