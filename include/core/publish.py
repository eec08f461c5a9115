"""Promotes a run's results to where others read them: all of them at once, never half."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from include.core.errors import ContractError
from include.core.files import replace_folder as replace_folder  # noqa: PLC0414  re-exported until its importers have moved
from include.core.parts import result_of
from include.core.pipeline import Pipeline
from include.core.runner import verify
from include.core.runs import Run, RunFolder


@dataclass(frozen=True)
class Published:
    """What was promoted, where, and the key figures of the run."""

    path: Path
    key: str
    figures: dict[str, Any]


def publish_run(folder: RunFolder, pipeline: Pipeline, data_dir: Path) -> Published | None:
    """Verify every artifact of a run and promote what the definition publishes.

    Args:
        folder: The run.
        pipeline: What ran.
        data_dir: Results go to `published/<pipeline>/<key>/` below it.

    Returns:
        What was published, or None where the definition publishes nothing.

    Raises:
        ContractError: A step has no accepted result, or an artifact is no longer as it was accepted.
        SetupError: The folder cannot be written.
    """
    run = folder.run()
    if run is None:
        raise ContractError("run.json", "must be written before publishing", "no such file")
    figures: dict[str, Any] = {}
    for info in pipeline.plan:
        result = result_of(folder, info)
        if result is None or result.status != "success":
            raise ContractError(info.id, "must have succeeded before its run is published", "no accepted result")
        figures |= {name: value for name, value in result.summary.items() if not isinstance(value, (list, dict))}
    verify(folder)
    names = pipeline.definition.publish
    if not names:
        return None
    key = figures.get("published_as") or publishing_key(run, figures)
    target = data_dir / "published" / pipeline.definition.pipeline / key
    replace_folder(target, {name: folder.files / name for name in names})
    return Published(target, key, figures)


def publishing_key(run: Run, figures: dict[str, Any]) -> str:
    """`<date>` for a whole day, `<start>_<end>` for another interval, below `<source>/` for people's own files.

    Args:
        run: Its plan.
        figures: Where the plan has no interval, `data_start` and `data_end` of the data itself (ISO 8601).
    """
    start = run.interval_start or _instant(figures.get("data_start"))
    end = run.interval_end or _instant(figures.get("data_end"))
    if start is None or end is None:
        raise ContractError("run.json", "must state the interval that the results are published under", "none")
    whole_day = end - start == timedelta(days=1) and start.time() == datetime.min.time()
    if not run.sources:
        return f"{start:%Y-%m-%d}" if whole_day else f"{_stamp(start)}_{_stamp(end)}"
    first = Path(run.sources[0].path).name.removesuffix(".gz").removesuffix(".csv")
    more = f"+{len(run.sources) - 1}" if len(run.sources) > 1 else ""
    source = re.sub(r"[^A-Za-z0-9._-]", "-", first).lstrip(".")[:200] or "source"
    if re.match(r"\d{4}-\d{2}-\d{2}", source):  # a key of its own would be that of a day, and replace it
        source = f"file-{source}"
    return f"{source}{more}/{_stamp(start)}_{_stamp(end)}"


def _instant(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _stamp(instant: datetime) -> str:
    if instant.time() == datetime.min.time():
        return f"{instant:%Y-%m-%d}"
    return f"{instant:%Y-%m-%dT%H%M%S}" if instant.second else f"{instant:%Y-%m-%dT%H%M}"
