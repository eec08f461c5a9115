"""A step of several tasks (search → one fetch a date → collect) is proven task by task and read as one step."""

from dataclasses import replace
from pathlib import Path

import pytest

from include.core.contracts import Artifact, Group, Step
from include.core.errors import ContractError
from include.core.run_folder import Started, write_json
from include.core.runner import Attempt, called, run_step
from tests.core.small_pipeline import NOW, Params, pipeline, plan, spec, tamper

WHOLE = Group("fetch", "Fetch everything", "Searches, fetches, collects.")
SEARCH = Step(
    "search", "Search", "", "1", Params, "m:f", (), (Artifact("search.json"),), group=WHOLE,
    fans_out="tests.core.test_mapped_steps:found",
)  # fmt: skip
FETCH = Step(
    "fetch", "Fetch", "", "1", Params, "tests.core.test_mapped_steps:fetch", (Artifact("search.json"),),
    (Artifact("things/{index}.json"),), group=WHOLE, mapped=True,
)  # fmt: skip
COLLECT = Step(
    "collect", "Collect", "", "1", Params, "m:f", (Artifact("things/*"),), (Artifact("all.json"),), group=WHOLE,
    outcome="tests.core.test_mapped_steps:outcome",
)  # fmt: skip
TRAIN = Step("train", "Train", "", "1", Params, "m:f", (Artifact("all.json"),), (Artifact("model.json"),))
PIPELINE = pipeline(*(spec(step.id) for step in (SEARCH, FETCH, COLLECT, TRAIN)), known=(SEARCH, FETCH, COLLECT, TRAIN))
ATTEMPT = Attempt()
INFO = PIPELINE.plan[0]


def found(files: Path) -> list[str]:
    return (files / "search.json").read_text().strip('[]"').split('","')


def fetch(files: Path, params: Params, index: int) -> None:
    (files / "things").mkdir(exist_ok=True)
    (files / f"things/{index:03d}.json").write_text(f'{{"thing": {index}}}')


def outcome(files: Path) -> dict[str, object]:
    return {"things": len(list((files / "things").iterdir()))}


@pytest.fixture
def run(folder):
    """A run that has searched and found two things."""
    planned = plan(folder)
    write_json(folder.path / "run.json", planned.model_copy(update={"steps": PIPELINE.plan}))
    run_step(SEARCH, folder, ATTEMPT, put("search.json", '["a","b"]'))
    return folder


def put(name, text):
    return called(lambda files, _: (files / name).write_text(text))


def fetched(folder, *indexes):
    for index in indexes:
        step = FETCH.instance(index)
        run_step(step, folder, ATTEMPT, called(step.load()))


def test_people_see_one_step_where_several_tasks_make_it():
    assert [(info.id, info.title, info.parts) for info in PIPELINE.plan] == [
        ("fetch", "Fetch everything", ["search", "fetch", "collect"]),
        ("train", "Train", []),
    ]


def test_a_step_names_the_things_that_the_mapped_one_after_it_is_for(run):
    assert SEARCH.things(run.files) == ["a", "b"]
    assert FETCH.things(run.files) == []


def test_each_task_of_a_mapped_step_has_its_own_record_and_its_own_file(run):
    fetched(run, 0, 1)
    assert run.tasks(INFO) == ["search", "fetch.000", "fetch.001", "collect"]
    assert [run.result(f"fetch.00{n}").outputs[0].path for n in (0, 1)] == ["things/000.json", "things/001.json"]


def test_the_step_after_them_reads_what_each_has_written(run):
    fetched(run, 0, 1)
    verdict = run_step(COLLECT, run, ATTEMPT, put("all.json", "[1]"))
    assert [record.path for record in verdict.inputs] == ["things/000.json", "things/001.json"]
    tamper(run, "things/001.json", '{"thing": "forged"}')
    with pytest.raises(ContractError, match=r"things/001\.json"):
        run_step(COLLECT, run, replace(ATTEMPT, generation=1), put("all.json", "[1]"))


def test_the_whole_has_no_verdict_before_all_its_tasks_have_one(run):
    assert run.step_started(INFO).started_at == run.started("search").started_at
    fetched(run, 0, 1)
    assert run.step_result(INFO) is None
    run_step(COLLECT, run, ATTEMPT, put("all.json", "[1]"))
    whole = run.step_result(INFO)
    assert (whole.step, whole.title, whole.status, whole.outcome.scalars()) == (
        "fetch",
        WHOLE.title,
        "success",
        {"things": 2},
    )
    assert (whole.started_at, whole.ended_at) == (run.result("search").started_at, run.result("collect").ended_at)
    assert [record.path for record in whole.outputs] == [
        "search.json", "things/000.json", "things/001.json", "all.json",
    ]  # fmt: skip


def test_one_failed_task_fails_the_whole_with_its_reason(run):
    fetched(run, 0)
    with pytest.raises(ContractError):
        run_step(FETCH.instance(1), run, ATTEMPT, called(lambda *_: None))
    whole = run.step_result(INFO)
    assert whole.status == "failed"
    assert "things/001.json" in whole.error.message


def test_a_failure_is_forgotten_once_the_task_is_tried_again(run):
    fetched(run, 0)
    with pytest.raises(ContractError):
        run_step(FETCH.instance(1), run, ATTEMPT, called(lambda *_: None))
    write_json(run.step("fetch.001") / "started.json", Started(step="fetch.001", started_at=NOW, attempt=2))
    assert run.step_result(INFO) is None


def test_a_task_without_the_function_s_index_is_refused(run):
    with pytest.raises(TypeError, match="index"):
        FETCH.load()(run.files, Params())
