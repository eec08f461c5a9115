"""Measures the energy analysis: `make bench` prints a table.

The data: 100 households, a reading every 5 minutes, for a year (10.5 million records) and for 36.5 days (1.05 million);
half a percent of the records is faulty. Each variant runs in a process of its own; its peak memory is the kernel's.

- *proven*: the analyzer and the report step as the pipeline runs them, with everything that the orchestrator checks:
  checksums, schemas of every file, record accounting.
- *steps alone*: the same two functions without the orchestrator's checks, plots included.
- *bare DuckDB*: the same rules and figures, and the same table of records as CSV, as one would write them by hand:
  typed reader, no list of rejected records with their raw text, no contracts, no plots, no limit on memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any, NamedTuple

from include.core.settings import ROOT

FIRST_YEAR, YEAR_STEPS = 2025, 365 * 288
HOUSEHOLDS = 100


class Measure(NamedTuple):
    """Wall time and processor time (s) and peak memory (MiB) of a process."""

    seconds: float
    processor: float
    mebibytes: float


def main() -> None:
    """Generate, run each variant, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1, help="take the fastest of so many runs")
    parser.add_argument("--years", type=int, default=1, help="of the larger data; ten are 105 million records")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    arguments = parser.parse_args()
    steps_of = {"small": arguments.years * YEAR_STEPS // 10, "large": arguments.years * YEAR_STEPS}
    with tempfile.TemporaryDirectory(dir=ROOT / "data" if (ROOT / "data").is_dir() else None) as folder:
        measures = {}
        for size, steps in steps_of.items():
            data = Path(folder) / f"{size}.csv"
            measure(generate, data, steps)  # in a child: the peak memory of the next ones begins with this process's
            for variant in arguments.variants:
                measures[variant, size] = min(measure_variant(variant, data) for _ in range(arguments.repeat))
            data.unlink()
    show(measures, arguments.variants, [HOUSEHOLDS * steps / 1e6 for steps in steps_of.values()])


def generate(target: Path, steps: int) -> None:
    """Write synthetic readings: evening peaks, some high ones, half a percent faulty; each year is like the first."""
    import duckdb

    years, steps = max(steps // YEAR_STEPS, 1), min(steps, YEAR_STEPS)
    duckdb.execute(f"""
        COPY (
            WITH raw AS (
                SELECT h, t, hash(h, t) AS seed, (hash(h, t, 1) % 10000) / 1e4 AS a, (hash(h, t, 2) % 10000) / 1e4 AS b,
                    (hash(h, t, 3) % 10000) / 1e4 AS c, (t // 12) % 24 AS hour
                FROM range({steps}) steps(t), range({HOUSEHOLDS}) homes(h)
            ), readings AS (
                SELECT *, 0.2 + 0.5 * a + CASE WHEN hour IN (7, 18, 19, 20) THEN 0.9 * b ELSE 0 END
                    + CASE WHEN seed % 997 = 0 THEN 5 * c ELSE 0 END AS p, 226 + 8 * b AS v, 0.9 + 0.1 * c AS pf
                FROM raw
            )
            SELECT strftime(TIMESTAMP '{FIRST_YEAR}-01-01' + to_minutes(5 * t), '%Y-%m-%dT%H:%M:%SZ') AS timestamp,
                printf('household_%03d', h) AS household_id,
                CASE WHEN seed % 401 = 1 THEN 'ERR' WHEN seed % 809 = 2 THEN '-1.0' ELSE printf('%.3f', p) END
                    AS power_consumption,
                CASE WHEN seed % 809 = 3 THEN NULL ELSE printf('%.1f', v) END AS voltage,
                printf('%.2f', p * 1000 / v / pf) AS current
            FROM readings, range(CASE WHEN seed % 809 = 4 THEN 2 ELSE 1 END) ORDER BY t, h
        ) TO '{target}' (HEADER)
    """)
    with target.open("rb") as first, target.open("ab") as file:
        first_year = target.stat().st_size
        for year in range(FIRST_YEAR + 1, FIRST_YEAR + years):
            first.seek(0)
            first.readline()  # the header
            while rest := first_year - first.tell():
                lines = first.readlines(min(rest, 2**24) - 1)  # it stops after the line that exceeds that
                file.writelines(line.replace(b"%d-" % FIRST_YEAR, b"%d-" % year, 1) for line in lines)


def measure_variant(variant: str, data: Path) -> Measure:
    """Run a variant in a child process over a link to the data."""
    with tempfile.TemporaryDirectory(dir=data.parent) as folder:
        (Path(folder) / "energy_data.csv").hardlink_to(data)
        return measure(VARIANTS[variant], Path(folder))


def measure(function: Callable[..., object], *arguments: Any) -> Measure:
    """Run a function in a process of its own, whose start counts too.

    Args:
        function: A function of a module.
        arguments: Its arguments, which must be picklable.
    """
    start = time.perf_counter()
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        processor, mebibytes = process.submit(_usage, function, *arguments).result()
    return Measure(time.perf_counter() - start, processor, mebibytes)


def _usage(function: Callable[..., object], *arguments: Any) -> tuple[float, float]:
    """Run a function; returns the processor time (s) and the peak memory (MiB) of this process."""
    function(*arguments)
    usage = getrusage(RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def product(folder: Path) -> None:
    """Analyzer and report."""
    from include.energy.analyzer import analyze
    from include.energy.params import AnalyzerParams, ReportParams
    from include.energy.report import write_report

    analyze(folder, AnalyzerParams())
    write_report(folder, ReportParams())


def proven(folder: Path) -> None:
    """Analyzer and report under their contracts."""
    from datetime import UTC, datetime

    from include.core.run_folder import FileRecord, Run, RunFolder, StepInfo, write_json
    from include.core.runner import Attempt, called, run_step
    from include.energy.steps import ENERGY_STEPS

    run = RunFolder(folder / "run")
    with (folder / "energy_data.csv").open("rb") as data:
        sealed = run.artifacts.put(data, "energy_data.csv")
    run.artifacts.flush({sealed.sha256: "energy_data.csv"})
    steps = [ENERGY_STEPS[name] for name in ("energy-analyzer", "report-generator")]
    plan = Run(
        pipeline="bench",
        dag_id="bench",
        run_id="bench",
        runtime="local",
        created_at=datetime.now(UTC),
        steps=[StepInfo(id=step.id, title=step.title, description=step.description) for step in steps],
        sources=[FileRecord(path="energy_data.csv", sha256=sealed.sha256, bytes=sealed.bytes)],
    )
    write_json(run.path / "run.json", plan)
    for step in steps:
        run_step(step, run, Attempt(), called(step.load()))


BARE_TABLES = [
    "households",
    "profile",
    "days",
    "heat",
    "odd",
    "weeks",
    "fleet",
    "holes",
    "totals",
    "peaks",
    "base",
    "duration",
]


def bare(folder: Path) -> None:
    """The rules by hand, for data of this one kind (5 minutes, UTC, all columns)."""
    import duckdb

    db = duckdb.connect()
    db.execute((ROOT / "tools" / "bench_bare.sql").read_text().replace("$folder", str(folder)))
    figures = {}
    for table in BARE_TABLES:
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
        figures[table] = [[str(value) for value in row] for row in rows]
    (folder / "output1.json").write_text(json.dumps(figures))


VARIANTS = {"proven": proven, "steps alone": product, "bare DuckDB": bare}


def show(measures: dict[tuple[str, str], Measure], variants: Sequence[str], millions: Sequence[float]) -> None:
    """Print the table, and the machine it was measured on."""
    rows: list[tuple[str, ...]] = []
    for variant in variants:
        small, large = measures[variant, "small"], measures[variant, "large"]
        seconds = f"{small.seconds:.1f} s", f"{large.seconds:.1f} s", f"{large.seconds / small.seconds:.1f}×"
        rows.append((variant, *seconds, f"{large.processor:.1f} s", f"{large.mebibytes:,.0f} MiB"))
    for variant in variants[:-1] if variants[-1] == "bare DuckDB" else ():
        pairs = [(measures[variant, size], measures["bare DuckDB", size]) for size in ("small", "large")]
        ratios = [ours.seconds / bare.seconds for ours, bare in pairs]
        rows.append((f"{variant} ÷ bare", *(f"{ratio:.2f}×" for ratio in ratios), "", "", ""))
    few, many = (f"{million:.3g} M" for million in millions)
    columns = ("", f"{few} records", f"{many} records", "growth", f"processor, {many}", "peak memory")
    print_table("Energy analysis and report", columns, rows, width=110)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pandas", "matplotlib"))
    print(  # noqa: T201
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}; load {os.getloadavg()[0]:.1f}"
    )


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", width: int = 100
) -> None:
    """Print a table; the first column is text, the others are numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, caption=caption)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=width).print(table)


if __name__ == "__main__":
    main()
