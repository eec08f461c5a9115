"""A stack for the tests of a module: started for them, its logs kept where one fails, removed whatever happened."""

import shutil
import subprocess

import pytest

from tests.prerequisites import need
from tools.own_stack import IMAGES, own_stack


@pytest.fixture(scope="module")
def stack(request, tmp_path_factory):
    need(shutil.which("docker"), "Docker", "install Docker and Compose")
    need(
        shutil.which("docker-compose") or answers("docker", "compose", "version"),
        "Compose",
        "install Compose, 1.29 or newer",
    )
    for image in IMAGES:
        need(answers("docker", "image", "inspect", image), f"the image {image}", "make stack-images")
    folder, failed_before = tmp_path_factory.mktemp("stack"), request.session.testsfailed
    ended_well = False
    try:
        with own_stack(folder, dead_after=30) as running:
            running.dag("PATCH", "", {"is_paused": False})
            yield running
            ended_well = request.session.testsfailed == failed_before
    finally:
        if not ended_well:
            reporter = request.config.pluginmanager.getplugin("terminalreporter")
            reporter.write_line(f"\nthe stack's logs are kept in {folder / 'logs'}", red=True)


def answers(*command):
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
