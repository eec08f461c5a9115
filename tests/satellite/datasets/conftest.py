"""A run's files and a data folder of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.core.settings import get_settings


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The setting's data folder, empty."""
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()
    yield tmp_path / "data"
    get_settings.cache_clear()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A run's `files/`, empty."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder
