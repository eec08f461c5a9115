"""Fixtures of trained models: one tiny training for all tests, and copies of its run for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from include.core.settings import get_settings
from tests.made_once import made_once


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets and models of a run, trained once for all test processes; tests take copies."""
    from tests.satellite.trained_run import train

    return made_once(tmp_path_factory, "trained", train)


@pytest.fixture
def env_file(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The deployment's env file."""
    path = data_dir.parent / "config" / ".env"
    path.parent.mkdir()
    path.write_text("# of the team\nPASSWORD=secret\nUSE_AI_MODELS=false\n")
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(path))
    get_settings.cache_clear()
    yield path
    get_settings.cache_clear()


@pytest.fixture
def trained_run(trained: Path, data_dir: Path, env_file: Path) -> Path:
    """The `files/` folder of a run, ready for the comparison."""
    files = data_dir / "runs" / "satellite_pipeline" / "manual__1" / "files"
    shutil.copytree(trained, files)
    return files


@pytest.fixture
def baseline(trained: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A synthetic baseline with random weights, in the place of the real one, which takes minutes."""
    from include.satellite.evaluation import synthetic_baseline
    from tests.satellite.trained_run import randomised, write_baseline

    baseline = SimpleNamespace(change=randomised)

    def provide(files: Path, *_: object) -> synthetic_baseline.Baseline:
        write_baseline(trained, files, baseline.change)
        return synthetic_baseline.read_baseline(files)

    monkeypatch.setattr(synthetic_baseline, "provide_baseline", provide)
    return baseline


@pytest.fixture
def compared(trained_run: Path, baseline: SimpleNamespace) -> Callable[..., Path]:
    """A function that compares and verifies the models of the run, with some parameters; plotted only on request."""
    from include.satellite.evaluation import comparison, verification
    from tests.satellite.trained_run import PARAMS, VERIFY, write_plan

    def compare(*, plotted: bool = False, **params: object) -> Path:
        values = PARAMS.model_copy(update=params)
        write_plan(trained_run.parent, values)
        with pytest.MonkeyPatch.context() as patch:
            if not plotted:
                patch.setattr(comparison, "plot_comparison", lambda *_: None)
            comparison.compare(trained_run, values)
            verification.verify(trained_run, VERIFY.model_copy(update=params))
        return trained_run

    return compare


@pytest.fixture(scope="session")
def comparisons() -> dict[str, Path]:
    """Runs whose models were compared and verified in this process, by their parameters."""
    return {}


@pytest.fixture
def compared_once(
    compared: Callable[..., Path],
    trained_run: Path,
    comparisons: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """Like `compared`, for runs without a champion: made once for each test process, then copied."""

    def provide(**params: object) -> Path:
        key = repr(sorted(params.items()))
        if key in comparisons:
            shutil.copytree(comparisons[key], trained_run.parent, dirs_exist_ok=True)
        else:
            run = compared(**params).parent
            comparisons[key] = shutil.copytree(run, tmp_path_factory.mktemp("compared") / "run")
        return trained_run

    return provide
