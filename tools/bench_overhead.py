"""Measures what the project adds to Airflow: `make bench` prints a table.

- *parse*: each DAG file, in a process that has imported Airflow and its providers already.
- *a task*: eight steps in a row that each write and check a small JSON file, against eight empty `PythonOperator` tasks
  in the same process and runtime (`dag.test()`).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.contracts import Artifact, Step, StepParams
from include.core.settings import ROOT
from tools.bench import print_table

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from include.control.client import Endpoint

TASKS = 8
ALLOWED_SECONDS = 0.3
DAG_FILE = """# An Airflow DAG file.
from tools.bench_overhead import bench_dags

globals().update(bench_dags())
"""


def main() -> None:
    """Measure and print."""
    import tests.airflow_env  # noqa: F401 - a private Airflow home, set before Airflow is imported

    with tempfile.TemporaryDirectory() as folder:
        os.environ["GROUNDTRUTH_DATA_DIR"] = f"{folder}/data"
        os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = f"{folder}/dags"
        rows = [(name, f"{seconds:.3f}") for name, seconds in (*parse_times(), *task_times(Path(folder)))]
    goal = f"goal: at most {ALLOWED_SECONDS} s each"
    print_table("What the project adds to Airflow", ("", "seconds"), rows, goal)


def parse_times() -> list[tuple[str, float]]:
    """Seconds to parse each DAG file."""
    logging.disable(logging.CRITICAL)
    import airflow.providers.standard.operators.python
    import airflow.sdk  # noqa: F401
    from airflow.dag_processing.dagbag import DagBag

    rows = []
    for file in sorted((ROOT / "dags").glob("*.py")):
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            DagBag(dag_folder=str(file), bundle_path=ROOT / "dags", bundle_name="bench")
        rows.append((f"parse dags/{file.name}", time.perf_counter() - start))
    return rows


def task_times(folder: Path) -> list[tuple[str, float]]:
    """Median seconds of an empty task, of a step, and what a step adds."""
    (folder / "dags").mkdir()
    (folder / "dags" / "bench.py").write_text(DAG_FILE)
    with contextlib.redirect_stdout(io.StringIO()):
        empty, step = map(run_durations, bench_dags().values())
    return [("an empty task", empty), ("a step", step), ("a step adds", step - empty)]


def run_durations(dag: DAG) -> float:
    """Median duration of a DAG's tasks; the first is left out, for it starts what the others use."""
    from airflow.sdk import DAG

    run = DAG.test(dag)  # ours leaves nothing of a run in the database
    durations = [(ti.start_date, ti.duration) for ti in run.get_task_instances() if ti.task_id.startswith("task")]
    assert run.state == "success"  # noqa: S101
    return statistics.median(duration for _, duration in sorted(durations)[1:])


def nothing() -> None:
    """What an empty task does."""


class BenchParams(StepParams):
    """None."""


def write_small(files: Path, params: BenchParams) -> None:
    """What a bench step does."""
    number = 1 + max((int(path.stem[3:]) for path in files.glob("out*.json")), default=-1)
    (files / f"out{number}.json").write_text('{"n": 1}\n')


class BenchStep(Step):
    """A step whose program is `tools.bench_services`."""

    @property
    def program(self) -> tuple[str, ...]:
        """The step as a service starts it."""
        return ("python", "-m", "tools.bench_services", self.id)


def bench_steps() -> dict[str, Step]:
    """Steps in a row, each of which reads what the one before wrote."""
    files = [f"out{n}.json" for n in range(TASKS)]
    return {
        f"task{n}": BenchStep(
            id=f"task{n}",
            title=f"Task {n}",
            description="",
            version="1",
            params=BenchParams,
            function="tools.bench_overhead:write_small",
            reads=(Artifact(files[n - 1]),) if n else (),
            writes=(Artifact(files[n]),),
        )
        for n in range(TASKS)
    }


def step_dag(name: str = "bench-steps", service: Endpoint | None = None) -> DAG:
    """Return a DAG of these steps, whose work a service does if one is named."""
    from include.core.definitions.graph import specs_of
    from include.core.definitions.model import Definition, ServiceAddress
    from include.core.pipeline import Pipeline
    from plugins.steps.factory import build_dag

    steps = bench_steps()
    more: dict[str, Any] = {}
    if service is not None:
        more = {"service": service.name, "address": ServiceAddress(url=service.url, protocol=service.protocol)}
    specs = tuple(replace(spec, **more) for spec in specs_of(steps.values()))
    return build_dag(Pipeline(Definition(name, "", specs, Path(__file__)), steps), doc_md="")


def bench_dags() -> dict[str, DAG]:
    """An Airflow DAG of empty tasks and one of steps, of the same shape."""
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG, chain

    with DAG("bench_empty", start_date=datetime(2024, 1, 1), schedule=None) as empty:  # noqa: DTZ001
        chain(*(PythonOperator(task_id=f"task{n}", python_callable=nothing) for n in range(TASKS)))
    return {"bench_empty": empty, "bench_steps": step_dag()}


if __name__ == "__main__":
    main()
