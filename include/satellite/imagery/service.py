"""The services: where each is, with which credentials, and what its refusals mean."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from urllib.parse import urlsplit

import requests
from oauthlib.oauth2.rfc6749.errors import MissingTokenError, OAuth2Error  # type: ignore[import-untyped]
from sentinelhub.config import SHConfig
from sentinelhub.exceptions import DownloadFailedException, OutOfRequestsException

from include.core.errors import BadInputError, GroundtruthError, SetupError, TransientError
from include.satellite.imagery.demo import DEMO, demo_url
from include.satellite.imagery.schemas import FolderSource
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
LOOPBACK = ("127.0.0.1", "localhost", "::1")
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
CLIENT_ERRORS = (DownloadFailedException, OAuth2Error, requests.RequestException)
"""The failures of the official client that `translate` takes."""
UNREADABLE = "SCENE_UNREADABLE"
"""Code of the stand-in's answer where the files of a date are damaged: the date has no data, and the run goes on."""
_LONGEST_QUOTE = 300


def service_config(source: Source, folder: FolderSource | None = None) -> SHConfig:
    """Return addresses and credentials of a service for the client; the demo's is started if it is not running.

    A user's `config.toml` of the client is neither read nor written.

    Args:
        source: The service.
        folder: The folder of scenes that the demo's stand-in serves.

    Raises:
        SetupError: There are no credentials, or the demo's stand-in did not start.
    """
    config = SHConfig(use_defaults=True)
    if source == DEMO:
        url = demo_url(folder)
        config.sh_base_url, config.sh_token_url = url, f"{url}{_TOKEN_PATH}"
        config.sh_client_id, config.sh_client_secret = "demo", "demo"
    else:
        config.sh_base_url, config.sh_token_url = _REAL[source]
        config.sh_client_id, config.sh_client_secret = (
            os.environ.get(name, "").strip() for name in ("SH_CLIENT_ID", "SH_CLIENT_SECRET")
        )
    if not (config.sh_client_id and config.sh_client_secret):
        raise SetupError(f"{source}: there are no credentials; {WHERE_CREDENTIALS_GO}")
    if config.sh_base_url.startswith("http://"):  # the stand-in on the loopback device
        os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    prepare_network()
    return config


def prepare_network() -> None:
    """Keep loopback away from a proxy, and trust the certificates that the environment names.

    Raises:
        SetupError: A variable names a bundle of certificates that is not there.
    """
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in direct.split(",") if host.strip()]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))
    if bundle := os.environ.get("SSL_CERT_FILE"):  # the client reads the first of `CA_VARIABLES` alone
        os.environ.setdefault(CA_VARIABLES[0], bundle)
    for variable in CA_VARIABLES:
        path = os.environ.get(variable)
        if path and not os.path.exists(path):  # noqa: PTH110 - a file or a folder, as the variable has it
            raise SetupError(f"{variable}: no such file: {path}; name the certificates of your proxy, or unset it")


def retry_after_s(text: str | None, *, milliseconds: bool = False) -> float | None:
    """Return how long a service asks to wait, seconds; None where its header `Retry-After` is missing or unreadable.

    Args:
        text: Seconds or a date of HTTP (RFC 9110, 10.2.3).
        milliseconds: Whether a number is milliseconds, as Sentinel Hub states them
            (https://docs.sentinel-hub.com/api/latest/api/overview/rate-limiting/).
    """
    with suppress(ValueError):
        if isfinite(stated := float(text or "")):
            return max(stated, 0.0) / (1000 if milliseconds else 1)
    with suppress(ValueError, TypeError):
        return max((parsedate_to_datetime(text or "") - datetime.now(UTC)).total_seconds(), 0.0)
    return None


def unreadable_scene(error: Exception) -> str | None:
    """Return why a source cannot read the scene that was requested; None where the failure is another one."""
    response = response_of(error)
    if response is None or response.status_code != 400:
        return None
    try:
        details = response.json()["error"]
        return str(details["message"]) if details["code"] == UNREADABLE else None
    except (ValueError, KeyError, TypeError):
        return None


def response_of(error: Exception) -> requests.Response | None:
    """Return the response to a failed request; None if it was not answered."""
    response = getattr(_request_error(error), "response", None)
    return response if isinstance(response, requests.Response) else None


def translate(error: Exception, source: Source, config: SHConfig) -> GroundtruthError:
    """Return a failure of the official client as one of ours, in words.

    Args:
        error: One of `CLIENT_ERRORS`.
        source: The service.
        config: Its addresses.
    """
    name, response = f"{source} ({config.sh_base_url})", response_of(error)
    if isinstance(error, OutOfRequestsException):
        return TransientError(f"{name}: still answers 429 (too many requests) after many attempts")
    if isinstance(error, MissingTokenError):
        return TransientError(f"{config.sh_token_url}: the answer holds no token")
    if isinstance(error, OAuth2Error):
        return _wrong_credentials(name, error.description or str(error))
    if response is None:
        cause = _request_error(error)
        return TransientError(f"{name}: cannot be reached: {_cause(cause)}{network_remedy(cause, config.sh_base_url)}")
    status, quote = response.status_code, _quote(response)
    if status == 401 or (status == 400 and str(response.url).startswith(config.sh_token_url)):
        return _wrong_credentials(name, quote)
    return _refusal(name, status, quote)


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


def _request_error(error: Exception) -> Exception:
    """Return the error of the HTTP request that the client reports."""
    return getattr(error, "request_exception", None) or error


def _quote(response: requests.Response) -> str:
    """Return the service's own words; it has several forms of them."""
    try:
        body = response.json()
    except ValueError:
        return response.text[:_LONGEST_QUOTE].strip()
    if isinstance(body, dict):
        details = body["error"] if isinstance(body.get("error"), dict) else body
        for name in ("message", "description", "error_description", "error"):
            if isinstance(details.get(name), str):
                return str(details[name]).strip()[:_LONGEST_QUOTE]
        body = details
    return json.dumps(body)[:_LONGEST_QUOTE]


def _cause(error: BaseException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    while (inner := _inner(error)) is not None:
        error = inner
    words = getattr(error, "strerror", None) or str(error)
    return str(words)[:_LONGEST_QUOTE] or type(error).__name__


def network_remedy(error: Exception, url: str) -> str:
    """Return which variable of the environment to set where a proxy or a certificate stands in the way, else nothing.

    Args:
        error: Of a request.
        url: What was requested.
    """
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"; where a proxy inspects TLS, name its certificates in {CA_VARIABLES[0]} (now: "
            f"{os.environ.get(CA_VARIABLES[0]) or 'not set'})"
        )
    scheme = urlsplit(url).scheme
    names = [name for proxy in (f"{scheme}_proxy", "all_proxy") for name in (proxy, proxy.upper())]
    variable = next((name for name in names if os.environ.get(name)), None)
    if variable is None or not isinstance(error, requests.exceptions.ProxyError):
        return ""
    proxy = urlsplit(os.environ[variable])  # without user and password
    return (
        f"; the request goes through the proxy {proxy.hostname}:{proxy.port} of {variable}: correct it, or name "
        f"{urlsplit(url).hostname} in NO_PROXY"
    )


def _inner(error: BaseException) -> BaseException | None:
    """Return what an error was raised from; urllib3 passes it on as `reason`, or among the arguments."""
    sources = (getattr(error, "reason", None), *error.args, error.__cause__)
    return next((source for source in sources if isinstance(source, BaseException)), None)
