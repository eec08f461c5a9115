"""Which service does the work of a step."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from include.control.serve import is_loopback
from include.core.definitions.model import ServiceAddress
from include.core.errors import SetupError
from include.core.pipeline import PipelineStep
from include.core.settings import get_settings

DEFAULT_SERVICE = "default"
"""What the service of `GROUNDTRUTH_SERVICE_URL` is called."""
CONNECT_SECONDS = 2.0


def default_address() -> ServiceAddress | None:
    """Return where the service is that does what no definition gives to another; None without one."""
    settings = get_settings()
    if settings.service_url is None:
        return None
    return ServiceAddress(url=settings.service_url, connection=settings.service_connection)


def address_of(item: PipelineStep) -> tuple[str, ServiceAddress]:
    """Return name and address of the service that does a step's work.

    Raises:
        SetupError: Neither the definition nor the deployment names one.
    """
    if item.spec.service and item.spec.address:
        return item.spec.service, item.spec.address
    address = default_address()
    if address is None:
        raise SetupError(
            f"{item.step.id}: no service does its work; name one in the definition (services, service), or set "
            "GROUNDTRUTH_SERVICE_URL to one that offers the step"
        )
    return DEFAULT_SERVICE, address


def service_faults(steps: Iterable[PipelineStep], runtime: str) -> Iterator[str]:
    """Yield why steps cannot run in their services, as far as that shows without asking another machine.

    Args:
        steps: Of a pipeline.
        runtime: Where steps run that name no service.
    """
    closed: dict[str, bool] = {}
    for item in steps:
        if item.step.in_worker or not (item.spec.service or runtime == "service"):
            continue
        try:
            name, address = address_of(item)
        except SetupError as error:
            yield str(error)
            return  # the same holds for the others
        who = f"{name} ({address.url})"
        if who not in closed:
            closed[who] = is_loopback(urlsplit(address.url).hostname or "") and not _listens(address.url)
    names = [who for who, is_closed in closed.items() if is_closed]
    if names:
        start = "python -m include.control.serve" if names[0].startswith(DEFAULT_SERVICE) else "./pipeline services up"
        yield f"nothing answers at the address of {', '.join(names)}; start the service first ({start})"


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        with socket.create_connection((parts.hostname, port), CONNECT_SECONDS):
            return True
    except OSError:
        return False
