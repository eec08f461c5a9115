"""Where the API is, and with which credentials: the demo's stand-in, Sentinel Hub, or Copernicus Data Space."""

from __future__ import annotations

import os
from dataclasses import dataclass

from include.core.errors import SetupError
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


@dataclass(frozen=True)
class Deployment:
    """One deployment of the API."""

    source: Source
    base_url: str
    token_url: str
    client_id: str
    client_secret: str


def deployment(source: Source) -> Deployment:
    """The deployment of a source; the demo's is started if it is not running.

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
