"""Every lie, attack and fault of the guide names a test that exists."""

import ast
import re
from functools import cache

import pytest

from include.core.settings import ROOT

PAGE = ROOT / "docs" / "guides" / "faults.md"
ROW = re.compile(r"^\| (?P<what>.+?) \| (?P<ends>.+) \| (?P<shown>[^|]+) \|$", re.MULTILINE)
TEST = re.compile(r"`(?P<path>tests/[\w/]+\.py)::(?P<name>test_\w+)`")


def rows() -> list[re.Match[str]]:
    """The rows of the tables whose last column says what shows them."""
    tables = re.findall(r"^\|[^\n]*\| shown by \|\n\|[-|]+\n((?:\|[^\n]*\n)+)", PAGE.read_text(), re.MULTILINE)
    return [row for table in tables for row in ROW.finditer(table)]


@cache
def functions(path: str) -> set[str]:
    """Names of the functions of a module, without importing it."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_guide_has_a_row_for_each_lie_attack_and_fault():
    assert len(rows()) > 100


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["what"][:60])
def test_each_row_names_a_test_that_exists(row):
    if row["shown"] == "the same":
        return
    tests = TEST.findall(row["shown"])
    assert tests, "write `tests/….py::test_…`, or `the same` below such a row"
    assert [f"{path}::{name}" for path, name in tests if name not in functions(path)] == []
    assert re.sub(TEST, "", row["shown"]).replace(",", "").strip() == ""


def test_every_table_says_what_shows_its_rows():
    heads = re.findall(r"^(\|[^\n]*)\n\|[-|]+\n", PAGE.read_text(), re.MULTILINE)
    assert [head for head in heads if not head.endswith("| shown by |")] == []
