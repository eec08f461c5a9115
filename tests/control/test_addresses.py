"""Each step has one service, and what cannot run is told before a run begins."""

import socket

import pytest

from include.control.addresses import address_of, default_address, service_faults
from include.core.definitions.model import ServiceAddress
from include.core.errors import SetupError
from include.core.settings import get_settings
from tests.control.small_steps import STEPS
from tests.core.small_pipeline import pipeline, spec

KNOWN = tuple(STEPS.values())


@pytest.fixture
def address():
    """Of a port that is listened on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ServiceAddress(url=f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_the_service_of_the_deployment_does_what_no_definition_names(monkeypatch, address):
    plain = pipeline(spec("measure"), known=KNOWN)["measure"]
    named = pipeline(spec("measure", service="small", address=address), known=KNOWN)["measure"]
    with pytest.raises(SetupError, match=r"measure: no service does its work; .*GROUNDTRUTH_SERVICE_URL"):
        address_of(plain)
    assert default_address() is None
    monkeypatch.setenv("GROUNDTRUTH_SERVICE_URL", "http://a:1")
    monkeypatch.setenv("GROUNDTRUTH_SERVICE_CONNECTION", "account")
    get_settings.cache_clear()
    assert address_of(plain) == ("default", ServiceAddress(url="http://a:1", connection="account"))
    assert address_of(named) == ("small", address)
    get_settings.cache_clear()


def test_a_service_of_this_machine_that_does_not_run_is_told_before_a_run(address):
    closed = ServiceAddress(url="http://127.0.0.1:9")
    steps = {at: pipeline(spec("measure", service="small", address=at), known=KNOWN).steps for at in (address, closed)}
    assert list(service_faults(steps[address], "local")) == []
    (fault,) = service_faults(steps[closed] * 2, "local")
    assert fault == (
        "nothing answers at the address of small (http://127.0.0.1:9); start the service first (./pipeline services up)"
    )


def test_a_runtime_of_services_without_one_is_told_once():
    steps = pipeline(spec("measure"), spec("fail"), known=KNOWN).steps
    assert list(service_faults(steps, "local")) == []
    (fault,) = service_faults(steps, "service")
    assert "no service does its work" in fault
