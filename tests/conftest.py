"""Fixtures for all tests."""

import gc
import io
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

# Tests run beside each other: a training on several threads would wait for whichever thread the others keep waiting.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from include.core.run_folder import RunFolder
from include.core.settings import get_settings
from include.core.tables import CHECK_MEMORY, connect
from tests.plots import empty_plots
from tests.prerequisites import real_data_dir
from tests.shared_instance import Instance

gc.set_threshold(100_000, 50, 100)  # a fifth of what each worker's imports took was garbage collection


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest begins first, so that no core waits at the end for the last file."""
    items.sort(key=limit, reverse=True)


PAGES = "tests/plugins/reports/"
"""Its tests share an app of Airflow that takes eight seconds to build, so one worker runs them all."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Give a worker whole files, and all files of the pages."""
    return ByFileAndPages(config, log) if config.getoption("dist") == "loadfile" else None


class ByFileAndPages(LoadFileScheduling):
    """Like `--dist loadfile`, with the pages as one file."""

    def _split_scope(self, nodeid: str) -> str:
        return PAGES if nodeid.startswith(PAGES) else super()._split_scope(nodeid)


def limit(item: pytest.Item) -> int:
    """Seconds that a test asks for; 0 if it does not."""
    mark = item.get_closest_marker("timeout")
    return mark.args[0] if mark else 0


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Databases that stay open for all tests of this process: to create one takes longer than most reads."""
    with connect() as tables, connect(CHECK_MEMORY) as checked:
        for database in (tables, checked):
            database.execute("SET threads = 1")
        yield Instance(tmp_path_factory.mktemp("duckdb"))


@pytest.fixture(autouse=True)
def one_instance(request: pytest.FixtureRequest, instance: Instance) -> Iterator[None]:
    """Let steps in this process share an instance of DuckDB; not where it matters, nor on measured data."""
    own = any(request.node.get_closest_marker(name) for name in ("own_database", "real_data"))
    with nullcontext() if own else instance.used():
        yield


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of the test's own, as the setting names it; it is made by whoever writes first."""
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    get_settings.cache_clear()
    yield tmp_path / "data"
    get_settings.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run's folder with an empty `files/`; it has no plan yet."""
    run = RunFolder.of(tmp_path / "data", "test_pipeline", "manual__2026-01-01T00:00:00+00:00")
    run.files.mkdir(parents=True)
    return run


@pytest.fixture(scope="session")
def blank_png() -> bytes:
    """The bytes of an empty plot."""
    from matplotlib.figure import Figure

    content = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(content, format="png")
    return content.getvalue()


@pytest.fixture
def quick_plots(blank_png: bytes) -> Iterator[None]:
    """Leave plots empty where a step runs in this process; runs as commands and in containers draw them."""
    with empty_plots(blank_png):
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the measured data."""
    return real_data_dir()
