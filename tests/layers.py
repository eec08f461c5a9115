"""The rules of the layers, as code: which words, modules and outcomes may stand where."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]


def modules(*folders: str) -> list[Path]:
    """The Python modules below some folders of the project, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def has_behaviour(tree: ast.Module) -> bool:
    """Whether a module has a public function, or a public class with a method."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    public = [node for node in tree.body if not getattr(node, "name", "_").startswith("_")]
    return any(
        isinstance(node, functions)
        or (isinstance(node, ast.ClassDef) and any(isinstance(part, functions) for part in node.body))
        for node in public
    )


def mirror(module: str) -> str:
    """The test file of a module: `include/a/b.py` → `tests/a/test_b.py`, `plugins/x.py` → `tests/plugins/test_x.py`.

    >>> mirror("include/core/files.py"), mirror("plugins/steps/factory.py"), mirror("include/pipelines.py")
    ('tests/core/test_files.py', 'tests/plugins/steps/test_factory.py', 'tests/test_pipelines.py')
    """
    path = Path(module.removeprefix("include/"))
    return (Path("tests") / path.with_name(f"test_{path.name}")).as_posix()


def words_of(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Each identifier and string of a module with its line, and whether it is a string; docstrings are left out."""
    docstrings = {
        id(node.value)
        for parent in ast.walk(tree)
        if isinstance(parent, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for node in parent.body
        if isinstance(node, ast.Expr)
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield line, text, True
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield line, name, False
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name, False
            case ast.alias(name=name, asname=other):
                yield line, other or name.rpartition(".")[2], False


def subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all that inherit from it, as far as they were imported."""
    yield model
    for child in model.__subclasses__():
        yield from subclasses(child)


def is_word_in(word: str, text: str) -> bool:
    """Whether a text holds a word as a whole.

    >>> is_word_in("bbox", "needs a bbox"), is_word_in("bbox", "bboxes"), is_word_in("csv", "to_csv")
    (True, False, False)
    """
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", text) is not None
