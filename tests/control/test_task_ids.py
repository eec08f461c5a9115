"""The id of a task follows from what the task is."""

from include.control.models import TaskKeys
from include.control.task_ids import task_id

KEYS = TaskKeys(deployment="d", dag="dag", run="r", step="s")
WORK = {"operation": "s 1", "inputs": {"a.csv": "1" * 64}, "params": {"a": 1, "b": None}, "definition": "f"}


def test_the_same_work_has_the_same_id_and_other_work_another():
    first = task_id(KEYS, **WORK)
    assert len(first) == 64
    assert task_id(KEYS, **WORK | {"params": {"b": None, "a": 1}}) == first
    others = [
        task_id(KEYS.model_copy(update={name: value}), **WORK)
        for name, value in {
            "deployment": "e", "dag": "e", "run": "e", "step": "e", "map_index": 1, "generation": 1
        }.items()
    ]  # fmt: skip
    others += [task_id(KEYS, **WORK | {name: value}) for name, value in {
        "operation": "s 2", "inputs": {"a.csv": "2" * 64}, "params": {"a": 2}, "definition": "g"
    }.items()]  # fmt: skip
    assert len({first, *others}) == 1 + len(others)
