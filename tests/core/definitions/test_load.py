"""Loading definitions: what a file means, what a folder holds, and the published schema."""

import json
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.core.contracts import Artifact
from include.core.definitions.document import DefinitionError
from include.core.definitions.load import json_schema, load_definition, load_definitions
from include.core.definitions.model import Definition
from include.core.rules import OutputRules, Range, RowRelation
from tests.core.definitions.documents import FILES, REGISTERED, ROOT, VALID, container, document

EXAMPLES = sorted((ROOT / "docs/examples").glob("*.json"))


# ── what a definition means ──────────────────────────────────────────────────────────────────────────────────────────


def test_both_formats_of_one_pipeline_give_equal_definitions():
    from_list = load_definition(FILES / "valid/list.json", REGISTERED)
    assert from_list == load_definition(FILES / "valid/linked.json", REGISTERED)
    assert [c.id for c in from_list.steps] == ["measure", "mean", "highest", "join"]
    assert from_list.steps[0].outputs == ("readings.csv",), "/data/ is taken off"
    assert from_list.steps[0].command == ("sh", "-c", "true")
    assert from_list.steps[3].depends_on == ("measure", "mean", "highest"), "declared, and implied by files"


def test_the_shipped_energy_pipeline_stands_for_the_registered_steps():
    energy = load_definition(ROOT / "include/config/energy-pipeline.json", REGISTERED)
    assert (energy.dag_id, energy.pipeline, energy.schedule) == ("energy_pipeline", "energy", "@daily")
    generator, analyzer, report = energy.steps
    assert (generator.image, generator.command) == (None, None), "the project's image, and the step's own function"
    assert analyzer.inputs == ("energy_data.csv", "energy_source.json"), "all that the contract names, if it is there"
    assert analyzer.outputs == ("output1.json", "energy_records.parquet", "rejected.csv")
    assert report.depends_on == ("energy-analyzer",)


def test_a_linked_file_with_registered_steps_needs_no_service():
    energy = load_definition(FILES / "valid/energy-linked.json", REGISTERED)
    assert [c.id for c in energy.steps] == ["energy-generator", "energy-analyzer", "report-generator"]
    assert energy.steps[0].name == "Title of energy-generator"
    assert energy.steps[0].timeout_seconds == 600


def test_a_registered_step_may_be_replaced_by_an_image_that_keeps_its_contract(load):
    foreign = load(document(container("energy-generator", output_file="energy_data.csv", command=["make", "data"])))
    assert foreign.steps[0].image == "debian:stable-slim"
    assert foreign.steps[0].command == ("make", "data")
    assert foreign.steps[0].outputs == ("energy_data.csv", "energy_source.json")


def test_order_is_that_of_the_file_where_nothing_else_decides(load):
    late_writer = load(document(container("c", input_file="b.csv"), container("a"), container("b")))
    assert [c.id for c in late_writer.steps] == ["a", "b", "c"]
    assert [c.depends_on for c in late_writer.steps] == [(), (), ("b",)]


def test_sequential_execution_chains_what_could_run_in_parallel(load):
    containers = [container("a"), container("b"), container("c")]
    assert [c.depends_on for c in load(document(*containers)).steps] == [(), (), ()]
    chained = load(document(*containers, execution_mode="sequential"))
    assert [c.depends_on for c in chained.steps] == [(), ("a",), ("b",)]


def test_every_setting_reaches_the_model(load):
    plain = load(document(container("a")))
    assert (plain.schedule, plain.description, plain.sources, plain.publish) == (None, "", (), ())
    assert (plain.steps[0].timeout_seconds, plain.steps[0].memory_mb, plain.steps[0].cpus) == (
        3600,
        2048,
        2,
    )
    settings = {"timeout_seconds": 5, "memory_mb": 64, "cpus": 0.5, "name": "First", "description": "Does it."}
    records = {"read": "source/m.csv", "accepted": "good.csv", "rejected": "bad.csv"}
    files = {"input_file": "source/m.csv", "output_file": ["good.csv", "/data/bad.csv"], "records": records}
    all_set = load(
        document(container("a", **settings, **files), schedule="0 3 * * 1-5", sources=["m.csv"], publish=["good.csv"])
    )
    only = all_set.steps[0]
    assert (all_set.schedule, all_set.sources, all_set.publish) == ("0 3 * * 1-5", ("m.csv",), ("good.csv",))
    assert {key: getattr(only, key) for key in settings} == settings
    assert (only.inputs, only.outputs) == (("source/m.csv",), ("good.csv", "bad.csv"))
    assert only.records is not None
    assert (only.records.read, only.records.accepted, only.records.rejected) == ("source/m.csv", "good.csv", "bad.csv")


