"""No word of a domain stands in core, command line, reports or plugins: they read it from the domain objects."""

import ast
import importlib
import pkgutil

import pytest
from pydantic import BaseModel

import include.core
from include.domains import DOMAINS
from tests.layers import ROOT, is_word_in, modules, subclasses, words_of

LAYERS = ("include/control", "include/core", "include/cli", "include/reporting", "plugins")
ORDINARY = {
    "fields",
    "format",
    "offset",
    "reference",
    "resolution",
    "scale",
    "seed",
    "source",
    "stamp",
    "stride",
    "timezone",
    "unit",
    "where",
}
"""Parameters whose names are also words of every domain: a record's fields, a file's source or format, an offset in it,
a drawing's scale, a coordinate reference system, a clock's timezone. Only a reader can tell which is meant."""

ALLOWED: set[tuple[str, str]] = set()
"""Words that still stand in a module; the list only gets shorter."""


def parameters_of_domains() -> set[str]:
    """Names of parameters that a domain's steps take and that no model of core has."""
    for module in pkgutil.walk_packages(include.core.__path__, "include.core."):
        importlib.import_module(module.name)
    core = {model for model in subclasses(BaseModel) if model.__module__.startswith("include.core.")}
    params = {name for domain in DOMAINS for step in domain.steps.values() for name in step.params.model_fields}
    return params - {name for model in core for name in model.model_fields} - ORDINARY


NAMES = {domain.name for domain in DOMAINS}
PARAMETERS = parameters_of_domains()


def found_in(source: str) -> set[str]:
    """Words of domains that stand in a module."""
    words = set()
    for _, text, is_string in words_of(ast.parse(source)):
        if is_string:
            words |= {word for word in NAMES | PARAMETERS | {"--csv"} if is_word_in(word, text)}
            parts = text.replace("-", "_").split("_") if text.replace("-", "_").isidentifier() else []
        else:
            words |= {text} & PARAMETERS
            parts = text.split("_")
        words |= {word for word in NAMES if word in (part.lower() for part in parts)}
    return words


def csv_parameters(source: str) -> set[str]:
    """Arguments and keywords named `csv`: the format is core's own business, a parameter of that name is not."""
    nodes = ast.walk(ast.parse(source))
    return {"csv" for node in nodes if isinstance(node, ast.arg | ast.keyword) and node.arg == "csv"}


@pytest.mark.parametrize("path", modules(*LAYERS), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_word_of_a_domain_stands_in_a_layer_that_serves_all(path):
    source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    words = found_in(source) | csv_parameters(source)
    allowed = {word for module, word in ALLOWED if module == name}
    assert words - allowed == set(), f"{name} names what only a domain knows"
    assert allowed - words == set(), f"{name} no longer holds these words: remove them from ALLOWED"


def test_the_list_of_allowed_words_names_modules_that_exist():
    assert [name for name, _ in ALLOWED if not (ROOT / name).is_file()] == []


def test_the_words_come_from_the_domains():
    assert {"energy", "satellite"} <= NAMES
    assert {"bbox", "days_back", "households"} <= PARAMETERS
    assert not {"start", "end", "files"} & PARAMETERS


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("params['bbox']", {"bbox"}),
        ("def read(days_back): ...", {"days_back"}),
        ("read(households=3)", {"households"}),
        ("params.bbox", {"bbox"}),
        ("f'run {dag} energy'", {"energy"}),
        ("dag_id = 'satellite_pipeline'", {"satellite"}),
        ("from x import SATELLITE", {"satellite"}),
        ("Option('--csv')", {"--csv"}),
        ("'''The energy domain, for example.'''", set()),
        ("def f():\n    '''Read a bbox.'''", set()),
        ("import csv\ncsv.reader(file)", set()),
        ("kind == 'csv'", set()),
    ],
)
def test_identifiers_and_strings_count_and_docstrings_do_not(source, words):
    assert found_in(source) == words


def test_a_parameter_named_csv_is_found():
    assert csv_parameters("def run(csv): ...") == csv_parameters("run(csv=1)") == {"csv"}
    assert csv_parameters("import csv\ncsv.reader(file)") == set()
