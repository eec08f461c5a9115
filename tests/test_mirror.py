"""Each module with functions has its own test file at the mirrored path."""

import ast

import pytest

from tests.layers import ROOT, has_behaviour, mirror, modules

MODULES = [
    path.relative_to(ROOT).as_posix()
    for path in modules("include", "plugins")
    if path.name not in ("__init__.py", "__main__.py") and has_behaviour(ast.parse(path.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_test_file_at_the_mirrored_path(module):
    assert (ROOT / mirror(module)).is_file(), f"write {mirror(module)} for {module}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def read(): ...", True),
        ("async def read(): ...", True),
        ("def _read(): ...", False),
        ("class Reader:\n    def read(self): ...", True),
        ("class _Reader:\n    def read(self): ...", False),
        ("class Reading:\n    kwh: float", False),
        ("LIMIT = 3", False),
    ],
)
def test_only_a_module_with_public_behaviour_needs_a_test_file(source, expected):
    assert has_behaviour(ast.parse(source)) is expected