def test_what_starts_runs_and_what_a_command_gets_reach_the_model(load):
    stated = {"retries": 7, "pool": "crm", "network": "crm-net", "environment": {"MODE": "fast"}}
    stated |= {"secrets": {"TOKEN": "crm.password"}}
    nightly = {"name": "north", "schedule": "0 3 * * *", "params": {"area": 1}}
    made = load(
        document(
            container("a", **stated),
            schedule="0 2 * * *",
            timezone="Europe/Berlin",
            params={"area": {"type": "integer", "default": 0}},
            schedules=[nightly],
        )
    )
    assert {key: getattr(made.steps[0], key) for key in stated} == stated
    assert (made.schedule, made.timezone, made.triggers) == ("0 2 * * *", "Europe/Berlin", ())
    assert made.steps[0].params["area"].type == "integer"
    assert [(one.name, one.params) for one in made.schedules] == [("north", {"area": 1})]
    assert load(document(container("a"), triggers=["energy_results"])).triggers == ("energy_results",)


@pytest.mark.parametrize("start", [{"schedule": "@daily"}, {"triggers": ["energy_results"]}])
def test_nothing_starts_a_pipeline_that_is_not_enabled(load, start):
    off = load(document(container("a"), enabled=False, **start))
    assert (off.schedule, off.triggers) == (None, ())


def test_the_file_of_schedules_is_no_definition(tmp_path):
    (tmp_path / "schedules.json").write_text("{}")
    assert load_definitions(tmp_path, REGISTERED) == ([], [])


def test_a_registry_of_addresses_makes_every_container_a_call_of_its_service(load):
    containers = {
        "a": {"input_file": None, "output_file": ["/data/a.csv", "log.txt"], "next_node": "b"},
        "b": {"input_file": "/data/a.csv", "output_file": "b.csv", "next_node": "c", "timeout_seconds": 60},
        "c": {"input_file": ["b.csv", "a.csv"], "output_file": "c.csv", "next_node": None},
    }
    registry = {
        "a": "localhost:50051",
        "b": {"host": "b", "port": 50052},
        "c": {"address": "https://[::1]:50053", "connection": "account"},
    }
    definition = load(
        {
            "workflow_name": "w",
            "start_node": "a",
            "execution_mode": "grpc",
            "service_registry": registry,
            "containers": containers,
        }
    )
    assert [step.address.url for step in definition.steps] == [
        "http://localhost:50051", "http://b:50052", "https://[::1]:50053"
    ]  # fmt: skip
    assert {step.address.protocol for step in definition.steps} == {"container-executor"}
    assert [step.address.connection for step in definition.steps] == [None, None, "account"]
    assert [step.service for step in definition.steps] == ["a", "b", "c"]
    assert [step.passed for step in definition.steps] == [(None, "a.csv"), ("a.csv", "b.csv"), ("b.csv", "c.csv")]
    assert [step.timeout_seconds for step in definition.steps] == [30, 60, 30]
    assert [step.depends_on for step in definition.steps] == [(), ("a",), ("a", "b")]


def test_a_service_of_the_dialect_may_be_named_like_any_other(load):
    services = {"s": {"url": "http://s:1", "protocol": "container-executor"}}
    step = {"id": "a", "output_file": "a.csv", "service": "s", "parameters": {"depth": 3}}
    (loaded,) = load({"workflow_name": "w", "services": services, "containers": [step]}).steps
    assert (loaded.passed, loaded.timeout_seconds, loaded.parameters) == ((None, "a.csv"), 30, {"depth": 3})


def test_a_service_reaches_the_steps_that_name_it(load):
    services = {"analyzer": {"url": "https://analyzer.example:8443/api", "connection": "analyzer_account"}}
    step = {"id": "a", "output_file": "a.csv", "service": "analyzer", "priority": 9, "parameters": {"depth": 3}}
    other = container("b", input_file="a.csv", output_file="b.csv")
    first, second = load({"workflow_name": "w", "services": services, "containers": [step, other]}).steps
    assert (first.service, first.priority, first.parameters) == ("analyzer", 9, {"depth": 3})
    assert first.address is not None
    assert first.address.model_dump(exclude_unset=True) == services["analyzer"]
    assert (first.pool, second.service, second.address, second.priority) == (None, None, None, 5)


