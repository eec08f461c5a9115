"""The Docker proxy as a deployment has it: both containers, and a worker that reaches nothing else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BASE = "python:3.11-slim-bookworm"
WORKER_UID, POLICY_UID = 50001, 50002
POLICY_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "SETPCAP")
STORES = "scenes library/public"
HARDENED = (
    "--health-interval=1s",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pids-limit=64",
    "--memory=256m",
)

ENGINE = dict(os.environ)  # the real one, also where a test sets DOCKER_HOST

# Runs in the worker: sends bytes to the proxy as they are, and prints what comes back.
SEND = """
import base64, json, socket, sys
host, *requests = json.load(sys.stdin)
answers = []
for request in requests:
    with socket.create_connection((host, 2375), timeout=20) as proxy:
        try:
            proxy.sendall(base64.b64decode(request))
            answer = b""
            while part := proxy.recv(65536):
                answer += part
        except ConnectionError:
            pass
    answers.append(base64.b64encode(answer).decode())
print(json.dumps(answers))
"""


def docker(*arguments: str, text: str | None = None) -> str:
    """Output of a docker command."""
    done = subprocess.run(
        ["docker", *arguments], input=text, capture_output=True, text=True, check=False, cwd=ROOT, env=ENGINE
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Answer:
    """What came back over the wire."""

    status: int
    body: bytes

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"])


def parsed(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), raw[:200]
    if b"chunked" in head.lower():
        whole, rest = b"", body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        body = whole
    return Answer(int(head.split()[1]), body)


def request(method: str, path: str, body: bytes | dict[str, Any] | None = None, *headers: str) -> bytes:
    """Bytes of a request; a body gets its length."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body or b""
    length = [f"Content-Length: {len(content)}", "Content-Type: application/json"] if content else []
    lines = [f"{method} {path} HTTP/1.1", "Host: docker-proxy", "Connection: close", *length, *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Stack:
    """Starts the two containers of the proxy and a worker beside them, under names that no other test has.

    Args:
        name: Of its containers, images, network and volume.
        data: The data folder.
        uid: The user of steps.
        images: What they may run in.
    """

    def __init__(self, name: str, data: Path, uid: int, images: str) -> None:
        self.name, self.data, self.uid, self.images = name, data, uid, images
        self.front, self.policy, self.worker = (f"{name}-{part}" for part in ("front", "policy", "worker"))

    def up(self) -> None:
        for target in ("front", "policy"):
            file = "include/docker_proxy/Dockerfile"
            docker("build", "-q", "--target", target, "-t", f"{self.name}-{target}", "-f", file, ".")
        docker("network", "create", "--internal", self.name)
        self.as_root(f"mkdir -p {self.data}/runs && chown 0:0 {self.data} && chmod 1777 {self.data} {self.data}/runs")
        tmpfs = ("type=tmpfs", "device=tmpfs", f"o=mode=0750,uid={POLICY_UID},gid=65532")
        docker("volume", "create", *(part for each in tmpfs for part in ("--opt", each)), self.name)
        self._start_policy()
        shared = ("-v", f"{self.name}:/run/docker-proxy:ro")
        docker(
            "run", "-d", "--name", self.front, "--network", self.name, *HARDENED, *shared,
            self.front,
        )  # fmt: skip
        docker(
            "run", "-d", "--name", self.worker, "--network", self.name, "--user", f"{WORKER_UID}",
            "-v", f"{self.data}:{self.data}", BASE, "sleep", "3600",
        )  # fmt: skip
        self.wait_until_healthy()

    def as_root(self, command: str) -> None:
        """Run a shell command in the data folder as root, which the tests need not be."""
        docker("run", "--rm", "-v", f"{self.data}:{self.data}", BASE, "sh", "-c", command)

    def _start_policy(self) -> None:
        settings = {
            "IMAGES": self.images,
            "STORES": STORES,
            "HOST_DATA_DIR": str(self.data),
            "STEP_UID": str(self.uid),
            "WORKER_UID": str(WORKER_UID),
            "MAX_MEMORY_MB": "2048",
            "MAX_CPUS": "2",
        }
        docker(
            "run", "-d", "--name", self.policy, "--network", "none", *HARDENED,
            *(f"--cap-add={capability}" for capability in POLICY_CAPABILITIES),
            *(part for name, value in settings.items() for part in ("-e", f"DOCKER_PROXY_{name}={value}")),
            "-v", "/var/run/docker.sock:/var/run/docker.sock:ro",
            "-v", f"{self.data}:/data",
            "-v", f"{self.name}:/run/docker-proxy",
            self.policy,
        )  # fmt: skip

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + 60
        health = {}
        while time.monotonic() < deadline:
            for name in (self.policy, self.front):
                health[name] = docker("inspect", "-f", "{{.State.Health.Status}}", name)
            if set(health.values()) == {"healthy"}:
                return
            time.sleep(0.5)
        raise AssertionError(f"{health}: {self.logs()}")

    def down(self) -> None:
        for kind, name in (
            ("rm", self.worker), ("rm", self.front), ("rm", self.policy), ("network", self.name), ("volume", self.name),
        ):  # fmt: skip
            command = ["rm", "-f", "-v", name] if kind == "rm" else [kind, "rm", name]
            subprocess.run(["docker", *command], capture_output=True, check=False, env=ENGINE)
        self.as_root(f"chown -R {os.getuid()} {self.data}; rm -rf {self.data}/mounts")
        subprocess.run(["docker", "rmi", self.front, self.policy], capture_output=True, check=False, env=ENGINE)

    @property
    def url(self) -> str:
        """Where this machine reaches the front."""
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return f"tcp://{docker('inspect', '-f', template, self.front)}:2375"

    def send(self, *requests: bytes) -> list[Answer]:
        """Send each from the worker, on a connection of its own."""
        text = json.dumps([self.front, *(base64.b64encode(each).decode() for each in requests)])
        answers = json.loads(docker("exec", "-i", self.worker, "python", "-c", SEND, text=text))
        return [parsed(base64.b64decode(answer)) for answer in answers]

    def refusals(self, before: int, count: int) -> list[dict[str, Any]]:
        """Lines about refusals after the first `before` lines, once there are as many."""
        deadline = time.monotonic() + 10
        while True:
            lines = [line for line in self.logs()[before:] if line["verdict"] == "refused"]
            if len(lines) >= count or time.monotonic() > deadline:
                return lines
            time.sleep(0.2)

    def logs(self) -> list[dict[str, Any]]:
        """Lines of both containers, oldest first."""
        lines = []
        for name in (self.front, self.policy):
            for line in docker("logs", name).splitlines():
                assert line.startswith("{"), line
                lines.append(json.loads(line))
        return sorted(lines, key=lambda line: str(line["time"]))
