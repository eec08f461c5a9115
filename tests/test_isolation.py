"""Tests see their own containers alone: another deployment on the same engine changes nothing."""

import re

import pytest

from tests.layers import ROOT
from tests.own_containers import LABEL, own_containers
from tests.prerequisites import docker_engine

IMAGE = "python:3.11-slim-bookworm"
LISTS = re.compile(r'containers\.list\(|\[?"docker", "ps"|docker\("ps"')
OWN = re.compile(r'filters=\{"id":|"id=|f"id=|f"name=|\.data=|\*own')
FILES = sorted(
    path for path in (ROOT / "tests").rglob("*.py") if path.name not in ("own_containers.py", "own_engine.py")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_test_lists_containers_that_may_be_of_others(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    others = [line for line in lines if LISTS.search(line) and not OWN.search(line) and "re.compile" not in line]
    assert others == [], "use tests.own_containers.own_containers, or filter by id, name or data folder"


@pytest.fixture
def start():
    """Start containers of steps, each with the data folder of its deployment; all are removed at the end."""
    with docker_engine(IMAGE) as engine:
        started = []

        def run(data):
            labels = {LABEL: "step", f"{LABEL}.data": str(data), f"{LABEL}.run": "manual__1"}
            started.append(engine.containers.run(IMAGE, "sleep 60", labels=labels, detach=True, init=True))
            return started[-1].id

        run.engine = engine
        yield run
        for container in started:
            container.remove(force=True)


@pytest.mark.docker
def test_containers_of_another_deployment_are_not_seen(start, tmp_path):
    start("/elsewhere")
    start(f"{tmp_path}-other")
    assert own_containers(start.engine, tmp_path) == []
    own = {start(tmp_path), start(tmp_path / "runs" / "energy_pipeline" / "cli__1")}
    assert {container.id for container in own_containers(start.engine, tmp_path)} == own
    assert {container.id for container in own_containers(start.engine, tmp_path, run="manual__1")} == own
    assert own_containers(start.engine, tmp_path, run="manual__2") == []
