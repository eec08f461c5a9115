"""The runbook has a page for each kind of fault, and quotes what the code says."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from include.core import errors
from include.core.run_folder import Failure
from include.reporting.notices import runbook
from include.reporting.report import HINTS

ROOT = Path(__file__).parents[1]
RUNBOOK = ROOT / "docs" / "runbook"
PAGES = sorted(page for page in RUNBOOK.glob("*.md") if page.name != "README.md")
HEADINGS = ["What you see", "Why", "How to check", "How to fix it", "How to be sure"]
KINDS = sorted({*get_args(Failure.model_fields["kind"].annotation), *HINTS})


@cache
def said_by_the_code() -> list[str]:
    """Every text of the code, without what is filled in."""
    found = set()
    for folder in ("include", "plugins", "dags"):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text()))
            found |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return sorted(found)


def quoted(page: Path) -> list[str]:
    """The sentences of ours under "What you see"; `…` stands for what is filled in."""
    seen = page.read_text().partition("## What you see")[2].partition("\n## ")[0]
    return [line for block in re.findall(r"```text\n(.*?)```", seen, re.DOTALL) for line in block.splitlines()]


OURS = errors.GroundtruthError


def test_every_error_of_ours_is_a_kind_that_reports_know():
    ours = {each.kind for each in vars(errors).values() if isinstance(each, type) and issubclass(each, OURS)}
    assert ours <= set(KINDS)


@pytest.mark.parametrize("kind", [*KINDS, "stuck_run", "missed_deadline"])
def test_every_kind_that_a_message_links_to_has_a_page(kind):
    assert (ROOT / runbook(kind)).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_why_and_how(page):
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize(
    ("page", "sentence"), [(page, line) for page in PAGES for line in quoted(page)], ids=lambda value: str(value)[-60:]
)
def test_a_quoted_sentence_is_one_of_the_code_s(page, sentence):
    parts = [part.strip() for part in sentence.split("…")]
    assert any(len(part) > 5 for part in parts), "a quotation must say something"
    missing = [part for part in parts if part and not any(part in text for text in said_by_the_code())]
    assert missing == []


def test_the_index_leads_to_every_page():
    index = (RUNBOOK / "README.md").read_text()
    assert [page.name for page in PAGES if f"({page.name})" not in index] == []
