"""The protocol over HTTP, from a client's request to the files that it pulls."""

import hashlib
import json
import subprocess
import sys

import httpx
import pytest

from include.control.client import Endpoint, ServiceClient
from include.control.models import file_reference
from include.control.server import create_app, metrics_text, openapi
from include.control.service import Service, ServiceSettings
from include.core.errors import BadInputError, GroundtruthError, SetupError
from tests.control.serving import ended, served
from tests.control.small_steps import STEPS, asked

CONTENT = b"value\n1\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def client(tmp_path):
    service = Service(STEPS, ServiceSettings("small", tmp_path / "service"))
    with served(service, "secret") as client:
        yield client


def test_a_task_from_health_to_its_output(client, tmp_path):
    health = client.health()
    assert [operation.name for operation in health.operations] == list(STEPS)
    (tmp_path / "in.csv").write_bytes(CONTENT)
    assert client.push(tmp_path / "in.csv", SHA)
    assert not client.push(tmp_path / "in.csv", SHA)
    request = asked("copy", inputs=[file_reference("in.csv", SHA, len(CONTENT))])
    assert client.status(request.task) is None
    client.execute(request)
    status = ended(client, request.task)
    assert (status.state, status.version, status.service) == ("complete", health.version, "small")
    (output,) = client.output(request.task).outputs
    client.pull(request.task, output, tmp_path / "work" / "out.csv", 100)
    assert (tmp_path / "work" / "out.csv").read_bytes() == CONTENT
    assert client.cancel(request.task).state == "complete"
    assert client.tasks("d") == []


def test_tasks_that_go_on_are_listed_for_their_deployment_alone(client, tmp_path):
    (tmp_path / "in.csv").write_bytes(CONTENT)
    client.push(tmp_path / "in.csv", SHA)
    inputs = [file_reference("in.csv", SHA, len(CONTENT))]
    request = asked("copy", inputs=inputs, parameters={"seconds": 60})
    client.execute(request)
    assert [status.task for status in client.tasks("d")] == [request.task]
    assert client.tasks("other") == []
    client.cancel(request.task)
    assert ended(client, request.task).state == "cancelled"


def test_refusals_keep_their_class(client, tmp_path):
    with pytest.raises(BadInputError, match="no operation"):
        client.execute(asked("measure").model_copy(update={"operation": "divine"}))
    (tmp_path / "in.csv").write_bytes(CONTENT)
    with pytest.raises(GroundtruthError, match="stated checksum"):
        client.push(tmp_path / "in.csv", "0" * 64)
    request = asked("fail")
    client.execute(request)
    ended(client, request.task)
    with pytest.raises(Exception, match="is failed; only a complete one has outputs"):
        client.output(request.task)


def test_every_request_but_health_needs_the_token(client):
    url = client.endpoint.url
    assert httpx.get(f"{url}/health").status_code == 200
    for token in (None, "wrong"):
        with ServiceClient(Endpoint("small", url, token)) as other, pytest.raises(SetupError, match="refuses access"):
            other.tasks("d")
    assert httpx.get(f"{url}/data/{SHA}").status_code == 401


def test_requests_that_no_client_of_ours_makes_are_refused_in_words(client):
    headers, url = {"Authorization": "Bearer secret"}, client.endpoint.url
    assert httpx.get(f"{url}/control/status/short", headers=headers).json()["kind"] == "bad_input"
    odd = httpx.post(f"{url}/control/execute", headers=headers, content="{}")
    assert (odd.status_code, odd.json()["kind"]) == (422, "bad_input")
    long = httpx.post(f"{url}/control/execute", headers=headers, content=b" " * (9 << 20))
    assert long.status_code == 413
    pieces = httpx.put(f"{url}/data/{SHA}", headers=headers, content=iter([CONTENT]))
    assert pieces.status_code == 411


def test_metrics_count_tasks_by_operation_and_state(tmp_path):
    service = Service(STEPS, ServiceSettings("small", tmp_path, capacity=3))
    service.execute(asked("measure"))
    lines = metrics_text(service).splitlines()
    assert 'groundtruth_tasks{operation="measure",state="queued"} 1' in lines
    assert "groundtruth_capacity 3" in lines


def test_the_description_names_every_operation_and_resolves_every_reference():
    document = openapi()
    assert set(document["paths"]) == {
        "/health", "/control/execute", "/control/status/{task}", "/control/output/{task}", "/control/cancel/{task}",
        "/control/tasks", "/data/{sha256}", "/metrics",
    }  # fmt: skip
    text = json.dumps(document)
    names = set(document["components"]["schemas"])
    assert {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]} <= names
    assert create_app(None).title == "Groundtruth control protocol"


def test_the_protocol_imports_neither_airflow_nor_a_domain():
    code = (
        "import include.control.server, include.control.client, sys; print([name for name in sys.modules "
        "if name.startswith(('airflow', 'include.energy', 'include.satellite', 'include.domains'))])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
