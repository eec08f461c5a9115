"""Commands that the README and the guides show exist, with their options, pipelines and parameters."""

import re
import shlex

import pytest
import typer

from include.cli.app import app
from include.pipelines import all_pipelines
from tests.docs.transcripts import ALL

OWN = {"meter_totals", "meter-totals", "crm_export", "sensor", "weather"}
"""Pipelines that a page shows how to make."""

COMMANDS = [
    (shown.page, f"./pipeline {words}") for shown in ALL if (words := shown.command.partition("./pipeline ")[2])
]


def words_of(command: str) -> list[str]:
    shown = re.split(r"\s(?:\||>|&&|2>)|;|\s{2,}", command, maxsplit=1)[0]
    return [word for word in shlex.split(shown, comments=True)[1:] if word not in ("…", "...")]


def faults_of(command: str) -> str | None:
    """Return what the command line would refuse of a command, without running anything."""
    words, group = words_of(command), typer.main.get_command(app)
    while words and hasattr(group, "commands"):
        if words[0] in ("--help", "--version", "-h"):
            return None
        if words[0] not in group.commands:
            return f"there is no command {words[0]}"
        group = group.commands[words.pop(0)]
    try:
        context = group.make_context("x", list(words))
    except Exception as error:
        return None if type(error).__name__ == "Exit" else str(error)
    pipeline = context.params.get("pipeline")
    if not pipeline or pipeline in OWN or pipeline.isupper():
        return None
    known = [one for one in all_pipelines()[0] if pipeline in one.names]
    if not known:
        return None if pipeline.endswith(("_north", "_south")) else f"there is no pipeline {pipeline}"
    names = [assignment.partition("=")[0] for assignment in context.params.get("set_") or ()]
    unknown = [name for name in names if name not in known[0].params and name not in known[0].aliases]
    return f"{pipeline} has no parameters {unknown}" if unknown and unknown != ["NAME"] else None


def test_pages_show_many_commands():
    assert len(COMMANDS) > 60


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {command[:60]}" for page, command in COMMANDS])
def test_a_command_that_a_page_shows_exists_with_its_options(page, command):
    assert faults_of(command) is None


@pytest.mark.parametrize(
    "command",
    ["./pipeline rum energy", "./pipeline run enargy", "./pipeline run energy --fles x", "./pipeline open --x"],
)
def test_a_command_that_does_not_exist_is_a_fault(command):
    assert faults_of(command)
