"""The pipelines of the deployment: definitions bound to the steps of the domains."""

import json

import pytest

from include.core.domain import Pool
from include.core.pipeline import Pipeline
from include.core.settings import ROOT, get_settings
from include.domains import DOMAINS
from include.pipelines import (
    all_pipelines,
    domain_of,
    domain_of_pipeline,
    load_pipelines,
    manual_of,
    param_aliases,
    pools,
    registered_steps,
)

FOREIGN = {
    "workflow_name": "foreign-pipeline",
    "description": "Counts.",
    "containers": [{"id": "count", "name": "Count", "image": "i:1", "command": "true", "output_file": "n.json"}],
}


def by_name(pipelines: list[Pipeline]) -> dict[str, Pipeline]:
    return {pipeline.definition.pipeline: pipeline for pipeline in pipelines}


def test_definitions_may_use_the_steps_that_no_dag_file_wires():
    steps = registered_steps()
    wired = {name for domain in DOMAINS for pipeline in domain.pipelines for name in pipeline.contracts}
    assert steps
    assert not wired & set(steps)


def test_every_pipeline_is_listed_and_knows_its_domain():
    pipelines, errors = all_pipelines()
    assert errors == []
    for name, pipeline in by_name(pipelines).items():
        domain = domain_of_pipeline(pipeline)
        assert domain is not None, name
        assert domain_of(next(iter(pipeline.contracts.values()))) is domain


def test_a_definition_s_window_and_aliases_come_from_the_domains():
    pipelines, _ = load_pipelines(ROOT / "include" / "config")
    for pipeline in pipelines:
        assert pipeline.window is domain_of_pipeline(pipeline).window
        assert pipeline.aliases == param_aliases()


def test_a_domain_completes_the_parameters_of_its_definitions():
    pipelines = by_name(all_pipelines()[0])
    assert pipelines["energy"].complete_params({"format": "aemo"}) == {"format": "aemo", "timezone": "+10:00"}
    assert {pipeline.complete for name, pipeline in pipelines.items() if "energy" not in name} == {None}


def test_a_pipeline_of_foreign_steps_belongs_to_no_domain_and_its_definition_is_its_manual(tmp_path):
    (tmp_path / "foreign.json").write_text(json.dumps(FOREIGN))
    (pipeline,), errors = load_pipelines(tmp_path)
    assert errors == []
    assert domain_of_pipeline(pipeline) is None
    assert manual_of(pipeline) == "### foreign-pipeline\n\nCounts.\n\n1. **Count**: Writes n.json\n"
    (tmp_path / "foreign.md").write_text("# The manual\n")
    assert manual_of(pipeline) == "# The manual\n"


@pytest.mark.parametrize(
    "name",
    [
        "satellite",
        "satellite-pipeline",
        "Satellite Pipeline",
        "crop_health_map",
        "crop health map pipeline",
        "maintenance",
        "inbox",
        "fields",
        "field monitoring",
        "ndvi forecast map",
        "forecast",
    ],
)
def test_a_definition_that_takes_the_name_of_a_wired_pipeline_is_refused(tmp_path, name):
    (tmp_path / "taken.json").write_text(json.dumps(FOREIGN | {"workflow_name": name}))
    (tmp_path / "good.json").write_text(json.dumps(FOREIGN))
    (good,), (error,) = load_pipelines(tmp_path)
    assert good.definition.pipeline == "foreign"
    assert f"$.workflow_name: {name!r} is called as a pipeline of this project" in str(error)


def test_services_with_slots_have_a_pool_and_the_smallest_number_counts(tmp_path, monkeypatch):
    for name, slots in (("one", 4), ("two", 2), ("three", None)):
        service = "free" if slots is None else "small"
        services = {service: {"url": "http://a:1"} | ({"slots": slots} if slots else {})}
        containers = [{"id": "a", "output_file": "a.csv", "service": service}]
        document = {"workflow_name": name, "services": services, "containers": containers}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(tmp_path))
    get_settings.cache_clear()
    assert Pool("service_small", 2, "Tasks of the service small", True) in pools()
    assert [pool.name for pool in pools() if pool.name.startswith("service_")] == ["service_small"]
    assert {pool for domain in DOMAINS for pool in domain.pools} < set(pools())
    get_settings.cache_clear()
