"""What the README and the guides show with Airflow, run in a checkout of its own, one after the other.

A command ends well, or as its page shows, and prints what stands under it there.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.example_files import write_files
from tests.docs.transcripts import ALL, IN_A_CHECKOUT, ROOT, Shown, first_difference

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(1500)]
COMMANDS = [shown for way in IN_A_CHECKOUT for shown in ALL if re.search(way, str(shown))]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A clone of this commit, set up as the README says."""
    folder = tmp_path_factory.mktemp("visitor") / "groundtruth"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    subprocess.run(["make", "setup"], cwd=folder, env=without_own_settings(), check=True)
    return folder


def as_typed(shown: Shown, checkout: Path) -> str:
    """Return a command with the names of this checkout in the place of the page's."""
    command = shown.command
    if "make restore" in command:
        [backup] = (checkout / "backups").glob("*Z.tar.gz")
        command = f"make restore BACKUP={backup}"
    if "publication.json" in command:
        [manifest] = checkout.glob("data/published/energy/2026-11-28/publication.json")
        command = f"cd {manifest.parent} && {command}"
    return f"source env.sh && {command}" if command.startswith("airflow") else command


@pytest.mark.parametrize("shown", COMMANDS, ids=str)
def test_a_command_does_what_its_page_shows(shown: Shown, checkout: Path):
    write_files(shown, checkout)
    ended = subprocess.run(
        ["bash", "-c", as_typed(shown, checkout)],
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=without_own_settings(),
    )
    assert first_difference(shown.output, ended.stdout) is None, ended.stdout
    is_refused = re.search(r"^(failed|error): |^✗ ", shown.output, re.MULTILINE)
    assert (ended.returncode != 0) == bool(is_refused), ended.stdout
    assert "Traceback" not in ended.stdout


def without_own_settings() -> dict[str, str]:
    """Return the environment of a user who has set nothing."""
    own = ("GROUNDTRUTH_", "AIRFLOW", "PYTHONPATH", "PYTEST", "COVERAGE")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)} | {"COLUMNS": "200"}
