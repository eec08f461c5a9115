"""Pipeline definitions: what is accepted, what it means, and what people read when it is not."""

import json
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from include.core.contracts import Artifact, Step, StepParams
from include.core.definitions import Definition, DefinitionError, json_schema, load_definition, load_definitions

HERE = Path(__file__).parent / "definitions"
ROOT = Path(__file__).parents[2]
GOOD = sorted((HERE / "good").glob("*.json"))
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.json"))


class Anything(BaseModel):
    """A schema; the parser does not look at it."""


def step(name: str, reads: list[Artifact], writes: list[str]) -> Step:
    return Step(
        name, f"Title of {name}", "What it does.", "1", StepParams, "m:f", tuple(reads), tuple(map(Artifact, writes))
    )


KNOWN = {
    s.id: s
    for s in (
        step("energy-generator", [Artifact("source/*", optional=True)], ["energy_data.csv", "energy_source.json"]),
        step(
            "energy-analyzer",
            [Artifact("energy_data.csv", Anything), Artifact("energy_source.json", optional=True)],
            ["output1.json", "energy_records.parquet", "rejected.csv"],
        ),
        step("report-generator", [Artifact("output1.json")], ["output2.json", "energy_report.csv"]),
    )
}


def container(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"id": name, "image": "debian:stable-slim", "command": "true", "output_file": f"{name}.csv"} | fields


def document(*containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"workflow_name": "test-pipeline", "containers": list(containers)} | fields


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory):
    file = tmp_path_factory.mktemp("definitions") / "pipeline.json"

    def load(content: object) -> Definition:
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return load_definition(file, KNOWN)

    return load


def faults(load, content: object) -> dict[str, str]:
    with pytest.raises(DefinitionError) as error:
        load(content)
    return {fault.path: fault.message for fault in error.value.faults}


# ── what a definition means ──────────────────────────────────────────────────────────────────────────────────────────


def test_both_shapes_of_one_pipeline_give_equal_models():
    from_list = load_definition(HERE / "good/list.json", KNOWN)
    assert from_list == load_definition(HERE / "good/linked.json", KNOWN)
    assert [c.id for c in from_list.steps] == ["measure", "mean", "highest", "join"]
    assert from_list.steps[0].outputs == ("readings.csv",), "/data/ is taken off"
    assert from_list.steps[0].command == ("sh", "-c", "true")
    assert from_list.steps[3].depends_on == ("measure", "mean", "highest"), "declared, and implied by files"


def test_the_shipped_energy_pipeline_stands_for_the_registered_steps():
    energy = load_definition(ROOT / "include/config/energy-pipeline.json", KNOWN)
    assert (energy.dag_id, energy.pipeline, energy.schedule) == ("energy_pipeline", "energy", "@daily")
    generator, analyzer, report = energy.steps
    assert (generator.image, generator.command) == (None, None), "the project's image, and the step's own function"
    assert analyzer.inputs == ("energy_data.csv", "energy_source.json"), "all that the contract names, if it is there"
    assert analyzer.outputs == ("output1.json", "energy_records.parquet", "rejected.csv")
    assert report.depends_on == ("energy-analyzer",)


def test_a_linked_file_with_registered_steps_needs_no_service():
    energy = load_definition(HERE / "good/energy-linked.json", KNOWN)
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
    assert (plain.schedule, plain.description, plain.sources, plain.publish) == ("@daily", "", (), ())
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


@pytest.mark.parametrize(
    ("name", "dag_id", "pipeline"),
    [
        ("Energy Pipeline", "energy_pipeline", "energy"),
        ("crops", "crops", "crops"),
        ("pipeline", "pipeline", "pipeline"),
    ],
)
def test_dag_id_comes_from_the_workflow_name(load, name: str, dag_id: str, pipeline: str):
    definition = load(document(container("a"), workflow_name=name))
    assert (definition.dag_id, definition.pipeline) == (dag_id, pipeline)


@pytest.mark.parametrize("schedule", ["@hourly", "*/15 * * * *", "0 0 29 2 *", None])
def test_schedules_that_come_round_are_accepted(load, schedule: str | None):
    assert load(document(container("a"), schedule=schedule)).schedule == schedule


@pytest.mark.parametrize("schedule", ["@reboot", "daily", "0 0 31 2 *", "61 * * * *", "0 0 * * * *", "@once", ""])
def test_schedules_that_never_come_are_refused(load, schedule: str):
    assert "five cron fields" in faults(load, document(container("a"), schedule=schedule))["$.schedule"]


# ── what people read when a file is broken ───────────────────────────────────────────────────────────────────────────

BROKEN = {
    "malformed": {"$": "line 4, column 22"},
    "not-an-object": {"$": "must be a JSON object, not a list"},
    "duplicate-key": {"$.containers[0].command": "more than once"},
    "wrong-types": {
        "$.workflow_name": "must be a string, not 7",
        "$.publish": "must be a list, not 'a.csv'",
        "$.containers[0].depends_on": "must be a list, not 'split'",
        "$.containers[0].timeout_seconds": "must be a whole number, not '60'",
        "$.containers[0].cpus": "must be a number, not true",
        "$.containers[0].memory_mb": "must be a whole number, not 256.0",
        "$.containers[1]": "must be an object, not 'split'",
    },
    "unknown-keys": {
        "$.schedul": "did you mean 'schedule'?",
        "$.owner": "known are $schema, workflow_name",
        "$.containers[0].dependson": "did you mean 'depends_on'?",
    },
    "missing-keys": {"$.workflow_name": "is missing", "$.containers[0].id": "is missing"},
    "no-containers": {"$.containers": "holds no container"},
    "duplicate-ids": {
        "$.containers[1].id": "'measure' is already that of $.containers[0]",
        "$.containers[2].id": "upper and lower case",
    },
    "unusable-ids": {
        "$.containers[0].id": "Airflow task id",
        "$.containers[1].id": "taken by a task that every pipeline has",
        "$.containers[2].id": "Airflow task id",
    },
    "unknown-dependency": {
        "$.containers[1].depends_on[0]": "'measur'; did you mean 'measure'?",
        "$.containers[1].depends_on[1]": "'split'; there are measure, mean",
    },
    "cycle": {"$.containers[0]": "measure → mean → join → measure", "$.containers[3].depends_on[0]": "follow itself"},
    "no-provider": {
        "$.containers[1].input_file[0]": "did you mean 'readings.csv'?",
        "$.containers[1].input_file[1]": "add 'meters.csv' to $.sources",
        "$.containers[1].input_file[2]": "hand it in as a source",
        "$.sources[0]": "no container reads source/unread.csv",
    },
    "two-writers": {
        "$.containers[1].output_file[0]": "a.csv is already written by 'measure'",
        "$.containers[1].output_file[1]": "needs a folder where 'a.csv' is a file",
    },
    "reads-own-output": {"$.containers[0].output_file": "reads its own output a.csv"},
    "leaves-data": {
        "$.containers[0].input_file[0]": "leaves /data by '..'",
        "$.containers[0].input_file[1]": "leaves /data; write it relative",
        "$.containers[0].input_file[2]": "backslash",
        "$.containers[0].input_file[3]": "drive or a URL",
        "$.containers[0].input_file[4]": "drive or a URL",
        "$.containers[0].input_file[5]": "names no file",
        "$.containers[0].input_file[6]": "names no file",
        "$.containers[0].input_file[7]": "begins a name with a dot",
        "$.containers[0].input_file[8]": "leaves /data",
        "$.containers[0].output_file[1]": "source/ is for what a run hands in",
    },
    "nul": {"$.containers[0].output_file": "control character", "$.containers[1].command[1]": "half a surrogate pair"},
    "impossible-limits": {
        "$.containers[0].timeout_seconds": "at least 1, not 0",
        "$.containers[0].memory_mb": "at least 64, not 63",
        "$.containers[0].cpus": "at least 0.01, not 0",
        "$.containers[1].timeout_seconds": "at most 604800",
        "$.containers[1].memory_mb": "a whole number, not true",
        "$.containers[1].cpus": "at most 64, not 65",
        "$.containers[2].timeout_seconds": "a whole number, not inf",
        "$.containers[2].cpus": "a finite number, not nan",
        "$.containers[3].cpus": "at least 0.01, not -1",
    },
    "bad-name": {"$.workflow_name": "becomes the DAG's id"},
    "unreachable": {
        "$.containers.measure.next_node[0]": "no container has the id 'nowhere'",
        "$.containers.alone": "not reached from start_node 'measure'",
        "$.service_registry.ghost": "no container has the id 'ghost'",
    },
    "unknown-start": {"$.start_node": "did you mean 'measure'?"},
    "publish-of-nothing": {"$.publish[1]": "no container writes b.csv"},
    "bad-mode-and-schedule": {
        "$.schedule": "never comes round",
        "$.execution_mode": "must be 'parallel' or 'sequential', not 'turbo'",
    },
    "nothing-to-run": {
        "$.containers[0]": "needs a command",
        "$.containers[1]": "declares no output_file",
        "$.containers[2].command": "not empty",
        "$.containers[2].image": "no image name",
    },
    "broken-contract": {
        "$.containers[0].output_file": "energy.csv is not in the contract of the step 'energy-generator'",
        "$.containers[0].records": "brings its own record accounting",
    },
    "broken-records": {
        "$.containers[1].records.read": "b.csv is not among its input_file",
        "$.containers[1].records.rejected": "is no .csv file",
    },
    "many-faults": {
        "$.workflow_name": "must begin",
        "$.containers[0].timeout_seconds": "at least 1",
        "$.containers[1].output_file": "reads its own output",
        "$.containers[1].depends_on[0]": "'nobody'",
        "$.publish[0]": "z.csv",
    },
}


