"""Generates the parts of the project's files that follow from others: `make generate`.

Compose and the import rules cannot read `include/domains.py` when they run. Their files have marked blocks, which this
program rewrites. The messages of the control protocol follow from its `control.proto`. With `--check` nothing is
written; the exit code is 1 when something is stale.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.core.domain import Domain

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = "include/control/proto/control.proto"
MESSAGES = "include/control/proto/control_pb2.py"
BLOCK = re.compile(
    r"^(?P<begin>(?P<indent> *)# generated from include/domains\.py: begin (?P<name>.+)\n)"
    r"(?:(?! *# generated from).*\n)*"
    r"(?P<end> *# generated from include/domains\.py: end\n)",
    re.MULTILINE,
)


def images_and_stores(domains: Sequence[Domain]) -> list[str]:
    """Return the Docker proxy's settings: the images that steps run in and the stores that they mount."""
    images = [domain.image for domain in domains if domain.image]
    stores = [store for domain in domains for store in domain.stores]
    return [
        f'DOCKER_PROXY_IMAGES: "${{GROUNDTRUTH_STEP_IMAGES:-{" ".join(images)}}}"',
        f'DOCKER_PROXY_STORES: "{" ".join(stores)}"',
    ]


def addresses(domains: Sequence[Domain]) -> list[str]:
    """Return the variables that tell Airflow's services where the stand-ins are."""
    return [
        f'{stand_in.url_variable}: "${{{stand_in.url_variable}:-http://{stand_in.service}:{stand_in.port}}}"'
        for domain in domains
        for stand_in in domain.stand_ins
    ]


def stand_ins(domains: Sequence[Domain]) -> list[str]:
    """Return a service of the profile `demo` for each stand-in."""
    lines = []
    for stand_in in [stand_in for domain in domains for stand_in in domain.stand_ins]:
        port = stand_in.port
        check = f'[CMD, python, -m, tools.stack, healthy, "{port}"]'
        lines += [
            f"{stand_in.service}:",
            "  <<: *service",
            "  image: groundtruth-airflow:latest",
            "  profiles: [demo]",
            f'  command: [python, -m, {stand_in.module}, --host, 0.0.0.0, --port, "{port}"]',
            "  networks: [core]",
            "  depends_on: {secrets: {condition: service_completed_successfully}}",
            f"  healthcheck: {{test: {check}, interval: 10s, timeout: 10s, retries: 12}}",
            "  mem_limit: 2g",
        ]
    return lines


def packages(domains: Sequence[Domain]) -> list[str]:
    """Return the domains' packages, as entries of a list in TOML."""
    return [f'"include.{domain.name}",' for domain in domains]


BLOCKS: Mapping[str, Mapping[str, Callable[[Sequence[Domain]], list[str]]]] = {
    "docker-compose.yaml": {"images and stores": images_and_stores, "addresses": addresses, "stand-ins": stand_ins},
    "pyproject.toml": {"packages": packages},
}


def regenerate(name: str, text: str, domains: Sequence[Domain]) -> str:
    """Return a file's text with its blocks as they must be.

    Args:
        name: The file, a key of `BLOCKS`.
        text: Its text.
        domains: The domains of the project.

    Raises:
        ValueError: A block is missing, unknown or without an end; the sentence names the file and its blocks.
    """
    if {match["name"] for match in BLOCK.finditer(text)} != {*BLOCKS[name]}:
        raise ValueError(
            f"{name}: must have the generated blocks {', '.join(BLOCKS[name])} and no others, each between the lines "
            "`# generated from include/domains.py: begin NAME` and `# generated from include/domains.py: end`"
        )

    def block(match: re.Match[str]) -> str:
        lines = "".join(f"{match['indent']}{line}\n" for line in BLOCKS[name][match["name"]](domains))
        return match["begin"] + lines + match["end"]

    return BLOCK.sub(block, text)


def messages(root: Path = ROOT) -> str:
    """Return the Python code of the control protocol's messages.

    Raises:
        ValueError: The protocol cannot be compiled; the compiler writes why.
    """
    from grpc_tools import protoc

    with TemporaryDirectory() as folder:
        if protoc.main(["protoc", f"-I{root}", f"--python_out={folder}", str(root / PROTOCOL)]) != 0:
            raise ValueError(f"{PROTOCOL}: cannot be compiled")
        return (Path(folder) / MESSAGES).read_text()


def main(arguments: Sequence[str], domains: Sequence[Domain], root: Path = ROOT) -> int:
    """Write or check the blocks and the messages."""
    faults = []
    for name in (*BLOCKS, MESSAGES):
        text = (root / name).read_text()
        try:
            generated = messages(root) if name == MESSAGES else regenerate(name, text, domains)
        except ValueError as error:
            faults.append(str(error))
            continue
        source = PROTOCOL if name == MESSAGES else "include/domains.py"
        if generated != text and "--check" in arguments:
            faults.append(f"{name}: does not match {source}: run `make generate` and commit what it changes")
        elif generated != text:
            (root / name).write_text(generated)
            sys.stdout.write(f"wrote {name}\n")
    sys.stderr.writelines(f"error: {fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    from include.domains import DOMAINS

    raise SystemExit(main(sys.argv[1:], DOMAINS))
