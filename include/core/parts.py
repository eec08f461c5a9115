"""A step that consists of several tasks, as one step: what people read of it, made of what its tasks left."""

from __future__ import annotations

from collections.abc import Sequence

from include.core.runs import RunFolder, Started, StepInfo, StepResult, seconds_between


def started_of(folder: RunFolder, info: StepInfo) -> Started | None:
    """The attempt under way or, of a step of several tasks, the first of them that began."""
    if not info.parts:
        return folder.started(info.id)
    begun = [started for started in map(folder.started, folder.tasks(info)) if started]
    return _as_step(info, min(begun, key=lambda each: each.started_at)) if begun else None


def result_of(folder: RunFolder, info: StepInfo) -> StepResult | None:
    """The verdict on a step; None while one of its tasks has none and none has failed."""
    if not info.parts:
        return folder.result(info.id)
    results = [_latest(folder, task) for task in folder.tasks(info)]
    known = [result for result in results if result is not None]
    failed = [result for result in known if result.status == "failed"]
    if not failed and (len(known) < len(results) or not known):
        return None
    return _combined(info, known, failed)


def _latest(folder: RunFolder, task: str) -> StepResult | None:
    """The verdict on a task's last attempt."""
    started, result = folder.started(task), folder.result(task)
    if started and result and (started.generation, started.attempt) > (result.generation, result.attempt):
        return None
    return result


def _as_step(info: StepInfo, first: Started) -> Started:
    return Started(**{name: getattr(first, name) for name in Started.model_fields} | {"step": info.id})


def _combined(info: StepInfo, results: Sequence[StepResult], failed: Sequence[StepResult]) -> StepResult:
    """From the first start to the last end, with the outputs of all, and the key figures of the last task."""
    last = min(failed, key=lambda each: each.ended_at) if failed else results[-1]
    start, end = min(each.started_at for each in results), max(each.ended_at for each in results)
    outputs = {record.path: record for each in results for record in each.outputs}
    return last.model_copy(
        update={
            "step": info.id,
            "title": info.title,
            "description": info.description,
            "started_at": start,
            "ended_at": end,
            "duration_seconds": seconds_between(start, end),
            "reused": all(each.reused for each in results),
            "outputs": list(outputs.values()),
            "params": {name: value for each in results for name, value in each.params.items()},
        }
    )
