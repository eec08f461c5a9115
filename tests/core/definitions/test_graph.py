"""The graph of a definition, and the order that follows from it."""

from graphlib import CycleError

import pytest

from include.core.contracts import Artifact
from include.core.definitions.document import read_file
from include.core.definitions.graph import build_nodes, check_paths, dependencies, specs_of, topological_order, writers
from tests.core.definitions.documents import FILES, REGISTERED, step


@pytest.fixture(params=["list", "linked"])
def nodes(request):
    return build_nodes(read_file(FILES / f"valid/{request.param}.json"), REGISTERED)


def test_both_formats_give_the_same_graph(nodes):
    measure, mean, highest, join = nodes
    assert [node.id for node in nodes] == ["measure", "mean", "highest", "join"]
    assert list(measure.writes) == ["readings.csv"]
    assert list(mean.reads) == list(highest.reads) == ["readings.csv"]
    assert measure.declared.output_file == ["readings.csv"]
    assert list(join.reads) == ["mean.csv", "highest.csv"]
    assert not measure.after
    assert "measure" in join.after


def test_each_file_has_its_writer(nodes):
    assert writers(nodes)["readings.csv"] is nodes[0]


def test_dependencies_are_declared_or_implied_by_files():
    nodes = build_nodes(read_file(FILES / "valid/list.json"), REGISTERED)
    before = dependencies(nodes)
    assert before == {
        "measure": {},
        "mean": {"measure": "mean reads readings.csv, which measure writes"},
        "highest": {"measure": "highest reads readings.csv, which measure writes"},
        "join": {
            "measure": "join depends on measure",
            "mean": "join reads mean.csv, which mean writes",
            "highest": "join reads highest.csv, which highest writes",
        },
    }


def test_places_are_those_of_the_format():
    listed, linked = (build_nodes(read_file(FILES / f"valid/{name}.json"), REGISTERED) for name in ("list", "linked"))
    assert (listed[0].path, listed[0].id_path) == ("$.containers[0]", "$.containers[0].id")
    assert (linked[0].path, linked[0].id_path) == ("$.containers.measure", "$.containers.measure")
    assert linked[0].service_location == ("service_registry", "measure")


def test_a_registered_step_has_the_files_of_its_contract():
    generator, analyzer, report = build_nodes(read_file(FILES / "valid/energy-linked.json"), REGISTERED)
    assert list(generator.writes) == ["energy_data.csv", "energy_source.json"]
    assert generator.optional == ("source/*",)
    assert list(analyzer.reads) == ["energy_data.csv", "energy_source.json"], "the optional one, for it is written"
    assert list(report.reads) == ["output1.json"]


def test_checks_are_found_by_their_file_however_it_is_written():
    checked = read_file(FILES / "valid/checks.json")
    [node] = build_nodes(checked, {})
    assert check_paths(checked, node) == [
        ("clean.parquet", "$.containers[0].checks['/data/clean.parquet']"),
        ("summary.json", "$.containers[0].checks['summary.json']"),
        ("model.bin", "$.containers[0].checks['model.bin']"),
    ]


def test_order_is_the_given_one_where_nothing_else_decides():
    assert topological_order({"c": ["b"], "a": [], "b": []}) == ["a", "b", "c"]
    assert topological_order({"d": [], "c": ["d"], "b": [], "a": ["b"]}) == ["d", "c", "b", "a"]
    with pytest.raises(CycleError):
        topological_order({"a": ["b"], "b": ["a"]})


# ── specs from contracts ─────────────────────────────────────────────────────────────────────────────────────────────

SEARCH = step("search", [], ["search.json"])
FETCH = step("fetch", [Artifact("search.json")], ["files/{index}.json"], mapped=True)
COLLECT = step("collect", [Artifact("search.json"), Artifact("files/*")], ["all.json"])
TRAIN = step("train", [Artifact("all.json"), Artifact("labels.csv", optional=True)], ["model.bin"])
LABEL = step("label", [Artifact("source/*")], ["labels.csv"])


def test_the_order_of_steps_follows_from_their_files():
    specs = specs_of([TRAIN, COLLECT, FETCH, SEARCH, LABEL])
    assert [(spec.id, spec.depends_on) for spec in specs] == [
        ("search", ()),
        ("fetch", ("search",)),
        ("collect", ("fetch",)),
        ("label", ()),
        ("train", ("collect", "label")),
    ], "fetch implies search; an optional file counts if a step writes it"


def test_a_spec_repeats_its_contract_and_takes_its_time_limit():
    [search, fetch] = specs_of([SEARCH, FETCH], timeouts_s={"fetch": 60})
    assert (fetch.name, fetch.description) == (FETCH.title, FETCH.description)
    assert (fetch.inputs, fetch.outputs) == (("search.json",), ("files/{index}.json",))
    assert (fetch.image, fetch.command, fetch.records) == (None, None, None)
    assert (search.timeout_seconds, fetch.timeout_seconds) == (3600, 60)


def test_steps_that_read_each_others_files_have_no_order():
    with pytest.raises(CycleError):
        specs_of([step("a", [Artifact("b.csv")], ["a.csv"]), step("b", [Artifact("a.csv")], ["b.csv"])])
