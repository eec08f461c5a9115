"""Nothing that comes from outside steers the terminal: neither rich's markup nor control characters."""

import ast
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from include.cli.terminal import shown, shown_message

CLI = sorted(Path(__file__).parents[2].glob("include/cli/*.py"))


def printed(markup):
    console = Console(file=StringIO(), force_terminal=True, color_system=None, width=200)
    console.print(markup, soft_wrap=True)
    return console.file.getvalue()


@pytest.mark.parametrize(
    "lie",
    [
        "\x1b[2J\x1b[H✓ all green",
        "\x9b2Jx",
        "a\rb",
        "\x1b]0;title\a",
        "\x1b]8;;http://x\x1b\\link",
        "back\bspace",
        "\udcff",
    ],
)
@pytest.mark.parametrize("escaped", [shown, shown_message])
def test_control_characters_appear_as_their_escapes(escaped, lie):
    text = printed(escaped(f"file {lie}.csv"))
    assert text.rstrip("\n").isprintable()
    assert text.startswith("file ")


def test_markup_is_text():
    assert printed(shown("[red]a[/red] [link=http://x]b[/link]")) == "[red]a[/red] [link=http://x]b[/link]\n"


def test_a_name_is_one_line_and_a_message_may_have_more():
    assert printed(shown("a\n✓ Step 3 completed")) == "a\\n✓ Step 3 completed\n"
    assert printed(shown_message("2 faults:\n  one\n  http://u:p@h")) == "2 faults:\n  one\n  http://***@h\n"


@pytest.mark.parametrize("module", [path for path in CLI if path.name != "terminal.py"], ids=lambda path: path.name)
def test_no_module_of_the_command_line_escapes_markup_alone(module):
    imported = {
        alias.name
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "rich.markup"
        for alias in node.names
    }
    assert not imported, "use include.cli.terminal, which escapes control characters too"
