"""What runs already of a checkout, or under its name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.cli import deployments
from include.cli.deployments import (
    HOME,
    ROOT,
    own_home,
    project_name,
    stack_conflict,
    state_address,
    take_ui,
    unreadable_configuration,
)


@pytest.mark.parametrize(("plugins", "is_ours"), [(ROOT / "plugins", True), ("/elsewhere/plugins", False)])
def test_a_home_counts_where_its_configuration_is_of_this_checkout(tmp_path, plugins, is_ours):
    (tmp_path / "airflow.cfg").write_text(f"[core]\nplugins_folder = {plugins}\n")
    assert own_home({"AIRFLOW_HOME": str(tmp_path)}) == (tmp_path if is_ours else HOME)


def test_a_home_without_a_configuration_or_none_is_ours(tmp_path):
    assert own_home({"AIRFLOW_HOME": str(tmp_path)}) == HOME
    assert own_home({}) == HOME


def test_a_second_ui_is_refused_with_the_address_of_the_first_until_all_of_it_has_ended(tmp_path):
    first = take_ui(tmp_path)
    state_address(first, "http://127.0.0.1:18080")
    component = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(first,))
    os.close(first)
    with pytest.raises(BlockingIOError, match=r"runs already, at http://127\.0\.0\.1:18080$"):
        take_ui(tmp_path)
    component.communicate(b"\n")
    again = take_ui(tmp_path)
    state_address(again, "http://127.0.0.1:9")
    assert (tmp_path / "ui.lock").read_text() == "http://127.0.0.1:9"
    os.close(again)


def test_the_name_of_a_stack_is_that_of_its_folder_or_the_stated_one():
    assert project_name(Path("/srv/Ground.Truth"), {}) == "groundtruth"
    assert project_name(Path("/srv/x"), {"COMPOSE_PROJECT_NAME": "mine"}) == "mine"


@pytest.fixture
def engine(monkeypatch):
    """Answers of the Docker client, by its first word."""
    answers: dict[str, list[str]] = {}
    monkeypatch.setattr(deployments, "_docker", lambda *arguments: answers.get(arguments[0], []))
    return answers


def test_a_stack_of_another_checkout_of_the_same_folder_name_is_refused(tmp_path, engine):
    assert stack_conflict(tmp_path, {}) is None
    engine["ps"] = [str(tmp_path), "/home/ada/groundtruth"]
    conflict = stack_conflict(tmp_path, {"COMPOSE_PROJECT_NAME": "groundtruth"})
    assert conflict == (
        "a stack named groundtruth exists already, of the checkout /home/ada/groundtruth; choose another name for this "
        "one: export COMPOSE_PROJECT_NAME=groundtruth-2"
    )


def test_volumes_whose_secrets_are_elsewhere_are_not_taken_over(tmp_path, engine):
    engine["volume"] = ["groundtruth_postgres"]
    assert "volumes of a stack named" in str(stack_conflict(tmp_path, {}))
    (tmp_path / "stack/secrets").mkdir(parents=True)
    assert stack_conflict(tmp_path, {}) is None


def test_definitions_of_a_strict_umask_are_named_with_the_remedy(tmp_path):
    folder = tmp_path / "include/config"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text("{}")
    folder.chmod(0o755)
    (folder / "a.json").chmod(0o644)
    assert unreadable_configuration(tmp_path) is None
    (folder / "a.json").chmod(0o600)
    assert unreadable_configuration(tmp_path) == (
        f"{folder / 'a.json'} cannot be read by the services of the stack; chmod -R a+rX {folder}"
    )
