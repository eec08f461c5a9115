"""What we take from others: locked with hashes, watched, and run with no more rights than it needs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
IMAGES = [ROOT / "Dockerfile", *(ROOT / "include").rglob("Dockerfile")]
LOCKS = [*ROOT.glob("requirements*.txt"), *(ROOT / "include").rglob("requirements.txt")]
UNHASHED = ROOT / "include/satellite/torch.txt"
WORKFLOWS = [yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").iterdir()]
STEPS = [step for workflow in WORKFLOWS for job in workflow["jobs"].values() for step in job["steps"]]


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


def test_every_image_and_lock_is_watched_for_updates():
    watched: dict[str, Any] = {}
    for each in yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]:
        watched[each["package-ecosystem"]] = {*each.get("directories", []), *filter(None, [each.get("directory")])}
    assert watched["docker"] == folders(IMAGES)
    assert watched["pip"] == folders(LOCKS)
    assert watched["docker-compose"] == watched["github-actions"] == {"/"}


def test_every_lock_is_audited():
    named = re.search(r"^LOCKS = ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    audited = {ROOT / name for name in named[1].replace("\\\n", " ").split()}
    assert audited == {*LOCKS, UNHASHED} - {ROOT / "requirements-dev.txt"}


def test_actions_of_others_are_pinned_by_commit_and_may_only_read():
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert not [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)]
    assert all(workflow["permissions"] == {"contents": "read"} for workflow in WORKFLOWS)
    assert all(step["with"]["persist-credentials"] is False for step in STEPS if "checkout" in step.get("uses", ""))


def test_the_workflow_runs_what_every_change_must_pass():
    commands = [step["run"] for step in STEPS if "run" in step]
    for needed in (".ci/run", "make e2e", "make audit"):
        assert any(needed in command for command in commands), needed
