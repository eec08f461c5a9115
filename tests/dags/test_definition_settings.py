"""Every setting that a definition may hold changes what Airflow does, or what a run leaves."""

import json

import pytest

from tests.airflow_runs import ROOT, run_dag  # isort: skip - sets Airflow's home first

import docker

from include.core.work_folder import WorkFolder
from include.pipelines import load_pipelines
from plugins.steps.factory import build_dag
from plugins.steps.runtimes.container import create_request

pytestmark = pytest.mark.airflow

DAY = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
IMAGE = "python:3.11-slim-bookworm"


def step(identity, **settings):
    given = {"id": identity, "image": IMAGE, "command": f"echo '[1]' > {identity}.json"}
    return given | {"output_file": f"{identity}.json"} | settings


def definition(*containers, **settings):
    return {"workflow_name": "small-pipeline", "containers": list(containers), **settings}


@pytest.fixture
def dag_of(definitions):
    """The DAG that a definition makes, in a runtime."""

    def make(document, runtime="local"):
        folder = definitions(small=document)
        [pipeline], errors = load_pipelines(folder)
        assert not errors
        return build_dag(pipeline, doc_md="", runtime=runtime)

    return make


def published_files(data_dir):
    """The contents of the published files by name, without the record that names the run."""
    files = data_dir.glob("published/energy/manual/2026-03-01/*")
    return {path.name: path.read_bytes() for path in files if path.name != "publication.json"}


def test_both_shapes_of_the_energy_pipeline_leave_the_same_artifacts(definitions, data_dir):
    definitions(energy=(ROOT / "include/config/energy-pipeline.json").read_text())
    listed = run_dag("energy_pipeline", DAY)
    published = published_files(data_dir)
    assert len(published) == 4
    linked = json.loads((ROOT / "tests/core/definitions/files/valid/energy-linked.json").read_text())
    definitions(energy=linked | {"publish": sorted(published)})
    other = run_dag("energy_pipeline", DAY)
    assert (listed.state, other.state) == ("success", "success")
    assert listed.folder.path != other.folder.path
    left = [sorted(path.name for path in run.folder.files.iterdir()) for run in (listed, other)]
    assert left[0] == left[1]
    for name in left[0]:
        assert (listed.folder.files / name).read_bytes() == (other.folder.files / name).read_bytes(), name
    assert published_files(data_dir) == published


def test_order_comes_from_files_from_depends_on_and_from_the_execution_mode(dag_of):
    def order(**settings):
        containers = [step("a"), step("b", **settings.pop("b", {})), step("c")]
        dag = dag_of(definition(*containers, **settings))
        return {name: sorted(dag.get_task(name).upstream_task_ids) for name in "abc"}

    assert order() == {"a": ["prepare"], "b": ["prepare"], "c": ["prepare"]}
    assert order(b={"input_file": "c.json"}) == {"a": ["prepare"], "b": ["c"], "c": ["prepare"]}
    assert order(b={"depends_on": ["a"]}) == {"a": ["prepare"], "b": ["a"], "c": ["prepare"]}
    assert order(execution_mode="sequential") == {"a": ["prepare"], "b": ["a"], "c": ["b"]}


def test_image_command_and_limits_reach_the_container(dag_of, data_dir):
    command = ["sh", "-c", "echo '[1]' > one.json"]
    dag = dag_of(definition(step("one", image="own/image:2", command=command, memory_mb=128, cpus=0.5)), "docker")
    task = dag.get_task("one")
    assert task.image == "own/image:2"
    with docker.APIClient(base_url="unix:///nowhere", version="1.41") as engine:
        asked = create_request(engine, task.item, WorkFolder(data_dir), task.item.step.params(), {}, {})
    limits = asked["host_config"]
    assert (limits["Memory"], limits["MemorySwap"], limits["NanoCpus"]) == (128 << 20, 128 << 20, 500_000_000)
    assert (asked["image"], asked["command"]) == ("own/image:2", command)


def test_sources_are_handed_in_read_and_published_under_their_name(definitions, data_dir):
    count = step("count", command="wc -l < source/readings.csv > count.json", input_file="source/readings.csv")
    definitions(small=definition(count, sources=["readings.csv"], publish=["count.json"]))
    inbox = data_dir / "inbox/today"
    inbox.mkdir(parents=True)
    (inbox / "readings.csv").write_text("n\n1\n2\n")
    done = run_dag("small_pipeline", {"csv": ["today/readings.csv"]} | DAY)
    assert done.state == "success"
    [published] = data_dir.glob("published/small/**/readings/*/count.json")
    assert published.read_text().strip() == "3"
    [source] = done.report["provenance"]["sources"]
    assert source["path"] == "source/readings.csv"


def test_a_run_without_its_sources_is_refused(definitions):
    count = step("count", input_file="source/readings.csv")
    definitions(small=definition(count, sources=["readings.csv"]))
    done = run_dag("small_pipeline")
    assert done.state == "failed"
    assert done.error("prepare") == "files: the pipeline needs a file named readings.csv"


def test_without_publish_nothing_is_published(definitions, data_dir):
    definitions(small=definition(step("one")))
    done = run_dag("small_pipeline")
    assert done.state == "success"
    assert not (data_dir / "published").exists()


def test_a_definition_that_is_edited_between_runs_counts_for_the_next_one(definitions):
    definitions(small=definition(step("one")))
    before = run_dag("small_pipeline")
    definitions(small=definition(step("one"), step("two")))
    after = run_dag("small_pipeline")
    assert [[each["id"] for each in run.report["steps"]] for run in (before, after)] == [["one"], ["one", "two"]]
    checksums = [run.report["provenance"]["definition"]["sha256"] for run in (before, after)]
    assert checksums[0] != checksums[1]


def checked(identity, command, file, **checks):
    """A step that writes one file and declares checks of it."""
    return step(identity, command=command, input_file="in.csv", output_file=file, checks={file: checks})


NINETY = "{ echo n; yes 1 | head -90; }"
LIES = {
    "schema": (
        checked("schema", "echo '[1]' > a.json", "a.json", schema="schemas/a.json"),
        "is not of type 'object'",
    ),
    "keys": (checked("keys", "cp in.csv b.csv", "b.csv", keys=["m"]), "must have the columns m; found no m in n"),
    "unique": (
        checked("unique", f"{NINETY} > c.csv", "c.csv", unique=["n"]),
        "must hold each n once; found 90",
    ),
    "ranges": (checked("ranges", "cp in.csv d.csv", "d.csv", ranges={"n": {"max": 89}}), "must hold a number <= 89"),
    "rows": (
        checked("rows", f"{NINETY} > e.csv", "e.csv", rows={"of": "in.csv", "relation": "same", "key": ["n"]}),
        "must hold as many records of each n as in.csv",
    ),
    "max_bytes": (checked("max_bytes", "cp in.csv f.csv", "f.csv", max_bytes=9), "must take at most 9 bytes"),
}


def test_each_check_of_an_output_can_fail_its_step(definitions):
    source = step("source", command="{ echo n; seq 90; } > in.csv", output_file="in.csv")
    opaque = checked("opaque", "echo anything > model.bin", "model.bin", opaque=True)
    folder = definitions(small=definition(source, opaque, *(lie for lie, _ in LIES.values())))
    (folder / "schemas").mkdir()
    (folder / "schemas/a.json").write_text('{"type": "object"}')
    done = run_dag("small_pipeline")
    assert done.state == "failed"
    assert (done.tasks["source"], done.tasks["opaque"]) == ("success", "success")
    for name, (_, message) in LIES.items():
        assert message in done.error(name)
        assert done.folder.result(name).error.kind == "contract"
