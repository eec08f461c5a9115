"""Our own server keeps to the protocol; a service that breaks a rule is found."""

from types import SimpleNamespace

import pytest

from include.control.check import check_service
from include.control.client import ServiceClient
from include.control.service import Service, ServiceSettings
from tests.control.serving import served
from tests.control.small_steps import STEPS


@pytest.fixture
def client(tmp_path):
    with served(Service(STEPS, ServiceSettings("small", tmp_path))) as client:
        yield client


def test_our_server_keeps_to_every_rule(client):
    results = list(check_service(client, "measure", {"rows": 1}))
    assert [fault for _, fault in results if fault] == []
    assert len(results) == 7


@pytest.mark.parametrize(
    ("method", "answer", "rule"),
    [
        ("status", lambda *asked: SimpleNamespace(state="complete"), "a task that was never asked for is unknown"),
        ("push", lambda *asked: True, "PUT /data takes a file once, and GET returns its bytes"),
        ("push", lambda *asked: False, "PUT /data refuses a file of another checksum"),
        ("execute", lambda *asked: SimpleNamespace(state="queued"), "an operation that does not exist is refused"),
    ],
)
def test_a_broken_rule_is_named(client, monkeypatch, method, answer, rule):
    monkeypatch.setattr(ServiceClient, method, answer)
    assert rule in [rule for rule, fault in check_service(client) if fault]


def test_an_operation_that_fails_is_a_fault_with_its_cause(client):
    faults = [fault for _, fault in check_service(client, "fail", {"rows": 3}) if fault]
    assert faults[0] == "rows: 3 is not usable"
