"""A run's files and a data folder of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.core.settings import get_settings


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A run's `files/`, empty."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def module_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder for the module's tests, since Hypothesis runs each many times."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUNDTRUTH_DATA_DIR", str(folder))
        get_settings.cache_clear()
        yield folder
    get_settings.cache_clear()
