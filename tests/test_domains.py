"""The list of domains."""

import dataclasses
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from include.core.contracts import imported
from include.core.settings import ROOT
from include.domains import DOMAINS

HEAVY = ("torch", "rasterio", "matplotlib", "pandas", "duckdb", "sklearn", "mlflow", "fastapi", "airflow")


def names(value: object) -> Iterator[str]:
    """Yield each `module:function` below a domain."""
    if isinstance(value, str) and re.fullmatch(r"include(\.\w+)+:\w+", value):
        yield value
    elif isinstance(value, Mapping):
        yield from (name for item in value.values() for name in names(item))
    elif isinstance(value, tuple):
        yield from (name for item in value for name in names(item))
    elif dataclasses.is_dataclass(value):
        yield from (name for field in dataclasses.fields(value) for name in names(getattr(value, field.name)))


def test_every_function_that_a_domain_names_exists():
    referenced = set(names(DOMAINS))
    assert len(referenced) >= sum(len(domain.steps) for domain in DOMAINS)
    assert all(callable(imported(name)) for name in referenced)


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)
def test_a_domain_is_the_package_of_its_name(domain):
    assert importlib.util.find_spec(f"include.{domain.name}.domain")
    assert {step.domain for step in domain.steps.values() if step.function} <= {domain.name}


def test_domains_and_their_steps_have_names_of_their_own():
    steps = [step for domain in DOMAINS for step in domain.steps]
    assert len({domain.name for domain in DOMAINS}) == len(DOMAINS)
    assert len(set(steps)) == len(steps)


def test_listing_the_domains_imports_no_heavy_library():
    code = f"import sys, include.domains; print(*sorted(set(sys.modules) & {set(HEAVY)}))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split() == []
