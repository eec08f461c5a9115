"""The documentation holds together: links lead somewhere, references are fresh, pictures stay small."""

import re
from pathlib import Path

import pytest

from tools.docs import REFERENCE, pages

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE_PATH = re.compile(r"(?<!/groundtruth/)\b(?:include|plugins|tests|tools|dags)/[\w./-]*\w")
"""A file of the repository; `/groundtruth/dags/…` is a page of the UI."""
EXAMPLES = ("weather", "inline", "readers/logger", "test_logger", "example", "FILE", "config/schedules.json")
LINK = re.compile(r'\]\(([^)\s]+)\)|src="([^"]+)"')


def anchors(page: Path) -> set[str]:
    """Headings as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    broken = []
    for match in LINK.finditer(page.read_text()):
        link = match[1] or match[2]
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_of_the_code_that_a_page_names_exists(page):
    if page.name == "CHANGELOG.md":
        return
    paths = {path for path in CODE_PATH.findall(page.read_text()) if not any(name in path for name in EXAMPLES)}
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_every_page_is_listed_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    pages_below = [page for page in ROOT.glob("docs/*/*.md") if page.parent.name != "runbook"]
    pages_below.append(ROOT / "docs" / "runbook" / "README.md")  # it lists the others: tests/test_runbook.py
    assert [page.name for page in pages_below if f"{page.parent.name}/{page.name}" not in index] == []


def test_references_say_what_the_code_says():
    assert {name: (REFERENCE / name).read_text() for name in pages()} == pages()


def test_pictures_are_small():
    assert all(picture.stat().st_size < 250_000 for picture in ROOT.glob("docs/pictures/*.png"))
