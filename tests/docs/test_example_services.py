"""The example services keep to the control protocol, in whatever language they are written."""

import json
import re
import runpy
import shutil
import subprocess

import pytest

from include.control.check import check_service
from include.control.client import Endpoint, ServiceClient
from tests.control.serving import listening
from tests.docs.transcripts import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "service"


def need_node():
    if shutil.which("node") is None:
        pytest.skip("Node.js is missing: install nodejs")


@pytest.fixture(params=["service.py", "service.js"])
def url(request):
    """An example that runs."""
    example = EXAMPLES / request.param
    if example.suffix == ".py":
        with listening(runpy.run_path(str(example))["app"]) as address:
            yield address
        return
    need_node()
    command = ["node", str(example)]
    with subprocess.Popen(
        command, env={"PORT": "0", "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, text=True
    ) as node:
        yield f"http://127.0.0.1:{re.findall(r'[0-9]+', node.stdout.readline())[0]}"
        node.kill()


def test_an_example_keeps_every_rule_of_the_protocol(url):
    with ServiceClient(Endpoint("example", url)) as client:
        found = dict(check_service(client, "measure", {"rows": 3}))
    assert len(found) == 7
    assert {rule: fault for rule, fault in found.items() if fault} == {}


def test_the_examples_write_the_same_bytes():
    python = runpy.run_path(str(EXAMPLES / "service.py"))["measure"]({}, {"rows": 30})["measured.csv"]
    need_node()
    source = (EXAMPLES / "service.js").read_text().partition("const server = ")[0]
    script = f"{source}\nconsole.log(JSON.stringify(measure({{}}, {{ rows: 30 }})['measured.csv']))"
    ended = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout).encode() == python