def test_the_slots_of_a_service_are_those_of_its_pool(load):
    services = {"analyzer": {"url": "http://a:1", "slots": 2}}
    step = {"id": "a", "output_file": "a.csv", "service": "analyzer"}
    assert load({"workflow_name": "w", "services": services, "containers": [step]}).steps[0].pool == "service_analyzer"
    own = step | {"pool": "crm"}
    assert load({"workflow_name": "w", "services": services, "containers": [own]}).steps[0].pool == "crm"


def test_every_check_of_an_output_reaches_its_artifact():
    checked = load_definition(FILES / "valid/checks.json", REGISTERED)
    schema = (FILES / "valid/schemas/summary.json").read_text()
    table = OutputRules(
        keys=("unit",),
        unique=("meter", "hour"),
        ranges=(Range("kwh", 0, 100.5), Range("celsius", -60, None)),
        rows=RowRelation("source/readings.csv", "fewer", ("meter", "hour")),
    )
    assert checked.steps[0].declared == (
        Artifact("clean.parquet", max_bytes=1_000_000, rules=table),
        Artifact("summary.json", rules=OutputRules(schema=schema)),
        Artifact("model.bin", opaque=True),
    )


# ── a folder of definitions ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_faulty_file_never_affects_a_valid_one(tmp_path: Path):
    for name, content in {
        "a": document(container("a")),
        "b": {},
        "c": document(container("c"), workflow_name="c"),
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    good, bad = load_definitions(tmp_path, REGISTERED)
    assert [d.dag_id for d in good] == ["test_pipeline", "c"]
    assert [error.file.name for error in bad] == ["b.json"]


def test_two_files_cannot_make_the_same_pipeline(tmp_path: Path):
    for name, workflow in {"a": "Energy-Pipeline", "b": "energy pipeline", "c": "energy"}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document(container("a"), workflow_name=workflow)))
    good, bad = load_definitions(tmp_path, REGISTERED)
    assert [d.workflow_name for d in good] == ["Energy-Pipeline"]
    assert [(error.file.name, error.faults[0].path) for error in bad] == [
        ("b.json", "$.workflow_name"),
        ("c.json", "$.workflow_name"),
    ]
    assert "as a.json" in str(bad[1])


def test_a_file_that_is_named_as_its_pipeline_keeps_it_whatever_sorts_before(tmp_path: Path):
    for name, workflow in {"a": "Energy", "energy-pipeline": "energy-pipeline"}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document(container("a"), workflow_name=workflow)))
    good, bad = load_definitions(tmp_path, REGISTERED)
    assert [d.file.name for d in good] == ["energy-pipeline.json"]
    assert [error.file.name for error in bad] == ["a.json"]


def test_a_missing_folder_is_an_error_not_an_empty_list(tmp_path: Path):
    good, bad = load_definitions(tmp_path / "nowhere", REGISTERED)
    assert not good
    assert "no such folder" in str(bad[0])


# ── the published schema ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_published_schema_is_fresh():
    published = json.loads((ROOT / "docs/reference/pipeline-definition.schema.json").read_text())
    assert published == json_schema(), "run make docs"


@pytest.mark.parametrize(
    "file", [*VALID, *EXAMPLES, ROOT / "include/config/energy-pipeline.json"], ids=lambda f: f.stem
)
def test_good_files_satisfy_the_schema_and_the_parser(file: Path):
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(file.read_text()))
    assert load_definition(file, REGISTERED).steps


@pytest.mark.parametrize("name", ["wrong-types", "unknown-keys", "missing-keys", "bad-name"])
def test_an_editor_sees_faults_of_the_format(name: str):
    invalid = json.loads((FILES / "invalid" / f"{name}.json").read_text())
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(invalid)


def test_an_editor_sees_that_there_are_no_containers():
    empty = json.loads((FILES / "faulty/no-containers.json").read_text())
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(empty)


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────

