"""What `./pipeline` answers before the set-up, with Python's standard library alone: help, version, list.

It reads the references that are generated into `docs/reference`. Nothing is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path("docs/reference")
SETUP = "make setup"
USAGE = 2


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Answer a command; returns the exit code."""
    match arguments:
        case [] | ["-h" | "--help"]:
            print("Usage: ./pipeline [OPTIONS] COMMAND [ARGS]...\n")
            print("Run and inspect pipelines whose green runs are proven.\n")
            print("Commands (docs/reference/command-line.md has their options):")
            print(_columns(_commands(root)))
            print(f"\nThis checkout is not set up yet: {SETUP}, or make run, which runs each pipeline once as well.")
        case ["--version"]:
            print(version(root))
        case ["list"]:
            print(_columns(_pipelines(root)))
        case [command, *_]:
            print(f"error: {command}: this checkout is not set up yet; run: {SETUP}", file=sys.stderr)
            return USAGE
    return 0


def version(root: Path = ROOT) -> str:
    """Return the version of the project."""
    return f"groundtruth {tomllib.loads((root / 'pyproject.toml').read_text(encoding='utf-8'))['project']['version']}"


def _commands(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each command and its summary."""
    text = (root / REFERENCE / "command-line.md").read_text(encoding="utf-8")
    for heading, summary in re.findall(r"^## `\./pipeline ([^`]*)`\n\n(.*)$", text, re.MULTILINE):
        words = heading.split()
        yield " ".join(word for word in words if word.islower()), summary


def _pipelines(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each pipeline, its description and when it runs."""
    for page in sorted((root / REFERENCE).glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if found := re.match(r"# (.*)\n\n(.*)\n\nDAG `.*`; runs: `(.*)`\.\n", text):
            name, description, runs = found.groups()
            yield name, f"{description} Runs: {runs}."


def _columns(rows: Iterator[tuple[str, str]]) -> str:
    """Return rows of two columns as text.

    >>> print(_columns(iter([("run", "Run it."), ("list", "List them.")])))
      run   Run it.
      list  List them.
    """
    pairs = list(rows)
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"  {name:{width}}  {text}" for name, text in pairs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
