"""Each registered step states its outcome as a `StepOutcome` whose metrics are a typed model of that step."""

import typing
from typing import Any

import pytest
from pydantic import BaseModel

from include.core.contracts import imported
from include.core.outcome import StepMetrics, StepOutcome
from include.domains import DOMAINS
from tests.layers import subclasses

UNTYPED: set[str] = set()
"""Steps whose outcome function is not annotated as `-> StepOutcome` yet; the list only gets shorter."""

STEPS = {step.id: step for domain in DOMAINS for step in domain.steps.values() if step.outcome}


def outcome_function(step):
    return imported(step.outcome) if isinstance(step.outcome, str) else step.outcome


def metrics_models():
    """The metrics models of the domains, which the outcome functions' modules define or import."""
    for step in STEPS.values():
        outcome_function(step)
    names = {domain.name for domain in DOMAINS}
    models = [model for model in subclasses(StepMetrics) if model is not StepMetrics]
    return [
        model
        for model in models
        if model.__module__.split(".")[:1] == ["include"] and model.__module__.split(".")[1] in names
    ]


def types_in(annotation):
    """An annotation, and all that stands in its brackets or in the fields of its models."""
    yield annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for field in annotation.model_fields.values():
            yield from types_in(field.annotation)
    for part in typing.get_args(annotation):
        yield from types_in(part)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_returns_a_typed_outcome(name):
    annotations = typing.get_type_hints(outcome_function(STEPS[name]))
    assert (annotations.get("return") is StepOutcome) is (name not in UNTYPED), annotations.get("return")


def test_the_list_of_untyped_outcomes_names_steps_that_exist():
    assert sorted(UNTYPED - {*STEPS}) == []


@pytest.mark.parametrize("model", metrics_models(), ids=lambda model: model.__name__)
def test_metrics_are_named_typed_and_complete(model):
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"] is True
    untyped = [name for name, field in model.model_fields.items() if Any in types_in(field.annotation)]
    assert untyped == []


def test_each_step_with_metrics_has_a_model_of_its_own():
    typed = {name for name in STEPS if name not in UNTYPED}
    assert len(metrics_models()) >= len({outcome_function(STEPS[name]).__qualname__ for name in typed}) - len(UNTYPED)