KEYS = [
    *("workflow_name", "containers", "start_node", "service_registry", "sources", "publish", "schedule", "id", "image"),
    *("command", "input_file", "output_file", "depends_on", "next_node", "records", "timeout_seconds", "cpus"),
    *("checks", "a.csv", "schema", "keys", "unique", "ranges", "rows", "of", "relation", "key", "min", "opaque"),
]
TEXTS = st.sampled_from(["a", "a.csv", "/data/a.csv", "../a", "\0", "\ud800", "", "energy-generator", "* * * * *"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=15,
)
SOUND = [json.loads(file.read_text()) for file in VALID]


def accepted_or_rejected(load, content: object) -> None:
    try:
        definition = load(content)
    except DefinitionError as error:
        assert error.faults  # noqa: PT017
        str(error).encode()
    else:
        assert_sound(definition)


def assert_sound(definition: Definition) -> None:
    done: set[str] = set()
    provided = {f"source/{name}" for name in definition.sources}
    for each in definition.steps:
        assert set(each.depends_on) <= done, "after all that it depends on"
        assert set(each.inputs) <= provided, "after whoever writes what it reads"
        assert provided.isdisjoint(each.outputs), "nobody writes a file twice"
        assert all(not Path(file).is_absolute() and ".." not in Path(file).parts for file in each.outputs)
        done.add(each.id)
        provided.update(each.outputs)
    assert set(definition.publish) <= provided


@settings(deadline=None)
@given(content=st.dictionaries(st.sampled_from(KEYS), VALUES) | VALUES)
def test_any_document_is_accepted_or_rejected_in_words(load, content: object):
    accepted_or_rejected(load, content)


@settings(deadline=None)
@given(content=st.binary(max_size=40))
def test_any_bytes_are_accepted_or_rejected_in_words(load, content: bytes):
    accepted_or_rejected(load, content)


@settings(deadline=None)
@given(data=st.data())
def test_any_mutation_of_a_good_file_is_accepted_or_rejected_in_words(load, data: st.DataObject):
    content = deepcopy(data.draw(st.sampled_from(SOUND)))
    for _ in range(data.draw(st.integers(1, 3))):
        here: Any = content
        while True:
            key = data.draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
            if not here[key] or not isinstance(here[key], dict | list) or data.draw(st.booleans()):
                break
            here = here[key]
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace":
            here[key] = data.draw(VALUES | st.sampled_from(["measure", "join", "mean.csv"]))
        elif change == "remove" and len(here) > 1:
            del here[key]
        elif isinstance(here, dict):
            here[data.draw(st.sampled_from(KEYS))] = data.draw(VALUES)
    accepted_or_rejected(load, content)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, set[str]]:
    """Ids with the ids before them, in any order of the file, without a cycle."""
    ids = [f"s{i}" for i in range(draw(st.integers(1, 6)))]
    before = {name: draw(st.sets(st.sampled_from(ids[:i]))) if i else set() for i, name in enumerate(ids)}
    return {name: before[name] for name in draw(st.permutations(ids))}


@settings(deadline=None)
@given(graph=graphs(), by_file=st.booleans(), mode=st.sampled_from(["parallel", "sequential"]))
def test_any_graph_is_ordered_and_reads_the_same_from_both_formats(
    load, graph: dict[str, set[str]], by_file: bool, mode: str
):
    start = {"start": set[str]()} | {name: others | {"start"} for name, others in graph.items()}
    inputs = {name: sorted(f"{other}.csv" for other in others) if by_file else [] for name, others in start.items()}
    in_list = document(
        *(container(name, depends_on=sorted(others), input_file=inputs[name]) for name, others in start.items()),
        execution_mode=mode,
    )
    linked = {
        "workflow_name": "test-pipeline",
        "execution_mode": mode,
        "start_node": "start",
        "service_registry": {name: {"image": "debian:stable-slim", "command": "true"} for name in start},
        "containers": {
            name: {
                "input_file": inputs[name],
                "output_file": f"{name}.csv",
                "next_node": [other for other, others in start.items() if name in others],
            }
            for name in start
        },
    }
    definition = load(in_list)
    assert definition == load(linked)
    assert_sound(definition)
    for each in definition.steps:
        assert start[each.name] <= set(each.depends_on)
    if mode == "sequential":
        assert all(first.name in second.depends_on for first, second in pairwise(definition.steps))
