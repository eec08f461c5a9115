"""What we take from others: locked with hashes, watched, and run with no more rights than it needs."""

import re
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from include.domains import DOMAINS

ROOT = Path(__file__).resolve().parents[1]
IMAGES = [ROOT / "Dockerfile", *(ROOT / "include").rglob("Dockerfile")]
LOCKS = [*ROOT.glob("requirements*.txt"), *(ROOT / "include").rglob("requirements.txt")]
UNHASHED = ROOT / "include/satellite/torch.txt"
SERVICES = ("docker_proxy", "mlflow")
"""Packages with an image that are no domains."""
WORKFLOWS = [yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").iterdir()]
STEPS = [step for workflow in WORKFLOWS for job in workflow["jobs"].values() for step in job["steps"]]


def made(expression: str) -> set[Path]:
    """What Make makes of an expression, as paths."""
    command = ["make", "-s", f"--eval=show: ; @echo {expression}", "show"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return {ROOT / name for name in names}


def requirements(lock: Path) -> list[str]:
    """Each requirement of a lock with all that belongs to it."""
    lines = lock.read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.strip().startswith("#")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_all_that_is_locked_has_one_version_and_its_hashes(lock):
    assert len(requirements(lock)) > 10
    assert not [each for each in requirements(lock) if not re.match(r"[a-z0-9._\[\],-]+==\S+ .*--hash=sha256:", each)]


def test_pytorch_alone_is_locked_without_hashes():
    assert [re.match("[a-z]+==", each)[0] for each in requirements(UNHASHED)] == ["torch=="]


@pytest.mark.parametrize("lock", [*LOCKS, UNHASHED], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_lock_asks_for_libraries_of_gpus(lock):
    assert "nvidia" not in lock.read_text()


def folders(paths: list[Path]) -> set[str]:
    return {f"/{path.parent.relative_to(ROOT)}".replace("/.", "/") for path in paths}


def unwatched(paths: list[Path], patterns: set[str]) -> set[str]:
    """The folders for which Dependabot has no pattern; its `*` stands for one folder."""
    return {
        folder
        for folder in folders(paths)
        if folder not in patterns and not any(PurePosixPath(folder).match(pattern) for pattern in patterns)
    }


def test_every_image_and_lock_is_watched_for_updates():
    watched: dict[str, Any] = {}
    for each in yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]:
        watched[each["package-ecosystem"]] = {*each.get("directories", []), *filter(None, [each.get("directory")])}
    assert unwatched(IMAGES, watched["docker"]) == set()
    assert unwatched(LOCKS, watched["pip"]) == set()
    assert unwatched([ROOT / "dags/Dockerfile", ROOT / "include/a/b/Dockerfile"], watched["docker"]) == {
        "/dags",
        "/include/a/b",
    }
    assert watched["docker-compose"] == watched["github-actions"] == {"/"}


def test_every_lock_is_audited():
    assert made("$(LOCKS)") == {*LOCKS, UNHASHED} - {ROOT / "requirements-dev.txt"}


def test_every_image_of_a_domain_is_built_under_the_name_that_its_steps_ask_for():
    images = {folder / "Dockerfile": f"groundtruth-{folder.name}:latest" for folder in made("$(DOMAIN_IMAGES)")}
    assert {*images} == {*IMAGES} - {ROOT / "Dockerfile", *(ROOT / f"include/{name}/Dockerfile" for name in SERVICES)}
    assert sorted(images.values()) == sorted(domain.image for domain in DOMAINS if domain.image)


def test_locks_that_are_installed_together_agree():
    """The virtual environment gets the requirements and the locks of all domains, one after the other."""
    versions: dict[str, set[str]] = {}
    for lock in (ROOT / "requirements.txt", *made("$(DOMAIN_LOCKS)")):
        for requirement in requirements(lock):
            name, _, version = requirement.split()[0].partition("==")
            versions.setdefault(name.partition("[")[0], set()).add(version)
    assert len(versions) > 100
    assert {name: pins for name, pins in versions.items() if len(pins) > 1} == {}


def test_actions_of_others_are_pinned_by_commit_and_may_only_read():
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert not [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)]
    assert all(workflow["permissions"] == {"contents": "read"} for workflow in WORKFLOWS)
    assert all(step["with"]["persist-credentials"] is False for step in STEPS if "checkout" in step.get("uses", ""))


def test_the_workflow_runs_what_every_change_must_pass():
    commands = [step["run"] for step in STEPS if "run" in step]
    for needed in (".ci/run", "make e2e", "make audit", "make audit-images"):
        assert any(needed in command for command in commands), needed
