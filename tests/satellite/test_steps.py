"""The contracts of the satellite steps: what they name exists, and what they share is the same."""

import pytest

from include.core.contracts import imported
from include.satellite.steps import ACCOUNT, SATELLITE_STEPS

STEPS = list(SATELLITE_STEPS.values())


@pytest.mark.parametrize("step", STEPS, ids=SATELLITE_STEPS)
def test_every_function_that_a_step_names_exists(step):
    names = [step.function, step.outcome, step.fans_out, step.notice]
    names += [step.recompute]
    names += [step.approval.question, step.approval.evidence, step.approval.record] if step.approval else []
    assert all(callable(imported(name)) for name in names if name)


def test_a_step_is_its_function_or_an_approval():
    assert [step.id for step in STEPS if not step.function] == ["approve", "approve_crops"]
    assert all(step.function.endswith(f":{step.id}") for step in STEPS if step.function)


def test_only_the_steps_that_fetch_imagery_need_the_account():
    fetching = ["search", "download", "collect", "find_passes", "fetch_passes", "preview_fields"]
    assert [step.id for step in STEPS if step.credentials] == fetching
    assert {step.credentials for step in STEPS} == {ACCOUNT, None}


def test_steps_that_talk_to_services_or_change_the_deployment_run_in_the_worker():
    models, fields = ["search", "download", "collect", "approve", "configure"], ["find_passes", "fetch_passes"]
    crops = ["approve_crops", "configure_crops"]
    assert [step.id for step in STEPS if step.in_worker] == [*models, *fields, *crops, "preview_fields"]


def test_exported_arrays_are_optional():
    optional = [artifact.path for artifact in SATELLITE_STEPS["prepare_cnn"].writes if artifact.optional]
    assert optional == [f"cnn_npy/{axis}_{split}.npy" for split in ("train", "tune", "val") for axis in "Xy"]
