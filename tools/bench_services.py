"""Measures what a step costs in a service: `make bench` prints tables.

- *a task*: eight steps in a row that each write and check a small JSON file, in the worker and in a service over HTTP
  and gRPC on this machine (`dag.test()`). Deferred ones give up the worker at once; `dag.test()` runs their trigger in
  the same process, so that the ways to a triggerer and back through the database are not in the figure.
- *transfer*: a file to the service and back, verified by its checksum and on the disk, against `curl`, `sha256sum` and
  `sync` with the same service.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from include.control.client import Client, Endpoint, client_for
from include.control.models import file_reference
from tools.bench import print_table

if TYPE_CHECKING:
    from airflow.sdk import DAG

MEBIBYTES, REPEATS = 512, 3
ALLOWED_SECONDS, LEAST_SHARE = 0.5, 0.7
DAG_FILE = """# An Airflow DAG file.
from tools.bench_services import bench_dags

globals().update(bench_dags())
"""


def main() -> None:
    """Measure and print."""
    import tests.airflow_env  # noqa: F401 - a private Airflow home, set before Airflow is imported

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GROUNDTRUTH_DATA_DIR"] = f"{name}/data"
        os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = f"{name}/dags"
        (folder / "dags").mkdir()
        (folder / "dags" / "bench.py").write_text(DAG_FILE)
        with served(folder) as (http, grpc):
            os.environ["BENCH_HTTP"], os.environ["BENCH_GRPC"] = http.url, grpc.url
            rows = list(task_rows())
            goal = f"goal: a service adds at most {ALLOWED_SECONDS} s, a deferral 2 s"
            print_table("Steps in a service", ("", "seconds", "more than local"), rows, goal)
            caption = f"goal: at least {LEAST_SHARE} of curl's; medians of {REPEATS}"
            title = f"Transfer of {MEBIBYTES} MiB"
            print_table(title, ("", "MB/s", "share of curl's"), transfer_rows(folder, http, grpc), caption)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Serve the steps of the bench over HTTP and gRPC."""
    from include.control.grpc_server import serving
    from include.control.server import create_app
    from include.control.service import Service, ServiceSettings
    from tests.control.serving import listening
    from tools.bench_overhead import bench_steps

    service = Service(bench_steps(), ServiceSettings("bench", folder / "service", capacity=2))
    with listening(create_app(service, None)) as url, serving(service, "127.0.0.1", 0) as port:
        yield Endpoint("bench", url), Endpoint("bench", f"http://127.0.0.1:{port}", protocol="grpc")


def bench_dags() -> dict[str, DAG]:
    """DAGs of the same steps: in the worker, and in the services whose addresses the environment holds."""
    from tools.bench_overhead import step_dag

    return {
        "bench_local": step_dag("bench-local"),
        "bench_http": step_dag("bench-http", Endpoint("bench", os.environ["BENCH_HTTP"])),
        "bench_grpc": step_dag("bench-grpc", Endpoint("bench", os.environ["BENCH_GRPC"], protocol="grpc")),
    }


def task_rows() -> Iterator[tuple[str, str, str]]:
    """Yield the median duration of a step, by where its work is done."""
    from plugins.steps.runtimes import service as runtime
    from tools.bench_overhead import run_durations

    local = None
    for wait, kind in ((runtime.SHORT_WAIT_SECONDS, "waited for"), (0.0, "deferred")):
        runtime.SHORT_WAIT_SECONDS = wait
        for name, dag in bench_dags().items():
            if local is not None and name == "bench_local":
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                seconds = run_durations(dag)
            if local is None:
                local = seconds
                yield "in the worker", f"{local:.3f}", ""
            else:
                yield (
                    f"in a service, {name.removeprefix('bench_')}, {kind}",
                    f"{seconds:.3f}",
                    f"{seconds - local:+.3f}",
                )


def transfer_rows(folder: Path, http: Endpoint, grpc: Endpoint) -> Iterator[tuple[str, str, str]]:
    """Yield the speed of our transfers and of curl's, each time with other content."""
    speeds: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for endpoint in (http, grpc):
            with client_for(endpoint) as client:
                for way, seconds in _there_and_back(folder, client).items():
                    speeds.setdefault(f"{way}, {endpoint.protocol}", []).append(MEBIBYTES * 2**20 / 1e6 / seconds)
        for way, seconds in _by_curl(folder, http.url).items():
            speeds.setdefault(f"{way}, curl", []).append(MEBIBYTES * 2**20 / 1e6 / seconds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, speed in sorted(medians.items()):
        theirs = medians[f"{name.partition(',')[0]}, curl"]
        yield name, f"{speed:,.0f}", f"{speed / theirs:.2f}"


def _there_and_back(folder: Path, client: Client) -> dict[str, float]:
    file, place = _new_file(folder), folder / "pulled.bin"
    checksum = ""

    def push() -> None:
        nonlocal checksum
        with file.open("rb") as content:
            checksum = hashlib.file_digest(content, "sha256").hexdigest()
        client.push(file, checksum)

    def pull() -> None:
        reference = file_reference("pulled.bin", checksum, file.stat().st_size)
        client.pull("0" * 64, reference, place, file.stat().st_size)

    found = {"push": _seconds(push), "pull": _seconds(pull)}
    place.unlink()
    return found


def _by_curl(folder: Path, url: str) -> dict[str, float]:
    file = _new_file(folder)
    checksum = subprocess.check_output(["sha256sum", file], text=True).split()[0]  # noqa: S603, S607
    address = f"{url}/data/{checksum}"
    pull = f"curl -sf -o pulled {address} && sha256sum pulled && sync pulled && rm pulled"
    ways = {"push": f"sha256sum {file.name} && curl -sf -T {file.name} {address}", "pull": pull}
    return {way: _seconds(partial(_shell, command, folder)) for way, command in ways.items()}


def _shell(command: str, folder: Path) -> None:
    subprocess.run(["bash", "-c", command], cwd=folder, stdout=subprocess.DEVNULL, check=True)  # noqa: S603, S607


def _new_file(folder: Path) -> Path:
    file = folder / "sent.bin"
    file.write_bytes(os.urandom(MEBIBYTES * 2**20))
    return file


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__" and len(sys.argv) > 1:  # a step, started by its service
    from include.core.process import main as run_step
    from tools.bench_overhead import bench_steps

    sys.exit(run_step("tools.bench_services", bench_steps()))
if __name__ == "__main__":
    main()