def test_every_broken_file_has_its_sentences():
    assert {file.stem for file in (HERE / "broken").glob("*.json")} == set(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_every_fault_of_a_file_is_reported_at_once_with_its_place(name: str):
    file = HERE / "broken" / f"{name}.json"
    with pytest.raises(DefinitionError) as error:
        load_definition(file, KNOWN)
    messages = {fault.path: fault.message for fault in error.value.faults}
    assert messages.keys() == BROKEN[name].keys(), "these places and no others"
    for path, part in BROKEN[name].items():
        assert part in messages[path]
        assert f"  {path}: " in str(error.value)
    assert str(error.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe{}", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no usable JSON"),
        (b"null", "must be a JSON object, not null"),
    ],
)
def test_what_is_no_json_object_is_refused_in_words(load, content: bytes, said: str):
    assert said in faults(load, content)["$"]


def test_a_byte_order_mark_does_no_harm(load):
    assert load(b"\xef\xbb\xbf" + json.dumps(document(container("a"))).encode()).dag_id == "test_pipeline"


def test_a_missing_file_is_an_error_in_words(tmp_path: Path):
    with pytest.raises(DefinitionError, match="No such file"):
        load_definition(tmp_path / "none.json", KNOWN)


def test_a_bad_file_never_takes_a_good_one_down(tmp_path: Path):
    for name, content in {
        "a": document(container("a")),
        "b": {},
        "c": document(container("c"), workflow_name="c"),
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    good, bad = load_definitions(tmp_path, KNOWN)
    assert [d.dag_id for d in good] == ["test_pipeline", "c"]
    assert [error.file.name for error in bad] == ["b.json"]


def test_two_files_cannot_make_the_same_pipeline(tmp_path: Path):
    for name, workflow in {"a": "Energy-Pipeline", "b": "energy pipeline", "c": "energy"}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document(container("a"), workflow_name=workflow)))
    good, bad = load_definitions(tmp_path, KNOWN)
    assert [d.workflow_name for d in good] == ["Energy-Pipeline"]
    assert [(error.file.name, error.faults[0].path) for error in bad] == [
        ("b.json", "$.workflow_name"),
        ("c.json", "$.workflow_name"),
    ]
    assert "as a.json" in str(bad[1])


def test_a_missing_folder_is_an_error_not_an_empty_list(tmp_path: Path):
    good, bad = load_definitions(tmp_path / "nowhere", KNOWN)
    assert not good
    assert "no such folder" in str(bad[0])


# ── the published schema ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_published_schema_is_fresh():
    published = json.loads((ROOT / "docs/reference/pipeline-definition.schema.json").read_text())
    assert published == json_schema(), "run make docs"


@pytest.mark.parametrize("file", [*GOOD, *EXAMPLES, ROOT / "include/config/energy-pipeline.json"], ids=lambda f: f.stem)
def test_good_files_satisfy_the_schema_and_the_parser(file: Path):
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(file.read_text()))
    assert load_definition(file, KNOWN).steps


@pytest.mark.parametrize("name", ["wrong-types", "unknown-keys", "missing-keys", "no-containers", "bad-name"])
def test_an_editor_sees_faults_of_form(name: str):
    broken = json.loads((HERE / "broken" / f"{name}.json").read_text())
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(broken)


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────

KEYS = [
    *("workflow_name", "containers", "start_node", "service_registry", "sources", "publish", "schedule", "id", "image"),
    *("command", "input_file", "output_file", "depends_on", "next_node", "records", "timeout_seconds", "cpus"),
]
TEXTS = st.sampled_from(["a", "a.csv", "/data/a.csv", "../a", "\0", "\ud800", "", "energy-generator", "* * * * *"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=15,
)
SOUND = [json.loads(file.read_text()) for file in GOOD]


def accepted_or_refused(load, content: object) -> None:
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
def test_any_document_is_accepted_or_refused_in_words(load, content: object):
    accepted_or_refused(load, content)


@settings(deadline=None)
@given(content=st.binary(max_size=40))
def test_any_bytes_are_accepted_or_refused_in_words(load, content: bytes):
    accepted_or_refused(load, content)


@settings(deadline=None)
@given(data=st.data())
def test_any_mutation_of_a_good_file_is_accepted_or_refused_in_words(load, data: st.DataObject):
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
    accepted_or_refused(load, content)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, set[str]]:
    """Ids with the ids before them, in any order of the file, without a cycle."""
    ids = [f"s{i}" for i in range(draw(st.integers(1, 6)))]
    before = {name: draw(st.sets(st.sampled_from(ids[:i]))) if i else set() for i, name in enumerate(ids)}
    return {name: before[name] for name in draw(st.permutations(ids))}


@settings(deadline=None)
@given(graph=graphs(), by_file=st.booleans(), mode=st.sampled_from(["parallel", "sequential"]))
def test_any_graph_is_ordered_and_reads_the_same_from_both_shapes(
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
