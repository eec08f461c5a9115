"""Before the set-up the command line answers what needs none, and names the set-up for everything else."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from include.cli.before_setup import main, version
from include.domains import DOMAINS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """What a clone holds of what the command line reads."""
    for name in ("pipeline", "pyproject.toml", "include/cli/before_setup.py", "docs/reference"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def answer(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd="/")


def test_help_version_and_list_need_no_set_up(checkout, tmp_path_factory):
    link = tmp_path_factory.mktemp("bin") / "pipeline"
    link.symlink_to(checkout / "pipeline")
    help_, shown, listed = (answer(link, argument) for argument in ("--help", "--version", "list"))
    assert [each.returncode for each in (help_, shown, listed)] == [0, 0, 0]
    assert re.search("  run +Run a pipeline under Airflow", help_.stdout)
    assert "make setup" in help_.stdout
    assert shown.stdout == f"{version()}\n"
    assert "energy-pipeline" in listed.stdout
    assert "Runs: @daily." in listed.stdout
    assert not [name for name in (".venv", ".airflow") if (checkout / name).exists()]


def test_every_pipeline_of_the_domains_is_listed(capsys):
    assert main(["list"]) == 0
    named = {line.split()[0].replace("-", "_") for line in capsys.readouterr().out.splitlines()}
    assert {f"{domain.name}_pipeline" for domain in DOMAINS} <= named


def test_any_other_command_names_the_set_up(checkout):
    done = answer(checkout / "pipeline", "run", "energy")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: run: this checkout is not set up yet; run: make setup\n"
