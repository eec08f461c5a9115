"""`./pipeline services`: what definitions name is started, shown and stopped; any service can be checked."""

import json
import socket

import pytest
from typer.testing import CliRunner

from include.cli import services
from include.cli.app import app
from include.cli.services import named_services, pool_command, start, stop
from include.control.serve import hold_folder
from include.control.service import Service, ServiceSettings
from include.core.domain import Pool
from include.core.errors import BadInputError, SetupError
from tests.control.serving import served
from tests.control.small_steps import STEPS

RUNNER = CliRunner()


@pytest.fixture
def defined(tmp_path, data_dir, monkeypatch):
    """Write a definition whose services are at these URLs; the steps are of the energy domain."""

    def define(name="energy-services", *, outputs=False, **urls):
        ids = ["energy-generator", "energy-analyzer", "report-generator"]
        files = ["energy_data.csv", "output1.json", "output2.json"] if outputs else [[], [], []]
        names = [*urls, *[None] * 3]
        containers = [
            {"id": step, "output_file": files[i]} | ({"service": names[i]} if names[i] else {})
            for i, step in enumerate(ids)
        ]
        document = {
            "workflow_name": name,
            "services": {n: u if isinstance(u, dict) else {"url": u} for n, u in urls.items()},
            "containers": containers,
        }
        (tmp_path / "definitions" / f"{name}.json").write_text(json.dumps(document))

    (tmp_path / "definitions").mkdir()
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(tmp_path / "definitions"))
    services.get_settings.cache_clear()
    return define


@pytest.fixture
def small(tmp_path):
    with served(Service(STEPS, ServiceSettings("small", tmp_path / "service"))) as client:
        yield client.endpoint.url


def test_a_service_of_several_definitions_is_named_once(defined):
    defined(one="http://127.0.0.1:1", two="https://far.example")
    defined("other", one="http://127.0.0.1:1")
    first, second = named_services()
    assert (first.name, first.steps, first.is_local) == ("one", ("energy-generator",), True)
    assert (second.name, second.steps, second.is_local) == ("two", ("energy-analyzer",), False)
    defined("third", one="http://127.0.0.1:2")
    with pytest.raises(BadInputError, match=r"the service one is at .*1 and at .*2"):
        named_services()


def test_a_service_is_started_shown_and_stopped(defined):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    defined(one=f"http://127.0.0.1:{port}", two="https://far.example")
    result = RUNNER.invoke(app, ["services", "up"])
    try:
        assert result.exit_code == 0, result.output
        assert f"one: started at http://127.0.0.1:{port}" in result.output
        assert "two: runs at https://far.example, not on this machine" in result.output
        assert "one: runs already" in RUNNER.invoke(app, ["services", "up"]).output
    finally:
        assert "one: stopped" in RUNNER.invoke(app, ["services", "down"]).output
    (service, _) = named_services()
    assert not stop(service)


def test_the_pool_of_a_service_counts_steps_that_wait_for_it():
    assert pool_command(Pool("a", 2, "b", True)) == ["pools", "set", "--include-deferred", "a", "2", "b"]
    assert pool_command(Pool("a", 2, "b")) == ["pools", "set", "a", "2", "b"]


def test_services_over_grpc_are_started_and_shown_too(defined):
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        ports = [free.getsockname()[1] for free in (one, two)]
    addresses = {
        name: {"url": f"http://127.0.0.1:{port}", "protocol": protocol}
        for name, port, protocol in zip(("one", "two"), ports, ("grpc", "container-executor"), strict=True)
    }
    defined(**addresses, outputs=True)
    try:
        up = RUNNER.invoke(app, ["services", "up"])
        assert up.exit_code == 0, up.output
        shown = RUNNER.invoke(app, ["services", "status"]).output
        assert "✓ one" in shown
        assert "✓ two" in shown
        assert "version not stated" in shown
    finally:
        down = RUNNER.invoke(app, ["services", "down"]).output
    assert ("one: stopped" in down, "two: stopped" in down) == (True, True)


def test_a_service_that_cannot_start_says_why(defined, monkeypatch):
    defined(one="http://127.0.0.1:1")
    (service,) = named_services()
    service.folder.mkdir(parents=True)
    with hold_folder(service.folder), pytest.raises(SetupError, match=r"did not start .*another server"):
        start(service)


def test_the_state_of_services_is_shown_and_one_that_is_down_is_a_failure(defined, small):
    defined(one=small)
    shown = RUNNER.invoke(app, ["services", "status"])
    assert (shown.exit_code, "✓ one" in shown.output, "0 of 1 tasks run, 0 wait" in shown.output) == (0, True, True)
    defined(one="http://127.0.0.1:7")
    down = RUNNER.invoke(app, ["services", "status"])
    assert down.exit_code == 1
    assert "✗ service one (http://127.0.0.1:7): cannot be reached" in down.output


def test_a_check_shows_every_rule(small):
    good = RUNNER.invoke(app, ["services", "check", small, "--operation", "measure", "--params", '{"rows": 1}'])
    assert (good.exit_code, good.output.count("✓")) == (0, 7)
    bad = RUNNER.invoke(app, ["services", "check", small, "--operation", "fail"])
    assert bad.exit_code == 1
    assert "✗ fail runs once, however often it is asked for: rows: 2 is not usable" in bad.output
    odd = RUNNER.invoke(app, ["services", "check", small, "--params", "{"])
    assert (odd.exit_code, "--params: is not JSON" in odd.output) == (1, True)
