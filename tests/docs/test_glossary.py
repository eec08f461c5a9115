"""The glossary names identifiers that exist."""

import ast
import re
from collections.abc import Iterator

import pytest

from include.core.settings import ROOT

GLOSSARY = ROOT / "docs" / "glossary.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in GLOSSARY.read_text().splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| term"))
]


def members(tree: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Yield the names that a module or a class defines: classes, functions, variables, fields."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))


def identifiers() -> set[str]:
    """Return what the modules of the project define, members of classes as `Class.member`."""
    defined: set[str] = set()
    for path in (path for package in ("include", "plugins") for path in (ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text())
        defined.update(members(tree))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                defined.update(f"{node.name}.{name}" for name in members(node))
    return defined


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_term_has_a_meaning_that_ends_as_a_sentence(row):
    assert len(row) == 4
    assert row[1].endswith(".")


def test_terms_are_defined_once():
    terms = [term.strip() for row in ROWS for term in row[0].split(",")]
    assert sorted(terms) == sorted(set(terms))


def test_identifiers_of_the_glossary_exist():
    named = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[2])}
    assert len(named) > 80
    assert sorted(named - identifiers()) == []
